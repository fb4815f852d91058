//! TIMEOUTS (RFC 9293 §3.10.8): which timers run, and what happens when one expires.

use super::interface::Error;
use super::output::AckDue;
use super::rtt::backed_off;
use super::{Connection, Timer};
use crate::base::counters::Counter;
use crate::base::time::{Duration, Instant};
use crate::transport::Context;
use crate::transport::tcp::state::State;

/// R1: after so many retransmissions the path is suspected (RFC 9293 SHLD-10).
pub(super) const R1: u32 = 3;
/// How long what is too small for the window waits before it is sent all the same (RFC 9293 §3.8.6.2.1 (4):
/// 0.1 to 1.0 s).
const OVERRIDE: Duration = Duration::from_millis(200);

impl Connection {
    /// The time has come, or may have: handles every timer that is due.
    pub fn handle_timeout(&mut self, cx: &mut Context) {
        let now = cx.now;
        if self.timers.take_due(Timer::Close, now) {
            self.on_close_timeout(cx);
        }
        if self.timers.take_due(Timer::User, now) {
            self.on_user_timeout(cx);
        }
        if self.timers.take_due(Timer::LossDetection, now) {
            self.on_loss_detection_timeout(cx);
        }
        if self.timers.take_due(Timer::Retransmit, now) {
            self.on_retransmit_timeout(cx);
        }
        if self.timers.take_due(Timer::Persist, now) {
            self.on_persist_timeout();
        }
        if self.timers.take_due(Timer::DelayedAck, now) && self.pending.ack == AckDue::Delayed {
            cx.counters.count(Counter::TcpDelayedACKs);
            self.pending.ack = AckDue::Now;
        }
        if self.timers.take_due(Timer::Keepalive, now) {
            self.on_keepalive_timeout(cx);
        }
        self.timers.take_due(Timer::Pacing, now);
        self.arm_timers(now);
    }

    /// Makes the timers that run those that have a reason to: called at the end of each mutation.
    pub(super) fn arm_timers(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        let is_probing = self.is_window_closed();
        if self.flight.is_empty() || is_probing {
            self.timers.stop(Timer::Retransmit);
            self.timers.stop(Timer::LossDetection);
        } else {
            self.timers.start(Timer::Retransmit, now + self.rtt.rto(&self.config));
        }
        if is_probing {
            // RFC 9293 SHLD-29 (first after an RTO), SHLD-30 (then backed off).
            let delay =
                backed_off(self.rtt.base_rto(&self.config), u32::from(self.liveness.probes), self.config.max_rto);
            self.timers.start(Timer::Persist, now + delay);
        } else if self.is_waiting_for_window() {
            self.timers.start(Timer::Persist, now + OVERRIDE);
        } else {
            self.timers.stop(Timer::Persist);
        }
        if self.pending.ack == AckDue::Delayed {
            self.timers.start(Timer::DelayedAck, now + self.config.delayed_ack.unwrap_or_default());
        } else {
            self.timers.stop(Timer::DelayedAck);
        }
        if self.pacing.holds_back(now) && self.is_waiting_for_release() {
            self.timers.set(Timer::Pacing, self.pacing.release_at);
        } else {
            self.timers.stop(Timer::Pacing);
        }
        self.arm_patience();
    }

    /// User timeout while something is out or queued; keepalive while nothing is.
    fn arm_patience(&mut self) {
        let is_busy = !self.flight.is_empty() || self.has_unsent();
        match self.config.user_timeout {
            Some(patience) if is_busy => self.timers.start(Timer::User, self.liveness.progress_at + patience),
            _ => self.timers.stop(Timer::User),
        }
        match self.config.keepalive {
            Some(keepalive) if !is_busy && self.is_kept_alive() => {
                self.timers.start(Timer::Keepalive, self.liveness.heard_at + keepalive.idle);
            }
            _ => self.timers.stop(Timer::Keepalive),
        }
    }

    fn is_kept_alive(&self) -> bool {
        matches!(self.state, State::Established | State::CloseWait | State::FinWait2)
    }

    /// RETRANSMISSION TIMEOUT (RFC 9293 §3.10.8, RFC 6298 (5.4) to (5.7)).
    fn on_retransmit_timeout(&mut self, cx: &mut Context) {
        if self.flight.is_empty() {
            return;
        }
        cx.counters.count(Counter::TcpTimeouts);
        self.totals.traffic.record().timeouts += 1;
        let again = self.rtt.backoff > 0;
        self.rtt.on_timeout();
        if !self.state.is_synchronized() {
            return self.on_syn_timeout(cx);
        }
        if self.rtt.backoff == R1 {
            // RFC 9293 MUST-20: suspect the path; a smaller one is the reason we can do something about.
            self.refresh_path_mss(cx);
        }
        self.suspect_black_hole(cx.now);
        self.recover_from_timeout(again, cx);
    }

    /// The SYN, or the SYN-ACK of a simultaneous open, was not answered (RFC 9293 MUST-22, MUST-23).
    fn on_syn_timeout(&mut self, cx: &mut Context) {
        if self.rtt.backoff > self.config.syn_retries {
            let error = if self.liveness.soft_error.is_some() { Error::Unreachable } else { Error::TimedOut };
            return self.fail(error, cx);
        }
        self.snd.syn_was_lost = true;
        self.pending.syn = true;
    }

    /// USER TIMEOUT (RFC 9293 §3.10.8): R2 is reached. Progress may have been made since the timer was set.
    fn on_user_timeout(&mut self, cx: &mut Context) {
        let Some(patience) = self.config.user_timeout else { return };
        if cx.now.since(self.liveness.progress_at) >= patience {
            let error = if self.liveness.soft_error.is_some() { Error::Unreachable } else { Error::TimedOut };
            self.fail(error, cx);
        }
    }

    /// The window stayed closed, or too small to be worth a segment.
    fn on_persist_timeout(&mut self) {
        if self.is_window_closed() {
            self.pending.probe = true;
            self.liveness.probes = self.liveness.probes.saturating_add(1);
        } else if self.is_waiting_for_window() {
            self.pending.override_sws = true;
        }
    }

    /// RFC 9293 §3.8.4.
    fn on_keepalive_timeout(&mut self, cx: &mut Context) {
        let Some(keepalive) = self.config.keepalive else { return };
        let silent = cx.now.since(self.liveness.heard_at);
        if silent < keepalive.idle {
            return; // Something arrived since the timer was set (MUST-26).
        }
        if u32::from(self.liveness.keepalives) >= keepalive.count {
            return self.fail(Error::TimedOut, cx);
        }
        self.liveness.keepalives = self.liveness.keepalives.saturating_add(1);
        self.pending.keepalive = true;
        self.timers.set(Timer::Keepalive, cx.now + keepalive.interval);
    }

    /// TIME-WAIT TIMEOUT (RFC 9293 §3.10.8), or FIN-WAIT-2 lasted too long for a user who is gone.
    fn on_close_timeout(&mut self, cx: &mut Context) {
        match self.state {
            State::TimeWait => self.enter(State::Closed),
            State::FinWait2 => self.fail(Error::TimedOut, cx),
            _ => {}
        }
    }
}
