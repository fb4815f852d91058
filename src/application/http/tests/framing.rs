//! Where a request ends, byte by byte: what RFC 9112 says MUST be refused is, and where octets are cut makes no
//! difference.

use super::*;
use proptest::prelude::*;

/// The request behind a head with `headers`, with a second one behind it that must be answered only if the first was
/// understood.
fn smuggled(headers: &str, body: &str) -> String {
    format!("POST /-/sink HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn codes(answers: &str) -> Vec<u16> {
    answers.match_indices("HTTP/1.1 ").map(|(at, _)| answers[at + 9..at + 12].parse().unwrap()).collect()
}

#[test]
fn a_body_ends_where_rfc_9112_says_or_the_connection_does() {
    let mut house = house();
    let chunked = "1\r\nx\r\n0\r\n\r\n";
    for (headers, body, expected) in [
        // §6.3: none of the fields, no body.
        ("", "", &[200, 200][..]),
        ("Content-Length: 0\r\n", "", &[200, 200]),
        ("Content-Length: 3\r\n", "abc", &[200, 200]),
        ("Content-Length:\t3 \r\n", "abc", &[200, 200]),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", "abc", &[200, 200]),
        ("Content-Length: 3, 3\r\n", "abc", &[200, 200]),
        ("Content-Length: 003\r\n", "abc", &[200, 200]),
        // §6.3, 5: an invalid length is unrecoverable.
        ("Content-Length: 3\r\nContent-Length: 4\r\n", "abc", &[400]),
        ("Content-Length: 3, 4\r\n", "abc", &[400]),
        ("Content-Length: 3,\r\n", "abc", &[400]),
        ("Content-Length: +3\r\n", "abc", &[400]),
        ("Content-Length: -3\r\n", "abc", &[400]),
        ("Content-Length: 0x3\r\n", "abc", &[400]),
        ("Content-Length: 3 3\r\n", "abc", &[400]),
        ("Content-Length: 0o3\r\n", "abc", &[400]),
        ("Content-Length: 3.0\r\n", "abc", &[400]),
        ("Content-Length: \"3\"\r\n", "abc", &[400]),
        ("Content-Length: 18446744073709551616\r\n", "abc", &[400]),
        ("Content-Length: 99999999999999999999\r\nContent-Length: 99999999999999999998\r\n", "abc", &[400]),
        ("Content-Length:  3\r\n", "abc", &[200, 200]),
        ("Content-Length:\r\n", "abc", &[400]),
        ("Content-Length: ٣\r\n", "abc", &[400]),
        // §6.1, §7.1: chunks.
        ("Transfer-Encoding: chunked\r\n", chunked, &[200, 200]),
        ("Transfer-Encoding: CHUNKED\r\n", chunked, &[200, 200]),
        ("Transfer-Encoding: , chunked,\r\n", chunked, &[200, 200]),
        ("Transfer-Encoding: chunked\r\n", "1;a=b\r\nx\r\n0\r\nT: u\r\n\r\n", &[200, 200]),
        ("Transfer-Encoding: chunked\r\n", "1 \r\nx\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "1;\r\nx\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "1\nx\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "1\r\nxy\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\n folded: x\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nx", &[400]),
        ("Transfer-Encoding: chunked\r\n", "0x1\r\nx\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "+1\r\nx\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "-1\r\nx\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", " 1\r\nx\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "1_0\r\nxxxxxxxxxxxxxxxx\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "1;bad[=x\r\nx\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "1;\nx\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "1;a\rb\r\nx\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "\r\nx\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "0\r\nA : b\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n", &[200, 200]),
        // §7.1.2: what trailers say of framing or of the host is not believed.
        ("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\nContent-Length: 99\r\nHost: b\r\n\r\n", &[200, 200]),
        // §6.1: chunked is applied once and last; what we do not know is 501.
        ("Transfer-Encoding: chunked, chunked\r\n", chunked, &[400]),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked, &[400]),
        ("Transfer-Encoding: chunked, gzip\r\n", chunked, &[400]),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunked, &[400]),
        ("Transfer-Encoding: identity\r\n", chunked, &[400]),
        ("Transfer-Encoding: xchunked\r\n", chunked, &[400]),
        ("Transfer-Encoding: \"chunked\"\r\n", chunked, &[400]),
        ("Transfer-Encoding:\r\n", chunked, &[400]),
        ("Transfer-Encoding: gzip, chunked\r\n", chunked, &[501]),
        // §6.3, 3: both.
        ("Content-Length: 11\r\nTransfer-Encoding: chunked\r\n", chunked, &[400]),
        ("Transfer-Encoding: chunked\r\nContent-Length: 11\r\n", chunked, &[400]),
        ("Transfer-Encoding: identity\r\nContent-Length: 11\r\n", chunked, &[400]),
        // §5.1: no white space before the colon. §5.2: no folded lines. RFC 9110 §5.5: no CR, LF or NUL in a value.
        ("Content-Length : 3\r\n", "abc", &[400]),
        ("Transfer-Encoding : chunked\r\n", chunked, &[400]),
        (" Content-Length: 3\r\n", "abc", &[400]),
        ("X: y\r\n Content-Length: 3\r\n", "abc", &[400]),
        ("X: y\r\n\tz\r\n", "", &[400]),
        ("X: a\rb\r\n", "", &[400]),
        ("X: a\0b\r\n", "", &[400]),
        ("X: a\r\r\n", "", &[400]),
        ("X\0: a\r\n", "", &[400]),
        ("X\r\n", "", &[400]),
        (": x\r\n", "", &[400]),
        ("X Y: z\r\n", "", &[400]),
        ("X: \x07\r\n", "", &[400]),
        ("X: a\x7fb\r\n", "", &[400]),
        ("X[Y: z\r\n", "", &[400]),
        ("X\u{e9}: y\r\n", "", &[400]),
        ("\tX: y\r\n", "", &[400]),
        ("X: y\r\n \r\n", "", &[400]),
        ("X:\r\n", "", &[200, 200]),
        ("X:y\r\n", "", &[200, 200]),
        ("Upgrade: websocket\r\nConnection: Upgrade\r\n", "", &[200, 200]),
        // Fields that merely look alike are others.
        ("Content_Length: 3\r\n", "", &[200, 200]),
        ("X: a\tb\u{e9}\r\n", "", &[200, 200]),
    ] {
        let (pipe, _end) = house.connect();
        let answers = house.say(&pipe, smuggled(headers, body));
        assert_eq!(codes(&answers), expected, "{headers:?} {body:?}");
        assert_eq!(pipe.is_finished(), expected.len() == 1, "{headers:?} {body:?}");
    }
}

