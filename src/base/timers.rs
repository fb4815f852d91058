//! Deadlines of many things: a hierarchical timing wheel in front of a small heap.
//!
//! Setting a timer is O(1) whatever the number of timers; firing it moves it down at most once a level.
//!
//! ```text
//!  set(key, at) ──► level 7 … level 1 ──► level 0 ──► front (a heap) ──► poll(now)
//!                   64 slots each, a slot     64 slots,     the current tick,
//!                   of level n is 64^n ticks  a tick each   by exact time
//! ```
//!
//! The slots only sort coarsely; what is due within the current tick is ordered by its exact time in the
//! front, so that timers fire neither early nor late nor out of order, and [`Timers::next_deadline`] is
//! exact. Timers with the same deadline fire in the order in which they were set.
//!
//! There is no cancelling: whoever sets timers keeps the true deadline. A key may be set again at any
//! time; when it fires and its owner finds that nothing is due, the owner sets it again. Setting only
//! what is earlier than what is already set keeps this to one or two entries a key.

use crate::base::time::Instant;
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A tick is 2^20 ns, about a millisecond: the finest that the slots distinguish.
const TICK_BITS: u32 = 20;
/// A level has 2^6 slots, so that one word tells which are occupied.
const LEVEL_BITS: u32 = 6;
pub(crate) const SLOTS: usize = 1 << LEVEL_BITS;
/// 44 bits of ticks in steps of 6: every [`Instant`] has a place.
pub(crate) const LEVELS: usize = (64 - TICK_BITS).div_ceil(LEVEL_BITS) as usize;
/// A slot that held no more than this keeps its memory for the next round.
const SLOT_KEEPS: usize = 64;

/// One timer. Ordered so that the earliest is the greatest, as the heap wants it.
#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    at: Instant,
    /// The order in which timers were set: it decides between equal deadlines.
    order: u64,
    key: K,
}

impl<K> PartialEq for Entry<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K> Eq for Entry<K> {}

impl<K> PartialOrd for Entry<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Entry<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

#[derive(Clone, Debug)]
struct Slot<K> {
    entries: Vec<Entry<K>>,
    earliest: Instant,
}

impl<K> Slot<K> {
    fn take(&mut self) -> Vec<Entry<K>> {
        self.earliest = Instant::FAR_FUTURE;
        std::mem::take(&mut self.entries)
    }
}

#[derive(Clone, Debug)]
struct Level<K> {
    /// Bit n is set if slot n holds something.
    occupied: u64,
    slots: Vec<Slot<K>>,
}

/// Timers by key.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    levels: Vec<Level<K>>,
    /// Everything due at or before the end of tick `cursor`.
    front: BinaryHeap<Entry<K>>,
    /// The tick that the wheel has reached.
    cursor: u64,
    next_order: u64,
    len: usize,
}

/// The tick that a moment lies in.
pub(crate) fn tick_of(at: Instant) -> u64 {
    at.as_nanos() >> TICK_BITS
}

/// The first moment of a tick.
pub(crate) fn tick_start(tick: u64) -> Instant {
    Instant::from_nanos(tick << TICK_BITS)
}

/// The first tick of a slot that lies before a wheel at `cursor`.
pub(crate) fn first_tick(cursor: u64, level: usize, slot: usize) -> u64 {
    let shift = LEVEL_BITS * level as u32;
    let above = (cursor >> shift >> LEVEL_BITS) << LEVEL_BITS;
    (above | slot as u64) << shift
}

/// The slot of `tick` on `level`.
pub(crate) fn slot_of(tick: u64, level: usize) -> usize {
    ((tick >> (LEVEL_BITS * level as u32)) & (SLOTS as u64 - 1)) as usize
}

/// The level on which `tick` waits while the wheel stands at `cursor`: that of the highest digit in
/// which they differ.
pub(crate) fn level_of(tick: u64, cursor: u64) -> usize {
    let highest_bit = 63 - ((tick ^ cursor) | 1).leading_zeros();
    (highest_bit / LEVEL_BITS) as usize
}

impl<K: Copy + Eq> Default for Timers<K> {
    fn default() -> Self {
        Timers::new()
    }
}

