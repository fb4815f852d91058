//! What hyper lets through and RFC 9110 and 9112 do not; and the way of a request to who answers it.
//!
//! - exactly one Host, and one that is a host (RFC 9112 §3.2)
//! - the asterisk as target only of OPTIONS (RFC 9112 §3.2.4), no authority form but of CONNECT (§3.2.3)
//! - methods: CONNECT and TRACE are known and allowed nowhere, unknown ones are 501 (RFC 9110 §9.1)
//! - expectations other than 100-continue are 417 (RFC 9110 §10.1.1)
//! - octets in a path that mean something else to a file system or a log are 400
//! - a body that is too large is 413; one that is not framed as it says is 400 even if nobody wants it
//!
//! A request with both Content-Length and Transfer-Encoding never shows the former here: hyper reads it by
//! the latter and closes the connection after the answer, as RFC 9112 §6.1 allows.

use super::answer::{self, Body, closing};
use super::progress::Progress;
use super::{Site, files, sink, state_page};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{EXPECT, HOST};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};

/// What is asked for, taken apart and decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// The server itself: `*`.
    Server,
    /// A path: its parts without percent-encoding, and whether it ends with a slash. No part is empty.
    Path { parts: Vec<Vec<u8>>, is_folder: bool },
}

/// Answers a request.
pub(super) async fn answer(site: &Site, progress: &Progress, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut upload = Upload { body, progress };
    let target = match check(site, &head) {
        Ok(target) => target,
        // What is wrong about the head can be about its framing: nothing after it is trusted.
        Err(status) if status == StatusCode::METHOD_NOT_ALLOWED => {
            return closing(answer::method_not_allowed(files::ALLOWED));
        }
        Err(status) => return closing(answer::status(status)),
    };
    match target {
        Target::Path { parts, .. } if site.config.state_page && sink::is_at(&parts) => {
            sink::answer(&head.method, &mut upload)
                .await
                .unwrap_or_else(|_| closing(answer::status(StatusCode::BAD_REQUEST)))
        }
        target => {
            if upload.body.size_hint().lower() > site.config.body_limit {
                return closing(answer::status(StatusCode::PAYLOAD_TOO_LARGE));
            }
            let response = route(site, &head, &target);
            if head.headers.contains_key(EXPECT) && !upload.body.is_end_stream() {
                // The client waits with the body until it hears from us, and this answer is final.
                return closing(response);
            }
            match upload.discard(site.config.body_limit).await {
                Ok(true) => response,
                Ok(false) => closing(answer::status(StatusCode::PAYLOAD_TOO_LARGE)),
                Err(_) => closing(answer::status(StatusCode::BAD_REQUEST)),
            }
        }
    }
}

/// Answers what needs no body.
fn route(site: &Site, head: &Parts, target: &Target) -> Response<Body> {
    let Target::Path { parts, is_folder } = target else {
        return answer::options(files::ALLOWED);
    };
    if site.config.state_page
        && let Some((b"-", rest)) = parts.split_first().map(|(first, rest)| (first.as_slice(), rest))
    {
        return state_page::answer(site, &head.method, rest, *is_folder);
    }
    let response = match &site.root {
        Some(root) => files::answer(root, site.clock.unix_time(), head, parts, *is_folder),
        None => None,
    };
    match response {
        Some(response) => response,
        None if parts.is_empty() && site.config.state_page => state_page::answer(site, &head.method, &[], true),
        None => answer::status(StatusCode::NOT_FOUND),
    }
}

