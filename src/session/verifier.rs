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
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
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

/// Gets an event loop out of its wait.
type Wake = Arc<dyn Fn() + Send + Sync>;

/// Checks passwords. Clones share the accounts and the worker, also those on other threads.
#[derive(Clone)]
pub struct Verifier {
    accounts: Arc<Mutex<Arc<Accounts>>>,
    /// `None` checks in place.
    worker: Option<(SyncSender<Job>, Wake)>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("is_inline", &self.worker.is_none()).finish_non_exhaustive()
    }
}

struct Job {
    accounts: Arc<Accounts>,
    name: String,
    password: Vec<u8>,
    answer: Arc<Mutex<Answer>>,
    wake: Wake,
}

#[derive(Debug, Default)]
struct Answer {
    verdict: Option<Verdict>,
    waker: Option<Waker>,
}

impl Verifier {
    /// Checks in place, on the caller's thread: for simulations and tests.
    pub fn inline(accounts: Accounts) -> Self {
        Verifier { accounts: Arc::new(Mutex::new(Arc::new(accounts))), worker: None }
    }

    /// Checks on a thread that ends with the last clone. `wake` is called after each verdict, to get the
    /// event loop out of its wait; the task's own waker is called before it.
    pub fn spawn(accounts: Accounts, wake: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        std::thread::Builder::new().name("passwords".into()).spawn(move || work(&jobs))?;
        Ok(Verifier { worker: Some((queue, Arc::new(wake))), ..Verifier::inline(accounts) })
    }

    /// The same accounts and worker for the event loop of another thread, which `wake` gets out of its wait.
    #[must_use]
    pub fn waking(&self, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let worker = self.worker.as_ref().map(|(queue, _)| (queue.clone(), Arc::new(wake) as Wake));
        Verifier { accounts: Arc::clone(&self.accounts), worker }
    }

    /// Puts other accounts in place, for checks that begin after this.
    pub fn replace(&self, accounts: Accounts) {
        *lock(&self.accounts) = Arc::new(accounts);
    }

    /// The accounts as they are.
    pub fn accounts(&self) -> Arc<Accounts> {
        Arc::clone(&lock(&self.accounts))
    }

    /// Checks a name and a password.
    pub fn verify(&self, name: &str, password: &[u8]) -> Check {
        let accounts = Arc::clone(&lock(&self.accounts));
        let Some((queue, wake)) = &self.worker else {
            return Check::done(verdict(&accounts, name, password));
        };
        let answer = Arc::default();
        let (name, password, wake) = (name.into(), password.into(), Arc::clone(wake));
        let job = Job { accounts, name, password, answer: Arc::clone(&answer), wake };
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

/// What is behind the locks is set at once, so a panic elsewhere leaves nothing half done in it.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The worker's life.
fn work(jobs: &Receiver<Job>) {
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
            (job.wake)();
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
        let worker = Some((queue, Arc::new(|| {}) as Wake));
        let verifier = Verifier { worker, ..Verifier::inline(cheap(&[("a", "b")])) };
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
