//! The mail of one person: a Maildir as POP3 sees it.
//!
//! A session sees the messages that are in `cur/` and `new/` when it begins, in a fixed order: by the
//! seconds their names begin with, then by name. Messages are files that no one changes but anyone may
//! move (`new/` to `cur/`, other flags after `:2,`) or remove at any time; they are found again by the part
//! of the name before the colon, which is also their unique identifier.
//!
//! One session at a time has a maildrop (RFC 1939 §3): it holds the lock (flock) on a file
//! in the Maildir, which the system takes back when the process ends, however it ends. Another program
//! that reads the Maildir is not kept out by it and need not be: that is what a Maildir is for.
//!
//! Only regular files are mail. Links are not followed: whoever can write into a Maildir must not be able
//! to make the daemon read something else to them.
//!
//! Not here: the delivery of mail, and subfolders.

use crate::presentation::dot_stuffing::Stuffer;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::future::poll_fn;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::task::Poll;

/// Messages that one session sees; the others come when these are deleted.
pub const MESSAGES: usize = 100_000;
/// Sizes that are remembered for all maildrops together.
const REMEMBERED_SIZES: usize = 200_000;
/// Octets read from a file at a time.
pub(crate) const PIECE: usize = 64 << 10;
/// Octets that are measured before other tasks run.
const TURN: usize = 1 << 20;
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

/// The sizes of messages on the wire, which take reading all of a message to know. Files are told apart by
/// what the file system says of them, and a file of a Maildir never changes.
#[derive(Debug, Default)]
pub struct Sizes(BTreeMap<Identity, u64>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let facts = file.metadata()?;
        Ok(Identity {
            device: facts.dev(),
            inode: facts.ino(),
            length: facts.len(),
            changed: (facts.mtime(), facts.mtime_nsec()),
        })
    }
}

impl Sizes {
    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if none is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn remember(&mut self, identity: Identity, octets: u64) {
        if self.0.len() >= REMEMBERED_SIZES {
            self.0.clear();
        }
        self.0.insert(identity, octets);
    }
}

/// One message of a session.
#[derive(Debug)]
pub struct Message {
    /// The unique identifier.
    pub uid: String,
    /// The size on the wire, before dots are added.
    pub octets: u64,
    deleted: bool,
    base: OsString,
    path: PathBuf,
}

/// The maildrop of a session. Dropping it releases the lock and deletes nothing.
#[derive(Debug)]
pub struct Maildrop {
    root: PathBuf,
    messages: Vec<Message>,
    _lock: Option<File>,
}

impl Maildrop {
    /// Takes the lock, and looks at what is there. A Maildir that does not exist is one without mail.
    pub async fn open(root: PathBuf, sizes: &std::cell::RefCell<Sizes>) -> Result<Maildrop, OpenError> {
        if matches!(fs::metadata(&root), Err(error) if error.kind() == io::ErrorKind::NotFound) {
            return Ok(Maildrop { root, messages: Vec::new(), _lock: None });
        }
        let lock = lock(&root)?;
        let mut messages = list(&root)?;
        messages.sort_by(|a, b| order(&a.base).cmp(&order(&b.base)));
        messages.truncate(MESSAGES);
        let mut maildrop = Maildrop { root, messages: Vec::new(), _lock: Some(lock) };
        for mut message in messages {
            match maildrop.measure(&mut message, sizes).await {
                Ok(octets) => maildrop.messages.push(Message { octets, ..message }),
                // It was removed since the folder was read, or is no mail.
                Err(error) => {
                    log::debug!(target: "tapstack::pop3", "{}: left out: {error}", message.path.display());
                }
            }
        }
        Ok(maildrop)
    }

    /// The messages that are not marked as deleted, with their numbers.
    pub fn messages(&self) -> impl Iterator<Item = (u64, &Message)> {
        (1..).zip(&self.messages).filter(|(_, message)| !message.deleted)
    }

    /// How many messages there are, and their octets, without those marked as deleted.
    pub fn stat(&self) -> (usize, u64) {
        self.messages().fold((0, 0), |(count, octets), (_, message)| (count + 1, octets + message.octets))
    }

    /// The message with a number, unless it is marked as deleted.
    pub fn message(&self, number: u64) -> Option<&Message> {
        self.at(number).filter(|message| !message.deleted)
    }

