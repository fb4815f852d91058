//! Bodies without a copy: the buffer behind a slice that hyper writes.
//!
//! hyper takes a body as reference-counted buffers and gives the stream slices of them. The stack takes
//! reference-counted buffers. In between, the buffers that a body gave are remembered here, and a slice that
//! lies in one of them becomes a reference to it instead of a copy. Because a remembered buffer is alive, a
//! slice within its bounds can only be of it.

use bytes::Bytes;
use std::cell::RefCell;
use std::collections::VecDeque;

/// The buffers of bodies that are on their way through hyper, in order. hyper holds some sixteen at most.
#[derive(Default)]
pub(super) struct Pieces(RefCell<VecDeque<Bytes>>);

impl Pieces {
    /// A body gave this buffer.
    pub(super) fn give(&self, piece: Bytes) {
        self.0.borrow_mut().push_back(piece);
    }

    /// The buffer that `slice` is in, cut to it. Buffers given before that one are done with.
    pub(super) fn behind(&self, slice: &[u8]) -> Option<Bytes> {
        let mut pieces = self.0.borrow_mut();
        let (at, found) = pieces.iter().enumerate().find_map(|(at, piece)| {
            let start = slice.as_ptr().addr().checked_sub(piece.as_ptr().addr())?;
            let end = start.checked_add(slice.len())?;
            (end <= piece.len()).then(|| (at, piece.slice(start..end)))
        })?;
        pieces.drain(..at);
        Some(found)
    }

    /// `slice` was written whole: a buffer that ends with it is done with.
    pub(super) fn done(&self, slice: &[u8]) {
        let mut pieces = self.0.borrow_mut();
        if pieces.front().is_some_and(|piece| piece.as_ptr_range().end == slice.as_ptr_range().end) {
            pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_of_a_piece_is_that_piece_and_anything_else_is_none() {
        let pieces = Pieces::default();
        let (one, two) = (Bytes::from(vec![1; 100]), Bytes::from(vec![2; 100]));
        pieces.give(one.clone());
        pieces.give(two.clone());
        assert!(pieces.behind(&[1; 10]).is_none());
        let found = pieces.behind(&one[10..20]).unwrap();
        assert_eq!(found.as_ptr(), one[10..].as_ptr());
        assert_eq!(found.len(), 10);
        pieces.done(&one[10..20]);
        assert!(pieces.behind(&one[20..]).is_some(), "there is more of it");
        pieces.done(&one[20..]);
        assert!(pieces.behind(&one).is_none(), "it was written to its end");
        assert_eq!(pieces.behind(&two).unwrap().as_ptr(), two.as_ptr());
    }

    #[test]
    fn pieces_before_the_one_being_written_are_let_go() {
        let pieces = Pieces::default();
        let all: Vec<Bytes> = (0..5).map(|n| Bytes::from(vec![n; 10])).collect();
        all.iter().for_each(|piece| pieces.give(piece.clone()));
        assert!(pieces.behind(&all[3]).is_some());
        assert_eq!(pieces.0.borrow().len(), 2);
    }
}
