//! Virtual hosts: what is served under which name, and what every answer of one has (RFC 9110 §7.2).
//!
//! ```text
//!   Host, or the authority of the target ──► its own host, or that of *.domain, or the default one
//!     redirects ─► pages of people ─► CORS preflight ─► realms ─► stores ─► /-/ ─► proxies ─► files, a list, the fall-back ─► error page, headers
//! ```

use super::answer;
use super::body::Body;
use super::cors::Cors;
use super::files::{self, Root, Store};
use super::guard::Names;
use super::proxy::{AnsweredBy, Proxy};
use super::realms::Realm;
use super::redirects::Redirect;
use super::{Site, state_page};
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What one name is answered with.
#[derive(Default)]
pub struct Host {
    /// Its files.
    pub root: Option<Root>,
    /// The file that is sent where there is none, for pages that route by themselves.
    pub fallback: Option<String>,
    /// Files that are sent with a status instead of a line of text.
    pub error_pages: Vec<(StatusCode, String)>,
    /// What is elsewhere.
    pub redirects: Vec<Redirect>,
    /// Fields that every answer has unless it says something else.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Fields that every answer has over a connection that is encrypted.
    pub secure_headers: Vec<(HeaderName, HeaderValue)>,
    /// Who else's pages may read it.
    pub cors: Option<Cors>,
    /// What takes a login.
    pub realms: Vec<Realm>,
    /// Where files can be put.
    pub stores: Vec<Store>,
    /// What others answer.
    pub proxies: Vec<Rc<Proxy>>,
}

/// All hosts by their names.
#[derive(Default)]
pub struct Hosts {
    /// What every other name is answered with, and who says none.
    pub default: Host,
    /// Hosts by name, in lower case and without a port; `*.example.org` is every name below `example.org`.
    pub named: BTreeMap<String, Host>,
}

impl Hosts {
    /// The host that a request is for.
    pub(super) fn of(&self, head: &Parts) -> &Host {
        if self.named.is_empty() {
            return &self.default;
        }
        let Some(name) = name(head) else { return &self.default };
        let name = name.to_ascii_lowercase();
        if let Some(host) = self.named.get(&name) {
            return host;
        }
        let mut rest = name.as_str();
        while let Some((_, domain)) = rest.split_once('.') {
            if let Some(host) = self.named.get(&format!("*.{domain}")) {
                return host;
            }
            rest = domain;
        }
        &self.default
    }
}

/// The name that a request is for, without port and the dot at the end. The target outranks the field (RFC 9112 §3.2.2).
pub(super) fn name(head: &Parts) -> Option<&str> {
    let name = match head.uri.authority() {
        Some(authority) => authority.host(),
        None => {
            let host = head.headers.get(HOST)?.to_str().ok()?;
            match host.strip_prefix('[').and_then(|rest| rest.find(']')) {
                Some(end) => host.get(..end + 2)?,
                None => host.split(':').next()?,
            }
        }
    };
    Some(name.strip_suffix('.').unwrap_or(name))
}

/// A path and all below it, by its names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathPrefix(Vec<Vec<u8>>);

impl PathPrefix {
    /// The path that is written so; percent-encoding is undone.
    pub fn new(path: &str) -> Self {
        let names = path.split('/').filter(|name| !name.is_empty());
        PathPrefix(names.map(|name| percent_decode_str(name).collect()).collect())
    }

    /// True for the path and what is below it.
    pub(super) fn covers(&self, names: &Names<'_>) -> bool {
        self.0.len() <= names.len() && self.0.iter().zip(names).all(|(own, name)| own.as_slice() == name.as_ref())
    }

    /// How many names it has.
    pub(super) fn depth(&self) -> usize {
        self.0.len()
    }
}

impl Host {
    /// Answers what needs neither a login nor a body.
    pub(super) fn answer(&self, site: &Site, head: &Parts, names: &Names<'_>, is_folder: bool) -> Response<Body> {
        if site.config.state_page
            && let Some((b"-", rest)) = names.split_first().map(|(first, rest)| (first.as_ref(), rest))
        {
            return state_page::answer(site, &head.method, rest, is_folder);
        }
        if let Some(response) = self.root.as_ref().and_then(|root| files::answer(site, root, head, names, is_folder)) {
            return response;
        }
        if names.is_empty() && site.config.state_page && site.config.is_state_restricted {
            return answer::redirect(StatusCode::FOUND, "/-/");
        }
        if names.is_empty() && site.config.state_page {
            return state_page::answer(site, &head.method, &[], true);
        }
        let falls_back = matches!(head.method, Method::GET | Method::HEAD);
        let fallback = self.fallback.as_ref().filter(|_| falls_back);
        fallback
            .and_then(|name| files::named(site, self.root.as_ref()?, head, name))
            .unwrap_or_else(|| answer::status(StatusCode::NOT_FOUND))
    }

