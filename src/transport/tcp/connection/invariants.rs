//! What is true of a connection between any two mutations. Tests and simulations check it after each step.

use super::{Connection, Timer};
use crate::base::seq::Seq;
use crate::transport::tcp::state::State;

impl Connection {
    /// Checks what must always hold.
    ///
    /// # Errors
    /// The first thing that does not, with the figures.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.flight.check()?;
        self.check_send_side()?;
        self.check_receive_side()?;
        self.check_timers()
    }

    /// The right edge of the window as the peer knows it. It never retreats.
    pub fn right_window_edge(&self) -> Seq {
        self.rcv.edge
    }

    fn check_send_side(&self) -> Result<(), String> {
        let snd = &self.snd;
        if snd.una.after(snd.nxt) {
            return Err(format!("una {} is after nxt {}", snd.una, snd.nxt));
        }
        if matches!(self.state, State::Closed | State::TimeWait) {
            return Ok(());
        }
        let out = self.flight.range().map_or((snd.una, snd.una), |range| (range.start, range.end));
        if out != (snd.una, snd.nxt) {
            return Err(format!("in flight {out:?}, una {} nxt {}", snd.una, snd.nxt));
        }
        if snd.nxt.after(self.output.end() + u32::from(snd.closing)) {
            return Err(format!("nxt {} is after the end of what was written, {}", snd.nxt, self.output.end()));
        }
        if self.output.len() > self.most_kept() {
            return Err(format!("{} octets in a send buffer of {}", self.output.len(), self.config.send_buffer));
        }
        Ok(())
    }

    fn check_receive_side(&self) -> Result<(), String> {
        let kept = self.input.ready_len() + self.input.held_len();
        let bound = self.config.receive_buffer;
        if kept > bound {
            return Err(format!("{kept} octets in a receive buffer of {bound}"));
        }
        if let Some(first) = self.input.held_ranges().next()
            && first.start.at_or_before(self.rcv.nxt)
            && self.state.may_receive()
        {
            return Err(format!("held {first:?} although {} is expected", self.rcv.nxt));
        }
        Ok(())
    }

    /// A timer runs exactly if there is a reason for it.
    fn check_timers(&self) -> Result<(), String> {
        let expect = |timer: Timer, reason: bool| {
            if self.timers.is_set(timer) == reason {
                Ok(())
            } else {
                Err(format!("{timer:?} in {}: reason {reason}, timers {:?}", self.state, self.timers))
            }
        };
        let is_open = self.state != State::Closed;
        let is_probing = self.is_window_closed();
        expect(Timer::Retransmit, is_open && !self.flight.is_empty() && !is_probing)?;
        expect(Timer::Persist, is_open && (is_probing || self.is_waiting_for_window()))?;
        expect(Timer::DelayedAck, is_open && self.pending.ack == super::output::AckDue::Delayed)?;
        let is_busy = !self.flight.is_empty() || self.has_unsent();
        expect(Timer::User, is_open && is_busy && self.config.user_timeout.is_some())?;
        let closes = match self.state {
            State::TimeWait => true,
            State::FinWait2 => self.user.is_gone,
            _ => false,
        };
        expect(Timer::Close, closes)?;
        match self.timers.due(Timer::Pacing) {
            Some(at) if at != self.pacing.release_at || !self.is_waiting_for_release() => {
                Err(format!("Pacing at {at:?} for {:?} without a reason", self.pacing))
            }
            _ => Ok(()),
        }
    }
}
