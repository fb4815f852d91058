//! The tail loss probe (RFC 8985 §7): when no ACK comes for two round trips, the last segment, or a new one, is sent
//! so that the receiver says what it has, and RACK repairs what is missing instead of the retransmission timeout.
//!
//! Where the probe repaired the only loss itself nobody would notice that there was one; §7.4 does.
//!
//! DEVIATION(RFC 8985 §7.2): a peer without SACK is probed as well. A probe of the last segment that was lost alone
//! repairs it; if more was lost the duplicate ACK tells nothing, and the retransmission timer, which the probe put
//! off by at most one PTO, does what it would have done.

use crate::base::seq::Seq;
use crate::base::time::Duration;

/// TLP.max_ack_delay: how long a receiver may wait for a second segment before it acknowledges one.
const MAX_ACK_DELAY: Duration = Duration::from_millis(200);
/// What timers on both sides may be late by.
const GRANULARITY: Duration = Duration::from_millis(2);
/// PTO before there is a round-trip time (RFC 8985 §7.2).
const INITIAL_PTO: Duration = Duration::from_secs(1);

/// TLP_calc_PTO (RFC 8985 §7.2), before it is bounded by the RTO. `may_be_delayed`: so little is out that its ACK may wait
/// for more; the RFC says so of one segment.
pub(in super::super) fn pto(srtt: Option<Duration>, may_be_delayed: bool) -> Duration {
    let Some(srtt) = srtt else { return INITIAL_PTO };
    srtt * 2 + if may_be_delayed { MAX_ACK_DELAY } else { GRANULARITY }
}

/// What an ACK says that matters to a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbeAck {
    pub(super) una: Seq,
    /// The end of what it says arrived twice.
    pub(super) dsack_end: Option<Seq>,
    /// It acknowledges nothing new and carries no SACK block.
    pub(super) is_bare_duplicate: bool,
}

/// The probe that is out: TLP.end_seq and TLP.is_retrans.
#[derive(Clone, Copy, Debug)]
struct Probe {
    end_seq: Seq,
    is_retrans: bool,
}

/// The state of TLP: at most one probe at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct TailProbe(Option<Probe>);

impl TailProbe {
    /// None is out.
    pub(super) const NONE: TailProbe = TailProbe(None);

    pub(super) fn is_out(&self) -> bool {
        self.0.is_some()
    }

    /// A probe was sent; SND.NXT is `end_seq` after it.
    pub(super) fn on_sent(&mut self, end_seq: Seq, is_retrans: bool) {
        self.0 = Some(Probe { end_seq, is_retrans });
    }

    /// TLP_process_ack (RFC 8985 §7.4.2). True if the probe repaired a loss.
    pub(super) fn on_ack(&mut self, ack: &ProbeAck) -> bool {
        let Some(probe) = self.0 else { return false };
        if ack.una.before(probe.end_seq) {
            // Without SACK: a receiver that lacks something else answers the probe so as well.
            return false;
        }
        let is_told_twice = ack.dsack_end == Some(probe.end_seq);
        if !probe.is_retrans || is_told_twice || (ack.una == probe.end_seq && ack.is_bare_duplicate) {
            self.0 = None;
            return false;
        }
        let repaired = ack.una.after(probe.end_seq);
        if repaired {
            self.0 = None;
        }
        repaired
    }

    /// The retransmission timer expired, or fast recovery began: what the probe was for is being repaired.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}
