//! Requests that others answer: what goes to an upstream and what comes back, octet by octet, and what is made of
//! upstreams that fail.

mod failing;
mod framing;

use super::*;
use crate::application::http::proxy::{Dial, Proxy, Settings};
use crate::session::connection::Connection as Stream;
use crate::session::entrance::Entrance;
use crate::session::rights::Service;
use crate::session::throttle::SharedThrottle;
use crate::session::verifier::Verifier;
use futures_util::future::LocalBoxFuture;
use http::StatusCode;
use std::net::SocketAddr;

/// What happens to who connects to an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Refused,
    Silent,
}

/// The other ends of the connections to upstreams.
#[derive(Clone, Default)]
struct Backends {
    ends: Rc<RefCell<Vec<(SocketAddr, Pipe)>>>,
    fates: Rc<RefCell<Vec<(SocketAddr, Fate)>>>,
}

impl Backends {
    fn dial(&self) -> Dial {
        let Backends { ends, fates } = self.clone();
        Rc::new(move |address| -> LocalBoxFuture<'static, io::Result<Box<dyn Stream>>> {
            let fate = fates.borrow().iter().find(|(other, _)| *other == address).map(|(_, fate)| *fate);
            match fate {
                Some(Fate::Refused) => Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) }),
                Some(Fate::Silent) => Box::pin(std::future::pending()),
                None => {
                    let (ours, theirs) = pipe(1 << 16);
                    ends.borrow_mut().push((address, theirs));
                    Box::pin(async move { Ok(Box::new(ours) as Box<dyn Stream>) })
                }
            }
        })
    }

    fn fate(&self, last: u8, fate: Option<Fate>) {
        let mut fates = self.fates.borrow_mut();
        fates.retain(|(address, _)| *address != at(last));
        fates.extend(fate.map(|fate| (at(last), fate)));
    }

    fn count(&self) -> usize {
        self.ends.borrow().len()
    }

    /// What came on a connection.
    fn text(&self, index: usize) -> String {
        self.ends.borrow()[index].1.text()
    }

    fn put(&self, index: usize, octets: impl AsRef<[u8]>) {
        self.ends.borrow()[index].1.put(octets);
    }

    fn finish(&self, index: usize) {
        self.ends.borrow()[index].1.finish();
    }

    fn is_closed(&self, index: usize) -> bool {
        self.ends.borrow()[index].1.is_closed()
    }

    fn address(&self, index: usize) -> SocketAddr {
        self.ends.borrow()[index].0
    }
}

fn at(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 8080).into()
}

fn settings() -> Settings {
    let to = vec!["http://192.0.2.9:8080/up/".parse().unwrap()];
    Settings { path: "/app/".into(), to, ..Settings::default() }
}

fn passing(settings: Settings) -> (House, Backends) {
    passing_with(settings, |_| {})
}

fn passing_with(settings: Settings, change: impl FnOnce(&mut Host)) -> (House, Backends) {
    let mut house = house();
    let backends = Backends::default();
    let proxy = Rc::new(Proxy::new(settings, house.bench.clock(), &backends.dial()));
    house.bench.spawn(Proxy::look_after(Rc::clone(&proxy), house.shutdown.clone()));
    let mut host = Host { root: Some(Root::open(&house.www()).unwrap()), proxies: vec![proxy], ..Host::default() };
    change(&mut host);
    let verifier = Verifier::inline(crate::session::accounts::tests::cheap(&[("alice", "wonderland")]));
    let (throttle, random) = (SharedThrottle::default(), Random::from_seed(3));
    let entrance = Entrance::new(house.bench.clock(), verifier, throttle, random, Service::Web);
    let login = Login::new(house.bench.clock(), entrance, Random::from_seed(2));
    house.site = Rc::new(house.anew(Hosts { default: host, ..Hosts::default() }).with_login(login));
    (house, backends)
}

const GET: &str = "GET /app/x?y HTTP/1.1\r\nHost: site.example\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
/// What every answer of ours has that is passed on.
const DATE: &str = "date: Sun, 22 Nov 2026 12:00:00 GMT\r\n";

/// The statuses of answers in a row.
fn codes(answers: &str) -> Vec<u16> {
    answers.match_indices("HTTP/1.1 ").map(|(at, _)| answers[at + 9..at + 12].parse().unwrap()).collect()
}

