//! What the grammar lets through and RFC 9110, 9112 and 9113 do not; and the way of a request to who answers it.
//!
//! - exactly one Host, and one that is a host (RFC 9112 §3.2)
//! - in HTTP/2 an authority, with which Host agrees (RFC 9113 §8.3.1), and no white space around a value (§8.2.1)
//! - the asterisk as target only of OPTIONS (RFC 9112 §3.2.4), no authority form but of CONNECT (§3.2.3)
//! - methods: CONNECT and TRACE are known and allowed nowhere, unknown ones are 501 (RFC 9110 §9.1)
//! - expectations other than 100-continue are 417 (RFC 9110 §10.1.1)
//! - octets in a path that mean something else to a file system or a log are 400
//! - a body that is too large is 413; one that is not framed as it says is 400 even if nobody wants it

use super::answer::{self, closing};
use super::body::Body;
use super::files::Store;
use super::host::Host;
use super::incoming::Incoming;
use super::pages::{self, Cookie, Pages};
use super::proxy::{self, Proxy};
use super::realms::{Realm, Refused};
use super::wire::Fault;
use super::{Site, files, put, sink};
use http::header::{ALLOW, AUTHORIZATION, EXPECT, HOST, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::uri::Scheme;
use http::{Method, Response, StatusCode, Version};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

/// The parts of a path between its slashes, without percent-encoding. None is empty.
pub(super) type Names<'a> = SmallVec<[Cow<'a, [u8]>; 4]>;

/// What is asked for, taken apart and decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target<'a> {
    /// The server itself: `*`.
    Server,
    /// A path, and whether it ends with a slash.
    Path { parts: Names<'a>, is_folder: bool },
}

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    /// Where it is.
    pub(super) peer: IpAddr,
    /// Nobody on the way can read along.
    pub(super) is_encrypted: bool,
}

/// What becomes of a request.
pub(super) enum Verdict {
    /// This is the answer, whatever is left of the body.
    Answer(Response<Body>),
    /// This is the answer once the body is read and forgotten, if it is not too long.
    AfterBody(Response<Body>),
    /// The body goes to the sink.
    Sink,
    /// Whoever asks says who it is, which takes time to check.
    Prove,
    /// The body becomes a file, or a file goes.
    Put,
    /// A page of somebody who has an account, or a form of such a page.
    Page,
    /// Somebody else answers it.
    Proxy(Rc<Proxy>),
}

/// What is known of who asks.
#[derive(Clone, Copy, Debug)]
enum Who<'a> {
    /// Nothing was looked at.
    Unasked,
    /// It shows nothing that makes it anybody.
    Nobody,
    /// It is logged in.
    Account(&'a str),
}

/// Decides what becomes of a request with a body of at least `least` octets, or without one.
pub(super) fn decide(site: &Site, asker: Asker, head: &Parts, least: Option<u64>) -> Verdict {
    if !site.clients.may_ask(site.config.client_limits, asker.peer, site.clock.now()) {
        return Verdict::Answer(too_fast(least.is_some()));
    }
    decide_for(site, asker, head, least, Who::Unasked)
}

/// The same, for someone of whom so much is known.
fn decide_for(site: &Site, asker: Asker, head: &Parts, least: Option<u64>, who: Who<'_>) -> Verdict {
    let host = site.hosts.of(head);
    let verdict = match check(site, head) {
        Ok(target) => treat(site, (host, asker), head, &target, least, who),
        // What is wrong about the head can be about its framing: nothing after it is trusted.
        Err(status) if status == StatusCode::METHOD_NOT_ALLOWED => {
            Verdict::Answer(closing(answer::method_not_allowed(files::ALLOWED)))
        }
        Err(status) => Verdict::Answer(closing(answer::status(status))),
    };
    match verdict {
        Verdict::Answer(response) => Verdict::Answer(host.finish(site, head, asker.is_encrypted, response)),
        Verdict::AfterBody(response) => Verdict::AfterBody(host.finish(site, head, asker.is_encrypted, response)),
        other => other,
    }
}

