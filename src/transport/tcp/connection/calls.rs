//! The calls of the user: SEND, RECEIVE, CLOSE, ABORT and STATUS (RFC 9293 §3.10.2 to §3.10.6).

use super::interface::{Error, Read, Readiness};
use super::output::{AckDue, Reset};
use super::{Connection, Timer};
use crate::base::time::Duration;
use crate::transport::Context;
use crate::transport::tcp::config::{Config, Keepalive};
use crate::transport::tcp::state::State;
use bytes::Bytes;
use std::rc::Rc;

impl Connection {
    /// RECEIVE: up to `max` octets of the stream, without copying.
    ///
    /// # Errors
    /// Why the connection failed, once it has.
    pub fn read(&mut self, max: usize) -> Result<Read, Error> {
        if let Some(bytes) = self.input.read(max) {
            if self.urgent().rcv_up.is_some_and(|up| up.at_or_before(self.read_seq())) {
                self.extras().urgent.rcv_up = None;
                self.shed_extras();
            }
            if self.state.may_receive() && self.is_window_update_due() {
                self.pending.ack = AckDue::Now;
                self.timers.stop(Timer::DelayedAck);
            }
            return Ok(Read::Data(bytes));
        }
        match self.user.error {
            Some(error) if self.user.has_lost_data => Err(error),
            _ if self.rcv.is_finished() => Ok(Read::End),
            Some(error) => Err(error),
            None if self.state == State::Closed => Ok(Read::End),
            None => Ok(Read::WouldBlock),
        }
    }

