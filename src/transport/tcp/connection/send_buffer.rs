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

/// The unacknowledged and unsent part of the stream.
#[derive(Clone, Debug)]
pub(super) struct SendBuffer {
    /// The sequence number of the first octet.
    start: Seq,
    /// Octets of the stream before `start`.
    before: u64,
    /// Octets in `chunks` and `tail`.
    len: usize,
    chunks: VecDeque<Chunk>,
    /// Small writes, growing.
    tail: BytesMut,
}

impl SendBuffer {
    /// An empty buffer whose first octet will have the number `start`.
    pub(super) fn new(start: Seq) -> Self {
        SendBuffer { start, before: 0, len: 0, chunks: VecDeque::new(), tail: BytesMut::new() }
    }

    /// Octets kept.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The sequence number after the last octet: where more data, or the FIN, goes.
    pub(super) fn end(&self) -> Seq {
        self.start + self.len as u32
    }

    /// Takes `bytes`.
    pub(super) fn push(&mut self, bytes: Bytes) {
        let len = bytes.len();
        if len < SMALL {
            if self.tail.len() + len > TAIL {
                self.freeze_tail();
            }
            self.tail.extend_from_slice(&bytes);
        } else {
            self.freeze_tail();
            self.push_chunk(bytes);
        }
        self.len += len;
    }

    /// Lets go of everything before `seq`.
    pub(super) fn advance(&mut self, seq: Seq) {
        let count = (seq.past(self.start) as usize).min(self.len);
        if count > self.len - self.tail.len() {
            self.freeze_tail();
        }
        self.before += count as u64;
        self.start += count as u32;
        self.len -= count;
        while self.chunks.front().is_some_and(|chunk| chunk.end <= self.before) {
            self.chunks.pop_front();
        }
        if self.len == 0 {
            // An idle connection owns no buffers.
            self.chunks = VecDeque::new();
            self.tail = BytesMut::new();
        }
    }

    /// The octets of `range`, as slices of what was given.
    pub(super) fn slice(&mut self, range: Range) -> Body {
        let mut body = Body::new();
        let range = range.intersection(Range::new(self.start, self.end()));
        if range.is_empty() {
            return body;
        }
        let mut from = self.before + u64::from(range.start - self.start);
        let to = from + u64::from(range.len());
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

    /// Lets go of everything, for a connection that is over.
    pub(super) fn clear(&mut self) {
        *self = SendBuffer::new(self.end());
    }

    fn frozen_end(&self) -> u64 {
        self.before + (self.len - self.tail.len()) as u64
    }

    fn push_chunk(&mut self, bytes: Bytes) {
        let begin = self.chunks.back().map_or(self.before, |last| last.end);
        self.chunks.push_back(Chunk { end: begin + bytes.len() as u64, bytes });
    }

    fn freeze_tail(&mut self) {
        if !self.tail.is_empty() {
            let bytes = std::mem::take(&mut self.tail).freeze();
            self.push_chunk(bytes);
        }
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
        assert_eq!((buffer.len(), buffer.chunks.capacity(), buffer.tail.capacity()), (0, 0, 0));
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
