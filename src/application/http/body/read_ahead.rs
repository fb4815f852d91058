//! The octets of a file, read into buffers that will be used again.
//!
//! One piece first, then twice as many with each call, up to [`AT_ONCE`]: an answer that goes on for long costs fewer
//! system calls, and the copy out of the page cache runs on from one piece to the next, which is a seventh of its time. A
//! short answer, and one that the client takes little of, holds little.

use super::{PIECE, shorter};
use crate::base::buffers::Buffer;
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut, Read};

/// Pieces that are read at once at most.
const AT_ONCE: usize = 4;

/// What is left of a file, or of a part of it.
#[derive(Debug)]
pub(super) struct ReadAhead {
    file: File,
    /// Octets that are not read yet.
    unread: u64,
    ready: VecDeque<Bytes>,
    /// Pieces to read with the next call.
    pieces: usize,
}

impl ReadAhead {
    /// The next `length` octets of a file.
    pub(super) fn new(file: File, length: u64) -> Self {
        ReadAhead { file, unread: length, ready: VecDeque::new(), pieces: 1 }
    }

    /// Octets that were not given out yet.
    pub(super) fn left(&self) -> u64 {
        self.unread + self.ready.iter().map(|piece| piece.len() as u64).sum::<u64>()
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The file can't be read, or has become shorter.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.ready.is_empty() && self.unread > 0 {
            self.read()?;
        }
        Ok(self.ready.pop_front())
    }

    fn read(&mut self) -> io::Result<()> {
        let most = usize::try_from(self.unread).unwrap_or(usize::MAX).min(self.pieces * PIECE);
        let mut buffers: SmallVec<[Buffer; AT_ONCE]> = (0..most.div_ceil(PIECE)).map(|_| Buffer::take()).collect();
        let mut rooms: SmallVec<[IoSliceMut<'_>; AT_ONCE]> = SmallVec::new();
        for (index, buffer) in buffers.iter_mut().enumerate() {
            let room = buffer.room().split_at_mut(PIECE.min(most - index * PIECE)).0;
            rooms.push(IoSliceMut::new(room));
        }
        let mut read = loop {
            match self.file.read_vectored(&mut rooms) {
                Ok(0) => return Err(shorter()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        drop(rooms);
        self.pieces = (self.pieces * 2).min(AT_ONCE);
        self.unread -= read as u64;
        for buffer in buffers {
            let filled = read.min(PIECE);
            read -= filled;
            if filled > 0 {
                self.ready.push_back(buffer.freeze(0..filled));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    fn file(octets: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(octets).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn all_octets_come_in_their_order_and_are_counted_down() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 7 * PIECE + 5, 20 * PIECE] {
            let octets: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut ahead = ReadAhead::new(file(&[&octets, b"not asked for".as_slice()].concat()), length as u64);
            let mut got = Vec::new();
            while let Some(piece) = ahead.next().unwrap() {
                assert!(!piece.is_empty() && piece.len() <= PIECE);
                got.extend_from_slice(&piece);
                assert_eq!(ahead.left(), (length - got.len()) as u64);
                assert!(ahead.ready.len() < AT_ONCE);
            }
            assert!(got == octets, "{length}");
        }
    }

    #[test]
    fn the_first_piece_is_read_alone() {
        let mut ahead = ReadAhead::new(file(&vec![0; 8 * PIECE]), 8 * PIECE as u64);
        let held: Vec<usize> = (0..8).map(|_| ahead.next().unwrap().map(|_| ahead.ready.len()).unwrap()).collect();
        assert_eq!(held, [0, 1, 0, 3, 2, 1, 0, 0]);
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error_behind_what_there_was() {
        let mut ahead = ReadAhead::new(file(&vec![0; 2 * PIECE + 7]), 3 * PIECE as u64);
        let lengths: Vec<usize> = (0..3).map(|_| ahead.next().unwrap().unwrap().len()).collect();
        assert_eq!(lengths, [PIECE, PIECE, 7]);
        assert_eq!(ahead.next().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
