//! The in-memory cable: one direction of a line that loses, delays, reorders, repeats and damages frames,
//! the same way every time for the same seed.
//!
//! Sans-IO: frames go in with the time, come out when their time has come, and [`Cable::deadline`] says when
//! that is. A simulation drives it in virtual time; `tapstack cable` drives two of them (a [`Line`])
//! between two TAPs in real time.
//!
//! ```text
//!   send -> queue, tail drop -> line at `rate` -> loss -> corruption -> duplication -> delay +- jitter -> receive
//!                                                                           \-> held back -/
//! ```
//!
//! A lost frame has taken its time on the line: loss is what noise does to a signal, not what a full queue does.

use crate::base::checksum::Sum;
use crate::base::limits::CABLE_FRAMES;
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use bytes::Bytes;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What a cable does to frames. The default does nothing to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// The probability that a frame is lost.
    pub loss: f64,
    /// The probability that a frame arrives twice.
    pub duplicate: f64,
    /// The probability that one bit of a frame, any bit, is flipped.
    pub corrupt: f64,
    /// The probability that a frame is held back until one to three later ones have passed it, or for
    /// [`HELD_BACK_AT_MOST`] if none comes.
    pub reorder: f64,
    /// How long a frame takes.
    pub delay: Duration,
    /// How much longer or shorter it may take: evenly spread over `delay - jitter ..= delay + jitter`, never
    /// less than nothing.
    pub jitter: Duration,
    /// Frames stay in order in spite of jitter. What is held back by `reorder` still comes late.
    pub keep_order: bool,
    /// Bits a second, if limited. Every frame takes its length; preamble and gaps are not counted.
    pub rate: Option<u64>,
    /// Bytes that may wait for the line if the rate is limited; what does not fit is dropped at the tail.
    pub queue: usize,
    /// Bytes that wait from which on an ECN-capable IPv4 packet in a plain Ethernet frame is marked (RFC 3168 §5); it is
    /// still dropped when the queue is full.
    pub mark: Option<usize>,
}

/// The queue in front of a line with a limited rate, unless another is asked for: 100 full-sized frames.
pub const DEFAULT_QUEUE: usize = 100 * 1_514;

/// How long a frame is held back when no other comes to pass it.
pub const HELD_BACK_AT_MOST: Duration = Duration::from_millis(20);

/// How many frames pass one that is held back, at most.
const PASSED_BY_AT_MOST: u64 = 3;

impl Default for Faults {
    fn default() -> Self {
        Faults {
            loss: 0.0,
            duplicate: 0.0,
            corrupt: 0.0,
            reorder: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            keep_order: false,
            rate: None,
            queue: DEFAULT_QUEUE,
            mark: None,
        }
    }
}

/// What became of the frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct CableCounts {
    /// Frames put in.
    pub sent: u64,
    /// Bytes put in.
    pub sent_bytes: u64,
    /// Frames taken out, second copies included.
    pub delivered: u64,
    /// Bytes taken out.
    pub delivered_bytes: u64,
    /// Frames marked because many waited.
    pub marked: u64,
    /// Frames that did not fit the queue.
    pub queue_drops: u64,
    /// Frames lost on the line.
    pub lost: u64,
    /// Second copies made.
    pub duplicated: u64,
    /// Frames damaged, counted once even if there are two copies.
    pub corrupted: u64,
    /// Frames held back.
    pub reordered: u64,
}

/// One direction of a line.
#[derive(Debug)]
pub struct Cable {
    faults: Faults,
    random: Random,
    counts: CableCounts,
    /// When the line has finished with all that was queued.
    free_at: Instant,
    /// When the latest frame arrives that kept its order.
    last_arrival: Instant,
    underway: BinaryHeap<Reverse<Underway>>,
    held: Vec<Held>,
    /// Distinguishes frames that arrive at the same time.
    order: u64,
}

/// A frame that arrives at a known time. Ordered by arrival, then as sent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Underway {
    arrival: Instant,
    order: u64,
    frame: Bytes,
}

