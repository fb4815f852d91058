//! What arrives, as a capture file, for whoever has to find out why a seed failed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use tapstack::base::time::{Duration, Instant};
use tapstack::physical::capture::{Capture, CaptureInterface, Direction};

/// The wall clock of virtual time zero: 14 November 2023.
pub const UNIX_ORIGIN: Duration = Duration::from_secs(1_700_000_000);

/// A capture file, or nothing. It is complete when this is dropped.
pub struct Film(Option<(Capture<BufWriter<File>>, CaptureInterface)>);

impl Film {
    /// Writes to `path` if there is one.
    pub fn to(path: Option<PathBuf>) -> Self {
        Film(path.map(|path| {
            let mut capture = Capture::new(BufWriter::new(File::create(path).unwrap())).unwrap();
            let interface = capture.add_interface("cable").unwrap();
            (capture, interface)
        }))
    }

    /// A frame arrived.
    pub fn take(&mut self, now: Instant, frame: &[u8]) {
        if let Some((capture, interface)) = &mut self.0 {
            let unix_time = UNIX_ORIGIN + now.since(Instant::ZERO);
            capture.write_frame(*interface, unix_time, Direction::Inbound, &[frame], None);
        }
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        if let Some((capture, _)) = self.0.take() {
            let _ = capture.into_inner().flush();
        }
    }
}
