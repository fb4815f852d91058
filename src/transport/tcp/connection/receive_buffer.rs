//! What arrived and the application has not read: the stream in order, and the pieces beyond the first gap.
//!
//! Payloads are kept as slices of the frames they came in, but for small ones, which are copied next to each
//! other: a few octets never keep a large frame alive. Where pieces overlap, what came first stays (the
//! peer must send the same octets again; RFC 9293 §3.10.7.4 lets either be kept).

use crate::base::limits::TCP_OUT_OF_ORDER_RANGES;
use crate::base::ranges::Range;
use crate::base::seq::Seq;
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Payloads below this are copied.
const COPY_BREAK: usize = 1024;
/// The most that small payloads grow together to.
const MERGED: usize = 8 << 10;

#[derive(Clone, Debug)]
struct Held {
    seq: Seq,
    bytes: Bytes,
}

impl Held {
    fn range(&self) -> Range {
        Range::starting(self.seq, self.bytes.len() as u32)
    }
}

/// The unread stream and what lies beyond its gaps. What keeps octets is allocated with the first of them and freed
/// with the last: most connections have nothing to read most of the time.
#[derive(Clone, Debug, Default)]
pub(super) struct ReceiveBuffer {
    ready_len: u32,
    held_len: u32,
    /// The first octets in order. A reader that keeps up never needs more than this.
    front: Bytes,
    queues: Option<Box<Queues>>,
}

#[derive(Clone, Debug, Default)]
struct Queues {
    /// In order, the one after the first, and those after that.
    second: Bytes,
    ready: VecDeque<Bytes>,
    /// Small payloads in order after `ready`, growing.
    tail: BytesMut,
    /// Beyond the first gap, in order and without overlaps.
    held: VecDeque<Held>,
}

impl Queues {
    /// Takes what follows in order.
    fn make_ready(&mut self, bytes: Bytes) {
        if bytes.len() < COPY_BREAK && self.tail.len() + bytes.len() <= MERGED {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        self.freeze_tail();
        if bytes.len() < COPY_BREAK {
            self.tail.extend_from_slice(&bytes);
        } else {
            self.push_ready(bytes);
        }
    }

    fn freeze_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail).freeze();
            self.push_ready(tail);
        }
    }

    /// The next piece in order; empty if there is none.
    fn next_ready(&mut self) -> Bytes {
        if self.second.is_empty() {
            return std::mem::take(&mut self.tail).freeze();
        }
        std::mem::replace(&mut self.second, self.ready.pop_front().unwrap_or_default())
    }

    fn push_ready(&mut self, bytes: Bytes) {
        if self.second.is_empty() {
            self.second = bytes;
        } else {
            self.ready.push_back(bytes);
        }
    }
}

/// There is no room for another range of out-of-order data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooManyRanges;

impl ReceiveBuffer {
    /// Octets that can be read.
    pub(super) fn ready_len(&self) -> usize {
        self.ready_len as usize
    }

    /// Octets beyond the first gap.
    pub(super) fn held_len(&self) -> usize {
        self.held_len as usize
    }

    /// Takes what arrived at `nxt` and gives the next number expected: after it, and after whatever it
    /// joined up with.
    pub(super) fn append(&mut self, nxt: Seq, bytes: Bytes) -> Seq {
        let mut nxt = nxt + bytes.len() as u32;
        self.make_ready(bytes);
        let Some(queues) = &mut self.queues else { return nxt };
        while let Some(held) = queues.held.pop_front_if(|held| held.seq.at_or_before(nxt)) {
            self.held_len -= held.bytes.len() as u32;
            let known = nxt.past(held.seq) as usize;
            if known < held.bytes.len() {
                nxt = held.range().end;
                self.ready_len += (held.bytes.len() - known) as u32;
                queues.make_ready(held.bytes.slice(known..));
            }
        }
        nxt
    }

    /// Keeps what arrived beyond a gap; the octets that were not yet there are counted in the result.
    pub(super) fn hold(&mut self, seq: Seq, bytes: Bytes) -> Result<u32, TooManyRanges> {
        let arrived = Range::starting(seq, bytes.len() as u32);
        let gaps: SmallVec<[Range; 4]> = arrived.gaps(self.held().map(Held::range)).collect();
        if !gaps.is_empty() && self.held_ranges().count() >= TCP_OUT_OF_ORDER_RANGES && !self.touches(arrived) {
            return Err(TooManyRanges);
        }
        let mut kept = 0;
        for gap in gaps {
            let from = (gap.start - seq) as usize;
            kept += gap.len();
            self.insert(gap.start, bytes.slice(from..from + gap.len() as usize));
        }
        Ok(kept)
    }

