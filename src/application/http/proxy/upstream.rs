//! One upstream: how many connections it has, which of them wait for another request, and whether it works.
//!
//! ```text
//!   connect ──► a request ──► its answer ──► waits ──► another request
//!                  │ failed                    └──► closed: by the upstream, after `keep_time`, or as one too many
//!                  └──► so many failures within `out_time`: asked last for `out_time`
//! ```

use super::link::{Link, Trouble};
use super::path::To;
use super::{Dial, Settings};
use crate::base::time::Instant;
use crate::session::clock::{Clock, within};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

/// How well an upstream works.
#[derive(Clone, Copy, Default)]
struct Health {
    failures: u32,
    /// When the first of them was.
    since: Instant,
    /// Until when it is asked last.
    out_until: Instant,
}

/// One upstream.
pub(super) struct Upstream {
    pub(super) to: To,
    settings: Rc<Settings>,
    clock: Rc<dyn Clock>,
    dial: Dial,
    open: Rc<Cell<u32>>,
    health: Cell<Health>,
    /// Connections that wait, each with when it has waited long enough; the one that waits the longest first.
    waiting: RefCell<VecDeque<(Link, Instant)>>,
    /// Who looks after them.
    keeper: RefCell<Option<Waker>>,
    is_closed: Cell<bool>,
}

/// Counts a connection.
pub(super) struct Place(Rc<Cell<u32>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Upstream {
    pub(super) fn new(to: To, settings: Rc<Settings>, clock: Rc<dyn Clock>, dial: Dial) -> Self {
        Upstream {
            to,
            settings,
            clock,
            dial,
            open: Rc::default(),
            health: Cell::default(),
            waiting: RefCell::default(),
            keeper: RefCell::default(),
            is_closed: Cell::default(),
        }
    }

    /// A connection that waited for this, if there is one.
    pub(super) fn waiting(&self) -> Option<Link> {
        loop {
            // The one that was used last is the least likely to be closed.
            let (mut link, until) = self.waiting.borrow_mut().pop_back()?;
            if until > self.clock.now() && link.begin() {
                return Some(link);
            }
        }
    }

    /// A new connection.
    pub(super) async fn connect(self: &Rc<Self>) -> Result<Link, Trouble> {
        if self.open.get() >= self.settings.connections {
            // One that waits makes room.
            let oldest = self.waiting.borrow_mut().pop_front();
            drop(oldest.ok_or(Trouble::Full)?);
        }
        self.open.set(self.open.get() + 1);
        let place = Place(Rc::clone(&self.open));
        let connected = within(&*self.clock, self.settings.connect_timeout, (self.dial)(self.to.address)).await;
        match connected {
            Ok(Ok(connection)) => Ok(Link::new(connection, place, Rc::clone(self), Rc::clone(&self.clock))),
            Ok(Err(error)) => Err(Trouble::Unreachable(error)),
            Err(_) => Err(Trouble::Late("can't be reached in time")),
        }
    }

    /// Takes a connection that can have another request.
    pub(super) fn keep(&self, link: Link) {
        if self.is_closed.get() || self.settings.kept == 0 {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        let one_too_many = if waiting.len() >= self.settings.kept { waiting.pop_front() } else { None };
        waiting.push_back((link, self.clock.now() + self.settings.keep_time));
        drop(waiting);
        drop(one_too_many);
        if let Some(keeper) = self.keeper.borrow_mut().take() {
            keeper.wake();
        }
    }

    /// Closes those that wait and are of no more use, tells the task of `cx` of the others, and says when to come back.
    pub(super) fn look_after(&self, cx: &mut Context<'_>) -> Option<Instant> {
        *self.keeper.borrow_mut() = Some(cx.waker().clone());
        let now = self.clock.now();
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain_mut(|(link, until)| *until > now && link.poll_is_gone(cx).is_pending());
        waiting.iter().map(|(_, until)| *until).min()
    }

    /// Closes those that wait, and keeps no more.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.waiting.borrow_mut().clear();
    }

    /// It answered.
    pub(super) fn on_answer(&self) {
        self.health.set(Health::default());
    }

    /// It did not.
    pub(super) fn on_failure(&self) {
        let (now, mut health) = (self.clock.now(), self.health.get());
        if health.failures == 0 || now.since(health.since) > self.settings.out_time {
            (health.failures, health.since) = (0, now);
        }
        health.failures += 1;
        if self.settings.failures > 0 && health.failures >= self.settings.failures && self.settings.to.len() > 1 {
            health.out_until = now + self.settings.out_time;
            log::warn!(
                target: "tapstack::http",
                "the upstream {} is asked last for {:?}, after {} failures",
                self.to.address, self.settings.out_time, health.failures
            );
            health.failures = 0;
        }
        self.health.set(health);
    }

    /// It is to be asked last.
    pub(super) fn is_out(&self) -> bool {
        self.health.get().out_until > self.clock.now()
    }
}
