//! Congestion control: how many octets may be in the network.
//!
//! An algorithm is told facts and answers with three numbers. It owns its window; it never decides which
//! octets are sent ([`super::recovery`]), when ([`super::pacing`]) or whether there is anything to say
//! ([`super::output`]).
//!
//! | file | what it is |
//! |---|---|
//! | `cubic` | RFC 9438, the default |
//! | `new_reno` | RFC 5681 with RFC 6582 |
//! | `loss_based` | what those two share: slow start, the window after a loss |
//! | `hystart` | when slow start ends before a loss: RFC 9406 |
//! | `bbr` | draft-ietf-ccwg-bbr, version 3 |
//! | `bbr1` | draft-cardwell-iccrg-bbr-congestion-control-00, version 1, which Linux has |
//! | `validation` | whether the window is used, and what it is worth when it is not: RFC 7661 |

mod bbr;
mod bbr1;
mod cubic;
mod hystart;
mod loss_based;
mod new_reno;
#[cfg(test)]
mod path;
mod validation;

use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
use crate::transport::tcp::config::{Algorithm, Config};
use bbr::Bbr;
use bbr1::Bbr1;
use cubic::Cubic;
use loss_based::LossBased;
use new_reno::NewReno;
use std::fmt;
pub(super) use validation::Validation;

/// The answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Octets that may be in the network.
    pub cwnd: u32,
    /// Octets at which slow start ends.
    pub ssthresh: u32,
    /// Octets a second to spread them over; `None` leaves that to the window and the round-trip time.
    pub pacing_rate: Option<u64>,
}

/// What recovery is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// Nothing is known to be lost.
    #[default]
    Open,
    /// Fast recovery (RFC 6582, RFC 6675).
    Fast,
    /// Recovery after a timeout (RFC 5681 §3.1).
    Timeout,
}

/// The facts of one acknowledgment: all that any algorithm is told about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AckSample {
    /// The time.
    pub now: Instant,
    /// SND.UNA after it.
    pub una: Seq,
    /// SND.NXT.
    pub nxt: Seq,
    /// Octets that the cumulative acknowledgment moved on.
    pub acked_bytes: u32,
    /// Octets that this acknowledgment first told of, sacked ones included.
    pub delivered_bytes: u32,
    /// Octets newly found lost.
    pub lost_bytes: u32,
    /// Octets in the network before the acknowledgment.
    pub in_flight_before_bytes: u32,
    /// Octets in the network after it.
    pub in_flight_bytes: u32,
    /// The round-trip time, if there is an unambiguous sample.
    pub rtt: Option<Duration>,
    /// The smoothed round-trip time, this sample considered.
    pub srtt: Option<Duration>,
    /// The sender had less to send than the window allowed.
    pub app_limited: bool,
    /// What recovery is doing, this acknowledgment considered.
    pub phase: Phase,
    /// What it says of the rate of delivery, for an algorithm that is based on that.
    pub rate: Option<RateSample>,
}

/// How fast the network delivered what one acknowledgment told of (draft-ietf-ccwg-bbr, "Delivery Rate Samples").
/// Octets delivered are counted as sequence numbers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RateSample {
    /// Octets a second; 0 if that can't be said.
    pub delivery_rate: u64,
    /// Octets delivered from the time when the newest record that arrived was sent until now.
    pub delivered: u32,
    /// Octets delivered by this acknowledgment.
    pub newly_acked: u32,
    /// Octets that had been delivered when the record was sent.
    pub prior_delivered: Seq,
    /// Octets delivered by now.
    pub total_delivered: Seq,
    /// Octets in the network when the record was sent, itself included.
    pub tx_in_flight: u32,
    /// Octets lost since it was sent.
    pub lost: u32,
    /// The application was the limit then.
    pub is_app_limited: bool,
}

/// Something that was found lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LostPacket {
    /// Octets.
    pub size: u32,
    /// Octets in the network when it was sent, itself included.
    pub tx_in_flight: u32,
    /// Octets lost since it was sent, itself included.
    pub lost: u32,
    /// Octets delivered by now, counted as sequence numbers are.
    pub delivered: Seq,
    /// The application was the limit when it was sent.
    pub is_app_limited: bool,
}

