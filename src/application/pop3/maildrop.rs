//! The mail of one person during one session: what was there when it began, numbered, and what is to be deleted.
//!
//! One session at a time has a maildrop (RFC 1939 §3): it holds the lock (flock) on a file
//! in the Maildir, which the system takes back when the process ends, however it ends. Another program
//! that reads the Maildir is not kept out by it and need not be: that is what a Maildir is for.
//!
//! To open a maildrop and to update it blocks, and is done on a thread for such work; what a session asks in between
//! is answered from memory.

use crate::application::mailbox::listing::{Listing, open_regular};
use crate::application::mailbox::sync_folder;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The longest unique identifier (RFC 1939 §7).
const UID_LENGTH: usize = 70;
/// The file that is locked.
const LOCK: &str = "tapstack-pop3.lock";

/// Why a maildrop can't be had, as RFC 3206 and RFC 2449 §8 tell it apart.
#[derive(Debug)]
pub enum OpenError {
    /// Another session has it.
    InUse,
    /// It may go by itself.
    Temporary(io::Error),
    /// A person has to do something about it.
    Permanent(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{IsADirectory, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        match error.kind() {
            PermissionDenied | ReadOnlyFilesystem | NotADirectory | IsADirectory => OpenError::Permanent(error),
            _ => OpenError::Temporary(error),
        }
    }
}

/// The maildrop of a session. Dropping it releases the lock and deletes nothing.
#[derive(Debug)]
pub struct Maildrop {
    listing: Listing,
    deleted: Vec<bool>,
    /// Messages and octets that are not marked as deleted.
    left: (usize, u64),
    root: PathBuf,
    _lock: Option<File>,
}

impl Maildrop {
    /// Takes the lock, and looks at what is there. A Maildir that does not exist is one without mail.
    ///
    /// # Errors
    /// Another session has it, or it can't be read.
    pub fn open(root: PathBuf) -> Result<Maildrop, OpenError> {
        let is_there = !matches!(fs::metadata(&root), Err(error) if error.kind() == io::ErrorKind::NotFound);
        let lock = if is_there { Some(lock(&root)?) } else { None };
        let mut listing = Listing::read(&root)?;
        listing.measure();
        let deleted = vec![false; listing.len()];
        let left = listing.iter().fold((0, 0u64), |(count, sum), (_, octets)| (count + 1, sum.saturating_add(octets)));
        Ok(Maildrop { listing, deleted, left, root, _lock: lock })
    }

    /// How many messages there are, and their octets, without those marked as deleted.
    pub fn stat(&self) -> (usize, u64) {
        self.left
    }

    /// The numbers of the messages that are not marked as deleted, with their octets.
    pub fn octets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.kept().map(|(number, (_, octets))| (number, octets))
    }

    /// The same with their unique identifiers.
    pub fn uids(&self) -> impl Iterator<Item = (u64, String)> {
        self.kept().map(|(number, (base, _))| (number, uid(base)))
    }

    fn kept(&self) -> impl Iterator<Item = (u64, (&[u8], u64))> {
        (1..).zip(self.listing.iter()).zip(&self.deleted).filter(|(_, deleted)| !**deleted).map(|(kept, _)| kept)
    }

    /// The octets of the message with a number, unless it is marked as deleted.
    pub fn octets_of(&self, number: u64) -> Option<u64> {
        self.listing.get(self.index(number)?).map(|(_, octets)| octets)
    }

    /// Its unique identifier.
    pub fn uid_of(&self, number: u64) -> Option<String> {
        self.listing.get(self.index(number)?).map(|(base, _)| uid(base))
    }

    /// Where the message with a number stands, unless it is marked as deleted.
    fn index(&self, number: u64) -> Option<usize> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        (self.deleted.get(index) == Some(&false)).then_some(index)
    }

    /// The file of a message where the listing has it.
    ///
    /// # Errors
    /// It can't be opened; `NotFound` if it was moved or removed.
    pub fn open_message(&self, number: u64) -> io::Result<File> {
        let path = self.index(number).and_then(|index| self.listing.path(index)).ok_or(io::ErrorKind::NotFound)?;
        open_regular(&path)
    }

    /// The file of a message wherever it was moved to, which takes looking through the Maildir.
    ///
    /// # Errors
    /// It can't be opened; `NotFound` if it was removed.
    pub fn find_message(&self, number: u64) -> io::Result<File> {
        self.listing.find(self.index(number).ok_or(io::ErrorKind::NotFound)?, open_regular)
    }

    /// Marks a message as deleted; false if there is none with that number.
    pub fn delete(&mut self, number: u64) -> bool {
        let Some(index) = self.index(number) else { return false };
        let octets = self.octets_of(number).unwrap_or(0);
        self.left = (self.left.0.saturating_sub(1), self.left.1.saturating_sub(octets));
        self.deleted.get_mut(index).into_iter().for_each(|deleted| *deleted = true);
        true
    }

    /// Unmarks all messages.
    pub fn reset(&mut self) {
        self.deleted.fill(false);
        self.left = self.octets().fold((0, 0), |(count, sum), (_, octets)| (count + 1, sum + octets));
    }

    /// Removes what is marked, for good: the UPDATE state (RFC 1939 §6). Gives how many messages are left, and how
    /// many could not be removed.
    pub fn update(self) -> (usize, usize) {
        let mut stuck = 0;
        let mut folders = BTreeSet::new();
        let marked = self.deleted.iter().enumerate().filter(|(_, deleted)| **deleted).map(|(index, _)| index);
        for index in marked {
            let remove = |path: &Path| fs::remove_file(path).map(|()| path.parent().map(Path::to_owned));
            match self.listing.find(index, remove) {
                Ok(folder) => folders.extend(folder),
                // Someone else removed it; it is gone all the same.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    log::warn!(target: "tapstack::pop3", "{}: a message is not removed: {error}", self.root.display());
                    stuck += 1;
                }
            }
        }
        for folder in folders {
            if let Err(error) = sync_folder(&folder) {
                log::warn!(target: "tapstack::pop3", "{}: removed, but not on the disk: {error}", folder.display());
                stuck = stuck.max(1);
            }
        }
        (self.left.0 + stuck, stuck)
    }
}

/// Takes the lock of a Maildir.
fn lock(root: &Path) -> Result<File, OpenError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(root.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The unique identifier (RFC 1939 §7: 1 to 70 of 0x21 to 0x7E): the name, or if it can't be that, a hash.
fn uid(base: &[u8]) -> String {
    match std::str::from_utf8(base) {
        Ok(name) if (1..=UID_LENGTH).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_graphic()) => {
            name.into()
        }
        _ => hex(&Sha256::digest(base)),
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
