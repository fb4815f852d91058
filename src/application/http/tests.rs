//! Raw requests over a pipe: each status, the deadlines, and what keeps or closes a connection.

mod entering;
mod framing;
mod hosting;
mod http2;
mod keeping;
mod packing;
mod parts;
mod people;
mod proxying;
mod slow_records;

use super::*;
use crate::application::testing::{Bench, Pipe, pipe};
use serde_json::json;
use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::Path;
use tempfile::TempDir;

/// What a finished connection returned.
type End = Rc<RefCell<Option<io::Result<()>>>>;

struct House {
    bench: Bench,
    folder: TempDir,
    site: Rc<Site>,
    shutdown: Shutdown,
}

fn house_with(config: Config, with_root: bool) -> House {
    let bench = Bench::default();
    let folder = TempDir::new().unwrap();
    let www = folder.path().join("www");
    fs::create_dir(&www).unwrap();
    let root = with_root.then(|| Root::open(&www).unwrap());
    let hosts = Hosts { default: Host { root, ..Host::default() }, ..Hosts::default() };
    let state = Rc::new(|| json!({"sockets": [{"local": "192.0.2.2:80"}], "counters": {"TcpInSegs": 7}}));
    let site = Rc::new(Site::new(config, bench.clock(), Random::from_seed(1), hosts, state));
    House { bench, folder, site, shutdown: Shutdown::new() }
}

/// A site with some files.
fn house() -> House {
    let house = house_with(Config::default(), true);
    house.write("index.html", b"<p>hello");
    house.write("a.txt", b"0123456789");
    house.write("empty", b"");
    fs::create_dir(house.www().join("sub dir")).unwrap();
    house.write("sub dir/index.html", b"sub");
    house
}

