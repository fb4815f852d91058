//! What a client can't make us do: wait, keep, or work without end (RFC 9113 §10.5).

use super::super::super::http2::{PREFACE, REFUSAL};
use super::super::*;
use super::frames::*;

const NO_ERROR: u32 = 0;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

fn connected() -> (House, Client) {
    let mut house = house();
    let client = Client::new(&mut house);
    (house, client)
}

/// The errors of all GOAWAY frames.
fn farewells(frames: &[Frame]) -> Vec<u32> {
    frames.iter().filter(|frame| frame.kind == GOAWAY).map(code).collect()
}

/// The first frame of a stream that is of this kind.
fn of_stream(frames: &[Frame], kind: u8, stream: u32) -> Option<&Frame> {
    frames.iter().find(|frame| frame.kind == kind && frame.stream == stream)
}

#[test]
fn a_connection_without_a_stream_is_left_after_a_while() {
    let (mut house, mut client) = connected();
    client.say(&mut house, get(1, "/a.txt"));
    house.bench.pass(Duration::from_secs(59));
    // What only says that somebody is there is no request.
    assert_eq!(farewells(&client.say(&mut house, frame(PING, 0, 0, [0; 8]))), [0; 0]);
    house.bench.pass(Duration::from_secs(1));
    let heard = client.say(&mut house, []);
    assert_eq!(farewells(&heard), [NO_ERROR]);
    // What was on its way is answered still.
    assert_eq!(status_of(of_stream(&client.say(&mut house, get(3, "/a.txt")), HEADERS, 3).unwrap()), 200);
    let ping = heard.iter().find(|frame| frame.kind == PING).unwrap();
    let last = client.say(&mut house, frame(PING, ACK, 0, &ping.payload));
    assert!(farewells(&last).contains(&NO_ERROR) && client.pipe.is_finished());
}

#[test]
fn a_client_that_does_not_understand_that_we_go_is_left_all_the_same() {
    let (mut house, mut client) = connected();
    house.bench.pass(Duration::from_secs(60));
    client.say(&mut house, []);
    assert!(!client.pipe.is_finished());
    house.bench.pass(Duration::from_secs(2));
    assert_eq!(farewells(&client.say(&mut house, [])), [NO_ERROR]);
    assert!(client.pipe.is_finished());
    house.bench.pass(Duration::from_secs(2));
    assert!(client.end.borrow().as_ref().unwrap().is_ok());
}

#[test]
fn told_to_stop_it_finishes_what_has_begun() {
    let (mut house, mut client) = connected();
    client.say(&mut house, post(1));
    house.shutdown.ask();
    let heard = client.say(&mut house, []);
    assert_eq!(farewells(&heard), [NO_ERROR]);
    let ping = heard.iter().find(|frame| frame.kind == PING).unwrap();
    client.say(&mut house, frame(PING, ACK, 0, &ping.payload));
    house.bench.pass(Duration::from_secs(30));
    assert!(!client.pipe.is_finished());
    let heard = client.say(&mut house, frame(DATA, END_STREAM, 1, b"abc"));
    assert_eq!(status_of(of_stream(&heard, HEADERS, 1).unwrap()), 200);
    assert!(client.pipe.is_finished());
}

#[test]
fn a_head_has_its_time_and_its_size() {
    let (mut house, mut client) = connected();
    client.say(&mut house, frame(HEADERS, END_STREAM, 1, block(&request("GET", "/"))));
    house.bench.pass(Duration::from_secs(10));
    assert_eq!(farewells(&client.say(&mut house, [])), [ENHANCE_YOUR_CALM]);
    assert!(client.pipe.is_finished());
    // A frame of which one octet is missing.
    let (mut house, mut client) = connected();
    let head = get(1, "/a.txt");
    client.say(&mut house, &head[..head.len() - 1]);
    house.bench.pass(Duration::from_secs(10));
    assert_eq!(farewells(&client.say(&mut house, [])), [ENHANCE_YOUR_CALM]);
    let (mut house, mut client) = connected();
    let field = "x".repeat(10_000);
    let fields = |many| [&request("GET", "/a.txt")[..], &vec![("x", field.as_str()); many]].concat();
    let in_pieces = |many, stream| {
        let block = block(&fields(many));
        let mut pieces = block.chunks(16_000).peekable();
        let mut frames = frame(HEADERS, END_STREAM, stream, pieces.next().unwrap());
        while let Some(piece) = pieces.next() {
            frames.extend(frame(CONTINUATION, if pieces.peek().is_none() { END_HEADERS } else { 0 }, stream, piece));
        }
        frames
    };
    assert_eq!(status_of(of_stream(&client.say(&mut house, in_pieces(6, 1)), HEADERS, 1).unwrap()), 200);
    assert_eq!(status_of(of_stream(&client.say(&mut house, in_pieces(7, 3)), HEADERS, 3).unwrap()), 431);
    assert_eq!(status_of(of_stream(&client.say(&mut house, get(5, "/missing")), HEADERS, 5).unwrap()), 404);
}

