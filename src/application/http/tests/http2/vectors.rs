//! What a client may not say and what it hears then, by the paragraphs of RFC 9113: the cases of h2spec and some more.
//! An error of a stream may be one of the connection (§5.4.2).

use super::super::*;
use super::frames::*;

/// What comes of something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// The connection ends with this error.
    GoAway(u32),
    /// The stream does.
    Reset(u32),
    /// It is answered.
    Status(u16),
    /// Nothing: a ping after it is answered, and nothing else comes.
    Nothing,
}
use Heard::{GoAway, Nothing, Reset, Status};

pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const FLOW_CONTROL_ERROR: u32 = 3;
pub(super) const STREAM_CLOSED: u32 = 5;
pub(super) const FRAME_SIZE_ERROR: u32 = 6;
pub(super) const REFUSED_STREAM: u32 = 7;

/// Says something on a connection of its own, and gives the last thing that was heard of it but acknowledgments.
pub(super) fn heard(said: &[Vec<u8>]) -> Heard {
    let mut house = house();
    let mut client = Client::new(&mut house);
    let mut frames = Vec::new();
    for said in said {
        frames.extend(client.say(&mut house, said));
    }
    frames.extend(client.say(&mut house, frame(PING, 0, 0, *b"the last")));
    let gone = frames.iter().find(|frame| frame.kind == GOAWAY);
    if let Some(gone) = gone {
        assert!(client.pipe.is_finished(), "RFC 9113 §5.4.1: the connection ends after it");
        return GoAway(code(gone));
    }
    assert!(frames.iter().any(|frame| frame.kind == PING && frame.payload == b"the last"), "{frames:?}");
    let of_streams = |frame: &&Frame| matches!(frame.kind, HEADERS | RST_STREAM);
    match frames.iter().rfind(of_streams) {
        Some(frame) if frame.kind == RST_STREAM => Reset(code(frame)),
        Some(frame) => Status(status_of(frame)),
        None => Nothing,
    }
}

pub(super) fn check(vectors: &[(&str, &[Vec<u8>], Heard)]) {
    let wrong: Vec<String> = vectors
        .iter()
        .map(|(name, said, expected)| (name, heard(said), expected))
        .filter(|(_, heard, expected)| heard != *expected)
        .map(|(name, heard, expected)| format!("{name}: {heard:?}, not {expected:?}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A request with these fields in place of the usual.
pub(super) fn asked(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, block(fields))
}

/// A GET with further fields.
fn asked_with(fields: &[(&str, &str)]) -> Vec<u8> {
    asked(&[&request("GET", "/a.txt")[..], fields].concat())
}

fn ping() -> Vec<u8> {
    frame(PING, 0, 0, [7; 8])
}

fn update(stream: u32, octets: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, octets.to_be_bytes())
}

fn data(stream: u32, flags: u8, octets: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, octets)
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, 8u32.to_be_bytes())
}

fn priority(stream: u32, on: u32) -> Vec<u8> {
    frame(PRIORITY, 0, stream, [&on.to_be_bytes()[..], &[255]].concat())
}

/// The first half of a request's fields.
fn begun(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &block(&request("GET", "/a.txt"))[..20])
}

/// The second.
fn continued(stream: u32) -> Vec<u8> {
    frame(CONTINUATION, END_HEADERS, stream, &block(&request("GET", "/a.txt"))[20..])
}

