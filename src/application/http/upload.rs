//! The body of an HTTP/1.1 request: slices of what was received.

use super::exchange::Exchange;
use super::head::{Framing, Head};
use super::incoming::Incoming;
use super::wire::{Fault, Pace};
use crate::application::server::Connection;
use crate::presentation::chunked::{self, Piece};
use bytes::Bytes;
use http::header::EXPECT;
use http::{StatusCode, Version};

enum Rest {
    Length(u64),
    Chunks(chunked::Decoder),
}

/// The body of a request.
pub(super) struct Upload<'a, 'w, S: Connection> {
    exchange: &'a mut Exchange<'w, S>,
    rest: Rest,
    /// The client may be waiting for word before it sends the body (RFC 9110 §10.1.1).
    expects_word: bool,
    pace: Pace,
}

impl<'a, 'w, S: Connection> Upload<'a, 'w, S> {
    pub(super) fn new(exchange: &'a mut Exchange<'w, S>, head: &Head) -> Self {
        let rest = match head.framing {
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunks(chunked::Decoder::default()),
        };
        let expects_word = head.parts.version >= Version::HTTP_11 && head.parts.headers.contains_key(EXPECT);
        let pace = Pace::new(exchange.wire.now());
        Upload { exchange, rest, expects_word, pace }
    }

    fn piece(&mut self) -> Result<Piece, Fault> {
        let input = &mut self.exchange.input;
        match &mut self.rest {
            Rest::Length(0) => Ok(Piece::End),
            Rest::Length(_) if input.is_empty() => Ok(Piece::More),
            Rest::Length(left) => {
                let octets = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= octets as u64;
                Ok(Piece::Data(input.split_to(octets)))
            }
            Rest::Chunks(decoder) => decoder.next(input).map_err(|_| StatusCode::BAD_REQUEST.into()),
        }
    }
}

impl<S: Connection> Incoming for Upload<'_, '_, S> {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            match self.piece()? {
                Piece::Data(octets) => {
                    self.expects_word = false;
                    self.pace.on_progress(octets.len());
                    return Ok(Some(octets));
                }
                Piece::End => return Ok(None),
                Piece::More => {}
            }
            if std::mem::take(&mut self.expects_word) {
                self.exchange.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            let patience = self.exchange.wire.site.config.body_timeout;
            let deadline = self.pace.deadline(patience).min(self.exchange.wire.now() + patience);
            self.exchange.more(deadline).await?;
        }
    }

    async fn gone(&mut self) {
        self.exchange.gone().await;
    }

    fn is_ended(&self) -> bool {
        match &self.rest {
            Rest::Length(left) => *left == 0,
            Rest::Chunks(decoder) => decoder.is_ended(),
        }
    }
}
