//! What the application gave and the peer has not acknowledged, as it was given: `Bytes` are kept whole and
//! every transmission, first or later, is cut from them without copying.
//!
//! Only small writes are copied, next to each other, so that a byte at a time does not cost a buffer a
//! byte.

use crate::base::ranges::Range;
use crate::base::seq::Seq;
use crate::physical::frame::Body;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Writes below this are copied together.
const SMALL: usize = 4096;
/// The most that is copied together.
const TAIL: usize = 16 << 10;

#[derive(Clone, Debug)]
struct Chunk {
    /// Where it ends, counted from the beginning of the stream.
    end: u64,
    bytes: Bytes,
}

/// The unacknowledged and unsent part of the stream. What keeps it is allocated with the first octet and freed with
/// the last: an idle connection owns no buffers.
#[derive(Clone, Debug)]
pub(super) struct SendBuffer {
    /// The sequence number of the first octet.
    start: Seq,
    /// Octets kept.
    len: u32,
    queue: Option<Box<Queue>>,
}

/// What is kept.
#[derive(Clone, Debug, Default)]
struct Queue {
    /// Octets that were here and are acknowledged; chunks count theirs from the same beginning.
    before: u64,
    chunks: VecDeque<Chunk>,
    /// Small writes, growing.
    tail: BytesMut,
}

impl Queue {
    fn push(&mut self, bytes: Bytes) {
        if bytes.len() >= SMALL {
            self.freeze_tail();
            return self.push_chunk(bytes);
        }
        if self.tail.len() + bytes.len() > TAIL {
            self.freeze_tail();
        }
        self.tail.extend_from_slice(&bytes);
    }

    /// Where the part that is not growing ends.
    fn frozen_end(&self) -> u64 {
        self.chunks.back().map_or(self.before, |last| last.end)
    }

    fn push_chunk(&mut self, bytes: Bytes) {
        self.chunks.push_back(Chunk { end: self.frozen_end() + bytes.len() as u64, bytes });
    }

    fn freeze_tail(&mut self) {
        if !self.tail.is_empty() {
            let bytes = std::mem::take(&mut self.tail).freeze();
            self.push_chunk(bytes);
        }
    }

    fn advance(&mut self, count: u32) {
        let before = self.before + u64::from(count);
        if before > self.frozen_end() {
            self.freeze_tail();
        }
        self.before = before;
        while self.chunks.front().is_some_and(|chunk| chunk.end <= self.before) {
            self.chunks.pop_front();
        }
    }

    fn slice(&mut self, offset: u32, len: u32) -> Body {
        let mut body = Body::new();
        let mut from = self.before + u64::from(offset);
        let to = from + u64::from(len);
        if to > self.frozen_end() {
            self.freeze_tail();
        }
        let first = self.chunks.partition_point(|chunk| chunk.end <= from);
        for chunk in self.chunks.range(first..) {
            let begin = chunk.end - chunk.bytes.len() as u64;
            let until = chunk.end.min(to);
            body.push(chunk.bytes.slice((from - begin) as usize..(until - begin) as usize));
            from = until;
            if from == to {
                break;
            }
        }
        body
    }
}

impl SendBuffer {
    /// An empty buffer whose first octet will have the number `start`.
    pub(super) fn new(start: Seq) -> Self {
        SendBuffer { start, len: 0, queue: None }
    }

    /// Octets kept.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The sequence number after the last octet: where more data, or the FIN, goes.
    pub(super) fn end(&self) -> Seq {
        self.start + self.len
    }

    /// Takes `bytes`.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.len += bytes.len() as u32;
            self.queue.get_or_insert_default().push(bytes);
        }
    }

    /// Lets go of everything before `seq`.
    pub(super) fn advance(&mut self, seq: Seq) {
        let count = seq.past(self.start).min(self.len);
        self.start += count;
        self.len -= count;
        if self.len == 0 {
            self.queue = None;
        } else if let Some(queue) = &mut self.queue {
            queue.advance(count);
        }
    }

    /// The octets of `range`, as slices of what was given.
    pub(super) fn slice(&mut self, range: Range) -> Body {
        let range = range.intersection(Range::new(self.start, self.end()));
        match &mut self.queue {
            Some(queue) if !range.is_empty() => queue.slice(range.start - self.start, range.len()),
            _ => Body::new(),
        }
    }

    /// Lets go of everything, for a connection that is over.
    pub(super) fn clear(&mut self) {
        *self = SendBuffer::new(self.end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(body: &Body) -> Vec<u8> {
        body.iter().flat_map(|part| part.to_vec()).collect()
    }

    #[test]
    fn a_large_write_goes_out_without_a_copy() {
        let mut buffer = SendBuffer::new(Seq(1));
        let given = Bytes::from(vec![7u8; 10_000]);
        buffer.push(given.clone());
        let body = buffer.slice(Range::starting(Seq(101), 5_000));
        assert_eq!(body.len(), 1);
        assert_eq!(body[0].as_ptr(), given[100..].as_ptr());
    }

    #[test]
    fn small_writes_share_a_buffer() {
        let mut buffer = SendBuffer::new(Seq(1));
        for byte in 0..100u8 {
            buffer.push(Bytes::copy_from_slice(&[byte]));
        }
        let body = buffer.slice(Range::starting(Seq(1), 100));
        assert_eq!(body.len(), 1);
        assert_eq!(joined(&body), (0..100).collect::<Vec<u8>>());
    }

    #[test]
    fn an_empty_buffer_owns_no_memory() {
        let mut buffer = SendBuffer::new(Seq(1));
        buffer.push(Bytes::from(vec![0; 100_000]));
        buffer.push(Bytes::from_static(b"small"));
        buffer.advance(buffer.end());
        assert!(buffer.len() == 0 && buffer.queue.is_none());
    }

    proptest! {
        #[test]
        fn any_slice_is_that_of_the_stream(start: u32, steps in proptest::collection::vec((0usize..9000, 0usize..9000, 0usize..9000), 1..30)) {
            let mut buffer = SendBuffer::new(Seq(start));
            let (mut model, mut next): (Vec<u8>, u8) = (Vec::new(), 0);
            for (write, from, acked) in steps {
                let bytes: Vec<u8> = (0..write).map(|_| { next = next.wrapping_mul(31).wrapping_add(17); next }).collect();
                model.extend_from_slice(&bytes);
                buffer.push(bytes.into());
                let from = from.min(model.len());
                let range = Range::new(buffer.start + from as u32, buffer.end());
                prop_assert_eq!(joined(&buffer.slice(range)), &model[from..]);
                let acked = acked.min(model.len());
                model.drain(..acked);
                buffer.advance(buffer.start + acked as u32);
                prop_assert_eq!(buffer.len(), model.len());
            }
        }
    }
}