/// The order in which what a host has is asked.
fn treat(
    site: &Site,
    (host, asker): (&Host, Asker),
    head: &Parts,
    target: &Target<'_>,
    least: Option<u64>,
    who: Who<'_>,
) -> Verdict {
    let answered = |response| match least {
        None => Verdict::Answer(response),
        // The client waits with the body until it hears from us, and this answer is final.
        Some(_) if head.headers.contains_key(EXPECT) => Verdict::Answer(closing(response)),
        Some(octets) if octets > site.config.body_limit => Verdict::Answer(closing(response)),
        Some(_) => Verdict::AfterBody(response),
    };
    let Target::Path { parts, is_folder } = target else {
        return answered(answer::options(files::ALLOWED));
    };
    let elsewhere = host.redirects.iter().find_map(|redirect| Some((redirect.status, redirect.location(head)?)));
    if let Some((status, location)) = elsewhere {
        return answered(answer::redirect(status, &location));
    }
    if pages_of(site).is_some_and(|pages| pages.are_at(parts)) {
        return Verdict::Page;
    }
    if let Some(response) = host.cors.as_ref().and_then(|cors| cors.preflight(head)) {
        return answered(response);
    }
    let is_own = site.config.state_page && parts.first().is_some_and(|name| name.as_ref() == b"-");
    let proxy = Proxy::of(&host.proxies, parts).filter(|_| !is_own);
    let read_there = if proxy.is_some() { proxy::names_upstream(parts) } else { None };
    let names = match (&read_there, proxy) {
        (Some(names), _) => names,
        (None, Some(_)) => return answered(answer::status(StatusCode::BAD_REQUEST)),
        (None, None) => parts,
    };
    let store = Store::of(&host.stores, parts);
    let put = store.filter(|store| head.method == Method::PUT || (head.method == Method::DELETE && store.can_delete));
    for realm in Realm::of(&host.realms, names).into_iter().chain(put.map(|store| &store.realm)) {
        match (who, &site.login) {
            (Who::Account(account), Some(login)) if realm.admits(account, &login.entrance().verifier().accounts()) => {}
            (Who::Account(_), _) => return answered(answer::status(StatusCode::FORBIDDEN)),
            (Who::Unasked, Some(_)) if shows_something(site, asker, head) => return Verdict::Prove,
            (Who::Unasked | Who::Nobody, _) => return answered(challenge(site, asker, head, realm)),
        }
    }
    if let Some(store) = put {
        return match put::refuse(store, head, least, *is_folder) {
            None if host.root.is_some() => Verdict::Put,
            None => answered(answer::status(StatusCode::NOT_FOUND)),
            Some(StatusCode::PAYLOAD_TOO_LARGE) => Verdict::Answer(too_large()),
            Some(status) => answered(answer::status(status)),
        };
    }
    if site.config.state_page && sink::is_at(parts) {
        return Verdict::Sink;
    }
    if let Some(proxy) = proxy {
        if let Some(location) = proxy.with_slash(head, names, *is_folder) {
            return answered(answer::redirect(StatusCode::PERMANENT_REDIRECT, &location));
        }
        return match least {
            Some(octets) if octets > proxy.body_limit() => Verdict::Answer(too_large()),
            _ => Verdict::Proxy(Rc::clone(proxy)),
        };
    }
    if least.is_some_and(|octets| octets > site.config.body_limit) {
        return Verdict::Answer(too_large());
    }
    let mut response = host.answer(site, head, parts, *is_folder);
    if let Some(store) = store.filter(|_| response.headers().contains_key(ALLOW)) {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(store.allowed()));
    }
    answered(response)
}

/// The pages of people, while there is anybody who could log in.
fn pages_of(site: &Site) -> Option<&Pages> {
    let login = site.login.as_ref()?;
    site.pages.as_ref().filter(|_| !login.entrance().verifier().accounts().is_empty())
}

/// Asks for a login, in the way of the realm.
fn challenge(site: &Site, asker: Asker, head: &Parts, realm: &Realm) -> Response<Body> {
    match pages_of(site) {
        Some(pages) if realm.shows_form(head) => pages.login_for(head, asker.is_encrypted),
        _ => realm.challenge(),
    }
}

/// True if a session counts: it is not told in the clear, and does nothing that another site had it do.
fn may_have_session(site: &Site, asker: Asker, head: &Parts) -> bool {
    let is_look = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
    site.pages.is_some() && asker.is_encrypted && (is_look || pages::is_of_our_own(head))
}