#[test]
fn a_request_goes_up_and_its_answer_comes_back() {
    let (mut house, backends) = passing(settings());
    let (client, _end) = house.connect();
    assert_eq!(house.say(&client, GET), "");
    assert_eq!(
        backends.text(0),
        "GET /up/x?y HTTP/1.1\r\nhost: site.example\r\nvia: 1.1 tapstack\r\nx-forwarded-host: site.example\r\n\
         forwarded: for=192.0.2.7;proto=http;host=\"site.example\"\r\nx-forwarded-for: 192.0.2.7\r\n\
         x-forwarded-proto: http\r\n\r\n"
    );
    backends.put(
        0,
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Made\r\nServer: other\r\nContent-Length: 5\r\n\
         Location: http://192.0.2.9:8080/up/y\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\nhello",
    );
    let expected = format!(
        "HTTP/1.1 201 Created\r\n{DATE}server: other\r\nlocation: /app/y\r\nvia: 1.1 tapstack\r\ncontent-length: 5\r\n\r\nhello"
    );
    assert_eq!(house.say(&client, ""), expected);
    // Both connections have another request.
    house.say(&client, GET);
    backends.put(0, "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 0\r\n\r\n");
    let expected = "HTTP/1.1 200 OK\r\ndate: then\r\nvia: 1.1 tapstack\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(house.say(&client, ""), expected);
    assert_eq!(backends.count(), 1);
}

#[test]
fn other_paths_are_ours_and_the_slash_is_asked_for() {
    let (mut house, backends) = passing(settings());
    assert_eq!(body(&house.ask("GET /a.txt", "")), "0123456789");
    assert_eq!(status(&house.ask("GET /application", "")), 404);
    let answer = house.ask("GET //app?x", "");
    assert_eq!((status(&answer), header(&answer, "location")), (308, Some("/app/?x")));
    for climbing in ["/app/../a.txt", "/app/%2e%2E/a.txt", "/app/x%2f..%2fy", "/app/..;/x", "/app/./x"] {
        assert_eq!(status(&house.ask(&format!("GET {climbing}"), "")), 400, "{climbing}");
    }
    assert_eq!(backends.count(), 0);
    // What is under /-/ is ours whoever has the rest.
    let (mut house, _) = passing(Settings { path: "/".into(), ..settings() });
    assert_eq!(status(&house.ask("GET /-/state.json", "")), 200);
}

#[test]
fn answers_without_a_body_have_none() {
    let (mut house, backends) = passing(settings());
    let (client, _end) = house.connect();
    for (method, answer, expected) in [
        ("HEAD", "200 OK\r\nContent-Length: 5\r\n\r\n", "content-length: 5\r\n"),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer-encoding: chunked\r\n"),
        ("GET", "204 No Content\r\n\r\n", ""),
        ("GET", "304 Not Modified\r\nContent-Length: 5\r\n\r\n", ""),
    ] {
        house.say(&client, GET.replace("GET", method));
        assert!(backends.text(0).starts_with(&format!("{method} /up/x?y ")));
        backends.put(0, format!("HTTP/1.1 {answer}"));
        let answer = house.say(&client, "");
        assert!(answer.ends_with(&format!("via: 1.1 tapstack\r\n{expected}\r\n")), "{answer}");
    }
    assert_eq!(backends.count(), 1);
}

#[test]
fn a_body_goes_up_as_it_comes_and_no_faster_than_it_is_taken() {
    for (framing, begin, end) in
        [("Content-Length: 300000", "", ""), ("Transfer-Encoding: chunked", "493e0\r\n", "\r\n0\r\n\r\n")]
    {
        let (mut house, backends) = passing(settings());
        let (client, _end) = house.connect();
        house.say(&client, format!("POST /app/ HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{begin}"));
        client.put("a".repeat(300_000) + end);
        house.bench.run();
        assert!(client.untaken() > 300_000 - 3 * (1 << 16), "{}", client.untaken());
        let mut sent = String::new();
        loop {
            let more = backends.text(0);
            if more.is_empty() {
                break;
            }
            sent.push_str(&more);
            house.bench.run();
        }
        assert!(sent.contains(&format!("\r\n{}\r\n\r\n", framing.to_lowercase())));
        let (_, body) = framing::only_request(&sent).expect("a whole one");
        assert_eq!(body.len(), 300_000);
        backends.put(0, OK);
        assert_eq!(status(&house.say(&client, "")), 200);
    }
}

