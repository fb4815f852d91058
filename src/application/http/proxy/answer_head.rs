//! The head of an upstream's answer: what it says, and how the body behind it is framed (RFC 9112 §4, §6.3).
//!
//! | the answer | its body |
//! |---|---|
//! | to HEAD, or 204, or 304 | none |
//! | Transfer-Encoding: chunked, and no other coding | in chunks |
//! | Content-Length, once or the same several times | so long |
//! | neither | until the connection is closed |
//! | both, other codings, lengths that differ, a coding in HTTP/1.0 | refused: two readers could see two answers |
//!
//! Interim answers are passed over. httparse reads the grammar, once all of a head is there.

use super::super::head::{FIELDS, content_length, elements, end, fields, keeps_alive};
use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http::response::Parts;
use http::{Method, Response, StatusCode, Version};
use httparse::Status;

/// The largest head of an answer in octets.
const HEAD: usize = 64 << 10;

/// Where the body of an answer ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// There is none. The length is that of the answer to GET, if it is known.
    None(Option<u64>),
    /// After so many octets.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What an upstream says before the body.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) parts: Parts,
    pub(super) framing: Framing,
    /// It takes another request on this connection.
    pub(super) keeps_alive: bool,
}

/// Where the search for the end of a head has got to.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Search(usize);

impl Search {
    /// Takes the head of an answer to `method` off the front of `input`, if all of it is there.
    ///
    /// # Errors
    /// What is wrong with it. Nothing that follows it has a meaning.
    pub(super) fn take(&mut self, input: &mut Bytes, method: &Method) -> Result<Option<AnswerHead>, &'static str> {
        let found = end(input, self.0);
        if found.unwrap_or(input.len()) > HEAD {
            return Err("the head is too large");
        }
        let Some(length) = found else {
            // The end may have begun: LF CR.
            self.0 = input.len().saturating_sub(2);
            return Ok(None);
        };
        *self = Search::default();
        let octets = input.split_to(length);
        parse(&octets, method).map(Some)
    }
}

fn parse(octets: &Bytes, method: &Method) -> Result<AnswerHead, &'static str> {
    let mut found = [httparse::EMPTY_HEADER; FIELDS];
    let mut answer = httparse::Response::new(&mut found);
    match answer.parse(octets) {
        Ok(Status::Complete(length)) if length == octets.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err("the head has too many fields"),
        _ => return Err("it is no HTTP"),
    }
    let (mut parts, ()) = Response::new(()).into_parts();
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    parts.status = status.filter(|status| status.as_u16() < 600).ok_or("there is no such status")?;
    parts.version = if answer.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers = fields(octets, answer.headers).ok_or("a field is none")?;
    let framing = framing(&parts, method)?;
    let keeps_alive = keeps_alive(&parts.headers, parts.version);
    Ok(AnswerHead { keeps_alive: keeps_alive && framing != Framing::UntilClose, framing, parts })
}

