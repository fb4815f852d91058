//! Requests and their answers, from the first octet that comes until nothing is left of what came: what a connection
//! holds while it is in use, and only then.

use super::access_log::Entry;
use super::answer;
use super::body::Body;
use super::emit::{self, After};
use super::facts::Facts;
use super::guard::{self, Verdict};
use super::head::{Head, Search};
use super::incoming::Incoming;
use super::upload::Upload;
use super::wire::{Fault, Pace, Wire};
use crate::application::server::{Connection, Requested};
use crate::base::time::Instant;
use crate::presentation::chunked;
use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use http::header::CONNECTION;
use http::{Method, Response, StatusCode, Version};
use std::future::{pending, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// Bodies up to this length are copied behind their head, so that an answer is one piece.
pub(super) const SMALL_BODY: usize = 2 << 10;
/// Answers to pipelined requests are gathered up to this many octets.
const GATHERED: usize = 16 << 10;
/// Requests answered before other tasks have their turn.
pub(super) const REQUESTS_IN_ONE_TURN: u32 = 32;

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
pub(super) struct Exchange<'a, S: Connection> {
    pub(super) wire: &'a mut Wire<S>,
    /// What came and is not read yet.
    pub(super) input: Bytes,
    /// Answers that are not handed to the stack yet.
    pub(super) output: BytesMut,
    /// What was gathered was handed over in part, and the rest is lost: nothing more can be said.
    is_torn: bool,
    /// What is to be logged of a request that was not answered.
    unanswered: Option<Box<Entry>>,
}

/// Where a request has got to without waiting for anything.
enum Step {
    /// Nothing of one has come.
    Nothing,
    /// Its head has not come to its end.
    Begun,
    /// It is answered.
    Answered(Next),
    /// The head of its answer is written, and there is more body than is copied.
    Sending(Next, Box<Rest>),
    /// Its body comes first.
    Uploading(Box<Uploading>),
}

/// What is left of an answer.
struct Rest {
    body: Body,
    /// How its end is told.
    after: After,
    entry: Option<Box<Entry>>,
}

struct Uploading {
    head: Head,
    verdict: Verdict,
    entry: Option<Box<Entry>>,
}

/// Answers requests, `first` being the first octets of the first, until another is to be waited for or the connection
/// is to end.
pub(super) async fn converse<S: Connection + Facts>(
    wire: &mut Wire<S>,
    stop: &Requested,
    first: Bytes,
) -> io::Result<Next> {
    let mut exchange = Exchange { wire, input: first, output: BytesMut::new(), is_torn: false, unanswered: None };
    let mut answered = 0;
    let next = loop {
        match exchange.request(stop).await {
            Ok(Some(Next::Wait)) => {}
            Ok(Some(next)) => break next,
            Ok(None) => break Next::Wait,
            Err(Fault::Refused(status)) => {
                exchange.refuse(status);
                break Next::Linger;
            }
            Err(Fault::Over(error)) => return Err(error),
        }
        if exchange.output.len() >= GATHERED {
            exchange.flush().await?;
        }
        answered += 1;
        if answered % REQUESTS_IN_ONE_TURN == 0 || exchange.wire.site.has_worked.take() {
            others_first().await;
        }
    };
    exchange.flush().await?;
    Ok(if next == Next::Close && !exchange.input.is_empty() { Next::Linger } else { next })
}

