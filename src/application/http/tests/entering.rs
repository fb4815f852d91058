//! Who may: logins, files that are put, what one client may have, and what is written down of it all.

use super::*;
use crate::session::accounts::tests::cheap;
use crate::session::entrance::Entrance;
use crate::session::throttle::SharedThrottle;
use crate::session::verifier::Verifier;
use base64ct::{Base64, Encoding};
use std::os::unix::fs::PermissionsExt;

fn realm(path: &str, accounts: &[&str]) -> Realm {
    let accounts = accounts.iter().map(|name| (*name).to_owned()).collect();
    let name = "the \"lab\"".into();
    Realm { path: PathPrefix::new(path), name, accounts, roles: Vec::new(), by_form: false }
}

fn entrance(house: &House, verifier: Verifier) -> Entrance {
    Entrance::new(
        house.bench.clock(),
        verifier,
        SharedThrottle::default(),
        Random::from_seed(3),
        crate::session::rights::Service::Web,
    )
}

/// A site with a realm for alice, one for everybody, and a store for alice and bob.
pub(super) fn guarded() -> (House, Verifier) {
    let mut house = house();
    fs::create_dir(house.www().join("in")).unwrap();
    fs::create_dir(house.www().join("private")).unwrap();
    house.write("private/a", b"secret");
    let host = Host {
        root: Some(Root::open(&house.www()).unwrap()),
        realms: vec![realm("/private", &["alice"]), realm("/sub dir", &[])],
        stores: vec![Store { realm: realm("/in", &["alice", "bob"]), limit: 1_000, can_delete: true }],
        ..Host::default()
    };
    let hosts = Hosts { default: host, ..Hosts::default() };
    let verifier = Verifier::inline(cheap(&[("alice", "wonderland"), ("bob", "builder"), ("eve", "apple")]));
    let login = Login::new(house.bench.clock(), entrance(&house, verifier.clone()), Random::from_seed(2));
    house.site = Rc::new(house.anew(hosts).with_login(login));
    (house, verifier)
}

pub(super) fn basic(name: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", Base64::encode_string(format!("{name}:{password}").as_bytes()))
}

#[test]
fn what_is_protected_takes_a_login_of_who_may() {
    let (mut house, _) = guarded();
    let (alice, eve) = (basic("alice", "wonderland"), basic("eve", "apple"));
    for (line, headers, expected) in [
        ("GET /private/a", "", 401),
        ("GET /private", "", 401),
        ("GET /%70rivate/a", "", 401),
        ("GET //private//a", "", 401),
        ("GET /private/missing", "", 401),
        ("GET /private/a", alice.as_str(), 200),
        ("GET /private/missing", alice.as_str(), 404),
        ("GET /private/a", eve.as_str(), 403),
        ("GET /privately", "", 404),
        ("GET /sub%20dir/", "", 401),
        ("GET /sub%20dir/", eve.as_str(), 200),
        ("GET /a.txt", "", 200),
        ("GET /a.txt", "Authorization: nonsense\r\n", 200),
        ("GET /private/a", "Authorization: Bearer x\r\n", 401),
    ] {
        let answer = house.ask(line, headers);
        assert_eq!(status(&answer), expected, "{line} {headers}");
        assert_eq!(answer.contains("secret"), line == "GET /private/a" && expected == 200, "{line}");
        let challenge = header(&answer, "www-authenticate");
        assert_eq!(challenge, (expected == 401).then_some("Basic realm=\"the lab\", charset=\"UTF-8\""), "{line}");
    }
}

