//! Files under a root: GET and HEAD, with conditions and ranges (RFC 9110 §13, §14).
//!
//! Nothing outside the root is served: names that begin with a dot do not exist (so there is no `..`, and
//! no `.git`), and the real path of what was found, links resolved, must be under the real path of the
//! root, again without such names. The file is then opened by its real path, not following a link. Who can
//! change folders under the root while they are looked at could still swap one; who may write there is the
//! administrator's choice.
//!
//! Only regular files are served: opening anything else neither blocks nor reads.

use super::answer::{self, Body};
use super::range::{self, Range};
use super::validators::{Validators, Verdict};
use crate::base::time::Duration;
use hyper::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What may be done with a file.
pub(super) const ALLOWED: &str = "GET, HEAD, OPTIONS";
/// What a folder shows.
const INDEX: &[u8] = b"index.html";
/// What is encoded in a path that is sent to the client (RFC 3986 §2.3 has what is not).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The folder whose files are served.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// A folder as the root; it must exist.
    pub fn open(path: &Path) -> io::Result<Self> {
        let real = fs::canonicalize(path)?;
        if !fs::metadata(&real)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Root(real))
    }

    /// Opens what a path names, if it may be served. Whatever the reason, what may not does not exist.
    fn find(&self, parts: &[&[u8]]) -> Option<(PathBuf, File, Metadata)> {
        if parts.iter().any(|part| part.starts_with(b".") || part.contains(&b'/')) {
            return None;
        }
        let named = parts.iter().fold(self.0.clone(), |path, part| path.join(OsStr::from_bytes(part)));
        let real = fs::canonicalize(named).ok()?;
        let mut below = real.strip_prefix(&self.0).ok()?.components();
        if below.any(|part| part.as_os_str().as_bytes().starts_with(b".")) {
            return None;
        }
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&real).ok()?;
        let facts = file.metadata().ok()?;
        Some((real, file, facts))
    }
}

/// Answers a request for a file; `None` if there is no such file.
pub(super) fn answer(
    root: &Root,
    now: Duration,
    head: &Parts,
    parts: &[Vec<u8>],
    is_folder: bool,
) -> Option<Response<Body>> {
    let mut names: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let mut found = root.find(&names)?;
    if found.2.is_dir() {
        if !is_folder {
            return Some(answer::redirect(&folder(&names)));
        }
        names.push(INDEX);
        found = root.find(&names)?;
    } else if is_folder {
        return None;
    }
    let (path, file, facts) = found;
    if !facts.is_file() {
        return None;
    }
    Some(match head.method {
        Method::GET | Method::HEAD => send(&path, file, &facts, now, head).unwrap_or_else(|error| {
            log::warn!(target: "tapstack::http", "{}: {error}", path.display());
            answer::status(StatusCode::INTERNAL_SERVER_ERROR)
        }),
        Method::OPTIONS => answer::options(ALLOWED),
        _ => answer::method_not_allowed(ALLOWED),
    })
}

/// Where a folder's own page is: made from the parts, so that it can't name another host.
fn folder(names: &[&[u8]]) -> String {
    names.iter().fold("/".to_owned(), |path, name| path + &percent_encode(name, ENCODED).to_string() + "/")
}

/// The answer with a file, or the part of it that is asked for, or word that nothing is to be sent.
fn send(path: &Path, mut file: File, facts: &Metadata, now: Duration, head: &Parts) -> io::Result<Response<Body>> {
    let validators = Validators::of(facts, now);
    let length = facts.len();
    let mut response = match validators.check(&head.headers) {
        Verdict::NotModified => answer::empty(StatusCode::NOT_MODIFIED),
        Verdict::Failed => return Ok(answer::status(StatusCode::PRECONDITION_FAILED)),
        Verdict::Proceed => {
            let mut response = match asked_range(head, &validators, length) {
                Range::Whole => Response::new(Body::file(file, length)),
                Range::Part(first, last) => {
                    file.seek(SeekFrom::Start(first))?;
                    let mut response = Response::new(Body::file(file, last - first + 1));
                    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    answer::insert(response.headers_mut(), CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"));
                    response
                }
                Range::Unsatisfiable => {
                    let mut response = answer::status(StatusCode::RANGE_NOT_SATISFIABLE);
                    answer::insert(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{length}"));
                    return Ok(response);
                }
            };
            answer::insert(response.headers_mut(), CONTENT_TYPE, &media_type(path));
            response
        }
    };
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    validators.tell(response.headers_mut());
    Ok(response)
}

/// What part is asked for. A range has a meaning only with GET (RFC 9110 §14.2).
fn asked_range(head: &Parts, validators: &Validators, length: u64) -> Range {
    let mut ranges = head.headers.get_all(RANGE).iter();
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if head.method == Method::GET && validators.allow_range(&head.headers) => {
            range.to_str().map_or(Range::Whole, |value| range::parse(value, length))
        }
        _ => Range::Whole,
    }
}

/// The media type by the file's name. Text is taken to be UTF-8.
fn media_type(path: &Path) -> String {
    let guess = mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream");
    if guess.starts_with("text/") { format!("{guess}; charset=utf-8") } else { guess.into() }
}