impl<K: Copy + Eq> Timers<K> {
    /// No timers.
    pub fn new() -> Self {
        let level = || Level {
            occupied: 0,
            slots: (0..SLOTS).map(|_| Slot { entries: Vec::new(), earliest: Instant::FAR_FUTURE }).collect(),
        };
        Timers {
            levels: (0..LEVELS).map(|_| level()).collect(),
            front: BinaryHeap::new(),
            cursor: 0,
            next_order: 0,
            len: 0,
        }
    }

    /// How many timers wait, those included that their owners no longer care for.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no timer waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lets `key` fire at `at`; at the next [`Timers::poll`] if that is past.
    pub fn set(&mut self, key: K, at: Instant) {
        let entry = Entry { at, order: self.next_order, key };
        self.next_order += 1;
        self.len += 1;
        self.place(entry);
    }

    /// The next key whose time has come, in the order of the deadlines.
    pub fn poll(&mut self, now: Instant) -> Option<K> {
        self.advance(tick_of(now));
        if self.front.peek()?.at > now {
            return None;
        }
        let entry = self.front.pop()?;
        self.len -= 1;
        Some(entry.key)
    }

    /// Up to `most` of the keys that [`Timers::poll`] will give at `now`, in no order; those that the wheel has not come
    /// to are not among them. For looking ahead: nothing changes.
    pub fn foresee(&self, now: Instant, most: usize) -> SmallVec<[K; 64]> {
        let (mut due, mut open) = (SmallVec::new(), SmallVec::<[usize; 64]>::from_slice(&[0]));
        // Below a timer of the heap that is not due there is none that is.
        while let Some(at) = open.pop().filter(|_| due.len() < most) {
            if let Some(entry) = self.front.as_slice().get(at).filter(|entry| entry.at <= now) {
                due.push(entry.key);
                open.extend([2 * at + 1, 2 * at + 2]);
            }
        }
        due
    }

    /// Forgets the timers whose owners are gone, those for which `is_wanted` is false, and gives up their room.
    /// It looks at every timer: for when many owners have gone.
    pub fn retain(&mut self, is_wanted: impl Fn(K) -> bool) {
        self.front.retain(|entry| is_wanted(entry.key));
        self.front.shrink_to_fit();
        self.len = self.front.len();
        for level in &mut self.levels {
            for (n, slot) in level.slots.iter_mut().enumerate() {
                slot.entries.retain(|entry| is_wanted(entry.key));
                slot.entries.shrink_to_fit();
                slot.earliest = slot.entries.iter().map(|entry| entry.at).min().unwrap_or(Instant::FAR_FUTURE);
                self.len += slot.entries.len();
                if slot.entries.is_empty() {
                    level.occupied &= !(1 << n);
                }
            }
        }
    }

    /// When the next timer fires.
    pub fn next_deadline(&self) -> Option<Instant> {
        if let Some(entry) = self.front.peek() {
            return Some(entry.at);
        }
        let (level, slot) = self.next_slot()?;
        Some(self.levels.get(level)?.slots.get(slot)?.earliest)
    }

    fn place(&mut self, entry: Entry<K>) {
        let tick = tick_of(entry.at);
        if tick <= self.cursor {
            self.front.push(entry);
            return;
        }
        let level = level_of(tick, self.cursor);
        let slot = slot_of(tick, level);
        let Some(level) = self.levels.get_mut(level) else { return };
        level.occupied |= 1 << slot;
        let Some(slot) = level.slots.get_mut(slot) else { return };
        slot.earliest = slot.earliest.min(entry.at);
        slot.entries.push(entry);
    }

    /// The occupied slot that comes first. All of a level's slots come before those of the level above,
    /// and none lies behind the cursor.
    fn next_slot(&self) -> Option<(usize, usize)> {
        self.levels
            .iter()
            .enumerate()
            .find(|(_, level)| level.occupied != 0)
            .map(|(n, level)| (n, level.occupied.trailing_zeros() as usize))
    }

    /// Moves the wheel to `tick`, and what is due up to its end into the front.
    fn advance(&mut self, tick: u64) {
        while self.cursor < tick {
            let Some((level, slot)) = self.next_slot() else {
                self.cursor = tick;
                return;
            };
            let start = first_tick(self.cursor, level, slot);
            if start > tick {
                self.cursor = tick;
                return;
            }
            self.cursor = start;
            self.empty_slot(level, slot);
        }
    }

