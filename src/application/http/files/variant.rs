//! In which form a file goes to a client: as it is, packed beforehand by somebody, or packed by us (RFC 9110 §12.5.3).
//!
//! The form that the client wants most is taken. Where it wants several as much, a packed one goes before the plain one
//! and a file that somebody packed (`NAME.br`, `NAME.zst`, `NAME.gz`) before what we would have to pack.
//!
//! Small files that are kept are kept packed as well; others are packed as they are sent. Neither is done for a part of
//! a file: parts are of what is stored, so that they fit together.

use super::page::{Form, Page};
use super::{Found, Root};
use crate::application::http::Site;
use crate::application::http::body::{Content, Permits};
use crate::presentation::encoding::{Accepted, Coding, Encoder, Weight};
use http::header::{ACCEPT_ENCODING, RANGE};
use http::request::Parts;
use http::{Method, Version};

/// The order in which files that are there already are looked for: the shortest first.
const STORED: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

/// How files may be packed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packing {
    /// The codings that we make.
    pub codings: Vec<Coding>,
    /// Files that are packed already are looked for beside the plain one.
    pub stored: bool,
    /// The shortest file that is worth it.
    pub least: u64,
}

impl Default for Packing {
    fn default() -> Self {
        Packing { codings: Coding::ALL.to_vec(), stored: true, least: 512 }
    }
}

/// No form that there is will do: 406 (RFC 9110 §15.5.7).
#[derive(Debug)]
pub(super) struct NotAcceptable;

/// Chooses the form in which `page`, which is at `path`, goes to the client.
pub(super) fn choose(
    site: &Site,
    root: &Root,
    mut page: Page,
    path: &Vec<u8>,
    head: &Parts,
) -> Result<Page, NotAcceptable> {
    page.varies = page.media.is_compressible && (root.manner.packing.stored || !root.manner.packing.codings.is_empty());
    if !head.headers.contains_key(ACCEPT_ENCODING) {
        return Ok(page);
    }
    let accepted = Accepted::parse(head.headers.get_all(ACCEPT_ENCODING).iter().map(|value| value.as_bytes()));
    let made = makeable(&root.manner.packing, &site.permits, &page, head, &accepted);
    let weight_of_made = made.map_or(0, |coding| accepted.weight(coding));
    if root.manner.packing.stored
        && let Some(stored) = stored(site, root, &page, path, &accepted, accepted.identity().max(weight_of_made))
    {
        return Ok(stored);
    }
    match made {
        Some(coding) if weight_of_made >= accepted.identity() => Ok(packed(site, root, page, path, coding)),
        _ if accepted.identity() > 0 => Ok(page),
        _ => Err(NotAcceptable),
    }
}

/// The coding that we would pack a file in. A client that won't have it as it is gets what is no use packed, too.
fn makeable(packing: &Packing, permits: &Permits, page: &Page, head: &Parts, accepted: &Accepted) -> Option<Coding> {
    let is_worth_it = page.media.is_compressible && page.length >= packing.least;
    let is_part = head.method == Method::GET && head.headers.contains_key(RANGE);
    // HTTP/1.0 has no way to say where what is packed as it is sent ends, but the end of the connection.
    let is_possible = head.version >= Version::HTTP_11 && permits.is_one_left();
    if !is_possible || (accepted.identity() > 0 && (!is_worth_it || is_part)) {
        return None;
    }
    // Of those that are wanted as much the first: `max_by_key` would give the last.
    let wanted = packing.codings.iter().copied().filter(|coding| accepted.weight(*coding) > 0);
    wanted.reduce(|best, coding| if accepted.weight(coding) > accepted.weight(best) { coding } else { best })
}

/// The most wanted of the files that somebody packed, if it is wanted as much as `least`. One that is older than the
/// plain file is of something else.
fn stored(site: &Site, root: &Root, page: &Page, path: &Vec<u8>, accepted: &Accepted, least: Weight) -> Option<Page> {
    let mut codings = STORED;
    codings.sort_by_key(|coding| std::cmp::Reverse(accepted.weight(*coding)));
    let wanted = |coding: &Coding| accepted.weight(*coding) > 0 && accepted.weight(*coding) >= least;
    codings.into_iter().filter(wanted).find_map(|coding| {
        let Some(Found::Page(found)) = root.look(site.moment(), &[path.as_slice(), coding.suffix()].concat()) else {
            return None;
        };
        let is_current = !found.validators.is_older_than(&page.validators);
        is_current.then(|| Page {
            validators: found.validators.stored(coding),
            media: page.media.clone(),
            form: Form::Stored(coding),
            varies: true,
            ..found
        })
    })
}

/// The file packed by us: what is kept as a whole, the rest as it is sent.
fn packed(site: &Site, root: &Root, page: Page, path: &Vec<u8>, coding: Coding) -> Page {
    let validators = page.validators.made(coding);
    let Content::Kept(plain) = &page.content else {
        return Page { form: Form::ToBeMade(coding), validators, varies: true, ..page };
    };
    let mut cache = root.cache.borrow_mut();
    let made = cache.made(path, coding).or_else(|| {
        site.has_worked.set(true);
        let made = Encoder::whole(coding, plain).inspect_err(|error| log::warn!(target: "tapstack::http", "{error}"));
        made.ok().inspect(|made| cache.keep_made(path, coding, made.clone()))
    });
    match made {
        Some(octets) => {
            let length = octets.len() as u64;
            Page { content: Content::Kept(octets), length, form: Form::Made(coding), validators, varies: true, ..page }
        }
        None => page,
    }
}
