//! `[[http.proxy]]`: paths that others answer, and who.

use super::http::check_path;
use super::{Flaw, unwritten};
use crate::application::http::proxy::{Settings, To};
use crate::daemon::units::{ByteCount, Period};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use toml::Spanned;

/// `[[http.proxy]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// The path, and all below it.
    pub path: Spanned<String>,
    /// Who answers: one, or several that are asked in turn.
    pub to: Spanned<Upstreams>,
    /// They are asked by the name that the client said; otherwise by their address.
    pub keep_host: bool,
    /// How long connecting may take.
    pub connect_timeout: Period,
    /// How long an upstream may take to answer, once it has the request.
    pub answer_timeout: Period,
    /// How long a body may stand still on the side of an upstream.
    pub body_timeout: Period,
    /// The largest request body.
    pub body_limit: ByteCount,
    /// Connections to one upstream.
    pub connections: Spanned<u32>,
    /// Connections to one upstream that wait for another request.
    pub kept: u32,
    /// How long they do.
    pub keep_time: Period,
    /// After so many failures an upstream is asked last; 0: never.
    pub failures: u32,
    /// For how long; and the time in which they are counted.
    pub out_time: Period,
}

impl Default for Proxy {
    fn default() -> Self {
        let settings = Settings::default();
        Proxy {
            path: unwritten(String::new()),
            to: unwritten(Upstreams(Vec::new())),
            keep_host: settings.keep_host,
            connect_timeout: Period(settings.connect_timeout),
            answer_timeout: Period(settings.answer_timeout),
            body_timeout: Period(settings.body_timeout),
            body_limit: ByteCount(settings.body_limit),
            connections: unwritten(settings.connections),
            kept: settings.kept as u32,
            keep_time: Period(settings.keep_time),
            failures: settings.failures,
            out_time: Period(settings.out_time),
        }
    }
}

/// One upstream, or several.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Upstreams(pub Vec<String>);

impl<'de> Deserialize<'de> for Upstreams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;

        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Upstreams;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"http://192.0.2.9:8080/\", or several such in brackets")
            }

            fn visit_str<E>(self, one: &str) -> Result<Upstreams, E> {
                Ok(Upstreams(vec![one.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut several: A) -> Result<Upstreams, A::Error> {
                let mut upstreams = Vec::new();
                while let Some(upstream) = several.next_element()? {
                    upstreams.push(upstream);
                }
                Ok(Upstreams(upstreams))
            }
        }

        deserializer.deserialize_any(OneOrSeveral)
    }
}

impl Proxy {
    /// As the web server wants it.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            path: self.path.as_ref().clone(),
            to: self.to.as_ref().0.iter().filter_map(|to| to.parse().ok()).collect(),
            keep_host: self.keep_host,
            connect_timeout: self.connect_timeout.0,
            answer_timeout: self.answer_timeout.0,
            body_timeout: self.body_timeout.0,
            body_limit: self.body_limit.0,
            connections: *self.connections.as_ref(),
            kept: self.kept as usize,
            keep_time: self.keep_time.0,
            failures: self.failures,
            out_time: self.out_time.0,
        }
    }
}

pub(super) fn check(proxies: &[Proxy]) -> Result<(), Flaw> {
    for (index, proxy) in proxies.iter().enumerate() {
        let (path, to) = (proxy.path.as_ref(), proxy.to.as_ref());
        if path.is_empty() {
            return Err(Flaw::at(&proxy.to, "a [[http.proxy]] has no path: write path = \"/\""));
        }
        check_path(&proxy.path)?;
        if path.split('/').any(|name| matches!(name, "." | "..")) || path.contains(['?', '#', '*', ' ']) {
            return Err(Flaw::at(&proxy.path, format!("nobody asks for the path `{path}`")));
        }
        if to.0.is_empty() {
            return Err(Flaw::at(&proxy.path, "nobody answers here: write to = \"http://192.0.2.9:8080\""));
        }
        for to in &to.0 {
            to.parse::<To>().map_err(|reason| Flaw::at(&proxy.to, format!("`{to}` is no upstream: {reason}")))?;
        }
        if *proxy.connections.as_ref() == 0 {
            return Err(Flaw::at(&proxy.connections, "without connections nobody is asked: 1 at least"));
        }
        let is_same = |other: &Proxy| other.path.as_ref().trim_matches('/') == path.trim_matches('/');
        if proxies.iter().take(index).any(is_same) {
            return Err(Flaw::at(
                &proxy.path,
                format!("the path `{path}` is given to two proxies: write several in `to`"),
            ));
        }
    }
    Ok(())
}