/// Checks the head of a request.
fn check(site: &Site, head: &Parts) -> Result<Target, StatusCode> {
    check_method(&head.method)?;
    let target_length = head.uri.path_and_query().map_or(0, |target| target.as_str().len())
        + head.uri.authority().map_or(0, |authority| authority.as_str().len());
    if target_length > site.config.target_limit {
        return Err(StatusCode::URI_TOO_LONG);
    }
    check_host(head)?;
    let expectations = head.headers.get_all(EXPECT).iter();
    if head.version >= Version::HTTP_11
        && !expectations.into_iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(StatusCode::EXPECTATION_FAILED);
    }
    match (head.uri.path(), head.uri.scheme(), head.uri.authority()) {
        ("*", None, None) if head.method == Method::OPTIONS => Ok(Target::Server),
        (path, None, None) if path.starts_with('/') => parse_path(path),
        // The absolute form (RFC 9112 §3.2.2), in which the path may be left out.
        ("", Some(_), Some(_)) if head.method == Method::OPTIONS => Ok(Target::Server),
        ("", Some(_), Some(_)) => parse_path("/"),
        (path, Some(_), Some(_)) if path.starts_with('/') => parse_path(path),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

fn check_method(method: &Method) -> Result<(), StatusCode> {
    match *method {
        Method::CONNECT | Method::TRACE => Err(StatusCode::METHOD_NOT_ALLOWED),
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE | Method::PATCH | Method::OPTIONS => {
            Ok(())
        }
        _ => Err(StatusCode::NOT_IMPLEMENTED),
    }
}

/// RFC 9112 §3.2: one Host in HTTP/1.1, at most one before, and always one that is a host.
fn check_host(head: &Parts) -> Result<(), StatusCode> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if head.version < Version::HTTP_11 => Ok(()),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), the host not empty and without the comma that joins two
/// headers into one.
fn is_host(value: &[u8]) -> bool {
    let Ok(value) = std::str::from_utf8(value) else {
        return false;
    };
    let (host, rest) = match value.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, rest))) => {
            return address.parse::<std::net::Ipv6Addr>().is_ok() && is_port(rest);
        }
        Some(None) => return false,
        None => value.split_at(value.find(':').unwrap_or(value.len())),
    };
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&octet);
    !host.is_empty() && host.bytes().all(allowed) && is_port(rest)
}

/// Nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Takes a path apart at its slashes, then decodes: an encoded slash is part of a name, not a separator.
fn parse_path(path: &str) -> Result<Target, StatusCode> {
    let parts = path.split('/').filter(|part| !part.is_empty()).map(decode).collect::<Option<_>>();
    let parts = parts.ok_or(StatusCode::BAD_REQUEST)?;
    Ok(Target::Path { parts, is_folder: path.ends_with('/') })
}

/// The octets of a percent-encoded part; `None` if it is not well encoded, or has control characters or
/// a backslash.
fn decode(part: &str) -> Option<Vec<u8>> {
    let mut rest = part.bytes();
    while let Some(octet) = rest.next() {
        if octet == b'%' && !(rest.next()?.is_ascii_hexdigit() && rest.next()?.is_ascii_hexdigit()) {
            return None;
        }
    }
    let octets: Vec<u8> = percent_encoding::percent_decode_str(part).collect();
    let is_bad = |octet: &u8| octet.is_ascii_control() || *octet == b'\\';
    (!octets.iter().any(is_bad)).then_some(octets)
}

/// The body of a request.
pub(super) struct Upload<'a> {
    body: Incoming,
    progress: &'a Progress,
}

impl Upload<'_> {
    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            match self.body.frame().await? {
                Ok(frame) => {
                    // Trailers are nothing anyone asked for.
                    let Ok(octets) = frame.into_data() else { continue };
                    self.progress.on_body(octets.len());
                    return Some(Ok(octets));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Reads and forgets the rest, if it is not longer than `limit`; false if it is.
    async fn discard(&mut self, limit: u64) -> Result<bool, hyper::Error> {
        let mut octets = 0;
        while let Some(piece) = self.next().await {
            octets += piece?.len() as u64;
            if octets > limit {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in ["a", "example.org", "192.0.2.2:80", "[2001:db8::1]", "[::1]:8080", "a:", "a_b", "x%20y"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":80", "a b", "a/b", "u@a", "a,b", "a, b", "a:b", "a:80:80", "[::1", "[a]", "[::1]80", "a\\b", "é",
            "a?b", "a#b",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    fn parts(path: &str) -> Option<Vec<String>> {
        match parse_path(path) {
            Ok(Target::Path { parts, .. }) => {
                Some(parts.into_iter().map(|part| String::from_utf8(part).unwrap()).collect())
            }
            _ => None,
        }
    }

    #[test]
    fn a_path_is_cut_before_it_is_decoded() {
        assert_eq!(parts("/").unwrap(), [""; 0]);
        assert_eq!(parts("/a/b%20c").unwrap(), ["a", "b c"]);
        assert_eq!(parts("//a///b/").unwrap(), ["a", "b"]);
        assert_eq!(parts("/a%2fb").unwrap(), ["a/b"]);
        assert_eq!(parts("/%2e%2E/x").unwrap(), ["..", "x"]);
        for bad in ["/%", "/%4", "/%zz", "/%00", "/a%0d%0ab", "/%7f", "/a\\b", "/%5c"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_a_panic(path in "[/%a-f0-9.é]{0,20}", host: Vec<u8>) {
            let _ = (parse_path(&path), is_host(&host));
        }
    }
}
