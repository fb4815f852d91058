//! Passive opens: what arrives for a listener (RFC 9293 §3.10.7.2) or for nobody (§3.10.7.1), half-open
//! connections, and SYN cookies.

use super::slot::{Owner, Slot, TimerKey};
use super::{ConnectionId, EmbryoId, ListenerId, Pair, Tcp};
use crate::base::counters::Counter;
use crate::base::drops::{DropReason, Outcome};
use crate::base::seq::Seq;
use crate::base::time::Duration;
use crate::transport::Context;
use crate::transport::tcp::config::Config;
use crate::transport::tcp::connection::ecn::{Agreement, Mode};
use crate::transport::tcp::connection::{Connection, Handshake, TimestampClock};
use crate::transport::tcp::cookie;
use crate::transport::tcp::embryo::{Embryo, Verdict, handshake_of_syn, scales, syn_ack};
use crate::transport::tcp::ends::Ends;
use crate::transport::tcp::listener::Listener;
use crate::transport::tcp::mss::default_mss;
use crate::transport::tcp::options::Timestamps;
use crate::transport::tcp::segment::Segment;
use std::net::SocketAddr;
use std::rc::Rc;

impl Tcp {
    /// The listener for `local`: one on the address before one on all addresses.
    pub(super) fn listener_for(&self, local: SocketAddr) -> Option<ListenerId> {
        self.listeners_at(local.port())
            .filter_map(|(id, listener)| Some((listener.fit(local)?, id)))
            .max_by_key(|(fit, _)| *fit)
            .map(|(_, id)| id)
    }

    pub(super) fn listeners_at(&self, port: u16) -> impl Iterator<Item = (ListenerId, &Listener)> {
        let ids = self.listeners_by_port.get(&port).map(|ids| ids.as_slice()).unwrap_or_default();
        ids.iter().filter_map(|id| Some((*id, self.listeners.get(*id)?)))
    }

    /// RFC 9293 §3.10.7.2 in the RFC's order; without a listener, §3.10.7.1. `iss` is given where a TIME-WAIT
    /// record makes way.
    pub(super) fn arrives_at_listener(
        &mut self,
        pair: Pair,
        segment: &Segment,
        iss: Option<Seq>,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let Some(id) = self.listener_for(pair.0) else { return self.refuse(pair, segment, cx) };
        let flags = segment.flags;
        // First, RST: ignored, as nothing was sent that it could be about.
        if flags.rst() {
            return Outcome::Dropped(DropReason::TcpNoConnection);
        }
        // Second, ACK: bad, unless it brings a cookie back.
        if flags.ack() {
            return self.arrives_with_cookie(id, pair, segment, cx);
        }
        // Third, SYN.
        if flags.syn() {
            return self.arrives_syn(id, pair, segment, iss, cx);
        }
        // Fourth, anything else.
        Outcome::Dropped(DropReason::TcpNoAck)
    }

    /// RFC 9293 §3.10.7.1: nobody is there.
    fn refuse(&mut self, pair: Pair, segment: &Segment, cx: &mut Context<'_>) -> Outcome {
        if cx.may_refuse {
            self.replies.reset(pair.0, pair.1, segment, cx.now, cx.counters);
        }
        Outcome::Dropped(DropReason::TcpNoConnection)
    }

    fn arrives_syn(
        &mut self,
        id: ListenerId,
        (local, remote): Pair,
        syn: &Segment,
        iss: Option<Seq>,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let is_table_full = self.is_table_full();
        let Some(listener) = self.listeners.get_mut(id) else {
            return Outcome::Dropped(DropReason::TcpNoConnection);
        };
        if listener.is_full() {
            cx.counters.count(Counter::TcpListenOverflows);
            return Outcome::Dropped(DropReason::TcpBacklogFull);
        }
        if is_table_full {
            return Outcome::Dropped(DropReason::TcpTableFull);
        }
        let offset = self.numbers.timestamp_offset(local, remote);
        if listener.must_use_cookies() {
            let cookies = &mut self.cookies;
            if !self.flood.admits((local, remote), syn.seq, cx.now, || cookies.secret()) {
                return Outcome::Dropped(DropReason::TcpFlood);
            }
            listener.on_cookie(cx.now);
            let config = Rc::clone(&listener.config);
            return self.answer_with_cookie((local, remote), syn, offset, &config, cx);
        }
        if let Some(outcome) = self.open_by_cookie(id, (local, remote), syn, iss, cx) {
            return outcome;
        }
        let cookie = self.cookie_to_give(id, (local, remote), syn, cx);
        let Some(listener) = self.listeners.get_mut(id) else {
            return Outcome::Dropped(DropReason::TcpNoConnection);
        };
        listener.embryos += 1;
        let config = Rc::clone(&listener.config);
        let iss = iss.unwrap_or_else(|| self.numbers.sequence(local, remote, cx.now));
        let mut handshake = handshake_of_syn(local, remote, iss, syn, offset, &config, cx.now);
        // Beside a signature a SYN-ACK has no room for it.
        handshake.ecn.is_without_option = self.key_ring.is_for(remote.ip());
        let embryo = Embryo::new(id, handshake, &config, cx.now).with_cookie(cookie);
        self.replies.push(embryo.syn_ack(&config, cx), cx.counters);
        let deadline = embryo.deadline();
        let embryo = self.embryos.insert(embryo);
        self.owners.insert(&Ends::new(local, remote), Owner::Embryo(embryo));
        self.timers.set(TimerKey::Embryo(embryo), deadline);
        Outcome::Answered
    }

