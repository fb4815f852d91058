//! The threads of the queues beyond the first, as the first thread sees them: it starts them, passes orders on,
//! gathers what they show, and ends when they do.
//!
//! ```text
//!   first thread ──Order──► thread of queue n      stop: drain; abort: reset and end; end; show
//!               ◄──Notice──                        ready, drained, shown, ended
//! ```
//!
//! A thread that has drained keeps its queue until all have: the kernel would deal the flows of a queue that closes
//! out to the others.

use crate::daemon::control::Ticket;
use crate::daemon::event_loop::{EventLoop, Guest};
use crate::daemon::failure::Failure;
use crate::stack::snapshot::Snapshot;
use mio::Waker;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the threads get to end when they were told to; a turn of the loop takes far less.
const ENDING: Duration = Duration::from_secs(2);

/// What the first thread asks of another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Begin to end: accept nothing more, let conversations finish.
    Stop,
    /// End: all have drained.
    End,
    /// Reset what has not ended, and end.
    Abort,
    /// Say what there is to show of this.
    Show(Ticket, String),
}

/// What a thread tells the first.
#[derive(Debug)]
enum News {
    Ready,
    Drained,
    Shown(Ticket, Box<Snapshot>),
    Ended(Result<(), Failure>),
}

/// How a thread tells the first what happens. If it is dropped before the end was told, the thread has panicked.
#[derive(Debug)]
pub struct Reports {
    queue: usize,
    notices: Sender<(usize, News)>,
    first: Arc<Waker>,
    has_ended: bool,
}

impl Reports {
    fn say(&self, news: News) {
        // The first thread is gone if this fails, and with it the process.
        let _ = self.notices.send((self.queue, news));
        let _ = self.first.wake();
    }

    /// Every connection has ended.
    pub fn drained(&self) {
        self.say(News::Drained);
    }

    /// What was asked for by [`Order::Show`].
    pub fn show(&self, ticket: Ticket, snapshot: Snapshot) {
        self.say(News::Shown(ticket, Box::new(snapshot)));
    }

    fn ended(mut self, result: Result<(), Failure>) {
        self.has_ended = true;
        self.say(News::Ended(result));
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        if !self.has_ended {
            let failure = format!("the thread of queue {} panicked: please report what it says above", self.queue);
            self.say(News::Ended(Err(Failure::Running(failure))));
        }
    }
}

/// One thread.
#[derive(Debug)]
struct Hand {
    orders: Sender<Order>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
    has_drained: bool,
    has_ended: bool,
}

/// Something that is to be shown, of which some parts are still awaited.
#[derive(Debug)]
struct Inquiry {
    ticket: Ticket,
    what: String,
    /// By queue.
    parts: Vec<Option<Snapshot>>,
}

/// An inquiry that is complete.
#[derive(Debug)]
pub struct Gathered {
    /// Whose it is.
    pub ticket: Ticket,
    /// What was asked for.
    pub what: String,
    /// Of each queue.
    pub parts: Vec<Snapshot>,
}

/// All threads but the first.
#[derive(Debug)]
pub struct Crew {
    hands: Vec<Hand>,
    notices: Receiver<(usize, News)>,
    inquiries: Vec<Inquiry>,
}

impl Default for Crew {
    /// Nobody.
    fn default() -> Self {
        Crew { hands: Vec::new(), notices: channel().1, inquiries: Vec::new() }
    }
}

impl Crew {
    /// True if the first thread is alone.
    pub fn is_empty(&self) -> bool {
        self.hands.is_empty()
    }

    /// Starts a thread for each of `loops`, with what `guest` makes for its queue, and waits until all are ready.
    /// `first` gets the first thread out of its wait.
    ///
    /// # Errors
    /// A thread can't be had, or what `guest` says.
    pub fn start<G: Guest>(
        loops: Vec<EventLoop>,
        first: &Arc<Waker>,
        guest: impl Fn(&EventLoop) -> Result<G, Failure> + Clone + Send + 'static,
    ) -> Result<Crew, Failure> {
        let (sender, notices) = channel();
        let mut crew = Crew { hands: Vec::new(), notices, inquiries: Vec::new() };
        for (queue, event_loop) in (1..).zip(loops) {
            let reports = Reports { queue, notices: sender.clone(), first: Arc::clone(first), has_ended: false };
            let hand = Hand::start(event_loop, reports, guest.clone()).map_err(|error| {
                Failure::running(format!("the thread of queue {queue} can't start: {error}: lower interface.queues"))
            })?;
            crew.hands.push(hand);
        }
        let mut ready = 0;
        while ready < crew.hands.len() {
            match crew.notices.recv() {
                Ok((queue, News::Ended(result))) => {
                    crew.on_ended(queue);
                    crew.dismiss(&Order::Abort);
                    result?;
                }
                Ok(_) => ready += 1,
                // `sender` is still there.
                Err(_) => break,
            }
        }
        Ok(crew)
    }

