//! A host that lives: a stack and the tasks that use it, driven by whoever has the clock and the frames.
//!
//! ```text
//!   frames, time --> receive / handle_timeout --> run (tasks) --> poll_transmit --> frames
//!                                                             \-> deadline      --> when to come back
//! ```
//!
//! The daemon's event loop and the simulator drive a `Host` in the same way: hand in what arrived, run,
//! drain what is to be sent, sleep until the deadline. Tasks run on a single-threaded executor; a wake-up
//! may also come from another thread (a password check), and the driver is told by the waker it gave.

use crate::base::drops::Outcome;
use crate::base::time::{Duration, Instant};
use crate::physical::frame::{DeviceId, Frame, OutFrame};
use crate::session::net::Net;
use crate::stack::Stack;
use crate::stack::siblings::Message;
use futures_executor::LocalPool;
use smallvec::SmallVec;

/// How often tasks may answer each other through the stack before the frames get their turn again.
const ROUNDS: usize = 16;

/// How many frames are looked ahead at together.
const FORESIGHT: usize = 64;

/// A stack with its tasks.
pub struct Host {
    net: Net,
    pool: LocalPool,
}

impl Host {
    /// A host without tasks. `unix_origin` is the wall-clock time, since the Unix epoch, of
    /// [`Instant::ZERO`].
    pub fn new(stack: Stack, unix_origin: Duration) -> Self {
        let pool = LocalPool::new();
        let net = Net::new(stack, pool.spawner(), unix_origin);
        Host { net, pool }
    }

    /// The handle that tasks use.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// A frame arrived.
    pub fn receive(&mut self, now: Instant, device: DeviceId, frame: Frame) -> Outcome {
        self.net.advance(now);
        self.net.with_stack(|stack| stack.receive(now, device, frame))
    }

    /// The stack of another queue told this one something.
    pub fn receive_message(&mut self, now: Instant, message: Message) {
        self.net.advance(now);
        self.net.with_stack(|stack| stack.receive_message(now, message));
    }

    /// Frames arrived together. That spares most of the waiting for memory where there are many connections.
    pub fn receive_all(&mut self, now: Instant, device: DeviceId, frames: impl IntoIterator<Item = Frame>) {
        self.net.advance(now);
        let mut frames = frames.into_iter();
        loop {
            let mut batch: SmallVec<[Frame; FORESIGHT]> = frames.by_ref().take(FORESIGHT).collect();
            if batch.is_empty() {
                return;
            }
            let foreseen = self.net.with_stack(|stack| stack.foresee(&batch));
            self.net.wakers(|wakers| wakers.foresee(&foreseen));
            for frame in batch.drain(..) {
                // The stack counts what becomes of it.
                let _ = self.net.with_stack(|stack| stack.receive(now, device, frame));
            }
        }
    }

    /// Runs timers that are due and every task that can go on.
    pub fn run(&mut self, now: Instant) {
        self.net.advance(now);
        self.net.with_stack(|stack| stack.handle_timeout(now));
        self.net.expire_sleepers();
        for _ in 0..ROUNDS {
            self.net.dispatch_events();
            self.pool.run_until_stalled();
            if !self.net.has_events() {
                break;
            }
        }
    }

    /// Gives up the room that tables have for more than they hold: for after a crowd.
    pub fn shrink_to_fit(&mut self) {
        self.net.with_stack(Stack::shrink_to_fit);
        self.net.wakers(|wakers| wakers.shrink_to_fit());
        self.net.sleepers(|sleepers| sleepers.shrink_to_fit());
    }

    /// The next frame to send, built now. Call until `None`, or until the device has no more room.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(DeviceId, OutFrame)> {
        self.net.advance(now);
        self.net.with_stack(|stack| stack.poll_transmit(now))
    }

    /// When to call [`Host::run`] again at the latest, if nothing arrives before. A moment that is not in
    /// the future means at once.
    pub fn deadline(&self) -> Option<Instant> {
        if self.net.has_events() {
            return Some(self.net.now());
        }
        let stack = self.net.with_stack(|stack| stack.deadline());
        match (stack, self.net.next_sleeper()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}
