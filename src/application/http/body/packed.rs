//! A file in a content coding, packed as it is sent: nobody knows how long it will be before it is.
//!
//! A piece is so small that packing it takes about a millisecond at most; other tasks have their turn between two. How many
//! bodies are packed at once is bounded by permits, since each takes some mebibytes.

use super::piece_of;
use crate::base::limits::HTTP_PACKED_AT_ONCE;
use crate::presentation::encoding::{Coding, Encoder};
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::rc::Rc;

/// Octets that are packed at once.
const PIECE: usize = 16 << 10;

/// Who may pack.
#[derive(Clone, Debug, Default)]
pub(in crate::application::http) struct Permits(Rc<()>);

impl Permits {
    /// True while another body may be packed.
    pub(in crate::application::http) fn is_one_left(&self) -> bool {
        Rc::strong_count(&self.0) <= HTTP_PACKED_AT_ONCE
    }
}

/// The body.
#[derive(Debug)]
pub(in crate::application::http) struct Packed {
    file: File,
    left: u64,
    coding: Coding,
    state: State,
    _permit: Permits,
}

#[derive(Debug)]
enum State {
    /// Nothing was asked for: an answer to HEAD never gets further.
    Unbegun,
    Begun(Box<Encoder>),
    Ended,
}

impl Packed {
    /// `length` octets of a file, packed.
    pub(in crate::application::http) fn new(file: File, length: u64, coding: Coding, permits: &Permits) -> Self {
        Packed { file, left: length, coding, state: State::Unbegun, _permit: permits.clone() }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut encoder = match std::mem::replace(&mut self.state, State::Ended) {
            State::Unbegun => Box::new(Encoder::new(self.coding, self.left)?),
            State::Begun(encoder) => encoder,
            State::Ended => return Ok(None),
        };
        if self.left == 0 {
            return encoder.finish().map(Some);
        }
        let piece = piece_of(&mut self.file, &mut self.left, PIECE)?;
        let ready = encoder.encode(&piece)?;
        self.state = State::Begun(encoder);
        Ok(Some(ready))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_come_back_when_a_body_ends() {
        let permits = Permits::default();
        let packed = |_| Packed::new(tempfile::tempfile().unwrap(), 0, Coding::Gzip, &permits);
        let bodies: Vec<Packed> = (0..HTTP_PACKED_AT_ONCE).map(packed).collect();
        assert!(!permits.is_one_left());
        drop(bodies);
        assert!(permits.is_one_left());
    }
}
