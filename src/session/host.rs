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
use crate::session::net::{Net, Spawned};
use crate::session::tasks::Tasks;
use crate::stack::Stack;
use crate::stack::siblings::Message;
use smallvec::SmallVec;
use std::future::Future;
use std::rc::Rc;
use std::task::{Context, Waker};

/// How often tasks may answer each other through the stack before the frames get their turn again.
const ROUNDS: usize = 16;

/// How many frames are looked ahead at together.
const FORESIGHT: usize = 64;

/// A stack with its tasks.
pub struct Host {
    net: Net,
    tasks: Tasks<dyn Future<Output = ()>>,
    /// Started, and not among the tasks yet.
    spawned: Rc<Spawned>,
}

impl Host {
    /// A host without tasks. `unix_origin` is the wall-clock time, since the Unix epoch, of
    /// [`Instant::ZERO`].
    pub fn new(stack: Stack, unix_origin: Duration) -> Self {
        let spawned = Rc::default();
        let net = Net::new(stack, Rc::downgrade(&spawned), unix_origin);
        Host { net, tasks: Tasks::default(), spawned }
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
            // The wakers first: they are few lines, and would wait behind the many of the connections.
            self.net.wakers(|wakers| wakers.foresee(&foreseen));
            self.net.with_stack(|stack| stack.foresee_connections(&foreseen, now));
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
            self.run_tasks();
            if !self.net.has_events() {
                break;
            }
        }
    }

    /// Polls tasks until all of them wait for something. Who wakes one from another thread tells the driver as well, so
    /// that nobody needs to be told here.
    fn run_tasks(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            self.spawned.take().into_iter().for_each(|task| self.tasks.push(task));
            while self.tasks.poll_ended(&mut cx).is_ready() {}
            if self.spawned.borrow().is_empty() && !self.tasks.has_woken() {
                return;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::stack::config::Config;
    use std::cell::Cell;
    use std::future::pending;

    fn host() -> Host {
        Host::new(Stack::new(Config::default(), Random::from_seed(1)), Duration::ZERO)
    }

    #[test]
    fn a_task_that_is_started_by_another_runs_in_the_same_turn() {
        let (mut host, ran) = (host(), Rc::new(Cell::new(false)));
        let (net, flag) = (host.net().clone(), ran.clone());
        host.net().spawn(async move { net.spawn(async move { flag.set(true) }) });
        host.run(Instant::from_secs(1));
        assert!(ran.get());
        assert_eq!(host.tasks.len(), 0);
    }

    #[test]
    fn tasks_go_with_the_host_also_those_that_never_ran_or_come_too_late() {
        let (mut host, held) = (host(), Rc::new(()));
        let net = host.net().clone();
        let task = |held: Rc<()>, net: Net| async move {
            pending::<()>().await;
            drop((held, net));
        };
        net.spawn(task(held.clone(), net.clone()));
        host.run(Instant::from_secs(1));
        net.spawn(task(held.clone(), net.clone()));
        assert_eq!(Rc::strong_count(&held), 3);
        drop(host);
        assert_eq!(Rc::strong_count(&held), 1);
        net.spawn(task(held.clone(), net.clone()));
        assert_eq!(Rc::strong_count(&held), 1);
    }
}