/// A congestion controller.
pub trait CongestionControl: fmt::Debug {
    /// Its name in output.
    fn name(&self) -> &'static str;
    /// The three numbers.
    fn window(&self) -> Window;
    /// It follows a model of the path in recovery as at any time, without a threshold, and needs rate samples.
    fn is_rate_based(&self) -> bool {
        false
    }
    /// It lets less out than it could on purpose: the rate of delivery says nothing of the path.
    fn is_holding_back(&self) -> bool {
        false
    }
    /// Something is about to be sent while `in_flight_bytes` are in the network.
    fn on_sent(&mut self, now: Instant, in_flight_bytes: u32);
    /// Something was acknowledged.
    fn on_ack(&mut self, sample: &AckSample);
    /// One record was found lost, for an algorithm that is based on rates.
    fn on_packet_lost(&mut self, _packet: &LostPacket, _now: Instant) {}
    /// Fast recovery begins with `outstanding_bytes` sent and not acknowledged.
    fn on_loss(&mut self, now: Instant, outstanding_bytes: u32);
    /// Fast recovery is over with `in_flight_bytes` in the network.
    fn on_recovered(&mut self, now: Instant, in_flight_bytes: u32);
    /// The retransmission timer expired. `again`: for the same octets as last time.
    fn on_timeout(&mut self, now: Instant, outstanding_bytes: u32, again: bool);
    /// What the last [`on_loss`](Self::on_loss) or [`on_timeout`](Self::on_timeout) told of was not lost after all.
    fn on_spurious_loss(&mut self);
    /// A router marked what was sent in place of dropping it: once for each round trip (RFC 3168 §6.1.2).
    fn on_ecn(&mut self, now: Instant, outstanding_bytes: u32);
    /// The window was not used for a whole nonvalidated period (RFC 7661 §4.4.3).
    fn on_unused(&mut self);
    /// The size of a full segment changed.
    fn on_mss(&mut self, mss: u32);
}

/// The controller of one connection: a part of it rather than behind a pointer, since every segment needs it.
#[derive(Debug)]
pub(super) enum Controller {
    Cubic(Cubic),
    NewReno(NewReno),
    /// So large that the others are not to pay for it.
    Bbr(Box<Bbr>),
    /// This as well.
    Bbr1(Box<Bbr1>),
}

impl std::ops::Deref for Controller {
    type Target = dyn CongestionControl;
    fn deref(&self) -> &Self::Target {
        match self {
            Controller::Cubic(cubic) => cubic,
            Controller::NewReno(reno) => reno,
            Controller::Bbr(bbr) => &**bbr,
            Controller::Bbr1(bbr) => &**bbr,
        }
    }
}

impl std::ops::DerefMut for Controller {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Controller::Cubic(cubic) => cubic,
            Controller::NewReno(reno) => reno,
            Controller::Bbr(bbr) => &mut **bbr,
            Controller::Bbr1(bbr) => &mut **bbr,
        }
    }
}

/// What a controller starts from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    pub(super) now: Instant,
    pub(super) mss: u32,
    /// Our SYN had to be sent again, which shrinks the initial window.
    pub(super) syn_was_lost: bool,
    /// What the handshake took.
    pub(super) srtt: Option<Duration>,
    /// Where slow start ended for an earlier connection.
    pub(super) ssthresh: Option<u32>,
    /// Decides when BBR probes.
    pub(super) seed: u64,
}

/// The controller of `config`.
pub(super) fn start(config: &Config, start: Start) -> Controller {
    let Start { now, mss, syn_was_lost, srtt, ssthresh, seed } = start;
    // RFC 5681 §3.1: a lost SYN makes the initial window one segment. Otherwise RFC 6928 (2):
    // min(10 * MSS, max(2 * MSS, 14600)).
    let initial = if syn_was_lost { mss } else { (config.initial_window * mss).min((2 * mss).max(14_600)) };
    let mut base = LossBased::new(mss, initial, config.hystart);
    base.ssthresh = ssthresh.map_or(u32::MAX, |ssthresh| ssthresh.max(initial));
    match config.congestion {
        Algorithm::Cubic => Controller::Cubic(Cubic::new(base)),
        Algorithm::NewReno => Controller::NewReno(NewReno::new(base)),
        Algorithm::Bbr => Controller::Bbr(Box::new(Bbr::new(mss, initial, srtt, seed, now))),
        Algorithm::Bbr1 => Controller::Bbr1(Box::new(Bbr1::new(mss, initial, srtt, seed, now))),
    }
}
