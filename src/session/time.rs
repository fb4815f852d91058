//! Waiting: futures that end at a moment of the stack's time.

use crate::base::time::Instant;
use crate::session::clock::AlarmId;
use crate::session::net::Net;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Ends at its deadline. Made by [`Net::sleep`] and [`Net::sleep_until`].
#[derive(Debug)]
pub struct Sleep {
    net: Net,
    deadline: Instant,
    id: Option<AlarmId>,
}

impl Sleep {
    pub(crate) fn new(net: Net, deadline: Instant) -> Self {
        Sleep { net, deadline, id: None }
    }

    /// When it ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits for another moment instead.
    pub fn reset(&mut self, deadline: Instant) {
        self.cancel();
        self.deadline = deadline;
    }

    fn cancel(&mut self) {
        if let Some(id) = self.id.take() {
            self.net.sleepers(|sleepers| sleepers.cancel(id));
        }
    }
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.net.now() >= self.deadline {
            self.cancel();
            return Poll::Ready(());
        }
        match self.id {
            Some(id) => self.net.sleepers(|sleepers| sleepers.replace(id, cx.waker())),
            None => self.id = Some(self.net.sleepers(|sleepers| sleepers.add(self.deadline, cx.waker()))),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}
