//! The fields of a message that is passed on: what is for the next hop alone stays (RFC 9110 §7.6.1), what tells who passed it
//! comes along (Via, RFC 9110 §7.6.3; Forwarded, RFC 7239 §4, and its forerunners).
//!
//! What a client says about where it comes from is not believed: it is replaced, in every spelling.

use super::super::guard::Asker;
use super::super::head::elements;
use super::super::pages::Cookie;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use std::net::IpAddr;

/// Who we are to those before and behind us.
const PSEUDONYM: &str = "tapstack";

/// True for what is about one connection, whoever sends it.
fn is_for_one_hop(name: &HeaderName) -> bool {
    [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name)
        || matches!(
            name.as_str(),
            "keep-alive"
                | "http2-settings"
                | "proxy"
                | "proxy-connection"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "proxy-authentication-info"
        )
}

/// True for what says who asks, in dashes or in underscores, which are the same to many programs.
fn tells_who_asks(name: &str) -> bool {
    let name = name.replace('_', "-");
    name == "forwarded" || name == "x-real-ip" || name.starts_with("x-forwarded-")
}

/// What a message says to all of the way: not what is for one hop by its name, or because Connection names it.
fn to_all_of_the_way(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let named: Vec<HeaderName> =
        elements(headers, CONNECTION).filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
    headers.iter().filter(move |(name, _)| !is_for_one_hop(name) && !named.contains(name))
}

/// What is passed on of a request.
pub(super) struct Passed<'a> {
    /// The request.
    pub(super) head: &'a Parts,
    /// Who asks.
    pub(super) asker: Asker,
    /// Who has shown to be somebody, to us.
    pub(super) account: Option<&'a str>,
    /// What is asked for there.
    pub(super) target: &'a str,
    /// Whom it is asked of.
    pub(super) host: &'a str,
    /// The host that the client asked.
    pub(super) asked: Option<&'a str>,
    /// The octets of its body, `Some(0)` if nobody knows before they have come.
    pub(super) least: Option<u64>,
}

impl Passed<'_> {
    /// The head as it goes to an upstream.
    pub(super) fn write(&self) -> Bytes {
        // What we say ourselves, and a login that was for us.
        let is_replaced = |name: &HeaderName| {
            [HOST, CONTENT_LENGTH, EXPECT, VIA].contains(name)
                || name.as_str().starts_with("proxy-")
                || tells_who_asks(name.as_str())
                || (*name == AUTHORIZATION && self.account.is_some())
        };
        let fields = || to_all_of_the_way(&self.head.headers).filter(|(name, _)| !is_replaced(name));
        let mut out = BytesMut::with_capacity(1_024);
        out.put_slice(self.head.method.as_str().as_bytes());
        out.put_u8(b' ');
        out.put_slice(self.target.as_bytes());
        out.put_slice(b" HTTP/1.1\r\n");
        field(&mut out, "host", self.host.as_bytes());
        for (name, value) in fields().filter(|(name, _)| **name != COOKIE) {
            field(&mut out, name.as_str(), value.as_bytes());
        }
        let cookies = fields().filter(|(name, _)| **name == COOKIE).map(|(_, value)| value.as_bytes());
        let cookie = for_upstream(cookies);
        if !cookie.is_empty() {
            field(&mut out, "cookie", &cookie);
        }
        field(&mut out, "via", &via(&self.head.headers, self.head.version));
        self.write_who(&mut out);
        match self.least {
            Some(0) => field(&mut out, "transfer-encoding", b"chunked"),
            Some(length) => field(&mut out, "content-length", itoa::Buffer::new().format(length).as_bytes()),
            None if [Method::POST, Method::PUT, Method::PATCH].contains(&self.head.method) => {
                field(&mut out, "content-length", b"0");
            }
            None => {}
        }
        out.put_slice(b"\r\n");
        out.freeze()
    }

    fn write_who(&self, out: &mut BytesMut) {
        let protocol = if self.asker.is_encrypted { "https" } else { "http" };
        let node = match self.asker.peer {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("\"[{v6}]\""),
        };
        let mut forwarded = format!("for={node};proto={protocol}");
        // A host has nothing in it that could end its quotes.
        if let Some(host) = self.asked {
            forwarded.push_str(&format!(";host=\"{host}\""));
            field(out, "x-forwarded-host", host.as_bytes());
        }
        field(out, "forwarded", forwarded.as_bytes());
        field(out, "x-forwarded-for", self.asker.peer.to_string().as_bytes());
        field(out, "x-forwarded-proto", protocol.as_bytes());
        if let Some(account) = self.account {
            field(out, "x-forwarded-user", account.as_bytes());
        }
    }
}

fn field(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Cookies without our own, which are the key to our pages. Crumbs of them are one field before HTTP/2 (RFC 9113 §8.2.3).
fn for_upstream<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let name = |pair: &[u8]| pair.split(|octet| *octet == b'=').next().unwrap_or_default().trim_ascii().to_vec();
    let pairs = fields.flat_map(|field| field.split(|octet| *octet == b';')).map(<[u8]>::trim_ascii);
    let theirs: Vec<&[u8]> = pairs.filter(|pair| !pair.is_empty() && !Cookie::is_ours(&name(pair))).collect();
    theirs.join(&b"; "[..])
}

/// All who passed a message on, and we behind them.
fn via(headers: &HeaderMap, version: Version) -> Vec<u8> {
    // A major version without minor ones counts as its `.0` (RFC 9110 §2.5).
    let version = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    };
    let mut hops: Vec<&[u8]> = headers.get_all(VIA).iter().map(HeaderValue::as_bytes).collect();
    let own = format!("{version} {PSEUDONYM}");
    hops.push(own.as_bytes());
    hops.join(&b", "[..])
}