impl House {
    fn www(&self) -> std::path::PathBuf {
        self.folder.path().join("www")
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.www().join(name);
        fs::write(&path, content).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn connect(&mut self) -> (Pipe, End) {
        let (ours, theirs) = pipe(1 << 16);
        let (site, shutdown) = (self.site.clone(), self.shutdown.clone());
        let end = self.bench.spawn(async move { serve_connection(theirs, site, &shutdown).await });
        (ours, end)
    }

    /// Sends octets on a connection of its own and gives what comes back.
    fn raw(&mut self, request: impl AsRef<[u8]>) -> String {
        let (pipe, _end) = self.connect();
        self.say(&pipe, request)
    }

    fn say(&mut self, pipe: &Pipe, request: impl AsRef<[u8]>) -> String {
        pipe.put(request);
        let mut answer = String::new();
        loop {
            self.bench.run();
            let piece = pipe.text();
            if piece.is_empty() {
                return answer;
            }
            answer.push_str(&piece);
        }
    }

    /// A site of the same clock and other hosts.
    fn anew(&self, hosts: Hosts) -> Site {
        let state = Rc::new(|| json!({"counters": {"TcpInSegs": 7}}));
        Site::new(Config::default(), self.bench.clock(), Random::from_seed(1), hosts, state)
    }

    /// A request with these further headers and a body.
    fn ask_with(&mut self, line: &str, headers: &str, body: &str) -> String {
        self.raw(format!("{line} HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}"))
    }

    /// A request with these further headers.
    fn ask(&mut self, line: &str, headers: &str) -> String {
        self.raw(format!("{line} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"))
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[test]
fn a_file_is_sent_with_what_is_known_of_it() {
    let mut house = house();
    let answer = house.ask("GET /a.txt", "");
    assert_eq!((status(&answer), body(&answer)), (200, "0123456789"));
    assert_eq!(header(&answer, "content-length"), Some("10"));
    assert_eq!(header(&answer, "content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(header(&answer, "date"), Some("Sun, 22 Nov 2026 12:00:00 GMT"));
    assert_eq!(header(&answer, "last-modified"), Some("Wed, 18 Nov 2026 11:06:40 GMT"));
    assert_eq!(header(&answer, "accept-ranges"), Some("bytes"));
    assert!(header(&answer, "etag").unwrap().starts_with('"'));
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1);
}

#[test]
fn head_is_get_without_the_body() {
    let mut house = house();
    let get = house.ask("GET /a.txt", "");
    let head = house.ask("HEAD /a.txt", "");
    assert_eq!(head, get.strip_suffix("0123456789").unwrap());
    assert_eq!(status(&house.ask("HEAD /missing", "")), 404);
    assert_eq!(body(&house.ask("HEAD /-/", "")), "");
}

#[test]
fn folders_show_their_index_and_are_named_with_a_slash() {
    let mut house = house();
    assert_eq!(body(&house.ask("GET /", "")), "<p>hello");
    let answer = house.ask("GET /sub%20dir", "");
    assert_eq!((status(&answer), header(&answer, "location")), (301, Some("/sub%20dir/")));
    assert_eq!(body(&house.ask("GET /sub%20dir/", "")), "sub");
    // Not where a careless join of the target and a slash would lead: another host.
    fs::create_dir(house.www().join("example.org")).unwrap();
    assert_eq!(header(&house.ask("GET //example.org", ""), "location"), Some("/example.org/"));
    assert_eq!(status(&house.ask("GET /example.org/", "")), 404);
    assert_eq!(status(&house.ask("GET /a.txt/", "")), 404);
}

#[test]
fn nothing_outside_the_root_and_nothing_hidden_is_served() {
    let mut house = house();
    let secret = house.folder.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    house.write(".hidden", b"secret");
    fs::create_dir(house.www().join(".git")).unwrap();
    house.write(".git/config", b"secret");
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, house.www().join(name)).unwrap();
    link(&secret, "out");
    link(Path::new(".."), "up");
    link(Path::new(".hidden"), "seen");
    link(Path::new(".git"), "git");
    link(Path::new("a.txt"), "inside");
    for path in [
        "/../secret",
        "/..%2fsecret",
        "/%2e%2e/secret",
        "/%2e%2e%2fsecret",
        "/sub%20dir/../../secret",
        "/out",
        "/up/secret",
        "/.hidden",
        "/%2ehidden",
        "/seen",
        "/.git/config",
        "/git/config",
        "/sub%20dir%2findex.html",
        "//..//secret",
        "/missing",
        "/a.txt/x",
    ] {
        let answer = house.ask(&format!("GET {path}"), "");
        assert_eq!(status(&answer), 404, "{path}");
        assert!(!answer.contains("secret"), "{path}");
    }
    assert_eq!(body(&house.ask("GET /inside", "")), "0123456789");
    for path in ["/a%00.txt", "/a%0d%0a", "/a\\b", "/a%5cb", "/%zz"] {
        assert_eq!(status(&house.ask(&format!("GET {path}"), "")), 400, "{path}");
    }
}

#[test]
fn what_is_no_regular_file_neither_blocks_nor_is_served() {
    let mut house = house();
    let made = std::process::Command::new("mkfifo").arg(house.www().join("fifo")).status().unwrap();
    assert!(made.success());
    assert_eq!(status(&house.ask("GET /fifo", "")), 404);
}

#[test]
fn conditions_spare_the_body() {
    let mut house = house();
    let whole = house.ask("GET /a.txt", "");
    let (tag, date) = (header(&whole, "etag").unwrap(), header(&whole, "last-modified").unwrap());
    for condition in [format!("If-None-Match: \"x\", {tag}\r\n"), format!("If-Modified-Since: {date}\r\n")] {
        let answer = house.ask("GET /a.txt", &condition);
        assert_eq!((status(&answer), body(&answer)), (304, ""), "{condition}");
        assert_eq!(header(&answer, "etag"), Some(tag));
    }
    assert_eq!(status(&house.ask("GET /a.txt", "If-None-Match: \"x\"\r\n")), 200);
    assert_eq!(status(&house.ask("GET /a.txt", "If-Match: \"x\"\r\n")), 412);
    house.write("a.txt", b"01234567890");
    assert_eq!(status(&house.ask("GET /a.txt", &format!("If-None-Match: {tag}\r\n"))), 200);
}

#[test]
fn a_part_of_a_file_is_sent_when_asked_for() {
    let mut house = house();
    let answer = house.ask("GET /a.txt", "Range: bytes=2-4\r\n");
    assert_eq!((status(&answer), body(&answer)), (206, "234"));
    assert_eq!(header(&answer, "content-range"), Some("bytes 2-4/10"));
    assert_eq!(header(&answer, "content-length"), Some("3"));
    assert_eq!(body(&house.ask("GET /a.txt", "Range: bytes=-3\r\n")), "789");
    assert_eq!(body(&house.ask("GET /a.txt", "Range: bytes=8-\r\n")), "89");
    let answer = house.ask("GET /a.txt", "Range: bytes=10-\r\n");
    assert_eq!((status(&answer), header(&answer, "content-range")), (416, Some("bytes */10")));
    assert_eq!(status(&house.ask("GET /a.txt", "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n")), 200);
    assert_eq!(status(&house.ask("HEAD /a.txt", "Range: bytes=0-1\r\n")), 200);
}

#[test]
fn an_empty_file_has_a_whole_and_no_parts() {
    let mut house = house();
    let answer = house.ask("GET /empty", "");
    assert_eq!((status(&answer), header(&answer, "content-length"), body(&answer)), (200, Some("0"), ""));
    assert_eq!(status(&house.ask("GET /empty", "Range: bytes=0-\r\n")), 416);
    assert_eq!(status(&house.ask("GET /empty", "Range: bytes=-5\r\n")), 200);
}

#[test]
fn a_large_file_goes_out_in_pieces_as_the_client_takes_it() {
    let mut house = house();
    let content = "0123456789abcdef".repeat(1 << 16);
    house.write("big", content.as_bytes());
    let (pipe, _end) = house.connect();
    pipe.put("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    house.bench.run();
    let first = pipe.text();
    assert!(first.len() <= 1 << 16, "the pipe bounds what is under way");
    let answer = first + &house.say(&pipe, "");
    assert!(body(&answer) == content, "{}", answer.len());
    assert_eq!(pipe.shared(), content.len(), "the body is handed over without a copy");
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection() {
    let mut house = house();
    house.write("big", &vec![b'x'; 1 << 20]);
    let (pipe, end) = house.connect();
    pipe.put("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    house.bench.run();
    fs::File::options().write(true).open(house.www().join("big")).unwrap().set_len(10).unwrap();
    let answer = house.say(&pipe, "");
    assert!(answer.len() < 1 << 20);
    pipe.finish();
    house.bench.run();
    assert!(end.borrow().as_ref().unwrap().is_err());
}

#[test]
fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let mut house = house();
    let (pipe, end) = house.connect();
    let answer = house.say(
        &pipe,
        "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\nHEAD /a.txt HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /missing HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    let codes: Vec<u16> = answer.split("HTTP/1.1 ").skip(1).map(|part| part[..3].parse().unwrap()).collect();
    assert_eq!(codes, [200, 200, 404, 200]);
    assert!(answer.ends_with("<p>hello") && pipe.is_finished());
    pipe.finish();
    house.bench.run();
    assert!(end.borrow().as_ref().unwrap().is_ok());
}

#[test]
fn http_1_0_closes_unless_asked_not_to() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    assert_eq!(body(&house.say(&pipe, "GET /a.txt HTTP/1.0\r\n\r\n")), "0123456789");
    assert!(pipe.is_finished());
    let (pipe, _end) = house.connect();
    house.say(&pipe, "GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(!pipe.is_finished());
}

#[test]
fn a_client_that_closes_its_side_after_the_request_is_answered() {
    let mut house = house();
    let (pipe, end) = house.connect();
    pipe.put("GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    pipe.finish();
    house.bench.run();
    assert_eq!(body(&pipe.text()), "0123456789");
    assert!(end.borrow().is_some());
}

#[test]
fn a_request_without_exactly_one_good_host_is_400() {
    let mut house = house();
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    ] {
        let (pipe, _end) = house.connect();
        assert_eq!(status(&house.say(&pipe, head)), 400, "{head:?}");
        assert!(pipe.is_finished(), "{head:?}");
    }
    assert_eq!(status(&house.raw("GET http://a/a.txt HTTP/1.1\r\nHost: a\r\n\r\n")), 200);
}

#[test]
fn bad_syntax_is_400_and_closes() {
    let mut house = house();
    for head in [
        "GET\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
        "POST /-/sink HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "POST /-/sink HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST /-/sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, x\r\n\r\n",
        "POST /-/sink HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /-/sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let (pipe, _end) = house.connect();
        assert_eq!(status(&house.say(&pipe, head)), 400, "{head:?}");
        assert!(pipe.is_finished(), "{head:?}");
    }
}

#[test]
fn two_framings_at_once_are_refused_and_close_the_connection() {
    let mut house = house();
    for headers in
        ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"]
    {
        let (pipe, _end) = house.connect();
        let answer = house.say(
            &pipe,
            format!("POST /-/sink HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        assert_eq!(status(&answer), 400);
        assert!(!answer.contains("0123456789"), "{answer}");
        assert!(pipe.is_finished());
    }
}

#[test]
fn methods_are_405_with_allow_where_known_and_501_where_not() {
    let mut house = house();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = house.ask(&format!("{method} /a.txt"), "");
        assert_eq!((status(&answer), header(&answer, "allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
    }
    assert_eq!(status(&house.ask("TRACE /", "")), 405);
    assert_eq!(status(&house.raw("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n")), 405);
    assert_eq!(status(&house.ask("PROPFIND /", "")), 501);
    assert_eq!(status(&house.ask("get /", "")), 501);
    assert_eq!(status(&house.ask("DELETE /-/", "")), 405);
    let answer = house.ask("GET /-/sink", "");
    assert_eq!((status(&answer), header(&answer, "allow")), (405, Some("POST, PUT, OPTIONS")));
    for target in ["*", "/a.txt", "/-/", "/-/sink"] {
        let answer = house.ask(&format!("OPTIONS {target}"), "");
        assert_eq!(status(&answer), 204, "{target}");
        assert!(header(&answer, "allow").is_some(), "{target}");
    }
}

#[test]
fn limits_are_413_414_and_431() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    let answer = house.say(&pipe, "POST /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n");
    assert_eq!((status(&answer), pipe.is_finished()), (413, true));
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(17);
    let answer = house.raw(format!("POST /a.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"));
    assert_eq!(status(&answer), 413);
    assert_eq!(status(&house.ask(&format!("GET /{}", "x".repeat(8_192)), "")), 414);
    assert_eq!(status(&house.ask(&format!("GET /{}", "x".repeat(8_191)), "")), 404);
    assert_eq!(status(&house.ask("GET /a.txt", &format!("X: {}\r\n", "x".repeat(60_000)))), 200);
    assert_eq!(status(&house.ask("GET /a.txt", &format!("X: {}\r\n", "x".repeat(70_000)))), 431);
    assert_eq!(status(&house.ask("GET /a.txt", &"X: y\r\n".repeat(1_000))), 431);
}

#[test]
fn expectations_other_than_100_continue_are_417() {
    let mut house = house();
    assert_eq!(status(&house.ask("GET /a.txt", "Expect: 200-ok\r\n")), 417);
    assert_eq!(status(&house.raw("GET /a.txt HTTP/1.0\r\nExpect: x\r\n\r\n")), 200);
    let (pipe, _end) = house.connect();
    let head = "POST /-/sink HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(house.say(&pipe, head), "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(house.say(&pipe, "abc").contains("{\"bytes\":3,"));
    // Who is refused is not asked for the body first.
    let (pipe, _end) = house.connect();
    let answer = house.say(&pipe, head.replace("/-/sink", "/a.txt"));
    assert_eq!((status(&answer), pipe.is_finished()), (405, true));
}

#[test]
fn a_body_that_nobody_wants_is_read_and_the_connection_goes_on() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    let answer = house.say(
        &pipe,
        format!(
            "POST /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{}GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n",
            "x".repeat(100_000)
        ),
    );
    assert_eq!(status(&answer), 405);
    assert!(answer.ends_with("0123456789"));
}

#[test]
fn the_sink_counts_and_digests_a_body_of_any_length() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    let answer = house.say(&pipe, "POST /-/sink HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(
        body(&answer),
        "{\"bytes\":3,\"sha256\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}\n"
    );
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    let more = format!("{:x}\r\n{}\r\n0\r\nTrailer: x\r\n\r\n", 3 << 20, "x".repeat(3 << 20));
    let answer =
        house.say(&pipe, format!("PUT /-/sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{more}"));
    assert!(answer.contains("{\"bytes\":3145728,"), "{answer}");
}

#[test]
fn the_state_is_shown_as_a_page_and_as_json() {
    let mut house = house();
    let page = house.ask("GET /-/", "");
    assert_eq!(header(&page, "content-type"), Some("text/html; charset=utf-8"));
    assert!(page.contains("<td>192.0.2.2:80</td>"), "{page}");
    assert_eq!(header(&page, "cache-control"), Some("no-store"));
    let parsed: Value = serde_json::from_str(body(&house.ask("GET /-/state.json", ""))).unwrap();
    assert_eq!(parsed["counters"]["TcpInSegs"], 7);
    let parsed: Value = serde_json::from_str(body(&house.ask("GET /-/sockets.json", ""))).unwrap();
    assert_eq!(parsed[0]["local"], "192.0.2.2:80");
    assert_eq!(header(&house.ask("GET /-", ""), "location"), Some("/-/"));
    for path in ["/-/x", "/-/x.json", "/-/sockets.json/", "/-/a/b"] {
        assert_eq!(status(&house.ask(&format!("GET {path}"), "")), 404, "{path}");
    }
}

#[test]
fn without_a_root_or_an_index_the_state_is_the_front_page() {
    for with_root in [false, true] {
        let mut house = house_with(Config::default(), with_root);
        assert!(house.ask("GET /", "").contains("<h1>tapstack</h1>"));
        assert_eq!(status(&house.ask("GET /a.txt", "")), 404);
        let mut house = house_with(Config { state_page: false, ..Config::default() }, with_root);
        for path in ["/", "/-/", "/-/state.json", "/-/sink"] {
            assert_eq!(status(&house.ask(&format!("GET {path}"), "")), 404, "{path}");
        }
    }
}

#[test]
fn a_head_that_does_not_come_to_its_end_is_408() {
    let mut house = house();
    let (pipe, end) = house.connect();
    house.say(&pipe, "GET / HT");
    // One octet at a time does not help: the time is for the whole head.
    for _ in 0..9 {
        house.bench.pass(Duration::from_secs(1));
        pipe.put("x");
    }
    house.bench.pass(Duration::from_millis(999));
    assert_eq!(pipe.text(), "");
    house.bench.pass(Duration::from_millis(1));
    let answer = pipe.text();
    assert_eq!((status(&answer), header(&answer, "connection"), pipe.is_finished()), (408, Some("close"), true));
    assert_eq!(header(&answer, "date"), Some("Sun, 22 Nov 2026 12:00:10 GMT"));
    house.bench.pass(Duration::from_secs(2));
    assert!(end.borrow().is_some() && pipe.is_closed());
}

#[test]
fn half_a_pipelined_request_is_408_after_the_answer_to_the_first() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    let answer = house.say(&pipe, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /a.t");
    assert!(answer.ends_with("0123456789"));
    house.bench.pass(Duration::from_secs(60));
    assert_eq!(status(&pipe.text()), 408);
}

#[test]
fn a_connection_without_a_request_is_closed_without_a_word() {
    let mut house = house();
    let (pipe, end) = house.connect();
    house.bench.pass(Duration::from_secs(59));
    house.say(&pipe, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    house.bench.pass(Duration::from_millis(59_999));
    assert!(!pipe.is_finished());
    house.bench.pass(Duration::from_millis(1));
    assert!(pipe.is_finished());
    assert_eq!(pipe.text(), "");
    pipe.finish();
    house.bench.run();
    assert!(end.borrow().as_ref().unwrap().is_ok());
}

#[test]
fn a_body_that_stands_still_is_408_and_one_that_moves_is_not() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    house.say(&pipe, "POST /-/sink HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    for _ in 0..5 {
        house.bench.pass(Duration::from_secs(50));
        assert_eq!(house.say(&pipe, "x".repeat(30_000)), "");
    }
    house.bench.pass(Duration::from_secs(60));
    assert_eq!(status(&pipe.text()), 408);
}

#[test]
fn a_body_that_trickles_is_408() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    house.say(&pipe, "POST /-/sink HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let mut seconds = 0;
    while pipe.text().is_empty() {
        pipe.put("x");
        house.bench.pass(Duration::from_secs(1));
        seconds += 1;
    }
    assert!((60..=62).contains(&seconds), "{seconds}");
}

#[test]
fn a_client_that_stops_reading_for_a_minute_is_waited_for_and_for_good_is_not() {
    let mut house = house();
    house.write("big", &vec![b'x'; 1 << 20]);
    let (pipe, end) = house.connect();
    pipe.put("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    house.bench.pass(Duration::from_secs(90));
    pipe.text();
    house.bench.pass(Duration::from_secs(299));
    assert!(end.borrow().is_none());
    house.bench.pass(Duration::from_secs(1));
    assert!(end.borrow().as_ref().unwrap().is_err() && pipe.is_closed());
    assert_eq!(pipe.text(), "", "what was queued was given up");
}

#[test]
fn a_shutdown_finishes_the_request_at_hand_and_closes() {
    let mut house = house();
    house.write("big", &vec![b'x'; 1 << 20]);
    let (idle, _end) = house.connect();
    let (used, _end) = house.connect();
    house.say(&used, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    let (busy, _end) = house.connect();
    busy.put("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    house.bench.run();
    house.shutdown.ask();
    house.bench.run();
    assert!(idle.is_finished() && used.is_finished() && !busy.is_finished());
    let answer = house.say(&busy, "");
    assert_eq!(body(&answer).len(), 1 << 20);
    assert!(busy.is_finished());
}

#[test]
fn after_the_last_answer_what_the_client_still_sends_is_read_for_a_moment() {
    let mut house = house();
    let (pipe, end) = house.connect();
    house.say(&pipe, "POST /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
    assert_eq!(status(&house.say(&pipe, "x".repeat(1_000_000))), 0);
    assert!(end.borrow().is_none() && !pipe.is_closed());
    house.bench.pass(Duration::from_secs(2));
    assert!(end.borrow().is_some() && pipe.is_closed());
}