fn framing(parts: &Parts, method: &Method) -> Result<Framing, &'static str> {
    let length = content_length(&parts.headers)?;
    let has_no_body = parts.status.is_informational()
        || method == Method::HEAD
        || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        if length.is_some() || parts.version < Version::HTTP_11 {
            return Err("the length of the body is said in two ways");
        }
        let mut codings = elements(&parts.headers, TRANSFER_ENCODING);
        let is_chunked = codings.next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        return match codings.next() {
            _ if has_no_body => Ok(Framing::None(None)),
            None if is_chunked => Ok(Framing::Chunked),
            _ => Err("the body is in a transfer coding that we don't know"),
        };
    }
    Ok(match length {
        length if has_no_body => Framing::None(length),
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(method: Method, text: &str) -> Result<Option<AnswerHead>, &'static str> {
        Search::default().take(&mut Bytes::copy_from_slice(text.as_bytes()), &method)
    }

    fn framed(method: Method, line: &str, fields: &str) -> Result<(Framing, bool), &'static str> {
        take(method, &format!("HTTP/{line}\r\n{fields}\r\n")).map(|head| {
            let head = head.unwrap();
            (head.framing, head.keeps_alive)
        })
    }

    #[test]
    fn a_body_ends_where_rfc_9112_says() {
        use Framing::{Chunked, Length, None, UntilClose};
        for (line, fields, expected) in [
            ("1.1 200 OK", "Content-Length: 5\r\n", (Length(5), true)),
            ("1.1 200 OK", "Content-Length: 5, 5\r\nContent-Length: 5\r\n", (Length(5), true)),
            ("1.1 200", "Content-Length: 0\r\n", (Length(0), true)),
            ("1.1 200 OK", "Content-Length: 5\r\nConnection: Close\r\n", (Length(5), false)),
            ("1.0 200 OK", "Content-Length: 5\r\n", (Length(5), false)),
            ("1.0 200 OK", "Content-Length: 5\r\nConnection: x, Keep-Alive\r\n", (Length(5), true)),
            ("1.1 200 OK", "Transfer-Encoding: CHUNKED\r\n", (Chunked, true)),
            ("1.1 200 OK", "", (UntilClose, false)),
            ("1.0 200 OK", "Connection: keep-alive\r\n", (UntilClose, false)),
            ("1.1 204 No Content", "", (None(Option::None), true)),
            ("1.1 304 Not Modified", "Content-Length: 7\r\n", (None(Some(7)), true)),
            ("1.1 304 Not Modified", "Transfer-Encoding: chunked\r\n", (None(Option::None), true)),
            ("1.1 100 Continue", "", (None(Option::None), true)),
            ("1.1 599 Odd", "Content-Length: 1\r\n", (Length(1), true)),
        ] {
            assert_eq!(framed(Method::GET, line, fields), Ok(expected), "{line} {fields}");
        }
        assert_eq!(framed(Method::HEAD, "1.1 200 OK", "Content-Length: 5\r\n"), Ok((None(Some(5)), true)));
        assert_eq!(
            framed(Method::HEAD, "1.1 200 OK", "Transfer-Encoding: chunked\r\n"),
            Ok((None(Option::None), true))
        );
        assert_eq!(framed(Method::HEAD, "1.1 200 OK", ""), Ok((None(Option::None), true)));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for (line, fields) in [
            ("1.1 200 OK", "Content-Length: 5\r\nContent-Length: 6\r\n"),
            ("1.1 200 OK", "Content-Length: 5, 6\r\n"),
            ("1.1 200 OK", "Content-Length: +5\r\n"),
            ("1.1 200 OK", "Content-Length: \r\n"),
            ("1.1 200 OK", "Content-Length: 18446744073709551616\r\n"),
            ("1.1 200 OK", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            ("1.1 200 OK", "Transfer-Encoding: gzip, chunked\r\n"),
            ("1.1 200 OK", "Transfer-Encoding: chunked, chunked\r\n"),
            ("1.1 200 OK", "Transfer-Encoding: identity\r\n"),
            ("1.1 200 OK", "Transfer-Encoding:\r\n"),
            ("1.1 200 OK", "Transfer-Encoding: xchunked\r\n"),
            ("1.0 200 OK", "Transfer-Encoding: chunked\r\n"),
            ("1.1 204 No Content", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
            ("1.1 200 OK", "Content-Length : 5\r\n"),
            ("1.1 200 OK", "A: b\r\n c: d\r\n"),
            ("1.1 200 OK", "no colon\r\n"),
            ("2.0 200 OK", ""),
            ("1.1 20 OK", ""),
            ("1.1 600 OK", ""),
            ("1.1 99 OK", ""),
            ("1.1 OK", ""),
        ] {
            assert!(framed(Method::GET, line, fields).is_err(), "{line} {fields}");
        }
        assert!(take(Method::GET, "SSH-2.0-x\r\n\r\n").is_err());
        assert!(take(Method::GET, &format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(HEAD))).is_err());
        assert!(take(Method::GET, &format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(FIELDS + 1))).is_err());
        assert!(take(Method::GET, "HTTP/1.1 200 OK\r\nA: b\r\n").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_a_panic(octets: Vec<u8>, tail in "[A-Za-z:;, 0-9\r\n]{0,60}") {
            for text in [octets, format!("HTTP/1.1 200 OK\r\n{tail}\r\n\r\n").into_bytes()] {
                let _ = Search::default().take(&mut text.into(), &Method::GET);
            }
        }

        #[test]
        fn where_octets_are_cut_makes_no_difference(cut in 0usize..60, lf: bool) {
            let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello";
            let text = if lf { text.replace("\r\n", "\n") } else { text.to_owned() };
            let (first, second) = text.as_bytes().split_at(cut.min(text.len()));
            let (mut search, mut input) = (Search::default(), Bytes::copy_from_slice(first));
            let head = match search.take(&mut input, &Method::GET).unwrap() {
                Some(head) => {
                    input = [&input[..], second].concat().into();
                    head
                }
                None => {
                    input = [&input[..], second].concat().into();
                    search.take(&mut input, &Method::GET).unwrap().unwrap()
                }
            };
            prop_assert_eq!(head.framing, Framing::Length(5));
            prop_assert_eq!(&input[..], b"hello");
        }
    }
}
