//! Large buffers that are used again: what a device or a file is read into without being zeroed or allocated
//! anew, and what goes on from there as [`Bytes`] without a copy.
//!
//! ```text
//!   take ──► room: read into ──► freeze: Bytes, cloned and sliced at will
//!    ▲                                      │
//!    └──── the thread's free list ◄─────────┘ when the last reference is dropped
//! ```
//!
//! Every thread has a free list of its own, so that nothing is locked: a buffer dropped on another thread stays
//! there. The last one freed is the first one taken, since it is the one most likely still in the cache.
//!
//! Not here: what may be kept alive by a small slice of a large buffer. Whoever keeps slices for long copies
//! small ones.

use crate::base::limits::FREE_BUFFERS;
use bytes::Bytes;
use std::cell::RefCell;
use std::ops::Range;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`Buffer::CAPACITY`] octets; what is in it is left over from its last use.
#[derive(Debug)]
pub struct Buffer {
    octets: Box<[u8]>,
}

impl Buffer {
    /// The largest frame there is, 64 KiB of IP datagram with all headers below it, and room to spare.
    pub const CAPACITY: usize = (64 << 10) + 512;

    /// A buffer from the thread's free list, or a new one.
    pub fn take() -> Self {
        // While a thread ends its list is gone.
        let free = FREE.try_with(|free| free.borrow_mut().pop()).ok().flatten();
        Buffer { octets: free.unwrap_or_else(|| vec![0; Buffer::CAPACITY].into_boxed_slice()) }
    }

    /// All of it, to be read into.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.octets
    }

    /// The octets of `range`, as far as there are that many; the buffer is free again when nothing refers to
    /// them any more.
    pub fn freeze(self, range: Range<usize>) -> Bytes {
        let end = range.end.min(self.octets.len());
        Bytes::from_owner(self).slice(range.start.min(end)..end)
    }

    /// Gives up what this thread's free list holds.
    pub fn give_back() {
        let _ = FREE.try_with(|free| free.take());
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let octets = std::mem::take(&mut self.octets);
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < FREE_BUFFERS {
                free.push(octets);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_the_last_slice_of_it_is_gone() {
        Buffer::give_back();
        let mut buffer = Buffer::take();
        buffer.room()[..4].copy_from_slice(b"abcd");
        let place = buffer.octets.as_ptr();
        let bytes = buffer.freeze(1..4);
        let slice = bytes.slice(1..);
        drop(bytes);
        let other = Buffer::take();
        assert_ne!(other.octets.as_ptr(), place, "it is still referred to");
        assert_eq!(slice, "cd");
        drop(slice);
        assert_eq!(Buffer::take().octets.as_ptr(), place);
    }

    #[test]
    fn the_free_list_is_bounded() {
        Buffer::give_back();
        let many: Vec<Buffer> = (0..FREE_BUFFERS + 10).map(|_| Buffer::take()).collect();
        drop(many);
        assert_eq!(FREE.with(|free| free.borrow().len()), FREE_BUFFERS);
    }

    #[test]
    fn a_range_beyond_the_buffer_is_cut() {
        assert_eq!(Buffer::take().freeze(10..usize::MAX).len(), Buffer::CAPACITY - 10);
        assert!(Buffer::take().freeze(usize::MAX - 1..usize::MAX).is_empty());
    }
}
