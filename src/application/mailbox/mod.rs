//! Everyone's mail: Maildirs, a folder for each person.
//!
//! ```text
//!   mail/alice/tmp   being written, seen by nobody
//!             /new   delivered: whole, and on the disk
//!             /cur   the same, looked at by some program; flags stand behind `:2,`
//! ```
//!
//! A message is a file that no one changes but anyone may move from `new/` to `cur/`, give other flags, or remove at
//! any time. The part of its name before the colon stays: it is what a message is known by, and never used again.
//! [`delivery`] puts messages in, [`listing`] and [`shelf`] say what there is, [`sizes`] how large each is on the wire without
//! reading it again, [`quota`] whether there is room for more.
//!
//! Only regular files are mail, and links are not followed: whoever can write into a Maildir must not be able to make
//! the daemon read or write something else.
//!
//! All of this blocks, and is called on a thread for such work ([`crate::session::errands`]).
//!
//! Not here: subfolders (Maildir++), flags, and who may read (the lock of a POP3 session is in
//! [`super::pop3::maildrop`]).

pub mod delivery;
pub mod listing;
pub mod name;
pub mod quota;
pub mod shelf;
pub mod sizes;
#[cfg(test)]
mod tests;

use self::delivery::Draft;
use self::quota::Quota;
use crate::base::time::Duration;
use crate::session::accounts::is_name;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Octets read from a file at a time.
pub(crate) const PIECE: usize = 64 << 10;

/// Where everyone's mail is, and how much of it there may be.
#[derive(Clone, Debug)]
pub struct Mailboxes {
    template: PathBuf,
    quota: Quota,
}

impl Mailboxes {
    /// Mail in the folders of `template`, in which `{user}` stands for the name of the account.
    pub fn new(template: impl Into<PathBuf>) -> Self {
        Mailboxes { template: template.into(), quota: Quota::default() }
    }

    /// The same with a bound for each Maildir.
    #[must_use]
    pub fn with_quota(self, quota: Quota) -> Self {
        Mailboxes { quota, ..self }
    }

    /// A message for the Maildirs `to`, begun at `since_1970` on `host`. Touches no disk.
    pub fn draft(&self, to: Vec<PathBuf>, since_1970: Duration, host: &str) -> Draft {
        Draft::new(to, since_1970, host, self.quota.clone())
    }

    /// The Maildir of an account; `None` for what can't be the name of one.
    pub fn of(&self, user: &str) -> Option<PathBuf> {
        // A name has no slash in it, so a part of the path stays one part.
        let part = |part: Component<'_>| match part.as_os_str().to_str() {
            Some(text) => PathBuf::from(text.replace("{user}", user)),
            None => part.as_os_str().into(),
        };
        is_name(user).then(|| self.template.components().map(part).collect())
    }
}

/// True if a folder of a Maildir is there. A link in its place is an error, as is anything else that is no folder.
fn is_folder(folder: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(folder) {
        Ok(facts) if facts.is_dir() => Ok(true),
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Has what was created, renamed or removed in `folder` written to the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}
