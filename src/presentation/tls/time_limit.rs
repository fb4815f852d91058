//! How long something may take: an alarm that goes with what it is about.

use crate::base::time::{Duration, Instant};
use crate::session::clock::{AlarmId, Clock};
use std::rc::Rc;
use std::task::{Context, Poll};

/// A moment by which something must be done.
pub(super) struct TimeLimit {
    clock: Rc<dyn Clock>,
    at: Instant,
    alarm: Option<AlarmId>,
}

impl TimeLimit {
    /// From now on so long.
    pub(super) fn new(clock: &Rc<dyn Clock>, time: Duration) -> Self {
        TimeLimit { clock: Rc::clone(clock), at: clock.now() + time, alarm: None }
    }

    /// Ready when the time is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() >= self.at {
            return Poll::Ready(());
        }
        match self.alarm {
            Some(alarm) => self.clock.hand_over(alarm, cx.waker()),
            None => self.alarm = Some(self.clock.set_alarm(self.at, cx.waker())),
        }
        Poll::Pending
    }
}

impl Drop for TimeLimit {
    fn drop(&mut self) {
        self.alarm.into_iter().for_each(|alarm| self.clock.cancel(alarm));
    }
}