    /// Places a slot's entries anew, once the wheel stands at its first tick.
    fn empty_slot(&mut self, level: usize, slot: usize) {
        let mut entries = match self.levels.get_mut(level) {
            Some(level) => {
                level.occupied &= !(1 << slot);
                level.slots.get_mut(slot).map(Slot::take).unwrap_or_default()
            }
            None => return,
        };
        for entry in entries.drain(..) {
            self.place(entry);
        }
        // Every entry went to a lower level or to the front: this slot is still empty.
        if entries.capacity() <= SLOT_KEEPS
            && let Some(emptied) = self.levels.get_mut(level).and_then(|level| level.slots.get_mut(slot))
        {
            emptied.entries = entries;
        }
    }
}

/// What is set in [`Timers`] for one key whose deadline moves about: each entry is earlier than the one
/// below it, so that neither a later deadline nor a return to an old one sets anything.
///
/// ```text
///  keepalive in 2 h:  [2h]            the wheel holds one entry
///  delayed ACK:       [2h, 40ms]      two
///  fires at 40 ms:    [2h]            and the 2 h are still set
/// ```
#[derive(Clone, Debug, Default)]
pub struct Alarms(SmallVec<[Instant; 2]>);

impl Alarms {
    /// Sees to it that `key` fires at `at` or earlier.
    pub fn arm<K: Copy + Eq>(&mut self, timers: &mut Timers<K>, key: K, at: Instant) {
        if self.0.last().is_none_or(|next| at < *next) {
            self.0.push(at);
            timers.set(key, at);
        }
    }

