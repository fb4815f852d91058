//! A part of a file: the Range header (RFC 9110 §14.2).
//!
//! One range is served. A server may ignore the header (§14.2), and that is done with several ranges, units
//! other than bytes, and what is no range at all.

/// What a Range header asks of a representation of some length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Range {
    /// All of it: the header is ignored.
    Whole,
    /// From the first to the last octet, both included.
    Part(u64, u64),
    /// Nothing that is there (RFC 9110 §15.5.17).
    Unsatisfiable,
}

/// Reads the value of a Range header.
pub(super) fn parse(value: &str, length: u64) -> Range {
    part(value, length).unwrap_or(Range::Whole)
}

fn part(value: &str, length: u64) -> Option<Range> {
    let (unit, range) = value.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    Some(match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => return None,
        (Some(first), _) if first >= length && (last.is_empty() || number(last).is_some()) => Range::Unsatisfiable,
        (Some(first), Some(last)) => Range::Part(first, last.min(length - 1)),
        (Some(first), None) if last.is_empty() => Range::Part(first, length - 1),
        (None, Some(0)) if first.is_empty() => Range::Unsatisfiable,
        // The last octets of nothing are nothing, which a 206 can't say.
        (None, Some(_)) if first.is_empty() && length == 0 => Range::Whole,
        (None, Some(suffix)) if first.is_empty() => Range::Part(length.saturating_sub(suffix), length - 1),
        _ => return None,
    })
}

/// A position; one that is too large to count is the largest.
fn number(digits: &str) -> Option<u64> {
    let decimal = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    decimal.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::Range::*;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        for (value, length, range) in [
            ("bytes=0-0", 10, Part(0, 0)),
            ("bytes=0-", 10, Part(0, 9)),
            ("bytes=3-5", 10, Part(3, 5)),
            ("Bytes= 3-5 ", 10, Part(3, 5)),
            ("bytes=3-99", 10, Part(3, 9)),
            ("bytes=9-99999999999999999999999", 10, Part(9, 9)),
            ("bytes=-3", 10, Part(7, 9)),
            ("bytes=-99", 10, Part(0, 9)),
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
            ("bytes=0-1,3-4", 10, Whole),
            ("bytes=20-x", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("lines=0-1", 10, Whole),
        ] {
            assert_eq!(parse(value, length), range, "{value} of {length}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_always_within_the_whole(value in "(bytes=)?[0-9]{0,3}-?[0-9]{0,3}", length in 0u64..300) {
            if let Part(first, last) = parse(&value, length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