#[test]
fn a_preface_has_its_time() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    house.say(&pipe, &PREFACE[..20]);
    house.bench.pass(Duration::from_secs(20));
    assert_eq!(status(&house.say(&pipe, "")), 505);
    assert!(pipe.is_finished());
}

#[test]
fn floods_are_calmed() {
    let many = |n: usize, frame: Vec<u8>| frame.repeat(n);
    let resets: Vec<u8> =
        (0..2_000).flat_map(|n| [post(2 * n + 1), frame(RST_STREAM, 0, 2 * n + 1, [0, 0, 0, 8])].concat()).collect();
    let wrong: Vec<u8> =
        (0..2_000).flat_map(|n| frame(HEADERS, 5, 2 * n + 1, block(&[("connection", "close")]))).collect();
    let begun = frame(HEADERS, END_STREAM, 1, block(&request("GET", "/")));
    for (name, said) in [
        ("pings", many(2_000, frame(PING, 0, 0, [0; 8]))),
        ("settings", many(2_000, settings(&[(4, 100)]))),
        ("priorities", many(2_000, frame(PRIORITY, 0, 1, [0, 0, 0, 3, 0]))),
        ("windows", [post(1), many(2_000, frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]))].concat()),
        ("empty data", [post(1), many(2_000, frame(DATA, 0, 1, []))].concat()),
        ("drops of data", [post(1), many(200_000, frame(DATA, 0, 1, b"x"))].concat()),
        ("unknown frames", many(2_000, frame(0xbe, 0, 0, []))),
        ("streams that are reset (CVE-2023-44487)", resets),
        ("streams that we reset (CVE-2025-8671)", wrong),
        ("pieces of fields (CVE-2024-27316)", [begun, many(2_000, frame(CONTINUATION, 0, 1, []))].concat()),
    ] {
        let (mut house, mut client) = connected();
        let heard = client.say(&mut house, said);
        if name != "drops of data" || !farewells(&heard).is_empty() {
            assert_eq!(farewells(&heard), [ENHANCE_YOUR_CALM], "{name}");
            assert!(client.pipe.is_finished(), "{name}");
        }
    }
}

#[test]
fn a_stream_whose_window_stays_shut_is_reset_and_others_are_answered() {
    for window in [0, 1] {
        let (mut house, mut client) = connected();
        client.say(&mut house, settings(&[(4, window)]));
        assert_eq!(status_of(of_stream(&client.say(&mut house, get(1, "/a.txt")), HEADERS, 1).unwrap()), 200);
        house.bench.pass(Duration::from_secs(299));
        let heard = client.say(&mut house, [get(3, "/a.txt"), frame(WINDOW_UPDATE, 0, 3, [0, 0, 0, 10])].concat());
        assert_eq!((body_of(&heard, 3), of_stream(&heard, RST_STREAM, 1)), (b"0123456789".to_vec(), None));
        house.bench.pass(Duration::from_secs(1));
        assert_eq!(code(of_stream(&client.say(&mut house, []), RST_STREAM, 1).unwrap()), CANCEL);
    }
}

#[test]
fn a_window_that_opens_drop_by_drop_is_not_waited_for() {
    let (mut house, mut client) = connected();
    house.write("a.txt", &[b'x'; 100_000]);
    client.say(&mut house, settings(&[(4, 1)]));
    let mut heard = client.say(&mut house, get(1, "/a.txt"));
    for _ in 0..11 {
        house.bench.pass(Duration::from_secs(30));
        heard.extend(client.say(&mut house, frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])));
    }
    assert!(of_stream(&heard, RST_STREAM, 1).is_some(), "{}", body_of(&heard, 1).len());
}

