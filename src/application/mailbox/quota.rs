//! How much mail a Maildir may hold.
//!
//! What it holds is the sum of the sizes of its messages, which most names tell ([`super::name`]). It is worked out when
//! a folder has changed by other hands than ours, and kept otherwise. Of deliveries by several programs in the same
//! instant one may be missed until the next change: a quota is no exact thing.

use super::{is_folder, listing, name};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// When the folders of a Maildir changed last, to the nanosecond.
type Changed = Vec<Option<(i64, i64)>>;

/// The same bound for each Maildir. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Quota {
    octets: u64,
    held: Arc<Mutex<BTreeMap<PathBuf, (Changed, u64)>>>,
}

impl Quota {
    /// Up to so many octets; 0: as many as there is room for.
    pub fn new(octets: u64) -> Self {
        Quota { octets, held: Arc::default() }
    }

    /// Says whether a message of so many octets may be added.
    ///
    /// # Errors
    /// `QuotaExceeded` if not; or the Maildir can't be read.
    pub(super) fn check(&self, root: &Path, octets: u64) -> io::Result<()> {
        if self.octets == 0 {
            return Ok(());
        }
        let changed = changed(root)?;
        let known = self.lock().get(root).filter(|(then, _)| *then == changed).map(|(_, held)| *held);
        let held = match known {
            Some(held) => held,
            None => {
                let held = count(root)?;
                self.lock().insert(root.to_owned(), (changed, held));
                held
            }
        };
        if held.saturating_add(octets) > self.octets { Err(io::ErrorKind::QuotaExceeded.into()) } else { Ok(()) }
    }

    /// Takes note of a message that was added.
    pub(super) fn on_delivery(&self, root: &Path, octets: u64) {
        if self.octets == 0 {
            return;
        }
        if let (Ok(now), Some((changed, held))) = (changed(root), self.lock().get_mut(root)) {
            (*changed, *held) = (now, held.saturating_add(octets));
        }
    }

    /// No call leaves them half changed, so a panic elsewhere does no harm.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, (Changed, u64)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn changed(root: &Path) -> io::Result<Changed> {
    let of = |folder: &str| match fs::symlink_metadata(root.join(folder)) {
        Ok(facts) => Ok(Some((facts.mtime(), facts.mtime_nsec()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    listing::FOLDERS.into_iter().map(of).collect()
}

fn count(root: &Path) -> io::Result<u64> {
    let mut sum = 0u64;
    for folder in listing::FOLDERS {
        let folder = root.join(folder);
        if !is_folder(&folder)? {
            continue;
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let told = name::stored_size(name::base(entry.file_name().as_bytes()));
            // It may be gone by this moment.
            sum = sum.saturating_add(told.or_else(|| Some(entry.metadata().ok()?.len())).unwrap_or(0));
        }
    }
    Ok(sum)
}
