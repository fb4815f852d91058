//! F-RTO: was the retransmission timeout a mistake (RFC 5682)? After the first segment is sent again, new data is
//! sent before anything else is, and what the receiver answers to originals tells.
//!
//! With SACK (§3) an acknowledgment of anything that was sent before the timeout, and not since, is proof. Without
//! (§2) it is proof only if nothing that was sent again is acknowledged with it, since the receiver may have had
//! what lies beyond all along.

use super::AckFacts;
use crate::base::seq::Seq;

/// What the ACKs since the timeout say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Suspicion {
    /// Nothing yet.
    Open,
    /// It was too early: nothing is lost.
    Spurious,
    /// It was right, or nothing can be told: conventional recovery.
    Conventional,
}

/// Where the algorithm is, between the timeout and its outcome.
#[derive(Clone, Debug)]
pub(super) struct FRto {
    /// SND.NXT when the timer expired, or when step 2 was passed.
    recover: Seq,
    /// Step 2b: new data goes before what is taken for lost.
    wants_new: bool,
}

impl FRto {
    /// Step 1: the timer expired with SND.NXT at `nxt`.
    pub(super) fn new(nxt: Seq) -> Self {
        FRto { recover: nxt, wants_new: false }
    }

    pub(super) fn wants_new(&self) -> bool {
        self.wants_new
    }

    /// Steps 2 and 3.
    pub(super) fn on_ack(&mut self, facts: &AckFacts) -> Suspicion {
        let delivery = &facts.delivery;
        let is_original = delivery.original.is_some_and(|seq| seq.before(self.recover));
        if is_original && (facts.sack || !delivery.has_resent) {
            return Suspicion::Spurious; // 3b, and step 2 of §3 where the first ACK tells already.
        }
        if facts.nxt.after(self.recover) {
            // Step 3a: new data was sent, and what it brought says that something is missing.
            let is_missing = delivery.sacked > 0 || facts.is_duplicate;
            return if is_missing { Suspicion::Conventional } else { Suspicion::Open };
        }
        if facts.acked > 0 && facts.una.before(self.recover) && facts.may_send_new {
            self.recover = facts.nxt;
            self.wants_new = true; // 2b
            return Suspicion::Open;
        }
        // 2a: a duplicate, everything acknowledged, or no new data to ask with.
        if facts.acked > 0 || facts.is_duplicate { Suspicion::Conventional } else { Suspicion::Open }
    }
}
