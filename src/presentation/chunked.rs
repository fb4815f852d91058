//! A body in chunks, taken apart and made (RFC 9112 §7.1).
//!
//! ```text
//!   chunked-body = *( chunk-size [ chunk-ext ] CRLF chunk-data CRLF ) "0" [ chunk-ext ] CRLF *( field-line CRLF ) CRLF
//! ```
//!
//! The grammar is held to the letter: a body that two readers could cut in different places is how a request is
//! smuggled past one of them. Lines end with CRLF and nothing else, a size has no white space behind it unless an
//! extension follows, and an extension has a name. Extensions and trailers are checked, bounded and left out.
//!
//! Data comes out as slices of what went in.

use bytes::Bytes;
use std::fmt::Write;

/// What ends a body of ours, which has no trailers.
pub const LAST: &[u8] = b"0\r\n\r\n";

/// Octets of all extensions and trailers of one body together.
pub const EXTRAS: usize = 16 << 10;
/// The most digits of a size: what a `u64` holds.
const DIGITS: usize = 16;

/// What comes next of a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Octets of it.
    Data(Bytes),
    /// Nothing before more has come; all that came is taken.
    More,
    /// Its end; what is left of the input is not part of it.
    End,
}

/// It is no body in chunks, or has more extensions and trailers than anyone needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// A chunk of these octets, of which there must be some: a chunk of none would be the last.
pub fn chunk(octets: &[u8]) -> Bytes {
    let mut size = String::new();
    // Writing to a string does not fail.
    let _ = write!(size, "{:x}\r\n", octets.len());
    [size.as_bytes(), octets, b"\r\n"].concat().into()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Expected {
    #[default]
    Size,
    Data(u64),
    DataCr,
    DataLf,
    Trailer,
    Nothing,
}

/// How far a body is read.
#[derive(Debug, Default)]
pub struct Decoder {
    expected: Expected,
    /// The beginning of a line whose end is yet to come.
    line: Vec<u8>,
    extras: usize,
}

impl Decoder {
    /// True once the end was seen.
    pub fn is_ended(&self) -> bool {
        self.expected == Expected::Nothing
    }

    /// Takes the next piece off the front of `input`.
    ///
    /// # Errors
    /// What came breaks the grammar; nothing after it has a meaning.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Piece, Malformed> {
        loop {
            match self.expected {
                Expected::Size => {
                    let Some(line) = self.line(input)? else { return Ok(Piece::More) };
                    let (size, extension) = size(&line)?;
                    self.count(extension)?;
                    self.expected = if size == 0 { Expected::Trailer } else { Expected::Data(size) };
                }
                Expected::Data(_) | Expected::DataCr | Expected::DataLf if input.is_empty() => return Ok(Piece::More),
                Expected::Data(left) => {
                    let octets = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let left = left - octets as u64;
                    self.expected = if left == 0 { Expected::DataCr } else { Expected::Data(left) };
                    return Ok(Piece::Data(input.split_to(octets)));
                }
                Expected::DataCr => self.octet(input, b'\r', Expected::DataLf)?,
                Expected::DataLf => self.octet(input, b'\n', Expected::Size)?,
                Expected::Trailer => {
                    let Some(line) = self.line(input)? else { return Ok(Piece::More) };
                    self.count(line.len())?;
                    if line.is_empty() {
                        self.expected = Expected::Nothing;
                    } else if !is_field_line(&line) {
                        return Err(Malformed);
                    }
                }
                Expected::Nothing => return Ok(Piece::End),
            }
        }
    }

    /// The next line without its end, once it is whole.
    fn line(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Malformed> {
        let Some(end) = input.iter().position(|octet| *octet == b'\n') else {
            if self.line.len() + input.len() > EXTRAS {
                return Err(Malformed);
            }
            self.line.extend_from_slice(input);
            input.clear();
            return Ok(None);
        };
        let mut line = input.split_to(end + 1);
        if !self.line.is_empty() {
            let mut whole = std::mem::take(&mut self.line);
            whole.extend_from_slice(&line);
            line = whole.into();
        }
        match line.strip_suffix(b"\r\n").map(<[u8]>::len) {
            Some(length) => Ok(Some(line.split_to(length))),
            None => Err(Malformed),
        }
    }

    fn octet(&mut self, input: &mut Bytes, octet: u8, then: Expected) -> Result<(), Malformed> {
        if input.first() != Some(&octet) {
            return Err(Malformed);
        }
        drop(input.split_to(1));
        self.expected = then;
        Ok(())
    }

    fn count(&mut self, octets: usize) -> Result<(), Malformed> {
        self.extras += octets;
        if self.extras > EXTRAS { Err(Malformed) } else { Ok(()) }
    }
}

/// The size that a chunk's first line gives, and the length of the extensions behind it.
fn size(line: &[u8]) -> Result<(u64, usize), Malformed> {
    let digits = line.iter().take_while(|octet| octet.is_ascii_hexdigit()).count();
    let (digits, extensions) = line.split_at_checked(digits).ok_or(Malformed)?;
    if digits.is_empty() || digits.len() > DIGITS || !are_extensions(extensions) {
        return Err(Malformed);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| Malformed)?;
    Ok((u64::from_str_radix(digits, 16).map_err(|_| Malformed)?, extensions.len()))
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (RFC 9112 §7.1.1).
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(name) = bare(rest).strip_prefix(b";").and_then(|rest| token(bare(rest))) else { return false };
        rest = name;
        if let Some(value) = bare(rest).strip_prefix(b"=") {
            let Some(after) = token(bare(value)).or_else(|| quoted(bare(value))) else { return false };
            rest = after;
        }
    }
    true
}