/// The fields of an answer as they go to a client; its length is told by its body.
pub(super) fn pass_back(headers: &mut HeaderMap, version: Version) {
    let via = HeaderValue::from_bytes(&via(headers, version));
    let mut passed = HeaderMap::with_capacity(headers.len());
    for (name, value) in to_all_of_the_way(headers).filter(|(name, _)| ![CONTENT_LENGTH, VIA].contains(name)) {
        passed.append(name, value.clone());
    }
    passed.extend(via.ok().map(|via| (VIA, via)));
    *headers = passed;
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn written(fields: &[(&str, &str)], make: impl FnOnce(&mut Passed<'_>)) -> String {
        let mut request = Request::builder().method("GET").uri("/app/x");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let asker = Asker { peer: [192, 0, 2, 7].into(), is_encrypted: false };
        let mut passed = Passed {
            head: &head,
            asker,
            account: None,
            target: "/x",
            host: "up.example",
            asked: Some("site.example:81"),
            least: None,
        };
        make(&mut passed);
        String::from_utf8(passed.write().to_vec()).unwrap()
    }

    const WHO: &str = "via: 1.1 tapstack\r\nx-forwarded-host: site.example:81\r\n\
        forwarded: for=192.0.2.7;proto=http;host=\"site.example:81\"\r\nx-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: http\r\n";

    #[test]
    fn what_is_for_one_hop_stays_and_what_tells_who_asks_is_ours() {
        let head = written(
            &[
                ("Host", "site.example:81"),
                ("Accept", "a/b"),
                ("Connection", "close, X-Hop , Cookie2"),
                ("X-Hop", "1"),
                ("Cookie2", "1"),
                ("Keep-Alive", "timeout=5"),
                ("TE", "trailers"),
                ("Trailer", "x"),
                ("Transfer-Encoding", "chunked"),
                ("Upgrade", "websocket"),
                ("Proxy-Connection", "keep-alive"),
                ("Proxy-Authorization", "Basic x"),
                ("Proxy", "http://203.0.113.1"),
                ("Expect", "100-continue"),
                ("Content-Length", "7"),
                ("Forwarded", "for=203.0.113.1"),
                ("X-Forwarded-For", "203.0.113.1"),
                ("X-Forwarded-User", "root"),
                ("X-Forwarded-Anything", "x"),
                ("X_Forwarded_For", "203.0.113.1"),
                ("X_Real-IP", "203.0.113.1"),
                ("X-Real-IP", "203.0.113.1"),
                ("Authorization", "Bearer x"),
            ],
            |_| {},
        );
        let expected =
            format!("GET /x HTTP/1.1\r\nhost: up.example\r\naccept: a/b\r\nauthorization: Bearer x\r\n{WHO}\r\n");
        assert_eq!(head, expected);
    }

    #[test]
    fn connection_can_not_name_what_we_say_ourselves() {
        let named = "host, via, forwarded, x-forwarded-for, content-length, transfer-encoding";
        let head = written(&[("Connection", named), ("Via", "1.0 other")], |passed| passed.least = Some(3));
        let hops = WHO.replace("via: 1.1", "via: 1.0 other, 1.1");
        assert_eq!(head, format!("GET /x HTTP/1.1\r\nhost: up.example\r\n{hops}content-length: 3\r\n\r\n"));
    }

    #[test]
    fn a_login_that_was_for_us_goes_on_as_a_name() {
        let head = written(&[("Authorization", "Basic secret")], |passed| {
            passed.account = Some("alice");
            passed.asker = Asker { peer: "2001:db8::1".parse().unwrap(), is_encrypted: true };
        });
        assert!(!head.contains("secret"), "{head}");
        assert!(head.contains("x-forwarded-user: alice\r\n"), "{head}");
        assert!(head.contains("forwarded: for=\"[2001:db8::1]\";proto=https;host=\"site.example:81\"\r\n"), "{head}");
    }

    #[test]
    fn a_body_is_framed_by_us_whatever_was_said() {
        for (least, expected) in [(Some(0), "transfer-encoding: chunked"), (Some(12), "content-length: 12")] {
            let head = written(&[("Content-Length", "99")], |passed| passed.least = least);
            assert!(head.ends_with(&format!("{expected}\r\n\r\n")), "{head}");
            assert_eq!(head.matches("content-length").count() + head.matches("transfer-encoding").count(), 1, "{head}");
        }
    }

    #[test]
    fn the_crumbs_of_a_cookie_are_one_field_and_our_own_stay_here() {
        let head = written(&[("Cookie", "a=b"), ("Cookie", "c=d")], |_| {});
        assert!(head.contains("\r\ncookie: a=b; c=d\r\n"), "{head}");
        let head = written(&[("Cookie", "a=b;__Host-tapstack=secret ; c=\"d\"; __Host-tapstack-form=secret;")], |_| {});
        assert!(head.contains("\r\ncookie: a=b; c=\"d\"\r\n"), "{head}");
        assert!(!written(&[("Cookie", "__Host-tapstack=secret")], |_| {}).contains("cookie"));
    }

    #[test]
    fn an_answer_is_told_of_by_what_is_for_all_of_the_way() {
        let mut headers: HeaderMap = [
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x"),
            ("upgrade", "h2c"),
            ("proxy-authenticate", "Basic"),
            ("content-length", "5"),
            ("via", "1.1 other"),
            ("etag", "\"x\""),
            ("set-cookie", "a=b"),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
        pass_back(&mut headers, Version::HTTP_10);
        let mut left: Vec<_> = headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        left.sort();
        assert_eq!(left, ["etag: \"x\"", "set-cookie: a=b", "via: 1.1 other, 1.0 tapstack"]);
    }
}