#[test]
fn frames_rfc_9113_4() {
    let mut reserved = get(1, "/a.txt");
    reserved[5] |= 0x80;
    check(&[
        ("§4.1 a frame of an unknown type", &[frame(0xbe, 0xff, 0, [0; 8])], Nothing),
        ("§4.1 one on a stream", &[post(1), frame(0xbe, 0xff, 1, [0; 8]), data(1, END_STREAM, b"x")], Status(200)),
        ("§4.1 unknown flags", &[frame(PING, 0x16, 0, [7; 8])], Nothing),
        ("§4.1 the reserved bit", &[reserved], Status(200)),
        ("§4.2 a frame as large as allowed", &[post(1), data(1, END_STREAM, &[0; 1 << 14])], Status(200)),
        ("§4.2 larger data", &[post(1), data(1, END_STREAM, &[0; (1 << 14) + 1])], GoAway(FRAME_SIZE_ERROR)),
        ("§4.2 larger fields", &[frame(HEADERS, 5, 1, [0; (1 << 14) + 1])], GoAway(FRAME_SIZE_ERROR)),
        ("§4.3 another frame among fields", &[begun(1), priority(1, 0)], GoAway(PROTOCOL_ERROR)),
        ("§4.3 another stream's fields", &[begun(1), get(3, "/")], GoAway(PROTOCOL_ERROR)),
        (
            "§4.3 no fields: a deviation",
            &[frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff")],
            GoAway(PROTOCOL_ERROR),
        ),
    ]);
}

#[test]
fn states_rfc_9113_5_1() {
    check(&[
        ("idle: DATA", &[data(1, END_STREAM, b"x")], GoAway(PROTOCOL_ERROR)),
        ("idle: RST_STREAM", &[reset(1)], GoAway(PROTOCOL_ERROR)),
        ("idle: WINDOW_UPDATE", &[update(1, 100)], GoAway(PROTOCOL_ERROR)),
        ("idle: CONTINUATION", &[continued(1)], GoAway(PROTOCOL_ERROR)),
        ("idle: PRIORITY", &[priority(1, 0)], Nothing),
        ("half-closed: DATA", &[get(1, "/a.txt"), data(1, 0, b"x")], Reset(STREAM_CLOSED)),
        ("closed: HEADERS", &[get(1, "/a.txt"), get(1, "/")], GoAway(PROTOCOL_ERROR)),
        ("half-closed: CONTINUATION", &[get(1, "/a.txt"), continued(1)], GoAway(PROTOCOL_ERROR)),
        ("half-closed: WINDOW_UPDATE", &[get(1, "/a.txt"), update(1, 9)], Status(200)),
        ("half-closed: RST_STREAM", &[get(1, "/a.txt"), reset(1)], Status(200)),
        ("reset: DATA", &[post(1), reset(1), data(1, 0, b"x")], Reset(STREAM_CLOSED)),
        ("reset: HEADERS", &[post(1), reset(1), get(1, "/")], GoAway(PROTOCOL_ERROR)),
        ("reset: PRIORITY", &[post(1), reset(1), priority(1, 0)], Nothing),
        ("reset: RST_STREAM", &[post(1), reset(1), reset(1)], Nothing),
        ("§5.1.1 an even stream", &[get(2, "/")], GoAway(PROTOCOL_ERROR)),
        ("§5.1.1 a stream passed over", &[get(5, "/a.txt"), get(3, "/")], GoAway(PROTOCOL_ERROR)),
        (
            "§5.3.1 fields that depend on themselves",
            &[frame(HEADERS, 5 | PRIORITISED, 1, [&[0, 0, 0, 1, 9][..], &block(&request("GET", "/"))].concat())],
            Reset(PROTOCOL_ERROR),
        ),
        ("§5.5 unknown frames among fields", &[begun(1), frame(0xbe, 0, 0, [0; 8])], GoAway(PROTOCOL_ERROR)),
    ]);
}

#[test]
fn streams_at_once_rfc_9113_5_1_2() {
    let limit = crate::base::limits::HTTP2_STREAMS;
    let many: Vec<Vec<u8>> = (0..limit).map(|n| post(2 * n + 1)).collect();
    assert_eq!(heard(&many), Nothing);
    assert_eq!(heard(&[many.concat(), post(2 * limit + 1)]), Reset(REFUSED_STREAM));
    assert_eq!(heard(&[many.concat(), data(1, END_STREAM, b""), post(2 * limit + 1)]), Status(200));
}

#[test]
fn kinds_of_frames_rfc_9113_6() {
    let block_of = block(&request("GET", "/a.txt"));
    let padded = |pad: u8| frame(HEADERS, 5 | PADDED, 1, [&[pad][..], &block_of, &[0; 4]].concat());
    check(&[
        ("§6.1 DATA of no stream", &[data(0, 0, b"x")], GoAway(PROTOCOL_ERROR)),
        ("§6.1 padding", &[post(1), frame(DATA, END_STREAM | PADDED, 1, [2, 1, 0, 0])], Status(200)),
        ("§6.1 too much of it", &[post(1), frame(DATA, PADDED, 1, [6, 1, 2, 3, 4, 5])], GoAway(PROTOCOL_ERROR)),
        ("§6.2 HEADERS of no stream", &[frame(HEADERS, 5, 0, &block_of)], GoAway(PROTOCOL_ERROR)),
        ("§6.2 padding", &[padded(4)], Status(200)),
        ("§6.2 too much of it", &[padded(255)], GoAway(PROTOCOL_ERROR)),
        ("§6.3 PRIORITY of no stream", &[priority(0, 1)], GoAway(PROTOCOL_ERROR)),
        ("§6.3 its length", &[frame(PRIORITY, 0, 1, [0; 4])], GoAway(FRAME_SIZE_ERROR)),
        ("§6.4 RST_STREAM of no stream", &[reset(0)], GoAway(PROTOCOL_ERROR)),
        ("§6.4 its length", &[post(1), frame(RST_STREAM, 0, 1, [0; 3])], GoAway(FRAME_SIZE_ERROR)),
        ("§6.5 SETTINGS of a stream", &[frame(SETTINGS, 0, 1, [])], GoAway(PROTOCOL_ERROR)),
        ("§6.5 its length", &[frame(SETTINGS, 0, 0, [0; 3])], GoAway(FRAME_SIZE_ERROR)),
        ("§6.5 what is acknowledged", &[frame(SETTINGS, ACK, 0, [0; 6])], GoAway(FRAME_SIZE_ERROR)),
        ("§6.5.2 ENABLE_PUSH", &[settings(&[(2, 2)])], GoAway(PROTOCOL_ERROR)),
        ("§6.5.2 INITIAL_WINDOW_SIZE: a deviation", &[settings(&[(4, 1 << 31)])], GoAway(PROTOCOL_ERROR)),
        ("§6.5.2 a small MAX_FRAME_SIZE", &[settings(&[(5, (1 << 14) - 1)])], GoAway(PROTOCOL_ERROR)),
        ("§6.5.2 a large one", &[settings(&[(5, 1 << 24)])], GoAway(PROTOCOL_ERROR)),
        ("§6.5.2 an unknown setting", &[settings(&[(0xff, 1)])], Nothing),
        (
            "§6.6 PUSH_PROMISE",
            &[post(1), frame(PUSH_PROMISE, 4, 1, [&[0, 0, 0, 2][..], &block_of].concat())],
            GoAway(PROTOCOL_ERROR),
        ),
        ("§6.7 PING of a stream", &[frame(PING, 0, 1, [0; 8])], GoAway(PROTOCOL_ERROR)),
        ("§6.7 its length", &[frame(PING, 0, 0, [0; 6])], GoAway(FRAME_SIZE_ERROR)),
        ("§6.8 GOAWAY of a stream", &[frame(GOAWAY, 0, 1, [0; 8])], GoAway(PROTOCOL_ERROR)),
        ("§6.9 no octet for the connection", &[update(0, 0)], GoAway(PROTOCOL_ERROR)),
        ("§6.9 no octet for a stream", &[post(1), update(1, 0)], GoAway(PROTOCOL_ERROR)),
        ("§6.9 its length", &[frame(WINDOW_UPDATE, 0, 0, [0; 3])], GoAway(FRAME_SIZE_ERROR)),
        ("§6.9.1 too wide a connection", &[update(0, i32::MAX as u32)], GoAway(FLOW_CONTROL_ERROR)),
        ("§6.9.1 too wide a stream", &[post(1), update(1, i32::MAX as u32)], Reset(FLOW_CONTROL_ERROR)),
        (
            "§6.9.2 a setting that makes it so",
            &[post(1), update(1, 1 << 20), settings(&[(4, i32::MAX as u32)])],
            GoAway(FLOW_CONTROL_ERROR),
        ),
        ("§6.10 fields in pieces", &[begun(1), continued(1)], Status(200)),
        ("§6.10 CONTINUATION of no stream", &[begun(1), continued(0)], GoAway(PROTOCOL_ERROR)),
        ("§6.10 of another", &[begun(1), continued(3)], GoAway(PROTOCOL_ERROR)),
        ("§6.10 after the end of the fields", &[post(1), continued(1)], GoAway(PROTOCOL_ERROR)),
        ("§6.10 data among fields", &[begun(1), data(1, 0, b"x")], GoAway(PROTOCOL_ERROR)),
        ("§7 an unknown error of a stream", &[post(1), frame(RST_STREAM, 0, 1, [255; 4])], Nothing),
    ]);
}

#[test]
fn pings_and_settings_are_acknowledged_rfc_9113_6_5_3_6_7() {
    let mut house = house();
    let mut client = Client::new(&mut house);
    let heard = client.say(&mut house, ping());
    assert_eq!(heard, [Frame { kind: PING, flags: ACK, stream: 0, payload: vec![7; 8] }]);
    assert_eq!(client.say(&mut house, frame(PING, ACK, 0, [7; 8])), []);
    let heard = client.say(&mut house, settings(&[(4, 100)]));
    assert_eq!(heard, [Frame { kind: SETTINGS, flags: ACK, stream: 0, payload: vec![] }]);
}

#[test]
fn windows_bound_what_is_sent_rfc_9113_6_9() {
    let mut house = house();
    let mut client = Client::new(&mut house);
    client.say(&mut house, settings(&[(4, 100), (4, 1)]));
    let heard = client.say(&mut house, get(1, "/a.txt"));
    assert_eq!(body_of(&heard, 1), b"0", "§6.5.3: the last value counts");
    // §6.9.2: what was sent is taken off a window that changes, which may be less than nothing then.
    assert_eq!(body_of(&client.say(&mut house, settings(&[(4, 3)])), 1), b"12");
    assert_eq!(body_of(&client.say(&mut house, settings(&[(4, 0)])), 1), b"");
    assert_eq!(body_of(&client.say(&mut house, update(1, 3)), 1), b"");
    assert_eq!(body_of(&client.say(&mut house, update(1, 2)), 1), b"34");
    let heard = client.say(&mut house, update(1, 1_000));
    assert_eq!((body_of(&heard, 1), heard.last().unwrap().flags), (b"56789".to_vec(), END_STREAM));
}

#[test]
fn requests_rfc_9113_8() {
    let ends = |fields: &[(&str, &str)]| frame(HEADERS, END_HEADERS | END_STREAM, 1, block(fields));
    let long = |length| {
        frame(
            HEADERS,
            END_HEADERS,
            1,
            block(&[&request("POST", "/-/sink")[..], &[("content-length", length)]].concat()),
        )
    };
    check(&[
        (
            "§8.1 fields in the middle",
            &[post(1), frame(HEADERS, END_HEADERS, 1, block(&[("x", "y")]))],
            Reset(PROTOCOL_ERROR),
        ),
        ("§8.1 trailers", &[post(1), data(1, 0, b"x"), ends(&[("x", "y")])], Status(200)),
        (
            "§8.1 trailers with a target: a deviation",
            &[post(1), data(1, 0, b"x"), ends(&request("GET", "/"))],
            Status(200),
        ),
        ("§8.1.1 less than was promised", &[long("2"), data(1, END_STREAM, b"x")], Reset(PROTOCOL_ERROR)),
        ("§8.1.1 more", &[long("2"), data(1, 0, b"x"), data(1, END_STREAM, b"yz")], Reset(PROTOCOL_ERROR)),
        ("§8.1.1 as much", &[long("2"), data(1, 0, b"x"), data(1, END_STREAM, b"y")], Status(200)),
        (
            "§8.1.1 no body at all",
            &[ends(&[&request("POST", "/-/sink")[..], &[("content-length", "2")]].concat())],
            Reset(PROTOCOL_ERROR),
        ),
        ("§8.1.1 no length", &[long("x"), data(1, END_STREAM, b"y")], Reset(PROTOCOL_ERROR)),
        ("§8.2.1 an upper-case name", &[asked_with(&[("X", "y")])], GoAway(PROTOCOL_ERROR)),
        ("§8.2.1 a name of none", &[asked_with(&[("x y", "z")])], GoAway(PROTOCOL_ERROR)),
        ("§8.2.1 a value with an end of line", &[asked_with(&[("x", "y\r\nz")])], GoAway(PROTOCOL_ERROR)),
        ("§8.2.1 white space before a value", &[asked_with(&[("x", " y")])], Status(400)),
        ("§8.2.1 white space behind it", &[asked_with(&[("x", "y\t")])], Status(400)),
        ("§8.2.2 connection", &[asked_with(&[("connection", "keep-alive")])], Reset(PROTOCOL_ERROR)),
        ("§8.2.2 transfer-encoding", &[asked_with(&[("transfer-encoding", "chunked")])], Reset(PROTOCOL_ERROR)),
        ("§8.2.2 upgrade", &[asked_with(&[("upgrade", "h2c")])], Reset(PROTOCOL_ERROR)),
        ("§8.2.2 te", &[asked_with(&[("te", "gzip")])], Reset(PROTOCOL_ERROR)),
        ("§8.2.2 te: trailers", &[asked_with(&[("te", "trailers")])], Status(200)),
        ("§8.3 an unknown one", &[asked(&[&request("GET", "/")[..], &[(":x", "y")]].concat())], GoAway(PROTOCOL_ERROR)),
        (
            "§8.3 one of an answer",
            &[asked(&[&request("GET", "/")[..], &[(":status", "200")]].concat())],
            Reset(PROTOCOL_ERROR),
        ),
        ("§8.3 behind a field", &[asked(&[&[("x", "y")][..], &request("GET", "/")].concat())], Reset(PROTOCOL_ERROR)),
        ("§8.3.1 twice", &[asked(&[&request("GET", "/")[..], &[(":path", "/")]].concat())], Reset(PROTOCOL_ERROR)),
        ("§8.3.1 no method", &[asked(&request("GET", "/")[1..])], Reset(PROTOCOL_ERROR)),
        (
            "§8.3.1 no scheme",
            &[asked(&[(":method", "GET"), (":authority", "a"), (":path", "/")])],
            Reset(PROTOCOL_ERROR),
        ),
        ("§8.3.1 no path", &[asked(&request("GET", "/")[..3])], Reset(PROTOCOL_ERROR)),
        ("§8.3.1 an empty path", &[asked(&request("GET", ""))], Reset(PROTOCOL_ERROR)),
        ("§8.3.1 no slash", &[asked(&request("GET", "a.txt"))], Reset(PROTOCOL_ERROR)),
        (
            "§8.3.1 another scheme",
            &[asked(&[(":method", "GET"), (":scheme", "ftp"), (":authority", "a"), (":path", "/")])],
            Status(400),
        ),
        (
            "§8.3.1 a user",
            &[asked(&[(":method", "GET"), (":scheme", "http"), (":authority", "u@a"), (":path", "/")])],
            Status(400),
        ),
        ("§8.3.1 no host", &[asked(&[(":method", "GET"), (":scheme", "http"), (":path", "/")])], Status(400)),
        (
            "§8.3.1 Host for it",
            &[asked(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "a")])],
            Status(200),
        ),
        ("§8.3.1 the same Host", &[asked_with(&[("host", "A:80")])], Status(200)),
        ("§8.3.1 another Host", &[asked_with(&[("host", "b")])], Status(400)),
        ("§8.3.1 another port", &[asked_with(&[("host", "a:81")])], Status(400)),
        ("§8.3.1 two of them", &[asked_with(&[("host", "a"), ("host", "a")])], Status(400)),
        ("§8.3.1 the asterisk", &[asked(&request("OPTIONS", "*"))], Status(204)),
        ("§8.3.1 of another method", &[asked(&request("GET", "*"))], Status(400)),
        ("§8.5 CONNECT", &[asked(&[(":method", "CONNECT"), (":authority", "a:80")])], Status(405)),
        ("§8.5 with a path", &[asked(&request("CONNECT", "/"))], Reset(PROTOCOL_ERROR)),
        (
            "RFC 8441 §4 a protocol",
            &[asked(&[&request("CONNECT", "/")[..], &[(":protocol", "websocket")]].concat())],
            Reset(PROTOCOL_ERROR),
        ),
    ]);
}

#[test]
fn what_only_begins_like_the_preface_is_http_1_1_rfc_9113_3_4() {
    for (said, expected) in [
        ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 505),
        ("PRI * HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("PUT /a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ] {
        let mut house = house();
        assert_eq!(status(&house.raw(said)), expected, "{said}");
        let (pipe, _end) = house.connect();
        let mut answer = String::new();
        for octet in said.bytes() {
            answer += &house.say(&pipe, [octet]);
        }
        assert_eq!(status(&answer), expected, "{said}, octet by octet");
    }
}
