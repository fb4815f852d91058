//! The sizes of messages whose names do not tell them, written down in a file of the Maildir so that a login need not
//! read the messages again: not after a restart either.
//!
//! ```text
//!   tapstack sizes 1
//!   1267 1795348800.M1P2.host        octets on the wire, base of the name; in the order of a listing
//!   end
//! ```
//!
//! A message never changes and its name is never used again, so what is written of it stays true. The file is replaced
//! as a whole; one that is torn, or from another version, counts as none.

use super::name;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file.
const FILE: &str = "tapstack-sizes";
const FIRST_LINE: &[u8] = b"tapstack sizes 1";
const LAST_LINE: &[u8] = b"end";
/// The longest file that is read: as many lines as there are messages, of the longest names.
const LENGTH: u64 = 32 << 20;

/// The sizes that were written down.
#[derive(Debug, Default)]
pub(super) struct Known {
    text: Vec<u8>,
    /// The next line that was not passed yet.
    at: usize,
}

impl Known {
    /// Those of a Maildir; none if there is no such file, or it is not what we wrote.
    pub(super) fn load(root: &Path) -> Known {
        let Ok(text) = read(root) else { return Known::default() };
        let is_whole = text.strip_prefix(FIRST_LINE).is_some_and(|rest| {
            rest.strip_prefix(b"\n")
                .and_then(|rest| rest.strip_suffix(b"\n"))
                .is_some_and(|rest| rest.ends_with(LAST_LINE))
        });
        if is_whole { Known { at: FIRST_LINE.len() + 1, text } } else { Known::default() }
    }

    /// The size of a message. They are asked for in the order of a listing.
    pub(super) fn of(&mut self, base: &[u8]) -> Option<u64> {
        loop {
            let rest = self.text.get(self.at..)?;
            let line = rest.split(|octet| *octet == b'\n').next().filter(|line| !line.is_empty())?;
            let space = line.iter().position(|octet| *octet == b' ')?;
            let (octets, known) = (line.get(..space)?, line.get(space + 1..)?);
            if name::order(known) > name::order(base) {
                return None;
            }
            self.at += line.len() + 1;
            if known == base {
                return std::str::from_utf8(octets).ok()?.parse().ok();
            }
        }
    }
}

fn read(root: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(root.join(FILE))?;
    let facts = file.metadata()?;
    if !facts.is_file() || facts.len() > LENGTH {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = Vec::with_capacity(usize::try_from(facts.len()).unwrap_or(0));
    file.take(LENGTH).read_to_end(&mut text)?;
    Ok(text)
}

/// Writes sizes down, in the order of a listing. Whoever calls this has the lock of the Maildir.
pub(super) fn save<'a>(root: &Path, sizes: impl Iterator<Item = (&'a [u8], u64)>) -> io::Result<()> {
    let (draft, place) = (root.join(format!("{FILE}.new")), root.join(FILE));
    // Left by who was killed while writing it.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let mut file = BufWriter::new(file);
    file.write_all(FIRST_LINE)?;
    file.write_all(b"\n")?;
    for (base, octets) in sizes.filter(|(base, _)| !base.contains(&b'\n')) {
        write!(file, "{octets} ")?;
        file.write_all(base)?;
        file.write_all(b"\n")?;
    }
    file.write_all(LAST_LINE)?;
    file.write_all(b"\n")?;
    file.into_inner()?;
    fs::rename(draft, place)
}
