//! What one acknowledgment says arrived: the facts that round-trip samples, RACK, F-RTO and Eifel are made of.

use super::{Fate, Sent};
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};

/// When an acknowledgment came, and what it says about which transmission it answers.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct AckTime {
    pub(in super::super) now: Instant,
    /// The moment of our clock, in milliseconds, that its timestamp echoes.
    pub(in super::super) echo: Option<u64>,
    /// No round trip was shorter.
    pub(in super::super) min_rtt: Option<Duration>,
}

impl AckTime {
    /// True if it echoes a moment before `at`, and so answers something that was sent before (RFC 3522 §3.2).
    pub(in super::super) fn echoes_before(&self, at: Instant) -> bool {
        self.echo.is_some_and(|echo| echo < at.as_millis())
    }

    /// False if it must be the first transmission of `record` that is answered, not the last (RFC 8985 §6.2 step 2).
    fn answers_last(&self, record: &Sent, is_selective: bool) -> bool {
        // DEVIATION(RFC 8985 §6.2 step 2): of what SACK tells the echo says nothing. It is that of what last came in order
        // (RFC 7323 §4.3), and so always from before a retransmission beyond a hole.
        let is_from_before = !is_selective && self.echoes_before(record.sent_at);
        let is_too_soon = self.min_rtt.is_some_and(|least| self.now.since(record.sent_at) < least);
        record.transmissions == 1 || !(is_from_before || is_too_soon)
    }
}

/// The transmission that was sent last among those that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Newest {
    pub(in super::super) xmit_ts: Instant,
    pub(in super::super) end_seq: Seq,
}

impl Newest {
    /// RACK_sent_after (RFC 8985 §6.2 step 2): what was sent at once is told apart by its number.
    pub(in super::super) fn is_after(&self, xmit_ts: Instant, end_seq: Seq) -> bool {
        self.xmit_ts > xmit_ts || (self.xmit_ts == xmit_ts && self.end_seq.after(end_seq))
    }
}

/// What an acknowledgment newly told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in super::super) struct Delivery {
    /// Octets that were not known to be at the receiver.
    pub(in super::super) octets: u32,
    /// Those of them that SACK told of.
    pub(in super::super) sacked: u32,
    /// A round-trip time, if all that was acknowledged was sent only once (Karn, RFC 9293 MUST-18).
    pub(in super::super) rtt: Option<Duration>,
    /// How long ago any of it was last sent.
    pub(in super::super) since_sent: Option<Duration>,
    /// What was sent last of it.
    pub(in super::super) newest: Option<Newest>,
    /// Something that was sent once came after what was sent later (RFC 8985 §6.2 step 3), so long after it was sent.
    pub(in super::super) reordered: Option<Duration>,
    /// The lowest of what was sent only once.
    pub(in super::super) original: Option<Seq>,
    /// Something that was sent again is among it.
    pub(in super::super) has_resent: bool,
}

impl Delivery {
    /// The cumulative acknowledgment covers `record`.
    pub(super) fn acknowledge(&mut self, record: &Sent, fack: Option<Seq>, time: &AckTime) {
        let since_sent = time.now.since(record.sent_at);
        self.since_sent = Some(self.since_sent.map_or(since_sent, |least| least.min(since_sent)));
        if record.fate != Fate::Sacked {
            self.arrive(record, fack, time, false);
            self.rtt = (!self.has_resent).then_some(since_sent);
        }
    }

    /// A SACK block covers `record` for the first time.
    pub(super) fn select(&mut self, record: &Sent, fack: Option<Seq>, time: &AckTime) {
        self.sacked += record.range.len();
        self.arrive(record, fack, time, true);
        if record.transmissions == 1 {
            self.rtt = Some(time.now.since(record.sent_at));
        }
    }

    fn arrive(&mut self, record: &Sent, fack: Option<Seq>, time: &AckTime, is_selective: bool) {
        self.octets += record.range.len();
        if record.transmissions == 1 {
            if fack.is_some_and(|fack| record.range.end.before(fack)) {
                self.reordered = self.reordered.max(Some(time.now.since(record.sent_at)));
            }
            let start = record.range.start;
            self.original = Some(self.original.map_or(start, |lowest| lowest.min(start)));
        } else {
            self.has_resent = true;
        }
        if time.answers_last(record, is_selective) {
            let this = Newest { xmit_ts: record.sent_at, end_seq: record.range.end };
            if self.newest.is_none_or(|newest| this.is_after(newest.xmit_ts, newest.end_seq)) {
                self.newest = Some(this);
            }
        }
    }

    /// Both: what the cumulative acknowledgment covers and what the SACK blocks of the same segment tell.
    pub(in super::super) fn and(self, selected: Delivery) -> Delivery {
        let newest = match (self.newest, selected.newest) {
            (Some(one), Some(other)) if !one.is_after(other.xmit_ts, other.end_seq) => Some(other),
            (one, other) => one.or(other),
        };
        Delivery {
            octets: self.octets + selected.octets,
            sacked: self.sacked + selected.sacked,
            rtt: self.rtt.or(selected.rtt),
            since_sent: self.since_sent,
            newest,
            reordered: self.reordered.max(selected.reordered),
            original: self.original.or(selected.original),
            has_resent: self.has_resent || selected.has_resent,
        }
    }
}