/// A frame that waits for others to pass it.
#[derive(Clone, Debug)]
struct Held {
    to_pass: u64,
    at_latest: Instant,
    frame: Bytes,
}

impl Cable {
    /// A cable with these faults, every one of them decided by `seed`.
    pub fn new(faults: Faults, seed: u64) -> Self {
        Cable {
            faults,
            random: Random::from_seed(seed),
            counts: CableCounts::default(),
            free_at: Instant::ZERO,
            last_arrival: Instant::ZERO,
            underway: BinaryHeap::new(),
            held: Vec::new(),
            order: 0,
        }
    }

    /// Puts a frame in.
    pub fn send(&mut self, frame: impl Into<Bytes>, now: Instant) {
        let mut frame = frame.into();
        self.counts.sent += 1;
        self.counts.sent_bytes += frame.len() as u64;
        let waiting = self.waiting_bytes(now);
        let Some(leaves) = self.pass_queue(frame.len(), now) else {
            self.counts.queue_drops += 1;
            return;
        };
        if self.faults.mark.is_some_and(|mark| waiting >= mark as u128)
            && let Some(marked) = marked(&frame)
        {
            self.counts.marked += 1;
            frame = marked;
        }
        if self.random.chance(self.faults.loss) {
            self.counts.lost += 1;
            return;
        }
        if self.random.chance(self.faults.corrupt) && !frame.is_empty() {
            self.counts.corrupted += 1;
            frame = self.flip_one_bit(&frame);
        }
        if self.random.chance(self.faults.duplicate) {
            self.counts.duplicated += 1;
            self.deliver(frame.clone(), leaves);
        }
        if self.random.chance(self.faults.reorder) {
            self.counts.reordered += 1;
            let to_pass = 1 + self.random.below(PASSED_BY_AT_MOST);
            self.held.push(Held { to_pass, at_latest: leaves + self.faults.delay + HELD_BACK_AT_MOST, frame });
            return;
        }
        let arrival = self.deliver(frame, leaves);
        self.release_passed(arrival);
    }

    /// Takes out the next frame whose time has come.
    pub fn receive(&mut self, now: Instant) -> Option<Bytes> {
        self.release_overdue(now);
        if self.underway.peek().is_none_or(|Reverse(next)| next.arrival > now) {
            return None;
        }
        let Reverse(next) = self.underway.pop()?;
        self.counts.delivered += 1;
        self.counts.delivered_bytes += next.frame.len() as u64;
        Some(next.frame)
    }

    /// When the next frame can be taken out, if there is one.
    pub fn deadline(&self) -> Option<Instant> {
        let underway = self.underway.peek().map(|Reverse(next)| next.arrival);
        self.held.iter().map(|held| held.at_latest).chain(underway).min()
    }

    /// True if no frame is on its way.
    pub fn is_empty(&self) -> bool {
        self.underway.is_empty() && self.held.is_empty()
    }

    /// What became of the frames so far.
    pub fn counts(&self) -> CableCounts {
        self.counts
    }

    /// Other faults from now on: a cable that is cut has a loss of 1.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Bytes that wait for the line.
    fn waiting_bytes(&self, now: Instant) -> u128 {
        let rate = self.faults.rate.unwrap_or(0);
        self.free_at.since(now).as_nanos() * u128::from(rate) / 8 / 1_000_000_000
    }

    /// When a frame of `len` bytes has left the queue and the line, or `None` if the queue is full.
    fn pass_queue(&mut self, len: usize, now: Instant) -> Option<Instant> {
        if self.underway.len() + self.held.len() >= CABLE_FRAMES {
            return None;
        }
        let Some(rate) = self.faults.rate.filter(|rate| *rate > 0) else { return Some(now) };
        let starts = self.free_at.max(now);
        if self.waiting_bytes(now) + len as u128 > self.faults.queue.max(len) as u128 {
            return None;
        }
        let nanos = len as u128 * 8 * 1_000_000_000 / u128::from(rate);
        self.free_at = starts + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(self.free_at)
    }

