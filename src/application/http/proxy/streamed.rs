//! The body of an upstream's answer, as it comes: nothing is read before what was read is taken.

use super::answer_head::Framing;
use super::link::{Link, Trouble};
use crate::base::time::Duration;
use crate::presentation::chunked::{self, Piece};
use bytes::Bytes;
use std::fmt;
use std::io;

enum Rest {
    Length(u64),
    Chunks(Box<chunked::Decoder>),
    UntilClose,
}

/// The body of an answer that is passed on.
pub struct Streamed {
    /// Until the end.
    link: Option<Link>,
    rest: Rest,
    keeps_alive: bool,
    /// How long it may stand still.
    patience: Duration,
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").field("length", &self.length()).finish_non_exhaustive()
    }
}

impl Streamed {
    /// The body behind a head with this framing.
    pub(super) fn new(link: Link, framing: Framing, keeps_alive: bool, patience: Duration) -> Self {
        let rest = match framing {
            Framing::None(_) => Rest::Length(0),
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunks(Box::default()),
            Framing::UntilClose => Rest::UntilClose,
        };
        Streamed { link: Some(link), rest, keeps_alive, patience }
    }

    /// Octets that are still to come, if that is known.
    pub(in crate::application::http) fn length(&self) -> Option<u64> {
        match self.rest {
            Rest::Length(left) => Some(left),
            _ => None,
        }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The upstream broke off. What was sent is not whole, and only breaking off as well tells it to the client.
    pub(in crate::application::http) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(link) = &mut self.link else { return Ok(None) };
        match piece(link, &mut self.rest, self.patience).await {
            Ok(Some(octets)) => Ok(Some(octets)),
            Ok(None) => {
                if let Some(link) = self.link.take() {
                    link.end(self.keeps_alive);
                }
                Ok(None)
            }
            Err(trouble) => {
                log::warn!(target: "tapstack::http", "the upstream {}: {trouble}", link.upstream().to.address);
                link.upstream().on_failure();
                self.link = None;
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the upstream {trouble}")))
            }
        }
    }
}

async fn piece(link: &mut Link, rest: &mut Rest, patience: Duration) -> Result<Option<Bytes>, Trouble> {
    loop {
        match rest {
            Rest::Length(0) => return Ok(None),
            Rest::Length(left) if !link.input.is_empty() => {
                let octets = usize::try_from(*left).unwrap_or(usize::MAX).min(link.input.len());
                *left -= octets as u64;
                return Ok(Some(link.input.split_to(octets)));
            }
            Rest::UntilClose if !link.input.is_empty() => return Ok(Some(std::mem::take(&mut link.input))),
            Rest::Chunks(decoder) => match decoder.next(&mut link.input) {
                Ok(Piece::Data(octets)) => return Ok(Some(octets)),
                Ok(Piece::End) => return Ok(None),
                Ok(Piece::More) => {}
                Err(chunked::Malformed) => return Err(Trouble::Garbled("its chunks break the grammar")),
            },
            _ => {}
        }
        if !link.more(patience).await? {
            return if matches!(rest, Rest::UntilClose) { Ok(None) } else { Err(Trouble::Ended) };
        }
    }
}
