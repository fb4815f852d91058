//! What the machine holds of all answers on a connection, and those who wait until it holds less.
//!
//! A piece is given to the machine when its stream's window has room for it, so that only a slow connection keeps it
//! there, and never a stream whose window is shut. Without a bound for all of them, a hundred streams with open windows
//! would each have a piece there.

use crate::base::limits::HTTP2_UNSENT;
use bytes::{Buf, Bytes};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Octets that the machine holds.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    octets: Cell<usize>,
    waiting: RefCell<VecDeque<Waker>>,
}

impl Outbox {
    /// Waits until there is room, in the order of coming.
    pub(super) async fn room(&self) {
        poll_fn(|cx| {
            if self.octets.get() < HTTP2_UNSENT {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push_back(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Some of it is gone. Who is woken may have been given up, so that there must be one more each time, and all of
    /// them when there is nothing left that could wake them.
    fn on_gone(&self, octets: usize, is_whole: bool) {
        self.octets.set(self.octets.get().saturating_sub(octets));
        let mut waiting = self.waiting.borrow_mut();
        if self.octets.get() == 0 {
            waiting.drain(..).for_each(Waker::wake);
        } else if is_whole && self.octets.get() < HTTP2_UNSENT {
            waiting.pop_front().into_iter().for_each(Waker::wake);
        }
    }
}

/// A piece of an answer's body, as long as the machine holds it.
#[derive(Debug)]
pub(super) struct Piece {
    octets: Bytes,
    outbox: Rc<Outbox>,
}

impl Piece {
    /// Goes into the outbox.
    pub(super) fn new(octets: Bytes, outbox: &Rc<Outbox>) -> Self {
        outbox.octets.set(outbox.octets.get() + octets.len());
        Piece { octets, outbox: Rc::clone(outbox) }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.octets.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.octets
    }

    fn advance(&mut self, octets: usize) {
        self.octets.advance(octets);
        self.outbox.on_gone(octets, false);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.outbox.on_gone(self.octets.len(), true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::testing::Bench;

    fn piece(octets: usize, outbox: &Rc<Outbox>) -> Piece {
        Piece::new(vec![0; octets].into(), outbox)
    }

    #[test]
    fn who_finds_it_full_waits_until_a_piece_is_gone() {
        let (mut bench, outbox) = (Bench::default(), Rc::new(Outbox::default()));
        let (mut first, second) = (piece(HTTP2_UNSENT, &outbox), piece(10, &outbox));
        let wait = || {
            let outbox = Rc::clone(&outbox);
            async move { outbox.room().await }
        };
        let (one, other) = (bench.spawn(wait()), bench.spawn(wait()));
        first.advance(10);
        drop(second);
        bench.run();
        assert_eq!((one.borrow().is_some(), other.borrow().is_some()), (true, false));
        first.advance(HTTP2_UNSENT - 10);
        bench.run();
        assert!(other.borrow().is_some() && outbox.octets.get() == 0);
    }
}
