//! DSACK, the sender's side (RFC 2883 §4): the first SACK block of an ACK may say that something came twice.

use crate::base::ranges::Range;
use crate::base::seq::Seq;

/// The block that reports a duplicate: the first, if what it covers is acknowledged already (RFC 2883 §4.1) or lies
/// inside of the second block (§4.2).
pub(in super::super) fn duplicate(ack: Seq, blocks: &[Range]) -> Option<Range> {
    let first = *blocks.first().filter(|block| block.start.before(block.end))?;
    let is_acknowledged = first.start.before(ack);
    let is_inside = blocks.get(1).is_some_and(|second| second.start.before(second.end) && second.covers(first));
    (is_acknowledged || is_inside).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u32, end: u32) -> Range {
        Range::new(Seq(start), Seq(end))
    }

    #[test]
    fn a_first_block_below_the_acknowledgment_is_a_duplicate() {
        // RFC 2883 §4.1.1.
        assert_eq!(duplicate(Seq(4000), &[range(3000, 3500)]), Some(range(3000, 3500)));
        assert_eq!(duplicate(Seq(4000), &[range(5000, 5500), range(3000, 3500)]), None);
    }

    #[test]
    fn a_first_block_inside_the_second_is_a_duplicate() {
        // RFC 2883 §4.2.
        let blocks = [range(5000, 5500), range(4500, 6000)];
        assert_eq!(duplicate(Seq(4000), &blocks), Some(range(5000, 5500)));
        assert_eq!(duplicate(Seq(4000), &[range(5000, 5500), range(5200, 6000)]), None);
    }
}
