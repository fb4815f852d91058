//! Work that blocks, done on threads of its own, because the event loop may not stand still for it: passwords to
//! check, files that must be on the disk.
//!
//! ```text
//!   task --Job--> bounded queue --> a thread: the work --answer, waker, wake hook--> event loop
//! ```
//!
//! The number of threads bounds what is under way; the queue bounds what waits, and an errand that finds it full comes
//! back at once as [`Busy`]. An errand that nobody waits for any more when its turn comes is not begun; one that was
//! begun is finished.
//!
//! This is the one place above the daemon that has threads; a simulation, whose time is virtual, does the work in place
//! instead ([`Errands::inline`]).

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Too much is waiting already, or the work panicked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy;

/// Gets an event loop out of its wait.
type Wake = Arc<dyn Fn() + Send + Sync>;

type Job = Box<dyn FnOnce() + Send>;

/// Does errands. Clones share the threads, also those that belong to other event loops.
#[derive(Clone)]
pub struct Errands {
    /// `None` does the work in place.
    threads: Option<(SyncSender<Job>, Wake)>,
}

impl fmt::Debug for Errands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errands").field("is_inline", &self.threads.is_none()).finish()
    }
}

impl Errands {
    /// Does the work in place, on the caller's thread: for simulations and tests.
    pub fn inline() -> Self {
        Errands { threads: None }
    }

    /// Does it on so many `threads`, which end with the last clone, while up to `queue` errands wait. `wake` is called
    /// after each, to get the event loop out of its wait; the task's own waker is called before it.
    ///
    /// # Errors
    /// A thread can't be had.
    pub fn spawn(
        name: &str,
        threads: usize,
        queue: usize,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (sender, jobs) = sync_channel(queue);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let jobs = Arc::clone(&jobs);
            std::thread::Builder::new().name(name.into()).spawn(move || work(&jobs))?;
        }
        Ok(Errands { threads: Some((sender, Arc::new(wake))) })
    }

    /// The same threads for another event loop, which `wake` gets out of its wait.
    #[must_use]
    pub fn waking(&self, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Errands { threads: self.threads.as_ref().map(|(queue, _)| (queue.clone(), Arc::new(wake) as Wake)) }
    }

    /// Has `work` done.
    pub fn send<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Errand<T> {
        let answer = Arc::new(Mutex::new(Answer { result: None, waker: None }));
        let Some((queue, wake)) = &self.threads else {
            lock(&answer).result = Some(Ok(work()));
            return Errand(answer);
        };
        let reply = Reply { answer: Arc::clone(&answer), wake: Arc::clone(wake) };
        let job = Box::new(move || {
            // Whoever asked may be gone; then nobody's time is spent on it.
            if Arc::strong_count(&reply.answer) > 1 {
                reply.give(Ok(work()));
            }
        });
        // A job that is refused is dropped, and its reply says so.
        let _ = queue.try_send(job);
        Errand(answer)
    }
}

struct Answer<T> {
    result: Option<Result<T, Busy>>,
    waker: Option<Waker>,
}

/// The duty to answer. Dropped without an answer, it says that there will be none.
struct Reply<T> {
    answer: Arc<Mutex<Answer<T>>>,
    wake: Wake,
}

impl<T> Reply<T> {
    fn give(&self, result: Result<T, Busy>) {
        let waker = {
            let mut answer = lock(&self.answer);
            if answer.result.is_some() {
                return;
            }
            answer.result = Some(result);
            answer.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
            (self.wake)();
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.give(Err(Busy));
    }
}

/// An errand under way; completes with what came of it.
pub struct Errand<T>(Arc<Mutex<Answer<T>>>);

impl<T> fmt::Debug for Errand<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errand").finish_non_exhaustive()
    }
}

impl<T> Future for Errand<T> {
    type Output = Result<T, Busy>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Busy>> {
        let mut answer = lock(&self.0);
        match answer.result.take() {
            Some(result) => Poll::Ready(result),
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

/// A thread's life.
fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // Whoever waits for a job holds the lock, and the others wait for it.
        let job = lock(jobs).recv();
        let Ok(job) = job else { return };
        // A panic is reported by the panic hook; the next errand has a thread all the same.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_executor::block_on;

    #[test]
    fn an_errand_is_done_elsewhere_or_in_place() {
        let errands = Errands::spawn("errands", 2, 4, || {}).unwrap();
        let here = std::thread::current().id();
        let there = block_on(errands.send(move || std::thread::current().id())).unwrap();
        assert_ne!(here, there);
        assert_eq!(block_on(Errands::inline().send(move || std::thread::current().id())), Ok(here));
    }

    #[test]
    fn a_full_queue_is_said_at_once_and_so_is_a_thread_that_is_gone() {
        let (queue, jobs) = sync_channel(2);
        let errands = Errands { threads: Some((queue, Arc::new(|| {}))) };
        let (_one, _two) = (errands.send(|| 1), errands.send(|| 2));
        assert_eq!(block_on(errands.send(|| 3)), Err(Busy));
        drop(jobs);
        assert_eq!(block_on(errands.send(|| 4)), Err(Busy));
    }

    #[test]
    fn an_errand_that_nobody_waits_for_is_not_begun() {
        let (queue, jobs) = sync_channel(4);
        let errands = Errands { threads: Some((queue, Arc::new(|| {}))) };
        let (gone, done) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let (counter, other) = (Arc::clone(&gone), Arc::clone(&done));
        drop(errands.send(move || *lock(&counter) += 1));
        let kept = errands.send(move || *lock(&other) += 1);
        drop(errands);
        work(&Mutex::new(jobs));
        assert_eq!((*lock(&gone), *lock(&done)), (0, 1));
        assert_eq!(block_on(kept), Ok(()));
    }

    #[test]
    fn work_that_panics_is_answered_and_the_next_is_done() {
        let errands = Errands::spawn("errands", 1, 4, || {}).unwrap();
        assert_eq!(block_on(errands.send(|| assert!(std::hint::black_box(false), "on purpose"))), Err(Busy));
        assert_eq!(block_on(errands.send(|| 7)), Ok(7));
    }
}
