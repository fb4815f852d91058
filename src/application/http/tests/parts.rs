//! Parts of files and conditions on them, as clients that resume and caches ask (RFC 9110 §13, §14).

use super::*;

const TEN_THOUSAND: usize = 10_000;

/// A site with a file in which every octet says where it is, more or less.
fn with_numbers() -> (House, String) {
    let house = house();
    let content: String = (0..TEN_THOUSAND / 5).map(|n| format!("{n:04}.")).collect();
    house.write("numbers.txt", content.as_bytes());
    (house, content)
}

/// The parts of a multipart body: their Content-Range and octets.
fn parts(answer: &str) -> Vec<(String, String)> {
    let media_type = header(answer, "content-type").unwrap();
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let (text, end) = body(answer).split_once(&format!("\r\n--{boundary}--\r\n")).unwrap();
    assert_eq!(end, "");
    let separator = format!("--{boundary}\r\n");
    assert!(text.starts_with(&separator));
    let parts = text.split(&separator).skip(1);
    parts
        .map(|part| {
            let (head, octets) = part.split_once("\r\n\r\n").unwrap();
            let range = head.lines().find_map(|line| line.strip_prefix("Content-Range: ")).unwrap();
            assert!(head.contains("Content-Type: text/plain"), "{head}");
            (range.to_owned(), octets.strip_suffix("\r\n").unwrap_or(octets).to_owned())
        })
        .collect()
}

#[test]
fn several_parts_come_in_one_body_in_the_order_asked_for() {
    let (mut house, content) = with_numbers();
    let answer = house.ask("GET /numbers.txt", "Range: bytes=9000-9009,0-9,-5\r\n");
    assert_eq!(status(&answer), 206);
    assert_eq!(header(&answer, "content-range"), None, "RFC 9110 §15.3.7.2: only in the parts");
    assert_eq!(header(&answer, "content-length").unwrap(), body(&answer).len().to_string());
    let of = |first: usize, last: usize| (format!("bytes {first}-{last}/10000"), content[first..=last].to_owned());
    assert_eq!(parts(&answer), [of(9000, 9009), of(0, 9), of(9995, 9999)]);
    // The connection goes on: the length was right.
    let (pipe, _end) = house.connect();
    let request = "GET /numbers.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0,5000-5000\r\n\r\n";
    let two = house.say(&pipe, format!("{request}{request}"));
    assert_eq!(two.matches("HTTP/1.1 206").count(), 2);
}

#[test]
fn a_request_for_the_same_octets_again_and_again_gets_them_once() {
    let (mut house, content) = with_numbers();
    let range = format!("Range: bytes={}\r\n", vec!["0-"; 60].join(","));
    let answer = house.ask("GET /numbers.txt", &range);
    assert_eq!((status(&answer), header(&answer, "content-range")), (206, Some("bytes 0-9999/10000")));
    assert_eq!(body(&answer), content);
    let many = (0..1_000).map(|n| format!("{n}-{n}")).collect::<Vec<_>>().join(",");
    let answer = house.ask("GET /numbers.txt", &format!("Range: bytes={many}\r\n"));
    assert_eq!((status(&answer), body(&answer).len()), (200, TEN_THOUSAND));
}

#[test]
fn two_range_fields_or_another_unit_are_ignored() {
    let (mut house, _) = with_numbers();
    for headers in ["Range: bytes=0-1\r\nRange: bytes=3-4\r\n", "Range: lines=1-2\r\n", "Range: bytes=2-1\r\n"] {
        assert_eq!(status(&house.ask("GET /numbers.txt", headers)), 200, "{headers}");
    }
}

