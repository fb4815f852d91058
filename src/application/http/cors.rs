//! Which pages of other origins may read answers: cross-origin resource sharing (the Fetch Standard §3.2).
//!
//! Nobody's cookies and logins are shared: that takes more than a list of names.

use super::answer;
use super::body::Body;
use crate::base::time::Duration;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};

/// Who may read.
#[derive(Clone, Debug)]
pub struct Cors {
    /// The origins, `https://app.example`; `*` is all of them.
    pub origins: Vec<String>,
    /// How long a browser may remember it.
    pub max_age: Duration,
}

impl Cors {
    /// The answer to a browser that asks before it asks; `None` if this is no such question.
    pub(super) fn preflight(&self, head: &Parts) -> Option<Response<Body>> {
        let headers = &head.headers;
        if head.method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
            return None;
        }
        headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut response = answer::empty(StatusCode::NO_CONTENT);
        if self.allowed(head).is_some() {
            let fields = response.headers_mut();
            fields.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, PUT, DELETE"));
            let asked = "range, if-range, if-match, if-none-match, if-modified-since, content-type, authorization";
            fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(asked));
            answer::insert(fields, ACCESS_CONTROL_MAX_AGE, &self.max_age.as_secs().to_string());
        }
        Some(response)
    }

    /// Says in an answer that who asked may read it.
    pub(super) fn allow(&self, head: &Parts, headers: &mut HeaderMap) {
        if !self.is_for_all() {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = self.allowed(head) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let told = "content-encoding, content-range, etag, location";
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(told));
        }
    }

    fn is_for_all(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }

    fn allowed(&self, head: &Parts) -> Option<HeaderValue> {
        let origin = head.headers.get(ORIGIN)?;
        if self.is_for_all() {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins.iter().any(|own| own.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }
}
