//! Files that are put into a folder under the root, and removed (RFC 9110 §9.3.4, §9.3.5).
//!
//! ```text
//!   body ─► a file without a name ─► on the disk ─► its name, at once ─► the folder on the disk ─► 201 or 204
//! ```
//!
//! Whoever reads at any moment sees the old file or the new one, and a body that breaks off leaves nothing: a file
//! without a name is gone when nobody has it open. That takes a file system that has such files (ext4, XFS, Btrfs,
//! tmpfs, overlayfs); on others putting fails. What is to be on the disk before the answer is written there by a thread
//! of its own.

use super::{Found, Root};
use crate::application::http::Moment;
use crate::application::http::guard::Names;
use crate::application::http::host::PathPrefix;
use crate::application::http::realms::Realm;
use crate::application::http::validators::Validators;
use crate::base::time::Duration;
use http::{HeaderMap, StatusCode};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, fsync, linkat, openat, openat2, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Where files can be put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// The folder, and all below it. Its accounts are those that may put.
    pub realm: Realm,
    /// The largest file.
    pub limit: u64,
    /// They can be removed as well.
    pub can_delete: bool,
}

impl Store {
    /// The store that the path of a file is in.
    pub(in crate::application::http) fn of<'a>(stores: &'a [Store], names: &Names<'_>) -> Option<&'a Store> {
        let inside = |store: &&Store| store.path().covers(names) && names.len() > store.path().depth();
        stores.iter().filter(inside).max_by_key(|store| store.path().depth())
    }

    fn path(&self) -> &PathPrefix {
        &self.realm.path
    }

    /// What may be done with what is in it.
    pub(in crate::application::http) fn allowed(&self) -> &'static str {
        if self.can_delete { "GET, HEAD, OPTIONS, PUT, DELETE" } else { "GET, HEAD, OPTIONS, PUT" }
    }
}

/// The name of a file in an open folder, and what is there.
pub(in crate::application::http) struct Place {
    folder: OwnedFd,
    name: OsString,
    /// There is a file already.
    is_taken: bool,
    /// The conditions of the request say that nothing may be there.
    must_be_new: bool,
}

/// A file that has no name yet.
pub(in crate::application::http) struct Draft {
    file: File,
    octets: u64,
}

/// What came of putting.
#[derive(Debug)]
pub(in crate::application::http) struct Put {
    /// There was no such file before.
    pub(in crate::application::http) is_new: bool,
    /// Those of the file as it is now.
    pub(in crate::application::http) validators: Option<Validators>,
}

impl Place {
    /// Finds the place of a file, whose conditions must hold.
    ///
    /// # Errors
    /// The status to refuse it with.
    pub(in crate::application::http) fn find(
        root: &Root,
        now: Moment,
        names: &Names<'_>,
        conditions: &HeaderMap,
    ) -> Result<Place, StatusCode> {
        let (name, folders) = names.split_last().ok_or(StatusCode::FORBIDDEN)?;
        let parent = root.path(folders.iter().map(AsRef::as_ref)).ok_or(StatusCode::FORBIDDEN)?;
        let path = root.path(names.iter().map(AsRef::as_ref)).ok_or(StatusCode::FORBIDDEN)?;
        let there = match root.look(now, &path) {
            Some(Found::Folder) => return Err(StatusCode::CONFLICT),
            Some(Found::Page(page)) => Some(page.validators),
            None => None,
        };
        if !Validators::allow_change(there.as_ref(), conditions) {
            return Err(StatusCode::PRECONDITION_FAILED);
        }
        let must_be_new = there.is_none() && Validators::want_nothing(conditions);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let parent: PathBuf = OsString::from_vec(parent).into();
        let folder = openat2(CWD, &parent, flags, Mode::empty(), links).map_err(|errno| match errno {
            // There is no folder to put it in.
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => StatusCode::CONFLICT,
            errno => refusal("open its folder", errno),
        })?;
        Ok(Place { folder, name: OsString::from_vec(name.to_vec()), is_taken: there.is_some(), must_be_new })
    }

