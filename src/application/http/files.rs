//! Files under a root: which of them it is, and whether it may be served.
//!
//! ```text
//!   names -> look: kept, or opened -> variant: in which form -> representation: conditions, ranges, the answer
//!              folder: its index, or a list of what is in it
//! ```
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
mod listing;
mod media;
mod page;
mod representation;
mod store;
mod variant;

pub use self::media::MediaTypes;
pub(super) use self::store::Place;
pub use self::store::Store;
pub use self::variant::Packing;

use self::cache::Cache;
use self::page::{Form, Page};
use super::answer;
use super::body::{Body, Content};
use super::guard::Names;
use super::validators::Validators;
use super::{Moment, Site};
use http::header::{HeaderValue, VARY};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What may be done with a file.
pub(super) const ALLOWED: &str = "GET, HEAD, OPTIONS";
/// What is encoded in a path that is sent to the client (RFC 3986 §2.3 has what is not).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How the files of a root are served.
#[derive(Clone, Debug)]
pub struct Manner {
    /// What a folder shows: the first of these names that is in it.
    pub index: Vec<String>,
    /// A folder without any of them shows what is in it.
    pub listing: bool,
    /// Media types beyond those that everybody knows.
    pub media: MediaTypes,
    /// How they are packed.
    pub packing: Packing,
}

impl Default for Manner {
    fn default() -> Self {
        Manner {
            index: vec!["index.html".to_owned()],
            listing: false,
            media: MediaTypes::default(),
            packing: Packing::default(),
        }
    }
}

/// The folder whose files are served.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    cache: Rc<RefCell<Cache>>,
    manner: Rc<Manner>,
}

/// What was found at a path.
struct Opened {
    /// Where it is, links resolved.
    path: PathBuf,
    file: File,
    /// No link was on the way.
    is_direct: bool,
}

/// What may be served at a path.
enum Found {
    Page(Page),
    Folder,
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
        Ok(Root { path: real, cache: Rc::default(), manner: Rc::default() })
    }

    /// The same folder, served in another manner.
    #[must_use]
    pub fn in_manner(self, manner: Manner) -> Self {
        Root { manner: Rc::new(manner), ..self }
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

    /// Looks at what is at a path, which is of the form that [`Root::path`] gives.
    fn look(&self, now: Moment, path: &Vec<u8>) -> Option<Found> {
        let mut cache = self.cache.borrow_mut();
        if let Some(page) = cache.find(path, now.turn) {
            return Some(Found::Page(page));
        }
        let Opened { path: place, mut file, is_direct } = self.find(OsString::from_vec(path.clone()).into())?;
        let facts = file.metadata().ok()?;
        if facts.is_dir() {
            return Some(Found::Folder);
        }
        if !facts.is_file() {
            return None;
        }
        let (validators, media) = (Validators::of(&facts, now.calendar), self.manner.media.of(&place));
        let kept = if is_direct { cache.keep(path.clone(), &mut file, &facts, media.clone(), now) } else { None };
        let content = kept.map_or_else(|| Content::File(file), Content::Kept);
        let length = facts.len();
        Some(Found::Page(Page { content, length, validators, media, form: Form::Plain, varies: false }))
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

/// Answers a request for a file; `None` if there is no such file.
pub(super) fn answer(
    site: &Site,
    root: &Root,
    head: &Parts,
    parts: &Names<'_>,
    is_folder: bool,
) -> Option<Response<Body>> {
    let now = site.moment();
    let names = || parts.iter().map(AsRef::as_ref);
    if !is_folder {
        let path = root.path(names())?;
        return match root.look(now, &path)? {
            Found::Page(page) => Some(serve(site, root, page, &path, head)),
            Found::Folder => Some(answer::redirect(StatusCode::MOVED_PERMANENTLY, &folder(parts))),
        };
    }
    // The index of what is no folder is not there either.
    let index = root.manner.index.iter().find_map(|index| {
        let path = root.path(names().chain([index.as_bytes()]))?;
        match root.look(now, &path)? {
            Found::Page(page) => Some(serve(site, root, page, &path, head)),
            Found::Folder => None,
        }
    });
    match index {
        None if root.manner.listing => listing::answer(root, &head.method, &head.headers, parts),
        index => index,
    }
}

/// Answers with the file of a name from the configuration.
pub(super) fn named(site: &Site, root: &Root, head: &Parts, name: &str) -> Option<Response<Body>> {
    let path = root.path(name.split('/').filter(|name| !name.is_empty()).map(str::as_bytes))?;
    match root.look(site.moment(), &path)? {
        Found::Page(page) => Some(serve(site, root, page, &path, head)),
        Found::Folder => None,
    }
}

/// The media type and content of the file of a name from the configuration.
pub(super) fn content(site: &Site, root: &Root, name: &str) -> Option<(HeaderValue, Body)> {
    let path = root.path(name.split('/').filter(|name| !name.is_empty()).map(str::as_bytes))?;
    match root.look(site.moment(), &path)? {
        Found::Page(page) => Some((page.media.value, Body::part(page.content, 0, page.length).ok()?)),
        Found::Folder => None,
    }
}

/// Answers with a file that was found.
fn serve(site: &Site, root: &Root, page: Page, path: &Vec<u8>, head: &Parts) -> Response<Body> {
    match head.method {
        Method::GET | Method::HEAD => match variant::choose(site, root, page, path, head) {
            Ok(page) => representation::answer(site, page, head).unwrap_or_else(|error| {
                log::warn!(target: "tapstack::http", "{}: {error}", head.uri.path());
                answer::status(StatusCode::INTERNAL_SERVER_ERROR)
            }),
            Err(variant::NotAcceptable) => {
                let mut response = answer::status(StatusCode::NOT_ACCEPTABLE);
                response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
                response
            }
        },
        Method::OPTIONS => answer::options(ALLOWED),
        _ => answer::method_not_allowed(ALLOWED),
    }
}

/// Where a folder's own page is: made from the parts, so that it can't name another host.
fn folder(names: &Names<'_>) -> String {
    names.iter().fold("/".to_owned(), |path, name| path + &percent_encode(name, ENCODED).to_string() + "/")
}
