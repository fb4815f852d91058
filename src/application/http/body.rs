//! The body of an answer, given out piece by piece.

mod byte_ranges;
mod packed;
mod read_ahead;

pub(super) use byte_ranges::ByteRanges;
pub(super) use packed::{Packed, Permits};

use super::proxy::Streamed;
use crate::base::buffers::Buffer;
use bytes::Bytes;
use read_ahead::ReadAhead;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Octets read from a file at a time: whole pages, and as much as a super-segment carries.
const PIECE: usize = 64 << 10;
const _: () = assert!(PIECE <= Buffer::CAPACITY);

/// Where the octets of a file are.
#[derive(Debug)]
pub(super) enum Content {
    /// Here.
    Kept(Bytes),
    /// Behind a descriptor that nobody else reads from.
    File(File),
}

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Form);

#[derive(Debug)]
enum Form {
    Whole(Bytes),
    File(Box<ReadAhead>),
    Parts(Box<ByteRanges>),
    Packed(Box<Packed>),
    Streamed(Box<Streamed>),
    Absent(Option<u64>),
}

impl Body {
    /// The longest piece, but for what is here already.
    pub(super) const PIECE: usize = PIECE;

    /// A body that is here already.
    pub(super) fn whole(octets: impl Into<Bytes>) -> Self {
        Body(Form::Whole(octets.into()))
    }

    /// `length` octets of a content from `first` on.
    ///
    /// # Errors
    /// The file can't be read there.
    pub(super) fn part(content: Content, first: u64, length: u64) -> io::Result<Self> {
        Ok(Body(match content {
            Content::Kept(octets) => Form::Whole(slice(&octets, first, length)),
            Content::File(mut file) => {
                if first > 0 {
                    file.seek(SeekFrom::Start(first))?;
                }
                Form::File(Box::new(ReadAhead::new(file, length)))
            }
        }))
    }

    /// Several parts of a content.
    pub(super) fn parts(parts: ByteRanges) -> Self {
        Body(Form::Parts(Box::new(parts)))
    }

    /// A file, packed as it is sent.
    pub(super) fn packed(packed: Packed) -> Self {
        Body(Form::Packed(Box::new(packed)))
    }

    /// What comes from elsewhere.
    pub(super) fn streamed(streamed: Streamed) -> Self {
        Body(Form::Streamed(Box::new(streamed)))
    }

    /// Nothing, in the place of a body with so many octets.
    pub(super) fn absent(length: Option<u64>) -> Self {
        Body(Form::Absent(length))
    }

    /// True if waiting for it takes no end: whoever makes it is not here.
    pub(super) fn is_from_afar(&self) -> bool {
        matches!(self.0, Form::Streamed(_))
    }

    /// Octets that are still to come; `None` if nobody knows before they have.
    pub(super) fn length(&self) -> Option<u64> {
        match &self.0 {
            Form::Whole(octets) => Some(octets.len() as u64),
            Form::File(file) => Some(file.left()),
            Form::Parts(parts) => Some(parts.length()),
            Form::Packed(_) => None,
            Form::Streamed(streamed) => streamed.length(),
            Form::Absent(length) => *length,
        }
    }

    /// All of it, if it is here already and has no more than so many octets.
    pub(super) fn take_whole(&mut self, most: usize) -> Option<Bytes> {
        match &mut self.0 {
            Form::Whole(octets) if octets.len() <= most => Some(std::mem::take(octets)),
            _ => None,
        }
    }

    /// The next piece, which may be empty if it took work to get so far; `None` at the end.
    ///
    /// # Errors
    /// The file can't be read, or ends before its length; or whoever makes it breaks off. The length was promised to the
    /// client, and only closing the connection tells it that the answer is not whole.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.0 {
            Form::Whole(octets) if octets.is_empty() => Ok(None),
            Form::Whole(octets) => Ok(Some(std::mem::take(octets))),
            Form::File(file) => file.next(),
            Form::Parts(parts) => parts.next(),
            Form::Packed(packed) => packed.next(),
            Form::Streamed(streamed) => streamed.next().await,
            Form::Absent(_) => Ok(None),
        }
    }
}

/// `length` octets from `first` on, as far as there are any.
fn slice(octets: &Bytes, first: u64, length: u64) -> Bytes {
    let first = usize::try_from(first).unwrap_or(usize::MAX).min(octets.len());
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(octets.len() - first);
    octets.slice(first..first + length)
}

/// Reads the next of `left` octets into a buffer that will be used again.
fn piece(file: &mut File, left: &mut u64) -> io::Result<Bytes> {
    piece_of(file, left, PIECE)
}

fn piece_of(file: &mut File, left: &mut u64, most: usize) -> io::Result<Bytes> {
    let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(most);
    let mut buffer = Buffer::take();
    let mut filled = 0;
    while let Some(room) = buffer.room().get_mut(filled..wanted).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => {
                return Err(shorter());
            }
            Ok(octets) => filled += octets,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    *left -= filled as u64;
    Ok(buffer.freeze(0..filled))
}

fn shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent")
}