    fn at(&self, number: u64) -> Option<&Message> {
        self.messages.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    fn at_mut(&mut self, number: u64) -> Option<&mut Message> {
        self.messages.get_mut(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// The file of a message.
    pub fn open_message(&self, number: u64) -> io::Result<File> {
        let message = self.message(number).ok_or(io::ErrorKind::NotFound)?;
        self.find(message, open_regular).map(|(_, file)| file)
    }

    /// Marks a message as deleted; false if there is none with that number.
    pub fn delete(&mut self, number: u64) -> bool {
        match self.at_mut(number) {
            Some(message) if !message.deleted => {
                message.deleted = true;
                true
            }
            _ => false,
        }
    }

    /// Unmarks all messages.
    pub fn reset(&mut self) {
        self.messages.iter_mut().for_each(|message| message.deleted = false);
    }

    /// Removes what is marked: the UPDATE state (RFC 1939 §6). Gives how many messages are left, and how
    /// many could not be removed.
    pub fn update(self) -> (usize, usize) {
        let mut stuck = 0;
        for message in self.messages.iter().filter(|message| message.deleted) {
            match self.find(message, |path| fs::remove_file(path)) {
                Ok(_) => {}
                // Someone else removed it; it is gone all the same.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    log::warn!(target: "tapstack::pop3", "{}: not removed: {error}", message.path.display());
                    stuck += 1;
                }
            }
        }
        let kept = self.messages.iter().filter(|message| !message.deleted).count();
        (kept + stuck, stuck)
    }

    /// Does something with the file of a message, wherever it was moved to.
    fn find<T>(&self, message: &Message, act: impl Fn(&Path) -> io::Result<T>) -> io::Result<(PathBuf, T)> {
        match act(&message.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result.map(|done| (message.path.clone(), done)),
        }
        for folder in ["cur", "new"] {
            for path in files(&self.root.join(folder))? {
                if path.file_name().map(base) == Some(&message.base) {
                    return act(&path).map(|done| (path, done));
                }
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// The size of a message on the wire, and where it is.
    async fn measure(&self, message: &mut Message, sizes: &std::cell::RefCell<Sizes>) -> io::Result<u64> {
        let (path, mut file) = self.find(message, open_regular)?;
        message.path = path;
        let identity = Identity::of(&file)?;
        if let Some(octets) = sizes.borrow().0.get(&identity) {
            return Ok(*octets);
        }
        let octets = count(&mut file).await?;
        sizes.borrow_mut().remember(identity, octets);
        Ok(octets)
    }
}

/// Reads all of a file and counts its octets on the wire. Other tasks run in between.
async fn count(file: &mut File) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut counter = Stuffer::default();
    let mut turn = 0;
    loop {
        let n = file.read(&mut piece)?;
        if n == 0 {
            others_first().await;
            return Ok(counter.finish_count());
        }
        counter.count(piece.get(..n).unwrap_or_default());
        turn += n;
        if turn >= TURN {
            turn = 0;
            others_first().await;
        }
    }
}

/// Lets every other task that is ready run once.
async fn others_first() {
    let mut first = true;
    poll_fn(|cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
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

/// The messages of a Maildir, in no order. A message that is seen twice while it is being moved is one.
fn list(root: &Path) -> io::Result<Vec<Message>> {
    let mut seen = BTreeSet::new();
    let mut messages = Vec::new();
    for folder in ["cur", "new"] {
        for path in files(&root.join(folder))? {
            let Some(base) = path.file_name().map(base).map(OsStr::to_owned) else { continue };
            if seen.insert(base.clone()) {
                messages.push(Message { uid: uid(&base), octets: 0, deleted: false, base, path });
            }
        }
    }
    Ok(messages)
}

/// The names in a folder of a Maildir that may be messages. A folder that does not exist, or is a link,
/// has none.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::symlink_metadata(folder) {
        Ok(facts) if facts.is_dir() => {}
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_bytes().starts_with(b".") && entry.file_type()?.is_file() {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

/// Opens a regular file, and nothing else.
fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file)
}

/// The part of a file's name that stays when the message is moved.
fn base(name: &OsStr) -> &OsStr {
    OsStr::from_bytes(name.as_bytes().split(|octet| *octet == b':').next().unwrap_or_default())
}

/// The order of messages: the seconds of delivery that a name begins with, then the name.
fn order(base: &OsStr) -> (u64, &[u8]) {
    let name = base.as_bytes();
    let digits = name.iter().take_while(|octet| octet.is_ascii_digit());
    (digits.fold(0u64, |secs, digit| secs.saturating_mul(10).saturating_add(u64::from(digit - b'0'))), name)
}

/// The unique identifier (RFC 1939 §7: 1 to 70 of 0x21 to 0x7E): the name, or if it can't be that, a hash.
fn uid(base: &OsStr) -> String {
    match base.to_str() {
        Some(name) if (1..=UID_LENGTH).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_graphic()) => {
            name.into()
        }
        _ => hex(&Sha256::digest(base.as_bytes())),
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
