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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::snapshot::Count;
    use mio::{Events, Poll, Token};

    fn seen(count: u64) -> Snapshot {
        Snapshot { counters: vec![Count { name: "seen", count, meaning: "" }], ..Snapshot::default() }
    }

    #[test]
    fn a_reader_sees_all_threads_and_asks_for_news_of_those_whose_are_old() {
        let mut poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let board = Board::new(vec![Arc::clone(&waker), waker]);
        let at = |millis| Instant::from_secs(1) + Duration::from_millis(millis);
        let mut is_woken = || {
            let mut events = Events::with_capacity(4);
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            !events.is_empty()
        };
        board.put_up(1, seen(5), at(0));
        assert_eq!(board.read(0, seen(1), at(500)).counters[0].count, 6);
        assert!(!board.is_wanted(1) && !is_woken(), "half a second is new enough");
        assert_eq!(board.read(0, seen(2), at(501)).counters[0].count, 7, "what was there is shown meanwhile");
        assert!(is_woken());
        board.read(0, seen(2), at(502));
        assert!(!is_woken(), "it was asked already");
        assert!(board.is_wanted(1) && !board.is_wanted(1));
        board.put_up(1, seen(9), at(503));
        assert_eq!(board.read(0, seen(2), at(504)).counters[0].count, 11);
    }
}
