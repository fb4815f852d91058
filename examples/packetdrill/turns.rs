//! Whose turn it is, and how time passes.
//!
//! packetdrill makes blocking calls on a thread of their own and goes on with the script on its main thread: that
//! one's `usleep` and `netdev_receive` move the clock. A blocked call sleeps until something happens and tries
//! again; the clock does not go on before it has. What it sees, and what it does, so happens at the moment that
//! made it possible.
//!
//! ```text
//!   main thread:   usleep ── turn ── turn ────────────── turn ── ...
//!                              │       └─ wait for it ──┐
//!   blocked call:  ······ try again: no ····· try again: yes, return
//! ```
//!
//! Where nobody moves the clock, because the main thread waits for the call to end, the blocked call does so itself
//! once nothing was asked of the object for a while. That is the only place where the machine's clock matters.

use crate::errno::Errno;
use crate::files::Files;
use crate::stop;
use crate::world::{Sent, World};
use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tapstack::base::time::Instant;

/// How long a blocked call waits for somebody else to move the clock. packetdrill gives up after one second.
const GRACE: Duration = Duration::from_millis(500);
/// From one turn that it takes itself to the next: time for the main thread to say that it is there after all.
const PAUSE: Duration = Duration::from_millis(1);
/// How long a turn waits for those who are blocked to look at what it did.
const ATTENTION: Duration = Duration::from_secs(10);
/// How much the clock goes on whenever it is read: packetdrill spins on it for the last microseconds before an event.
const TICK: Duration = Duration::from_micros(1);

