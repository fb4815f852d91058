//! Recovery without SACK: NewReno (RFC 6582), with limited transmit (RFC 3042) before. Each duplicate ACK says that
//! one more segment left the network; `departed` counts them, which does what the inflation of cwnd does there.

use super::super::congestion::Phase;
use super::super::flight::Flight;
use super::{AckFacts, DUP_THRESH, Recovery, Verdict};

impl Recovery {
    /// Counts a duplicate ACK, or what an ACK covers. Gives DeliveredData (RFC 9937 §5).
    pub(super) fn count_duplicates(&mut self, facts: &AckFacts, flight: &mut Flight, verdict: &mut Verdict) {
        if facts.is_duplicate && self.phase != Phase::Timeout {
            self.dup_acks = self.dup_acks.saturating_add(1);
            let departed = (self.departed + facts.path.mss).min(flight.in_network());
            verdict.delivered = departed.saturating_sub(self.departed);
            self.departed = departed;
            // `recover` is still known: these may be the echo of an earlier recovery (RFC 6582 §3.2 step 1).
            if self.phase == Phase::Open && self.dup_acks >= DUP_THRESH && self.recover.is_none() {
                flight.mark_first_lost(facts.path.mss);
                self.departed = self.departed.min(flight.in_network());
                self.enter(facts, flight, verdict);
            }
        } else if facts.acked > 0 {
            // One segment filled the hole; what else is covered had been counted by duplicates.
            let told = self.departed.min(facts.acked.saturating_sub(facts.path.mss));
            verdict.delivered = facts.acked - told;
            self.departed -= told;
            match self.phase {
                Phase::Open => {
                    self.dup_acks = 0;
                    self.departed = 0;
                }
                Phase::Fast => {
                    // A partial acknowledgment: the next hole is known (RFC 6582 §3.2 step 3).
                    flight.mark_first_lost(facts.path.mss);
                    self.is_urgent = true;
                }
                Phase::Timeout => {}
            }
            self.departed = self.departed.min(flight.in_network());
        }
    }
}
