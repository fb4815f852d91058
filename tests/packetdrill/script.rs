//! The notation, a part of packetdrill's own: when, and what then arrives, leaves, is called or must hold.
//!
//! ```text
//! 0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3          a call and its result
//! +0   < S 0:0(0) win 1000 <mss 1000>                     what arrives
//! +0   > S. 0:0(0) ack 1 <mss 1460>                       what leaves; <...> is any options
//! +.1...0.2 read(4, ..., 1000) = 1000                     a call that blocks, and when it returns
//! +0   > [ect0] P.5 1:11(10) ack 1 <ECN e0b 1 ceb 0>      with the ECN field of its packet, and ACE as a number
//! +0   < [1:1001(1000)] icmp unreachable frag_needed mtu 1200
//! +0   %{ assert tcpi_snd_cwnd == 10 }%
//! ```
//!
//! Not packetdrill's: `peer(2) = 0`, from where on another port of the peer speaks, and ICMP echo.

use super::wire::{ACE_SHIFT, FLAGS, TcpOption};

/// When something happens, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Time {
    Any,
    At(i64),
    After(i64),
    /// A call that blocks from one moment after the last event to another.
    From(i64, i64),
}

/// A value in the arguments of a call.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    Dots,
    Int(i64),
    Word(String),
    List(Vec<Value>),
    Struct(Vec<(String, Value)>),
}

/// A segment as a script has it.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct SegmentSpec {
    pub(crate) flags: u16,
    /// The ECN field of its packet; `None`: any of what leaves, none of what arrives.
    pub(crate) ecn: Option<u8>,
    pub(crate) seq: u32,
    pub(crate) len: usize,
    pub(crate) ack: Option<u32>,
    pub(crate) window: Option<u16>,
    pub(crate) urgent: u16,
    /// `None`: any.
    pub(crate) options: Option<Vec<TcpOption>>,
}

/// An ICMP error as a script has it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct IcmpSpec {
    /// The quoted segment's sequence number and length, or a quoted datagram's length.
    pub(crate) quoted: Quoted,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) mtu: u16,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Quoted {
    Nothing,
    Tcp(u32, usize),
    Udp(usize),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Packet {
    Tcp(SegmentSpec),
    Udp(usize),
    Icmp(IcmpSpec),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Event {
    Arrives(Packet),
    Leaves(Packet),
    Call { name: String, arguments: Vec<Value>, result: i64, errno: Option<String> },
    Assert(String),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) time: Time,
    pub(crate) event: Event,
}

/// Reads a script. A first line `// --so_flags=...` gives the flags.
pub(crate) fn parse(text: &str) -> (Option<String>, Vec<Line>) {
    let flags = text.lines().find_map(|line| line.strip_prefix("// --so_flags=")).map(str::to_owned);
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split("//").next().unwrap().trim();
        if line.is_empty() {
            continue;
        }
        let (time, rest) = line.split_once(char::is_whitespace).unwrap_or_else(|| panic!("line {number}: {line}"));
        let event = event(rest.trim()).unwrap_or_else(|| panic!("line {number} is not understood: {line}"));
        lines.push(Line { number, time: parse_time(time), event });
    }
    (flags, lines)
}

fn micros(text: &str) -> i64 {
    let seconds: f64 = text.trim_start_matches('+').parse().unwrap_or_else(|_| panic!("a time: {text}"));
    (seconds * 1e6).round() as i64
}

fn parse_time(text: &str) -> Time {
    match text {
        "*" => Time::Any,
        _ => match text.split_once("...") {
            Some((from, to)) => Time::From(micros(from), micros(to)),
            None if text.starts_with('+') => Time::After(micros(text)),
            None => Time::At(micros(text)),
        },
    }
}

fn event(text: &str) -> Option<Event> {
    if let Some(code) = text.strip_prefix("%{") {
        return Some(Event::Assert(code.strip_suffix("}%")?.trim().to_owned()));
    }
    if let Some(packet) = text.strip_prefix('<') {
        return Some(Event::Arrives(parse_packet(packet.trim())?));
    }
    if let Some(packet) = text.strip_prefix('>') {
        return Some(Event::Leaves(parse_packet(packet.trim())?));
    }
    let (call, result) = text.rsplit_once(") = ")?;
    let (name, arguments) = call.split_once('(')?;
    let mut words = result.split_whitespace();
    let result = words.next()?;
    let errno = words.next().map(str::to_owned);
    let result = result.parse().ok().or_else(|| i64::from_str_radix(result.strip_prefix("0x")?, 16).ok())?;
    Some(Event::Call { name: name.to_owned(), arguments: parse_values(arguments)?, result, errno })
}

/// Splits at commas outside of brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

fn parse_values(text: &str) -> Option<Vec<Value>> {
    split(text).into_iter().map(parse_value).collect()
}

fn parse_value(text: &str) -> Option<Value> {
    if text == "..." {
        return Some(Value::Dots);
    }
    if let Some(inner) = text.strip_prefix('[') {
        return Some(Value::List(parse_values(inner.strip_suffix(']')?)?));
    }
    if let Some(inner) = text.strip_prefix('{') {
        let fields = split(inner.strip_suffix('}')?).into_iter().map(|field| {
            // The vectors of `readv` have values without names.
            let (name, value) = field.split_once('=').unwrap_or(("", field));
            Some((name.trim().to_owned(), parse_value(value.trim())?))
        });
        return Some(Value::Struct(fields.collect::<Option<_>>()?));
    }
    match text.parse() {
        Ok(number) => Some(Value::Int(number)),
        Err(_) => Some(Value::Word(text.trim_matches('"').to_owned())),
    }
}

