//! One stream: a request and its answer (RFC 9113 §8.1).
//!
//! ```text
//!   head ─► guard ─┬─ an answer that is here and fits into the windows ─► sent at once
//!                  ├─ a longer one ───────────► a task: piece by piece, as the windows open
//!                  └─ what takes body or time ► a task, which ends early if the client resets the stream
//! ```

use super::link::Link;
use super::outbox::{Outbox, Piece};
use super::upload::Upload;
use crate::application::http::access_log::Entry;
use crate::application::http::body::Body;
use crate::application::http::exchange::others_first;
use crate::application::http::facts::Facts;
use crate::application::http::guard::{self, Asker, Verdict};
use crate::application::http::wire::{Fault, Pace};
use crate::application::http::{Site, answer, emit};
use crate::application::server::Connection;
use bytes::Bytes;
use futures_util::future::{Either, select};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

/// What the streams of a connection share.
pub(super) struct Shared<'w, S: Connection> {
    pub(super) site: Rc<Site>,
    pub(super) asker: Asker,
    pub(super) link: Rc<RefCell<Link<'w, S>>>,
    pub(super) outbox: Rc<Outbox>,
}

/// A stream that is not answered at once.
pub(super) type Task<'w> = Pin<Box<dyn Future<Output = ()> + 'w>>;

/// A request whose answer takes its body, or time.
struct Asked {
    head: Parts,
    body: RecvStream,
    least: Option<u64>,
    verdict: Verdict,
    entry: Option<Box<Entry>>,
}

/// An answer whose head is sent.
struct Rest {
    stream: SendStream<Piece>,
    body: Body,
    entry: Option<Box<Entry>>,
}

/// Goes as far with a request as is possible at once; what is left is a task.
pub(super) fn begin<'w, S: Connection + Facts>(
    shared: &Rc<Shared<'w, S>>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Piece>,
) -> Option<Task<'w>> {
    let (mut head, body) = request.into_parts();
    join_cookies(&mut head.headers);
    let site = &shared.site;
    let entry = Entry::new(shared.link.borrow_mut().wire().peer(), &head, site);
    let least = (!body.is_end_stream()).then(|| length(&head.headers));
    match guard::decide(site, shared.asker, &head, least) {
        Verdict::Answer(response) => {
            let rest = shared.answer(&mut respond, &head.method, response, entry)?;
            let shared = Rc::clone(shared);
            // The body of the request is not wanted, but the stream is reset if nobody has it (RFC 9113 §8.1).
            Some(Box::pin(async move {
                shared.send(rest).await;
                drop(body);
            }))
        }
        verdict => {
            let asked = Asked { head, body, least, verdict, entry };
            let shared = Rc::clone(shared);
            Some(Box::pin(async move { shared.serve(asked, respond).await }))
        }
    }
}

/// RFC 9113 §8.2.3: a cookie that came in crumbs is one for who reads it.
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(_)) = (crumbs.next(), crumbs.next()) {
        let mut cookie = first.as_bytes().to_vec();
        for crumb in headers.get_all(COOKIE).iter().skip(1) {
            cookie.extend_from_slice(b"; ");
            cookie.extend_from_slice(crumb.as_bytes());
        }
        if let Ok(cookie) = HeaderValue::from_bytes(&cookie) {
            headers.insert(COOKIE, cookie);
        }
    }
}

/// What a body says of its length; the machine has seen that it is a number.
fn length(headers: &HeaderMap) -> u64 {
    headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0)
}