#[test]
fn a_request_line_is_three_words_and_nothing_else() {
    let mut house = house();
    for (line, expected) in [
        ("GET /a.txt HTTP/1.1", 200),
        ("GET /a.txt?x=/../ HTTP/1.1", 200),
        ("GET http://a/a.txt HTTP/1.1", 200),
        ("GET  /a.txt HTTP/1.1", 400),
        ("GET /a.txt  HTTP/1.1", 400),
        ("GET /a.txt HTTP/1.1 ", 400),
        ("GET\t/a.txt HTTP/1.1", 400),
        (" GET /a.txt HTTP/1.1", 400),
        ("GET /a.txt", 400),
        ("GET /a.txt HTTP/0.9", 505),
        ("GET /a.txt HTTP/2.0", 505),
        ("GET /a.txt HTTP/9.9", 505),
        // §2.3: a later minor version is the last that we know.
        ("GET /a.txt HTTP/1.2", 200),
        ("GET /a.txt HTTP/1.9", 200),
        ("GET /a.txt HTTP/1.10", 400),
        ("GET /a.txt HTTP/1", 400),
        ("GET /a.txt HTTP/1.x", 400),
        ("GET /a.txt HTTP/ 1.1", 400),
        ("GET /a.txt HTTPS/1.1", 400),
        ("GET /a.txt http/1.1", 400),
        ("GET /a b HTTP/1.1", 400),
        ("GET /a\0b HTTP/1.1", 400),
        ("GET /a.txt#part HTTP/1.1", 400),
        ("GET a.txt HTTP/1.1", 400),
        ("G@T /a.txt HTTP/1.1", 400),
        ("GE(T /a.txt HTTP/1.1", 400),
        // RFC 3986 §2: a URI is ASCII.
        ("GET /caf\u{e9} HTTP/1.1", 400),
        ("GET /a\\b HTTP/1.1", 400),
        ("GET /a\x7f HTTP/1.1", 400),
        ("GET /a.txt\rHost: a", 400),
        ("GET", 400),
        ("GET HTTP/1.1", 400),
        ("   ", 400),
        ("", 200),
        ("\r\n", 200),
    ] {
        // An empty line before a request is passed over (§2.2).
        let request = match line.trim_end_matches("\r\n") {
            "" => format!("{line}\r\nGET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n"),
            _ => format!("{line}\r\nHost: a\r\n\r\n"),
        };
        assert_eq!(status(&house.raw(request)), expected, "{line:?}");
    }
    assert_eq!(status(&house.raw("GET /a.txt HTTP/1.1\nHost: a\n\n")), 200, "LF may end a line (§2.2)");
    assert_eq!(status(&house.raw(format!("GET /{}", "x".repeat(70_000)))), 414, "all of it is target");
}

