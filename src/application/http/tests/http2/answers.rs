//! A client of HTTP/2 gets what one of HTTP/1.1 gets.

use super::super::entering::{basic, guarded, logged};
use super::super::*;
use bytes::Bytes;
use futures_util::task::LocalSpawnExt;
use h2::client::handshake;
use http::{Request, StatusCode};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::BTreeSet;

/// An answer: its status, its fields in order, and its body.
type Answer = (u16, BTreeSet<String>, Vec<u8>);

/// Fields that differ between the versions, or from answer to answer.
fn is_of_connection(name: &str) -> bool {
    matches!(name, "connection" | "transfer-encoding")
}

/// Asks over HTTP/2 on a connection of its own.
fn ask2(house: &mut House, method: &str, target: &str, headers: &str, content: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("http://a{target}"));
    for (name, value) in headers.lines().filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let (request, content) = (request.body(()).unwrap(), Bytes::copy_from_slice(content.as_bytes()));
    let ((pipe, _end), spawner) = (house.connect(), house.bench.spawner());
    let answer = house.bench.spawn(async move {
        let (mut client, connection) = handshake(pipe).await.unwrap();
        spawner.spawn_local(async move { drop(connection.await) }).unwrap();
        let (response, mut upload) = client.send_request(request, content.is_empty()).unwrap();
        if !content.is_empty() {
            upload.send_data(content, true).unwrap();
        }
        let (head, mut incoming) = response.await.unwrap().into_parts();
        let mut body = Vec::new();
        while let Some(piece) = incoming.data().await {
            let piece = piece.unwrap();
            incoming.flow_control().release_capacity(piece.len()).unwrap();
            body.extend(piece);
        }
        let fields = head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        (head.status.as_u16(), fields, body)
    });
    let answer = answer.borrow_mut().take();
    answer.unwrap_or_else(|| panic!("{method} {target} {headers:?} is not answered"))
}

/// Asks over HTTP/1.1 on a connection of its own.
fn ask1(house: &mut House, method: &str, target: &str, headers: &str, content: &str) -> Answer {
    let length = if content.is_empty() { String::new() } else { format!("content-length: {}\r\n", content.len()) };
    let (pipe, _end) = house.connect();
    pipe.put(format!("{method} {target} HTTP/1.1\r\nhost: a\r\n{length}{headers}\r\n{content}"));
    let mut octets = Vec::new();
    loop {
        house.bench.run();
        let more = pipe.take();
        if more.is_empty() {
            break;
        }
        octets.extend(more);
    }
    let end = octets.windows(4).position(|octets| octets == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(octets[..end].to_vec()).unwrap();
    let body = octets[end + 4..].to_vec();
    let body = if head.contains("transfer-encoding: chunked") { joined(&body) } else { body };
    let fields = head.lines().skip(1).filter(|line| !is_of_connection(line.split(':').next().unwrap()));
    (status(&head), fields.map(str::to_owned).collect(), body)
}

/// What is in chunks.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    while let Some(end) = chunks.windows(2).position(|octets| octets == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        octets.extend(&chunks[end + 2..end + 2 + length]);
        chunks = &chunks[end + 2 + length + 2..];
    }
    octets
}

#[test]
fn a_large_file_comes_whole_and_several_at_once() {
    let mut house = house();
    let content = "0123456789abcdef".repeat(1 << 16);
    house.write("big.bin", content.as_bytes());
    let ((pipe, _end), spawner) = (house.connect(), house.bench.spawner());
    let lengths = house.bench.spawn(async move {
        let (client, connection) = handshake(pipe).await.unwrap();
        spawner.spawn_local(async move { drop(connection.await) }).unwrap();
        let all = (0..20).map(|_| {
            let mut client = client.clone();
            let content = content.clone();
            async move {
                let request = Request::builder().uri("http://a/big.bin").body(()).unwrap();
                let response = client.send_request(request, true).unwrap().0.await.unwrap();
                let (mut incoming, mut octets) = (response.into_body(), Vec::new());
                while let Some(piece) = incoming.data().await {
                    let piece = piece.unwrap();
                    incoming.flow_control().release_capacity(piece.len()).unwrap();
                    octets.extend(piece);
                }
                octets == content.as_bytes()
            }
        });
        futures_util::future::join_all(all).await
    });
    assert_eq!(*lengths.borrow(), Some(vec![true; 20]));
}