/// Lets every other task that can go on do so.
pub(super) async fn others_first() {
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

impl<S: Connection + Facts> Exchange<'_, S> {
    /// Reads and answers one request; `None` if none has begun. The head has a time limit from its first octet on.
    async fn request(&mut self, stop: &Requested) -> Result<Option<Next>, Fault> {
        let deadline = self.wire.now() + self.wire.site.config.header_timeout;
        let mut search = Search::default();
        loop {
            match self.step(&mut search, stop)? {
                Step::Nothing => return Ok(None),
                Step::Begun => self.more(deadline).await?,
                Step::Answered(next) => return Ok(Some(next)),
                // Most requests come in one piece and are answered in one; what the others need is on the heap.
                Step::Sending(next, rest) => {
                    Box::pin(self.send(rest)).await?;
                    return Ok(Some(next));
                }
                Step::Uploading(uploading) => return Ok(Some(Box::pin(self.upload(uploading, stop)).await?)),
            }
        }
    }

    /// Goes as far as what has come allows.
    fn step(&mut self, search: &mut Search, stop: &Requested) -> Result<Step, Fault> {
        let site = Rc::clone(&self.wire.site);
        let Some(head) = search.take(&mut self.input, site.config.header_limit)? else {
            return Ok(if self.input.is_empty() { Step::Nothing } else { Step::Begun });
        };
        let entry = Entry::new(self.wire.peer(), &head.parts, &site);
        let least = head.framing.least();
        Ok(match guard::decide(&site, self.wire.asker(), &head.parts, least) {
            Verdict::Answer(response) => match self.answer(&head, response, least.is_none(), stop, entry) {
                (next, None) => Step::Answered(next),
                (next, Some(rest)) => Step::Sending(next, rest),
            },
            verdict => Step::Uploading(Box::new(Uploading { head, verdict, entry })),
        })
    }

    /// Writes an answer, as far as it is copied. If the body was not read, what follows it can't be found.
    fn answer(
        &mut self,
        head: &Head,
        response: Response<Body>,
        is_read: bool,
        stop: &Requested,
        mut entry: Option<Box<Entry>>,
    ) -> (Next, Option<Box<Rest>>) {
        let (next, after) = match head.keeps_alive {
            _ if response.body().length().is_none() && head.parts.version < Version::HTTP_11 => {
                (Next::Linger, After::EndsBody)
            }
            _ if !is_read || response.headers().contains_key(CONNECTION) || stop.is_asked() => {
                (Next::Linger, After::Closed)
            }
            true if head.parts.version < Version::HTTP_11 => (Next::Wait, After::KeptAlive),
            true => (Next::Wait, After::Open),
            false => (Next::Close, After::Closed),
        };
        let (response, mut body) = response.into_parts();
        if let Some(entry) = &mut entry {
            entry.status = response.status;
            entry.upstream = response.extensions.get().copied();
            entry.tell(self.wire.connection());
        }
        emit::head(&mut self.output, &self.wire.site, &response, body.length(), after);
        if head.parts.method == Method::HEAD {
            return (next, None);
        }
        if let Some(octets) = body.take_whole(SMALL_BODY) {
            self.output.extend_from_slice(&octets);
            if let Some(entry) = &mut entry {
                entry.octets = octets.len() as u64;
            }
        }
        (next, (body.length() != Some(0)).then(|| Box::new(Rest { body, after, entry })))
    }

    /// Sends what is left of an answer.
    async fn send(&mut self, mut rest: Box<Rest>) -> io::Result<()> {
        self.flush().await?;
        let mut pace = Pace::new(self.wire.now());
        let is_chunked = rest.body.length().is_none() && rest.after != After::EndsBody;
        while let Some(octets) = self.piece(&mut rest).await? {
            if rest.body.is_from_afar() {
                // Nor is it the client that was slow before it came.
                pace = Pace::new(self.wire.now());
            }
            if let Some(entry) = &mut rest.entry {
                entry.octets += octets.len() as u64;
            }
            if !is_chunked {
                self.wire.write(octets, &mut pace).await?;
                continue;
            }
            if !octets.is_empty() {
                self.wire.write(chunked::chunk(&octets), &mut pace).await?;
            }
            // A piece took work, whether something came of it or not.
            others_first().await;
        }
        if is_chunked {
            self.wire.write(Bytes::from_static(chunked::LAST), &mut pace).await?;
        }
        if let Some(entry) = &mut rest.entry {
            entry.tell(self.wire.connection());
        }
        Ok(())
    }

    /// The next piece of an answer. What comes from afar is not waited for without a client.
    async fn piece(&mut self, rest: &mut Rest) -> io::Result<Option<Bytes>> {
        if !rest.body.is_from_afar() {
            return rest.body.next().await;
        }
        let piece = match select(pin!(rest.body.next()), pin!(self.gone())).await {
            Either::Left((piece, _)) => piece,
            Either::Right(((), _)) => Err(io::ErrorKind::ConnectionAborted.into()),
        };
        if piece.is_err() && rest.after == After::EndsBody {
            // Only a broken connection tells the client that this is not the end.
            self.wire.abort();
        }
        piece
    }

    /// Reads the body of a request, and answers.
    async fn upload(&mut self, uploading: Box<Uploading>, stop: &Requested) -> Result<Next, Fault> {
        let Uploading { head, verdict, mut entry } = *uploading;
        let site = Rc::clone(&self.wire.site);
        let (asker, least) = (self.wire.asker(), head.framing.least());
        let mut upload = Upload::new(self, &head);
        let answered = guard::answer_with_body(verdict, &site, asker, &head.parts, least, &mut upload).await;
        let is_read = upload.is_ended();
        let (response, account) = match answered {
            Ok(answered) => answered,
            Err(fault) => {
                self.unanswered = entry;
                return Err(fault);
            }
        };
        if let Some(entry) = &mut entry {
            entry.account = account;
        }
        if self.is_torn {
            return Err(Fault::Over(io::ErrorKind::ConnectionAborted.into()));
        }
        let (next, rest) = self.answer(&head, response, is_read, stop, entry);
        if let Some(rest) = rest {
            self.send(rest).await?;
        }
        Ok(next)
    }

    /// Refuses what can't be read, or not any longer.
    fn refuse(&mut self, status: StatusCode) {
        let unanswered = self.unanswered.take();
        let mut entry = unanswered.or_else(|| Entry::unread(self.wire.peer(), &self.wire.site));
        let (response, mut body) = answer::status(status).into_parts();
        emit::head(&mut self.output, &self.wire.site, &response, body.length(), After::Closed);
        if let Some(octets) = body.take_whole(SMALL_BODY) {
            self.output.extend_from_slice(&octets);
        }
        if let Some(entry) = &mut entry {
            entry.status = status;
        }
    }
}

impl<S: Connection> Exchange<'_, S> {
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

    /// Hands over what is gathered.
    async fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            let octets = std::mem::take(&mut self.output).freeze();
            let mut pace = Pace::new(self.wire.now());
            // Who waits may be told to stop waiting.
            self.is_torn = true;
            self.wire.write(octets, &mut pace).await?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Completes when the client is gone. What it says meanwhile is kept, as far as it comes at once.
    pub(super) async fn gone(&mut self) {
        if self.input.is_empty() {
            self.input = self.wire.hear().await;
            if self.input.is_empty() {
                return;
            }
        }
        pending().await
    }
}
