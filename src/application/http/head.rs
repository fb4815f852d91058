//! The head of a request: where it ends, what it says, and how the body behind it is framed (RFC 9112 §2 to §6, §9.3).
//!
//! httparse reads the grammar: no white space around a field's name, no folded lines, no control characters, CRLF or
//! LF at the end of a line. What it does not know is here: that nothing is parsed before the head is whole, its bounds,
//! and the framing.
//!
//! | the request says | the body is |
//! |---|---|
//! | nothing | none |
//! | Content-Length, once or the same several times | so long |
//! | Transfer-Encoding: chunked | in chunks |
//! | both | refused: two readers could see two requests (RFC 9112 §6.1 lets us) |
//! | lengths that differ or are none | refused (RFC 9112 §6.3) |
//! | a Transfer-Encoding whose last coding is not chunked, chunked twice, or in HTTP/1.0 | refused (RFC 9112 §6.1) |
//! | another coding before chunked | 501 (RFC 9112 §6.1) |
//!
//! Field values are slices of what was received.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};
use httparse::{ParserConfig, Status};
use std::mem::MaybeUninit;

/// Fields of one head.
pub(super) const FIELDS: usize = 100;

/// How the end of a request's body is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// By its length; 0 also if there is no body.
    Length(u64),
    /// By its last chunk.
    Chunked,
}

impl Framing {
    /// The least that is to come of a body, `None` if there is none.
    pub(super) fn least(self) -> Option<u64> {
        match self {
            Framing::Length(0) => None,
            Framing::Length(length) => Some(length),
            Framing::Chunked => Some(0),
        }
    }
}

/// What a request says before its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: Parts,
    pub(super) framing: Framing,
    /// Whether the client wants to say more on this connection (RFC 9112 §9.3).
    pub(super) keeps_alive: bool,
}

/// Where the search for the end of a head has got to.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Search(usize);

impl Search {
    /// Takes a head off the front of `input`, if all of it is there. `limit` bounds it in octets.
    ///
    /// # Errors
    /// The status to refuse it with. Nothing that follows it has a meaning.
    pub(super) fn take(&mut self, input: &mut Bytes, limit: usize) -> Result<Option<Head>, StatusCode> {
        // Empty lines before a request are passed over (RFC 9112 §2.2).
        let empty = input.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
        drop(input.split_to(empty));
        // Most heads come in one piece: they are read at once. Of one that has not come to its end nothing is said
        // before it has, and it is not read again with each octet.
        let found = if self.0 == 0 { None } else { end(input, self.0) };
        if self.0 > 0 && found.is_none() {
            return self.wait(input, limit);
        }
        match parse(input, limit) {
            Ok(Some((head, length))) => {
                drop(input.split_to(length));
                *self = Search::default();
                Ok(Some(head))
            }
            Ok(None) => self.wait(input, limit),
            Err(status) if found.is_some() || end(input, 0).is_some() => Err(status),
            Err(_) => self.wait(input, limit),
        }
    }

    fn wait(&mut self, input: &[u8], limit: usize) -> Result<Option<Head>, StatusCode> {
        if input.len() > limit {
            return Err(too_large(input));
        }
        // The end may have begun: LF CR.
        self.0 = input.len().saturating_sub(2);
        Ok(None)
    }
}

/// RFC 9110 §15.5.15 for what is all target, RFC 6585 §5 for the rest.
fn too_large(input: &[u8]) -> StatusCode {
    if input.contains(&b'\n') { StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE } else { StatusCode::URI_TOO_LONG }
}

/// Finds an empty line at or behind `from`.
pub(super) fn end(input: &[u8], from: usize) -> Option<usize> {
    let mut from = from;
    loop {
        let rest = input.get(from..)?;
        let at = rest.iter().position(|octet| *octet == b'\n')?;
        match rest.get(at + 1..) {
            Some([b'\n', ..]) => return Some(from + at + 2),
            Some([b'\r', b'\n', ..]) => return Some(from + at + 3),
            _ => from += at + 1,
        }
    }
}

/// Reads a head and its length in octets; `None` if it is not whole. A later version of HTTP/1 is read as the last one
/// that we know, another major version is 505 (RFC 9112 §2.3, RFC 9110 §2.5, §15.6.6).
fn parse(input: &Bytes, limit: usize) -> Result<Option<(Head, usize)>, StatusCode> {
    match parse_known(input, limit) {
        Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED) => match later_version(input) {
            Some(as_known) => parse_known(&as_known, limit),
            None => Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
        },
        known => known,
    }
}

