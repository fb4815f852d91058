//! Parts of a file: the Range header (RFC 9110 §14).
//!
//! ```text
//!   Range = bytes "=" 1#( first "-" [ last ] / "-" suffix )
//! ```
//!
//! A server may ignore the header (§14.2), and that is done with units other than bytes, with what is no set of ranges,
//! and with more of them than [`RANGES`]. Ranges that overlap, or whose gap is smaller than what two parts cost, become
//! one (§15.3.7.2): so an answer is never much longer than the file, however the ranges were chosen.

use smallvec::SmallVec;

/// Ranges in one header. More is more likely an attack than a reader.
pub(super) const RANGES: usize = 64;
/// The least gap that is worth a part of its own: about what its head is long.
const GAP: u64 = 80;

/// Octets from the first to the last, both included.
pub(super) type Span = (u64, u64);

/// What a Range header asks of a representation of some length.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Range {
    /// All of it: the header is ignored.
    Whole,
    /// One part.
    Part(Span),
    /// Several, in the order in which they were asked for unless some became one.
    Parts(SmallVec<[Span; 4]>),
    /// Nothing that is there (RFC 9110 §15.5.17).
    Unsatisfiable,
}

/// One range of a header.
enum Asked {
    Part(Span),
    /// Beyond the end, or of no length.
    Nothing,
    /// The last octets of what has none: they are all there, which a 206 can't say.
    Empty,
}

/// Reads the value of a Range header.
pub(super) fn parse(value: &str, length: u64) -> Range {
    set(value, length).unwrap_or(Range::Whole)
}

fn set(value: &str, length: u64) -> Option<Range> {
    let (unit, ranges) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut parts: SmallVec<[Span; 4]> = SmallVec::new();
    let (mut has_any, mut is_empty) = (false, false);
    // Empty elements of a list are none (RFC 9110 §5.6.1.2).
    for (index, range) in ranges.split(',').map(str::trim).filter(|range| !range.is_empty()).enumerate() {
        has_any = true;
        match one(range, length)? {
            _ if index >= RANGES => return None,
            Asked::Part(span) => parts.push(span),
            Asked::Nothing => {}
            Asked::Empty => is_empty = true,
        }
    }
    coalesce(&mut parts);
    Some(match parts.as_slice() {
        _ if !has_any => return None,
        [] if is_empty => Range::Whole,
        [] => Range::Unsatisfiable,
        [span] => Range::Part(*span),
        _ => Range::Parts(parts),
    })
}

/// Reads one range; `None` if it is none.
fn one(range: &str, length: u64) -> Option<Asked> {
    let (first, last) = range.split_once('-')?;
    Some(match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => return None,
        (Some(first), Some(_)) if first >= length => Asked::Nothing,
        (Some(first), None) if first >= length && last.is_empty() => Asked::Nothing,
        (Some(first), Some(last)) => Asked::Part((first, last.min(length - 1))),
        (Some(first), None) if last.is_empty() => Asked::Part((first, length - 1)),
        (None, Some(0)) if first.is_empty() => Asked::Nothing,
        (None, Some(_)) if first.is_empty() && length == 0 => Asked::Empty,
        (None, Some(suffix)) if first.is_empty() => Asked::Part((length.saturating_sub(suffix), length - 1)),
        _ => return None,
    })
}

