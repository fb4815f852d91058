//! Memory that a crowd of connections needed, given back to the system when the crowd is gone.
//!
//! Tables keep the room they once had, and the C library keeps what is freed: it gives back by itself only what
//! lies at the end of its heap. After a crowd that would be nearly everything it needed, for as long as the
//! process runs.
//!
//! ```text
//!   connections   peak ___                    fewer than half of the peak: give back a moment later,
//!                     /   \___                when the stragglers are gone as well; from there anew
//!                 ___/        \_____
//!                             ^  ^ give back
//! ```

use crate::base::buffers::Buffer;
use crate::base::time::{Duration, Instant};

/// A crowd: what fewer connections needed is not worth the work.
const CROWD: usize = 64;
/// When so few are left, the crowd has gone.
const FEW: usize = 8;
/// From when most of a crowd has left to giving back.
const SETTLING: Duration = Duration::from_secs(1);

/// When to give memory back.
#[derive(Debug, Default)]
pub(super) struct Memory {
    peak: usize,
    /// There was a crowd, and more than a few of it may still be there.
    crowd: bool,
    due: Option<Instant>,
}

impl Memory {
    /// Takes note of the number of connections. True if it is time to give memory back.
    pub(super) fn is_due(&mut self, connections: usize, now: Instant) -> bool {
        self.peak = self.peak.max(connections);
        self.crowd |= self.peak >= CROWD;
        match self.due {
            Some(due) if due <= now => {
                *self = Memory { peak: connections, crowd: connections >= FEW, due: None };
                true
            }
            None if self.crowd && connections <= self.peak / 2 => {
                self.due = Some(now + SETTLING);
                false
            }
            _ => false,
        }
    }

    /// When to ask again at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

/// Gives what is free back to the system.
pub(super) fn give_back() {
    Buffer::give_back();
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the C library's allocator has no safe interface")]
    // SAFETY: it takes no pointers and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// From so many bytes on a piece of memory comes from the system by itself, and goes back when it is freed.
const LARGE: libc::c_int = 256 << 10;
/// So much may lie free at the end of a heap, which is what the C library gets to by itself.
const SPARE: libc::c_int = 64 << 20;

/// Has large pieces of memory given back when they are freed. Otherwise the C library learns to keep ever larger ones:
/// the listings of a few large mailboxes would leave each thread a heap of their size.
pub(super) fn give_back_large_pieces_at_once() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the C library's allocator has no safe interface")]
    // SAFETY: it takes no pointers, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, SPARE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn memory_is_given_back_once_a_moment_after_most_of_a_crowd_has_left() {
        let mut memory = Memory::default();
        assert!(!memory.is_due(1_000, at(0)) && memory.deadline().is_none());
        assert!(!memory.is_due(501, at(1)) && memory.deadline().is_none());
        assert!(!memory.is_due(500, at(2)));
        assert_eq!(memory.deadline(), Some(at(1_002)));
        assert!(!memory.is_due(0, at(1_001)));
        assert!(memory.is_due(0, at(1_002)));
        assert!(!memory.is_due(0, at(5_000)) && memory.deadline().is_none());
    }

    #[test]
    fn a_few_connections_are_no_crowd() {
        let mut memory = Memory::default();
        assert!(!memory.is_due(CROWD - 1, at(0)));
        assert!(!memory.is_due(0, at(1)) && memory.deadline().is_none());
    }

    #[test]
    fn what_is_left_of_a_crowd_may_be_a_crowd_again() {
        let mut memory = Memory::default();
        memory.is_due(1_000, at(0));
        memory.is_due(400, at(1));
        assert!(memory.is_due(40, at(1_001)));
        assert!(!memory.is_due(20, at(2_000)));
        assert!(memory.is_due(7, at(3_000)));
        // Seven are not.
        assert!(!memory.is_due(0, at(4_000)) && memory.deadline().is_none());
    }
}
