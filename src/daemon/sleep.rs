//! Sleeping until something happens or a moment comes, to the microsecond.
//!
//! epoll(7) takes its time-out in whole milliseconds, and mio rounds it up: long for a sender that spreads its segments over a
//! round trip, or for a cable that is a millisecond long. The descriptor of epoll can be waited for itself, by ppoll(2), which counts in
//! nanoseconds; that is one call more, and so only done for short sleeps. The kernel lets a sleeper wait another 50 us so that it
//! can wake several at once, unless told not to ([`be_punctual`]).

use crate::base::time::Duration;
use mio::{Events, Poll};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A millisecond more or less is nothing to a sleep of this length.
const LONG: Duration = Duration::from_millis(20);

/// Waits for events, at most `timeout`.
///
/// # Errors
/// As [`Poll::poll`].
pub(super) fn sleep(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
    let Some(short) = timeout.filter(|timeout| *timeout > Duration::ZERO && *timeout < LONG) else {
        return poll.poll(events, timeout);
    };
    #[expect(unsafe_code, reason = "mio lends no descriptor with a lifetime")]
    // SAFETY: the descriptor is that of `poll`, which lives and keeps it open for the whole call.
    let epoll = unsafe { BorrowedFd::borrow_raw(poll.as_raw_fd()) };
    let at_most = Timespec { tv_sec: 0, tv_nsec: short.subsec_nanos().into() };
    rustix::event::poll(&mut [PollFd::from_borrowed_fd(epoll, PollFlags::IN)], Some(&at_most))?;
    poll.poll(events, Some(Duration::ZERO))
}

/// Has this thread woken when it asked to be.
pub(super) fn be_punctual() {
    // Where the kernel refuses, sleeps are a little longer.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Token, Waker};

    #[test]
    fn a_short_sleep_ends_when_something_happens() {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(4);
        let waker = Waker::new(poll.registry(), Token(3)).unwrap();
        waker.wake().unwrap();
        sleep(&mut poll, &mut events, Some(LONG / 2)).unwrap();
        assert_eq!(events.iter().map(mio::event::Event::token).collect::<Vec<_>>(), [Token(3)]);
    }

    #[test]
    fn and_without_events_when_nothing_does() {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(4);
        sleep(&mut poll, &mut events, Some(Duration::from_micros(10))).unwrap();
        assert!(events.is_empty());
    }
}
