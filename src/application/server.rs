//! The loop that accepts connections, the same for every service: so many at once, errors to the log, and
//! an end in order.
//!
//! ```text
//!   accept --> conversation --> done         stop asked: accept no more, let conversations end,
//!      ^____ while fewer than `connections`  drop what is left after `grace`
//! ```
//!
//! When all places are taken nothing is accepted: connections wait in the listener's backlog, where they
//! cost the least, and are refused by it when it is full.

use crate::base::time::Duration;
use crate::session::clock::{Clock, within};
pub use crate::session::connection::Connection;
use crate::session::tasks::Tasks;
use futures_util::future::{Either, select};
use slotmap::{DefaultKey, SlotMap};
use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Where connections come from.
pub trait Accept {
    /// A connection.
    type Stream;
    /// The next connection.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>>;
}

/// The bounds of one service.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// How long conversations may go on after the service was told to stop.
    pub grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { connections: 65_536, grace: Duration::from_secs(10) }
    }
}

/// How long nothing is accepted after accepting failed: what failed is likely to fail again at once.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Accepts connections and holds `converse` on each until `shutdown` is asked for and all have ended. The
/// listener goes when it is asked for, so that who knocks then is refused rather than left waiting. `name` is
/// for the log.
pub async fn serve<L, F, C>(
    name: &str,
    listener: L,
    clock: &dyn Clock,
    bounds: Bounds,
    shutdown: &Shutdown,
    mut converse: F,
) where
    L: Accept,
    F: FnMut(L::Stream) -> C,
    C: Future<Output = io::Result<()>>,
{
    let mut conversations = Tasks::default();
    let mut stop = pin!(shutdown.requested());
    loop {
        let next = {
            let full = conversations.len() >= bounds.connections;
            let accept = pin!(async {
                if full {
                    return pending().await;
                }
                listener.accept().await
            });
            let ended = poll_fn(|cx| conversations.poll_ended(cx));
            let event = pin!(select(accept, ended));
            match select(stop.as_mut(), event).await {
                Either::Left(_) => break,
                Either::Right((Either::Left((accepted, _)), _)) => Some(accepted),
                Either::Right((Either::Right((result, _)), _)) => {
                    log_end(name, result);
                    None
                }
            }
        };
        match next {
            Some(Ok(stream)) => conversations.push(Box::pin(converse(stream))),
            Some(Err(error)) => {
                log::debug!(target: "tapstack::server", "{name}: accept failed: {error}");
                clock.sleep(PAUSE_AFTER_ERROR).await;
            }
            None => {}
        }
    }
    drop(listener);
    let drained = within(clock, bounds.grace, async {
        while conversations.len() > 0 {
            log_end(name, poll_fn(|cx| conversations.poll_ended(cx)).await);
        }
    });
    if drained.await.is_err() {
        log::debug!(target: "tapstack::server", "{name}: closing {} connections after the grace period", conversations.len());
    }
}

fn log_end(name: &str, result: io::Result<()>) {
    if let Err(error) = result {
        log::debug!(target: "tapstack::server", "{name}: a connection ended: {error}");
    }
}

#[derive(Default)]
struct Signal {
    is_asked: bool,
    waiting: SlotMap<DefaultKey, Waker>,
}

/// The wish to stop, seen by everyone who has a clone.
#[derive(Clone, Default)]
pub struct Shutdown(Rc<RefCell<Signal>>);

impl Shutdown {
    /// A signal that nobody has given yet.
    pub fn new() -> Self {
        Shutdown::default()
    }

