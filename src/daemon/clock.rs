//! The only clock: monotonic time since the start, and what the wall said then.

use crate::base::time::{Duration, Instant};
use std::time::SystemTime;

/// Counts from when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
    unix_origin: Duration,
}

impl Clock {
    /// A clock that starts at [`Instant::ZERO`].
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is handed")]
    pub fn start() -> Self {
        let unix_origin = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Clock { start: std::time::Instant::now(), unix_origin }
    }

    /// The time since the start.
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    /// The wall-clock time of the start, since the epoch.
    pub fn unix_origin(&self) -> Duration {
        self.unix_origin
    }

    /// The wall-clock time, since the epoch. It follows the monotonic clock: setting the wall clock while the
    /// process runs does not move it.
    pub fn unix_time(&self) -> Duration {
        self.unix_origin + self.now().since(Instant::ZERO)
    }
}
