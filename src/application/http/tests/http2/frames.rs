//! A client that says what it is told to, frame by frame, and writes down what it hears.

use super::super::*;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITISED: u8 = 0x20;

/// A frame (RFC 9113 §4.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// Writes a frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

/// An integer with a prefix of 7 bits (RFC 7541 §5.1).
fn integer(value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![value as u8];
    }
    let (mut octets, mut rest) = (vec![127], value - 127);
    while rest >= 128 {
        octets.push(rest as u8 | 128);
        rest /= 128;
    }
    octets.push(rest as u8);
    octets
}

/// Fields as literals that nobody remembers (RFC 7541 §6.2.2).
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.extend(integer(text.len()));
            block.extend(text.as_bytes());
        }
    }
    block
}

/// What a request is at least.
pub(super) fn request<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)]
}

/// A request without a body.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block(&request("GET", path)))
}

/// The head of a request whose body is to come.
pub(super) fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, block(&request("POST", "/-/sink")))
}

/// Settings, each an identifier and a value.
pub(super) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, payload)
}

/// The status of an answer, of which the machine writes a static entry, or three digits in Huffman's code.
pub(super) fn status_of(head: &Frame) -> u16 {
    match *head.payload {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8a, ..] => 206,
        [0x8b, ..] => 304,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        [0x48, length, ..] => {
            let octets = &head.payload[2..2 + usize::from(length & 0x7f)];
            let bits = octets.iter().fold(0u32, |bits, octet| bits << 8 | u32::from(*octet)) << (32 - 8 * octets.len());
            let (mut status, mut rest) = (0, bits);
            for _ in 0..3 {
                let (digit, length) = if rest >> 27 < 3 { (rest >> 27, 5) } else { ((rest >> 26) - 0x19 + 3, 6) };
                (status, rest) = (status * 10 + digit as u16, rest << length);
            }
            status
        }
        _ => panic!("{head:?}"),
    }
}

/// A client on a connection.
pub(super) struct Client {
    pub(super) pipe: Pipe,
    pub(super) end: End,
    heard: Vec<u8>,
}

impl Client {
    /// Connects, and says what comes first.
    pub(super) fn new(house: &mut House) -> Self {
        let (pipe, end) = house.connect();
        let mut client = Client { pipe, end, heard: Vec::new() };
        client.pipe.put(super::super::super::http2::PREFACE);
        let first = client.say(house, settings(&[]));
        assert_eq!((first[0].kind, first[0].flags), (SETTINGS, 0), "RFC 9113 §3.4: settings come first");
        client.say(house, frame(SETTINGS, ACK, 0, []));
        client
    }

    /// Says something and gives the frames that come.
    pub(super) fn say(&mut self, house: &mut House, octets: impl AsRef<[u8]>) -> Vec<Frame> {
        self.pipe.put(octets);
        loop {
            house.bench.run();
            let more = self.pipe.take();
            if more.is_empty() {
                break;
            }
            self.heard.extend(more);
        }
        let mut frames = Vec::new();
        while let [a, b, c, kind, flags, d, e, f, g, rest @ ..] = self.heard.as_slice() {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some(payload) = rest.get(..length) else { break };
            let stream = u32::from_be_bytes([*d, *e, *f, *g]);
            frames.push(Frame { kind: *kind, flags: *flags, stream, payload: payload.to_vec() });
            self.heard.drain(..9 + length);
        }
        frames
    }
}

/// The error code at the end of a RST_STREAM or behind the last stream of a GOAWAY.
pub(super) fn code(frame: &Frame) -> u32 {
    let at = if frame.kind == GOAWAY { 4 } else { 0 };
    u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap())
}

/// The octets of a stream's body.
pub(super) fn body_of(frames: &[Frame], stream: u32) -> Vec<u8> {
    let data = frames.iter().filter(|frame| frame.kind == DATA && frame.stream == stream);
    data.flat_map(|frame| frame.payload.clone()).collect()
}
