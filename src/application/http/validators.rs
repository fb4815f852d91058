//! What a client has already: entity tags, dates, and the conditions on them (RFC 9110 §8.8, §13).

use super::answer::http_date;
use crate::base::time::Duration;
use crate::presentation::encoding::Coding;
use http::HeaderMap;
use http::header::{
    ETAG, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED,
};
use std::fs::Metadata;
use std::time::UNIX_EPOCH;

/// What tells one state of a file from another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Validators {
    /// The entity tag, quotes included: length and time of the last change, and the coding if there is one.
    tag: HeaderValue,
    /// The time of the last change in whole seconds since 1970, if it is one.
    modified: Option<u64>,
    /// The same as a date.
    date: Option<HeaderValue>,
}

/// What the conditions of a request come to (RFC 9110 §13.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The request is to be done.
    Proceed,
    /// The client has it already: 304.
    NotModified,
    /// It is not what the client thinks: 412.
    Failed,
}

impl Validators {
    /// The validators of a file. A time of change that is yet to come is taken as `now` (RFC 9110 §8.8.2.1).
    pub(super) fn of(file: &Metadata, now: Duration) -> Self {
        let modified = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let nanos = modified.map_or(0, |time| time.as_nanos());
        Validators::new(&format!("\"{:x}-{nanos:x}\"", file.len()), modified.map(|time| time.min(now).as_secs()))
    }

    /// Those of the same file in a coding that we make: another tag, and a weak one, since what we make may be other
    /// octets in the next version of ours (RFC 9110 §8.8.1).
    pub(super) fn made(&self, coding: Coding) -> Self {
        self.marked("W/", coding)
    }

    /// Those of a file that holds another in a coding.
    pub(super) fn stored(&self, coding: Coding) -> Self {
        self.marked("", coding)
    }

    /// The tag says which of the forms it is of: two forms of a file never have the same (RFC 9110 §8.8.3.3).
    fn marked(&self, before: &str, coding: Coding) -> Self {
        let opaque = self.tag.to_str().unwrap_or_default().trim_matches('"');
        let tag = HeaderValue::from_str(&format!("{before}\"{opaque}-{}\"", coding.name()));
        Validators { tag: tag.unwrap_or_else(|_| self.tag.clone()), ..self.clone() }
    }

    /// True if what these are of was changed before what the others are of.
    pub(super) fn is_older_than(&self, other: &Validators) -> bool {
        self.modified < other.modified
    }

    fn new(tag: &str, modified: Option<u64>) -> Self {
        let date = modified.and_then(|secs| http_date(Duration::from_secs(secs)));
        Validators {
            // A value is refused for control characters, and there are none.
            tag: HeaderValue::from_str(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\"")),
            modified,
            date: date.and_then(|date| HeaderValue::from_str(&date).ok()),
        }
    }

    /// Says them in an answer.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(ETAG, self.tag.clone());
        if let Some(date) = &self.date {
            headers.insert(LAST_MODIFIED, date.clone());
        }
    }

    /// Evaluates the conditions of a GET or HEAD, in the order of RFC 9110 §13.2.2.
    pub(super) fn check(&self, request: &HeaderMap) -> Verdict {
        if request.contains_key(IF_MATCH) {
            if !self.matches(request, IF_MATCH, strong) {
                return Verdict::Failed;
            }
        } else if let (Some(date), Some(modified)) = (date(request, IF_UNMODIFIED_SINCE), self.modified)
            && modified > date
        {
            return Verdict::Failed;
        }
        if request.contains_key(IF_NONE_MATCH) {
            if self.matches(request, IF_NONE_MATCH, weak) {
                return Verdict::NotModified;
            }
        } else if let (Some(date), Some(modified)) = (date(request, IF_MODIFIED_SINCE), self.modified)
            && modified <= date
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// True if the conditions of a request that changes what is `there` hold (RFC 9110 §13.2.2); a tag of a form that
    /// only some clients get is not that of the file.
    pub(super) fn allow_change(there: Option<&Validators>, request: &HeaderMap) -> bool {
        let Some(own) = there else {
            // Nothing is there: no tag matches it, and it has no date (§13.1.4).
            return !request.contains_key(IF_MATCH);
        };
        match own.check(request) {
            Verdict::Failed => false,
            // If-None-Match; If-Modified-Since is of GET and HEAD alone (§13.1.3).
            Verdict::NotModified => !request.contains_key(IF_NONE_MATCH),
            Verdict::Proceed => true,
        }
    }

    /// True if a request is to be done only where nothing is.
    pub(super) fn want_nothing(request: &HeaderMap) -> bool {
        request.get_all(IF_NONE_MATCH).iter().any(|tags| tags.as_bytes().trim_ascii() == b"*")
    }

    /// True if a Range header is to be obeyed: there is no If-Range, or it names this state (§13.1.5).
    pub(super) fn allow_range(&self, request: &HeaderMap) -> bool {
        let Some(condition) = request.get(IF_RANGE) else {
            return true;
        };
        let Ok(condition) = condition.to_str() else {
            return false;
        };
        if condition.starts_with('"') || condition.starts_with("W/") {
            return strong(condition.trim().as_bytes(), self.tag.as_bytes());
        }
        date(request, IF_RANGE).is_some() && date(request, IF_RANGE) == self.modified
    }

    /// True if a list of entity tags has ours, or is `*`.
    fn matches(&self, request: &HeaderMap, name: HeaderName, same: fn(&[u8], &[u8]) -> bool) -> bool {
        let lists = request.get_all(name).iter().filter_map(|value| value.to_str().ok());
        // Our tags have no comma in them, so a foreign one that has is cut in two that are not ours.
        lists
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || same(tag.as_bytes(), self.tag.as_bytes()))
    }
}

