//! Sequence numbers: 32 bits that wrap around, compared by distance (RFC 9293 §3.4, RFC 1982 in spirit).
//!
//! A [`Seq`] has no total order, so it implements neither `Ord` nor `PartialOrd`: "before" holds only
//! between numbers less than half the circle apart, which a window of at most 2^30 bytes guarantees
//! (RFC 7323 §2.3).

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A point in a stream of bytes, modulo 2^32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// True if this comes before `other`.
    pub const fn before(self, other: Seq) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// True if this comes before `other` or is it.
    pub const fn at_or_before(self, other: Seq) -> bool {
        !other.before(self)
    }

    /// True if this comes after `other`.
    pub const fn after(self, other: Seq) -> bool {
        other.before(self)
    }

    /// True if this comes after `other` or is it.
    pub const fn at_or_after(self, other: Seq) -> bool {
        !self.before(other)
    }

    /// True if this is one of the `len` numbers from `start` on.
    pub const fn in_window(self, start: Seq, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }

    /// The earlier of the two.
    #[must_use]
    pub const fn min(self, other: Seq) -> Seq {
        if other.before(self) { other } else { self }
    }

    /// The later of the two.
    #[must_use]
    pub const fn max(self, other: Seq) -> Seq {
        if other.after(self) { other } else { self }
    }

    /// How far this is past `earlier`; zero if it is not past it.
    pub const fn past(self, earlier: Seq) -> u32 {
        if self.after(earlier) { self.0.wrapping_sub(earlier.0) } else { 0 }
    }
}

impl Add<u32> for Seq {
    type Output = Seq;
    fn add(self, rhs: u32) -> Seq {
        Seq(self.0.wrapping_add(rhs))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, rhs: u32) {
        *self = *self + rhs;
    }
}

impl Sub<u32> for Seq {
    type Output = Seq;
    fn sub(self, rhs: u32) -> Seq {
        Seq(self.0.wrapping_sub(rhs))
    }
}

/// The distance from `rhs` up to `self`, modulo 2^32.
impl Sub<Seq> for Seq {
    type Output = u32;
    fn sub(self, rhs: Seq) -> u32 {
        self.0.wrapping_sub(rhs.0)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_order_holds_across_the_wrap() {
        let last = Seq(u32::MAX);
        assert!(last.before(last + 1));
        assert!((last + 1).after(last));
        assert!(last.at_or_before(last) && last.at_or_after(last));
        assert_eq!((last + 5) - last, 5);
        assert_eq!((last + 5).past(last), 5);
        assert_eq!(last.past(last + 5), 0);
        assert_eq!(last.max(last + 1), Seq(0));
        assert_eq!(last.min(last + 1), last);
    }

    #[test]
    fn a_window_holds_its_start_and_not_its_end() {
        let start = Seq(u32::MAX - 1);
        assert!(start.in_window(start, 1));
        assert!((start + 3).in_window(start, 4));
        assert!(!(start + 4).in_window(start, 4));
        assert!(!(start - 1).in_window(start, 4));
        assert!(!start.in_window(start, 0));
    }

    proptest! {
        #[test]
        fn comparison_is_that_of_the_distance(start: u32, distance in 0u32..(1 << 31)) {
            let (a, b) = (Seq(start), Seq(start) + distance);
            prop_assert_eq!(a.before(b), distance > 0);
            prop_assert!(a.at_or_before(b));
            prop_assert_eq!(b - a, distance);
            prop_assert_eq!(b - distance, a);
        }
    }
}