    /// The ranges beyond the first gap, in order, adjacent pieces joined.
    pub(super) fn held_ranges(&self) -> impl Iterator<Item = Range> + '_ {
        let mut pieces = self.held().map(Held::range).peekable();
        std::iter::from_fn(move || {
            let mut range = pieces.next()?;
            while let Some(next) = pieces.next_if(|next| next.start == range.end) {
                range.end = next.end;
            }
            Some(range)
        })
    }

    /// The number after the last octet held.
    pub(super) fn held_end(&self) -> Option<Seq> {
        self.held().next_back().map(|held| held.range().end)
    }

    fn held(&self) -> impl DoubleEndedIterator<Item = &Held> {
        self.queues.iter().flat_map(|queues| &queues.held)
    }

    /// Takes up to `max` octets of the stream, as many as lie together.
    pub(super) fn read(&mut self, max: usize) -> Option<Bytes> {
        if self.ready_len == 0 {
            return None;
        }
        if self.front.is_empty() {
            self.front = self.queues.as_mut()?.next_ready();
        }
        let is_part = max < self.front.len();
        let bytes = if is_part { self.front.split_to(max) } else { std::mem::take(&mut self.front) };
        self.ready_len -= bytes.len() as u32;
        if self.ready_len == 0 && self.held_len == 0 {
            // An idle connection owns no buffers.
            self.queues = None;
        }
        Some(bytes)
    }

    /// The pieces of the stream that can be read, in order, left where they are.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let queued = self.queues.iter().flat_map(|queues| {
            std::iter::once(&queues.second[..])
                .chain(queues.ready.iter().map(|piece| &piece[..]))
                .chain(std::iter::once(&queues.tail[..]))
        });
        std::iter::once(&self.front[..]).chain(queued).filter(|piece| !piece.is_empty())
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        *self = ReceiveBuffer::default();
    }

    /// True if `arrived` joins or overlaps something held, so that it adds no range.
    fn touches(&self, arrived: Range) -> bool {
        self.held()
            .any(|held| held.range().start.at_or_before(arrived.end) && arrived.start.at_or_before(held.range().end))
    }

    /// Takes what is next in order.
    fn make_ready(&mut self, bytes: Bytes) {
        let is_first = self.ready_len == 0;
        self.ready_len += bytes.len() as u32;
        if !is_first {
            self.queues.get_or_insert_default().make_ready(bytes);
        } else if bytes.len() < COPY_BREAK {
            self.front = Bytes::copy_from_slice(&bytes);
        } else {
            self.front = bytes;
        }
    }

    fn insert(&mut self, seq: Seq, bytes: Bytes) {
        self.held_len += bytes.len() as u32;
        let held = &mut self.queues.get_or_insert_default().held;
        let place = held.partition_point(|held| held.seq.before(seq));
        if bytes.len() < COPY_BREAK
            && let Some(before) = place.checked_sub(1).and_then(|before| held.get_mut(before))
            && before.range().end == seq
            && before.bytes.len() + bytes.len() <= MERGED
        {
            let mut joined =
                std::mem::take(&mut before.bytes).try_into_mut().unwrap_or_else(|b| BytesMut::from(&b[..]));
            joined.extend_from_slice(&bytes);
            before.bytes = joined.freeze();
            return;
        }
        let bytes = if bytes.len() < COPY_BREAK { Bytes::copy_from_slice(&bytes) } else { bytes };
        held.insert(place, Held { seq, bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_payload_does_not_keep_its_frame_alive() {
        let frame = Bytes::from(vec![1u8; 65_536]);
        let mut buffer = ReceiveBuffer::default();
        let nxt = buffer.append(Seq(0), frame.slice(100..110));
        buffer.hold(nxt + 10, frame.slice(100..110)).unwrap();
        assert!(frame.is_unique());
    }

    #[test]
    fn a_large_payload_is_not_copied() {
        let frame = Bytes::from(vec![1u8; 65_536]);
        let mut buffer = ReceiveBuffer::default();
        buffer.append(Seq(0), frame.slice(54..));
        assert_eq!(buffer.read(1 << 20).unwrap().as_ptr(), frame[54..].as_ptr());
        assert_eq!(buffer.read(1), None);
    }

    #[test]
    fn the_number_of_ranges_is_bounded() {
        let mut buffer = ReceiveBuffer::default();
        for n in 0..TCP_OUT_OF_ORDER_RANGES as u32 {
            assert_eq!(buffer.hold(Seq(10 + 10 * n), Bytes::from_static(b"x")), Ok(1));
        }
        assert_eq!(buffer.hold(Seq(1 << 20), Bytes::from_static(b"x")), Err(TooManyRanges));
        // What joins a range that is there adds none.
        assert_eq!(buffer.hold(Seq(11), Bytes::from_static(b"y")), Ok(1));
    }

    proptest! {
        /// Segments of one stream in any order, with any overlap, give the stream.
        #[test]
        fn any_order_of_arrival_gives_the_stream(start: u32, cuts in proptest::collection::vec((0usize..20_000, 1usize..3000), 1..60)) {
            let stream: Vec<u8> = (0..20_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let whole = Bytes::from(stream.clone());
            let mut buffer = ReceiveBuffer::default();
            let base = Seq(start);
            let mut nxt = base;
            let mut got = Vec::new();
            for (from, len) in cuts.into_iter().chain(std::iter::once((0, 20_000))) {
                let to = (from + len).min(stream.len());
                let seq = base + from as u32;
                let known = nxt.past(seq) as usize;
                if from + known >= to {
                    continue;
                }
                let bytes = whole.slice(from + known..to);
                if known > 0 || seq == nxt {
                    nxt = buffer.append(nxt, bytes);
                } else {
                    buffer.hold(seq, bytes).unwrap();
                }
                let ranges: Vec<Range> = buffer.held_ranges().collect();
                prop_assert_eq!(ranges.iter().map(|r| r.len() as usize).sum::<usize>(), buffer.held_len());
                prop_assert!(ranges.windows(2).all(|pair| pair[0].end.before(pair[1].start)));
                while let Some(bytes) = buffer.read(700) {
                    got.extend_from_slice(&bytes);
                }
            }
            prop_assert_eq!(got, stream);
            prop_assert_eq!((buffer.ready_len(), buffer.held_len()), (0, 0));
        }
    }
}