    /// The key fired: what was due is not set any more.
    pub fn on_fired(&mut self, now: Instant) {
        while self.0.last().is_some_and(|next| *next <= now) {
            self.0.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::base::time::Duration;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_timer_fires_at_its_time_and_not_before() {
        let mut timers = Timers::new();
        let at = Instant::from_micros(1_234_567);
        timers.set('a', at);
        assert_eq!(timers.next_deadline(), Some(at));
        assert_eq!(timers.poll(at - Duration::from_nanos(1)), None);
        assert_eq!(timers.next_deadline(), Some(at));
        assert_eq!(timers.poll(at), Some('a'));
        assert_eq!((timers.poll(at), timers.next_deadline(), timers.len()), (None, None, 0));
    }

    #[test]
    fn what_is_foreseen_is_what_fires() {
        let (mut timers, mut random) = (Timers::new(), Random::from_seed(1));
        for key in 0..300 {
            timers.set(key, Instant::from_nanos(random.below(1 << TICK_BITS)));
        }
        // The wheel stands at their tick from the start.
        for now in (0..1 << TICK_BITS).step_by(1 << 15).map(Instant::from_nanos) {
            let mut foreseen = timers.foresee(now, usize::MAX).to_vec();
            assert_eq!(timers.foresee(now, 3).len(), foreseen.len().min(3));
            let mut fired: Vec<_> = std::iter::from_fn(|| timers.poll(now)).collect();
            foreseen.sort_unstable();
            fired.sort_unstable();
            assert_eq!(foreseen, fired);
        }
        assert!(timers.len() < 20);
    }

    #[test]
    fn timers_of_one_moment_fire_in_the_order_they_were_set() {
        let mut timers = Timers::new();
        let at = Instant::from_secs(100);
        for key in 0..200 {
            timers.set(key, at);
        }
        let fired: Vec<_> = std::iter::from_fn(|| timers.poll(Instant::from_secs(101))).collect();
        assert_eq!(fired, (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn a_time_in_the_past_fires_at_once() {
        let mut timers = Timers::new();
        assert_eq!(timers.poll(Instant::from_secs(50)), None);
        timers.set(1, Instant::from_secs(3));
        timers.set(2, Instant::ZERO);
        assert_eq!(timers.next_deadline(), Some(Instant::ZERO));
        assert_eq!(timers.poll(Instant::from_secs(50)), Some(2));
        assert_eq!(timers.poll(Instant::from_secs(50)), Some(1));
    }

    #[test]
    fn the_far_future_has_a_place() {
        let mut timers = Timers::new();
        timers.set((), Instant::FAR_FUTURE);
        assert_eq!(timers.poll(Instant::from_secs(1 << 30)), None);
        assert_eq!(timers.next_deadline(), Some(Instant::FAR_FUTURE));
        assert_eq!(timers.poll(Instant::FAR_FUTURE), Some(()));
    }

    #[test]
    fn a_deadline_that_moves_about_leaves_few_timers_behind() {
        let (mut timers, mut alarms) = (Timers::new(), Alarms::default());
        let mut now = Instant::ZERO;
        let keepalive = Instant::from_secs(7200);
        for _ in 0..1000 {
            alarms.arm(&mut timers, (), keepalive);
            alarms.arm(&mut timers, (), now + Duration::from_millis(40));
            now += Duration::from_millis(50);
            assert_eq!(timers.poll(now), Some(()));
            alarms.on_fired(now);
        }
        assert_eq!((timers.len(), timers.next_deadline()), (1, Some(keepalive)));
    }

    #[test]
    fn timers_that_nobody_wants_are_forgotten_and_the_others_fire() {
        let mut timers = Timers::new();
        let deadlines: Vec<Instant> = (0..5_000_u64).map(|n| Instant::from_nanos(n * n * n * 50)).collect();
        deadlines.iter().enumerate().for_each(|(key, at)| timers.set(key, *at));
        timers.poll(Instant::from_millis(1));
        timers.retain(|key| key % 7 == 3);
        let wanted: Vec<usize> = (0..5_000).filter(|key| key % 7 == 3).collect();
        assert_eq!(timers.len(), wanted.len());
        let mut fired = Vec::new();
        while let Some(next) = timers.next_deadline() {
            let Some(key) = timers.poll(next) else { panic!("nothing fired at the next deadline") };
            assert_eq!(deadlines[key], next);
            fired.push(key);
        }
        assert_eq!((fired, timers.len()), (wanted, 0));
    }

    #[test]
    fn a_million_timers_all_fire_in_order() {
        let mut timers = Timers::new();
        let mut random = Random::from_seed(1);
        let deadlines: Vec<Instant> =
            (0..1_000_000).map(|_| Instant::from_nanos(random.below(7_200_000_000_000))).collect();
        for (key, at) in deadlines.iter().enumerate() {
            timers.set(key, *at);
        }
        let (mut fired, mut last) = (0, Instant::ZERO);
        while let Some(next) = timers.next_deadline() {
            let Some(key) = timers.poll(next) else { panic!("nothing fired at the next deadline") };
            assert_eq!(deadlines[key], next);
            assert!(next >= last);
            (fired, last) = (fired + 1, next);
        }
        assert_eq!((fired, timers.len()), (1_000_000, 0));
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Sets a timer this many nanoseconds from now (or, negative, ago).
        Set(i64),
        /// Lets this many nanoseconds pass, and everything due fire.
        Pass(u64),
        /// Jumps to the next deadline.
        Jump,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let nanos = prop_oneof![-5_000_000i64..5_000_000, 0..10_000_000_000i64, 0..1i64 << 58];
        let passing = prop_oneof![0..3_000_000u64, 0..100_000_000_000u64, 0..1u64 << 50];
        prop_oneof![4 => nanos.prop_map(Step::Set), 2 => passing.prop_map(Step::Pass), 1 => Just(Step::Jump)]
    }

    proptest! {
        #[test]
        fn the_wheel_behaves_as_a_sorted_map(steps in proptest::collection::vec(any_step(), 1..200)) {
            let mut timers = Timers::new();
            let mut model = BTreeMap::new();
            let mut now = Instant::from_secs(1);
            for (key, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Set(nanos) => {
                        let at = Instant::from_nanos(now.as_nanos().saturating_add_signed(nanos));
                        timers.set(key, at);
                        model.insert((at, key), key);
                    }
                    Step::Pass(nanos) => now += Duration::from_nanos(nanos),
                    Step::Jump => now = timers.next_deadline().unwrap_or(now).max(now),
                }
                prop_assert_eq!(timers.next_deadline(), model.keys().next().map(|(at, _)| *at));
                if !matches!(step, Step::Set(_)) {
                    while let Some(key) = timers.poll(now) {
                        let expected = model.pop_first();
                        prop_assert_eq!(expected.map(|((_, key), _)| key), Some(key));
                    }
                    prop_assert!(model.keys().next().is_none_or(|(at, _)| *at > now));
                }
                prop_assert_eq!(timers.len(), model.len());
            }
        }
    }
}
