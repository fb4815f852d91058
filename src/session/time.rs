//! Waiting: futures that end at a moment of the stack's time.

use crate::base::time::Instant;
use crate::session::net::Net;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The tasks that wait for a moment, in its order.
#[derive(Default)]
pub(crate) struct Sleepers {
    waiting: BTreeMap<(Instant, u64), Waker>,
    next_id: u64,
}

impl Sleepers {
    fn register(&mut self, deadline: Instant, id: Option<u64>, waker: &Waker) -> u64 {
        let id = id.unwrap_or_else(|| {
            self.next_id += 1;
            self.next_id
        });
        let slot = self.waiting.entry((deadline, id)).or_insert_with(|| waker.clone());
        slot.clone_from(waker);
        id
    }

    fn cancel(&mut self, deadline: Instant, id: u64) {
        self.waiting.remove(&(deadline, id));
    }

    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Waker> {
        let later = self.waiting.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.waiting, later).into_values().collect()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(deadline, _)| *deadline)
    }
}

/// Ends at its deadline. Made by [`Net::sleep`] and [`Net::sleep_until`].
#[derive(Debug)]
pub struct Sleep {
    net: Net,
    deadline: Instant,
    id: Option<u64>,
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
            self.net.sleepers(|sleepers| sleepers.cancel(self.deadline, id));
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
        let id = self.net.sleepers(|sleepers| sleepers.register(self.deadline, self.id, cx.waker()));
        self.id = Some(id);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}
