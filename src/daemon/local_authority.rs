//! The certificate of a host that was given none, and the local authority that signs it, as files.
//!
//! ```text
//!   STATE/tls/authority.pem     key and certificate; one for all daemons of the machine, ten years
//!   STATE/tls/TAP.pem           key and certificate of the daemon whose first TAP that is, 90 days
//! ```
//!
//! Each is one file, so that key and certificate change together; it is written beside its place and moved there, and only
//! its owner may read it. What is missing, can't be read, ends soon, or is for other names than wanted is made anew.

use crate::base::time::Duration;
use crate::presentation::tls::authority::{Authority, is_due};
use crate::presentation::tls::certificates::{CertificateError, chain};
use crate::presentation::tls::description::Description;
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The folder of the files.
#[derive(Clone, Debug)]
pub struct LocalAuthority {
    folder: PathBuf,
}

/// Why there is no certificate.
#[derive(Debug)]
pub enum StateError {
    /// A file can't be read or written.
    File(PathBuf, io::Error),
    /// It can't be made.
    Made(CertificateError),
}

impl std::fmt::Display for StateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StateError::File(path, error) => write!(f, "{}: {error}", path.display()),
            StateError::Made(error) => write!(f, "{error}"),
        }
    }
}

impl From<CertificateError> for StateError {
    fn from(error: CertificateError) -> Self {
        StateError::Made(error)
    }
}

impl LocalAuthority {
    /// That of a state directory.
    pub fn new(state: &Path) -> Self {
        LocalAuthority { folder: state.join("tls") }
    }

    /// Where the authority is.
    pub fn path(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// Where the certificate of the daemon `name` is.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// Key and certificate of the daemon `name`, for hosts of these names: those that are kept, or new ones.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn certificate(&self, name: &str, names: &[String], since_1970: Duration) -> Result<String, StateError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| StateError::File(path, error)
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(at(&self.folder))?;
        // Daemons that start together make one authority.
        let lock = self.folder.join("lock");
        let held = private_file(&lock).map_err(at(&lock))?;
        flock(&held, FlockOperation::LockExclusive).map_err(|error| StateError::File(lock, error.into()))?;
        let authority = self.authority(since_1970)?;
        let path = self.path_of(name);
        let kept = fs::read_to_string(&path).ok();
        if let Some(kept) = kept.filter(|kept| is_good(kept, &authority, names, since_1970)) {
            return Ok(kept);
        }
        let made = authority.issue(names, since_1970)?;
        replace(&path, &made).map_err(at(&path))?;
        log::info!("made a certificate for {}: {}", names.join(", "), path.display());
        Ok(made)
    }

    fn authority(&self, since_1970: Duration) -> Result<Authority, StateError> {
        let path = self.path();
        match fs::read_to_string(&path) {
            Ok(kept) => match Authority::from_pem(&kept) {
                Ok(authority) if !is_due(authority.certificate(), since_1970) => return Ok(authority),
                Ok(_) => {
                    log::warn!("the local authority ends: {}: who trusts it must trust its successor", path.display())
                }
                Err(error) => {
                    log::warn!("the local authority is of no use: {}: {error}: making another", path.display())
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It may still be good: who can't read it must not put another in its place.
            Err(error) => return Err(StateError::File(path, error)),
        }
        let made = new_authority(since_1970)?;
        replace(&path, &made).map_err(|error| StateError::File(path.clone(), error))?;
        log::info!(
            "made a local authority: {}: `tapstack certificate` shows it and makes others trust it",
            path.display()
        );
        Ok(Authority::from_pem(&made)?)
    }
}

fn new_authority(since_1970: Duration) -> Result<String, CertificateError> {
    Authority::make(&format!("tapstack local authority of {}", host_name()), since_1970)
}

/// Key and certificate for this run alone, signed by an authority that nobody can come to know.
///
/// # Errors
/// They can't be made.
pub fn for_this_run(names: &[String], since_1970: Duration) -> Result<String, CertificateError> {
    Authority::from_pem(&new_authority(since_1970)?)?.issue(names, since_1970)
}

/// The name of the machine.
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let is_good = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-.".contains(&octet));
    if is_good { name } else { "localhost".to_owned() }
}

/// True if what is kept needs not be made anew.
fn is_good(kept: &str, authority: &Authority, names: &[String], since_1970: Duration) -> bool {
    let described = chain(kept.as_bytes()).ok().and_then(|chain| Description::of(chain.first()?).ok());
    let set = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect::<BTreeSet<_>>();
    described.is_some_and(|kept| {
        kept.is_issued_by(authority.certificate()) && set(&kept.names) == set(names) && !is_due(&kept, since_1970)
    })
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Writes a file that is there as a whole or not at all.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    // One that a killed process left may have had another mode.
    let _ = fs::remove_file(&beside);
    let mut file = private_file(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: Duration = Duration::from_secs(1_795_348_800);
    const DAY: Duration = Duration::from_secs(86_400);

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_kept_stays_until_it_is_due_or_for_other_names() {
        let state = tempfile::tempdir().unwrap();
        let local = LocalAuthority::new(state.path());
        let (first, here) = (names(&["192.0.2.2", "Host"]), |days: u32| NOW + DAY * days);
        let kept = local.certificate("tap0", &first, here(0)).unwrap();
        let authority = fs::read_to_string(local.path()).unwrap();
        assert_eq!(local.certificate("tap0", &names(&["host", "192.0.2.2"]), here(59)).unwrap(), kept);
        assert_ne!(local.certificate("tap1", &first, here(0)).unwrap(), kept, "another daemon has its own");
        let renewed = local.certificate("tap0", &first, here(60)).unwrap();
        assert_ne!(renewed, kept);
        let other = local.certificate("tap0", &names(&["192.0.2.3"]), here(60)).unwrap();
        assert_ne!(other, renewed);
        assert_eq!(fs::read_to_string(local.path()).unwrap(), authority, "all of one authority");
        // Its successor signs anew.
        assert_ne!(local.certificate("tap1", &first, here(3_630)).unwrap(), kept);
        assert_ne!(fs::read_to_string(local.path()).unwrap(), authority);
    }

    #[test]
    fn files_are_their_owners_alone_and_what_is_broken_is_made_anew() {
        let state = tempfile::tempdir().unwrap();
        let local = LocalAuthority::new(state.path());
        let wanted = names(&["host"]);
        local.certificate("tap0", &wanted, NOW).unwrap();
        for path in [local.path(), local.path_of("tap0")] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
            assert!(!path.with_extension("new").exists());
        }
        fs::write(local.path(), "half a fi").unwrap();
        fs::write(local.path_of("tap0").with_extension("new"), "left by a killed process").unwrap();
        let made = local.certificate("tap0", &wanted, NOW).unwrap();
        assert_eq!(fs::read_to_string(local.path_of("tap0")).unwrap(), made);
        assert_eq!(local.certificate("tap0", &wanted, NOW).unwrap(), made);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let state = tempfile::NamedTempFile::new().unwrap();
        let error = LocalAuthority::new(state.path()).certificate("tap0", &names(&["host"]), NOW).unwrap_err();
        assert!(error.to_string().contains(state.path().to_str().unwrap()), "{error}");
    }
}