fn shows_something(site: &Site, asker: Asker, head: &Parts) -> bool {
    let has_session = || may_have_session(site, asker, head) && Cookie::Session.of(&head.headers).is_some();
    head.headers.contains_key(AUTHORIZATION) || has_session()
}

/// Who asks, by a session or by a password.
async fn prove(site: &Site, asker: Asker, head: &Parts) -> Result<Option<String>, Refused> {
    if let Some(pages) = site.pages.as_ref().filter(|_| may_have_session(site, asker, head)) {
        match pages.visitor(site, &head.headers).await {
            Ok(Some(visitor)) => return Ok(Some(visitor.account().to_owned())),
            Ok(None) => {}
            Err(_) => return Err(Refused::Busy),
        }
    }
    match &site.login {
        Some(login) if head.headers.contains_key(AUTHORIZATION) => {
            login.prove(asker.peer, &head.headers).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// Does what takes the body or time, and answers; and who it was that asked, as far as that was asked for.
pub(super) async fn answer_with_body(
    verdict: Verdict,
    site: &Site,
    asker: Asker,
    head: &Parts,
    least: Option<u64>,
    upload: &mut impl Incoming,
) -> Result<(Response<Body>, Option<String>), Fault> {
    let host = site.hosts.of(head);
    let finish = |response| host.finish(site, head, asker.is_encrypted, response);
    let mut account = None;
    let mut verdict = verdict;
    if let Verdict::Prove = verdict {
        match prove(site, asker, head).await {
            Ok(name) => {
                let who = name.as_deref().map_or(Who::Nobody, Who::Account);
                verdict = decide_for(site, asker, head, least, who);
                account = name;
            }
            Err(refused) => {
                let response = finish(refused.answer(realm(site, host, head)));
                return Ok((if least.is_some() { closing(response) } else { response }, None));
            }
        }
    }
    let response = match verdict {
        Verdict::Answer(response) => response,
        Verdict::AfterBody(response) if upload.discard(site.config.body_limit).await? => response,
        Verdict::AfterBody(_) => finish(too_large()),
        Verdict::Sink => finish(sink::answer(&head.method, upload).await?),
        Verdict::Put => finish(put(site, host, head, upload).await?),
        Verdict::Proxy(proxy) => finish(proxy.answer(asker, head, account.as_deref(), least, upload).await?),
        Verdict::Prove => finish(answer::status(StatusCode::UNAUTHORIZED)),
        Verdict::Page => {
            let (response, name) = page(site, asker, head, upload).await?;
            account = name;
            host.with_fields(asker.is_encrypted, response)
        }
    };
    Ok((response, account))
}

/// What a client logs in to that has sent a password.
fn realm<'a>(site: &Site, host: &'a Host, head: &Parts) -> Option<&'a Realm> {
    let Ok(Target::Path { parts, .. }) = check(site, head) else { return None };
    let read_there = Proxy::of(&host.proxies, &parts).and_then(|_| proxy::names_upstream(&parts));
    Realm::of(&host.realms, read_there.as_ref().unwrap_or(&parts))
        .or_else(|| Store::of(&host.stores, &parts).map(|store| &store.realm))
}

async fn page(
    site: &Site,
    asker: Asker,
    head: &Parts,
    upload: &mut impl Incoming,
) -> Result<(Response<Body>, Option<String>), Fault> {
    match (check(site, head), &site.pages, &site.login) {
        (Ok(Target::Path { parts, is_folder }), Some(pages), Some(login)) => {
            pages::answer((site, pages, login), asker, head, &parts, is_folder, upload).await
        }
        _ => Ok((answer::status(StatusCode::NOT_FOUND), None)),
    }
}

async fn put(site: &Site, host: &Host, head: &Parts, upload: &mut impl Incoming) -> Result<Response<Body>, Fault> {
    let Ok(Target::Path { parts, .. }) = check(site, head) else { return Ok(answer::status(StatusCode::BAD_REQUEST)) };
    match (Store::of(&host.stores, &parts), &host.root) {
        (Some(store), Some(root)) => put::answer(site, root, store, head, &parts, upload).await,
        _ => Ok(answer::status(StatusCode::NOT_FOUND)),
    }
}

fn too_large() -> Response<Body> {
    closing(answer::status(StatusCode::PAYLOAD_TOO_LARGE))
}

/// RFC 6585 §4. What has a body is not read, so that the connection goes.
fn too_fast(has_body: bool) -> Response<Body> {
    let mut response = answer::status(StatusCode::TOO_MANY_REQUESTS);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    if has_body { closing(response) } else { response }
}

/// Checks the head of a request.
fn check<'a>(site: &Site, head: &'a Parts) -> Result<Target<'a>, StatusCode> {
    check_method(&head.method)?;
    let target_length = head.uri.path_and_query().map_or(0, |target| target.as_str().len())
        + head.uri.authority().map_or(0, |authority| authority.as_str().len());
    if target_length > site.config.target_limit {
        return Err(StatusCode::URI_TOO_LONG);
    }
    check_host(head)?;
    if head.version == Version::HTTP_2 && head.headers.values().any(is_padded) {
        return Err(StatusCode::BAD_REQUEST);
    }
    if head.version == Version::HTTP_2
        && head.uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https"))
    {
        return Err(StatusCode::BAD_REQUEST);
    }
    // No user in front of the host (RFC 9110 §4.2.4), and one that is a host.
    if head.uri.scheme().is_some() && head.uri.authority().is_some_and(|host| !is_host(host.as_str().as_bytes())) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let expectations = head.headers.get_all(EXPECT).iter();
    if head.version >= Version::HTTP_11
        && !expectations.into_iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(StatusCode::EXPECTATION_FAILED);
    }
    match (head.uri.path(), head.uri.scheme(), head.uri.authority()) {
        // HTTP/2 has a scheme and an authority with it (RFC 9113 §8.3.1).
        ("*", _, _) if head.method == Method::OPTIONS => Ok(Target::Server),
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

/// RFC 9112 §3.2: one Host in HTTP/1.1, at most one before, and always one that is a host. In HTTP/2 the authority may
/// stand for it, and must not disagree (RFC 9113 §8.3.1).
fn check_host(head: &Parts) -> Result<(), StatusCode> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let authority = head.uri.authority().filter(|_| head.version == Version::HTTP_2);
    match (hosts.next(), hosts.next()) {
        (None, _) if authority.is_some() => Ok(()),
        (Some(host), None) if authority.is_some_and(|authority| !is_same_host(authority.as_str(), host, head)) => {
            Err(StatusCode::BAD_REQUEST)
        }
        (None, _) if head.version < Version::HTTP_11 => Ok(()),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

/// True if both name the same (RFC 3986 §6.2): letters are of either case, and the scheme's own port may be said.
fn is_same_host(authority: &str, host: &HeaderValue, head: &Parts) -> bool {
    let port = if head.uri.scheme() == Some(&Scheme::HTTPS) { ":443" } else { ":80" };
    let bare = |name: &str| name.strip_suffix(port).or(name.strip_suffix(':')).unwrap_or(name).to_ascii_lowercase();
    host.to_str().is_ok_and(|host| bare(host) == bare(authority))
}

/// RFC 9113 §8.2.1: a value neither begins nor ends with white space.
fn is_padded(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    value.trim_ascii().len() < value.len()
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
fn parse_path(path: &str) -> Result<Target<'_>, StatusCode> {
    let parts = path.split('/').filter(|part| !part.is_empty()).map(decode).collect::<Option<_>>();
    let parts = parts.ok_or(StatusCode::BAD_REQUEST)?;
    Ok(Target::Path { parts, is_folder: path.ends_with('/') })
}

/// The octets of a percent-encoded part; `None` if it is not well encoded, or has control characters or
/// a backslash.
fn decode(part: &str) -> Option<Cow<'_, [u8]>> {
    let mut rest = part.bytes();
    while let Some(octet) = rest.next() {
        if octet == b'%' && !(rest.next()?.is_ascii_hexdigit() && rest.next()?.is_ascii_hexdigit()) {
            return None;
        }
    }
    let octets: Cow<'_, [u8]> = percent_encoding::percent_decode_str(part).into();
    let is_bad = |octet: &u8| octet.is_ascii_control() || *octet == b'\\';
    (!octets.iter().any(is_bad)).then_some(octets)
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
                Some(parts.into_iter().map(|part| String::from_utf8(part.into_owned()).unwrap()).collect())
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
