//! A message on its way into Maildirs: written beside, on the disk, then seen.
//!
//! ```text
//!   append --> tmp/NAME --fsync--> link to each new/NAME --fsync of the folders--> delivered; tmp/NAME goes
//! ```
//!
//! When [`Draft::deliver`] says that a message is delivered it survives a power cut; when it says that it is not, no
//! Maildir has it. A process that is killed on the way leaves a file in `tmp/` that no reader looks at and
//! [`sweep`] removes after 36 hours, and possibly a message that was not acknowledged, which its sender will send again.
//!
//! Several threads deliver at once, so that one commit of the file system's journal serves several messages.

use super::quota::Quota;
use super::{is_folder, name, sync_folder};
use crate::base::time::Duration;
use crate::presentation::dot_stuffing::Stuffer;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How long a file may lie in `tmp/`: the 36 hours of the Maildir format.
const STALE: Duration = Duration::from_secs(36 * 3_600);
/// Names that are tried before giving up: each is unique, unless the clock was set back.
const ATTEMPTS: usize = 8;

/// A message that is being written. It is stored with LF at the end of its lines. Dropped before it is delivered, it
/// leaves nothing.
#[derive(Debug)]
pub struct Draft {
    /// Whom it is for: their Maildirs.
    to: Vec<PathBuf>,
    host: String,
    quota: Quota,
    name: String,
    /// The file in someone's `tmp/`, once there is one.
    file: Option<(File, PathBuf)>,
    stored: u64,
    wire: Stuffer,
    /// What went wrong: nothing more is written, and it is not delivered.
    error: Option<io::Error>,
}

impl Draft {
    /// A message for the Maildirs `to`, begun at `since_1970`. Touches no disk.
    pub(super) fn new(to: Vec<PathBuf>, since_1970: Duration, host: &str, quota: Quota) -> Draft {
        let name = name::unique(since_1970, host);
        Draft { to, host: host.to_owned(), quota, name, file: None, stored: 0, wire: Stuffer::default(), error: None }
    }

    /// What the message will be known by, but for its size.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes the next piece. What goes wrong is told at the end.
    pub fn append(&mut self, piece: &[u8]) {
        if self.error.is_none() {
            self.error = self.write(piece).err();
        }
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(self.create()?);
        }
        if let Some((file, _)) = &mut self.file {
            file.write_all(piece)?;
        }
        self.stored += piece.len() as u64;
        self.wire.count(piece);
        Ok(())
    }

    /// A file in the `tmp/` of the first Maildir that will have one.
    fn create(&mut self) -> io::Result<(File, PathBuf)> {
        let mut result = Err(io::ErrorKind::NotFound.into());
        for root in &self.to {
            result = make_maildir(root).and_then(|()| {
                let path = root.join("tmp").join(&self.name);
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                Ok((file, path))
            });
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Delivers it to everyone it is for: one result for each, in order. With `all_or_none` either all are good or
    /// nobody has it.
    pub fn deliver(mut self, since_1970: Duration, all_or_none: bool) -> Vec<io::Result<()>> {
        if let Err(error) = self.finish() {
            return self.to.iter().map(|_| Err(again(&error))).collect();
        }
        let placed: Vec<io::Result<PathBuf>> = self.to.iter().map(|root| self.place(root, since_1970)).collect();
        if let Some(error) = placed.iter().find_map(|place| place.as_ref().err()).filter(|_| all_or_none) {
            placed.iter().flatten().for_each(|path| take_back(path));
            return self.to.iter().map(|_| Err(again(error))).collect();
        }
        placed.into_iter().map(|place| place.map(drop)).collect()
    }

    /// Has all of it on the disk.
    fn finish(&mut self) -> io::Result<()> {
        self.append(b"");
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.file.as_ref().map_or(Ok(()), |(file, _)| file.sync_all())
    }

    /// Makes it seen in one Maildir, for good.
    fn place(&self, root: &Path, since_1970: Duration) -> io::Result<PathBuf> {
        self.quota.check(root, self.stored)?;
        let path = self.link(root, since_1970)?;
        match sync_folder(&root.join("new")) {
            Ok(()) => {
                self.quota.on_delivery(root, self.stored);
                Ok(path)
            }
            Err(error) => {
                take_back(&path);
                Err(error)
            }
        }
    }

    fn link(&self, root: &Path, since_1970: Duration) -> io::Result<PathBuf> {
        let Some((_, draft)) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        make_maildir(root)?;
        let wire = self.wire.clone().finish_count();
        let mut unique = self.name.clone();
        for _ in 0..ATTEMPTS {
            let path = root.join("new").join(name::with_sizes(&unique, self.stored, wire));
            match fs::hard_link(draft, &path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    unique = name::unique(since_1970, &self.host);
                }
                // Another file system: a copy of its own.
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => return copy(draft, root, &path),
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some((_, path)) = self.file.take() {
            take_back(&path);
        }
    }
}

/// Removes a file, or says that it stays.
fn take_back(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        log::warn!(target: "tapstack::mailbox", "{}: not removed: {error}", path.display());
    }
}

fn copy(draft: &Path, root: &Path, place: &Path) -> io::Result<PathBuf> {
    let own = root.join("tmp").join(place.file_name().unwrap_or_default());
    let copied = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own)?;
        io::copy(&mut File::open(draft)?, &mut file)?;
        file.sync_all()?;
        fs::hard_link(&own, place)
    })();
    take_back(&own);
    copied.map(|()| place.to_owned())
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// Makes the folders of a Maildir that are not there, for good.
fn make_maildir(root: &Path) -> io::Result<()> {
    for folder in ["tmp", "new", "cur"] {
        let folder = root.join(folder);
        if !is_folder(&folder)? {
            make_folder(&folder)?;
        }
    }
    Ok(())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(parent)?;
            make_folder(folder)
        }
        // Somebody else made it at the same moment.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(parent),
    }
}

/// Removes what has lain in the `tmp/` of a Maildir for 36 hours. `since_1970` is the time.
///
/// # Errors
/// The folder can't be read.
pub fn sweep(root: &Path, since_1970: Duration) -> io::Result<usize> {
    let folder = root.join("tmp");
    let mut swept = 0;
    if !is_folder(&folder)? {
        return Ok(swept);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // It may be delivered and gone by this moment.
        let Ok(facts) = fs::symlink_metadata(&path) else { continue };
        let written = Duration::from_secs(u64::try_from(facts.mtime()).unwrap_or(0));
        if facts.is_file() && since_1970.saturating_sub(written) > STALE && fs::remove_file(&path).is_ok() {
            swept += 1;
        }
    }
    Ok(swept)
}
