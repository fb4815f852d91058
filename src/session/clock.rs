//! The time as an application sees it: what time it is, and to be woken later.
//!
//! Applications are written against this trait, so that the daemon runs them on the stack's own time, a
//! simulation in virtual time, and a unit test without any stack.

use crate::base::time::{Duration, Instant};
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

/// Completes at a moment.
pub type Alarm = Pin<Box<dyn Future<Output = ()>>>;

/// A source of time.
pub trait Clock {
    /// The time since the clock's own origin; it never goes back.
    fn now(&self) -> Instant;
    /// Completes when `deadline` has come.
    fn sleep_until(&self, deadline: Instant) -> Alarm;
    /// The calendar time, since 1970-01-01 UTC.
    fn unix_time(&self) -> Duration;

    /// Completes after `time`.
    fn sleep(&self, time: Duration) -> Alarm {
        self.sleep_until(self.now() + time)
    }
}

/// The time allowed was over first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Late;

/// How long nothing may happen, for a task that waits again and again.
///
/// The alarm is not moved each time that something happens, which would cost more than what happened: when it goes
/// off too early, it is set again.
pub struct Patience<'a> {
    clock: &'a dyn Clock,
    since: Instant,
    alarm: Option<Alarm>,
    /// When the alarm goes off.
    due: Instant,
    /// Whom the alarm wakes, which is the same task again and again: it need not be told each time. The alarm keeps
    /// the waker alive, so that no other has its place.
    wakes: *const (),
}

impl<'a> Patience<'a> {
    /// Begins now.
    pub fn new(clock: &'a dyn Clock) -> Self {
        Patience { clock, since: clock.now(), alarm: None, due: Instant::ZERO, wakes: std::ptr::null() }
    }

    /// Gives what was polled for if it is there, and [`Late`] if nothing was for `time`.
    pub fn poll<T>(&mut self, cx: &mut Context<'_>, time: Duration, polled: Poll<T>) -> Poll<Result<T, Late>> {
        if let Poll::Ready(result) = polled {
            self.since = self.clock.now();
            return Poll::Ready(Ok(result));
        }
        loop {
            let now = self.clock.now();
            if now < self.due && self.wakes == cx.waker().data() && !self.wakes.is_null() {
                return Poll::Pending;
            }
            let deadline = self.since + time;
            let alarm = self.alarm.get_or_insert_with(|| {
                self.due = deadline;
                self.clock.sleep_until(deadline)
            });
            self.wakes = cx.waker().data();
            ready!(alarm.as_mut().poll(cx));
            (self.alarm, self.due) = (None, Instant::ZERO);
            if now >= deadline {
                return Poll::Ready(Err(Late));
            }
        }
    }
}

/// Waits for `future`, but no longer than `time`. The future goes first when both are ready.
pub async fn within<F: Future>(clock: &dyn Clock, time: Duration, future: F) -> Result<F::Output, Late> {
    match select(pin!(future), clock.sleep(time)).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(((), _)) => Err(Late),
    }
}
