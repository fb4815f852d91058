//! Every string over {a, CR, LF, dot} up to seven octets, against a form written from the definition.

use super::*;

fn every_string(most: u32) -> impl Iterator<Item = Vec<u8>> {
    const ALPHABET: &[u8; 4] = b"a\r\n.";
    (0..=most).flat_map(|len| {
        (0..4usize.pow(len)).map(move |code| (0..len).map(|at| ALPHABET[code / 4usize.pow(at) % 4]).collect())
    })
}

fn wire(pieces: &[&[u8]]) -> (Vec<u8>, u64) {
    let mut stuffer = Stuffer::default();
    let mut out = Vec::new();
    for piece in pieces {
        stuffer.stuff(piece, &mut out);
    }
    stuffer.finish(&mut out);
    (out, stuffer.octets())
}

/// The definition, with whole strings: LF becomes CRLF, the last line is completed.
fn canonical(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for octet in message {
        if *octet == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(*octet);
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(if out.ends_with(b"\r") { b"\n" } else { b"\r\n" });
    }
    out
}

/// What a client does (RFC 1939 §3): lines up to CRLF, until one that is a dot alone; a dot less on those
/// that begin with one.
fn unstuffed(mut wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = wire.windows(2).position(|pair| pair == b"\r\n").expect("the end mark is there");
        let (line, rest) = wire.split_at(end + 2);
        if line == b".\r\n" {
            assert!(rest.is_empty(), "the end mark came early");
            return out;
        }
        out.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        wire = rest;
    }
}

#[test]
fn a_client_gets_back_the_canonical_form_of_every_message() {
    for message in every_string(7) {
        let (mut octets, _) = wire(&[&message]);
        octets.extend_from_slice(b".\r\n");
        assert_eq!(unstuffed(&octets), canonical(&message), "{:?}", message.escape_ascii().to_string());
    }
}

#[test]
fn the_count_is_the_length_of_the_canonical_form_of_every_message() {
    for message in every_string(7) {
        let expected = canonical(&message).len() as u64;
        let mut counter = Stuffer::default();
        counter.count(&message);
        assert_eq!(counter.finish_count(), expected, "{:?}", message.escape_ascii().to_string());
        assert_eq!(wire(&[&message]).1, expected);
    }
}

#[test]
fn where_a_message_is_cut_makes_no_difference() {
    for message in every_string(6) {
        let whole = wire(&[&message]);
        for first in 0..=message.len() {
            for second in first..=message.len() {
                let pieces = [&message[..first], &message[first..second], &message[second..]];
                assert_eq!(wire(&pieces), whole, "{:?}", pieces.map(|piece| piece.escape_ascii().to_string()));
            }
        }
    }
}

/// TOP by its definition: whole lines of the stored form.
fn top(message: &[u8], lines: usize) -> Vec<u8> {
    let all: Vec<&[u8]> = message.split_inclusive(|octet| *octet == b'\n').collect();
    let blank = all.iter().position(|line| matches!(line, [b'\n'] | [b'\r', b'\n']));
    let wanted = blank.map_or(all.len(), |blank| all.len().min(blank + 1 + lines));
    all[..wanted].concat()
}

#[test]
fn top_passes_the_header_the_blank_line_and_so_many_lines_wherever_the_message_is_cut() {
    for message in every_string(6) {
        for lines in 0..3 {
            for cut in 0..=message.len() {
                let mut filter = Top::new(lines as u64);
                let mut passed = filter.pass(&message[..cut]).to_vec();
                passed.extend_from_slice(filter.pass(&message[cut..]));
                assert_eq!(passed, top(&message, lines), "{:?} {lines}", message.escape_ascii().to_string());
            }
        }
    }
}

#[test]
fn top_with_more_lines_than_there_are_passes_everything() {
    let mut filter = Top::new(u64::MAX);
    assert_eq!(filter.pass(b"A: b\r\n\r\none\r\ntwo\r\n"), b"A: b\r\n\r\none\r\ntwo\r\n");
    assert!(!filter.is_done());
}