    /// RFC 4987 §3.6: answers without keeping anything.
    fn answer_with_cookie(
        &mut self,
        (local, remote): Pair,
        syn: &Segment,
        offset: u32,
        config: &Config,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let mss = syn.options.mss.unwrap_or(default_mss(remote.ip()));
        let iss = self.cookies.make(local, remote, syn.seq, mss, cx.now);
        let mut handshake = handshake_of_syn(local, remote, iss, syn, offset, config, cx.now);
        handshake.ecn.is_without_option = self.key_ring.is_for(remote.ip());
        let timestamps = match handshake.timestamps {
            Some(clock) => {
                let theirs = handshake.window_scale.map(|scale| scale.theirs);
                let ecn = handshake.ecn.mode == Mode::Classic;
                let kept = cookie::Kept { window_scale: theirs, sack: handshake.sack, ecn };
                let value = cookie::timestamp_with_options(clock.value(cx.now), kept);
                Some(Timestamps { value, echo: clock.recent })
            }
            None => {
                // Without timestamps nothing brings these back.
                handshake.window_scale = None;
                handshake.sack = false;
                if handshake.ecn.mode == Mode::Classic {
                    handshake.ecn = Agreement::default();
                }
                None
            }
        };
        let datagram = syn_ack(&handshake, timestamps, None, config, cx);
        self.replies.push(datagram, cx.counters);
        cx.counters.count(Counter::TcpSyncookiesSent);
        Outcome::Answered
    }

    /// An ACK for a listener: the third of a handshake that we know only from the cookie in it, or one to reset.
    fn arrives_with_cookie(
        &mut self,
        id: ListenerId,
        (local, remote): Pair,
        segment: &Segment,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let Some(listener) = self.listeners.get(id) else {
            return Outcome::Dropped(DropReason::TcpNoConnection);
        };
        if segment.flags.syn() || !listener.may_take_cookies(cx.now) {
            return self.refuse((local, remote), segment, cx);
        }
        let (irs, iss) = (segment.seq - 1, segment.ack - 1);
        let Some(mss) = self.cookies.check(local, remote, irs, iss, cx.now) else {
            if cx.may_refuse {
                cx.counters.count(Counter::TcpSyncookiesFailed);
                self.replies.reset(local, remote, segment, cx.now, cx.counters);
            }
            return Outcome::Dropped(DropReason::TcpBadCookie);
        };
        if listener.is_full() {
            cx.counters.count(Counter::TcpListenOverflows);
            return Outcome::Dropped(DropReason::TcpBacklogFull);
        }
        if self.is_table_full() {
            return Outcome::Dropped(DropReason::TcpTableFull);
        }
        cx.counters.count(Counter::TcpSyncookiesRecv);
        let config = Rc::clone(&listener.config);
        let clock = TimestampClock {
            offset: self.numbers.timestamp_offset(local, remote),
            recent: segment.options.timestamps.map_or(0, |timestamps| timestamps.value),
            recent_at: cx.now,
        };
        // An echo that our clock can't have given within the life of a cookie carries nothing.
        let echo = segment.options.timestamps.map(|timestamps| timestamps.echo);
        let ours = echo.filter(|echo| clock.elapsed(*echo, cx.now).is_some_and(|age| age <= cookie::VALIDITY));
        let kept = ours.map(cookie::options_of_timestamp).unwrap_or_default();
        let handshake = Handshake {
            local,
            remote,
            iss,
            irs,
            peer_mss: Some(mss),
            window_scale: scales(kept.window_scale, &config),
            sack: kept.sack && config.sack,
            timestamps: ours.map(|_| clock).filter(|_| config.timestamps),
            ecn: Agreement::of_cookie(config.ecn, segment, kept.ecn),
            window: segment.window,
            rtt: None,
            syn_ack_retransmitted: false,
        };
        self.open(id, handshake, config, segment.clone(), cx)
    }

