//! The body of an HTTP/2 request. That it is as long as it says, the machine holds it to (RFC 9113 §8.1.1); trailers are
//! read and forgotten.

use crate::application::http::Site;
use crate::application::http::incoming::Incoming;
use crate::application::http::wire::{Fault, Pace};
use bytes::Bytes;
use h2::RecvStream;
use http::StatusCode;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

/// The body of a request.
pub(super) struct Upload<'a, F> {
    site: &'a Site,
    body: RecvStream,
    /// Says that the client may send it (RFC 9110 §10.1.1), if it waits for that.
    invite: Option<F>,
    pace: Pace,
}

impl<'a, F: FnOnce()> Upload<'a, F> {
    pub(super) fn new(site: &'a Site, body: RecvStream, invite: Option<F>) -> Self {
        let pace = Pace::new(site.clock.now());
        Upload { site, body, invite, pace }
    }
}

impl<F: FnOnce()> Incoming for Upload<'_, F> {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let patience = self.site.config.body_timeout;
        let deadline = self.pace.deadline(patience).min(self.site.clock.now() + patience);
        let mut late = pin!(self.site.clock.sleep_until(deadline));
        loop {
            let (body, invite) = (&mut self.body, &mut self.invite);
            let piece = poll_fn(|cx| {
                let polled = body.poll_data(cx);
                match (polled, invite.take()) {
                    (Poll::Ready(None), _) => Poll::Ready(Ok(None)),
                    (Poll::Ready(Some(piece)), _) => {
                        Poll::Ready(piece.map(Some).map_err(|error| Fault::Over(io::Error::other(error))))
                    }
                    (Poll::Pending, invite) => {
                        if let Some(invite) = invite {
                            invite();
                        }
                        late.as_mut().poll(cx).map(|()| Err(StatusCode::REQUEST_TIMEOUT.into()))
                    }
                }
            })
            .await?;
            let Some(octets) = piece else { return Ok(None) };
            // The window opens as far as it was used; who reads has nothing else of it.
            self.body.flow_control().release_capacity(octets.len()).map_err(io::Error::other)?;
            self.pace.on_progress(octets.len());
            if !octets.is_empty() {
                return Ok(Some(octets));
            }
        }
    }

    fn is_ended(&self) -> bool {
        self.body.is_end_stream()
    }
}
