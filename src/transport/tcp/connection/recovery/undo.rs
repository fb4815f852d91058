//! Was the recovery a mistake? What was taken for lost may only have been late. Two witnesses:
//!
//! - Eifel (RFC 3522): the ACK that the retransmission asked for echoes a timestamp from before it, so that the
//!   original must have arrived.
//! - DSACK (RFC 2883, RFC 3708): the receiver says that all that was sent again came twice.
//!
//! What follows (RFC 4015) is congestion control's: the window is as it was.

use super::super::flight::AckTime;
use crate::base::ranges::Range;
use crate::base::seq::Seq;
use crate::base::time::Instant;

/// What was sent again in one recovery.
#[derive(Clone, Debug)]
pub(super) struct Undo {
    /// SND.UNA when the recovery began: what came twice before is not its doing.
    marker: Seq,
    /// When the first retransmission of it was sent.
    retransmitted_at: Option<Instant>,
    /// Octets sent again that nobody said came twice.
    unexplained: u32,
    /// Congestion control has taken its reaction back already, or must not.
    is_settled: bool,
}

impl Undo {
    pub(super) fn new(una: Seq) -> Self {
        Undo { marker: una, retransmitted_at: None, unexplained: 0, is_settled: false }
    }

    pub(super) fn on_resent(&mut self, octets: u32, now: Instant) {
        self.retransmitted_at.get_or_insert(now);
        self.unexplained = self.unexplained.saturating_add(octets);
    }

    /// The receiver says that `range` came twice.
    pub(super) fn on_dsack(&mut self, range: Range) {
        if self.retransmitted_at.is_some() && range.start.at_or_after(self.marker) {
            self.unexplained = self.unexplained.saturating_sub(range.len());
        }
    }

    /// The ACK, which advances SND.UNA, answers what was sent before anything was sent again (RFC 3522 §3.2 step 5).
    pub(super) fn is_answer_to_original(&self, time: &AckTime) -> bool {
        !self.is_settled && self.retransmitted_at.is_none_or(|at| time.echoes_before(at))
    }

    /// All that was sent again came twice (RFC 3708 §3).
    pub(super) fn is_all_explained(&self) -> bool {
        !self.is_settled && self.retransmitted_at.is_some() && self.unexplained == 0
    }

    /// The window is given back, or is not to be.
    pub(super) fn settle(&mut self) {
        self.is_settled = true;
    }
}
