//! Waiting for events: awake for a moment, then asleep.
//!
//! Going to sleep and being woken costs more than most of what the loop is woken for, and where the machine is
//! virtual, many times more: whoever has a frame for us must send another processor an interrupt. While frames come in
//! quick succession the loop therefore asks again and again for a little while before it sleeps.
//!
//! How long is learned, as KVM learns how long to keep a halted processor: a sleep that lasted hardly longer than
//! watching would have makes the watch longer; one that lasted long makes it shorter, down to nothing. An idle
//! daemon sleeps at once.
//!
//! ```text
//!   frame ... frame        frame                                    frame
//!   |watch   |watch........zz|watch longer .....zzzzzzzzzzzzzzzzzzzzz|watch shorter
//! ```

use crate::base::time::{Duration, Instant};
use crate::daemon::clock::Clock;
use mio::{Events, Poll};
use std::io;

/// The first watch after a sleep that was short.
const FIRST: Duration = Duration::from_micros(10);

/// How long to watch before going to sleep.
#[derive(Debug)]
pub(super) struct Watch {
    most: Duration,
    length: Duration,
}

impl Watch {
    /// Watches for `most` at the longest; zero always sleeps at once.
    pub(super) fn new(most: Duration) -> Self {
        Watch { most, length: Duration::ZERO }
    }

    /// Waits for events, at most `timeout`.
    ///
    /// # Errors
    /// As [`Poll::poll`].
    pub(super) fn poll(
        &mut self,
        poll: &mut Poll,
        events: &mut Events,
        timeout: Option<Duration>,
        clock: Clock,
    ) -> io::Result<()> {
        if self.most == Duration::ZERO || timeout == Some(Duration::ZERO) {
            return poll.poll(events, timeout);
        }
        let start = clock.now();
        let until = start + timeout.map_or(self.length, |timeout| timeout.min(self.length));
        while clock.now() < until {
            poll.poll(events, Some(Duration::ZERO))?;
            if !events.is_empty() {
                return Ok(());
            }
        }
        let rest = timeout.map(|timeout| timeout.saturating_sub(clock.now().since(start)));
        let result = poll.poll(events, rest);
        self.learn(start, clock.now());
        result
    }

    /// It had to sleep, and was woken at `end`.
    fn learn(&mut self, start: Instant, end: Instant) {
        let waited = end.since(start);
        if waited > self.most {
            self.length = if self.length <= FIRST { Duration::ZERO } else { self.length / 2 };
        } else {
            self.length = (self.length * 2).clamp(FIRST, self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(50);

    fn after(watch: &mut Watch, waited: u64) -> u128 {
        watch.learn(Instant::ZERO, Instant::ZERO + Duration::from_micros(waited));
        watch.length.as_micros()
    }

    #[test]
    fn short_sleeps_make_the_watch_longer_up_to_its_bound() {
        let mut watch = Watch::new(MOST);
        let lengths: Vec<u128> = (0..5).map(|_| after(&mut watch, 40)).collect();
        assert_eq!(lengths, [10, 20, 40, 50, 50]);
    }

    #[test]
    fn long_sleeps_make_it_shorter_down_to_nothing() {
        let mut watch = Watch { most: MOST, length: MOST };
        let lengths: Vec<u128> = (0..5).map(|_| after(&mut watch, 1_000)).collect();
        assert_eq!(lengths, [25, 12, 6, 0, 0]);
    }
}