#[test]
fn a_body_comes_back_as_it_comes_and_no_faster_than_it_is_taken() {
    let (mut house, backends) = passing(settings());
    let (client, _end) = house.connect();
    client.put(GET);
    house.bench.run();
    backends.put(0, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
    backends.put(0, "a".repeat(300_000));
    house.bench.run();
    assert!(backends.ends.borrow()[0].1.untaken() > 300_000 - 3 * (1 << 16));
    let answer = house.say(&client, "");
    assert_eq!(body(&answer).len(), 300_000);
    // A piece is passed on when it comes, not when there are more.
    house.say(&client, GET);
    backends.put(0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    assert!(house.say(&client, "").ends_with("transfer-encoding: chunked\r\n\r\n3\r\none\r\n"));
    backends.put(0, "3;a=b\r\ntwo\r\n0\r\nTrailer: x\r\n\r\n");
    assert_eq!(house.say(&client, ""), "3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(backends.count(), 1);
}

#[test]
fn a_client_of_http_1_0_sees_the_end_by_the_connection_or_its_breaking() {
    let (mut house, backends) = passing(settings());
    let ask = "GET /app/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let (client, end) = house.connect();
    house.say(&client, ask);
    assert!(backends.text(0).contains("\r\nhost: 192.0.2.9:8080\r\nvia: 1.0 tapstack\r\n"));
    backends.put(0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n");
    let answer = house.say(&client, "");
    assert_eq!((header(&answer, "transfer-encoding"), body(&answer)), (None, "one"));
    assert!(client.is_finished());
    client.finish();
    house.bench.run();
    assert!(end.borrow().as_ref().unwrap().is_ok());
    let (client, end) = house.connect();
    house.say(&client, ask);
    backends.put(0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    house.say(&client, "");
    backends.finish(0);
    house.bench.run();
    assert!(end.borrow().as_ref().unwrap().is_err());
}

#[test]
fn what_is_protected_is_so_however_it_is_written() {
    let (mut house, backends) = passing_with(settings(), |host| {
        host.realms.push(Realm {
            path: PathPrefix::new("/app/admin"),
            name: "x".into(),
            accounts: Vec::new(),
            roles: Vec::new(),
            by_form: false,
        });
    });
    for path in ["/app/admin", "/app/admin/x", "//app//admin", "/app/%61dmin", "/app/admin%2fx", "/app%2f/../app/admin"]
    {
        let code = status(&house.ask(&format!("GET {path}"), ""));
        assert!(matches!(code, 401 | 404), "{path}: {code}");
    }
    assert_eq!(backends.count(), 0);
    // Basic of alice and wonderland.
    let (client, _end) = house.connect();
    house.say(&client, "GET /app/admin/x HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWxpY2U6d29uZGVybGFuZA==\r\n\r\n");
    let head = backends.text(0);
    assert!(head.contains("\r\nx-forwarded-user: alice\r\n") && !head.contains("authorization"), "{head}");
    house.say(&client, "");
    // Elsewhere the login is none of ours.
    let (client, _end) = house.connect();
    house.say(&client, "GET /app/x HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWxpY2U6d29uZGVybGFuZA==\r\n\r\n");
    assert!(backends.text(1).contains("\r\nauthorization: Basic YWxpY2U6d29uZGVybGFuZA==\r\n"));
}

#[test]
fn answers_that_are_passed_on_have_the_fields_of_the_host_and_pages_of_their_own() {
    let (mut house, backends) = passing_with(settings(), |host| {
        host.headers.push((http::header::X_FRAME_OPTIONS, http::HeaderValue::from_static("DENY")));
        host.error_pages = vec![(StatusCode::NOT_FOUND, "a.txt".into()), (StatusCode::BAD_GATEWAY, "a.txt".into())];
    });
    let (client, _end) = house.connect();
    house.say(&client, GET);
    backends.put(0, "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\ntheir");
    let answer = house.say(&client, "");
    assert_eq!((status(&answer), body(&answer), header(&answer, "x-frame-options")), (404, "their", Some("DENY")));
    house.say(&client, GET);
    backends.put(0, "nonsense\r\n\r\n");
    let answer = house.say(&client, "");
    assert_eq!((status(&answer), body(&answer)), (502, "0123456789"));
}

#[test]
fn the_log_tells_who_answered_and_when() {
    let (mut house, backends) = passing(settings());
    let lines = Rc::new(RefCell::new(Vec::new()));
    let (log, site) = (lines.clone(), Rc::try_unwrap(house.site).ok().unwrap());
    let write = Box::new(move |line: &str| log.borrow_mut().push(line.to_owned()));
    house.site = Rc::new(site.with_access_log(AccessLog { format: LogFormat::Json, write }));
    let (client, _end) = house.connect();
    house.say(&client, GET);
    house.bench.pass(Duration::from_millis(250));
    backends.put(0, OK);
    house.say(&client, "");
    house.say(&client, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    let lines: Vec<Value> = lines.borrow().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["upstream"], &lines[0]["upstream_us"]), (&json!("192.0.2.9:8080"), &json!(250_000)));
    assert_eq!((&lines[0]["status"], &lines[0]["bytes"]), (&json!(200), &json!(5)));
    assert_eq!((&lines[1]["upstream"], &lines[1]["status"]), (&Value::Null, &json!(200)));
}
