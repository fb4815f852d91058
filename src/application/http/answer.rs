//! Answers that are made of nothing but their status and a few fields.

use super::body::Body;
use crate::base::time::Duration;
use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Response, StatusCode};
use std::time::UNIX_EPOCH;

/// The last second that an HTTP-date can say: the end of the year 9999.
pub(super) const LAST_DATE: u64 = 253_402_300_799;

/// A calendar time as an HTTP-date (RFC 9110 §5.6.7); `None` after the year 9999.
pub(super) fn http_date(since_1970: Duration) -> Option<String> {
    (since_1970.as_secs() <= LAST_DATE).then(|| httpdate::fmt_http_date(UNIX_EPOCH + since_1970))
}

/// Sets a header; a value that can't be one is left out.
pub(super) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// An answer with a body of some type.
pub(super) fn content(media_type: &'static str, octets: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(octets));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// An answer that is its status: a line of text says it to people.
pub(super) fn status(status: StatusCode) -> Response<Body> {
    let mut response = content("text/plain; charset=utf-8", format!("{status}\n"));
    *response.status_mut() = status;
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// The resource does not know this method (RFC 9110 §15.5.6).
pub(super) fn method_not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = status(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// What may be done with a resource (RFC 9110 §9.3.7).
pub(super) fn options(allowed: &'static str) -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The resource is elsewhere.
pub(super) fn redirect(code: StatusCode, to: &str) -> Response<Body> {
    let mut response = status(code);
    insert(response.headers_mut(), LOCATION, to);
    response
}

/// The same answer, after which the connection is closed.
pub(super) fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