/// The ECN field of an IP header by packetdrill's words.
const ECN: [(&str, u8); 4] = [("[noecn]", 0), ("[ect1]", 1), ("[ect0]", 2), ("[ce]", 3)];

fn parse_packet(text: &str) -> Option<Packet> {
    for (word, field) in ECN {
        if let Some(rest) = text.strip_prefix(word) {
            return Some(Packet::Tcp(SegmentSpec { ecn: Some(field), ..segment(rest.trim())? }));
        }
    }
    let (quoted, text) = match text.strip_prefix('[') {
        None => (Quoted::Nothing, text),
        Some(rest) => {
            let (quoted, rest) = rest.split_once(']')?;
            let quoted = match quoted.strip_prefix("udp ") {
                Some(len) => Quoted::Udp(len.trim_matches(['(', ')']).parse().ok()?),
                None => {
                    let (seq, len) = sequence(quoted)?;
                    Quoted::Tcp(seq, len)
                }
            };
            (quoted, rest.trim())
        }
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        ["udp", len] => Some(Packet::Udp(len.trim_matches(['(', ')']).parse().ok()?)),
        ["icmp", kind, ref rest @ ..] => {
            let code = match rest.first() {
                Some(&"net_unreachable") | None => 0,
                Some(&"host_unreachable") => 1,
                Some(&"protocol_unreachable") => 2,
                Some(&"port_unreachable") => 3,
                Some(&"frag_needed") => 4,
                _ => return None,
            };
            let mtu = rest.iter().position(|word| *word == "mtu").and_then(|at| rest.get(at + 1)?.parse().ok());
            let kind = match kind {
                "unreachable" => 3,
                "echo_request" => 8,
                "echo_reply" => 0,
                _ => return None,
            };
            Some(Packet::Icmp(IcmpSpec { quoted, kind, code, mtu: mtu.unwrap_or(0) }))
        }
        _ => Some(Packet::Tcp(segment(text)?)),
    }
}

fn sequence(text: &str) -> Option<(u32, usize)> {
    let (start, rest) = text.split_once(':')?;
    let (end, len) = rest.strip_suffix(')')?.split_once('(')?;
    let (start, end, len): (u32, u32, usize) = (start.parse().ok()?, end.parse().ok()?, len.parse().ok()?);
    assert_eq!(end.wrapping_sub(start) as usize, len, "{text} contradicts itself");
    Some((start, len))
}

fn segment(text: &str) -> Option<SegmentSpec> {
    let (text, options) = match text.split_once('<') {
        None => (text, Some(Vec::new())),
        Some((text, options)) => (text, parse_options(options.strip_suffix('>')?)?),
    };
    let mut words = text.split_whitespace();
    let mut spec = SegmentSpec { options, ..SegmentSpec::default() };
    for letter in words.next()?.chars().filter(|letter| *letter != '-') {
        spec.flags |= match letter.to_digit(8) {
            Some(ace) => (ace as u16) << ACE_SHIFT,
            None => FLAGS.iter().find(|(known, _)| *known == letter)?.1,
        };
    }
    (spec.seq, spec.len) = sequence(words.next()?)?;
    while let Some(word) = words.next() {
        let number = words.next()?;
        match word {
            "ack" => spec.ack = Some(number.parse().ok()?),
            "win" => spec.window = Some(number.parse().ok()?),
            "urg" => spec.urgent = number.parse().ok()?,
            _ => return None,
        }
    }
    Some(spec)
}

fn parse_options(text: &str) -> Option<Option<Vec<TcpOption>>> {
    if text == "..." {
        return Some(None);
    }
    let mut options = Vec::new();
    for option in split(text) {
        let words: Vec<&str> = option.split_whitespace().collect();
        options.push(match words[..] {
            ["nop"] => TcpOption::Nop,
            ["eol"] => TcpOption::Eol,
            ["sackOK"] => TcpOption::SackOk,
            ["mss", mss] => TcpOption::Mss(mss.parse().ok()?),
            ["wscale", shift] => TcpOption::Scale(shift.parse().ok()?),
            ["ECN", ref fields @ ..] => {
                let kind = if fields.first() == Some(&"e1b") { 174 } else { 172 };
                let numbers = fields.chunks(2).map(|field| field.get(1)?.parse().ok());
                TcpOption::AccEcn(kind, numbers.collect::<Option<_>>()?)
            }
            ["TS", "val", value, "ecr", echo] => TcpOption::Timestamps(value.parse().ok()?, echo.parse().ok()?),
            ["sack", ref blocks @ ..] => TcpOption::Sack(
                blocks
                    .iter()
                    .map(|block| {
                        let (start, end) = block.split_once(':')?;
                        Some((start.parse().ok()?, end.parse().ok()?))
                    })
                    .collect::<Option<_>>()?,
            ),
            _ => return None,
        });
    }
    Some(Some(options))
}