    /// Begins a file in the same folder.
    ///
    /// # Errors
    /// The status to refuse it with.
    pub(in crate::application::http) fn draft(&self) -> Result<Draft, StatusCode> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&self.folder, ".", flags, Mode::from_raw_mode(0o644));
        let file = file.map_err(|errno| refusal("begin a file", errno))?.into();
        Ok(Draft { file, octets: 0 })
    }

    /// Gives the file its name, and comes back when both are on the disk. It blocks.
    ///
    /// # Errors
    /// The status to refuse it with.
    pub(in crate::application::http) fn put(self, draft: &Draft, now: Duration, mark: u64) -> Result<Put, StatusCode> {
        let failed = |errno| refusal("put a file", errno);
        fsync(&draft.file).map_err(failed)?;
        let itself = format!("/proc/self/fd/{}", draft.file.as_raw_fd());
        let link = |name: &OsString| linkat(CWD, &itself, &self.folder, name, AtFlags::SYMLINK_FOLLOW);
        let is_new = match link(&self.name) {
            Ok(()) => true,
            Err(Errno::EXIST) if self.must_be_new => return Err(StatusCode::PRECONDITION_FAILED),
            Err(Errno::EXIST) => {
                // Names that begin with a dot are served to nobody.
                let aside = OsString::from(format!(".tapstack-put-{mark:016x}"));
                link(&aside).map_err(failed)?;
                if let Err(errno) = renameat(&self.folder, &aside, &self.folder, &self.name) {
                    let _ = unlinkat(&self.folder, &aside, AtFlags::empty());
                    return Err(failed(errno));
                }
                false
            }
            Err(errno) => return Err(failed(errno)),
        };
        fsync(&self.folder).map_err(failed)?;
        let validators = draft.file.metadata().ok().map(|facts| Validators::of(&facts, now));
        Ok(Put { is_new, validators })
    }

    /// True if there is a file.
    pub(in crate::application::http) fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// Removes the file, and comes back when it is gone from the disk. It blocks.
    ///
    /// # Errors
    /// The status to refuse it with.
    pub(in crate::application::http) fn delete(self) -> Result<(), StatusCode> {
        let failed = |errno| refusal("remove a file", errno);
        statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        unlinkat(&self.folder, &self.name, AtFlags::empty()).map_err(failed)?;
        fsync(&self.folder).map_err(failed)
    }
}

impl Draft {
    /// Writes a piece behind what is there.
    ///
    /// # Errors
    /// The status to refuse it with; 413 beyond `limit`.
    pub(in crate::application::http) fn write(&mut self, piece: &[u8], limit: u64) -> Result<(), StatusCode> {
        self.octets += piece.len() as u64;
        if self.octets > limit {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        self.file
            .write_all(piece)
            .map_err(|error| refusal("write a file", error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)))
    }
}

/// What a client is told of what went wrong with the disk; the administrator is told what it was.
fn refusal(what: &str, errno: Errno) -> StatusCode {
    match errno {
        Errno::NOENT => StatusCode::NOT_FOUND,
        Errno::ISDIR | Errno::NOTDIR => StatusCode::CONFLICT,
        Errno::NAMETOOLONG | Errno::ACCESS | Errno::PERM | Errno::ROFS => {
            log::debug!(target: "tapstack::http", "can't {what}: {errno}");
            StatusCode::FORBIDDEN
        }
        // RFC 4918 §11.5.
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => {
            log::warn!(target: "tapstack::http", "can't {what}: {errno}");
            StatusCode::INSUFFICIENT_STORAGE
        }
        errno => {
            log::warn!(target: "tapstack::http", "can't {what}: {errno}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_disk_refuses_has_a_status_that_says_whose_turn_it_is() {
        for (errno, status) in [
            (Errno::NOSPC, 507),
            (Errno::DQUOT, 507),
            (Errno::FBIG, 507),
            (Errno::ACCESS, 403),
            (Errno::ROFS, 403),
            (Errno::ISDIR, 409),
            (Errno::NOENT, 404),
            (Errno::IO, 500),
            (Errno::OPNOTSUPP, 500),
        ] {
            assert_eq!(refusal("try", errno).as_u16(), status, "{errno}");
        }
    }
}
