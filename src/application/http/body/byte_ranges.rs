//! Several parts of one file in one body: multipart/byteranges (RFC 9110 §14.6).
//!
//! ```text
//!   --BOUNDARY CRLF  Content-Type: ... CRLF  Content-Range: bytes 0-9/1000 CRLF  CRLF  octets CRLF
//!   --BOUNDARY CRLF  ...
//!   --BOUNDARY-- CRLF
//! ```
//!
//! The length is known before the first octet is read. The boundary is drawn, so that nobody can write a file that has
//! it.

use super::{Content, piece, slice};
use crate::application::http::range::Span;
use crate::base::random::Random;
use bytes::Bytes;
use http::HeaderValue;
use std::io::{self, Seek, SeekFrom};

/// What a body of parts is made from.
#[derive(Debug)]
pub(in crate::application::http) struct ByteRanges {
    content: Content,
    boundary: String,
    media_type: HeaderValue,
    /// Of the whole file.
    whole: u64,
    /// The parts, the next one last.
    parts: Vec<Span>,
    /// Octets left of the part at hand.
    in_part: u64,
    /// Where they are.
    position: u64,
    /// All that is still to come.
    left: u64,
    is_begun: bool,
    is_ended: bool,
}

impl ByteRanges {
    /// Parts of a content of `whole` octets.
    pub(in crate::application::http) fn new(
        content: Content,
        parts: &[Span],
        whole: u64,
        media_type: HeaderValue,
        random: &mut Random,
    ) -> Self {
        let boundary = format!("{:016x}{:016x}", random.next_u64(), random.next_u64());
        let mut body = ByteRanges {
            content,
            boundary,
            media_type,
            whole,
            parts: parts.iter().rev().copied().collect(),
            in_part: 0,
            position: 0,
            left: 0,
            is_begun: false,
            is_ended: false,
        };
        let heads: usize = parts.iter().enumerate().map(|(index, part)| body.head(*part, index == 0).len()).sum();
        let octets: u64 = parts.iter().map(|(first, last)| last - first + 1).sum();
        body.left = octets + (heads + body.tail().len()) as u64;
        body
    }

    /// The type of the whole (RFC 9110 §14.6).
    pub(in crate::application::http) fn media_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    pub(super) fn length(&self) -> u64 {
        self.left
    }

    fn head(&self, (first, last): Span, is_first: bool) -> Vec<u8> {
        let mut head = Vec::with_capacity(160);
        head.extend_from_slice(if is_first { b"--" } else { b"\r\n--" });
        head.extend_from_slice(self.boundary.as_bytes());
        head.extend_from_slice(b"\r\nContent-Type: ");
        head.extend_from_slice(self.media_type.as_bytes());
        head.extend_from_slice(format!("\r\nContent-Range: bytes {first}-{last}/{}\r\n\r\n", self.whole).as_bytes());
        head
    }

    fn tail(&self) -> Vec<u8> {
        format!("\r\n--{}--\r\n", self.boundary).into_bytes()
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        let octets = if self.in_part > 0 {
            self.octets()?
        } else if let Some(part) = self.parts.pop() {
            let is_first = !std::mem::replace(&mut self.is_begun, true);
            let head = self.head(part, is_first);
            self.begin(part)?;
            head.into()
        } else if std::mem::replace(&mut self.is_ended, true) {
            return Ok(None);
        } else {
            self.tail().into()
        };
        self.left = self.left.saturating_sub(octets.len() as u64);
        Ok(Some(octets))
    }

    fn begin(&mut self, (first, last): Span) -> io::Result<()> {
        (self.position, self.in_part) = (first, last - first + 1);
        if let Content::File(file) = &mut self.content {
            file.seek(SeekFrom::Start(first))?;
        }
        Ok(())
    }

    fn octets(&mut self) -> io::Result<Bytes> {
        match &mut self.content {
            Content::File(file) => piece(file, &mut self.in_part),
            Content::Kept(octets) => {
                let octets = slice(octets, self.position, self.in_part);
                self.in_part = 0;
                Ok(octets)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn body(content: Content, parts: &[Span]) -> ByteRanges {
        ByteRanges::new(content, parts, 10, HeaderValue::from_static("text/plain"), &mut Random::from_seed(1))
    }

    fn all(mut body: ByteRanges) -> String {
        let mut text = Vec::new();
        let length = body.length();
        while let Some(octets) = body.next().unwrap() {
            text.extend_from_slice(&octets);
            assert_eq!(body.length(), length - text.len() as u64);
        }
        assert_eq!(text.len() as u64, length, "the length was known before");
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn parts_are_sent_as_rfc_9110_has_them_from_memory_and_from_a_file() {
        let kept = body(Content::Kept("0123456789".into()), &[(8, 9), (0, 2)]);
        let boundary = kept.media_type().split_once("boundary=").unwrap().1.to_owned();
        let expected = format!(
            "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n\
             --{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-2/10\r\n\r\n012\r\n--{boundary}--\r\n"
        );
        assert_eq!(all(kept), expected);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        assert_eq!(all(body(Content::File(file), &[(8, 9), (0, 2)])), expected);
    }
}