    /// Gives an answer what all answers of this host have.
    pub(super) fn finish(
        &self,
        site: &Site,
        head: &Parts,
        is_encrypted: bool,
        mut response: Response<Body>,
    ) -> Response<Body> {
        let is_passed_on = response.extensions().get::<AnsweredBy>().is_some();
        if !self.error_pages.is_empty() && !is_passed_on {
            response = self.with_error_page(site, response);
        }
        response = self.with_fields(is_encrypted, response);
        if let Some(cors) = &self.cors {
            cors.allow(head, response.headers_mut());
        }
        response
    }

    /// Gives an answer the fields that all answers have unless they say something else.
    pub(super) fn with_fields(&self, is_encrypted: bool, mut response: Response<Body>) -> Response<Body> {
        let secure = self.secure_headers.iter().filter(|_| is_encrypted);
        for (name, value) in self.headers.iter().chain(secure) {
            response.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        response
    }

    fn with_error_page(&self, site: &Site, response: Response<Body>) -> Response<Body> {
        let page = self.error_pages.iter().find(|(status, _)| *status == response.status());
        let page = page.and_then(|(_, name)| files::content(site, self.root.as_ref()?, name));
        let Some((media_type, body)) = page else { return response };
        let (mut parts, _) = response.into_parts();
        parts.headers.insert(CONTENT_TYPE, media_type);
        Response::from_parts(parts, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use smallvec::smallvec;

    fn asked(target: &str, host: Option<&str>) -> Parts {
        let mut request = Request::builder().uri(target);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_name_is_that_of_the_target_or_of_the_field_without_its_port() {
        for (target, host, expected) in [
            ("/", Some("a.example"), Some("a.example")),
            ("/", Some("A.example.:8080"), Some("A.example")),
            ("/", Some("[2001:db8::1]:80"), Some("[2001:db8::1]")),
            ("http://b.example:81/", Some("a.example"), Some("b.example")),
            ("/", None, None),
        ] {
            assert_eq!(name(&asked(target, host)), expected, "{target} {host:?}");
        }
    }

    #[test]
    fn the_closest_name_wins_and_the_default_takes_the_rest() {
        let named = ["example.org", "*.example.org", "*.b.example.org"].map(|name| {
            let redirects = vec![Redirect::new("/", &name.replace('*', "below"), StatusCode::FOUND)];
            (name.to_owned(), Host { redirects, ..Host::default() })
        });
        let hosts = Hosts { default: Host::default(), named: named.into() };
        for (host, expected) in [
            ("example.org", Some("example.org")),
            ("EXAMPLE.org.:80", Some("example.org")),
            ("a.example.org", Some("below.example.org")),
            ("c.a.example.org", Some("below.example.org")),
            ("a.b.example.org", Some("below.b.example.org")),
            ("b.example.org", Some("below.example.org")),
            ("example.com", None),
            ("xexample.org", None),
        ] {
            let found = hosts.of(&asked("/", Some(host)));
            let location = found.redirects.first().and_then(|redirect| redirect.location(&asked("/", None)));
            assert_eq!(location.as_deref(), expected, "{host}");
        }
    }

    #[test]
    fn a_prefix_is_one_of_whole_names() {
        let prefix = PathPrefix::new("/a b/c%20d/");
        let names =
            |names: &[&'static str]| -> Names<'static> { names.iter().map(|name| name.as_bytes().into()).collect() };
        assert!(!prefix.covers(&names(&["a b"])) && !prefix.covers(&names(&["a b", "c d2"])));
        assert!(prefix.covers(&names(&["a b", "c d"])) && prefix.covers(&names(&["a b", "c d", "e"])));
        assert!(PathPrefix::new("/").covers(&smallvec![]));
    }
}
