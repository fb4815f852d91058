//! Lines of text out of a stream, none longer than a bound.
//!
//! A line ends with CRLF; a bare LF is accepted as well (what people type into `nc` ends so), unless the reader is
//! strict: where another reader of the same octets may see other lines (RFC 5321 §2.3.8), a bare CR or LF is reported
//! as what it is. A line that
//! is too long is skipped up to its end and reported once, so that a conversation can go on after it, and
//! no peer can make the reader keep more than the bound.
//!
//! Not here: any meaning of a line, and timeouts, which the caller puts around [`LineReader::next`] (it
//! may be dropped at any time without losing octets).

use futures_io::AsyncRead;
use futures_util::AsyncReadExt;
use std::io;

/// Octets asked from the stream at a time.
const READ_SIZE: usize = 1_024;

/// What came next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// A line, without its end.
    Text(Vec<u8>),
    /// A line longer than the bound; it was thrown away.
    TooLong,
    /// To a strict reader: a line with a CR or LF in it, or at its end, that is not half of a CRLF.
    Bare,
    /// The peer closed its side. An unfinished last line is not a line.
    End,
}

/// Cuts a stream into lines.
#[derive(Debug)]
pub struct LineReader {
    buffer: Vec<u8>,
    /// The longest line, its end included.
    limit: usize,
    /// In the middle of a line that is too long.
    skipping: bool,
    is_strict: bool,
}

impl LineReader {
    /// A reader for lines of at most `limit` octets, their ends included.
    pub fn new(limit: usize) -> Self {
        LineReader { buffer: Vec::new(), limit, skipping: false, is_strict: false }
    }

    /// The same, for which only CRLF ends a line.
    pub fn strict(limit: usize) -> Self {
        LineReader { is_strict: true, ..LineReader::new(limit) }
    }

    /// Another bound from here on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Up to `most` octets that were read from the stream and are in no line yet, whatever they are.
    pub fn take(&mut self, most: usize) -> Vec<u8> {
        let most = most.min(self.buffer.len());
        self.buffer.drain(..most).collect()
    }

    /// Puts octets in front of those.
    pub fn put_back(&mut self, octets: &[u8]) {
        self.buffer.splice(..0, octets.iter().copied());
    }

    /// True if the next line is here already: a pipelined command, before which answers need no flush.
    pub fn has_line(&self) -> bool {
        self.buffer.contains(&b'\n')
    }

    /// Forgets what was read and not given out: who said it before the stream was encrypted may be somebody else.
    pub fn discard(&mut self) {
        (self.buffer, self.skipping) = (Vec::new(), false);
    }

    /// Waits until the next line has begun, or the peer has closed its side.
    pub async fn begin<R: AsyncRead + Unpin>(&mut self, from: &mut R) -> io::Result<()> {
        if self.buffer.is_empty() && !self.skipping {
            self.read(from).await?;
        }
        Ok(())
    }

    /// The next line.
    pub async fn next<R: AsyncRead + Unpin>(&mut self, from: &mut R) -> io::Result<Line> {
        loop {
            if let Some(line) = self.cut() {
                return Ok(line);
            }
            if self.read(from).await? == 0 {
                return Ok(Line::End);
            }
        }
    }

    /// Some octets more, or none at the stream's end.
    async fn read<R: AsyncRead + Unpin>(&mut self, from: &mut R) -> io::Result<usize> {
        let mut chunk = [0; READ_SIZE];
        let n = from.read(&mut chunk).await?;
        self.buffer.extend_from_slice(chunk.get(..n).unwrap_or_default());
        Ok(n)
    }

    /// A line from what is buffered, if there is a whole one. Keeps the buffer within the bound.
    fn cut(&mut self) -> Option<Line> {
        let Some(at) = self.buffer.iter().position(|octet| *octet == b'\n') else {
            if self.skipping || self.buffer.len() >= self.limit {
                self.skipping = true;
                self.buffer.clear();
            }
            return None;
        };
        let mut line: Vec<u8> = self.buffer.drain(..=at).collect();
        if std::mem::take(&mut self.skipping) || line.len() > self.limit {
            return Some(Line::TooLong);
        }
        line.pop();
        let has_cr = line.pop_if(|last| *last == b'\r').is_some();
        if self.is_strict && (!has_cr || line.contains(&b'\r')) {
            return Some(Line::Bare);
        }
        Some(Line::Text(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_executor::block_on;
    use futures_util::io::Cursor;
    use proptest::prelude::*;

    fn lines(input: &[u8], limit: usize) -> Vec<Line> {
        let mut reader = LineReader::new(limit);
        let mut from = Cursor::new(input.to_vec());
        let mut out = Vec::new();
        loop {
            match block_on(reader.next(&mut from)).unwrap() {
                Line::End => return out,
                line => out.push(line),
            }
            assert!(reader.buffer.len() <= limit + READ_SIZE);
        }
    }

    fn text(line: &str) -> Line {
        Line::Text(line.as_bytes().to_vec())
    }

    #[test]
    fn lines_end_with_crlf_or_lf_and_an_unfinished_one_is_none() {
        assert_eq!(lines(b"a\r\n\r\nb\nc\rd\r\nrest", 100), [text("a"), text(""), text("b"), text("c\rd")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_reported_once_and_the_next_is_whole() {
        let mut input = vec![b'x'; 5_000];
        input.extend_from_slice(b"\r\nNOOP\r\n12345678\r\n123456789\r\n");
        assert_eq!(lines(&input, 10), [Line::TooLong, text("NOOP"), text("12345678"), Line::TooLong]);
    }

    #[test]
    fn a_strict_reader_tells_of_ends_that_are_none() {
        let mut reader = LineReader::strict(100);
        let mut from = Cursor::new(b"one\r\ntwo\nth\rree\r\n\r\r\n\r\nrest".to_vec());
        for line in [text("one"), Line::Bare, Line::Bare, Line::Bare, text("")] {
            assert_eq!(block_on(reader.next(&mut from)).unwrap(), line);
        }
        assert_eq!(reader.take(2), b"re");
        reader.put_back(b"QUIT\r\n");
        assert_eq!(block_on(reader.next(&mut from)).unwrap(), text("QUIT"));
        assert_eq!(reader.take(100), b"st");
    }

    #[test]
    fn a_waiting_line_is_seen_before_it_is_read() {
        let mut reader = LineReader::new(100);
        let mut from = Cursor::new(b"one\r\ntwo\r\nthr".to_vec());
        assert!(!reader.has_line());
        assert_eq!(block_on(reader.next(&mut from)).unwrap(), text("one"));
        assert!(reader.has_line());
        assert_eq!(block_on(reader.next(&mut from)).unwrap(), text("two"));
        assert!(!reader.has_line());
    }

    proptest! {
        #[test]
        fn short_lines_come_back_as_they_were(sent in prop::collection::vec("[ -~]{0,60}", 0..50)) {
            let input: String = sent.iter().map(|line| format!("{line}\r\n")).collect();
            let expected: Vec<Line> = sent.iter().map(|line| text(line)).collect();
            prop_assert_eq!(lines(input.as_bytes(), 62), expected);
        }
    }
}
