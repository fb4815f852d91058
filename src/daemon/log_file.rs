//! A file that lines are written to by a thread of its own, so that no disk makes the event loop wait.
//!
//! ```text
//!   line ──► buffer, bounded ──► thread: gathers for a moment, writes ──► file      reopen: the name, opened anew
//! ```
//!
//! What the buffer has no room for, and what the disk does not take, is dropped and counted; the count is said in the
//! log of the program when it begins, and when lines are written again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Octets that wait for the disk.
const WAITING: usize = 1 << 20;
/// How long lines gather after the first.
const GATHERING: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
struct Inside {
    waiting: Vec<u8>,
    lines: u64,
    lost: u64,
    must_reopen: bool,
    is_closed: bool,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    inside: Mutex<Inside>,
    called: Condvar,
}

impl Shared {
    /// No call leaves it half changed, so a panic elsewhere does no harm.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file. Clones are the same; when the last is gone, what waits is written.
#[derive(Clone, Debug)]
pub struct LogFile(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl LogFile {
    /// Opens the file, to write behind what is there.
    ///
    /// # Errors
    /// It can't be opened, or there is no thread to be had.
    pub fn open(path: &Path) -> io::Result<LogFile> {
        let file = open(path)?;
        let shared = Arc::new(Shared { path: path.to_owned(), inside: Mutex::default(), called: Condvar::new() });
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new().name("access log".into()).spawn(move || work(&own, file))?;
        Ok(LogFile(Arc::new(Handle { shared, thread: Some(thread) })))
    }

    /// Writes a line, with its end, as soon as the disk takes it.
    pub fn write(&self, line: &str) {
        let mut inside = self.0.shared.lock();
        if inside.waiting.len() + line.len() > WAITING {
            inside.lost += 1;
            return;
        }
        let was_empty = inside.waiting.is_empty();
        inside.waiting.extend_from_slice(line.as_bytes());
        inside.lines += 1;
        drop(inside);
        if was_empty {
            self.0.shared.called.notify_one();
        }
    }

    /// Opens the file anew, as after it was renamed.
    pub fn reopen(&self) {
        self.0.shared.lock().must_reopen = true;
        self.0.shared.called.notify_one();
    }

    /// Lines that were dropped so far.
    pub fn lost(&self) -> u64 {
        self.0.shared.lock().lost
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.called.notify_one();
        if let Some(thread) = self.thread.take() {
            // If it has panicked, that was said.
            let _ = thread.join();
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// The thread's life.
fn work(shared: &Shared, mut file: File) {
    let mut is_losing = false;
    loop {
        let mut inside = shared.lock();
        while inside.waiting.is_empty() && !inside.must_reopen && !inside.is_closed {
            inside = shared.called.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
        let gathers = |inside: &mut Inside| !inside.is_closed && !inside.must_reopen;
        let gathered = shared.called.wait_timeout_while(inside, GATHERING, gathers);
        inside = gathered.unwrap_or_else(PoisonError::into_inner).0;
        let (lines, count) = (std::mem::take(&mut inside.waiting), std::mem::take(&mut inside.lines));
        let (must_reopen, is_closed) = (std::mem::take(&mut inside.must_reopen), inside.is_closed);
        drop(inside);
        let written = file.write_all(&lines);
        if let Err(error) = &written {
            let lost = {
                let mut inside = shared.lock();
                inside.lost += count;
                inside.lost
            };
            if !std::mem::replace(&mut is_losing, true) {
                log::warn!(
                    "the access log can't be written: {}: {error}: {lost} lines are lost so far",
                    shared.path.display()
                );
            }
        } else if !lines.is_empty() && std::mem::take(&mut is_losing) {
            log::warn!("the access log is written again: {} lines were lost", shared.lock().lost);
        }
        if must_reopen {
            match open(&shared.path) {
                Ok(anew) => file = anew,
                Err(error) => log::warn!("the access log can't be opened anew: {}: {error}", shared.path.display()),
            }
        }
        if is_closed && shared.lock().waiting.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_are_written_behind_what_is_there_and_none_is_left_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "before\n").unwrap();
        let log = LogFile::open(&path).unwrap();
        let other = log.clone();
        (0..1_000).for_each(|number| log.write(&format!("{number}\n")));
        drop(log);
        other.write("last\n");
        drop(other);
        let lines: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        assert_eq!(read(&path), format!("before\n{}\nlast\n", lines.join("\n")));
    }

    #[test]
    fn a_file_that_was_renamed_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, aside) = (folder.path().join("log"), folder.path().join("log.1"));
        let log = LogFile::open(&path).unwrap();
        log.write("old\n");
        std::fs::rename(&path, &aside).unwrap();
        log.reopen();
        // The thread has opened it when it is there; lines before that may still go to the old one.
        while !path.exists() {
            std::thread::yield_now();
        }
        log.write("new\n");
        drop(log);
        assert_eq!((read(&aside).as_str(), read(&path).as_str()), ("old\n", "new\n"));
    }

    #[test]
    fn what_there_is_no_room_for_and_what_the_disk_refuses_is_counted() {
        // Every write to it fails for lack of space.
        let log = LogFile::open(Path::new("/dev/full")).unwrap();
        log.write("lost\n");
        while log.lost() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(log.lost(), 1);
        let long = "x".repeat(WAITING + 1);
        log.write(&long);
        assert_eq!(log.lost(), 2);
    }
}
