//! How large the buffers of a connection are at the moment: what its path can use, and no more.
//!
//! Receiving: dynamic right-sizing (Fisk and Feng 2001; what Linux calls moderating). A *round* begins with some
//! right edge announced and ends when everything up to it has arrived. If that took hardly longer than a
//! round trip, the window was what held the peer back; if the user has read what came before, more will not lie
//! about unread. Then the buffer doubles, up to the configured size. It never shrinks, since an announced edge
//! must not retreat (RFC 9293 SHLD-14).
//!
//! Sending: twice the congestion window, so that as much waits as is out when the ACKs come, between a floor and the
//! configured size; and no more than so much unsent, so that what the user writes is sent while it is in the cache
//! and a late decision of the user's is not late by a whole buffer.

use super::Connection;
use super::interface::Readiness;
use crate::base::limits::{TCP_INITIAL_BUFFER, TCP_UNSENT};
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
use crate::transport::tcp::config::Config;

/// What is added to two round-trip times: the grain of the clock that they were measured with.
const GRAIN: Duration = Duration::from_millis(1);

/// The size of the receive buffer, and the round that may change it.
#[derive(Clone, Debug)]
pub(super) struct ReceiveSize {
    octets: u32,
    round_end: Seq,
    round_start: Instant,
}

impl ReceiveSize {
    pub(super) fn new(config: &Config, edge: Seq, now: Instant) -> Self {
        let start = if config.auto_tuning { TCP_INITIAL_BUFFER } else { usize::MAX };
        ReceiveSize { octets: config.receive_buffer.min(start) as u32, round_end: edge, round_start: now }
    }

    /// Octets that may be kept.
    pub(super) fn octets(&self) -> u32 {
        self.octets
    }
}

impl Connection {
    /// The stream has come up to RCV.NXT; `unread` octets had not been read before.
    pub(super) fn tune_receive_buffer(&mut self, unread: usize, now: Instant) {
        if self.rcv.nxt.before(self.receive_size.round_end) {
            return;
        }
        let elapsed = now.since(self.receive_size.round_start);
        let rtt = self.rtt.srtt().unwrap_or(self.rtt.base_rto(&self.config));
        let is_window_the_limit = elapsed <= rtt * 2 + GRAIN;
        let size = &mut self.receive_size;
        let is_user_the_limit = unread > size.octets as usize / 4;
        if is_window_the_limit && !is_user_the_limit {
            let most = u32::try_from(self.config.receive_buffer).unwrap_or(u32::MAX);
            size.octets = size.octets.saturating_mul(2).min(most);
        }
        size.round_end = self.rcv.edge;
        size.round_start = now;
    }

    /// Octets that may be kept until they are acknowledged.
    pub(super) fn send_size(&self) -> usize {
        let most = self.config.send_buffer;
        if !self.config.auto_tuning {
            return most;
        }
        let twice = (self.congestion.window().cwnd as usize).saturating_mul(2);
        twice.max(TCP_INITIAL_BUFFER).min(most)
    }

    /// Octets more that may be kept. What the peer has beyond a gap takes no room, up to as much again as there can be:
    /// otherwise there would be nothing to send while a gap is repaired.
    pub(super) fn send_room(&self) -> usize {
        let (kept, sacked) = (self.output.len(), self.flight.sacked() as usize);
        let room = self.send_size().saturating_sub(kept.saturating_sub(sacked));
        room.min(self.most_kept().saturating_sub(kept))
    }

    /// The most octets that may be kept, gaps or not.
    pub(super) fn most_kept(&self) -> usize {
        let times = if self.config.auto_tuning { 2 } else { 1 };
        self.config.send_buffer.saturating_mul(times)
    }

    /// The mark of notsent-lowat is worth a full segment at least, or the user would feed us octet by octet.
    fn unsent_size(&self) -> usize {
        let most = if self.config.auto_tuning { TCP_UNSENT } else { usize::MAX };
        self.config.notsent_lowat.map_or(most, |mark| most.min(mark.max(self.mss()) as usize))
    }

    /// The most that is announced: what may be kept, unless the user wants less.
    pub(super) fn window_limit(&self) -> u32 {
        self.receive_size.octets().min(self.config.window_clamp.unwrap_or(u32::MAX))
    }

    /// Octets a write would take now.
    pub fn write_room(&self) -> usize {
        if !self.state.may_send() || self.snd.closing {
            return 0;
        }
        let unsent = self.output.end().past(self.snd.nxt) as usize;
        self.send_room().min(self.unsent_size().saturating_sub(unsent))
    }

    /// Tells a user who waits for room once a third of the buffer is free, so that it is woken for more than a few
    /// octets.
    pub(super) fn tell_of_room(&mut self) {
        if !self.user.wants_room {
            return;
        }
        let unsent = self.output.end().past(self.snd.nxt) as usize;
        if self.send_room() >= self.send_size() / 3 && unsent <= self.unsent_size() / 2 {
            self.user.wants_room = false;
            self.user.readiness.add(Readiness::WRITABLE);
        }
    }
}
