//! A Maildir as somebody looks at it who comes again with each request: a page of it at a time, newest first, and single
//! messages by an identifier that can stand in a path.
//!
//! Nothing is remembered between two looks. A message that was moved is found again by what it is known by; one that
//! was removed meanwhile, by a POP3 session or another program, is `NotFound`.

use super::listing::{Listing, open_regular};
use super::{name, sync_folder};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Octets of the digest that an identifier is written from.
const ID_OCTETS: usize = 16;

/// A message in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// What it is asked for by.
    pub id: String,
    /// Its octets as they are stored.
    pub octets: u64,
    /// When it was delivered, in seconds since 1970, if its name tells.
    pub delivered_at: u64,
    /// How it begins.
    pub beginning: Vec<u8>,
}

/// What there is of a Maildir from `skip` on, newest first: how many messages there are in all, and up to `count` of them
/// with no more than `most` octets of each.
///
/// # Errors
/// It can't be read, or is no Maildir. One that does not exist has no messages.
pub fn page(root: &Path, skip: usize, count: usize, most: u64) -> io::Result<(usize, Vec<Summary>)> {
    let listing = Listing::read(root)?;
    let total = listing.len();
    let mut found = Vec::with_capacity(count.min(total));
    for index in (0..total).rev().skip(skip).take(count) {
        let read = |path: &Path| {
            let file = open_regular(path)?;
            let octets = file.metadata()?.len();
            let mut beginning = Vec::new();
            file.take(most).read_to_end(&mut beginning)?;
            Ok((octets, beginning))
        };
        match listing.find(index, read) {
            Ok((octets, beginning)) => {
                let (base, _) = listing.get(index).unwrap_or_default();
                found.push(Summary { id: id(base), octets, delivered_at: name::order(base).0, beginning });
            }
            // It was removed since the folder was read.
            Err(error) => log::debug!(target: "tapstack::mailbox", "{}: one left out: {error}", root.display()),
        }
    }
    Ok((total, found))
}

/// The file of a message, and its octets.
///
/// # Errors
/// It can't be opened; `NotFound` if there is no such message any more.
pub fn open(root: &Path, id: &str) -> io::Result<(File, u64)> {
    find(root, id, |path| {
        let file = open_regular(path)?;
        let octets = file.metadata()?.len();
        Ok((file, octets))
    })
}

/// Removes a message, for good.
///
/// # Errors
/// It can't be removed; `NotFound` if there is no such message any more.
pub fn remove(root: &Path, id: &str) -> io::Result<()> {
    find(root, id, |path| {
        fs::remove_file(path)?;
        path.parent().map_or(Ok(()), sync_folder)
    })
}

fn find<T>(root: &Path, wanted: &str, act: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    if wanted.len() != 2 * ID_OCTETS {
        return Err(io::ErrorKind::NotFound.into());
    }
    let listing = Listing::read(root)?;
    let place = listing.iter().position(|(base, _)| id(base) == wanted).ok_or(io::ErrorKind::NotFound)?;
    listing.find(place, act)
}

/// What a message is asked for by: of a name only this much is told.
fn id(base: &[u8]) -> String {
    Sha256::digest(base).iter().take(ID_OCTETS).map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn maildir(messages: &[(&str, &str)]) -> TempDir {
        let folder = TempDir::new().unwrap();
        for name in ["cur", "new", "tmp"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (name, text) in messages {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn the_newest_stand_first_and_a_page_is_a_part_of_them() {
        let folder = maildir(&[("new/1.a", "one"), ("cur/3.c:2,S", "three"), ("new/2.b", "two, and longer")]);
        let (total, all) = page(folder.path(), 0, 10, 5).unwrap();
        let shown: Vec<(&[u8], u64, u64)> =
            all.iter().map(|summary| (summary.beginning.as_slice(), summary.octets, summary.delivered_at)).collect();
        assert_eq!((total, shown), (3, vec![(&b"three"[..], 5, 3), (b"two, ", 15, 2), (b"one", 3, 1)]));
        let (total, second) = page(folder.path(), 1, 1, 5).unwrap();
        assert_eq!((total, second.len(), &second[0]), (3, 1, &all[1]));
        assert_eq!(page(folder.path(), 7, 1, 5).unwrap(), (3, Vec::new()));
        assert_eq!(page(&folder.path().join("nobody"), 0, 1, 5).unwrap(), (0, Vec::new()));
    }

    #[test]
    fn a_message_is_found_wherever_it_was_moved_until_it_is_removed() {
        let folder = maildir(&[("new/1.a", "one"), ("new/2.b", "two")]);
        let id = page(folder.path(), 1, 1, 5).unwrap().1.remove(0).id;
        fs::rename(folder.path().join("new/1.a"), folder.path().join("cur/1.a:2,S")).unwrap();
        assert_eq!(open(folder.path(), &id).unwrap().1, 3);
        remove(folder.path(), &id).unwrap();
        for result in [open(folder.path(), &id).map(drop), remove(folder.path(), &id), remove(folder.path(), "../x")] {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        assert_eq!(page(folder.path(), 0, 9, 5).unwrap().0, 1);
    }
}