    /// The thread of a queue but the first.
    fn hand(&mut self, queue: usize) -> Option<&mut Hand> {
        self.hands.get_mut(queue.checked_sub(1)?)
    }

    fn on_ended(&mut self, queue: usize) {
        self.hand(queue).into_iter().for_each(|hand| hand.has_ended = true);
    }

    /// Gives an order to all.
    pub fn order(&self, order: &Order) {
        for hand in &self.hands {
            // Whose thread is gone has said why, and the others end for it.
            let _ = hand.orders.send(order.clone());
            let _ = hand.waker.wake();
        }
    }

    /// Asks all for what there is to show of `what`; `own` is what the first thread has.
    pub fn ask(&mut self, ticket: Ticket, what: &str, own: Snapshot) {
        let parts = std::iter::once(Some(own)).chain(self.hands.iter().map(|_| None)).collect();
        self.inquiries.push(Inquiry { ticket, what: what.to_owned(), parts });
        self.order(&Order::Show(ticket, what.to_owned()));
    }

    /// Takes in what the threads told. Returns what is complete and may be shown.
    ///
    /// # Errors
    /// A thread has ended that was not told to.
    pub fn take_in(&mut self) -> Result<Vec<Gathered>, Failure> {
        while let Ok((queue, news)) = self.notices.try_recv() {
            match news {
                News::Ready => {}
                News::Drained => self.hand(queue).into_iter().for_each(|hand| hand.has_drained = true),
                News::Ended(result) => {
                    self.on_ended(queue);
                    result?;
                }
                News::Shown(ticket, snapshot) => {
                    let inquiry = self.inquiries.iter_mut().find(|inquiry| inquiry.ticket == ticket);
                    if let Some(part) = inquiry.and_then(|inquiry| inquiry.parts.get_mut(queue)) {
                        *part = Some(*snapshot);
                    }
                }
            }
        }
        let is_complete = |inquiry: &mut Inquiry| inquiry.parts.iter().all(Option::is_some);
        let gathered =
            |Inquiry { ticket, what, parts }| Gathered { ticket, what, parts: parts.into_iter().flatten().collect() };
        Ok(self.inquiries.extract_if(.., is_complete).map(gathered).collect())
    }

    /// Forgets what is asked for by clients that `is_waiting` says are gone.
    pub fn retain(&mut self, is_waiting: impl Fn(Ticket) -> bool) {
        self.inquiries.retain(|inquiry| is_waiting(inquiry.ticket));
    }

    /// True once all have drained.
    pub fn has_drained(&self) -> bool {
        self.hands.iter().all(|hand| hand.has_drained || hand.has_ended)
    }

    /// Gives the last order and waits until the threads have ended. One that hangs ends with the process.
    pub fn dismiss(&mut self, last: &Order) {
        self.order(last);
        while self.hands.iter().any(|hand| !hand.has_ended) {
            let Ok((queue, news)) = self.notices.recv_timeout(ENDING) else {
                log::warn!("not all threads have ended");
                return;
            };
            if let News::Ended(result) = news {
                self.on_ended(queue);
                if let Err(failure) = result {
                    log::warn!("queue {queue}: {failure}");
                }
            }
        }
        for thread in self.hands.iter_mut().filter_map(|hand| hand.thread.take()) {
            // Its end was told.
            let _ = thread.join();
        }
    }
}

impl Hand {
    fn start<G: Guest>(
        mut event_loop: EventLoop,
        reports: Reports,
        guest: impl FnOnce(&EventLoop) -> Result<G, Failure> + Send + 'static,
    ) -> io::Result<Hand> {
        let (waker, name) = (event_loop.waker(), format!("queue {}", reports.queue));
        let (orders, inbox) = channel();
        let work = move || {
            let result = guest(&event_loop).and_then(|mut guest| {
                reports.say(News::Ready);
                event_loop.work(&mut guest, &inbox, &reports)
            });
            // The queue is closed before its end is told.
            drop(event_loop);
            reports.ended(result);
        };
        let thread = thread::Builder::new().name(name).spawn(work)?;
        Ok(Hand { orders, waker, thread: Some(thread), has_drained: false, has_ended: false })
    }
}

#[cfg(test)]
mod tests;
