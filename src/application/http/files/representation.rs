//! The answer with a file: all of it, the parts that are asked for, or word that nothing is to be sent
//! (RFC 9110 §13.2, §14.2).

use super::page::{Form, Page};
use crate::application::http::Site;
use crate::application::http::answer;
use crate::application::http::body::{Body, ByteRanges, Content, Packed};
use crate::application::http::range::{self, Range, Span};
use crate::application::http::validators::{Validators, Verdict};
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE, VARY};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use std::io;

/// The answer to a GET or HEAD.
///
/// # Errors
/// The file can't be read.
pub(super) fn answer(site: &Site, page: Page, head: &Parts) -> io::Result<Response<Body>> {
    let Page { content, length, validators, media, form, varies } = page;
    let mut response = match validators.check(&head.headers) {
        Verdict::NotModified => answer::empty(StatusCode::NOT_MODIFIED),
        Verdict::Failed => answer::status(StatusCode::PRECONDITION_FAILED),
        Verdict::Proceed => match asked_range(head, &validators, form, length) {
            Range::Whole => whole(site, content, form, length, media.value)?,
            Range::Part(span) => part(content, span, length, media.value)?,
            Range::Parts(parts) => {
                let mut random = site.random.borrow_mut();
                several(ByteRanges::new(content, &parts, length, media.value, &mut random))
            }
            Range::Unsatisfiable => {
                let mut response = answer::status(StatusCode::RANGE_NOT_SATISFIABLE);
                answer::insert(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{length}"));
                response
            }
        },
    };
    let status = response.status();
    let headers = response.headers_mut();
    if varies {
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    if matches!(status, StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE) {
        return Ok(response);
    }
    if form.has_parts() {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    if let Some(coding) = form.coding().filter(|_| status != StatusCode::NOT_MODIFIED) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    validators.tell(headers);
    Ok(response)
}

fn whole(
    site: &Site,
    content: Content,
    form: Form,
    length: u64,
    media_type: HeaderValue,
) -> io::Result<Response<Body>> {
    let mut response = Response::new(match (form, content) {
        (Form::ToBeMade(coding), Content::File(file)) => Body::packed(Packed::new(file, length, coding, &site.permits)),
        (_, content) => Body::part(content, 0, length)?,
    });
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(response)
}

fn part(content: Content, (first, last): Span, length: u64, media_type: HeaderValue) -> io::Result<Response<Body>> {
    let mut response = Response::new(Body::part(content, first, last - first + 1)?);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    answer::insert(response.headers_mut(), CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"));
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(response)
}

fn several(parts: ByteRanges) -> Response<Body> {
    let media_type = parts.media_type();
    let mut response = Response::new(Body::parts(parts));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    answer::insert(response.headers_mut(), CONTENT_TYPE, &media_type);
    response
}

/// What part is asked for. A range has a meaning only with GET (RFC 9110 §14.2).
fn asked_range(head: &Parts, validators: &Validators, form: Form, length: u64) -> Range {
    let mut ranges = head.headers.get_all(RANGE).iter();
    match (ranges.next(), ranges.next()) {
        (Some(range), None)
            if head.method == Method::GET && form.has_parts() && validators.allow_range(&head.headers) =>
        {
            range.to_str().map_or(Range::Whole, |value| range::parse(value, length))
        }
        _ => Range::Whole,
    }
}