#[test]
fn a_wrong_password_costs_time_and_a_good_one_is_remembered_while_it_is_good() {
    let (mut house, verifier) = guarded();
    let wrong = basic("alice", "x");
    assert_eq!(status(&house.ask("GET /private/a", &wrong)), 401);
    // The next attempt stands in the queue for a second.
    let (pipe, _end) = house.connect();
    let good = format!("GET /private/a HTTP/1.1\r\nHost: a\r\n{}\r\n", basic("alice", "wonderland"));
    assert_eq!(house.say(&pipe, &good), "");
    house.bench.pass(Duration::from_secs(1));
    assert_eq!(status(&pipe.text()), 200);
    // A failure of somebody else behind the same address does not make her wait: her proof is remembered.
    assert_eq!(status(&house.ask("GET /private/a", &wrong)), 401);
    assert_eq!(status(&house.say(&pipe, &good)), 200);
    // Not beyond a change of the accounts.
    verifier.replace(cheap(&[("alice", "looking-glass")]));
    house.bench.pass(Duration::from_secs(2));
    assert_eq!(status(&house.say(&pipe, &good)), 401);
}

#[test]
fn a_proof_is_forgotten_after_a_minute() {
    let (mut house, _) = guarded();
    let alice = basic("alice", "wonderland");
    assert_eq!(status(&house.ask("GET /private/a", &alice)), 200);
    assert_eq!(status(&house.ask("GET /private/a", &basic("alice", "x"))), 401);
    house.bench.pass(Duration::from_millis(59_000));
    assert_eq!(status(&house.ask("GET /private/a", &basic("alice", "x"))), 401);
    assert_eq!(status(&house.ask("GET /private/a", &alice)), 200);
    house.bench.pass(Duration::from_millis(1_000));
    let (pipe, _end) = house.connect();
    assert_eq!(
        house.say(&pipe, format!("GET /private/a HTTP/1.1\r\nHost: a\r\n{alice}\r\n")),
        "",
        "it stands in the queue"
    );
}

fn put(house: &mut House, path: &str, headers: &str, content: &str) -> String {
    house.ask_with(&format!("PUT {path}"), &format!("{headers}Content-Length: {}\r\n", content.len()), content)
}

#[test]
fn a_file_that_is_put_is_there_and_one_that_is_put_again_is_another() {
    let (mut house, _) = guarded();
    let bob = basic("bob", "builder");
    let answer = put(&mut house, "/in/new.txt", &bob, "hello");
    assert_eq!(status(&answer), 201);
    let tag = header(&answer, "etag").unwrap().to_owned();
    let answer = house.ask("GET /in/new.txt", "");
    assert_eq!((body(&answer), header(&answer, "etag")), ("hello", Some(tag.as_str())));
    let answer = put(&mut house, "/in/new.txt", &bob, "hello again");
    assert_eq!((status(&answer), body(&answer)), (204, ""));
    assert_eq!(body(&house.ask("GET /in/new.txt", "")), "hello again");
    let path = house.www().join("in/new.txt");
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o644);
    let chunked = format!("{bob}Transfer-Encoding: chunked\r\n");
    let answer = house.ask_with("PUT /in/chunked", &chunked, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(status(&answer), 201);
    assert_eq!(body(&house.ask("GET /in/chunked", "")), "abcde");
    let empty = put(&mut house, "/in/empty", &bob, "");
    assert_eq!((status(&empty), body(&house.ask("GET /in/empty", ""))), (201, ""));
    let left = fs::read_dir(house.www().join("in")).unwrap().count();
    assert_eq!(left, 3, "nothing else is left");
}

