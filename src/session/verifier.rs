//! Where passwords are checked: on one thread of its own, because a check takes tens of milliseconds by
//! design and the event loop may not stand still that long.
//!
//! ```text
//!   conversation --Job--> bounded queue --> worker: Argon2 --Verdict, waker, wake hook--> event loop
//! ```
//!
//! One check at a time bounds processor and memory; the queue bounds what waits, and an attempt that
//! finds it full is told so at once. This is the one place above the daemon that has a thread; a
//! simulation, whose time is virtual, checks in place instead ([`Verifier::inline`]).

use crate::session::accounts::Accounts;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Checks that wait while one is done.
const QUEUE: usize = 64;

/// What came of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Name and password belong together.
    Accepted,
    /// They don't.
    Refused,
    /// Too many checks are waiting, or the worker is gone.
    Busy,
}

/// Checks passwords. Clones share the accounts and the worker.
#[derive(Clone, Debug)]
pub struct Verifier {
    accounts: Rc<RefCell<Arc<Accounts>>>,
    /// `None` checks in place.
    queue: Option<SyncSender<Job>>,
}

#[derive(Debug)]
struct Job {
    accounts: Arc<Accounts>,
    name: String,
    password: Vec<u8>,
    answer: Arc<Mutex<Answer>>,
}

#[derive(Debug, Default)]
struct Answer {
    verdict: Option<Verdict>,
    waker: Option<Waker>,
}

impl Verifier {
    /// Checks in place, on the caller's thread: for simulations and tests.
    pub fn inline(accounts: Accounts) -> Self {
        Verifier { accounts: Rc::new(RefCell::new(Arc::new(accounts))), queue: None }
    }

    /// Checks on a thread that ends with the last clone. `wake` is called after each verdict, to get the
    /// event loop out of its wait; the task's own waker is called before it.
    pub fn spawn(accounts: Accounts, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        std::thread::Builder::new().name("passwords".into()).spawn(move || work(&jobs, &wake))?;
        Ok(Verifier { queue: Some(queue), ..Verifier::inline(accounts) })
    }

    /// Puts other accounts in place, for checks that begin after this.
    pub fn replace(&self, accounts: Accounts) {
        *self.accounts.borrow_mut() = Arc::new(accounts);
    }

    /// Checks a name and a password.
    pub fn verify(&self, name: &str, password: &[u8]) -> Check {
        let accounts = Arc::clone(&self.accounts.borrow());
        let Some(queue) = &self.queue else {
            return Check::done(verdict(&accounts, name, password));
        };
        let answer = Arc::default();
        let job = Job { accounts, name: name.into(), password: password.into(), answer: Arc::clone(&answer) };
        match queue.try_send(job) {
            Ok(()) => Check { answer },
            Err(_) => Check::done(Verdict::Busy),
        }
    }
}

fn verdict(accounts: &Accounts, name: &str, password: &[u8]) -> Verdict {
    if accounts.verify(name, password) { Verdict::Accepted } else { Verdict::Refused }
}

/// A check under way; completes with its verdict.
#[derive(Debug)]
pub struct Check {
    answer: Arc<Mutex<Answer>>,
}

impl Check {
    fn done(verdict: Verdict) -> Self {
        Check { answer: Arc::new(Mutex::new(Answer { verdict: Some(verdict), waker: None })) }
    }
}

impl Future for Check {
    type Output = Verdict;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict> {
        let mut answer = lock(&self.answer);
        match answer.verdict {
            Some(verdict) => Poll::Ready(verdict),
            None => {
                answer.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The answer is one value that is set at once, so a panic elsewhere leaves nothing half done in it.
fn lock(answer: &Mutex<Answer>) -> MutexGuard<'_, Answer> {
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The worker's life.
fn work(jobs: &Receiver<Job>, wake: &impl Fn()) {
    while let Ok(job) = jobs.recv() {
        // Whoever asked may be gone; then nobody's time is spent on it.
        if Arc::strong_count(&job.answer) == 1 {
            continue;
        }
        let verdict = verdict(&job.accounts, &job.name, &job.password);
        let waker = {
            let mut answer = lock(&job.answer);
            answer.verdict = Some(verdict);
            answer.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
            wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::accounts::tests::cheap;
    use futures_executor::block_on;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn the_worker_answers_and_wakes_the_event_loop() {
        let woken = Arc::new(AtomicUsize::new(0));
        let (counter, said) = (Arc::clone(&woken), sync_channel(8));
        let verifier = Verifier::spawn(cheap(&[("alice", "secret")]), move || {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = said.0.try_send(());
        })
        .unwrap();
        assert_eq!(block_on(verifier.verify("alice", b"secret")), Verdict::Accepted);
        assert_eq!(block_on(verifier.verify("alice", b"Secret")), Verdict::Refused);
        assert_eq!(block_on(verifier.verify("bob", b"secret")), Verdict::Refused);
        // A check that was done before its first poll needs no wake, so the number is at most that of checks.
        assert!(woken.load(Ordering::SeqCst) <= 3);
    }

    #[test]
    fn a_full_queue_is_said_at_once() {
        let (queue, jobs) = sync_channel(2);
        let verifier = Verifier { queue: Some(queue), ..Verifier::inline(cheap(&[("a", "b")])) };
        let (_one, _two) = (verifier.verify("a", b"b"), verifier.verify("a", b"b"));
        assert_eq!(block_on(verifier.verify("a", b"b")), Verdict::Busy);
        drop(jobs);
        assert_eq!(block_on(verifier.verify("a", b"b")), Verdict::Busy);
    }

    #[test]
    fn new_accounts_hold_from_the_next_check_on() {
        let verifier = Verifier::inline(cheap(&[("alice", "old")]));
        assert_eq!(block_on(verifier.verify("alice", b"old")), Verdict::Accepted);
        verifier.clone().replace(cheap(&[("alice", "new")]));
        assert_eq!(block_on(verifier.verify("alice", b"old")), Verdict::Refused);
        assert_eq!(block_on(verifier.verify("alice", b"new")), Verdict::Accepted);
    }
}
