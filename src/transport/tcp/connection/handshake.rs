//! What the two SYNs agreed on: the facts a half-open record hands over, and the options in force.

use super::ecn::Agreement;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
use crate::transport::tcp::config::Config;
use crate::transport::tcp::options::{Options, Timestamps};
use std::net::SocketAddr;

/// A passive open that is about to complete: what its half-open record knows (RFC 9293 §3.10.7.2).
#[derive(Clone, Debug)]
pub struct Handshake {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Our initial sequence number; the SYN-ACK was sent with it.
    pub iss: Seq,
    /// The peer's initial sequence number.
    pub irs: Seq,
    /// The MSS option of the peer's SYN.
    pub peer_mss: Option<u16>,
    /// The shifts, if both sides offered one.
    pub window_scale: Option<WindowScale>,
    /// Both sides permit SACK.
    pub sack: bool,
    /// Our clock and the peer's last value, if both sides use timestamps.
    pub timestamps: Option<TimestampClock>,
    /// What both sides do of ECN (RFC 3168 §6.1.1, RFC 9768 §3.1).
    pub ecn: Agreement,
    /// The window field of the peer's SYN, never scaled.
    pub window: u16,
    /// The time from SYN-ACK to ACK, if it was measured and the SYN-ACK was sent only once.
    pub rtt: Option<Duration>,
    /// The SYN-ACK was sent more than once (RFC 6298 (5.7), RFC 5681 §3.1).
    pub syn_ack_retransmitted: bool,
}

/// The shifts of both directions (RFC 7323 §2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowScale {
    /// Rcv.Wind.Shift: of the windows that we announce.
    pub ours: u8,
    /// Snd.Wind.Shift: of the windows that the peer announces.
    pub theirs: u8,
}

/// The timestamp clock of one connection and what it last heard of the other's (RFC 7323).
///
/// One tick is a millisecond; each connection's clock has an offset of its own, so that it tells nothing
/// about the host (RFC 7323 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimestampClock {
    /// What is added to the milliseconds of the stack's time.
    pub offset: u32,
    /// TS.Recent.
    pub recent: u32,
    /// When TS.Recent was taken.
    pub recent_at: Instant,
}

/// TS.Recent is not trusted after this long (RFC 7323 §5.5).
const RECENT_VALID: Duration = Duration::from_secs(24 * 24 * 3600);

impl TimestampClock {
    /// TSval now.
    pub fn value(&self, now: Instant) -> u32 {
        self.offset.wrapping_add(now.as_millis() as u32)
    }

    /// The option that goes out now.
    pub fn option(&self, now: Instant) -> Timestamps {
        Timestamps { value: self.value(now), echo: self.recent }
    }

    /// True if `value` is from before TS.Recent (RFC 7323 §5.3 R1).
    pub fn is_old(&self, value: u32, now: Instant) -> bool {
        Seq(value).before(Seq(self.recent)) && now.since(self.recent_at) < RECENT_VALID
    }

    /// Takes `value` as TS.Recent.
    pub fn accept(&mut self, value: u32, now: Instant) {
        self.recent = value;
        self.recent_at = now;
    }

    /// How long ago the peer's `echo` was sent; `None` if that cannot be.
    pub fn elapsed(&self, echo: u32, now: Instant) -> Option<Duration> {
        let millis = self.value(now).wrapping_sub(echo);
        // The clock cannot be younger than what it stamped, and an RTT of more than ten minutes is no RTT.
        (millis < 600_000).then(|| Duration::from_millis(u64::from(millis)))
    }
}

/// The options that both sides agreed to use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Agreed {
    /// Window scaling, as shifts.
    pub(super) window_scale: Option<WindowScale>,
    /// SACK.
    pub(super) sack: bool,
    /// Timestamps.
    pub(super) timestamps: Option<TimestampClock>,
}

impl Agreed {
    /// What is in force when we offered `config` and the peer's SYN carries `options`: each only if both have it.
    pub(super) fn new(config: &Config, options: &Options, offset: u32, now: Instant) -> Self {
        Agreed {
            window_scale: options
                .window_scale
                .filter(|_| config.window_scale)
                .map(|theirs| WindowScale { ours: config.receive_window_scale(), theirs }),
            sack: config.sack && options.sack_permitted,
            timestamps: options.timestamps.filter(|_| config.timestamps).map(|peer| TimestampClock {
                offset,
                recent: peer.value,
                recent_at: now,
            }),
        }
    }

    /// The shift of windows that we announce.
    pub(super) fn our_shift(&self) -> u8 {
        self.window_scale.map_or(0, |scale| scale.ours)
    }

    /// The shift of windows that the peer announces.
    pub(super) fn their_shift(&self) -> u8 {
        self.window_scale.map_or(0, |scale| scale.theirs)
    }
}
