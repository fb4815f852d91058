//! The access log: one line for each answer, when it was sent or given up.
//!
//! | format | a line |
//! |---|---|
//! | combined | Apache's: `192.0.2.1 - alice [22/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 12 "referrer" "agent"` |
//! | JSON | an object with all of that, the time it took, which upstream answered, and what TCP and TLS know of the connection ([`super::facts`]) |
//!
//! Beside the file of the configuration there is the log of the program: the Common Log Format at level `debug` of the
//! target `tapstack::http`. What a client says is bounded and can't end its quotes or its line.

use super::Site;
use super::answer::http_date;
use super::facts::{Facts, TcpFacts, TlsFacts};
use super::proxy::AnsweredBy;
use crate::base::time::{Duration, Instant};
use http::header::{HOST, HeaderName, REFERER, USER_AGENT};
use http::request::Parts;
use http::{StatusCode, Version};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// The most that is written of anything that the client says.
const LENGTH: usize = 256;

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// Apache's Combined Log Format.
    #[default]
    Combined,
    /// One JSON object on a line.
    Json,
}

/// Where lines go, and how.
pub struct AccessLog {
    /// The format.
    pub format: LogFormat,
    /// Takes a line with its end.
    pub write: Box<dyn Fn(&str)>,
}

/// What is known of a request and its answer. Dropping it writes the line.
pub(super) struct Entry {
    site: Rc<Site>,
    peer: IpAddr,
    began: Instant,
    method: String,
    target: String,
    version: Version,
    host: Option<String>,
    referer: Option<String>,
    agent: Option<String>,
    tcp: Option<TcpFacts>,
    tls: Option<TlsFacts>,
    pub(super) account: Option<String>,
    /// Who answered it in our place.
    pub(super) upstream: Option<AnsweredBy>,
    pub(super) status: StatusCode,
    pub(super) octets: u64,
}

impl Entry {
    /// Notes a request, if anyone reads the log.
    pub(super) fn new(peer: SocketAddr, head: &Parts, site: &Rc<Site>) -> Option<Box<Entry>> {
        let mut entry = Entry::unread(peer, site)?;
        let field =
            |name: HeaderName| head.headers.get(name).map(|value| bounded(&String::from_utf8_lossy(value.as_bytes())));
        entry.method = bounded(head.method.as_str());
        entry.version = head.version;
        // HTTP/2 says host and path apart, as HTTP/1.1 does for a server.
        let authority = head.uri.authority().filter(|_| head.version == Version::HTTP_2);
        entry.target = match (authority, head.uri.path_and_query()) {
            (Some(_), Some(path)) => bounded(path.as_str()),
            _ => bounded(&head.uri.to_string()),
        };
        if site.access_log.is_some() {
            let host = || authority.map(|authority| bounded(authority.as_str()));
            (entry.host, entry.referer, entry.agent) =
                (host().or_else(|| field(HOST)), field(REFERER), field(USER_AGENT));
        }
        Some(entry)
    }

    /// Notes a request that could not be read.
    pub(super) fn unread(peer: SocketAddr, site: &Rc<Site>) -> Option<Box<Entry>> {
        (site.access_log.is_some() || is_logged()).then(|| {
            Box::new(Entry {
                site: Rc::clone(site),
                peer: peer.ip(),
                began: site.clock.now(),
                method: String::new(),
                target: String::new(),
                version: Version::HTTP_11,
                host: None,
                referer: None,
                agent: None,
                tcp: None,
                tls: None,
                account: None,
                upstream: None,
                status: StatusCode::INTERNAL_SERVER_ERROR,
                octets: 0,
            })
        })
    }

    /// Takes down what the connection tells of itself, if the log has room for it.
    pub(super) fn tell(&mut self, connection: &impl Facts) {
        if self.site.access_log.as_ref().is_some_and(|log| log.format == LogFormat::Json) {
            (self.tcp, self.tls) = (connection.tcp(), connection.tls());
        }
    }

