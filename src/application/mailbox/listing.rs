//! What there is in a Maildir, in a fixed order: by the seconds that the names begin with, then by name.
//!
//! The names lie in one piece of memory, so that a hundred thousand messages take a few mebibytes and no allocation
//! each.

use super::{PIECE, is_folder, name, sizes};
use crate::presentation::dot_stuffing::Stuffer;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Messages that are seen; the others come when these are gone.
pub const MESSAGES: usize = 100_000;
/// Names that are looked at to find them.
const NAMES: usize = 1_000_000;

/// The folders that have messages.
pub const FOLDERS: [&str; 2] = ["cur", "new"];

/// One message. Names are at most 255 octets (NAME_MAX).
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u32,
    length: u8,
    base: u8,
    /// Its place in [`FOLDERS`].
    folder: u8,
    octets: u64,
}

/// The messages of a Maildir at one moment.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    root: PathBuf,
    names: Vec<u8>,
    entries: Vec<Entry>,
}

impl Listing {
    /// Looks at what is there. A Maildir, or a folder of it, that does not exist has no messages.
    ///
    /// # Errors
    /// It can't be read, or is no Maildir.
    pub fn read(root: &Path) -> io::Result<Listing> {
        let mut listing = Listing { root: root.to_owned(), ..Listing::default() };
        for (index, folder) in (0..).zip(FOLDERS) {
            let folder = root.join(folder);
            if is_folder(&folder)? {
                listing.add(index, &folder)?;
            }
        }
        let Listing { names, entries, .. } = &mut listing;
        let base = |entry: &Entry| slice(names, entry.at, entry.base);
        entries.sort_by(|one, other| {
            name::order(base(one)).cmp(&name::order(base(other))).then(one.folder.cmp(&other.folder))
        });
        // A message that is being moved can be seen twice.
        entries.dedup_by(|later, earlier| base(later) == base(earlier));
        entries.truncate(MESSAGES);
        Ok(listing)
    }

    fn add(&mut self, index: u8, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.as_bytes();
            let (Ok(length), Ok(base)) = (u8::try_from(name.len()), u8::try_from(name::base(name).len())) else {
                continue;
            };
            if name.starts_with(b".") || base == 0 || !entry.file_type()?.is_file() || self.entries.len() >= NAMES {
                continue;
            }
            self.entries.push(Entry { at: self.names.len() as u32, length, base, folder: index, octets: 0 });
            self.names.extend_from_slice(name);
        }
        Ok(())
    }

    /// How large each message is on the wire: from its name, from what was written down, or by reading it. What had to
    /// be read is written down. Messages that can't be read are left out.
    pub fn measure(&mut self) {
        let mut known = sizes::Known::load(&self.root);
        let mut is_news = false;
        let mut kept = Vec::with_capacity(self.entries.len());
        for (index, mut entry) in self.entries.iter().copied().enumerate() {
            let base = slice(&self.names, entry.at, entry.base);
            let size = name::wire_size(base).or_else(|| known.of(base));
            let size = size.map_or_else(
                || {
                    is_news = true;
                    self.find(index, count)
                },
                Ok,
            );
            match size {
                Ok(octets) => {
                    entry.octets = octets;
                    kept.push(entry);
                }
                // It was removed since the folder was read, or is no mail.
                Err(error) => {
                    let base = String::from_utf8_lossy(base);
                    log::debug!(target: "tapstack::mailbox", "{}: {base} left out: {error}", self.root.display());
                }
            }
        }
        self.entries = kept;
        if is_news {
            self.write_down();
        }
    }

    fn write_down(&self) {
        let is_needed = |(base, _): &(&[u8], u64)| name::wire_size(base).is_none();
        if let Err(error) = sizes::save(&self.root, self.iter().filter(is_needed)) {
            log::warn!(target: "tapstack::mailbox", "{}: sizes not written down: {error}", self.root.display());
        }
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What a message is known by, and its octets on the wire.
    pub fn get(&self, index: usize) -> Option<(&[u8], u64)> {
        self.entries.get(index).map(|entry| (slice(&self.names, entry.at, entry.base), entry.octets))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.entries.iter().map(|entry| (slice(&self.names, entry.at, entry.base), entry.octets))
    }

    /// Where a message was.
    pub fn path(&self, index: usize) -> Option<PathBuf> {
        let entry = self.entries.get(index)?;
        let folder = FOLDERS.get(usize::from(entry.folder))?;
        Some(self.root.join(folder).join(OsStr::from_bytes(slice(&self.names, entry.at, entry.length))))
    }

    /// Does something with the file of a message, wherever it was moved to.
    ///
    /// # Errors
    /// What `act` says; `NotFound` if the message is gone.
    pub fn find<T>(&self, index: usize, act: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        let path = self.path(index).ok_or(io::ErrorKind::NotFound)?;
        match act(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let (base, _) = self.get(index).unwrap_or_default();
        for folder in FOLDERS {
            let folder = self.root.join(folder);
            if !is_folder(&folder)? {
                continue;
            }
            for entry in fs::read_dir(&folder)? {
                let name = entry?.file_name();
                if name::base(name.as_bytes()) == base {
                    return act(&folder.join(name));
                }
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }
}

fn slice(names: &[u8], at: u32, length: u8) -> &[u8] {
    let at = at as usize;
    names.get(at..at + usize::from(length)).unwrap_or_default()
}

/// Opens a regular file, and nothing else.
///
/// # Errors
/// It can't be opened, or is something else.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file)
}

/// Reads all of a message and counts its octets on the wire.
fn count(path: &Path) -> io::Result<u64> {
    let mut file = open_regular(path)?;
    let mut piece = vec![0; PIECE];
    let mut counter = Stuffer::default();
    loop {
        let n = file.read(&mut piece)?;
        if n == 0 {
            return Ok(counter.finish_count());
        }
        counter.count(piece.get(..n).unwrap_or_default());
    }
}
