//! The handle on one stack that every task holds: time, tasks and the way to the sockets.

use crate::base::time::{Duration, Instant};
use crate::session::clock::{AlarmId, Clock};
use crate::session::sleepers::Sleepers;
use crate::session::time::Sleep;
use crate::session::wakers::Wakers;
use crate::stack::Stack;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::Waker;

/// Tasks that wait for the executor.
pub(crate) type Spawned = RefCell<Vec<Pin<Box<dyn Future<Output = ()>>>>>;

struct Inner {
    stack: RefCell<Stack>,
    wakers: RefCell<Wakers>,
    sleepers: RefCell<Sleepers>,
    /// The host's: with it go the tasks, which hold this handle.
    spawned: Weak<Spawned>,
    now: Cell<Instant>,
    unix_origin: Duration,
}

/// A handle on one stack. Cheap to clone, for one thread only.
#[derive(Clone)]
pub struct Net(Rc<Inner>);

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net").field("now", &self.now()).finish_non_exhaustive()
    }
}

impl Net {
    pub(crate) fn new(stack: Stack, spawned: Weak<Spawned>, unix_origin: Duration) -> Self {
        Net(Rc::new(Inner {
            stack: RefCell::new(stack),
            wakers: RefCell::default(),
            sleepers: RefCell::default(),
            spawned,
            now: Cell::new(Instant::ZERO),
            unix_origin,
        }))
    }

    /// The time of the turn that is running.
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// The wall-clock time of the turn that is running, since the Unix epoch.
    pub fn unix_time(&self) -> Duration {
        self.0.unix_origin + self.now().since(Instant::ZERO)
    }

    /// Ends after `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }

    /// Ends at `deadline`.
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::new(self.clone(), deadline)
    }

    /// Starts a task. It runs until it ends or the host is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        // Without a host no task runs any more.
        if let Some(spawned) = self.0.spawned.upgrade() {
            spawned.borrow_mut().push(Box::pin(task));
        }
    }

    /// Calls the stack. Not to be nested: `f` must not use this handle.
    pub fn with_stack<R>(&self, f: impl FnOnce(&mut Stack) -> R) -> R {
        f(&mut self.0.stack.borrow_mut())
    }

    pub(crate) fn wakers<R>(&self, f: impl FnOnce(&mut Wakers) -> R) -> R {
        f(&mut self.0.wakers.borrow_mut())
    }

    pub(crate) fn sleepers<R>(&self, f: impl FnOnce(&mut Sleepers) -> R) -> R {
        f(&mut self.0.sleepers.borrow_mut())
    }

    pub(crate) fn advance(&self, now: Instant) {
        self.0.now.set(self.now().max(now));
    }

    pub(crate) fn expire_sleepers(&self) {
        let due = self.sleepers(|sleepers| sleepers.expire(self.now()));
        due.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn next_sleeper(&self) -> Option<Instant> {
        self.sleepers(|sleepers| sleepers.next())
    }

    pub(crate) fn has_events(&self) -> bool {
        self.with_stack(|stack| stack.has_events())
    }

    /// Turns the stack's events into wake-ups. The wakers are called with nothing borrowed.
    pub(crate) fn dispatch_events(&self) {
        while let Some(event) = self.with_stack(|stack| stack.poll_event()) {
            let woken = self.wakers(|wakers| wakers.take(event));
            woken.into_iter().for_each(Waker::wake);
        }
    }
}

impl Clock for Net {
    fn now(&self) -> Instant {
        Net::now(self)
    }

    fn unix_time(&self) -> Duration {
        Net::unix_time(self)
    }

    fn set_alarm(&self, deadline: Instant, waker: &Waker) -> AlarmId {
        self.sleepers(|sleepers| sleepers.add(deadline, waker))
    }

    fn hand_over(&self, alarm: AlarmId, waker: &Waker) {
        self.sleepers(|sleepers| sleepers.replace(alarm, waker));
    }

    fn cancel(&self, alarm: AlarmId) {
        self.sleepers(|sleepers| sleepers.cancel(alarm));
    }
}
