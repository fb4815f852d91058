//! The access log: one line for each answer in the Common Log Format, at level `debug` of the target
//! `tapstack::http`, when the answer was sent or given up.

use super::Site;
use super::answer::http_date;
use crate::base::time::Duration;
use http::request::Parts;
use http::{StatusCode, Version};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// The most that is written of a request's target.
const TARGET_LENGTH: usize = 256;

/// What is known of a request and its answer. Dropping it writes the line.
pub(super) struct Entry {
    site: Rc<Site>,
    peer: IpAddr,
    request_line: String,
    pub(super) status: StatusCode,
    pub(super) octets: u64,
}

impl Entry {
    /// Notes a request, if anyone reads the log.
    pub(super) fn new(peer: SocketAddr, head: &Parts, site: &Rc<Site>) -> Option<Entry> {
        let line = || request_line(head.method.as_str(), &head.uri.to_string(), head.version);
        Entry::noted(peer, site, line)
    }

    /// Notes a request that could not be read.
    pub(super) fn unread(peer: SocketAddr, site: &Rc<Site>) -> Option<Entry> {
        Entry::noted(peer, site, || "-".into())
    }

    fn noted(peer: SocketAddr, site: &Rc<Site>, line: impl FnOnce() -> String) -> Option<Entry> {
        log::log_enabled!(target: "tapstack::http", log::Level::Debug).then(|| Entry {
            site: Rc::clone(site),
            peer: peer.ip(),
            request_line: line(),
            status: StatusCode::INTERNAL_SERVER_ERROR,
            octets: 0,
        })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let now = self.site.clock.unix_time();
        log::debug!(target: "tapstack::http", "{}", line(self.peer, now, &self.request_line, self.status, self.octets));
    }
}

fn line(peer: IpAddr, now: Duration, request_line: &str, status: StatusCode, octets: u64) -> String {
    format!("{peer} - - [{}] \"{request_line}\" {} {octets}", log_date(now), status.as_u16())
}

/// The first line of the request, bounded, with nothing in it that could end the quotes or the line.
fn request_line(method: &str, target: &str, version: Version) -> String {
    let mut line = String::new();
    for char in method.chars().take(16) {
        line.push(char);
    }
    line.push(' ');
    for char in target.chars().take(TARGET_LENGTH) {
        match char {
            '"' | '\\' => line.extend(['\\', char]),
            ' '..='~' => line.push(char),
            other => line.extend(other.escape_default()),
        }
    }
    if target.chars().nth(TARGET_LENGTH).is_some() {
        line.push_str("...");
    }
    line + &format!(" {version:?}")
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
    fn a_line_is_in_the_common_log_format() {
        let peer = IpAddr::V4([192, 0, 2, 7].into());
        let request_line = request_line("GET", "/a?b", Version::HTTP_11);
        assert_eq!(
            line(peer, Duration::from_secs(1_795_348_800), &request_line, StatusCode::OK, 12),
            "192.0.2.7 - - [22/Nov/2026:12:00:00 +0000] \"GET /a?b HTTP/1.1\" 200 12"
        );
    }

    #[test]
    fn a_target_is_bounded_and_can_not_end_its_quotes() {
        assert_eq!(request_line("GET", "/\"x\\", Version::HTTP_10), "GET /\\\"x\\\\ HTTP/1.0");
        assert_eq!(request_line("GET", "/é\n", Version::HTTP_11), "GET /\\u{e9}\\n HTTP/1.1");
        let long = request_line("GET", &"x".repeat(10_000), Version::HTTP_11);
        assert!(long.len() < 300 && long.ends_with("x... HTTP/1.1"));
    }
}
