//! The tasks that wait for a moment: a timing wheel from which a wait can be taken out again.
//!
//! ```text
//!   add ──► level 7 … level 1 ──► level 0 ──► the current tick ──► expire
//!           64 lists each, as in base::timers      one list, looked at by exact time
//!   cancel: out of whichever list it is in
//! ```
//!
//! [`crate::base::timers`] never takes anything out, which suits deadlines that mostly come. These mostly do not: an
//! idle timeout of ten minutes is set for each of thousands of connections a second that all end before. So the
//! lists are linked both ways, through 32 bytes a wait, and adding and cancelling take the same time whatever their
//! number.

use crate::base::time::Instant;
use crate::base::timers::{LEVELS, SLOTS, first_tick, level_of, slot_of, tick_of, tick_start};
use crate::session::clock::AlarmId;
use smallvec::SmallVec;
use std::num::NonZeroU32;
use std::task::Waker;

/// A wait, or the head of a list, or free. Lists are rings through their heads.
#[derive(Debug)]
struct Node {
    deadline: Instant,
    waker: Option<Waker>,
    before: u32,
    after: u32,
}

/// The first nodes are the heads of the lists: those of the levels, and that of the current tick.
const HEADS: u32 = (LEVELS * SLOTS) as u32 + 1;
const CURRENT: u32 = HEADS - 1;
/// In `before` of a node that is free; its `after` is the next free one.
const FREE: u32 = u32::MAX;

/// All waits.
#[derive(Debug)]
pub(crate) struct Sleepers {
    nodes: Vec<Node>,
    /// The first free node, or [`FREE`].
    free: u32,
    /// For each level, which of its lists hold something.
    occupied: [u64; LEVELS],
    /// The tick that the wheel has reached.
    cursor: u64,
}

impl Default for Sleepers {
    fn default() -> Self {
        let head = |at| Node { deadline: Instant::FAR_FUTURE, waker: None, before: at, after: at };
        Sleepers { nodes: (0..HEADS).map(head).collect(), free: FREE, occupied: [0; LEVELS], cursor: 0 }
    }
}