/// True if the first line ends with what is a version (RFC 9112 §2.3).
fn names_version(input: &[u8]) -> bool {
    let line = input.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|octet| *octet == b' ');
    let (Some(_), Some([_, ..]), Some(version), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return false;
    };
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// The same head as one of HTTP/1.1, if it is one of a later HTTP/1.
fn later_version(input: &[u8]) -> Option<Bytes> {
    let end = input.iter().position(|octet| *octet == b'\n')?;
    let line = input.get(..end)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let minor = line.len().checked_sub(1)?;
    line.strip_suffix(&[*line.last().filter(|digit| matches!(digit, b'2'..=b'9'))?])?.strip_suffix(b" HTTP/1.")?;
    let mut known = BytesMut::from(input);
    *known.get_mut(minor)? = b'1';
    Some(known.freeze())
}

fn parse_known(input: &Bytes, limit: usize) -> Result<Option<(Head, usize)>, StatusCode> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = ParserConfig::default().parse_request_with_uninit_headers(&mut request, input, &mut fields);
    let length = match parsed {
        Ok(Status::Complete(length)) if length > limit => return Err(too_large(input.get(..limit).unwrap_or(input))),
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        Err(httparse::Error::Version) if names_version(input) => return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
        Err(_) => return Err(StatusCode::BAD_REQUEST),
    };
    let (mut parts, ()) = Request::new(()).into_parts();
    let target = request.path.ok_or(StatusCode::BAD_REQUEST)?.as_bytes();
    // No fragment, and nothing but ASCII (RFC 9112 §3.2, RFC 3986 §2).
    if target.iter().any(|octet| *octet == b'#' || !octet.is_ascii()) {
        return Err(StatusCode::BAD_REQUEST);
    }
    parts.method =
        Method::from_bytes(request.method.unwrap_or_default().as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)?;
    parts.uri = Uri::from_maybe_shared(input.slice_ref(target)).map_err(|_| match target.len() {
        // What no URI can hold.
        0xffff.. => StatusCode::URI_TOO_LONG,
        _ => StatusCode::BAD_REQUEST,
    })?;
    parts.version = if request.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers = self::fields(input, request.headers).ok_or(StatusCode::BAD_REQUEST)?;
    let framing = framing(&parts.headers, parts.version)?;
    let keeps_alive = keeps_alive(&parts.headers, parts.version);
    Ok(Some((Head { parts, framing, keeps_alive }, length)))
}

/// How the body is framed (RFC 9112 §6.3).
fn framing(headers: &HeaderMap, version: Version) -> Result<Framing, StatusCode> {
    if headers.contains_key(TRANSFER_ENCODING) {
        if version < Version::HTTP_11 || headers.contains_key(CONTENT_LENGTH) {
            return Err(StatusCode::BAD_REQUEST);
        }
        let mut codings = elements(headers, TRANSFER_ENCODING).rev();
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        if !codings.next().is_some_and(is_chunked) {
            return Err(StatusCode::BAD_REQUEST);
        }
        return match codings.next() {
            None => Ok(Framing::Chunked),
            Some(coding) if is_chunked(coding) || codings.any(is_chunked) => Err(StatusCode::BAD_REQUEST),
            Some(_) => Err(StatusCode::NOT_IMPLEMENTED),
        };
    }
    let length = content_length(headers).map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(Framing::Length(length.unwrap_or(0)))
}

/// What a message says of the length of its body, once or the same several times (RFC 9110 §8.6).
///
/// # Errors
/// It is no number, or two.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, &'static str> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for value in value.as_bytes().split(|octet| *octet == b',') {
            let value = number(value.trim_ascii()).ok_or("the length of the body is no number")?;
            if length.is_some_and(|length| length != value) {
                return Err("the body has two lengths");
            }
            length = Some(value);
        }
    }
    Ok(length)
}

/// The fields that were found in `octets`, as slices of them; `None` if one of them is none.
pub(super) fn fields(octets: &Bytes, found: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(found.len());
    for field in found {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_maybe_shared(octets.slice_ref(field.value)).ok()?);
    }
    Some(headers)
}

/// `1*DIGIT`, of which we can count so many as a `u64` holds.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// What the sender of a message wants of the connection after it (RFC 9112 §9.3).
pub(super) fn keeps_alive(headers: &HeaderMap, version: Version) -> bool {
    if !headers.contains_key(CONNECTION) {
        return version >= Version::HTTP_11;
    }
    let says = |option: &[u8]| elements(headers, CONNECTION).any(|element| element.eq_ignore_ascii_case(option));
    !says(b"close") && (version >= Version::HTTP_11 || says(b"keep-alive"))
}

/// The elements of a list that may be spread over several fields (RFC 9110 §5.6.1); empty ones are none.
pub(super) fn elements(headers: &HeaderMap, name: HeaderName) -> impl DoubleEndedIterator<Item = &[u8]> {
    let lists = headers.get_all(name).into_iter();
    lists
        .flat_map(|list| list.as_bytes().split(|octet| *octet == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}
