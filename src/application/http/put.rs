//! PUT and DELETE of files in a store (RFC 9110 §9.3.4, §9.3.5): who may was asked before.

use super::Site;
use super::answer::{self, closing};
use super::body::Body;
use super::files::{Place, Root, Store};
use super::guard::Names;
use super::incoming::Incoming;
use super::wire::Fault;
use crate::session::errands::Busy;
use http::header::{CONTENT_ENCODING, CONTENT_RANGE};
use http::request::Parts;
use http::{Method, Response, StatusCode};

/// What is refused before anything of the body is read.
pub(super) fn refuse(store: &Store, head: &Parts, least: Option<u64>, is_folder: bool) -> Option<StatusCode> {
    let is_packed = head.headers.get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity");
    if is_folder {
        return Some(StatusCode::CONFLICT);
    }
    if head.method == Method::DELETE {
        return None;
    }
    if head.headers.contains_key(CONTENT_RANGE) {
        // RFC 9110 §14.5: a part would be taken for the whole.
        return Some(StatusCode::BAD_REQUEST);
    }
    if is_packed {
        // RFC 9110 §8.4: what is stored would say nothing of the coding.
        return Some(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    least.is_some_and(|octets| octets > store.limit).then_some(StatusCode::PAYLOAD_TOO_LARGE)
}

/// Does what the request asks for.
pub(super) async fn answer(
    site: &Site,
    root: &Root,
    store: &Store,
    head: &Parts,
    names: &Names<'_>,
    upload: &mut impl Incoming,
) -> Result<Response<Body>, Fault> {
    let place = match Place::find(root, site.moment(), names, &head.headers) {
        Ok(place) => place,
        Err(status) => return Ok(refused(status, upload.is_ended())),
    };
    if head.method == Method::DELETE {
        return delete(site, place, store, upload).await;
    }
    let mut draft = match place.draft() {
        Ok(draft) => draft,
        Err(status) => return Ok(refused(status, upload.is_ended())),
    };
    while let Some(piece) = upload.next().await? {
        if let Err(status) = draft.write(&piece, store.limit) {
            return Ok(refused(status, false));
        }
    }
    let (now, mark) = (site.clock.unix_time(), site.random.borrow_mut().next_u64());
    Ok(match site.errands.send(move || place.put(&draft, now, mark)).await {
        Err(Busy) => refused(StatusCode::SERVICE_UNAVAILABLE, true),
        Ok(Err(status)) => refused(status, true),
        Ok(Ok(put)) => {
            let mut response = match put.is_new {
                true => answer::status(StatusCode::CREATED),
                false => answer::empty(StatusCode::NO_CONTENT),
            };
            if let Some(validators) = put.validators {
                validators.tell(response.headers_mut());
            }
            response
        }
    })
}

async fn delete(site: &Site, place: Place, store: &Store, upload: &mut impl Incoming) -> Result<Response<Body>, Fault> {
    if !upload.discard(store.limit).await? {
        return Ok(refused(StatusCode::PAYLOAD_TOO_LARGE, false));
    }
    if !place.is_taken() {
        return Ok(answer::status(StatusCode::NOT_FOUND));
    }
    Ok(match site.errands.send(move || place.delete()).await {
        Err(Busy) => refused(StatusCode::SERVICE_UNAVAILABLE, true),
        Ok(Err(status)) => refused(status, true),
        Ok(Ok(())) => answer::empty(StatusCode::NO_CONTENT),
    })
}

/// A refusal; with a body that is not read, the last answer.
fn refused(status: StatusCode, is_read: bool) -> Response<Body> {
    let response = answer::status(status);
    if is_read { response } else { closing(response) }
}