/// What follows "bad" white space (RFC 9110 §5.6.3).
fn bare(text: &[u8]) -> &[u8] {
    let length = text.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    text.get(length..).unwrap_or_default()
}

/// What follows a token (RFC 9110 §5.6.2); `None` if there is none.
fn token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|octet| is_token(**octet)).count();
    text.get(length..).filter(|_| length > 0)
}

/// What follows a quoted string (RFC 9110 §5.6.4); `None` if there is none.
fn quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', octet, rest @ ..] | [octet, rest @ ..] if is_text(*octet) => rest,
            _ => return None,
        };
    }
}

fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

fn is_text(octet: u8) -> bool {
    octet == b'\t' || (octet >= b' ' && octet != 0x7f)
}

/// `field-name ":" OWS field-value OWS` (RFC 9112 §5).
fn is_field_line(line: &[u8]) -> bool {
    token(line).and_then(|rest| rest.strip_prefix(b":")).is_some_and(|value| value.iter().all(|octet| is_text(*octet)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Body = Option<(Vec<u8>, Vec<u8>)>;

    /// The body that `pieces` carry, and what is left when it ends; `None` if it does not.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Body, Malformed> {
        let (mut decoder, mut body, mut end, mut rest) = (Decoder::default(), Vec::new(), false, Vec::new());
        for piece in pieces {
            let mut input = Bytes::copy_from_slice(piece);
            while !end {
                match decoder.next(&mut input)? {
                    Piece::Data(octets) => body.extend_from_slice(&octets),
                    Piece::More => break,
                    Piece::End => end = true,
                }
            }
            assert!(end || input.is_empty(), "what is not the end is taken whole");
            rest.extend_from_slice(&input);
        }
        assert_eq!(decoder.is_ended(), end);
        Ok(end.then_some((body, rest)))
    }

    fn whole(text: &str) -> Result<Body, Malformed> {
        read([text.as_bytes()])
    }

    #[test]
    fn a_body_in_chunks_is_put_together() {
        for (text, body, rest) in [
            ("0\r\n\r\n", "", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc", ""),
            ("3\r\nabc\r\n0\r\n\r\nGET", "abc", "GET"),
            ("a\r\n0123456789\r\nA\r\n0123456789\r\n00\r\n\r\n", "01234567890123456789", ""),
            ("0000000000000001\r\nx\r\n0\r\n\r\n", "x", ""),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
            ("1;a=b;c=\"d \\\" ;\"\r\nx\r\n0\r\n\r\n", "x", ""),
            ("1 ; a = b\r\nx\r\n0\r\n\r\n", "x", ""),
            ("0\r\nA: b\r\nC:\r\n\r\nrest", "", "rest"),
        ] {
            assert_eq!(whole(text), Ok(Some((body.into(), rest.into()))), "{text:?}");
        }
    }

    #[test]
    fn what_bends_the_grammar_is_no_body() {
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\n",
            "1\t\r\n",
            "1\n",
            "1\rx\r\n",
            "1 2\r\n",
            "00000000000000001\r\n",
            "ffffffffffffffff0\r\n",
            "1;\r\n",
            "1; \r\n",
            "1;=a\r\n",
            "1;a=\r\n",
            "1;a b\r\n",
            "1;a=\"\r\n",
            "1;a=\"b\"c\r\n",
            "1;a \r\n",
            "1;a=b,c\r\n",
            "1;a\0\r\n",
            "1\r\nxy\r\n",
            "1\r\nx\n",
            "1\r\nx\rx",
            "0\r\n\n",
            "0\r\n a: b\r\n",
            "0\r\na : b\r\n",
            "0\r\n: b\r\n",
            "0\r\nab\r\n",
            "0\r\na: b\x07\r\n",
            "0\r\na: b\n\r\n",
            "0\r\na: \rb\r\n",
        ] {
            assert_eq!(whole(text), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded_together() {
        let long = "x".repeat(EXTRAS - 10);
        assert!(whole(&format!("1;{long}\r\nx\r\n0\r\n\r\n")).unwrap().is_some());
        assert_eq!(whole(&format!("1;{long}\r\nx\r\n1;{long}\r\nx\r\n0\r\n\r\n")), Err(Malformed));
        assert_eq!(whole(&format!("1;{long}\r\nx\r\n0\r\nA: 3456789\r\n\r\n")), Err(Malformed));
        assert_eq!(whole(&"1".repeat(EXTRAS + 1)), Err(Malformed), "also while the line goes on");
    }

    #[test]
    fn data_is_not_copied() {
        let mut input = Bytes::from_static(b"5\r\nhello\r\n0\r\n\r\n");
        let place = input[3..].as_ptr();
        let Ok(Piece::Data(data)) = Decoder::default().next(&mut input) else { panic!("no data") };
        assert_eq!((data.as_ptr(), data.len()), (place, 5));
    }

    proptest! {
        #[test]
        fn where_it_is_cut_makes_no_difference(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5),
            extension in prop::sample::select(vec!["", ";a", " ; a=\"b\\\"\""]),
            trailer in prop::sample::select(vec!["", "A: b\r\n"]),
            cuts in prop::collection::vec(1usize..20, 1..20),
        ) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
                text.extend(chunk);
                text.extend(b"\r\n");
            }
            text.extend(format!("0{extension}\r\n{trailer}\r\nrest").bytes());
            let (mut pieces, mut rest) = (Vec::new(), text.as_slice());
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read(pieces), Ok(Some((chunks.concat(), b"rest".to_vec()))));
        }

        #[test]
        fn what_was_put_into_chunks_is_put_together(chunks in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 1..600), 0..5,
        )) {
            let mut text: Vec<u8> = chunks.iter().flat_map(|octets| chunk(octets)).collect();
            text.extend_from_slice(LAST);
            prop_assert_eq!(read([text.as_slice()]), Ok(Some((chunks.concat(), Vec::new()))));
        }

        #[test]
        fn anything_is_read_without_a_panic(octets: Vec<u8>, text in "[0-9a-f;=\" \r\n:x]{0,40}") {
            let _ = (read([octets.as_slice()]), read([text.as_bytes()]));
        }
    }
}
