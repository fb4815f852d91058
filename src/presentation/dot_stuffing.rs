//! Mail on the wire: lines that end with CRLF, a dot before each line that begins with one, and a line of
//! one dot as the end (RFC 1939 §3, RFC 5321 §4.5.2).
//!
//! ```text
//!   stored octets --canonical: LF -> CRLF, the last line ended--> counted --stuffed: "." -> ".."--> wire
//! ```
//!
//! The number of octets that a server states is that of the canonical form: after the line ends are made
//! CRLF and before dots are added (RFC 1939 §11). Both come from the one [`Stuffer`] here, so that the
//! number and the octets can't differ. A CR that is not followed by LF is passed as it is: it is not a line
//! end in RFC 5322, and a message must come out as it went in.
//!
//! Everything works on pieces of any size, so that a message is never in memory as a whole.

/// Turns stored mail into its wire form, piece by piece.
#[derive(Clone, Debug)]
pub struct Stuffer {
    octets: u64,
    at_line_start: bool,
    after_cr: bool,
}

impl Default for Stuffer {
    fn default() -> Self {
        Stuffer { octets: 0, at_line_start: true, after_cr: false }
    }
}

impl Stuffer {
    /// The octets of the canonical form so far.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Adds the wire form of the next `piece` to `out`.
    pub fn stuff(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for line in piece.split_inclusive(|octet| *octet == b'\n') {
            if self.at_line_start && line.first() == Some(&b'.') {
                out.push(b'.');
            }
            match line.split_last() {
                Some((b'\n', text)) => {
                    out.extend_from_slice(text);
                    out.extend_from_slice(if self.lacks_cr(text) { b"\r\n" } else { b"\n" });
                }
                _ => out.extend_from_slice(line),
            }
            self.advance(line);
        }
    }

    /// Counts the next `piece` without making its wire form.
    pub fn count(&mut self, piece: &[u8]) {
        for line in piece.split_inclusive(|octet| *octet == b'\n') {
            self.advance(line);
        }
    }

    /// Ends the message: completes its last line.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.missing_end());
        self.end();
    }

    /// Ends the count: completes the last line. Gives the octets of the whole canonical form.
    pub fn finish_count(&mut self) -> u64 {
        self.end();
        self.octets
    }

    fn end(&mut self) {
        let missing = self.missing_end().len() as u64;
        *self = Stuffer { octets: self.octets + missing, ..Stuffer::default() };
    }

    fn missing_end(&self) -> &'static [u8] {
        match (self.at_line_start, self.after_cr) {
            (true, _) => b"",
            (false, true) => b"\n",
            (false, false) => b"\r\n",
        }
    }

    /// True if the LF after `text` has no CR before it.
    fn lacks_cr(&self, text: &[u8]) -> bool {
        text.last().map_or(!self.after_cr, |last| *last != b'\r')
    }

    /// Moves over `line`: some octets of one line, at most its last one an LF.
    fn advance(&mut self, line: &[u8]) {
        if let Some((last, text)) = line.split_last() {
            let added = u64::from(*last == b'\n' && self.lacks_cr(text));
            self.octets += line.len() as u64 + added;
            self.at_line_start = *last == b'\n';
            self.after_cr = *last == b'\r';
        }
    }
}

/// Passes the header of a message, the blank line after it and the first lines of its body: what TOP asks
/// for (RFC 1939 §7). It looks at the stored form.
#[derive(Clone, Debug)]
pub struct Top {
    in_header: bool,
    /// What the line being passed is made of so far.
    line: Kind,
    lines_left: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Empty,
    Cr,
    Text,
}

impl Top {
    /// Passes the header and `lines` lines of the body.
    pub fn new(lines: u64) -> Self {
        Top { in_header: true, line: Kind::Empty, lines_left: lines }
    }

    /// True until the blank line that ends the header was seen.
    pub fn in_header(&self) -> bool {
        self.in_header
    }

    /// True when nothing more will be passed.
    pub fn is_done(&self) -> bool {
        !self.in_header && self.lines_left == 0
    }

    /// The part of the next `piece` that is wanted: all of it, or its beginning.
    pub fn pass<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let mut passed = 0;
        for line in piece.split_inclusive(|octet| *octet == b'\n') {
            if self.is_done() {
                break;
            }
            passed += line.len();
            self.advance(line);
        }
        piece.get(..passed).unwrap_or_default()
    }

    fn advance(&mut self, line: &[u8]) {
        let kind = match (self.line, line) {
            (kind, [] | [b'\n']) => kind,
            (Kind::Empty, [b'\r'] | [b'\r', b'\n']) => Kind::Cr,
            _ => Kind::Text,
        };
        if line.last() != Some(&b'\n') {
            self.line = kind;
            return;
        }
        self.line = Kind::Empty;
        if !self.in_header {
            self.lines_left -= 1;
        } else if kind != Kind::Text {
            self.in_header = false;
        }
    }
}

#[cfg(test)]
#[path = "dot_stuffing_tests.rs"]
mod tests;