#[test]
fn the_host_is_said_once_and_well_and_the_target_outranks_it() {
    let mut house = house();
    for (request, expected) in [
        // §3.2: a lack of Host, several of them, and one that is none.
        ("GET /a.txt HTTP/1.1\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\nhOST:\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: a?b\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: http://a\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: a:-1\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\n \r\nHost: a\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET /a.txt HTTP/1.1\r\nHost:a\t\r\n\r\n", 200),
        ("GET /a.txt HTTP/1.1\r\nHost: A.example.:8080\r\n\r\n", 200),
        ("GET /a.txt HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", 200),
        ("GET /a.txt HTTP/1.0\r\n\r\n", 200),
        ("GET /a.txt HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        // §3.2.2: the absolute form; a Host is to be there all the same.
        ("GET http://b/a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET http://b/a.txt HTTP/1.1\r\n\r\n", 400),
        ("GET http://u@b/a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http:///a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        // §3.2.3, §3.2.4: the authority form and the asterisk, where they belong and where not.
        ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405),
        ("CONNECT /a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 204),
        ("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", 204),
        ("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ] {
        let (pipe, _end) = house.connect();
        let answer = house.say(&pipe, request);
        assert_eq!(status(&answer), expected, "{request:?}");
        assert_eq!(pipe.is_finished(), expected >= 400 || request.contains("HTTP/1.0"), "{request:?}");
    }
}

#[test]
fn an_answer_has_the_framing_that_its_status_and_the_request_allow() {
    let mut house = house();
    for (line, headers, status_code, has_length) in [
        ("GET /a.txt", "", 200, true),
        ("HEAD /a.txt", "", 200, true),
        ("GET /missing", "", 404, true),
        ("HEAD /missing", "", 404, true),
        // §6.2, RFC 9110 §8.6: none in 204, none in 304 but what a 200 would have.
        ("OPTIONS /a.txt", "", 204, false),
        ("GET /a.txt", "If-None-Match: *\r\n", 304, false),
    ] {
        let answer = house.ask(line, headers);
        assert_eq!(status(&answer), status_code, "{line}");
        assert_eq!(header(&answer, "content-length").is_some(), has_length, "{line}");
        assert_eq!(header(&answer, "transfer-encoding"), None, "{line}");
        let has_body = has_length && !line.starts_with("HEAD");
        assert_eq!(!body(&answer).is_empty(), has_body, "{line}");
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_request_is_told_so() {
    let mut house = house();
    for begun in [
        "GET /a.txt HTTP/1.1\r\nHost",
        "POST /-/sink HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
        "POST /-/sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
    ] {
        let (pipe, end) = house.connect();
        pipe.put(begun);
        pipe.finish();
        house.bench.run();
        assert_eq!(codes(&pipe.text()), [400], "{begun:?}");
        assert!(end.borrow().is_some(), "{begun:?}");
    }
}

#[test]
fn who_is_to_wait_for_word_gets_it_after_the_answers_before_it() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    let answers = house.say(
        &pipe,
        "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /-/sink HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    );
    assert_eq!(codes(&answers), [200, 100]);
    assert_eq!(codes(&house.say(&pipe, "abc")), [200]);
    // A body that has begun to come needs no word (RFC 9110 §10.1.1).
    let answers =
        house.say(&pipe, "POST /-/sink HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(codes(&answers), [200]);
    // HTTP/1.0 knows nothing of it.
    let head = "POST /-/sink HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(codes(&house.say(&pipe, head)), [0; 0]);
    assert_eq!(codes(&house.say(&pipe, "abc")), [200]);
}

#[test]
fn a_client_that_says_goodbye_is_closed_at_once_and_one_that_is_shown_out_is_waited_for() {
    let mut house = house();
    for (request, is_over) in [
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", true),
        ("GET /a.txt HTTP/1.0\r\n\r\n", true),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nmore", false),
        ("GET /a.txt HTTP/1.1\r\n\r\n", false),
    ] {
        let (pipe, end) = house.connect();
        let answer = house.say(&pipe, request);
        assert_eq!(header(&answer, "connection"), Some("close"), "{request:?}");
        assert!(pipe.is_finished(), "{request:?}");
        assert_eq!(end.borrow().is_some(), is_over, "{request:?}");
    }
    let (pipe, _end) = house.connect();
    let answer = house.say(&pipe, "GET /a.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_eq!(header(&answer, "connection"), Some("keep-alive"));
}

#[test]
fn trailing_empty_lines_are_not_the_beginning_of_a_request() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    house.say(&pipe, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n\r\n");
    house.bench.pass(Duration::from_secs(60));
    assert!(pipe.is_finished());
    assert_eq!(pipe.text(), "", "no 408: nothing had begun");
}

#[test]
fn a_connection_that_waits_is_small() {
    let house = house();
    let (_ours, theirs) = pipe(1 << 16);
    let task = serve_connection(theirs, house.site.clone(), &house.shutdown);
    // The test's stream has two words, that of the stack one.
    assert!(size_of_val(&task) <= 176, "{} octets", size_of_val(&task));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn where_requests_are_cut_makes_no_difference(
        requests in prop::collection::vec(prop::sample::select(vec![
            "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nHEAD /a.txt HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "GET /missing HTTP/1.1\nHost: a\n\n",
            "POST /-/sink HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n\r\n\r\n\r\n\r\n\r",
            "POST /-/sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\n\r\n\r\r\n0\r\nA: b\r\n\r\n",
            "POST /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET ",
        ]), 1..5),
        last in prop::sample::select(vec![
            "",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "POST /-/sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nx",
        ]),
        cuts in prop::collection::vec(1usize..30, 1..20),
    ) {
        let text = requests.concat() + last;
        let mut house = house();
        let (pipe, _end) = house.connect();
        let whole = house.say(&pipe, &text);
        let (pipe, _end) = house.connect();
        let (mut answers, mut rest) = (String::new(), text.as_bytes());
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            answers += &house.say(&pipe, piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(answers, whole);
    }

    #[test]
    fn anything_at_all_is_answered_or_waited_for(octets: Vec<u8>, text in "(GET|POST) [ -~]{0,9} HTTP/1.1\r\n([ -~]{0,20}\r\n){0,4}") {
        let mut house = house();
        house.raw(octets);
        house.raw(text);
    }
}