    /// The first octets that [`read`](Self::read) would give, at most `max`, copied; they stay to be read.
    pub fn peek(&self, max: usize) -> Vec<u8> {
        let mut octets = Vec::with_capacity(max.min(self.input.ready_len()));
        for piece in self.input.pieces() {
            let room = max - octets.len();
            octets.extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
        octets
    }

    /// SEND: takes as much of `data` as there is room for, without copying unless it is small, and says how much.
    /// Zero means that [`Readiness::WRITABLE`] will tell when there is room.
    ///
    /// # Errors
    /// Why the connection failed, or [`Error::Closed`] after CLOSE.
    pub fn write(&mut self, data: &mut Bytes, cx: &mut Context) -> Result<usize, Error> {
        if let Some(error) = self.user.error {
            return Err(error);
        }
        if !self.state.may_send() || self.snd.closing {
            return Err(Error::Closed);
        }
        let room = self.write_room();
        let taken = data.split_to(data.len().min(room));
        if !data.is_empty() {
            self.user.wants_room = true;
        }
        let len = taken.len();
        if len > 0 {
            if self.flight.is_empty() && self.output.len() == 0 {
                self.resume_after_idle(cx);
            }
            self.output.push(taken);
            self.arm_timers(cx.now);
        }
        Ok(len)
    }

    /// Nothing was out: patience begins anew, and a window from before a long silence is given up by half for every
    /// five minutes of it (RFC 7661 §4.4.3).
    fn resume_after_idle(&mut self, cx: &mut Context) {
        self.liveness.progress_at = cx.now;
        if self.state.is_synchronized() && cx.now.since(self.liveness.sent_at) > self.rtt.rto(&self.config) {
            let periods = self.usage.on_resumed(self.liveness.sent_at, cx.now);
            (0..periods).for_each(|_| self.congestion.on_unused());
            self.refresh_path_mss(cx);
        }
    }

    /// Octets that can be read now.
    pub fn readable_bytes(&self) -> usize {
        self.input.ready_len()
    }

    /// Everything written so far is urgent (RFC 9293 §3.8.5, MUST-30; new applications should not use this).
    pub fn mark_urgent(&mut self) {
        if self.state.may_send() {
            self.extras().urgent.snd_up = Some(self.output.end());
        }
    }

    /// Octets of urgent data the user has still to read, received or announced (RFC 9293 MUST-33).
    pub fn urgent_ahead(&self) -> u32 {
        self.urgent().rcv_up.map_or(0, |up| up.past(self.read_seq()))
    }

    /// CLOSE for the side that writes: a FIN follows what is queued; reading goes on.
    pub fn shutdown_write(&mut self, cx: &mut Context) {
        if !self.state.may_send() || self.snd.closing {
            return;
        }
        self.snd.closing = true;
        self.user.corked = false;
        if self.flight.is_empty() && self.output.len() == 0 {
            self.liveness.progress_at = cx.now;
        }
        match self.state {
            State::Established => self.enter(State::FinWait1),
            State::CloseWait => self.enter(State::LastAck),
            // SYN-SENT and SYN-RECEIVED: queued until the connection is established.
            _ => {}
        }
        self.arm_timers(cx.now);
    }

    /// The user lets go: a FIN follows what is queued, and data that arrives from now on resets the connection, as
    /// does data that was not read (RFC 9293 §3.6.1, SHLD-3; RFC 2525 §2.17).
    pub fn close(&mut self, cx: &mut Context) {
        if self.user.is_gone {
            return;
        }
        self.user.is_gone = true;
        match self.state {
            State::Closed => {}
            State::SynSent => self.enter(State::Closed),
            _ if self.input.ready_len() > 0 || self.input.held_len() > 0 => self.abort(cx),
            _ => self.shutdown_write(cx),
        }
        self.input.clear();
        if self.state == State::FinWait2 {
            self.timers.set(Timer::Close, cx.now + self.config.fin_wait_2);
        }
    }

    /// ABORT: everything is dropped, and the peer is told where it knows of the connection.
    pub fn abort(&mut self, cx: &mut Context) {
        self.schedule_reset();
        self.fail(Error::Aborted, cx);
    }

    /// Resets the peer because it sends what nobody will read.
    pub(super) fn reset_peer(&mut self, cx: &mut Context) {
        self.schedule_reset();
        self.fail(Error::Aborted, cx);
    }

    /// `<SEQ=SND.NXT><CTL=RST>`, within the window, in the states where RFC 9293 §3.10.5 sends one.
    fn schedule_reset(&mut self) {
        use State::{CloseWait, Established, FinWait1, FinWait2, SynReceived};
        if matches!(self.state, SynReceived | Established | FinWait1 | FinWait2 | CloseWait) {
            self.pending.reset = Some(Reset { seq: self.snd.bare_seq(), with_ack: true });
        }
    }

    /// Turns Nagle off or on (RFC 9293 MUST-17).
    pub fn set_nodelay(&mut self, nodelay: bool) {
        self.configure(|config| config.nagle = !nodelay);
    }

    /// While corked, only full segments go out, but for the override of RFC 9293 §3.8.6.2.1 (4).
    pub fn set_cork(&mut self, cork: bool) {
        self.user.corked = cork;
    }

    /// The ACKs of the next `segments` segments with text don't wait, and neither does one that waits already
    /// (RFC 9293 §3.8.6.3 leaves it to the receiver). Zero ends the quick ACKs of the beginning.
    pub fn set_quick_acks(&mut self, segments: u8) {
        self.rcv.quick_acks = segments;
        if segments > 0 && self.pending.ack == AckDue::Delayed {
            self.pending.ack = AckDue::Now;
            self.timers.stop(Timer::DelayedAck);
        }
    }

    /// Octets taken from now on before they are acknowledged, at most ([`Config::send_buffer`]), but no less than are
    /// kept already.
    pub fn set_send_buffer(&mut self, octets: usize) {
        let kept = self.output.len();
        self.configure(|config| config.send_buffer = octets.max(kept));
    }

    /// How long FIN-WAIT-2 lasts once the user let go ([`Config::fin_wait_2`]).
    pub fn set_fin_wait_2(&mut self, duration: Duration) {
        self.configure(|config| config.fin_wait_2 = duration);
    }

    /// Turns keepalive on or off (RFC 9293 MUST-24, MUST-27).
    pub fn set_keepalive(&mut self, keepalive: Option<Keepalive>, cx: &mut Context) {
        self.configure(|config| config.keepalive = keepalive);
        self.timers.stop(Timer::Keepalive);
        self.arm_timers(cx.now);
    }

    /// Sets how long something may stay unacknowledged (RFC 9293 MUST-21).
    pub fn set_user_timeout(&mut self, user_timeout: Option<Duration>, cx: &mut Context) {
        self.configure(|config| config.user_timeout = user_timeout);
        self.fix_user_timeout(user_timeout);
        self.timers.stop(Timer::User);
        self.arm_timers(cx.now);
    }

    /// Sets DSCP of what is sent from now on (RFC 9293 MUST-48, SHLD-21).
    pub fn set_traffic_class(&mut self, traffic_class: u8) {
        self.configure(|config| config.traffic_class = traffic_class);
    }

    /// Sets the hop limit of what is sent from now on (RFC 9293 MUST-49).
    pub fn set_hop_limit(&mut self, hop_limit: u8) {
        self.configure(|config| config.hop_limit = hop_limit);
    }

    /// The most that is announced from now on, or no limit of its own. What was announced already stays (RFC 9293
    /// SHLD-14).
    pub fn set_window_clamp(&mut self, clamp: Option<u32>) {
        self.configure(|config| config.window_clamp = clamp);
    }

    /// Octets that may wait to be sent for the first time before the connection is no longer writable: little, for a user
    /// who decides late what is worth sending.
    pub fn set_notsent_lowat(&mut self, octets: Option<u32>) {
        self.configure(|config| config.notsent_lowat = octets);
        self.tell_of_room();
    }

    /// Changes the configuration of this connection alone.
    pub(super) fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        change(Rc::make_mut(&mut self.config));
    }

    /// The level behind the edges: what is possible now.
    pub fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::NONE;
        if self.input.ready_len() > 0 || self.rcv.is_finished() || self.state == State::Closed {
            readiness.add(Readiness::READABLE);
        }
        if self.write_room() > 0 || self.state == State::Closed {
            readiness.add(Readiness::WRITABLE);
        }
        if self.user.error.is_some() {
            readiness.add(Readiness::ERROR);
        }
        readiness
    }
}