impl Sleepers {
    /// Wakes `waker` at `deadline`.
    pub(crate) fn add(&mut self, deadline: Instant, waker: &Waker) -> AlarmId {
        let node = Node { deadline, waker: Some(waker.clone()), before: FREE, after: FREE };
        let at = match self.nodes.get_mut(self.free as usize) {
            Some(place) => {
                let at = std::mem::replace(&mut self.free, place.after);
                *place = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        self.link(at);
        // The heads come first: no wait is the node 0.
        AlarmId(NonZeroU32::new(at).unwrap_or(NonZeroU32::MAX))
    }

    /// Wakes `waker` instead of the one before; nothing, if that was woken already.
    pub(crate) fn replace(&mut self, id: AlarmId, waker: &Waker) {
        if let Some(known) = self.nodes.get_mut(id.0.get() as usize).and_then(|node| node.waker.as_mut()) {
            known.clone_from(waker);
        }
    }

    /// Ends a wait, over or not.
    pub(crate) fn cancel(&mut self, id: AlarmId) {
        self.unlink(id.0.get());
        if let Some(node) = self.nodes.get_mut(id.0.get() as usize) {
            node.waker = None;
            node.before = FREE;
            node.after = std::mem::replace(&mut self.free, id.0.get());
        }
    }

    /// Whom to wake at `now`, in the order of the deadlines.
    pub(crate) fn expire(&mut self, now: Instant) -> SmallVec<[Waker; 4]> {
        self.advance(tick_of(now));
        let mut due: SmallVec<[(Instant, u32); 4]> = SmallVec::new();
        let mut next = self.after(CURRENT);
        while next != CURRENT {
            let Some(node) = self.nodes.get(next as usize) else { break };
            if node.deadline <= now {
                due.push((node.deadline, next));
            }
            next = node.after;
        }
        due.sort_by_key(|(deadline, _)| *deadline);
        due.into_iter().filter_map(|(_, at)| self.end(at)).collect()
    }

    /// When [`Sleepers::expire`] should be called: at the first deadline, or before it, when its list comes up.
    pub(crate) fn next(&self) -> Option<Instant> {
        let mut earliest = None;
        let mut next = self.after(CURRENT);
        while let Some(node) = self.nodes.get(next as usize).filter(|_| next != CURRENT) {
            earliest = Some(earliest.map_or(node.deadline, |known: Instant| known.min(node.deadline)));
            next = node.after;
        }
        earliest.or_else(|| self.next_list().map(|(level, slot)| tick_start(first_tick(self.cursor, level, slot))))
    }

    /// Gives up the room for waits that are over.
    pub(crate) fn shrink_to_fit(&mut self) {
        while self.nodes.last().is_some_and(|node| node.before == FREE) {
            self.nodes.pop();
        }
        self.nodes.shrink_to_fit();
        self.free = FREE;
        for (at, node) in (0..).zip(&mut self.nodes) {
            if node.before == FREE {
                node.after = std::mem::replace(&mut self.free, at);
            }
        }
    }

    /// Takes a node whose time has come out of its list. Its owner has yet to cancel it.
    fn end(&mut self, at: u32) -> Option<Waker> {
        self.unlink(at);
        let node = self.nodes.get_mut(at as usize)?;
        (node.before, node.after) = (at, at);
        node.waker.take()
    }

    fn after(&self, at: u32) -> u32 {
        self.nodes.get(at as usize).map_or(at, |node| node.after)
    }

    /// Puts a node at the end of the list for its deadline.
    fn link(&mut self, at: u32) {
        let Some(tick) = self.nodes.get(at as usize).map(|node| tick_of(node.deadline)) else { return };
        let head = if tick <= self.cursor {
            CURRENT
        } else {
            let level = level_of(tick, self.cursor);
            let slot = slot_of(tick, level);
            if let Some(occupied) = self.occupied.get_mut(level) {
                *occupied |= 1 << slot;
            }
            (level * SLOTS + slot) as u32
        };
        let Some(last) = self.nodes.get_mut(head as usize).map(|head| std::mem::replace(&mut head.before, at)) else {
            return;
        };
        if let Some(node) = self.nodes.get_mut(at as usize) {
            (node.before, node.after) = (last, head);
        }
        if let Some(last) = self.nodes.get_mut(last as usize) {
            last.after = at;
        }
    }

    /// Takes a node out of its list, or does nothing if it is in none.
    fn unlink(&mut self, at: u32) {
        let Some((before, after)) = self.nodes.get(at as usize).map(|node| (node.before, node.after)) else { return };
        if let Some(node) = self.nodes.get_mut(before as usize) {
            node.after = after;
        }
        if let Some(node) = self.nodes.get_mut(after as usize) {
            node.before = before;
        }
        // Between a head and itself there is nothing.
        if before == after && before < CURRENT {
            let (level, slot) = (before as usize / SLOTS, before as usize % SLOTS);
            if let Some(occupied) = self.occupied.get_mut(level) {
                *occupied &= !(1 << slot);
            }
        }
    }

    /// The first list that holds something, after that of the current tick.
    fn next_list(&self) -> Option<(usize, usize)> {
        let level = self.occupied.iter().position(|occupied| *occupied != 0)?;
        Some((level, self.occupied.get(level)?.trailing_zeros() as usize))
    }

    /// Moves the wheel to `tick`.
    fn advance(&mut self, tick: u64) {
        while self.cursor < tick {
            match self.next_list().map(|(level, slot)| (level, slot, first_tick(self.cursor, level, slot))) {
                Some((level, slot, first)) if first <= tick => {
                    self.cursor = first;
                    self.empty(level, slot);
                }
                _ => self.cursor = tick,
            }
        }
    }

    /// Puts the nodes of a list into those that they belong in by now.
    fn empty(&mut self, level: usize, slot: usize) {
        let head = (level * SLOTS + slot) as u32;
        loop {
            let at = self.after(head);
            if at == head {
                return;
            }
            self.unlink(at);
            self.link(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::base::time::Duration;
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Bell(AtomicU64);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_wait_takes_32_bytes() {
        assert_eq!(size_of::<Node>(), 32);
    }

    #[test]
    fn a_place_is_used_again_only_after_its_owner_let_go() {
        let mut sleepers = Sleepers::default();
        let first = sleepers.add(Instant::from_secs(1), Waker::noop());
        assert_eq!(sleepers.expire(Instant::from_secs(2)).len(), 1);
        let second = sleepers.add(Instant::from_secs(3), Waker::noop());
        assert_ne!(first, second);
        sleepers.cancel(first);
        assert_eq!(sleepers.add(Instant::from_secs(3), Waker::noop()), first);
    }

    #[test]
    fn room_for_waits_that_are_over_is_given_up() {
        let mut sleepers = Sleepers::default();
        let ids: Vec<AlarmId> = (0..1_000).map(|n| sleepers.add(Instant::from_secs(n), Waker::noop())).collect();
        ids.iter().skip(1).filter(|id| id.0 != ids[500].0).for_each(|id| sleepers.cancel(*id));
        sleepers.shrink_to_fit();
        assert_eq!(sleepers.nodes.len(), HEADS as usize + 501);
        assert_eq!(sleepers.expire(Instant::from_secs(2_000)).len(), 2);
        for _ in 0..499 {
            sleepers.add(Instant::from_secs(1), Waker::noop());
        }
        assert_eq!(sleepers.nodes.len(), HEADS as usize + 501, "the free places are found again");
    }

    /// Waits of all lengths, many of them cancelled, against a sorted map.
    #[test]
    fn the_wheel_behaves_as_a_sorted_map() {
        for seed in 0..20 {
            let mut random = Random::from_seed(seed);
            let (mut sleepers, mut model) = (Sleepers::default(), BTreeMap::new());
            let bells: Vec<Arc<Bell>> = (0..3_000).map(|_| Arc::default()).collect();
            let mut now = Instant::from_secs(1);
            for (n, bell) in bells.iter().enumerate() {
                let longest = [1_000_000, 100_000_000, 10_000_000_000, 1 << 50][random.below(4) as usize];
                let deadline = now + Duration::from_nanos(random.below(longest));
                let id = sleepers.add(deadline, &Waker::from(bell.clone()));
                model.insert((deadline, n), id);
                if random.chance(0.4) {
                    let which = random.below(model.len() as u64) as usize;
                    let key = *model.keys().nth(which).unwrap();
                    sleepers.cancel(model.remove(&key).unwrap());
                }
                now += Duration::from_nanos(random.below(longest / 4 + 1));
                // The moment it asks for is never too late, and going there makes progress.
                let mut calls = 0;
                while let Some(next) = sleepers.next().filter(|next| *next <= now) {
                    assert!(model.keys().next().is_some_and(|(first, _)| next <= *first));
                    sleepers.expire(next).into_iter().for_each(Waker::wake);
                    while let Some(entry) = model.first_entry().filter(|entry| entry.key().0 <= next) {
                        assert_eq!(bells[entry.key().1].0.load(Ordering::Relaxed), 1);
                        sleepers.cancel(entry.remove());
                    }
                    calls += 1;
                    assert!(calls < 10_000, "seed {seed}: it asks for the same moment again and again");
                }
                assert!(model.keys().next().is_none_or(|(first, _)| *first > now), "seed {seed}: slept too long");
            }
            let rung = bells.iter().filter(|bell| bell.0.load(Ordering::Relaxed) > 0).count();
            assert!(rung > 100 && bells.iter().all(|bell| bell.0.load(Ordering::Relaxed) <= 1), "seed {seed}: {rung}");
        }
    }
}