impl<S: Connection + Facts> Shared<'_, S> {
    /// Reads the body of a request, or does what takes time, and answers.
    async fn serve(&self, asked: Asked, respond: SendResponse<Piece>) {
        let Asked { head, body, least, verdict, mut entry } = asked;
        let respond = RefCell::new(respond);
        let invite = head.headers.contains_key(EXPECT).then_some(|| {
            let mut word = Response::new(());
            *word.status_mut() = StatusCode::CONTINUE;
            // A stream that is reset needs no word.
            let _ = respond.borrow_mut().send_informational(word);
        });
        let mut upload = Upload::new(&self.site, body, invite);
        let answered = {
            let answer = pin!(guard::answer_with_body(verdict, &self.site, self.asker, &head, least, &mut upload));
            let reset = poll_fn(|cx| respond.borrow_mut().poll_reset(cx));
            match select(answer, reset).await {
                Either::Left((answered, _)) => answered,
                Either::Right((_, _)) => return,
            }
        };
        let response = match answered {
            Ok((response, account)) => {
                if let Some(entry) = &mut entry {
                    entry.account = account;
                }
                response
            }
            Err(Fault::Refused(status)) => answer::status(status),
            Err(Fault::Over(_)) => return,
        };
        let rest = self.answer(&mut respond.borrow_mut(), &head.method, response, entry);
        if let Some(rest) = rest {
            self.send(rest).await;
        }
    }

    /// Sends the head of an answer, and its body if that is here and there is room for it.
    fn answer(
        &self,
        respond: &mut SendResponse<Piece>,
        method: &Method,
        response: Response<Body>,
        mut entry: Option<Box<Entry>>,
    ) -> Option<Rest> {
        let (mut head, mut body) = response.into_parts();
        emit::complete(&self.site, &mut head, body.length());
        if let Some(entry) = &mut entry {
            entry.status = head.status;
            entry.upstream = head.extensions.get().copied();
            entry.tell(self.link.borrow_mut().wire().connection());
        }
        let is_last = *method == Method::HEAD || body.length() == Some(0);
        let mut stream = respond.send_response(Response::from_parts(head, ()), is_last).ok()?;
        if is_last {
            return None;
        }
        let length = body.length().and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
        stream.reserve_capacity(length.min(Body::PIECE));
        if let Some(octets) = body.take_whole(stream.capacity()) {
            if let Some(entry) = &mut entry {
                entry.octets = octets.len() as u64;
            }
            // It fails only if the stream is reset, which nobody is left to be told of.
            let _ = stream.send_data(Piece::new(octets, &self.outbox), true);
            return None;
        }
        Some(Rest { stream, body, entry })
    }

    /// Sends what is left of an answer. A client that opens no window for too long, or too little on the whole, has the
    /// stream reset.
    async fn send(&self, rest: Rest) {
        let Rest { mut stream, mut body, mut entry } = rest;
        let mut pace = Pace::new(self.site.clock.now());
        loop {
            self.outbox.room().await;
            let next = if body.is_from_afar() {
                // Without a client nobody waits; nor is it the client that is slow while we do.
                match select(pin!(body.next()), poll_fn(|cx| stream.poll_reset(cx))).await {
                    Either::Left((next, _)) => {
                        pace = Pace::new(self.site.clock.now());
                        next
                    }
                    Either::Right(_) => return,
                }
            } else {
                body.next().await
            };
            let Ok(next) = next else { return stream.send_reset(Reason::INTERNAL_ERROR) };
            let is_last = next.is_none() || body.length() == Some(0);
            let Some(()) = self.send_piece(&mut stream, next.unwrap_or_default(), is_last, &mut pace, &mut entry).await
            else {
                return;
            };
            if is_last {
                break;
            }
            if body.length().is_none() {
                // A piece took work, whether something came of it or not.
                others_first().await;
            }
        }
        if let Some(entry) = &mut entry {
            entry.tell(self.link.borrow_mut().wire().connection());
        }
    }

    /// Gives the machine a piece as the window opens; `None` if the stream is over.
    async fn send_piece(
        &self,
        stream: &mut SendStream<Piece>,
        mut octets: Bytes,
        is_last: bool,
        pace: &mut Pace,
        entry: &mut Option<Box<Entry>>,
    ) -> Option<()> {
        if octets.is_empty() && is_last {
            return stream.send_data(Piece::new(octets, &self.outbox), true).ok();
        }
        while !octets.is_empty() {
            let room = self.window(stream, octets.len(), pace).await?;
            let next = octets.split_to(room.min(octets.len()));
            pace.on_progress(next.len());
            if let Some(entry) = entry {
                entry.octets += next.len() as u64;
            }
            stream.send_data(Piece::new(next, &self.outbox), is_last && octets.is_empty()).ok()?;
        }
        Some(())
    }

    /// Waits until the windows of stream and connection have room for some of `wanted` octets.
    async fn window(&self, stream: &mut SendStream<Piece>, wanted: usize, pace: &Pace) -> Option<usize> {
        stream.reserve_capacity(wanted);
        if stream.capacity() > 0 {
            return Some(stream.capacity());
        }
        let (clock, patience) = (&self.site.clock, self.site.config.write_timeout);
        let mut late = pin!(clock.sleep_until(pace.deadline(patience).min(clock.now() + patience)));
        let room = poll_fn(|cx| {
            while let Poll::Ready(room) = stream.poll_capacity(cx) {
                match room {
                    Some(Ok(0)) => {}
                    Some(Ok(room)) => return Poll::Ready(Ok(room)),
                    Some(Err(_)) | None => return Poll::Ready(Err(None)),
                }
            }
            late.as_mut().poll(cx).map(|()| Err(Some(Reason::CANCEL)))
        })
        .await;
        match room {
            Ok(room) => Some(room),
            Err(reason) => {
                reason.into_iter().for_each(|reason| stream.send_reset(reason));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_in_crumbs_is_one() {
        let mut headers = HeaderMap::new();
        for crumb in ["a=b", "c=d", "e=f"] {
            headers.append(COOKIE, HeaderValue::from_static(crumb));
        }
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=b; c=d; e=f"]);
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().count(), 1);
    }
}
