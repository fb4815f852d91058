//! Mail as it comes: CRLF becomes LF, the dot before each line that begins with one goes, and a line of one dot is the
//! end (RFC 5321 §4.5.2).
//!
//! ```text
//!            CR          LF
//!   Text ---------> Cr -------> Start --other--> Text
//!                                 | .
//!                                Dot --other--> Text, without the dot
//!                                 | CR
//!                                DotCr --LF--> the end
//! ```
//!
//! A CR or LF that stands alone is refused, wherever it is (RFC 5321 §2.3.8): there are servers that take `LF . LF` or
//! `LF . CR LF` for the end, and a message that has one end here and another there smuggles a second one past whoever
//! looked at the first.
//!
//! Works on pieces of any size. The same machine reads mail that comes in counted chunks (RFC 3030), where dots mean
//! nothing.

use std::fmt;

/// The longest line, its end included. RFC 5321 §4.5.3.1.6 asks for 1,000 octets at least.
pub const LINE_LENGTH: usize = 64 << 10;

/// Why this is no mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A CR without LF, or an LF without CR.
    Bare,
    /// A line that is too long.
    LongLine,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Bare => "a CR or LF stands alone",
            Fault::LongLine => "a line is too long",
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Start,
    Text,
    Cr,
    Dot,
    DotCr,
}

/// Turns mail on the wire into its stored form, piece by piece.
#[derive(Clone, Debug)]
pub struct Unstuffer {
    state: State,
    has_dots: bool,
    /// Octets of the line so far.
    line: usize,
}

impl Unstuffer {
    /// For mail that ends with a line of one dot.
    pub fn new() -> Self {
        Unstuffer { state: State::Start, has_dots: true, line: 0 }
    }

    /// For mail whose end is known.
    pub fn of_chunks() -> Self {
        Unstuffer { has_dots: false, ..Unstuffer::new() }
    }

    /// Adds the stored form of the next `piece` to `out`. Gives how much of the piece was mail if its end was in it.
    ///
    /// # Errors
    /// This is no mail, and where it ends can't be known.
    pub fn unstuff(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
        let mut at = 0;
        while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
            if self.state == State::Text {
                let text = rest.iter().position(|octet| matches!(octet, b'\r' | b'\n')).unwrap_or(rest.len());
                out.extend_from_slice(rest.get(..text).unwrap_or_default());
                self.lengthen(text)?;
                at += text;
            }
            let Some(octet) = piece.get(at) else { break };
            at += 1;
            self.lengthen(1)?;
            self.state = match (self.state, octet) {
                (State::Start | State::Text, b'\r') => State::Cr,
                (State::Dot, b'\r') => State::DotCr,
                (State::Cr, b'\n') => {
                    out.push(b'\n');
                    self.line = 0;
                    State::Start
                }
                (State::DotCr, b'\n') => return Ok(Some(at)),
                (State::Cr | State::DotCr, _) | (_, b'\n') => return Err(Fault::Bare),
                (State::Start, b'.') if self.has_dots => State::Dot,
                (_, octet) => {
                    out.push(*octet);
                    State::Text
                }
            };
        }
        Ok(None)
    }

    /// Ends mail whose end is known: completes its last line.
    ///
    /// # Errors
    /// It ends in the middle of a line end.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self.state {
            State::Start => Ok(()),
            State::Text => {
                out.push(b'\n');
                Ok(())
            }
            State::Cr | State::Dot | State::DotCr => Err(Fault::Bare),
        }
    }

    fn lengthen(&mut self, octets: usize) -> Result<(), Fault> {
        self.line += octets;
        if self.line > LINE_LENGTH { Err(Fault::LongLine) } else { Ok(()) }
    }
}

impl Default for Unstuffer {
    fn default() -> Self {
        Unstuffer::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of `wire` at once: the mail, and what stands behind its end.
    fn read(mut machine: Unstuffer, wire: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), Fault> {
        let mut out = Vec::new();
        let end = machine.unstuff(wire, &mut out)?;
        Ok((out, end.map(|end| wire[end..].to_vec())))
    }

    #[test]
    fn a_line_of_one_dot_is_the_end_and_other_dots_are_not() {
        let mail = |text: &str, rest: &str| Ok((text.as_bytes().to_vec(), Some(rest.as_bytes().to_vec())));
        assert_eq!(read(Unstuffer::new(), b"a\r\n.\r\nQUIT\r\n"), mail("a\n", "QUIT\r\n"));
        assert_eq!(read(Unstuffer::new(), b".\r\n"), mail("", ""));
        assert_eq!(read(Unstuffer::new(), b"..\r\n...a\r\n.b\r\n.\r\n"), mail(".\n..a\nb\n", ""));
        assert_eq!(read(Unstuffer::new(), b"a.\r\n"), Ok((b"a.\n".to_vec(), None)));
        assert_eq!(read(Unstuffer::of_chunks(), b".\r\n.."), Ok((b".\n..".to_vec(), None)));
    }

    #[test]
    fn every_ending_that_some_server_takes_for_one_is_refused() {
        for ending in [
            "\n.\n",
            "\n.\r\n",
            "\r.\r",
            "\r.\r\n",
            "\r\n.\n",
            "\r\n.\r.",
            "\r\n.\r\r\n",
            "\r\r\n.\r\n",
            "\n\r\n.\r\n",
            "\r\n\n.\r\n",
            "\r\n.\r\0\n",
        ] {
            let wire = format!("Subject: x\r\n\r\ntext{ending}MAIL FROM:<a@b.example>\r\n");
            assert_eq!(read(Unstuffer::new(), wire.as_bytes()), Err(Fault::Bare), "{ending:?}");
            assert_eq!(
                read(Unstuffer::of_chunks(), format!("x{}y", ending.replace('.', "")).as_bytes()).is_err(),
                ending.replace('.', "").replace("\r\n", "").contains(['\r', '\n']),
                "{ending:?}"
            );
        }
    }

    #[test]
    fn a_line_has_an_end() {
        let line = "x".repeat(LINE_LENGTH - 2);
        assert!(read(Unstuffer::new(), format!("{line}\r\n{line}\r\n").as_bytes()).is_ok());
        assert_eq!(read(Unstuffer::new(), format!("x{line}\r\n").as_bytes()), Err(Fault::LongLine));
    }

    #[test]
    fn every_short_string_is_read_alike_however_it_is_cut() {
        let letters = [b'a', b'\r', b'\n', b'.'];
        for length in 0..=6u32 {
            for number in 0..4usize.pow(length) {
                let wire: Vec<u8> = (0..length).map(|place| letters[number / 4usize.pow(place) % 4]).collect();
                let wire = [&wire[..], b"\r\n.\r\nrest"].concat();
                let whole = read(Unstuffer::new(), &wire);
                for cut in 0..=wire.len() {
                    let mut machine = Unstuffer::new();
                    let mut out = Vec::new();
                    let (first, second) = wire.split_at(cut);
                    let pieces = machine.unstuff(first, &mut out).and_then(|end| match end {
                        Some(end) => Ok(Some(end)),
                        None => machine.unstuff(second, &mut out).map(|end| end.map(|end| end + cut)),
                    });
                    assert_eq!(pieces.map(|end| (out, end.map(|end| wire[end..].to_vec()))), whole, "{wire:?} {cut}");
                }
            }
        }
    }
}
