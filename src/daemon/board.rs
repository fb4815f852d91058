//! The board on which each thread puts what there is to show of its stack, for the pages that another serves.
//!
//! A page can't wait for other threads. It shows what the board has of them and asks for news, which are up a moment
//! later; who never looks costs nothing. `tapstack show` is told by the threads themselves ([`crate::daemon::crew`]).

use crate::base::time::{Duration, Instant};
use crate::stack::snapshot::Snapshot;
use mio::Waker;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How old what the board has may get before news are asked for: what looking costs the others is bounded.
const FRESH: Duration = Duration::from_millis(500);

/// One thread's place.
#[derive(Debug)]
struct Slot {
    is_wanted: AtomicBool,
    waker: Arc<Waker>,
    /// Held only to put an `Arc` in or take one out.
    latest: Mutex<(Instant, Arc<Snapshot>)>,
}

/// The board, with a place for each thread.
#[derive(Debug)]
pub struct Board {
    slots: Vec<Slot>,
}

impl Board {
    /// An empty board for the threads whose wakers are given in order.
    pub fn new(wakers: Vec<Arc<Waker>>) -> Self {
        let slot = |waker| Slot { is_wanted: AtomicBool::new(false), waker, latest: Mutex::default() };
        Board { slots: wakers.into_iter().map(slot).collect() }
    }

    /// The state of the whole host: `own` from the thread of queue `index`, the others' as they put it up last.
    pub fn read(&self, index: u16, own: Snapshot, now: Instant) -> Snapshot {
        let mut own = Some(own);
        let part = |(other, slot): (usize, &Slot)| {
            if other == usize::from(index) {
                return own.take().unwrap_or_default();
            }
            let (at, snapshot) = slot.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if now.since(at) > FRESH && !slot.is_wanted.swap(true, Ordering::AcqRel) {
                // It only fails when the pipe is full, and then the loop is about to wake up anyway.
                let _ = slot.waker.wake();
            }
            Snapshot::clone(&snapshot)
        };
        Snapshot::merge(self.slots.iter().enumerate().map(part).collect())
    }

    /// True once if somebody wants news of the thread of queue `index`.
    pub fn is_wanted(&self, index: u16) -> bool {
        self.slots.get(usize::from(index)).is_some_and(|slot| slot.is_wanted.swap(false, Ordering::AcqRel))
    }

    /// Puts up what there is to show of the thread of queue `index`.
    pub fn put_up(&self, index: u16, snapshot: Snapshot, now: Instant) {
        if let Some(slot) = self.slots.get(usize::from(index)) {
            *slot.latest.lock().unwrap_or_else(PoisonError::into_inner) = (now, Arc::new(snapshot));
        }
    }
}
