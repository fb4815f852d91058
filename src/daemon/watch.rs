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
//! Somebody else may want the processor: when the loop watched in vain and was made to give it up since it last did, it
//! sleeps at once for a while. Where there are more programs at work than processors, watching would take from those who send the frames.
//!
//! ```text
//!   frame ... frame        frame                                    frame
//!   |watch   |watch........zz|watch longer .....zzzzzzzzzzzzzzzzzzzzz|watch shorter
//! ```

use crate::base::time::{Duration, Instant};
use crate::daemon::clock::Clock;
use crate::daemon::sleep::sleep;
use mio::{Events, Poll};
use std::io;

/// The first watch after a sleep that was short.
const FIRST: Duration = Duration::from_micros(10);
/// Sleeps without a watch once somebody else wanted the processor.
const RESPECT: u32 = 200;

/// How long to watch before going to sleep.
#[derive(Debug)]
pub(super) struct Watch {
    most: Duration,
    length: Duration,
    /// How often the thread was made to give up its processor, as last seen.
    preemptions: u64,
    /// Sleeps that are still without a watch.
    respect: u32,
}

impl Watch {
    /// Watches for `most` at the longest; zero always sleeps at once.
    pub(super) fn new(most: Duration) -> Self {
        Watch { most, length: Duration::ZERO, preemptions: 0, respect: 0 }
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
            return sleep(poll, events, timeout);
        }
        let start = clock.now();
        let until = start + timeout.map_or(self.length, |timeout| timeout.min(self.length));
        while clock.now() < until {
            poll.poll(events, Some(Duration::ZERO))?;
            if !events.is_empty() {
                return Ok(());
            }
        }
        if self.length > Duration::ZERO {
            self.look_around(preemptions());
        }
        let rest = timeout.map(|timeout| timeout.saturating_sub(clock.now().since(start)));
        let result = sleep(poll, events, rest);
        self.learn(start, clock.now());
        result
    }

    /// It has watched in vain, and has by now been made to give up its processor so often.
    fn look_around(&mut self, preemptions: u64) {
        if std::mem::replace(&mut self.preemptions, preemptions) != preemptions {
            self.length = Duration::ZERO;
            self.respect = RESPECT;
        }
    }

    /// It had to sleep, and was woken at `end`.
    fn learn(&mut self, start: Instant, end: Instant) {
        if self.respect > 0 {
            self.respect -= 1;
            return;
        }
        let waited = end.since(start);
        if waited > self.most {
            self.length = if self.length <= FIRST { Duration::ZERO } else { self.length / 2 };
        } else {
            self.length = (self.length * 2).clamp(FIRST, self.most);
        }
    }
}

/// How often this thread was made to give up its processor (getrusage(2), `ru_nivcsw`).
fn preemptions() -> u64 {
    #[expect(unsafe_code, reason = "the standard library does not tell how often a thread was preempted")]
    // SAFETY: `rusage` is made of integers, for which all zeros are values; `getrusage` fills in one, which lives for
    // the whole call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, std::ptr::from_mut(&mut usage));
        usage
    };
    u64::try_from(usage.ru_nivcsw).unwrap_or_default()
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
        let mut watch = Watch { length: MOST, ..Watch::new(MOST) };
        let lengths: Vec<u128> = (0..5).map(|_| after(&mut watch, 1_000)).collect();
        assert_eq!(lengths, [25, 12, 6, 0, 0]);
    }

    #[test]
    fn who_is_preempted_while_watching_sleeps_at_once_for_a_while() {
        let mut watch = Watch { length: MOST, ..Watch::new(MOST) };
        watch.look_around(0);
        assert_eq!(watch.length, MOST);
        watch.look_around(1);
        let lengths: Vec<u128> = (0..RESPECT + 2).map(|_| after(&mut watch, 40)).collect();
        assert!(lengths[..RESPECT as usize].iter().all(|length| *length == 0));
        assert_eq!(lengths[RESPECT as usize..], [10, 20]);
    }
}