thread_local! {
    /// When this thread's last blocked call could return: what the clock says to it until its next call.
    static RETURNED_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The host, its descriptors, and who waits for it.
pub(crate) struct Shared {
    pub(crate) world: World,
    pub(crate) files: Files,
    /// The time of the call that tries is up.
    pub(crate) is_late: bool,
    /// Calls so far: a sign that somebody else is at work.
    calls: u64,
    /// Turns so far that may have let a blocked call return.
    turns: u64,
    /// Blocked calls, each with the turn it has seen.
    blocked: Vec<(u64, u64)>,
    next_blocked: u64,
}

/// What the interface's `userdata` points to.
pub(crate) struct Object {
    shared: Mutex<Trusted>,
    /// There was a turn.
    turned: Condvar,
    /// Somebody blocked has looked at it.
    looked: Condvar,
}

/// What is in the mutex.
struct Trusted(Shared);

// SAFETY: the stack has reference counts that are not atomic. All of them are inside of `Shared`, which is private to
// the mutex: no call lets a reference out, since results are copied. So only the thread that holds the lock touches
// them, and the lock orders one after the other.
unsafe impl Send for Trusted {}

type Guard<'a> = MutexGuard<'a, Trusted>;

impl Shared {
    /// Tries, and lets leave what came of it.
    fn attempt<R>(&mut self, late: Option<Instant>, attempt: &mut impl FnMut(&mut Shared) -> Option<R>) -> Option<R> {
        self.is_late = late.is_some_and(|late| late <= self.world.now);
        let result = attempt(self);
        self.world.drain();
        result
    }
}

impl Object {
    pub(crate) fn new(world: World) -> Self {
        let shared = Shared {
            world,
            files: Files::default(),
            is_late: false,
            calls: 0,
            turns: 0,
            blocked: Vec::new(),
            next_blocked: 0,
        };
        Object { shared: Mutex::new(Trusted(shared)), turned: Condvar::new(), looked: Condvar::new() }
    }

    fn enter(&self) -> Guard<'_> {
        RETURNED_AT.set(None);
        let mut guard = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        guard.0.calls += 1;
        guard
    }

    /// A call that does not block.
    pub(crate) fn call<R>(&self, f: impl FnOnce(&mut Shared) -> R) -> R {
        let mut guard = self.enter();
        let result = f(&mut guard.0);
        guard.0.world.drain();
        drop(self.let_others_look(guard));
        result
    }

    /// A call that blocks until `attempt` gives something, which it does at the latest when it is told that it is late.
    pub(crate) fn wait<R>(
        &self,
        what: &str,
        timeout: Option<Duration>,
        mut attempt: impl FnMut(&mut Shared) -> Option<R>,
    ) -> R {
        let mut guard = self.enter();
        let patience = guard.0.world.flags.patience;
        let late = timeout.map(|timeout| guard.0.world.now + timeout);
        let limit = late.unwrap_or(guard.0.world.now + patience);
        if let Some(result) = guard.0.attempt(late, &mut attempt) {
            drop(self.let_others_look(guard));
            return result;
        }
        let me = guard.0.next_blocked;
        guard.0.next_blocked += 1;
        guard.0.world.alarms.extend(late.map(|late| (me, late)));
        let mut seen = guard.0.turns;
        guard.0.blocked.push((me, seen));
        let (mut calls, mut grace) = (guard.0.calls, GRACE);
        loop {
            let (back, pause) = self.turned.wait_timeout(guard, grace).unwrap_or_else(PoisonError::into_inner);
            guard = back;
            if guard.0.turns == seen {
                let is_alone = pause.timed_out() && guard.0.calls == calls;
                calls = guard.0.calls;
                grace = if is_alone { PAUSE } else { GRACE };
                if !is_alone {
                    continue;
                }
                if !guard.0.world.turn(limit) && late.is_none() {
                    stop(&format!("{what} blocks for {patience:?} of virtual time"));
                }
                guard.0.turns += 1;
                self.turned.notify_all();
            }
            seen = guard.0.turns;
            let result = guard.0.attempt(late, &mut attempt);
            if let Some(entry) = guard.0.blocked.iter_mut().find(|(id, _)| *id == me) {
                entry.1 = seen;
            }
            self.looked.notify_all();
            if let Some(result) = result {
                guard.0.blocked.retain(|(id, _)| *id != me);
                guard.0.world.alarms.remove(&me);
                RETURNED_AT.set(Some(guard.0.world.now));
                return result;
            }
        }
    }

    /// Those who are blocked look whether they can return before anything else happens.
    fn let_others_look<'a>(&'a self, mut guard: Guard<'a>) -> Guard<'a> {
        if guard.0.blocked.is_empty() {
            return guard;
        }
        guard.0.turns += 1;
        self.turned.notify_all();
        while guard.0.blocked.iter().any(|(_, seen)| *seen != guard.0.turns) {
            let (back, pause) = self.looked.wait_timeout(guard, ATTENTION).unwrap_or_else(PoisonError::into_inner);
            guard = back;
            if pause.timed_out() {
                stop("a blocked call does not look at what has changed");
            }
        }
        guard
    }

    /// An IP packet arrives.
    pub(crate) fn netdev_send(&self, packet: &[u8]) -> Result<(), Errno> {
        self.call(|shared| shared.world.inject(packet))
    }

    /// The next packet that leaves, however long that takes.
    pub(crate) fn netdev_receive(&self) -> Sent {
        let mut guard = self.enter();
        let patience = guard.0.world.flags.patience;
        let limit = guard.0.world.now + patience;
        loop {
            if let Some(sent) = guard.0.world.next_sent() {
                return sent;
            }
            if !guard.0.world.turn(limit) {
                let why = if guard.0.world.deadline().is_some() { "wants" } else { "will ever want" };
                stop(&format!("a packet is waited for, and the stack {why} to send none for {patience:?}"));
            }
            guard = self.let_others_look(guard);
        }
    }

    /// The clock goes on by `duration`.
    pub(crate) fn sleep(&self, duration: Duration) {
        let mut guard = self.enter();
        let limit = guard.0.world.now + duration;
        while guard.0.world.turn(limit) {
            guard = self.let_others_look(guard);
        }
    }

    /// What the clock says. For a thread whose call was blocked: when it could return.
    pub(crate) fn time(&self) -> Instant {
        if let Some(at) = RETURNED_AT.get() {
            return at;
        }
        let mut guard = self.enter();
        let limit = guard.0.world.now + TICK;
        while guard.0.world.turn(limit) {
            guard = self.let_others_look(guard);
        }
        limit
    }
}
