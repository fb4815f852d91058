//! Requests and their answers, from the first octet that comes until nothing is left of what came: what a connection
//! holds while it is in use, and only then.

use super::access_log::Entry;
use super::answer::{self, Body};
use super::emit::{self, After};
use super::guard;
use super::head::{Head, Search};
use super::upload::Upload;
use super::wire::{Fault, Wire};
use crate::application::server::{Connection, Requested};
use crate::base::time::Instant;
use bytes::{Bytes, BytesMut};
use http::header::CONNECTION;
use http::{Method, Response, StatusCode, Version};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

/// Bodies up to this length are copied behind their head, so that an answer is one piece.
pub(super) const SMALL_BODY: usize = 2 << 10;
/// Answers to pipelined requests are gathered up to this many octets.
const GATHERED: usize = 16 << 10;
/// Requests answered before other tasks have their turn.
const REQUESTS_IN_ONE_TURN: u32 = 32;

/// What comes after the last answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Another request may follow.
    Wait,
    /// The client has said all it wanted: closing takes nothing from it.
    Close,
    /// We close, and the client may not know yet.
    Linger,
}

/// Requests at hand.
pub(super) struct Exchange<'a, S> {
    pub(super) wire: &'a mut Wire<S>,
    /// What came and is not read yet.
    pub(super) input: Bytes,
    /// Answers that are not handed to the stack yet.
    pub(super) output: BytesMut,
}

/// Answers requests, `first` being the first octets of the first, until another is to be waited for or the connection
/// is to end.
pub(super) async fn converse<S: Connection>(wire: &mut Wire<S>, stop: &Requested, first: Bytes) -> io::Result<Next> {
    let mut exchange = Exchange { wire, input: first, output: BytesMut::new() };
    let mut answered = 0;
    let result = loop {
        match exchange.request(stop).await {
            Ok(Some(Next::Wait)) => {}
            Ok(Some(next)) => break next,
            Ok(None) => break Next::Wait,
            Err(Fault::Refused(status)) => {
                exchange.refuse(status).await?;
                break Next::Linger;
            }
            Err(Fault::Over(error)) => return Err(error),
        }
        answered += 1;
        if answered % REQUESTS_IN_ONE_TURN == 0 {
            others_first().await;
        }
    };
    exchange.flush().await?;
    Ok(if result == Next::Close && !exchange.input.is_empty() { Next::Linger } else { result })
}

/// Lets every other task that can go on do so.
async fn others_first() {
    let mut is_first = true;
    poll_fn(|cx| {
        if std::mem::take(&mut is_first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

impl<S: Connection> Exchange<'_, S> {
    /// Reads and answers one request; `None` if none has begun.
    async fn request(&mut self, stop: &Requested) -> Result<Option<Next>, Fault> {
        let Some(head) = self.head().await? else { return Ok(None) };
        let site = Rc::clone(&self.wire.site);
        let entry = Entry::new(self.wire.peer(), &head.parts, &site);
        let is_head = head.parts.method == Method::HEAD;
        let is_old = head.parts.version < Version::HTTP_11;
        let mut upload = Upload::new(self, &head);
        let response = guard::answer(&site, &head.parts, &mut upload).await?;
        let is_refused = !upload.is_ended() || response.headers().contains_key(CONNECTION);
        let (next, after) = match head.keeps_alive {
            _ if is_refused || stop.is_asked() => (Next::Linger, After::Closed),
            true if is_old => (Next::Wait, After::KeptAlive),
            true => (Next::Wait, After::Open),
            false => (Next::Close, After::Closed),
        };
        self.send(response, is_head, after, entry).await?;
        Ok(Some(next))
    }

    /// The next head. It has a time limit from its first octet on.
    async fn head(&mut self) -> Result<Option<Head>, Fault> {
        let (limit, deadline) =
            (self.wire.site.config.header_limit, self.wire.now() + self.wire.site.config.header_timeout);
        let mut search = Search::default();
        loop {
            match search.take(&mut self.input, limit)? {
                Some(head) => return Ok(Some(head)),
                None if self.input.is_empty() => return Ok(None),
                None => self.more(deadline).await?,
            }
        }
    }

    /// Waits for more of a request, behind what is not read yet.
    pub(super) async fn more(&mut self, deadline: Instant) -> Result<(), Fault> {
        self.flush().await?;
        let octets = self.wire.read(deadline).await?;
        if self.input.is_empty() {
            self.input = octets;
            return Ok(());
        }
        // A head in pieces is the only thing that is gathered.
        let mut gathered = std::mem::take(&mut self.input).try_into_mut().unwrap_or_else(|begun| {
            let mut gathered = BytesMut::with_capacity(begun.len() + octets.len() + 256);
            gathered.extend_from_slice(&begun);
            gathered
        });
        gathered.extend_from_slice(&octets);
        self.input = gathered.freeze();
        Ok(())
    }

    /// Refuses what can't be read, or not any longer.
    async fn refuse(&mut self, status: StatusCode) -> io::Result<()> {
        let entry = Entry::unread(self.wire.peer(), &self.wire.site);
        self.send(answer::status(status), false, After::Closed, entry).await
    }

    /// Sends an answer.
    async fn send(
        &mut self,
        response: Response<Body>,
        is_head: bool,
        after: After,
        mut entry: Option<Entry>,
    ) -> io::Result<()> {
        let (head, mut body) = response.into_parts();
        if let Some(entry) = &mut entry {
            entry.status = head.status;
        }
        emit::head(&mut self.output, &self.wire.site, &head, body.length(), after);
        if is_head {
            return Ok(());
        }
        while let Some(octets) = body.next()? {
            if let Some(entry) = &mut entry {
                entry.octets += octets.len() as u64;
            }
            if octets.len() <= SMALL_BODY {
                self.output.extend_from_slice(&octets);
            } else {
                self.flush().await?;
                self.wire.write(octets).await?;
            }
        }
        if self.output.len() >= GATHERED {
            self.flush().await?;
        }
        Ok(())
    }

    /// Hands over what is gathered.
    async fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            let octets = std::mem::take(&mut self.output).freeze();
            self.wire.write(octets).await?;
        }
        Ok(())
    }
}
