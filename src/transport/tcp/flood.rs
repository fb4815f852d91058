//! A flood of SYNs beyond what can be answered: then only who asks again is answered.
//!
//! A SYN costs whoever sends it nothing, and its answer costs us as much as any segment. When there are so many that
//! answering takes all the time there is, the device's queue overflows, and with it go the SYNs of those who mean it, their ACKs and
//! their requests. A client that means it sends its SYN again after a second (RFC 6298 §2), from the same port and with
//! the same sequence number; who invents addresses does not come again. So in a flood the first SYN of its kind is only noted, which
//! costs a fraction of an answer, and the second is answered. Who connects in a flood waits a second; without one nothing
//! changes.
//!
//! ```text
//!   SYN ──► few of late ──► answered
//!       └─► a flood ──► came before? ── yes ──► answered
//!                             └───────── no ──► noted, dropped
//! ```
//!
//! What came is noted as bits of a digest with a secret key, in two tables, of which the older is emptied every few
//! seconds. Some strangers are taken for another that came before, and answered; nobody is turned away for good.

use crate::base::hash::HashKey;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
use std::hash::BuildHasher;
use std::net::SocketAddr;

/// So many SYNs in one span, without room to keep them half open, are a flood.
const MANY: u32 = 10_000;
/// The span in which they are counted.
const SPAN: Duration = Duration::from_millis(100);
/// A flood is not over before this.
const LEAST: Duration = Duration::from_secs(2);
/// How long a SYN is remembered at least: its sender waits one second, then two, then four.
const MEMORY: Duration = Duration::from_secs(5);
/// Bits of a table: two for each SYN, of some millions.
const BITS: u32 = 1 << 24;

/// What was noted.
#[derive(Debug)]
struct Notes {
    key: HashKey,
    new: Box<[u64]>,
    old: Box<[u64]>,
    /// When `new` was begun.
    since: Instant,
}

fn blank() -> Box<[u64]> {
    vec![0; BITS as usize / 64].into_boxed_slice()
}

impl Notes {
    /// Notes a SYN; true if it was noted before.
    fn has(&mut self, local: SocketAddr, remote: SocketAddr, irs: Seq, now: Instant) -> bool {
        if now.since(self.since) >= MEMORY {
            let is_recent = now.since(self.since) < MEMORY * 2;
            std::mem::swap(&mut self.new, &mut self.old);
            self.new.fill(0);
            if !is_recent {
                self.old.fill(0);
            }
            self.since = now;
        }
        let digest = self.key.hash_one((local, remote, irs));
        let places = [digest as u32 % BITS, (digest >> 32) as u32 % BITS];
        let is_in = |table: &[u64]| {
            places.iter().all(|place| table.get(*place as usize / 64).is_some_and(|word| word >> (place % 64) & 1 == 1))
        };
        let was_there = is_in(&self.new) || is_in(&self.old);
        for place in places {
            if let Some(word) = self.new.get_mut(place as usize / 64) {
                *word |= 1 << (place % 64);
            }
        }
        was_there
    }
}

/// Whether there is a flood, and who came in it.
#[derive(Debug, Default)]
pub(super) struct Flood {
    /// When the span began, and how many came in it.
    span: (Instant, u32),
    /// When the flood is over, unless it goes on.
    until: Instant,
    /// Room only where there is, or was, a flood.
    notes: Option<Notes>,
}

impl Flood {
    /// True if a SYN for which there is no room to keep it half open is to be answered. `key` makes a secret key.
    pub(super) fn admits(
        &mut self,
        (local, remote): (SocketAddr, SocketAddr),
        irs: Seq,
        now: Instant,
        key: impl FnOnce() -> HashKey,
    ) -> bool {
        if now.since(self.span.0) >= SPAN {
            self.span = (now, 0);
        }
        self.span.1 += 1;
        if self.span.1 > MANY {
            self.until = now + LEAST;
        }
        if now >= self.until {
            self.notes = None;
            return true;
        }
        let notes = self.notes.get_or_insert_with(|| Notes { key: key(), new: blank(), old: blank(), since: now });
        notes.has(local, remote, irs, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    const LOCAL: ([u8; 4], u16) = ([192, 0, 2, 2], 80);

    fn admits(flood: &mut Flood, stranger: u32, now: Instant) -> bool {
        let remote = (stranger.to_be_bytes(), 1000).into();
        flood.admits((LOCAL.into(), remote), Seq(stranger), now, || HashKey::random(&mut Random::from_seed(1)))
    }

    /// A hundred thousand strangers in a tenth of a second; how many were answered.
    fn strike(flood: &mut Flood, first: u32, now: Instant) -> usize {
        (0..100_000).filter(|n| admits(flood, first + n, now)).count()
    }

    #[test]
    fn few_are_answered_at_once_and_keep_nothing() {
        let mut flood = Flood::default();
        for n in 0..200_000 {
            // 50,000 a second.
            assert!(admits(&mut flood, n, Instant::from_secs(1) + Duration::from_micros(20) * n));
        }
        assert!(flood.notes.is_none());
    }

    #[test]
    fn in_a_flood_who_comes_again_is_answered_and_strangers_are_not() {
        let mut flood = Flood::default();
        let start = Instant::from_secs(1);
        let answered = strike(&mut flood, 0, start);
        assert!(answered < 11_000, "{answered} of them before it was known to be a flood");
        let mut honest = 0;
        for n in 0..500u32 {
            let now = start + Duration::from_millis(200 + u64::from(n));
            honest += u32::from(!admits(&mut flood, u32::MAX - n, now));
            assert!(admits(&mut flood, u32::MAX - n, now + Duration::from_secs(1)), "{n} came again");
        }
        assert!(honest > 490, "{honest} of 500 were not answered at once");
    }

    #[test]
    fn strangers_of_a_long_flood_are_rarely_taken_for_others() {
        let mut flood = Flood::default();
        let mut answered = 0;
        for n in 0..60u32 {
            answered += strike(&mut flood, n * 100_000, Instant::from_secs(1) + Duration::from_millis(150) * n);
        }
        // Six million in nine seconds.
        assert!(answered < 6_000_000 / 5, "{answered}");
    }

    #[test]
    fn after_a_flood_everybody_is_answered_and_the_room_is_given_up() {
        let mut flood = Flood::default();
        strike(&mut flood, 0, Instant::from_secs(1));
        assert!(!admits(&mut flood, 1 << 30, Instant::from_secs(2)));
        assert!(flood.notes.is_some());
        assert!(admits(&mut flood, 2 << 30, Instant::from_secs(4)));
        assert!(flood.notes.is_none());
    }

    #[test]
    fn what_came_long_ago_is_forgotten() {
        let mut flood = Flood::default();
        let second = Instant::from_secs;
        strike(&mut flood, 0, second(1));
        assert!(!admits(&mut flood, 1 << 30, second(2)));
        for now in [4, 7, 10, 13] {
            strike(&mut flood, now << 20, second(u64::from(now)));
        }
        assert!(!admits(&mut flood, 1 << 30, second(14)));
    }
}