/// A position; one that is too large to count is the largest.
fn number(digits: &str) -> Option<u64> {
    let decimal = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    decimal.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Makes one of what overlaps or nearly meets; then the rest is in ascending order.
fn coalesce(parts: &mut SmallVec<[Span; 4]>) {
    let mut sorted = parts.clone();
    sorted.sort_unstable();
    sorted.dedup_by(|next, before| {
        let is_near = next.0.saturating_sub(before.1) <= GAP;
        if is_near {
            before.1 = before.1.max(next.1);
        }
        is_near
    });
    if sorted.len() < parts.len() {
        *parts = sorted;
    }
}

#[cfg(test)]
mod tests {
    use super::Range::*;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        for (value, length, range) in [
            ("bytes=0-0", 10, Part((0, 0))),
            ("bytes=0-", 10, Part((0, 9))),
            ("bytes=3-5", 10, Part((3, 5))),
            ("Bytes= 3-5 ", 10, Part((3, 5))),
            ("bytes=3-99", 10, Part((3, 9))),
            ("bytes=9-99999999999999999999999", 10, Part((9, 9))),
            ("bytes=-3", 10, Part((7, 9))),
            ("bytes=-99", 10, Part((0, 9))),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=10-11", 10, Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=0-5", 0, Unsatisfiable),
            ("bytes=-5", 0, Whole),
            ("bytes=5-3", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes", 10, Whole),
            ("bytes=20-x", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("lines=0-1", 10, Whole),
            // Several.
            ("bytes=0-1,3-4", 10, Part((0, 4))),
            ("bytes=0-1,20-30", 10, Part((0, 1))),
            ("bytes=20-30,40-", 10, Unsatisfiable),
            ("bytes=0-,-5", 0, Whole),
            ("bytes=0-1,5-3", 10, Whole),
            ("bytes=0-1,x", 10, Whole),
            ("bytes= , 0-1 ,, ", 10, Part((0, 1))),
            ("bytes=,", 10, Whole),
            ("bytes=0-0,-1", 1_000, Parts([(0, 0), (999, 999)].into_iter().collect())),
            ("bytes=-1,0-0", 1_000, Parts([(999, 999), (0, 0)].into_iter().collect())),
            ("bytes=900-,0-9,5-20", 1_000, Parts([(0, 20), (900, 999)].into_iter().collect())),
            ("bytes=0-9,90-99", 1_000, Parts([(0, 9), (90, 99)].into_iter().collect())),
            ("bytes=0-9,89-99", 1_000, Part((0, 99))),
        ] {
            assert_eq!(parse(value, length), range, "{value} of {length}");
        }
    }

    #[test]
    fn more_ranges_than_anyone_needs_are_the_whole() {
        let many = |number: u64| {
            let ranges: Vec<String> = (0..number).map(|n| format!("{0}-{0}", n * 1_000)).collect();
            parse(&format!("bytes={}", ranges.join(",")), 1 << 20)
        };
        assert!(matches!(many(RANGES as u64), Parts(parts) if parts.len() == RANGES));
        assert_eq!(many(RANGES as u64 + 1), Whole);
    }

    /// The octets that a header asks for, one by one.
    fn naive(ranges: &[(Option<u64>, Option<u64>)], length: u64) -> Vec<bool> {
        (0..length)
            .map(|at| {
                ranges.iter().any(|range| match *range {
                    (Some(first), Some(last)) => first <= at && at <= last,
                    (Some(first), None) => first <= at,
                    (None, Some(suffix)) => at + suffix >= length,
                    (None, None) => false,
                })
            })
            .collect()
    }

    fn a_range() -> impl Strategy<Value = (Option<u64>, Option<u64>)> {
        prop_oneof![
            (0u64..2_500, 0u64..700).prop_map(|(first, more)| (Some(first), Some(first + more))),
            (0u64..2_500).prop_map(|first| (Some(first), None)),
            (0u64..2_500).prop_map(|suffix| (None, Some(suffix))),
        ]
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_was_asked_for_and_at_most_the_gaps_between(
            ranges in prop::collection::vec(a_range(), 1..9),
            length in 1u64..2_000,
        ) {
            let text = |end: Option<u64>| end.map_or(String::new(), |end| end.to_string());
            let list: Vec<String> = ranges.iter().map(|(first, last)| text(*first) + "-" + &text(*last)).collect();
            let asked = naive(&ranges, length);
            let parts = match parse(&format!("bytes={}", list.join(",")), length) {
                Whole => panic!("it is a set of ranges"),
                Unsatisfiable => SmallVec::new(),
                Part(span) => [span].into_iter().collect(),
                Parts(parts) => parts,
            };
            let mut sent = vec![0; length as usize];
            for (first, last) in &parts {
                prop_assert!(first <= last && *last < length);
                prop_assert!(asked[*first as usize] && asked[*last as usize], "ends are what was asked for");
                (*first..=*last).for_each(|at| sent[at as usize] += 1);
            }
            for (at, (sent, asked)) in sent.iter().zip(&asked).enumerate() {
                prop_assert!(*sent <= 1, "octet {at} is sent twice");
                prop_assert!(*sent == 1 || !asked, "octet {at} is missing");
            }
            let gaps: usize = sent.iter().zip(&asked).filter(|(sent, asked)| **sent == 1 && !**asked).count();
            prop_assert!(gaps as u64 <= GAP * ranges.len() as u64);
        }

        #[test]
        fn anything_is_read_and_a_part_is_always_within_the_whole(
            value in "(bytes=)?([0-9]{0,3}-?[0-9]{0,3},? ?){0,5}", length in 0u64..300,
        ) {
            match parse(&value, length) {
                Part((first, last)) => prop_assert!(first <= last && last < length),
                Parts(parts) => prop_assert!(parts.iter().all(|(first, last)| first <= last && *last < length)),
                Whole | Unsatisfiable => {}
            }
        }
    }
}
