//! The time as an application sees it: what time it is, and to be woken later.
//!
//! Applications are written against this trait, so that the daemon runs them on the stack's own time, a
//! simulation in virtual time, and a unit test without any stack.

use crate::base::time::{Duration, Instant};
use futures_util::future::{Either, select};
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// The name of an alarm that was set: four octets, so that a connection that waits pays no more than that for it.
/// Whoever has it cancels it once, also after it rang.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlarmId(pub(crate) NonZeroU32);

/// A source of time.
pub trait Clock {
    /// The time since the clock's own origin; it never goes back.
    fn now(&self) -> Instant;
    /// The calendar time, since 1970-01-01 UTC.
    fn unix_time(&self) -> Duration;
    /// Wakes `waker` when `deadline` has come.
    fn set_alarm(&self, deadline: Instant, waker: &Waker) -> AlarmId;
    /// Wakes `waker` instead of the one before; nothing, if that was woken already.
    fn hand_over(&self, alarm: AlarmId, waker: &Waker);
    /// Ends an alarm.
    fn cancel(&self, alarm: AlarmId);
}

impl dyn Clock + '_ {
    /// Completes when `deadline` has come.
    pub fn sleep_until(&self, deadline: Instant) -> Alarm<'_> {
        Alarm { clock: self, deadline, id: None }
    }

    /// Completes after `time`.
    pub fn sleep(&self, time: Duration) -> Alarm<'_> {
        self.sleep_until(self.now() + time)
    }
}

/// Completes at a moment. See [`Clock`].
pub struct Alarm<'a> {
    clock: &'a dyn Clock,
    deadline: Instant,
    id: Option<AlarmId>,
}

impl Future for Alarm<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() >= self.deadline {
            return Poll::Ready(());
        }
        match self.id {
            Some(id) => self.clock.hand_over(id, cx.waker()),
            None => self.id = Some(self.clock.set_alarm(self.deadline, cx.waker())),
        }
        Poll::Pending
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.id.into_iter().for_each(|id| self.clock.cancel(id));
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
    alarm: Option<AlarmId>,
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
            match self.alarm {
                Some(alarm) if now >= self.due => {
                    self.clock.cancel(alarm);
                    self.alarm = None;
                }
                Some(alarm) => {
                    self.clock.hand_over(alarm, cx.waker());
                    self.wakes = cx.waker().data();
                    return Poll::Pending;
                }
                None if now >= deadline => return Poll::Ready(Err(Late)),
                None => {
                    self.alarm = Some(self.clock.set_alarm(deadline, cx.waker()));
                    (self.due, self.wakes) = (deadline, cx.waker().data());
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        self.alarm.into_iter().for_each(|alarm| self.clock.cancel(alarm));
    }
}

/// Waits for `future`, but no longer than `time`. The future goes first when both are ready.
pub async fn within<F: Future>(clock: &dyn Clock, time: Duration, future: F) -> Result<F::Output, Late> {
    match select(pin!(future), clock.sleep(time)).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(((), _)) => Err(Late),
    }
}