#[test]
fn a_client_that_takes_nothing_is_reset() {
    let (mut house, mut client) = connected();
    house.write("big", &vec![b'x'; 1 << 20]);
    client
        .say(&mut house, [settings(&[(4, 1 << 24)]), frame(WINDOW_UPDATE, 0, 0, (1u32 << 24).to_be_bytes())].concat());
    client.pipe.put(get(1, "/big"));
    house.bench.pass(Duration::from_secs(299));
    assert!(client.end.borrow().is_none());
    house.bench.pass(Duration::from_secs(1));
    let kind = client.end.borrow().as_ref().unwrap().as_ref().map_err(io::Error::kind).copied();
    assert_eq!(kind, Err(io::ErrorKind::TimedOut));
}

#[test]
fn a_body_that_stands_still_is_408_and_its_stream_is_reset() {
    let (mut house, mut client) = connected();
    client.say(&mut house, post(1));
    house.bench.pass(Duration::from_secs(59));
    client.say(&mut house, frame(DATA, 0, 1, b"x"));
    house.bench.pass(Duration::from_secs(60));
    let heard = client.say(&mut house, []);
    assert_eq!(status_of(of_stream(&heard, HEADERS, 1).unwrap()), 408);
    assert_eq!(code(of_stream(&heard, RST_STREAM, 1).unwrap()), NO_ERROR);
    assert_eq!(status_of(of_stream(&client.say(&mut house, get(3, "/a.txt")), HEADERS, 3).unwrap()), 200);
}

#[test]
fn a_body_that_nobody_wants_is_not_waited_for() {
    let (mut house, mut client) = connected();
    let fields = [&request("POST", "/a.txt")[..], &[("content-length", "2000000")]].concat();
    let heard = client.say(&mut house, frame(HEADERS, END_HEADERS, 1, block(&fields)));
    assert_eq!(status_of(of_stream(&heard, HEADERS, 1).unwrap()), 413);
    assert_eq!(code(of_stream(&heard, RST_STREAM, 1).unwrap()), NO_ERROR);
}

#[test]
fn who_waits_for_word_before_the_body_gets_it() {
    let (mut house, mut client) = connected();
    let fields = [&request("POST", "/-/sink")[..], &[("expect", "100-continue")]].concat();
    let heard = client.say(&mut house, frame(HEADERS, END_HEADERS, 1, block(&fields)));
    assert_eq!((heard.len(), status_of(&heard[0])), (1, 100));
    let heard = client.say(&mut house, frame(DATA, END_STREAM, 1, b"abc"));
    assert_eq!(status_of(&heard[0]), 200);
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_resets_its_stream() {
    let (mut house, mut client) = connected();
    house.write("big", &vec![b'x'; 1 << 20]);
    client.say(&mut house, get(1, "/big"));
    fs::File::options().write(true).open(house.www().join("big")).unwrap().set_len(10).unwrap();
    let update = [frame(WINDOW_UPDATE, 0, 0, [0, 32, 0, 0]), frame(WINDOW_UPDATE, 0, 1, [0, 32, 0, 0])].concat();
    let heard = client.say(&mut house, update);
    assert_eq!(code(of_stream(&heard, RST_STREAM, 1).unwrap()), 2);
    assert_eq!(status_of(of_stream(&client.say(&mut house, get(3, "/a.txt")), HEADERS, 3).unwrap()), 200);
}

#[test]
fn it_can_be_switched_off() {
    let mut house = house_with(Config { http2: false, ..Config::default() }, true);
    assert_eq!(status(&house.raw(PREFACE)), 505);
}

#[test]
fn requests_have_their_rate_whichever_stream_they_come_on() {
    let limits = ClientLimits { connections: 0, rate: 1, burst: 2 };
    let mut house = house_with(Config { client_limits: limits, ..Config::default() }, true);
    house.write("a.txt", b"x");
    let mut client = Client::new(&mut house);
    let heard = client.say(&mut house, [get(1, "/a.txt"), get(3, "/a.txt"), get(5, "/a.txt")].concat());
    let all: Vec<u16> = [1, 3].into_iter().map(|id| status_of(of_stream(&heard, HEADERS, id).unwrap())).collect();
    assert_eq!((all, status_of(of_stream(&heard, HEADERS, 5).unwrap())), (vec![200, 200], 429));
}

#[test]
fn who_is_turned_away_hears_frames() {
    let goodbye = [settings(&[]), frame(GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, ENHANCE_YOUR_CALM as u8])].concat();
    assert_eq!(REFUSAL, goodbye);
}