    fn request_line(&self) -> String {
        match self.method.as_str() {
            "" => "-".to_owned(),
            method => format!("{method} {} {:?}", self.target, self.version),
        }
    }

    fn common(&self, now: Duration) -> String {
        let account = self.account.as_deref().map_or_else(|| "-".to_owned(), quoted);
        let (date, line, status) = (log_date(now), quoted(&self.request_line()), self.status.as_u16());
        format!("{} - {account} [{date}] \"{line}\" {status} {}", self.peer, self.octets)
    }

    fn combined(&self, now: Duration) -> String {
        let said = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), quoted);
        format!("{} \"{}\" \"{}\"", self.common(now), said(&self.referer), said(&self.agent))
    }

    fn json(&self, now: Duration) -> String {
        let duration = self.site.clock.now().since(self.began);
        let is_read = !self.method.is_empty();
        let line = Line {
            time: now.as_secs_f64(),
            client: self.peer,
            user: self.account.as_deref(),
            host: self.host.as_deref(),
            method: is_read.then_some(&self.method),
            target: is_read.then_some(&self.target),
            protocol: is_read.then(|| format!("{:?}", self.version)),
            status: self.status.as_u16(),
            bytes: self.octets,
            duration_us: duration.as_micros() as u64,
            referer: self.referer.as_deref(),
            user_agent: self.agent.as_deref(),
            upstream: self.upstream.map(|by| by.address),
            upstream_us: self.upstream.map(|by| by.time.as_micros() as u64),
            tcp: self.tcp,
            tls: self.tls.as_ref(),
        };
        // It has no keys that JSON could not say.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// A line in JSON.
#[derive(Serialize)]
struct Line<'a> {
    time: f64,
    client: IpAddr,
    user: Option<&'a str>,
    host: Option<&'a str>,
    method: Option<&'a String>,
    target: Option<&'a String>,
    protocol: Option<String>,
    status: u16,
    bytes: u64,
    duration_us: u64,
    referer: Option<&'a str>,
    user_agent: Option<&'a str>,
    upstream: Option<SocketAddr>,
    upstream_us: Option<u64>,
    tcp: Option<TcpFacts>,
    tls: Option<&'a TlsFacts>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let now = self.site.clock.unix_time();
        if let Some(log) = &self.site.access_log {
            let line = match log.format {
                LogFormat::Combined => self.combined(now),
                LogFormat::Json => self.json(now),
            };
            (log.write)(&(line + "\n"));
        }
        if is_logged() {
            log::debug!(target: "tapstack::http", "{}", self.common(now));
        }
    }
}

fn is_logged() -> bool {
    log::log_enabled!(target: "tapstack::http", log::Level::Debug)
}

fn bounded(text: &str) -> String {
    let mut bounded: String = text.chars().take(LENGTH).collect();
    if bounded.len() < text.len() {
        bounded.push_str("...");
    }
    bounded
}

/// A text with nothing in it that could end its quotes or its line.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            ' '..='~' => quoted.push(char),
            other => quoted.extend(other.escape_default()),
        }
    }
    quoted
}

/// `22/Nov/2026:12:00:00 +0000`, from the HTTP-date `Sun, 22 Nov 2026 12:00:00 GMT`.
fn log_date(now: Duration) -> String {
    let date = http_date(now).unwrap_or_default();
    let mut parts = date.split(' ').skip(1);
    let mut part = || parts.next().unwrap_or("-");
    format!("{}/{}/{}:{} +0000", part(), part(), part(), part())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_bounded_and_can_not_end_its_quotes() {
        assert_eq!(quoted("/\"x\\ é\n"), "/\\\"x\\\\ \\u{e9}\\n");
        let long = bounded(&"é".repeat(10_000));
        assert!(long.chars().count() == LENGTH + 3 && long.ends_with("..."));
        assert_eq!(bounded("short"), "short");
    }

    #[test]
    fn dates_are_those_of_the_common_log_format() {
        assert_eq!(log_date(Duration::from_secs(1_795_348_800)), "22/Nov/2026:12:00:00 +0000");
    }
}
