//! TCP Fast Open, one connection: data on the SYN, either way (RFC 7413 §4.2).
//!
//! The client's data leaves with the first SYN only: one that is sent again has neither option nor data (§4.1.3.1), and what
//! the SYN-ACK does not acknowledge is sent again after it. The server answers from SYN-RECEIVED, data included, as soon
//! as its SYN-ACK is out; a FIN waits for the handshake.
//!
//! Not here: cookies ([`crate::transport::tcp::fast_open`]).

use super::arrives::Step;
use super::interface::Readiness;
use super::{Connection, Handshake, State};
use crate::base::counters::Counter;
use crate::base::drops::Outcome;
use crate::base::ranges::Range;
use crate::base::seq::Seq;
use crate::physical::frame::Body;
use crate::transport::Context;
use crate::transport::tcp::config::Config;
use crate::transport::tcp::fast_open::{Attempt, News};
use crate::transport::tcp::options::{FastOpenCookie, Options};
use crate::transport::tcp::segment::Segment;
use bytes::Bytes;
use std::ops::ControlFlow::{Break, Continue};
use std::rc::Rc;

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum FastOpen {
    /// Our SYN asks for a cookie, or brings it and data.
    Asking(Attempt),
    /// The peer's SYN brought data; its number.
    Answering(Seq),
    /// Our SYN is answered.
    Answered(News),
}

impl Connection {
    /// The data of an active open, before its SYN is pulled: as much as there is room for is taken.
    pub(in crate::transport::tcp) fn open_fast(&mut self, attempt: Attempt, data: &mut Bytes, cx: &mut Context) {
        // A connection in SYN-SENT takes data until its buffer is full.
        let _ = self.write(data, cx);
        self.extras().fast_open = Some(FastOpen::Asking(attempt));
    }

    /// A passive open by a SYN with a good cookie: SYN-RECEIVED, with the data of the SYN to be read and the SYN-ACK to
    /// be pulled.
    pub(in crate::transport::tcp) fn fast_opened(
        handshake: Handshake,
        config: Rc<Config>,
        syn: &Segment,
        cx: &mut Context,
    ) -> Connection {
        let irs = handshake.irs;
        let mut connection = Connection::begun(handshake, config, cx);
        connection.extras().fast_open = Some(FastOpen::Answering(irs));
        connection.pending.syn = true;
        connection.start_congestion_control(cx);
        let room = connection.rcv.wnd() as usize;
        let text = syn.payload.slice(..syn.payload.len().min(room));
        let nxt = connection.input.append(connection.rcv.nxt, text);
        connection.totals.bytes_received += u64::from(nxt - connection.rcv.nxt);
        connection.rcv.nxt = nxt;
        connection.user.readiness.add(Readiness::READABLE | Readiness::WRITABLE);
        connection.arm_timers(cx.now);
        connection
    }

    fn fast_open(&self) -> Option<FastOpen> {
        self.extras.as_ref()?.fast_open
    }

    /// True while data may leave from SYN-RECEIVED: the SYN-ACK is out and not known to be lost.
    pub(super) fn may_answer_fast(&self) -> bool {
        self.state == State::SynReceived && self.snd.wnd > 0 && self.rtt.backoff == 0 && self.is_answering_fast()
    }

    /// True if the peer's SYN brought data.
    pub(super) fn is_answering_fast(&self) -> bool {
        matches!(self.fast_open(), Some(FastOpen::Answering(_)))
    }

    /// The peer's SYN came again: our SYN-ACK was lost, or is late.
    pub(super) fn check_repeated_syn(&mut self, seg: &Segment, cx: &mut Context) -> Step {
        match self.fast_open() {
            Some(FastOpen::Answering(irs)) if seg.flags.syn() && !seg.flags.ack() && seg.seq == irs => {
                if !self.note_syn_again(seg) {
                    self.reset_peer(cx);
                    return Break(Outcome::Consumed);
                }
                self.pending.syn = true;
                Break(Outcome::Consumed)
            }
            _ => Continue(()),
        }
    }

    /// The option of our first SYN, and its data, which is out from now on.
    pub(super) fn add_fast_open(&mut self, options: &mut Options, cx: &mut Context) -> Body {
        let Some(FastOpen::Asking(attempt)) = self.fast_open() else { return Body::new() };
        let (cookie, mss) = match attempt {
            Attempt::Plain => return Body::new(),
            Attempt::Ask => (FastOpenCookie::default(), 0),
            Attempt::Cookie(cookie, mss) => (cookie, mss),
        };
        options.fast_open = Some(cookie);
        let room = u32::from(mss.min(self.snd.path_mss)).saturating_sub(options.emit().len() as u32);
        let first = self.snd.iss + 1;
        let range = Range::starting(first, self.output.end().past(first).min(room));
        if range.is_empty() {
            return Body::new();
        }
        cx.counters.count(Counter::TcpFastOpenActive);
        self.snd.nxt = range.end;
        self.snd.small_end = range.end;
        self.flight.on_sent(range, cx.now);
        self.totals.bytes_sent += u64::from(range.len());
        self.output.slice(range)
    }

    /// Our SYN is acknowledged by `seg`, and perhaps what went with it or after it. What was on a SYN and is not
    /// acknowledged with it was not taken; no congestion is to blame.
    pub(super) fn settle_fast_open(&mut self, seg: &Segment, cx: &mut Context) {
        let Some(state) = self.fast_open() else { return };
        let was_taken = seg.ack.after(self.snd.una);
        let had_data = !self.flight.is_empty();
        if was_taken {
            self.process_acknowledgment(seg, cx);
        }
        let was_refused = matches!(state, FastOpen::Asking(_)) && !was_taken;
        if was_refused || self.snd.syn_was_lost {
            self.flight.mark_in_network_lost();
        }
        let news = match state {
            FastOpen::Asking(Attempt::Plain) | FastOpen::Answering(_) | FastOpen::Answered(_) => None,
            FastOpen::Asking(_) => {
                if had_data && !was_taken {
                    cx.counters.count(Counter::TcpFastOpenActiveFail);
                }
                let cookie = seg.options.fast_open.filter(|cookie| !cookie.is_empty());
                let was_lost = self.snd.syn_was_lost;
                Some(News { cookie, mss: self.snd.peer_mss, was_lost, was_taken })
            }
        };
        self.extras().fast_open = news.map(FastOpen::Answered);
        self.shed_extras();
    }

    /// What the opening has taught, once.
    pub(in crate::transport::tcp) fn take_fast_open_news(&mut self) -> Option<News> {
        let news = match self.fast_open()? {
            FastOpen::Answered(news) => news,
            _ => return None,
        };
        self.extras().fast_open = None;
        self.shed_extras();
        Some(news)
    }
}