    pub(super) fn arrives_at_embryo(&mut self, id: EmbryoId, segment: Segment, cx: &mut Context<'_>) -> Outcome {
        let Some(embryo) = self.embryos.get(id) else { return Outcome::Dropped(DropReason::TcpNoConnection) };
        let Some(listener) = self.listeners.get(embryo.listener) else {
            return Outcome::Dropped(DropReason::TcpNoConnection);
        };
        match embryo.receive(&segment, cx.now) {
            // Like Linux: our SYN-ACK, or the peer's data, comes again.
            Verdict::Complete if listener.is_full() => {
                cx.counters.count(Counter::TcpListenOverflows);
                Outcome::Dropped(DropReason::TcpBacklogFull)
            }
            Verdict::Complete => {
                let (listener, config) = (embryo.listener, Rc::clone(&listener.config));
                let Some(embryo) = self.remove_embryo(id) else { return Outcome::Consumed };
                self.open(listener, embryo.into_handshake(cx.now), config, segment, cx)
            }
            Verdict::Again => {
                let config = Rc::clone(&listener.config);
                let Some(embryo) = self.embryos.get_mut(id) else { return Outcome::Consumed };
                if !embryo.on_syn_again(&segment, &config) {
                    let (local, remote) = (embryo.local(), embryo.remote());
                    self.replies.reset(local, remote, &segment, cx.now, cx.counters);
                    cx.counters.count(Counter::TcpAttemptFails);
                    self.remove_embryo(id);
                    return Outcome::Dropped(DropReason::TcpBadSyn);
                }
                let syn_ack = embryo.syn_ack(&config, cx);
                self.replies.push(syn_ack, cx.counters);
                cx.counters.count(Counter::TcpRetransSegs);
                Outcome::Answered
            }
            Verdict::Challenge(reason) => {
                let ack = embryo.challenge(&listener.config, cx.now);
                self.replies.challenge(ack, cx.now, cx.counters);
                Outcome::Dropped(reason)
            }
            Verdict::Reset => {
                let (local, remote) = (embryo.local(), embryo.remote());
                self.replies.reset(local, remote, &segment, cx.now, cx.counters);
                Outcome::Dropped(DropReason::TcpBadAck)
            }
            Verdict::Listen => {
                cx.counters.count(Counter::TcpAttemptFails);
                self.remove_embryo(id);
                Outcome::Consumed
            }
            Verdict::Drop(reason) => Outcome::Dropped(reason),
        }
    }

    /// The handshake is complete: the connection takes the segment that completed it, and waits to be accepted.
    fn open(
        &mut self,
        listener: ListenerId,
        handshake: Handshake,
        config: Rc<Config>,
        segment: Segment,
        cx: &mut Context<'_>,
    ) -> Outcome {
        cx.counters.count(Counter::TcpPassiveOpens);
        let ends = Ends::new(handshake.local, handshake.remote);
        let remote = handshake.remote.ip();
        let mut connection = Connection::accepted(handshake, config, cx);
        connection.recall(self.metrics.recall(remote, cx.now));
        if self.key_ring.is_for(remote) {
            connection.authenticate();
        }
        let id = self.connections.insert(Box::new(Slot::new(connection, Some(listener))));
        self.owners.insert(&ends, Owner::Connection(id));
        self.enqueue(listener, id);
        self.arrives_at_connection(id, segment, cx)
    }

    pub(super) fn on_embryo_timer(&mut self, id: EmbryoId, cx: &mut Context<'_>) {
        let Some(embryo) = self.embryos.get_mut(id) else { return };
        let Some(listener) = self.listeners.get(embryo.listener) else { return };
        if embryo.deadline() <= cx.now {
            if !embryo.on_timeout(&listener.config, cx.now) {
                cx.counters.count(Counter::TcpAttemptFails);
                self.remove_embryo(id);
                return;
            }
            cx.counters.count(Counter::TcpTimeouts);
            cx.counters.count(Counter::TcpRetransSegs);
            let syn_ack = embryo.syn_ack(&listener.config, cx);
            self.replies.push(syn_ack, cx.counters);
        }
        let next = embryo.deadline().max(cx.now + Duration::from_nanos(1));
        self.timers.set(TimerKey::Embryo(id), next);
    }

    pub(super) fn remove_embryo(&mut self, id: EmbryoId) -> Option<Embryo> {
        let embryo = self.embryos.remove(id)?;
        self.owners.remove(&embryo.ends(), Owner::Embryo(id));
        if let Some(listener) = self.listeners.get_mut(embryo.listener) {
            listener.embryos = listener.embryos.saturating_sub(1);
        }
        Some(embryo)
    }

    /// All connections of a listener that is closed: half-open ones are forgotten (what they send next is
    /// reset), those that nobody accepted are aborted.
    pub(super) fn drop_unaccepted(&mut self, listener: ListenerId, waiting: Vec<ConnectionId>, cx: &mut Context<'_>) {
        let orphans: Vec<EmbryoId> =
            self.embryos.iter().filter(|(_, embryo)| embryo.listener == listener).map(|(id, _)| id).collect();
        for id in orphans {
            self.remove_embryo(id);
        }
        for id in waiting {
            let Some(slot) = self.connections.get_mut(id) else { continue };
            slot.listener = None;
            slot.is_let_go = true;
            slot.connection.abort(cx);
            self.settle(id, cx);
        }
    }
}