    fn flip_one_bit(&mut self, frame: &Bytes) -> Bytes {
        let mut damaged = frame.to_vec();
        let bit = self.random.below(damaged.len() as u64 * 8);
        if let Some(byte) = damaged.get_mut((bit / 8) as usize) {
            *byte ^= 1 << (bit % 8);
        }
        damaged.into()
    }

    fn deliver(&mut self, frame: Bytes, leaves: Instant) -> Instant {
        let Faults { delay, jitter, keep_order, .. } = self.faults;
        let mut arrival = leaves + delay;
        if jitter > Duration::ZERO {
            arrival = leaves + self.random.duration(delay.saturating_sub(jitter), delay + jitter);
        }
        if keep_order {
            arrival = arrival.max(self.last_arrival);
            self.last_arrival = arrival;
        }
        self.set_out(frame, arrival);
        arrival
    }

    fn set_out(&mut self, frame: Bytes, arrival: Instant) {
        self.order += 1;
        self.underway.push(Reverse(Underway { arrival, order: self.order, frame }));
    }

    /// One frame that arrives at `arrival` has passed those that are held back.
    fn release_passed(&mut self, arrival: Instant) {
        for mut held in std::mem::take(&mut self.held) {
            held.to_pass -= 1;
            match held.to_pass {
                0 => self.set_out(held.frame, arrival),
                _ => self.held.push(held),
            }
        }
    }

    fn release_overdue(&mut self, now: Instant) {
        if self.held.iter().all(|held| held.at_latest > now) {
            return;
        }
        for held in std::mem::take(&mut self.held) {
            if held.at_latest <= now {
                self.set_out(held.frame, held.at_latest);
            } else {
                self.held.push(held);
            }
        }
    }
}

/// The frame with CE set, if it carries an IPv4 packet that says ECT(0) or ECT(1). The checksum is adjusted as
/// RFC 1624 has it.
fn marked(frame: &[u8]) -> Option<Bytes> {
    const ETHERTYPE: std::ops::Range<usize> = 12..14;
    const TRAFFIC_CLASS: usize = 15;
    const CHECKSUM: std::ops::Range<usize> = 24..26;
    let old = *frame.get(TRAFFIC_CLASS)?;
    if frame.get(ETHERTYPE)? != [0x08, 0x00] || !matches!(old & 3, 1 | 2) {
        return None;
    }
    let mut frame = frame.to_vec();
    *frame.get_mut(TRAFFIC_CLASS)? = old | 3;
    let field = frame.get_mut(CHECKSUM)?;
    // HC' = ~(~HC + ~m + m'): the first byte of the word that changes, version and header length, stays.
    let sum = Sum::ZERO.add_u16(!u16::from_be_bytes(<[u8; 2]>::try_from(&*field).ok()?));
    let sum = sum.add_u16(!u16::from(old)).add_u16(u16::from(old | 3));
    field.copy_from_slice(&sum.checksum().to_be_bytes());
    Some(frame.into())
}

/// Both directions of a line, each with faults and randomness of its own.
#[derive(Debug)]
pub struct Line {
    /// What the first end sends to the second.
    pub forth: Cable,
    /// What the second end sends to the first.
    pub back: Cable,
}

impl Line {
    /// A line with the same faults in both directions, decided by `seed`.
    pub fn new(faults: &Faults, seed: u64) -> Self {
        let mut seeds = Random::from_seed(seed);
        Line { forth: Cable::new(faults.clone(), seeds.next_u64()), back: Cable::new(faults.clone(), seeds.next_u64()) }
    }

    /// When the next frame can be taken out at either end.
    pub fn deadline(&self) -> Option<Instant> {
        self.forth.deadline().into_iter().chain(self.back.deadline()).min()
    }

    /// True if no frame is on its way.
    pub fn is_empty(&self) -> bool {
        self.forth.is_empty() && self.back.is_empty()
    }
}

#[cfg(test)]
mod tests;