#[test]
fn who_may_not_and_what_can_not_be_is_refused() {
    let (mut house, _) = guarded();
    fs::create_dir(house.www().join("in/folder")).unwrap();
    let (bob, eve) = (basic("bob", "builder"), basic("eve", "apple"));
    for (path, headers, expected) in [
        ("/in/x", String::new(), 401),
        ("/in/x", eve, 403),
        ("/in/.x", bob.clone(), 403),
        ("/in/..%2fx", bob.clone(), 403),
        ("/in/%2e%2e/a.txt", bob.clone(), 403),
        ("/in/folder", bob.clone(), 409),
        ("/in/x/", bob.clone(), 409),
        ("/in/nowhere/x", bob.clone(), 409),
        ("/in", bob.clone(), 301),
        ("/a.txt", bob.clone(), 405),
        ("/x", bob.clone(), 404),
        ("/in/x", format!("{bob}Content-Range: bytes 0-4/9\r\n"), 400),
        ("/in/x", format!("{bob}Content-Encoding: gzip\r\n"), 415),
        ("/in/x", format!("{bob}If-Match: *\r\n"), 412),
        ("/in/folder/y", format!("{bob}If-None-Match: *\r\n"), 201),
    ] {
        let answer = put(&mut house, path, &headers, "hello");
        assert_eq!(status(&answer), expected, "{path} {headers}");
    }
    assert_eq!(body(&house.ask("GET /a.txt", "")), "0123456789");
    let answer = house.ask("OPTIONS /in/folder/y", "");
    assert_eq!(header(&answer, "allow"), Some("GET, HEAD, OPTIONS, PUT, DELETE"));
    // A link in the place of a folder leads nowhere.
    let outside = TempDir::new().unwrap();
    std::os::unix::fs::symlink(outside.path(), house.www().join("in/link")).unwrap();
    assert_eq!(status(&put(&mut house, "/in/link/x", &bob, "hello")), 409);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_comes_or_when_it_does() {
    let (mut house, _) = guarded();
    let bob = basic("bob", "builder");
    let head = |length: &str| format!("PUT /in/x HTTP/1.1\r\nHost: a\r\n{bob}{length}\r\n");
    let (pipe, _end) = house.connect();
    let answer = house.say(&pipe, head("Content-Length: 1001\r\nExpect: 100-continue\r\n"));
    assert_eq!((status(&answer), pipe.is_finished()), (413, true), "it was not asked for");
    let (pipe, _end) = house.connect();
    assert_eq!(status(&house.say(&pipe, head("Content-Length: 1000\r\nExpect: 100-continue\r\n"))), 100);
    assert_eq!(status(&house.say(&pipe, "x".repeat(1_000))), 201);
    let (pipe, _end) = house.connect();
    house.say(&pipe, head("Transfer-Encoding: chunked\r\n"));
    let answer = house.say(&pipe, format!("1f4\r\n{0}\r\n1f5\r\n{0}x\r\n", "y".repeat(500)));
    assert_eq!((status(&answer), pipe.is_finished()), (413, true));
    assert_eq!(body(&house.ask("GET /in/x", "")), "x".repeat(1_000), "the file is as it was");
    // Who has no right to is not asked for anything either.
    let (pipe, _end) = house.connect();
    let answer = house.say(&pipe, "PUT /in/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!((status(&answer), pipe.is_finished()), (401, true));
}

#[test]
fn a_body_that_breaks_off_leaves_the_file_as_it_was() {
    let (mut house, _) = guarded();
    let bob = basic("bob", "builder");
    put(&mut house, "/in/x", &bob, "before");
    for rest in ["", "half"] {
        let (pipe, _end) = house.connect();
        pipe.put(format!("PUT /in/x HTTP/1.1\r\nHost: a\r\n{bob}Content-Length: 100\r\n\r\n{rest}"));
        pipe.finish();
        house.bench.run();
        assert_eq!(status(&pipe.text()), 400);
    }
    assert_eq!(body(&house.ask("GET /in/x", "")), "before");
    assert_eq!(fs::read_dir(house.www().join("in")).unwrap().count(), 1);
}

#[test]
fn conditions_keep_writers_from_undoing_each_other() {
    let (mut house, _) = guarded();
    let bob = basic("bob", "builder");
    let first = put(&mut house, "/in/x", &format!("{bob}If-None-Match: *\r\n"), "one");
    let tag = header(&first, "etag").unwrap().to_owned();
    for (condition, expected) in [
        ("If-None-Match: *".to_owned(), 412),
        (format!("If-None-Match: {tag}"), 412),
        ("If-Match: \"other\"".to_owned(), 412),
        ("If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT".to_owned(), 412),
        // Of GET and HEAD alone (RFC 9110 §13.1.3).
        ("If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT".to_owned(), 204),
    ] {
        let answer = put(&mut house, "/in/x", &format!("{bob}{condition}\r\n"), "one");
        assert_eq!(status(&answer), expected, "{condition}");
    }
    let tag = header(&house.ask("HEAD /in/x", ""), "etag").unwrap().to_owned();
    assert_eq!(status(&put(&mut house, "/in/x", &format!("{bob}If-Match: {tag}\r\n"), "twenty")), 204);
    assert_eq!(status(&put(&mut house, "/in/x", &format!("{bob}If-Match: {tag}\r\n"), "thirty")), 412, "it is another");
    assert_eq!(body(&house.ask("GET /in/x", "")), "twenty");
}

#[test]
fn what_was_put_can_be_removed() {
    let (mut house, _) = guarded();
    let bob = basic("bob", "builder");
    put(&mut house, "/in/x", &bob, "hello");
    assert_eq!(status(&house.ask("DELETE /in/x", "")), 401);
    assert_eq!(status(&house.ask("DELETE /in/x", &format!("{bob}If-Match: \"other\"\r\n"))), 412);
    assert_eq!(status(&house.ask("DELETE /in/x", &bob)), 204);
    assert_eq!(status(&house.ask("GET /in/x", "")), 404);
    assert_eq!(status(&house.ask("DELETE /in/x", &bob)), 404);
    assert_eq!(status(&house.ask("DELETE /a.txt", &bob)), 405);
}

#[test]
fn a_client_that_asks_too_fast_is_told_when_to_ask_again() {
    let client_limits = ClientLimits { connections: 0, rate: 2, burst: 3 };
    let mut house = house_with(Config { client_limits, ..Config::default() }, true);
    house.write("a.txt", b"0123456789");
    let (pipe, _end) = house.connect();
    let request = "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    let codes = |text: &str| text.matches("HTTP/1.1 200").count();
    let answer = house.say(&pipe, request.repeat(5));
    assert_eq!((codes(&answer), answer.matches("HTTP/1.1 429").count()), (3, 2));
    assert!(answer.contains("retry-after: 1\r\n") && !pipe.is_finished());
    house.bench.pass(Duration::from_secs(1));
    assert_eq!(codes(&house.say(&pipe, request.repeat(5))), 2);
}

#[test]
fn a_client_with_too_many_connections_is_turned_away_at_once() {
    let client_limits = ClientLimits { connections: 2, rate: 0, burst: 0 };
    let mut house = house_with(Config { client_limits, ..Config::default() }, true);
    house.write("a.txt", b"0123456789");
    let (first, _end) = house.connect();
    let (second, _end) = house.connect();
    let (third, end) = house.connect();
    let answer = third.text();
    assert_eq!((status(&answer), header(&answer, "retry-after"), third.is_finished()), (503, Some("1"), true));
    house.bench.pass(Duration::from_secs(2));
    assert!(end.borrow().is_some(), "it is not waited for");
    assert_eq!(status(&house.say(&first, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")), 200);
    drop(second);
    house.bench.run();
    assert_eq!(status(&house.ask("GET /a.txt", "")), 200, "there is room again");
}

#[test]
fn a_client_that_takes_an_answer_drop_by_drop_is_not_served_for_ever() {
    let mut house = house();
    house.write("big", &vec![b'x'; 1 << 20]);
    let (pipe, end) = house.connect();
    pipe.put("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut seconds = 0;
    // Each time there is room for something, but 100 octets a second are too little on the whole.
    while end.borrow().is_none() {
        house.bench.pass(Duration::from_secs(10));
        pipe.sip(1_000);
        seconds += 10;
        assert!(seconds < 3_600, "it goes on and on");
    }
    assert!(end.borrow().as_ref().unwrap().is_err() && seconds > 300, "{seconds}");
}

/// A site with a log, and its lines.
pub(super) fn logged(format: LogFormat) -> (House, Rc<RefCell<Vec<String>>>) {
    let (mut house, verifier) = guarded();
    let lines = Rc::new(RefCell::new(Vec::new()));
    let sink = lines.clone();
    let write = Box::new(move |line: &str| sink.borrow_mut().push(line.to_owned()));
    let host =
        Host { root: Some(Root::open(&house.www()).unwrap()), realms: vec![realm("/private", &[])], ..Host::default() };
    let login = Login::new(house.bench.clock(), entrance(&house, verifier), Random::from_seed(2));
    let hosts = Hosts { default: host, ..Hosts::default() };
    house.site = Rc::new(house.anew(hosts).with_login(login).with_access_log(AccessLog { format, write }));
    (house, lines)
}

#[test]
fn each_answer_is_a_line_in_the_combined_format() {
    let (mut house, lines) = logged(LogFormat::Combined);
    house.ask("GET /a.txt?x", "Referer: http://b/\"\\\r\nUser-Agent: test\r\n");
    house.ask("HEAD /a.txt", "");
    house.ask("GET /private/a", &basic("alice", "wonderland"));
    house.raw("nonsense\r\n\r\n");
    house.raw("POST /a.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
    let date = "[22/Nov/2026:12:00:00 +0000]";
    assert_eq!(
        *lines.borrow(),
        [
            format!("192.0.2.7 - - {date} \"GET /a.txt?x HTTP/1.1\" 200 10 \"http://b/\\\"\\\\\" \"test\"\n"),
            format!("192.0.2.7 - - {date} \"HEAD /a.txt HTTP/1.1\" 200 0 \"-\" \"-\"\n"),
            format!("192.0.2.7 - alice {date} \"GET /private/a HTTP/1.1\" 200 6 \"-\" \"-\"\n"),
            format!("192.0.2.7 - - {date} \"-\" 400 0 \"-\" \"-\"\n"),
            format!("192.0.2.7 - - {date} \"POST /a.txt HTTP/1.1\" 400 0 \"-\" \"-\"\n"),
        ]
    );
}

#[test]
fn each_answer_is_an_object_with_what_tcp_knows() {
    let (mut house, lines) = logged(LogFormat::Json);
    house.write("big", &vec![b'x'; 1 << 20]);
    house.ask("GET /a.txt", "User-Agent: a\"b\\\r\n");
    let (pipe, _end) = house.connect();
    pipe.put("GET /big HTTP/1.1\r\nHost: a.example\r\n\r\n");
    house.bench.pass(Duration::from_secs(3));
    house.say(&pipe, "");
    house.raw("nonsense\r\n\r\n");
    let lines: Vec<Value> = lines.borrow().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&lines[0]["method"], &lines[0]["status"], &lines[0]["bytes"]),
        (&json!("GET"), &json!(200), &json!(10))
    );
    assert_eq!((&lines[0]["user_agent"], &lines[0]["client"]), (&json!("a\"b\\"), &json!("192.0.2.7")));
    let tcp = json!({"rtt_us": 1500, "min_rtt_us": 1000, "cwnd": 14480, "retransmits": 2, "bytes_acked": 77,
        "bytes_received": 55, "delivery_rate": null});
    assert_eq!(lines[0]["tcp"], tcp);
    assert_eq!((&lines[1]["host"], &lines[1]["bytes"]), (&json!("a.example"), &json!(1 << 20)));
    assert_eq!((&lines[1]["duration_us"], &lines[1]["tcp"]), (&json!(3_000_000), &tcp));
    assert_eq!((&lines[2]["method"], &lines[2]["status"], &lines[2]["tls"]), (&Value::Null, &json!(400), &Value::Null));
}
