//! Files under a root: GET and HEAD, with conditions and ranges (RFC 9110 §13, §14).
//!
//! Nothing outside the root is served: names that begin with a dot do not exist (so there is no `..`, and no `.git`), and
//! no name has a slash in it. A path of such names under the real path of the root that meets no link is where it says it
//! is: the kernel opens it and refuses links in one call. Where there is a link, or a kernel without that call, the real
//! path of what was found must be under the root, again without hidden names, and is then opened not following a link.
//! Who can change folders under the root while they are looked at could still swap one then; who may write there is the
//! administrator's choice.
//!
//! Only regular files are served: opening anything else neither blocks nor reads. Small ones are kept ([`cache`]).

mod cache;

use self::cache::Cache;
use super::answer::{self, Body};
use super::guard::Names;
use super::range::{self, Range};
use super::validators::{Validators, Verdict};
use crate::base::time::{Duration, Instant};
use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What may be done with a file.
pub(super) const ALLOWED: &str = "GET, HEAD, OPTIONS";
/// What a folder shows.
const INDEX: &[u8] = b"index.html";
/// What is encoded in a path that is sent to the client (RFC 3986 §2.3 has what is not).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The folder whose files are served.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    cache: Rc<RefCell<Cache>>,
}

/// What was found at a path.
struct Opened {
    /// Where it is, links resolved.
    path: PathBuf,
    file: File,
    /// No link was on the way.
    is_direct: bool,
}

/// A file that is served, and what is said of it.
struct Page {
    content: Content,
    length: u64,
    validators: Validators,
    media_type: HeaderValue,
}

enum Content {
    Kept(Bytes),
    File(File),
}

impl Root {
    /// A folder as the root; it must exist.
    ///
    /// # Errors
    /// It can't be read, or is no folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let real = fs::canonicalize(path)?;
        if !fs::metadata(&real)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Root { path: real, cache: Rc::default() })
    }

    /// The path of these names under the root, if they may be served.
    fn path<'a>(&self, names: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
        let root = self.path.as_os_str().as_bytes();
        let mut path = Vec::with_capacity(root.len() + 64);
        path.extend_from_slice(root);
        for name in names {
            if name.starts_with(b".") || name.contains(&b'/') {
                return None;
            }
            path.push(b'/');
            path.extend_from_slice(name);
        }
        Some(path)
    }

    /// Opens what is at a path. Whatever the reason, what may not be served does not exist.
    fn find(&self, path: PathBuf) -> Option<Opened> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(CWD, &path, flags, Mode::empty(), links) {
            Ok(file) => Some(Opened { path, file: file.into(), is_direct: true }),
            // A link; or no such call, which some containers say by the last.
            Err(Errno::LOOP | Errno::NOSYS | Errno::PERM) => self.find_behind_links(&path),
            Err(_) => None,
        }
    }

    fn find_behind_links(&self, path: &Path) -> Option<Opened> {
        let path = fs::canonicalize(path).ok()?;
        let mut below = path.strip_prefix(&self.path).ok()?.components();
        if below.any(|part| part.as_os_str().as_bytes().starts_with(b".")) {
            return None;
        }
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).ok()?;
        Some(Opened { path, file, is_direct: false })
    }
}

/// When a request is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// What the clock says, the same for a whole turn of the loop.
    pub(super) turn: Instant,
    /// What the calendar says.
    pub(super) calendar: Duration,
}

/// Answers a request for a file; `None` if there is no such file.
pub(super) fn answer(
    root: &Root,
    now: Moment,
    head: &Parts,
    parts: &Names<'_>,
    is_folder: bool,
) -> Option<Response<Body>> {
    // The index of what is no folder is not there either.
    let name = root.path(parts.iter().map(AsRef::as_ref).chain(is_folder.then_some(INDEX)))?;
    let mut cache = root.cache.borrow_mut();
    let page = match cache.find(&name, now.turn) {
        Some(page) => page,
        None => {
            let Opened { path, mut file, is_direct } = root.find(OsString::from_vec(name.clone()).into())?;
            let facts = file.metadata().ok()?;
            if facts.is_dir() && !is_folder {
                return Some(answer::redirect(&folder(parts)));
            }
            if !facts.is_file() {
                return None;
            }
            let (validators, media_type) = (Validators::of(&facts, now.calendar), media_type(&path));
            let kept = if is_direct { cache.keep(name, &mut file, &facts, now) } else { None };
            let content = kept.map_or_else(|| Content::File(file), Content::Kept);
            Page { content, length: facts.len(), validators, media_type }
        }
    };
    drop(cache);
    Some(match head.method {
        Method::GET | Method::HEAD => send(page, head).unwrap_or_else(|error| {
            log::warn!(target: "tapstack::http", "{}: {error}", head.uri.path());
            answer::status(StatusCode::INTERNAL_SERVER_ERROR)
        }),
        Method::OPTIONS => answer::options(ALLOWED),
        _ => answer::method_not_allowed(ALLOWED),
    })
}

/// Where a folder's own page is: made from the parts, so that it can't name another host.
fn folder(names: &Names<'_>) -> String {
    names.iter().fold("/".to_owned(), |path, name| path + &percent_encode(name, ENCODED).to_string() + "/")
}

/// The answer with a file, or the part of it that is asked for, or word that nothing is to be sent.
fn send(page: Page, head: &Parts) -> io::Result<Response<Body>> {
    let Page { content, length, validators, media_type } = page;
    let mut response = match validators.check(&head.headers) {
        Verdict::NotModified => answer::empty(StatusCode::NOT_MODIFIED),
        Verdict::Failed => return Ok(answer::status(StatusCode::PRECONDITION_FAILED)),
        Verdict::Proceed => {
            let mut response = match asked_range(head, &validators, length) {
                Range::Whole => Response::new(part(content, 0, length)?),
                Range::Part(first, last) => {
                    let mut response = Response::new(part(content, first, last - first + 1)?);
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
            response.headers_mut().insert(CONTENT_TYPE, media_type);
            response
        }
    };
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    validators.tell(response.headers_mut());
    Ok(response)
}

/// `length` octets of a file from `first` on.
fn part(content: Content, first: u64, length: u64) -> io::Result<Body> {
    match content {
        Content::Kept(octets) => {
            let first = usize::try_from(first).unwrap_or(usize::MAX).min(octets.len());
            let length = usize::try_from(length).unwrap_or(usize::MAX).min(octets.len() - first);
            Ok(Body::whole(octets.slice(first..first + length)))
        }
        Content::File(mut file) => {
            if first > 0 {
                file.seek(SeekFrom::Start(first))?;
            }
            Ok(Body::file(file, length))
        }
    }
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
fn media_type(path: &Path) -> HeaderValue {
    let guess = mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream");
    if !guess.starts_with("text/") {
        return HeaderValue::from_static(guess);
    }
    HeaderValue::from_str(&format!("{guess}; charset=utf-8")).unwrap_or_else(|_| HeaderValue::from_static(guess))
}