/// The strong comparison (RFC 9110 §8.8.3.2): a weak tag is like no other, not even itself.
fn strong(theirs: &[u8], ours: &[u8]) -> bool {
    theirs == ours && !ours.starts_with(b"W/")
}

/// The weak comparison.
fn weak(theirs: &[u8], ours: &[u8]) -> bool {
    theirs.strip_prefix(b"W/").unwrap_or(theirs) == ours.strip_prefix(b"W/").unwrap_or(ours)
}

/// The date in a header, in seconds since 1970. What is no date is no condition.
fn date(request: &HeaderMap, name: HeaderName) -> Option<u64> {
    let time = httpdate::parse_http_date(request.get(name)?.to_str().ok()?.trim()).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "Sun, 22 Nov 2026 11:59:59 GMT";
    const AT: &str = "Sun, 22 Nov 2026 12:00:00 GMT";
    const AFTER: &str = "Sun, 22 Nov 2026 12:00:01 GMT";

    fn ours() -> Validators {
        Validators::new("\"a-1\"", Some(1_795_348_800))
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn conditions_are_evaluated_in_the_order_of_rfc_9110() {
        use Verdict::*;
        for (pairs, verdict) in [
            (&[][..], Proceed),
            (&[("if-none-match", "\"a-1\"")], NotModified),
            (&[("if-none-match", "W/\"a-1\"")], NotModified),
            (&[("if-none-match", "\"x,y\", \"a-1\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"b\"")], Proceed),
            (&[("if-modified-since", AT)], NotModified),
            (&[("if-modified-since", AFTER)], NotModified),
            (&[("if-modified-since", BEFORE)], Proceed),
            (&[("if-modified-since", "yesterday")], Proceed),
            (&[("if-none-match", "\"b\""), ("if-modified-since", AT)], Proceed),
            (&[("if-match", "\"a-1\"")], Proceed),
            (&[("if-match", "*")], Proceed),
            (&[("if-match", "W/\"a-1\"")], Failed),
            (&[("if-match", "\"b\"")], Failed),
            (&[("if-unmodified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", AT)], Proceed),
            (&[("if-match", "\"a-1\""), ("if-unmodified-since", BEFORE)], Proceed),
            (&[("if-match", "\"a-1\""), ("if-none-match", "\"a-1\"")], NotModified),
        ] {
            assert_eq!(ours().check(&headers(pairs)), verdict, "{pairs:?}");
        }
    }

    #[test]
    fn a_range_is_obeyed_only_of_the_state_that_if_range_names() {
        for (condition, obeyed) in [
            ("\"a-1\"", true),
            ("W/\"a-1\"", false),
            ("\"b\"", false),
            (AT, true),
            (BEFORE, false),
            (AFTER, false),
            ("x", false),
        ] {
            assert_eq!(ours().allow_range(&headers(&[("if-range", condition)])), obeyed, "{condition}");
        }
        assert!(ours().allow_range(&headers(&[])));
    }
}
