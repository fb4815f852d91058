//! The web server, with curl and with bytes as they are.

use crate::lab::{DAEMON, Lab, eventually, http, noise, read_to_end, sha256};
use serde_json::Value;
use std::io::{Read, Write};

/// `GET` of a target as one request of its own.
fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {DAEMON}\r\nConnection: close\r\n\r\n")
}

#[test]
fn curl_gets_a_page_and_its_head() {
    let lab = Lab::new();
    assert_eq!(lab.run(&format!("curl -sS http://{DAEMON}/")), "<h1>the lab</h1>\n");
    let head = lab.run(&format!("curl -sS -I http://{DAEMON}/index.html"));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.to_lowercase().contains("content-length: 17\r\n"), "{head}");
    assert!(head.to_lowercase().contains("content-type: text/html"), "{head}");
}

#[test]
fn a_big_file_comes_down_whole() {
    let lab = Lab::new();
    let file = noise(64 << 20, 1);
    lab.write("www/big", &file);
    lab.run(&format!("curl -sS -m 50 -o got http://{DAEMON}/big"));
    assert_eq!(sha256(&lab.read("got")), sha256(&file));
}

#[test]
fn a_big_upload_arrives_whole() {
    let lab = Lab::new();
    let file = noise(64 << 20, 2);
    lab.write("file", &file);
    let said = lab.run(&format!("curl -sS -m 50 -X POST -T file http://{DAEMON}/-/sink"));
    let answer: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(answer["bytes"], 64 << 20);
    assert_eq!(answer["sha256"], sha256(&file));
}

#[test]
fn one_connection_serves_several_requests() {
    let lab = Lab::new();
    let said = lab.run(&format!("curl -sSv http://{DAEMON}/ http://{DAEMON}/index.html 2>&1"));
    assert!(said.contains("Re-using existing connection"), "{said}");
    assert_eq!(said.matches("<h1>the lab</h1>").count(), 2, "{said}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let lab = Lab::new();
    for number in 0..8 {
        lab.write(&format!("www/{number}"), format!("answer {number}."));
    }
    let mut all = String::new();
    for number in 0..7 {
        all.push_str(&format!("GET /{number} HTTP/1.1\r\nHost: {DAEMON}\r\n\r\n"));
    }
    all.push_str(&get("/7"));
    let mut stream = lab.tcp(80);
    stream.write_all(all.as_bytes()).unwrap();
    let answers = String::from_utf8(read_to_end(&mut stream)).unwrap();
    let places: Vec<usize> = (0..8).map(|n| answers.find(&format!("answer {n}.")).expect("every answer")).collect();
    assert!(places.is_sorted(), "{answers}");
}

#[test]
fn an_old_client_is_answered_in_its_way() {
    let lab = Lab::new();
    assert_eq!(lab.run(&format!("curl -sS --http1.0 http://{DAEMON}/")), "<h1>the lab</h1>\n");
    // Without a Host, and the end of the body is the end of the connection.
    let answer = http(lab.tcp(80), "GET / HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"<h1>the lab</h1>\n".as_slice()));
}

#[test]
fn a_range_is_a_part_of_the_file() {
    let lab = Lab::new();
    let file = noise(100_000, 3);
    lab.write("www/file", &file);
    lab.run(&format!("curl -sS -r 1000-69999 -o part http://{DAEMON}/file"));
    assert_eq!(lab.read("part"), &file[1000..70_000]);
    // A download that was cut off goes on where it was.
    lab.write("resumed", &file[..40_000]);
    lab.run(&format!("curl -sS -C - -o resumed http://{DAEMON}/file"));
    assert_eq!(lab.read("resumed"), file);
    let status = lab.run(&format!("curl -s -r 100000- -o /dev/null -w '%{{http_code}}' http://{DAEMON}/file"));
    assert_eq!(status, "416");
}

#[test]
fn wrong_requests_get_the_status_that_says_why() {
    let lab = Lab::with("[http]\nroot = \"www\"\nheader_timeout = \"1s\"\n");
    let request = |text: String| http(lab.tcp(80), text).status;
    assert_eq!(request(get("/nowhere")), 404);
    assert_eq!(request(get("/../daemon.toml")), 404, "above the root");
    let not_allowed = http(lab.tcp(80), get("/index.html").replace("GET", "DELETE"));
    assert_eq!(not_allowed.status, 405);
    assert!(not_allowed.head.to_lowercase().contains("allow: get, head"), "{}", not_allowed.head);
    assert_eq!(request(get("/").replace("Host: ", "X-Host: ")), 400, "no Host");
    assert_eq!(request(get(&format!("/{}", "a".repeat(20_000)))), 414);
    assert_eq!(request(get("/").replace("Connection", &format!("X: {}\r\nConnection", "b".repeat(100_000)))), 431);
    let too_long = format!("POST / HTTP/1.1\r\nHost: {DAEMON}\r\nContent-Length: 9999999999\r\n\r\n");
    assert_eq!(request(too_long), 413);
    // Begun and never finished: the server says so and closes.
    assert_eq!(request(format!("GET / HTTP/1.1\r\nHost: {DAEMON}\r\n")), 408);
}

#[test]
fn a_download_that_is_broken_off_leaves_nothing() {
    let lab = Lab::new();
    lab.write("www/big", noise(32 << 20, 4));
    let status = lab.attempt(&format!("curl -sS http://{DAEMON}/big | head -c 100000 | wc -c"));
    assert_eq!(status.stdout.trim(), "100000");
    eventually("its socket gone", || lab.daemon.connections().is_empty());
    lab.run(&format!("curl -sSf http://{DAEMON}/"));
}

#[test]
fn a_hundred_connections_at_once_are_all_served() {
    let lab = Lab::new();
    let file = noise(50_000, 5);
    lab.write("www/file", &file);
    lab.run(&format!(
        "mkdir got && curl -sS -m 50 -Z --parallel-immediate --parallel-max 100 -H 'Connection: close' \
         -o 'got/#1' 'http://{DAEMON}/file?[1-100]'"
    ));
    for number in 1..=100 {
        assert!(lab.read(&format!("got/{number}")) == file, "file {number} is not as it was sent");
    }
}

#[test]
fn the_state_page_shows_the_stack_to_people_and_to_programs() {
    let lab = Lab::new();
    let page = lab.run(&format!("curl -sSf http://{DAEMON}/-/"));
    assert!(page.contains("<table") && page.contains("192.0.2.2") && page.contains("tap0"), "{page}");
    let state = lab.run(&format!("curl -sSf http://{DAEMON}/-/state.json"));
    let state: Value = serde_json::from_str(&state).unwrap_or_else(|error| panic!("{error}: {state}"));
    // The page's own connection is among the sockets.
    let sockets = state["sockets"].as_array().expect("sockets");
    assert!(sockets.iter().any(|socket| socket["state"] == "ESTAB"), "{sockets:?}");
    for section in ["interfaces", "neighbours", "routes", "counters", "drops", "limits"] {
        assert!(state[section].is_array(), "{section} is missing: {state}");
    }
}

#[test]
fn without_a_root_the_first_page_is_the_state_page() {
    let lab = Lab::with("[http]\n");
    let page = lab.run(&format!("curl -sSfL http://{DAEMON}/"));
    assert!(page.contains("192.0.2.2"), "{page}");
}

#[test]
fn a_byte_at_a_time_is_a_request_as_well() {
    let lab = Lab::new();
    let mut stream = lab.tcp(80);
    stream.set_nodelay(true).unwrap();
    for byte in get("/").bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("<h1>the lab</h1>\n"), "{text}");
}