    /// Asks everyone to stop.
    pub fn ask(&self) {
        let waiting = {
            let mut signal = self.0.borrow_mut();
            signal.is_asked = true;
            std::mem::take(&mut signal.waiting)
        };
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Completes when it is asked.
    pub fn requested(&self) -> Requested {
        Requested { signal: Rc::clone(&self.0), place: None }
    }
}

/// See [`Shutdown::requested`].
pub struct Requested {
    signal: Rc<RefCell<Signal>>,
    place: Option<DefaultKey>,
}

impl Requested {
    /// True once it is asked.
    pub fn is_asked(&self) -> bool {
        self.signal.borrow().is_asked
    }
}

impl Future for Requested {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Requested { signal, place } = &mut *self;
        let mut signal = signal.borrow_mut();
        if signal.is_asked {
            return Poll::Ready(());
        }
        match place.and_then(|place| signal.waiting.get_mut(place)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *place = Some(signal.waiting.insert(cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Requested {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.signal.borrow_mut().waiting.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::testing::{Bench, Pipe, pipe};
    use futures_util::{AsyncReadExt, AsyncWriteExt};
    use std::cell::Cell;
    use std::collections::VecDeque;
    use std::future::poll_fn;

    #[derive(Default)]
    struct Door {
        waiting: RefCell<VecDeque<io::Result<Pipe>>>,
        accepter: RefCell<Option<Waker>>,
    }

    impl Door {
        fn knock(&self, who: io::Result<Pipe>) {
            self.waiting.borrow_mut().push_back(who);
            self.accepter.take().into_iter().for_each(Waker::wake);
        }
    }

    impl Accept for Rc<Door> {
        type Stream = Pipe;
        async fn accept(&self) -> io::Result<Pipe> {
            poll_fn(|cx| match self.waiting.borrow_mut().pop_front() {
                Some(who) => Poll::Ready(who),
                None => {
                    *self.accepter.borrow_mut() = Some(cx.waker().clone());
                    Poll::Pending
                }
            })
            .await
        }
    }

    struct House {
        bench: Bench,
        door: Rc<Door>,
        shutdown: Shutdown,
        inside: Rc<Cell<usize>>,
        done: Rc<RefCell<Option<()>>>,
    }

    /// A service that answers each octet with itself and counts who is inside.
    fn house(connections: usize) -> House {
        let mut bench = Bench::default();
        let (door, shutdown, inside) = (Rc::new(Door::default()), Shutdown::new(), Rc::new(Cell::new(0)));
        let (clock, listener, stop, count) = (bench.clock(), door.clone(), shutdown.clone(), inside.clone());
        let done = bench.spawn(async move {
            let bounds = Bounds { connections, grace: Duration::from_secs(5) };
            serve("echo", listener, &*clock, bounds, &stop, |mut stream| {
                let count = count.clone();
                async move {
                    count.set(count.get() + 1);
                    let mut octet = [0];
                    while stream.read(&mut octet).await? > 0 {
                        stream.write_all(&octet).await?;
                    }
                    count.set(count.get() - 1);
                    Ok(())
                }
            })
            .await;
        });
        House { bench, door, shutdown, inside, done }
    }

    #[test]
    fn no_more_connections_are_accepted_than_there_are_places() {
        let mut house = house(2);
        let ends: Vec<Pipe> = (0..4)
            .map(|_| {
                let (ours, theirs) = pipe(64);
                house.door.knock(Ok(theirs));
                ours
            })
            .collect();
        house.bench.run();
        assert_eq!((house.inside.get(), house.door.waiting.borrow().len()), (2, 2));
        ends[2].put("x");
        ends[0].finish();
        house.bench.run();
        assert_eq!((house.inside.get(), house.door.waiting.borrow().len()), (2, 1));
        assert_eq!(ends[2].text(), "x");
    }

    #[test]
    fn a_failed_accept_is_survived_after_a_pause() {
        let mut house = house(2);
        let (ours, theirs) = pipe(64);
        house.door.knock(Err(io::ErrorKind::ConnectionAborted.into()));
        house.door.knock(Ok(theirs));
        ours.put("x");
        house.bench.run();
        assert_eq!(ours.text(), "");
        house.bench.pass(PAUSE_AFTER_ERROR);
        assert_eq!(ours.text(), "x");
    }

    #[test]
    fn told_to_stop_it_accepts_no_more_and_lets_conversations_end() {
        let mut house = house(2);
        let ((ours, theirs), (_late, later)) = (pipe(64), pipe(64));
        house.door.knock(Ok(theirs));
        house.bench.run();
        assert_eq!(Rc::strong_count(&house.door), 2, "the test's and the listener");
        house.shutdown.ask();
        house.bench.run();
        assert_eq!(Rc::strong_count(&house.door), 1, "the listener is gone while a conversation goes on");
        house.door.knock(Ok(later));
        ours.put("x");
        house.bench.run();
        assert_eq!((ours.text().as_str(), house.door.waiting.borrow().len()), ("x", 1));
        assert!(house.done.borrow().is_none());
        ours.finish();
        house.bench.run();
        assert!(house.done.borrow().is_some());
    }

    #[test]
    fn conversations_that_go_on_after_the_grace_period_are_dropped() {
        let mut house = house(2);
        let (ours, theirs) = pipe(64);
        house.door.knock(Ok(theirs));
        house.bench.run();
        house.shutdown.ask();
        house.bench.pass(Duration::from_millis(4_999));
        assert!(!ours.is_closed());
        house.bench.pass(Duration::from_millis(1));
        assert!(ours.is_closed() && house.done.borrow().is_some());
    }

    #[test]
    fn a_wait_for_the_end_that_is_given_up_leaves_nothing_behind() {
        let shutdown = Shutdown::new();
        let mut bench = Bench::default();
        for _ in 0..3 {
            let clock = bench.clock();
            let stop = shutdown.clone();
            bench.spawn(async move { within(&*clock, Duration::from_secs(1), stop.requested()).await });
        }
        assert_eq!(shutdown.0.borrow().waiting.len(), 3);
        bench.pass(Duration::from_secs(1));
        assert_eq!(shutdown.0.borrow().waiting.len(), 0);
    }
}