#[test]
fn a_large_upload_is_read_as_it_comes() {
    let mut house = house();
    let content = "x".repeat(3 << 20);
    let answer = ask2(&mut house, "POST", "/-/sink", "", &content);
    assert_eq!(answer.0, 200);
    assert!(String::from_utf8(answer.2).unwrap().contains("\"bytes\":3145728,"));
}

#[test]
fn a_file_that_is_put_is_there() {
    let (mut house, _) = guarded();
    let alice = basic("alice", "wonderland");
    assert_eq!(ask2(&mut house, "PUT", "/in/new", "", "content").0, 401);
    assert_eq!(ask2(&mut house, "PUT", "/in/new", &alice, "content").0, 201);
    assert_eq!(ask2(&mut house, "PUT", "/in/new", &alice, &"x".repeat(1_001)).0, 413);
    assert_eq!(ask2(&mut house, "GET", "/in/new", "", "").2, b"content");
    assert_eq!(ask2(&mut house, "DELETE", "/in/new", &alice, "").0, 204);
    assert_eq!(ask2(&mut house, "GET", "/in/new", "", "").0, 404);
}

#[test]
fn answers_are_logged_with_their_version_and_the_path_that_was_asked_for() {
    let (mut house, lines) = logged(LogFormat::Combined);
    ask2(&mut house, "GET", "/a.txt?x", "referer: http://b/\r\nuser-agent: test\r\n", "");
    ask2(&mut house, "GET", "/private/a", &basic("alice", "wonderland"), "");
    let date = "[22/Nov/2026:12:00:00 +0000]";
    assert_eq!(
        *lines.borrow(),
        [
            format!("192.0.2.7 - - {date} \"GET /a.txt?x HTTP/2.0\" 200 10 \"http://b/\" \"test\"\n"),
            format!("192.0.2.7 - alice {date} \"GET /private/a HTTP/2.0\" 200 6 \"-\" \"-\"\n"),
        ]
    );
    let (mut house, lines) = logged(LogFormat::Json);
    ask2(&mut house, "GET", "/a.txt", "", "");
    let line = lines.borrow()[0].clone();
    assert!(line.contains("\"host\":\"a\"") && line.contains("\"protocol\":\"HTTP/2.0\""), "{line}");
    assert!(line.contains("\"rtt_us\":1500"), "{line}");
}

#[test]
fn hosts_are_told_apart_by_the_authority() {
    let mut house = house();
    let redirect = |to: &str| Host {
        redirects: vec![Redirect::new("/*", to, StatusCode::FOUND)],
        headers: vec![(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"))],
        ..Host::default()
    };
    let named = [("a".to_owned(), redirect("https://{host}/*"))].into();
    house.site = Rc::new(house.anew(Hosts { default: redirect("/default"), named }));
    let answer = ask2(&mut house, "GET", "/x", "", "");
    assert!(answer.1.contains("location: https://a/x") && answer.1.contains("cache-control: no-store"), "{answer:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn any_request_is_answered_as_in_http_1_1(
        method in select(vec!["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"]),
        target in select(vec![
            "/", "/a.txt", "/a.txt?x=y", "/empty", "/missing", "/text.html", "/sub%20dir", "/sub%20dir/", "/a%00", "/%zz",
            "/-/", "/-/sink", "/-/counters.json", "/../a.txt", "//a.txt", "/private/a", "/in/x",
        ]),
        headers in subsequence(vec![
            "range: bytes=2-4", "range: bytes=100-", "if-none-match: *", "if-match: \"x\"", "accept-encoding: gzip",
            "accept-encoding: identity;q=0, br", "if-modified-since: Sun, 22 Nov 2026 12:00:00 GMT",
            "authorization: Basic YWxpY2U6d29uZGVybGFuZA==", "authorization: nonsense", "expect: x",
            "origin: http://b", "content-type: text/plain", "cookie: a=b",
        ], 0..4),
        content in select(vec!["", "", "x", "0123456789"]),
    ) {
        let (mut house, _) = guarded();
        house.write("text.html", &b"<p>some text that can be packed".repeat(200));
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let mut first = ask1(&mut house, method, target, &headers, content);
        // What was put by the one is not there for the other.
        let _ = fs::remove_file(house.www().join("in/x"));
        let mut second = ask2(&mut house, method, target, &headers, content);
        if method == "PUT" {
            // It is another file, with a tag of its own.
            for answer in [&mut first, &mut second] {
                answer.1.retain(|field| !field.starts_with("etag: "));
            }
        }
        prop_assert_eq!(first, second);
    }
}
