//! Tasks that are polled when they are woken: the executor of a host, and the conversations of a service.
//!
//! ```text
//!   wake (any thread) ──► the line of the woken: numbers, each once ──► a round: poll each, first come first served
//!                                                        │
//!                                                        └─ look ahead: the places of the next tasks, then the tasks
//! ```
//!
//! Among a million tasks one that is woken is in no cache, and at every poll of it something is waited for. So that a
//! poll touches its own task and no other, tasks stand in a table rather than in a list; and since it is known who
//! comes next, all that a few polls will touch is asked for before the first of them.
//!
//! Not here: why a task is woken ([`super::wakers`], [`super::sleepers`]).

use crate::base::prefetch::prefetch;
use futures_util::task::{ArcWake, waker_ref};
use slab::Slab;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// So many tasks are looked ahead at together: their memory should still be in the cache when they are polled.
const AHEAD: usize = 32;
/// With fewer tasks nearly everything is in a cache anyway.
const WORTHWHILE: usize = 2_048;
/// A table of fewer places is not worth making smaller.
const FEW: usize = 64;

/// Those who were woken and not polled since, and who is to be told of it.
#[derive(Debug, Default)]
struct Line {
    woken: Vec<u32>,
    poller: Option<Waker>,
}

/// What a waker rings. It may outlive its task.
#[derive(Debug)]
struct Bell {
    line: Arc<Mutex<Line>>,
    /// The place of the task.
    place: u32,
    /// The task stands in line, or has ended: it need not be put there.
    is_rung: AtomicBool,
}

impl ArcWake for Bell {
    fn wake_by_ref(bell: &Arc<Self>) {
        // What was done before the bell was rung is seen by the poll that follows, also if it was rung already.
        if bell.is_rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let poller = {
            let mut line = lock(&bell.line);
            line.woken.push(bell.place);
            line.poller.take()
        };
        poller.into_iter().for_each(Waker::wake);
    }
}

/// Nothing behind the lock is ever half done.
fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Task<F: Future + ?Sized> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
}

/// A set of tasks. They belong to one thread; their wakers may go to any.
pub(crate) struct Tasks<F: Future + ?Sized> {
    table: Slab<Task<F>>,
    line: Arc<Mutex<Line>>,
    /// Those of the round that goes on who are not polled yet.
    round: VecDeque<u32>,
    /// How many of them, from the first on, have been looked ahead at.
    foreseen: usize,
    /// When so few are left, the table has become too large.
    few: usize,
}

impl<F: Future + ?Sized> Default for Tasks<F> {
    fn default() -> Self {
        Tasks { table: Slab::new(), line: Arc::default(), round: VecDeque::new(), foreseen: 0, few: 0 }
    }
}

impl<F: Future + ?Sized> Tasks<F> {
    /// Adds a task, to be polled after those that are woken already.
    pub(crate) fn push(&mut self, future: Pin<Box<F>>) {
        let entry = self.table.vacant_entry();
        let bell =
            Arc::new(Bell { line: Arc::clone(&self.line), place: entry.key() as u32, is_rung: AtomicBool::new(false) });
        ArcWake::wake_by_ref(&bell);
        entry.insert(Task { future, bell });
        self.few = self.few.max(self.table.len() / 4);
    }

    /// How many tasks have not ended.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// True if a task waits to be polled.
    pub(crate) fn has_woken(&self) -> bool {
        !self.round.is_empty() || !lock(&self.line).woken.is_empty()
    }

