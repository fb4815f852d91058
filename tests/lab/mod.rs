//! The lab: network namespaces of our own with a daemon and real programs in them, gone when the test ends.
//!
//! ```text
//!   namespace ts-PID-N               192.0.2.0/24
//!   ping, curl, nc -- kernel .1 -- tap0 -- .2 tapstack run
//! ```
//!
//! Nothing here touches the machine's own network. Every program has a time limit, everything that was started
//! is ended by its process id, also when the test fails, and then the daemon's log is printed. What a test run
//! that was killed left behind is removed by the next one.
//!
//! With `TAPSTACK_OFFLOAD=false` every daemon uses plain frames, with `TAPSTACK_QUEUES=n` so many queues where the
//! test does not say.
//!
//! [`Namespace`] is an empty one; [`Lab`] has a daemon in it; [`Daemon`] and [`Cable`] are for those who build more.

mod cable;
mod daemon;
mod namespace;
mod small_disk;
mod wire;

pub use cable::{BadLine, Cable};
pub use daemon::{Daemon, Lab, binary, offloads, queues};
pub use namespace::{Namespace, Running, open_tap};
pub use small_disk::SmallDisk;
pub use wire::{http, noise, read_to_end, sha256};

use std::time::{Duration, Instant};

/// How long anything may take that should happen at once.
pub const SOON: Duration = Duration::from_secs(15);

/// The daemon's address in the ordinary lab.
pub const DAEMON: &str = "192.0.2.2";

/// Waits until `condition` holds; fails the test if it never does.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(within(SOON, condition), "never happened: {what}");
}

/// Waits until `condition` holds, at most `limit`.
pub fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
