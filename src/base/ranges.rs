//! Half-open ranges of sequence numbers, and what is left of one when others are taken out of it.

use crate::base::seq::Seq;
use std::fmt;

/// The sequence numbers from `start` up to, but without, `end`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// The first number.
    pub start: Seq,
    /// The number after the last.
    pub end: Seq,
}

impl Range {
    /// The range from `start` to `end`; empty if `end` is not after `start`.
    pub fn new(start: Seq, end: Seq) -> Self {
        Range { start, end: end.max(start) }
    }

    /// The `len` numbers from `start` on.
    pub fn starting(start: Seq, len: u32) -> Self {
        Range { start, end: start + len }
    }

    /// How many numbers it holds.
    pub fn len(self) -> u32 {
        self.end - self.start
    }

    /// True if it holds none.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// True if `seq` is in it.
    pub fn contains(self, seq: Seq) -> bool {
        seq.in_window(self.start, self.len())
    }

    /// True if every number of `other` is in it.
    pub fn covers(self, other: Range) -> bool {
        self.start.at_or_before(other.start) && other.end.at_or_before(self.end)
    }

    /// What the two have in common; an empty range where they have nothing.
    #[must_use]
    pub fn intersection(self, other: Range) -> Range {
        Range::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// The parts of this range that none of `taken` covers. `taken` is in order and without overlaps.
    pub fn gaps(self, taken: impl Iterator<Item = Range>) -> impl Iterator<Item = Range> {
        let end = Range { start: self.end, end: self.end };
        let mut next = self.start;
        taken
            .map(move |range| self.intersection(range))
            .filter(|range| !range.is_empty())
            .chain(std::iter::once(end))
            .map(move |range| {
                let gap = Range::new(next, range.start);
                next = next.max(range.end);
                gap
            })
            .filter(|gap| !gap.is_empty())
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u32, end: u32) -> Range {
        Range::new(Seq(start), Seq(end))
    }

    #[test]
    fn an_intersection_is_empty_where_nothing_is_shared() {
        assert_eq!(range(10, 20).intersection(range(15, 30)), range(15, 20));
        assert!(range(10, 20).intersection(range(20, 30)).is_empty());
        assert!(range(10, 20).intersection(range(30, 40)).is_empty());
        assert!(range(30, 40).intersection(range(10, 20)).is_empty());
    }

    #[test]
    fn gaps_are_what_is_left() {
        let taken = [range(0, 5), range(12, 14), range(14, 15), range(18, 30)];
        let gaps: Vec<Range> = range(3, 20).gaps(taken.into_iter()).collect();
        assert_eq!(gaps, [range(5, 12), range(15, 18)]);
        assert_eq!(range(3, 20).gaps(std::iter::empty()).collect::<Vec<_>>(), [range(3, 20)]);
        assert_eq!(range(3, 20).gaps([range(0, 50)].into_iter()).count(), 0);
    }

    #[test]
    fn ranges_work_across_the_wrap() {
        let wrapping = Range::starting(Seq(u32::MAX - 4), 10);
        assert_eq!(wrapping.len(), 10);
        assert!(wrapping.contains(Seq(2)));
        assert!(!wrapping.contains(Seq(5)));
        assert!(wrapping.covers(range(0, 5)));
        assert!(!wrapping.covers(range(0, 6)));
    }
}