    /// Polls those who were woken, each once, until one of them ends: gives what it ended with. A task that wakes
    /// itself again and again does not keep the caller: those who are woken meanwhile have their turn with the next
    /// call, which is asked for.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.round.is_empty() {
            self.round.extend(lock(&self.line).woken.drain(..));
            self.foreseen = 0;
        }
        while let Some(place) = self.next() {
            let Some(Task { future, bell }) = self.table.get_mut(place as usize) else { continue };
            // Whoever had the place before may have stood in line when it ended.
            if !bell.is_rung.swap(false, Ordering::AcqRel) {
                continue;
            }
            let waker = waker_ref(bell);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                bell.is_rung.store(true, Ordering::Release);
                drop(self.table.remove(place as usize));
                self.shrink();
                return Poll::Ready(output);
            }
        }
        let mut line = lock(&self.line);
        if line.woken.is_empty() {
            match &mut line.poller {
                Some(known) => known.clone_from(cx.waker()),
                None => line.poller = Some(cx.waker().clone()),
            }
        } else {
            drop(line);
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn next(&mut self) -> Option<u32> {
        if self.foreseen == 0 && self.round.len() > 1 && self.table.len() >= WORTHWHILE {
            self.foresee();
        }
        self.foreseen = self.foreseen.saturating_sub(1);
        self.round.pop_front()
    }

    /// Asks for what the next polls will touch.
    fn foresee(&mut self) {
        let next = || self.round.iter().take(AHEAD).filter_map(|place| self.table.get(*place as usize));
        // The places are read, which is a wait, but one for all of them; nothing is known of a task before.
        next().for_each(|task| prefetch(task.future.as_ref().get_ref()));
        self.foreseen = AHEAD.min(self.round.len());
    }

    /// Gives up the room for tasks that have ended, when most have.
    fn shrink(&mut self) {
        if self.table.len() <= self.few && self.table.capacity() > FEW {
            self.table.shrink_to_fit();
            self.round.shrink_to_fit();
            lock(&self.line).woken.shrink_to_fit();
            self.few = self.table.len() / 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::sync::atomic::AtomicUsize;

    /// What a test's tasks share: who was polled, the waker each had last, and who is to end.
    #[derive(Default)]
    struct Room {
        polled: RefCell<Vec<usize>>,
        wakers: RefCell<Vec<Option<Waker>>>,
        ends: Cell<Option<usize>>,
    }

    impl Room {
        /// A task by the name of `n`, which ends with its name.
        fn task(self: &Rc<Self>, n: usize) -> Pin<Box<dyn Future<Output = usize>>> {
            let room = Rc::clone(self);
            Box::pin(poll_fn(move |cx| {
                room.polled.borrow_mut().push(n);
                let mut wakers = room.wakers.borrow_mut();
                let length = wakers.len().max(n + 1);
                wakers.resize(length, None);
                wakers[n] = Some(cx.waker().clone());
                if room.ends.get() == Some(n) { Poll::Ready(n) } else { Poll::Pending }
            }))
        }

        fn waker(&self, n: usize) -> Waker {
            self.wakers.borrow()[n].clone().unwrap()
        }

        fn wake(&self, n: usize) {
            self.waker(n).wake();
        }

        fn polled(&self) -> Vec<usize> {
            self.polled.take()
        }
    }

    type Set = Tasks<dyn Future<Output = usize>>;

    fn poll(tasks: &mut Set) -> Poll<usize> {
        tasks.poll_ended(&mut Context::from_waker(Waker::noop()))
    }

    /// So many tasks, all of which have been polled once.
    fn room(tasks: usize) -> (Rc<Room>, Set) {
        let (room, mut set) = (Rc::new(Room::default()), Set::default());
        (0..tasks).for_each(|n| set.push(room.task(n)));
        assert!(poll(&mut set).is_pending());
        assert_eq!(room.polled(), Vec::from_iter(0..tasks));
        (room, set)
    }

    #[test]
    fn the_woken_are_polled_in_the_order_they_were_woken_and_each_once() {
        // So many that they are looked ahead at.
        let (room, mut tasks) = room(WORTHWHILE + 10);
        let mut random = Random::from_seed(1);
        for _ in 0..100 {
            let mut expected = Vec::new();
            for _ in 0..random.below(3 * AHEAD as u64) {
                let n = random.below(tasks.len() as u64) as usize;
                room.wake(n);
                room.wake(n);
                if !expected.contains(&n) {
                    expected.push(n);
                }
            }
            assert_eq!(tasks.has_woken(), !expected.is_empty());
            assert!(poll(&mut tasks).is_pending());
            assert_eq!(room.polled(), expected);
        }
        assert!(!tasks.has_woken());
    }

    #[test]
    fn a_task_that_ends_is_told_of_and_those_after_it_are_polled_with_the_next_call() {
        let (room, mut tasks) = room(3);
        (0..3).for_each(|n| room.wake(n));
        room.ends.set(Some(1));
        assert_eq!(poll(&mut tasks), Poll::Ready(1));
        assert_eq!((room.polled(), tasks.len(), tasks.has_woken()), (vec![0, 1], 2, true));
        assert!(poll(&mut tasks).is_pending());
        assert_eq!(room.polled(), [2]);
    }

    #[test]
    fn a_waker_that_outlives_its_task_does_not_wake_the_next_one_in_its_place() {
        let (room, mut tasks) = room(2);
        let old = room.waker(1);
        room.wake(1);
        room.ends.set(Some(1));
        assert_eq!(poll(&mut tasks), Poll::Ready(1));
        tasks.push(room.task(2));
        assert!(poll(&mut tasks).is_pending());
        assert_eq!(room.polled(), [1, 2]);
        old.wake();
        assert!(poll(&mut tasks).is_pending());
        assert!(room.polled().is_empty());
        room.wake(2);
        assert!(poll(&mut tasks).is_pending());
        assert_eq!((room.polled(), tasks.len()), (vec![2], 2));
    }

    #[test]
    fn a_task_that_woke_itself_before_it_ended_is_not_polled_again_nor_is_its_heir_polled_twice() {
        let mut tasks = Set::default();
        tasks.push(Box::pin(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Ready(7)
        })));
        assert_eq!(poll(&mut tasks), Poll::Ready(7));
        let room = Rc::new(Room::default());
        tasks.push(room.task(0));
        assert!(poll(&mut tasks).is_pending());
        assert_eq!(room.polled(), [0]);
    }

    #[test]
    fn a_task_that_always_wakes_itself_keeps_neither_the_others_nor_the_caller() {
        let (room, mut tasks) = room(1);
        let turns = Rc::new(Cell::new(0));
        let count = turns.clone();
        tasks.push(Box::pin(poll_fn(move |cx| {
            count.set(count.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        })));
        let bell = Arc::new(Count::default());
        for turn in 1..4 {
            room.wake(0);
            let waker = Waker::from(bell.clone());
            assert!(tasks.poll_ended(&mut Context::from_waker(&waker)).is_pending());
            assert_eq!((turns.get(), room.polled()), (turn, vec![0]));
            assert_eq!(bell.0.load(Ordering::Relaxed), turn, "the caller is asked to come back");
        }
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_polled_last_is_told_once_of_a_wake_up_from_another_thread() {
        let (room, mut tasks) = room(2);
        let bells = [Arc::new(Count::default()), Arc::new(Count::default())];
        for bell in &bells {
            let waker = Waker::from(bell.clone());
            assert!(tasks.poll_ended(&mut Context::from_waker(&waker)).is_pending());
        }
        let wakers = [room.waker(1), room.waker(0)];
        std::thread::spawn(move || wakers.into_iter().for_each(Waker::wake)).join().unwrap();
        assert_eq!(bells.each_ref().map(|bell| bell.0.load(Ordering::Relaxed)), [0, 1]);
        assert!(poll(&mut tasks).is_pending());
        assert_eq!(room.polled(), [1, 0]);
    }

    #[test]
    fn no_wake_up_is_lost_between_two_threads() {
        const TURNS: usize = 10_000;
        let (said, mut tasks) = (Arc::new(AtomicUsize::new(0)), Set::default());
        let slot: Arc<Mutex<Option<Waker>>> = Arc::default();
        let (heard, place) = (said.clone(), slot.clone());
        tasks.push(Box::pin(poll_fn(move |cx| {
            *place.lock().unwrap() = Some(cx.waker().clone());
            if heard.load(Ordering::Relaxed) == TURNS { Poll::Ready(TURNS) } else { Poll::Pending }
        })));
        let talker = std::thread::spawn(move || {
            for turn in 1..=TURNS {
                said.store(turn, Ordering::Relaxed);
                if let Some(waker) = slot.lock().unwrap().as_ref() {
                    waker.wake_by_ref();
                }
            }
        });
        // After the last wake-up one poll finds everything; without it the task would wait for ever.
        let mut ended = Poll::Pending;
        while !talker.is_finished() {
            ended = if ended.is_pending() { poll(&mut tasks) } else { ended };
        }
        talker.join().unwrap();
        ended = if ended.is_pending() { poll(&mut tasks) } else { ended };
        assert_eq!(ended, Poll::Ready(TURNS));
    }

    #[test]
    fn places_are_used_again_and_given_up_when_most_tasks_have_ended() {
        let (room, mut tasks) = room(1_000);
        let full = tasks.table.capacity();
        let end = |tasks: &mut Set, n| {
            room.wake(n);
            room.ends.set(Some(n));
            assert_eq!(poll(tasks), Poll::Ready(n));
        };
        (500..1_000).for_each(|n| end(&mut tasks, n));
        (500..1_000).for_each(|n| tasks.push(room.task(n)));
        room.ends.set(None);
        assert!(poll(&mut tasks).is_pending());
        assert_eq!(tasks.table.capacity(), full);
        (10..1_000).rev().for_each(|n| end(&mut tasks, n));
        assert_eq!(tasks.len(), 10);
        assert!(tasks.table.capacity() < full / 4, "{} of {full}", tasks.table.capacity());
        room.polled();
        (0..10).for_each(|n| room.wake(n));
        assert!(poll(&mut tasks).is_pending());
        assert_eq!(room.polled(), Vec::from_iter(0..10));
    }

    #[test]
    fn tasks_go_with_the_set_whoever_still_has_their_wakers() {
        let (room, tasks) = room(3);
        let waker = room.waker(2);
        assert_eq!(Rc::strong_count(&room), 4);
        drop(tasks);
        assert_eq!(Rc::strong_count(&room), 1);
        waker.wake();
    }

    #[test]
    fn what_a_waker_rings_takes_16_bytes() {
        assert_eq!(size_of::<Bell>(), 16);
    }
}
