//! Loss recovery: which octets are lost and to be sent again.
//!
//! With SACK it follows RFC 6675: a hole is lost when enough above it arrived. Without, it follows RFC 6582
//! (NewReno), told as the same story: each duplicate ACK says that one more segment left the network
//! ([`Recovery::departed`]), which does what the inflation of cwnd does there, and what limited transmit
//! (RFC 3042) does before. How much may be sent is not decided here.
//!
//! ```text
//!           3 duplicate ACKs, or a hole lost            timer
//!   Open ------------------------------------> Fast ------------> Timeout
//!     ^  <------------------------------------  |                  ^   |
//!     |          ACK of `recover`               +------------------+   |
//!     +----------------------------------------------------------------+
//! ```

use super::congestion::Phase;
use super::flight::Flight;
use crate::base::ranges::Range;
use crate::base::seq::Seq;

/// Duplicate ACKs that say a segment is lost (RFC 5681 §3.2).
const DUP_THRESH: u32 = 3;

/// Why something is sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reason {
    /// It is lost.
    Lost,
    /// It lies below what is at the receiver: RFC 6675 §4 NextSeg (3).
    Suspected,
    /// It is the end of what is out: NextSeg (4).
    Rescue,
}

/// What recovery is told of an ACK.
#[derive(Clone, Copy, Debug)]
pub(super) struct AckFacts {
    /// SND.UNA after it.
    pub(super) una: Seq,
    /// SND.NXT.
    pub(super) nxt: Seq,
    /// Octets by which it moved SND.UNA on.
    pub(super) acked: u32,
    /// Octets that its SACK blocks first told of.
    pub(super) sacked: u32,
    /// It is a duplicate by RFC 5681 §2.
    pub(super) is_duplicate: bool,
    /// SACK is in use.
    pub(super) sack: bool,
    /// A full segment.
    pub(super) mss: u32,
}

/// What an ACK meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Verdict {
    /// Fast recovery began: congestion control must react.
    pub(super) entered: bool,
    /// Fast recovery is over.
    pub(super) recovered: bool,
    /// Octets newly found lost.
    pub(super) lost: u32,
}

/// The state of recovery.
#[derive(Clone, Debug, Default)]
pub(super) struct Recovery {
    phase: Phase,
    /// `recover` (RFC 6582 §3.2), `RecoveryPoint` (RFC 6675 §5): SND.NXT when recovery began. It outlives the
    /// recovery until something beyond it is acknowledged.
    recover: Option<Seq>,
    dup_acks: u32,
    /// Octets that duplicate ACKs say have left the network, where there is no SACK to say which.
    departed: u32,
    /// The next retransmission does not wait for the window (RFC 6675 §5 (4.3), RFC 6582 §3.2 step 2 and 3).
    is_urgent: bool,
    /// NextSeg (4) was used in this recovery.
    rescued: bool,
}

impl Recovery {
    /// What it is doing.
    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// The next retransmission does not wait for the window.
    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// Octets in the network: pipe.
    pub(super) fn pipe(&self, flight: &Flight) -> u32 {
        flight.in_network().saturating_sub(self.departed)
    }

    /// An ACK arrived; `flight` has taken it in already.
    pub(super) fn on_ack(&mut self, facts: &AckFacts, flight: &mut Flight) -> Verdict {
        let mut verdict = Verdict::default();
        self.leave_if_recovered(facts, &mut verdict);
        if facts.sack {
            self.dup_acks = if facts.acked > 0 { 0 } else { self.dup_acks + u32::from(facts.sacked > 0) };
            verdict.lost = flight.mark_lost_below_sacked(facts.mss);
            let is_lost = verdict.lost > 0 || self.dup_acks >= DUP_THRESH;
            if self.phase == Phase::Open && is_lost && !flight.is_empty() {
                self.enter(facts, flight, &mut verdict);
            }
        } else {
            self.count_duplicates(facts, flight, &mut verdict);
        }
        verdict
    }

    /// Everything that was out when recovery began is acknowledged.
    fn leave_if_recovered(&mut self, facts: &AckFacts, verdict: &mut Verdict) {
        let Some(recover) = self.recover else { return };
        if facts.una.at_or_after(recover) && self.phase != Phase::Open {
            verdict.recovered = self.phase == Phase::Fast;
            self.phase = Phase::Open;
            self.dup_acks = 0;
            self.departed = 0;
            self.is_urgent = false;
        }
        if facts.una.after(recover) {
            self.recover = None;
        }
    }

    /// RFC 6582 §3.2.
    fn count_duplicates(&mut self, facts: &AckFacts, flight: &mut Flight, verdict: &mut Verdict) {
        match self.phase {
            Phase::Timeout => {}
            _ if facts.is_duplicate => {
                self.dup_acks += 1;
                self.departed = (self.departed + facts.mss).min(flight.in_network());
                // `recover` is still known: these may be the echo of an earlier recovery.
                if self.phase == Phase::Open && self.dup_acks >= DUP_THRESH && self.recover.is_none() {
                    self.enter(facts, flight, verdict);
                }
            }
            Phase::Open if facts.acked > 0 => {
                self.dup_acks = 0;
                self.departed = 0;
            }
            Phase::Fast if facts.acked > 0 => {
                // Partial acknowledgment: the next hole is known, and the window deflates by what was
                // acknowledged, less the segment that left the network.
                self.departed = self.departed.saturating_sub(facts.acked) + facts.mss;
                flight.mark_first_lost(facts.mss);
                self.departed = self.departed.min(flight.in_network());
                self.is_urgent = true;
            }
            _ => {}
        }
    }

    fn enter(&mut self, facts: &AckFacts, flight: &mut Flight, verdict: &mut Verdict) {
        if flight.lost() == 0 {
            flight.mark_first_lost(facts.mss);
            self.departed = self.departed.min(flight.in_network());
        }
        self.phase = Phase::Fast;
        self.recover = Some(facts.nxt);
        self.is_urgent = true;
        self.rescued = false;
        verdict.entered = true;
    }

    /// The retransmission timer expired (RFC 5681 §3.1, RFC 6675 §5.1).
    pub(super) fn on_timeout(&mut self, nxt: Seq, flight: &mut Flight) {
        flight.mark_all_lost();
        *self = Recovery { phase: Phase::Timeout, recover: Some(nxt), ..Recovery::default() };
    }

    /// Something was sent again.
    pub(super) fn on_resent(&mut self) {
        self.is_urgent = false;
    }

    /// What to send again before anything new (NextSeg (1)).
    pub(super) fn next(&self, flight: &Flight) -> Option<Range> {
        flight.first_lost()
    }

    /// What to send again when there is nothing new to send: NextSeg (3), and once in a recovery NextSeg (4), the
    /// rescue.
    pub(super) fn next_without_new_data(&self, flight: &Flight, mss: u32) -> Option<(Range, Reason)> {
        if self.phase != Phase::Fast || flight.sacked() == 0 {
            return None;
        }
        if let Some(range) = flight.first_out_below_sacked() {
            return Some((Range::starting(range.start, range.len().min(mss)), Reason::Suspected));
        }
        let last = flight.last_unsacked().filter(|_| !self.rescued)?;
        let len = last.len().min(mss);
        Some((Range::starting(last.end - len, len), Reason::Rescue))
    }

    /// NextSeg (4) was followed.
    pub(super) fn on_rescued(&mut self) {
        self.rescued = true;
    }
}