#[test]
fn if_range_gives_the_rest_of_the_same_file_and_all_of_another() {
    let (mut house, content) = with_numbers();
    let whole = house.ask("HEAD /numbers.txt", "");
    let (tag, date) = (header(&whole, "etag").unwrap(), header(&whole, "last-modified").unwrap());
    let resume = |house: &mut House, condition: &str| {
        house.ask("GET /numbers.txt", &format!("Range: bytes=9990-\r\nIf-Range: {condition}\r\n"))
    };
    for same in [tag, date] {
        let answer = resume(&mut house, same);
        assert_eq!((status(&answer), body(&answer)), (206, &content[9990..]), "{same}");
    }
    for other in ["\"other\"", &format!("W/{tag}"), "Wed, 18 Nov 2026 11:06:39 GMT", "Wed, 18 Nov 2026 11:06:41 GMT"] {
        assert_eq!(status(&resume(&mut house, other)), 200, "{other}");
    }
    // An If-Range that holds does not make a range beyond the end one; one that does not hold makes it none.
    let beyond = |condition: &str| format!("Range: bytes=10000-\r\nIf-Range: {condition}\r\n");
    assert_eq!(status(&house.ask("GET /numbers.txt", &beyond(tag))), 416);
    assert_eq!(status(&house.ask("GET /numbers.txt", &beyond("\"other\""))), 200);
}

#[test]
fn conditions_come_before_ranges_and_in_their_order() {
    let (mut house, _) = with_numbers();
    let whole = house.ask("HEAD /numbers.txt", "");
    let (tag, date) = (header(&whole, "etag").unwrap(), header(&whole, "last-modified").unwrap());
    const BEFORE: &str = "Mon, 01 Jan 2001 00:00:00 GMT";
    for (headers, expected) in [
        (format!("If-None-Match: {tag}\r\nRange: bytes=0-1\r\n"), 304),
        (format!("If-Modified-Since: {date}\r\nRange: bytes=0-1\r\n"), 304),
        ("If-Match: \"other\"\r\nRange: bytes=0-1\r\n".to_owned(), 412),
        (format!("If-Unmodified-Since: {BEFORE}\r\nRange: bytes=0-1\r\n"), 412),
        // If-Match outranks If-Unmodified-Since, If-None-Match outranks If-Modified-Since.
        (format!("If-Match: {tag}\r\nIf-Unmodified-Since: {BEFORE}\r\n"), 200),
        (format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {date}\r\n"), 200),
        (format!("If-Match: {tag}\r\nIf-None-Match: {tag}\r\n"), 304),
        (format!("If-Match: \"other\"\r\nIf-None-Match: {tag}\r\n"), 412),
        (format!("If-Match: {tag}\r\nRange: bytes=0-1\r\n"), 206),
        (format!("If-Unmodified-Since: {date}\r\nIf-Modified-Since: {BEFORE}\r\n"), 200),
        // What is no date is no condition.
        ("If-Modified-Since: yesterday\r\n".to_owned(), 200),
        ("If-Unmodified-Since: 0\r\n".to_owned(), 200),
    ] {
        assert_eq!(status(&house.ask("GET /numbers.txt", &headers)), expected, "{headers}");
    }
    // A condition holds of what is there; of what is not there, there is nothing to say but that.
    assert_eq!(status(&house.ask("GET /missing", "If-None-Match: *\r\n")), 404);
    // A 304 says what a cache needs and nothing of the content (RFC 9110 §15.4.5).
    let answer = house.ask("GET /numbers.txt", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((header(&answer, "etag"), header(&answer, "last-modified")), (Some(tag), Some(date)));
    assert_eq!((header(&answer, "content-length"), header(&answer, "content-type")), (None, None));
    assert_eq!(header(&answer, "vary"), Some("accept-encoding"));
}

#[test]
fn an_empty_file_with_any_range_is_answered() {
    let mut house = house();
    for (range, expected) in [("0-", 416), ("0-0", 416), ("-0", 416), ("-1", 200), ("0-,5-6", 416), ("-1,0-", 200)] {
        let answer = house.ask("GET /empty", &format!("Range: bytes={range}\r\n"));
        assert_eq!(status(&answer), expected, "{range}");
        assert_eq!(header(&answer, "content-range"), (expected == 416).then_some("bytes */0"), "{range}");
    }
}
