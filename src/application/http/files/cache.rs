//! Small files that are asked for again and again, with what is said of them.
//!
//! A file that is kept is looked at before it is sent, by one call: while device, inode, length and the times of its last
//! changes are what they were, so is the content. Requests that are answered at the same moment came before it, so one
//! look is for all of them. A file that was changed just now is not kept: a second change within the
//! same tick of the file system's clock would not show. Neither does one through a shared mapping that is written to on
//! and on, so files are not to be changed in that way under a server.

use super::media::Media;
use super::page::{Form, Page};
use crate::application::http::Moment;
use crate::application::http::body::Content;
use crate::application::http::validators::Validators;
use crate::base::hash::HashKey;
use crate::base::limits::{HTTP_KEPT_FILE, HTTP_KEPT_FILES, HTTP_KEPT_OCTETS};
use crate::base::lru::LruMap;
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use crate::presentation::encoding::Coding;
use bytes::Bytes;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How long ago the last change of a file must be: more than the tick of any file system's clock.
const SETTLED: Duration = Duration::from_secs(2);

/// What a file's content can't change without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Facts {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Facts {
    fn of(file: &Metadata) -> Self {
        Facts {
            device: file.dev(),
            inode: file.ino(),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// True if there is such a file at `path`. A link in its place is another.
    fn are_those_of(&self, path: &[u8]) -> bool {
        fs::symlink_metadata(Path::new(OsStr::from_bytes(path))).is_ok_and(|file| Facts::of(&file) == *self)
    }

    /// True if the last change is long enough ago; not if it is yet to come, as after a clock was set back.
    fn is_settled(&self, now: Duration) -> bool {
        u64::try_from(self.changed.0).is_ok_and(|secs| Duration::from_secs(secs + 1) + SETTLED <= now)
    }
}

#[derive(Debug)]
struct Kept {
    facts: Facts,
    /// When they were last seen to be so.
    seen: Instant,
    octets: Bytes,
    /// The same packed, as far as somebody has asked for it.
    made: [Option<Bytes>; Coding::ALL.len()],
    validators: Validators,
    media: Media,
}

impl Kept {
    /// Octets in memory.
    fn size(&self) -> usize {
        self.octets.len() + self.made.iter().flatten().map(Bytes::len).sum::<usize>()
    }
}

/// Files by their path; those that were not asked for the longest make room.
#[derive(Debug)]
pub(super) struct Cache {
    files: LruMap<Vec<u8>, Kept>,
    octets: usize,
}

impl Default for Cache {
    fn default() -> Self {
        // Only names of files that exist are in it, which no stranger chooses: the key need not be a secret.
        let key = HashKey::random(&mut Random::from_seed(0));
        Cache { files: LruMap::new(HTTP_KEPT_FILES, key), octets: 0 }
    }
}

impl Cache {
    /// The file at `path`, if it is kept and has not changed. `now` is the moment of the loop's turn.
    pub(super) fn find(&mut self, path: &Vec<u8>, now: Instant) -> Option<Page> {
        let kept = self.files.touch(path)?;
        if kept.seen == now || kept.facts.are_those_of(path) {
            kept.seen = now;
            return Some(Page {
                content: Content::Kept(kept.octets.clone()),
                length: kept.facts.length,
                validators: kept.validators.clone(),
                media: kept.media.clone(),
                form: Form::Plain,
                varies: false,
            });
        }
        self.octets -= kept.size();
        self.files.remove(path);
        None
    }

    /// The file at `path`, which was just found, packed by us.
    pub(super) fn made(&self, path: &Vec<u8>, coding: Coding) -> Option<Bytes> {
        self.files.get(path)?.made.get(coding.index())?.clone()
    }

    /// Keeps a packed form of a file that is kept.
    pub(super) fn keep_made(&mut self, path: &Vec<u8>, coding: Coding, octets: Bytes) {
        let Some(place) = self.files.get_mut(path).and_then(|kept| kept.made.get_mut(coding.index())) else { return };
        self.octets += octets.len();
        let before = place.replace(octets);
        self.octets -= before.map_or(0, |octets| octets.len());
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.octets > HTTP_KEPT_OCTETS {
            let Some((_, kept)) = self.files.pop_oldest() else { break };
            self.octets -= kept.size();
        }
    }

    /// Reads a file and keeps it, if it is worth it; `file` stays at its beginning if not. What was known of it must be
    /// older than what is read.
    pub(super) fn keep(
        &mut self,
        path: Vec<u8>,
        file: &mut File,
        facts: &Metadata,
        media: Media,
        now: Moment,
    ) -> Option<Bytes> {
        let known = Facts::of(facts);
        let length = usize::try_from(known.length).ok().filter(|length| *length <= HTTP_KEPT_FILE)?;
        if !known.is_settled(now.calendar) {
            return None;
        }
        let mut octets = Vec::with_capacity(length);
        if file.take(known.length).read_to_end(&mut octets).is_err() || octets.len() != length {
            // What is wrong shows again when it is sent.
            let _ = file.rewind();
            return None;
        }
        let octets = Bytes::from(octets);
        let validators = Validators::of(facts, now.calendar);
        self.octets += length;
        let made = Default::default();
        let kept = Kept { facts: known, seen: now.turn, octets: octets.clone(), made, validators, media };
        let gone = self.files.insert(path, kept);
        self.octets -= gone.map_or(0, |(_, kept)| kept.size());
        self.make_room();
        Some(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const LONG_AFTER: Duration = Duration::from_secs(1 << 40);
    const THEN: Instant = Instant::from_secs(1);
    const LATER: Instant = Instant::from_secs(2);

    fn media() -> Media {
        Media { value: http::HeaderValue::from_static("text/plain"), is_compressible: true }
    }

    fn keep(
        cache: &mut Cache,
        folder: &TempDir,
        name: &str,
        content: &[u8],
        calendar: Duration,
    ) -> (Vec<u8>, Option<Bytes>) {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let mut file = File::open(&path).unwrap();
        let facts = file.metadata().unwrap();
        let path = path.into_os_string().into_encoded_bytes();
        let kept = cache.keep(path.clone(), &mut file, &facts, media(), Moment { turn: THEN, calendar });
        assert!(kept.is_some() || file.stream_position().unwrap() == 0);
        (path, kept)
    }

    fn found(cache: &mut Cache, path: &Vec<u8>, now: Instant) -> Option<Bytes> {
        cache.find(path, now).map(|page| match page.content {
            Content::Kept(octets) => octets,
            Content::File(_) => panic!("a file from the cache"),
        })
    }

    #[test]
    fn what_is_kept_is_found_without_a_copy_until_it_changes() {
        let (mut cache, folder) = (Cache::default(), TempDir::new().unwrap());
        let (path, kept) = keep(&mut cache, &folder, "a", b"hello", LONG_AFTER);
        assert_eq!(found(&mut cache, &path, LATER).unwrap().as_ptr(), kept.unwrap().as_ptr());
        fs::write(folder.path().join("a"), "hello!").unwrap();
        assert_eq!(found(&mut cache, &path, LATER).unwrap(), "hello", "it was looked at in this turn");
        assert_eq!(found(&mut cache, &path, LATER + Duration::from_nanos(1)), None);
        assert_eq!((cache.octets, cache.files.len()), (0, 0), "it is forgotten");
    }

    #[test]
    fn what_is_large_or_changed_just_now_or_shorter_than_it_was_is_not_kept() {
        let (mut cache, folder) = (Cache::default(), TempDir::new().unwrap());
        assert!(keep(&mut cache, &folder, "a", &vec![0; HTTP_KEPT_FILE], LONG_AFTER).1.is_some());
        assert!(keep(&mut cache, &folder, "b", &vec![0; HTTP_KEPT_FILE + 1], LONG_AFTER).1.is_none());
        let changed = fs::metadata(folder.path().join("a")).unwrap().ctime() as u64;
        assert!(keep(&mut cache, &folder, "c", b"x", Duration::from_secs(changed)).1.is_none());
        let path = folder.path().join("d");
        fs::write(&path, "long").unwrap();
        let facts = fs::metadata(&path).unwrap();
        fs::write(&path, "l").unwrap();
        let mut file = File::open(&path).unwrap();
        let now = Moment { turn: THEN, calendar: LONG_AFTER };
        assert!(cache.keep(b"d".to_vec(), &mut file, &facts, media(), now).is_none());
        assert_eq!((cache.octets, cache.files.len()), (HTTP_KEPT_FILE, 1));
    }

    #[test]
    fn a_change_settles_after_two_seconds_and_one_to_come_does_not() {
        let facts = Facts { device: 1, inode: 1, length: 1, modified: (0, 0), changed: (100, 999_999_999) };
        for (now, is_settled) in [(0, false), (100, false), (102, false), (103, true), (1_000, true)] {
            assert_eq!(facts.is_settled(Duration::from_secs(now)), is_settled, "{now}");
        }
    }

    #[test]
    fn the_octets_that_are_kept_are_bounded() {
        let (mut cache, folder) = (Cache::default(), TempDir::new().unwrap());
        let content = vec![0; HTTP_KEPT_FILE];
        let paths: Vec<_> = (0..=HTTP_KEPT_OCTETS / HTTP_KEPT_FILE)
            .map(|n| keep(&mut cache, &folder, &n.to_string(), &content, LONG_AFTER).0)
            .collect();
        assert_eq!(cache.octets, HTTP_KEPT_OCTETS);
        assert_eq!(found(&mut cache, &paths[0], LATER), None);
        assert!(found(&mut cache, &paths[1], LATER).is_some());
    }

    #[test]
    fn packed_forms_count_and_go_with_their_file() {
        let (mut cache, folder) = (Cache::default(), TempDir::new().unwrap());
        let (path, _) = keep(&mut cache, &folder, "a", b"hello", LONG_AFTER);
        assert_eq!(cache.made(&path, Coding::Gzip), None);
        cache.keep_made(&path, Coding::Gzip, Bytes::from_static(b"packed"));
        cache.keep_made(&path, Coding::Gzip, Bytes::from_static(b"packed again"));
        assert_eq!((cache.made(&path, Coding::Gzip).unwrap(), cache.octets), (Bytes::from_static(b"packed again"), 17));
        assert_eq!(cache.made(&path, Coding::Zstd), None);
        cache.keep_made(&b"of nothing".to_vec(), Coding::Gzip, Bytes::from_static(b"packed"));
        fs::write(folder.path().join("a"), "changed").unwrap();
        assert_eq!(found(&mut cache, &path, LATER), None);
        assert_eq!((cache.octets, cache.made(&path, Coding::Gzip)), (0, None));
        let content = vec![0; HTTP_KEPT_FILE];
        let paths: Vec<_> = (0..HTTP_KEPT_OCTETS / HTTP_KEPT_FILE)
            .map(|n| keep(&mut cache, &folder, &n.to_string(), &content, LONG_AFTER).0)
            .collect();
        cache.keep_made(&paths[1], Coding::Brotli, Bytes::from_static(b"one too many"));
        assert_eq!(found(&mut cache, &paths[0], LATER), None, "the oldest makes room");
        assert!(cache.octets <= HTTP_KEPT_OCTETS);
    }
}
