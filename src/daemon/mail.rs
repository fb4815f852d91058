//! The mail between the threads of the queues: what the stack of one tells the stacks of others.
//!
//! ```text
//!   stack 0 ──poll_message──► Mailbox::send ──bounded──► Mailbox::receive ──► stack 1
//!                                            └─ once a turn: waker ─┘
//! ```
//!
//! A thread never waits for another: a box that is full refuses, and who sent it counts the loss.

use crate::base::limits;
use crate::stack::siblings::{Message, Place, To};
use mio::Waker;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Where the messages for one thread are put.
#[derive(Debug)]
struct Slot {
    messages: SyncSender<Message>,
    waker: Arc<Waker>,
}

/// One thread's end of the mail.
#[derive(Debug)]
pub struct Mailbox {
    place: Place,
    inbox: Receiver<Message>,
    slots: Arc<[Slot]>,
    /// Who was sent something since the last [`Mailbox::wake`].
    to_wake: Vec<bool>,
}

impl Mailbox {
    /// A mailbox for each thread, whose wakers are given in order.
    pub fn for_all(wakers: Vec<Arc<Waker>>) -> Vec<Mailbox> {
        let count = wakers.len();
        let (slots, inboxes): (Vec<Slot>, Vec<_>) = wakers
            .into_iter()
            .map(|waker| {
                let (messages, inbox) = sync_channel(limits::SIBLING_MESSAGES);
                (Slot { messages, waker }, inbox)
            })
            .unzip();
        let slots: Arc<[Slot]> = slots.into();
        let mailbox = |(index, inbox)| Mailbox {
            place: Place { index, count: count as u16 },
            inbox,
            slots: Arc::clone(&slots),
            to_wake: vec![false; count],
        };
        (0..).zip(inboxes).map(mailbox).collect()
    }

    /// Which thread's it is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Puts a message into the boxes it goes to, and says how many of them were full.
    pub fn send(&mut self, to: To, message: &Message) -> usize {
        let own = usize::from(self.place.index);
        let is_meant = |index: usize| match to {
            To::One(one) => index == usize::from(one),
            To::Others => index != own,
        };
        let mut refused = 0;
        for ((index, slot), must_wake) in self.slots.iter().enumerate().zip(&mut self.to_wake) {
            if !is_meant(index) {
                continue;
            }
            match slot.messages.try_send(message.clone()) {
                Ok(()) => *must_wake = true,
                Err(_) => refused += 1,
            }
        }
        refused
    }

    /// Gets everyone out of their wait who was sent something.
    pub fn wake(&mut self) {
        for (slot, must_wake) in self.slots.iter().zip(&mut self.to_wake) {
            if std::mem::take(must_wake) {
                // It only fails when the pipe is full, and then the loop is about to wake up anyway.
                let _ = slot.waker.wake();
            }
        }
    }

    /// The next message for this thread.
    pub fn receive(&mut self) -> Option<Message> {
        self.inbox.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::show;
    use crate::stack::Stack;
    use crate::stack::config::Config;
    use mio::{Poll, Token};

    /// Wakers with the polls that they need, which are kept so that they work.
    fn wakers(count: usize) -> (Vec<Poll>, Vec<Arc<Waker>>) {
        let waker = |_| {
            let poll = Poll::new().unwrap();
            let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
            (poll, waker)
        };
        (0..count).map(waker).unzip()
    }

    fn is_woken(poll: &mut Poll) -> bool {
        let mut events = mio::Events::with_capacity(4);
        poll.poll(&mut events, Some(std::time::Duration::ZERO)).unwrap();
        !events.is_empty()
    }

    fn message() -> Message {
        Message::path_mtu([192, 0, 2, 1].into(), 1000)
    }

    #[test]
    fn a_message_reaches_whom_it_is_for_and_wakes_them_once_a_turn() {
        let (mut polls, wakers) = wakers(3);
        let mut boxes = Mailbox::for_all(wakers);
        assert_eq!(boxes[0].send(To::Others, &message()), 0);
        assert_eq!(boxes[0].send(To::One(2), &message()), 0);
        assert!(!polls.iter_mut().any(is_woken), "not before the turn is over");
        boxes[0].wake();
        let woken: Vec<bool> = polls.iter_mut().map(is_woken).collect();
        assert_eq!(woken, [false, true, true]);
        let received: Vec<usize> =
            boxes.iter_mut().map(|mailbox| std::iter::from_fn(|| mailbox.receive()).count()).collect();
        assert_eq!(received, [0, 1, 2]);
        boxes[0].wake();
        assert!(!polls.iter_mut().any(is_woken));
    }

    #[test]
    fn a_full_box_refuses_and_the_others_do_not_wait_for_it() {
        let (_polls, wakers) = wakers(3);
        let mut boxes = Mailbox::for_all(wakers);
        for _ in 0..limits::SIBLING_MESSAGES {
            assert_eq!(boxes[0].send(To::One(1), &message()), 0);
        }
        assert_eq!(boxes[0].send(To::Others, &message()), 1);
        assert!(boxes[2].receive().is_some());
        let mut stack = Stack::new(Config::default(), crate::base::random::Random::from_seed(1));
        stack.on_message_lost();
        assert_eq!(show::part(&stack, "lost").unwrap().lost[0].name, "sibling-busy");
    }
}
