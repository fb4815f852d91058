//! What is out: every sequence number from SND.UNA to SND.NXT in one list of records, in order and without
//! gaps. It is the SACK scoreboard (RFC 2018), the retransmission queue (RFC 9293 §3.10.7.4) and the source
//! of round-trip samples (RFC 6298 §3) at once; pipe (RFC 6675 §2) is computed from it.
//!
//! A record is what went out together, a super-segment as a rule; it is split where only a part of it is
//! acknowledged, sacked or sent again.

mod census;

use super::congestion::{LostPacket, RateSample};
use super::delivery::{DeliveryRate, Stamp};
use crate::base::limits::TCP_FLIGHT_RECORDS;
use crate::base::ranges::Range;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
use std::collections::VecDeque;

/// Where the octets of a record are, as far as we know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// On the way.
    Out,
    /// At the receiver, beyond a gap. It may still take that back (RFC 2018 §8).
    Sacked,
    /// Lost; to be sent again.
    Lost,
    /// Lost and sent again, on the way.
    Resent,
    /// Sent again on mere suspicion: the first transmission may be in the network as well.
    Doubled,
}

impl Fate {
    fn is_in_network(self) -> bool {
        matches!(self, Fate::Out | Fate::Resent | Fate::Doubled)
    }
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) range: Range,
    /// When it was last sent.
    pub(super) sent_at: Instant,
    /// How often it was sent.
    pub(super) transmissions: u8,
    pub(super) fate: Fate,
    /// What was known of the rate of delivery then, where that is measured.
    pub(super) stamp: Stamp,
}

/// What a cumulative acknowledgment removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Acked {
    /// Octets that were not known to be at the receiver.
    pub(super) delivered: u32,
    /// The round-trip time of the newest of them, if all were sent only once (Karn, RFC 9293 MUST-18).
    pub(super) rtt: Option<Duration>,
    /// How long ago any of them was last sent.
    pub(super) since_sent: Option<Duration>,
}

/// The list.
#[derive(Clone, Debug, Default)]
pub(super) struct Flight {
    records: VecDeque<Sent>,
    /// Octets in the network: those of records on the way.
    in_network: u32,
    /// Octets to be sent again.
    lost: u32,
    /// Octets at the receiver beyond a gap.
    sacked: u32,
    /// The rate of delivery, for a congestion control that asks for it.
    delivery: Option<Box<DeliveryRate>>,
}

impl Flight {
    /// True if nothing is out.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// True if no more records should be made.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= TCP_FLIGHT_RECORDS
    }

    /// Octets in the network.
    pub(super) fn in_network(&self) -> u32 {
        self.in_network
    }

    /// Octets to be sent again.
    pub(super) fn lost(&self) -> u32 {
        self.lost
    }

    /// Octets at the receiver beyond a gap.
    pub(super) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Adds what was just sent for the first time; it follows what is there.
    pub(super) fn on_sent(&mut self, range: Range, now: Instant) {
        let stamp = self.stamp(range.len(), now);
        self.in_network += range.len();
        self.records.push_back(Sent { range, sent_at: now, transmissions: 1, fate: Fate::Out, stamp });
    }

    /// Measures the rate of delivery from now on.
    pub(super) fn measure(&mut self) {
        self.delivery.get_or_insert_default();
    }

    /// The rate of delivery, where it is measured.
    pub(super) fn delivery(&mut self) -> Option<&mut DeliveryRate> {
        self.delivery.as_deref_mut()
    }

    /// What the acknowledgment just taken in says of the rate of delivery.
    pub(super) fn take_rate_sample(&mut self, min_rtt: Option<Duration>) -> Option<RateSample> {
        self.delivery.as_mut()?.take_sample(min_rtt)
    }

    /// What was found lost since this was last asked for, where that is noted.
    pub(super) fn take_losses(&mut self) -> Vec<LostPacket> {
        self.delivery.as_mut().map(|delivery| delivery.take_losses()).unwrap_or_default()
    }

    /// The stamp of `octets` that leave.
    fn stamp(&mut self, octets: u32, now: Instant) -> Stamp {
        let in_network = self.in_network;
        match &mut self.delivery {
            Some(delivery) => delivery.on_sent(in_network == 0, in_network + octets, now),
            None => Stamp::default(),
        }
    }

    /// `octets` of `record` are at the receiver.
    fn note_delivered(&mut self, record: &Sent, octets: u32, now: Instant) {
        if let Some(delivery) = &mut self.delivery {
            delivery.on_delivered(octets, record.sent_at, record.stamp, now);
        }
    }

    /// Notes that `range`, which is out already, was sent again.
    pub(super) fn on_resent(&mut self, range: Range, now: Instant) {
        self.resend(range, Fate::Resent, now);
    }

    /// `range` was sent again although nothing says that it is lost (NextSeg (3)): until something does, both
    /// transmissions are in the network (RFC 6675 §4 SetPipe).
    pub(super) fn on_doubled(&mut self, range: Range, now: Instant) {
        self.resend(range, Fate::Doubled, now);
    }

    fn resend(&mut self, range: Range, fate: Fate, now: Instant) {
        self.split(range.start, usize::MAX);
        self.split(range.end, usize::MAX);
        let stamp = self.stamp(range.len(), now);
        for index in self.indices(range) {
            self.set_fate(index, fate);
            if let Some(record) = self.records.get_mut(index) {
                record.sent_at = now;
                record.stamp = stamp;
                record.transmissions = record.transmissions.saturating_add(1);
            }
        }
    }

    /// Notes that the oldest record, or its first octet, was sent again outside of any recovery: no sample
    /// may come from it (Karn).
    pub(super) fn on_probed(&mut self) {
        if let Some(record) = self.records.front_mut() {
            record.transmissions = record.transmissions.saturating_add(1);
        }
    }

    /// Removes everything before `ack`.
    pub(super) fn on_ack(&mut self, ack: Seq, now: Instant) -> Acked {
        let mut acked = Acked::default();
        let mut ambiguous = false;
        while let Some(record) = self.records.front().copied() {
            if record.range.start.at_or_after(ack) {
                break;
            }
            let covered = record.range.intersection(Range::new(record.range.start, ack));
            self.count(record.fate, covered.len(), false);
            ambiguous |= record.transmissions > 1;
            let since_sent = now.since(record.sent_at);
            acked.since_sent = Some(acked.since_sent.map_or(since_sent, |least| least.min(since_sent)));
            if record.fate != Fate::Sacked {
                acked.delivered += covered.len();
                self.note_delivered(&record, covered.len(), now);
                acked.rtt = Some(since_sent);
            }
            if covered == record.range {
                self.records.pop_front();
            } else if let Some(front) = self.records.front_mut() {
                front.range.start = ack;
            }
        }
        if self.records.is_empty() {
            self.records = VecDeque::new();
        }
        if ambiguous {
            acked.rtt = None;
        }
        acked
    }

    /// Marks what `blocks` say is at the receiver; what was not known before is counted in the result. Blocks
    /// that lie outside of what is out say nothing (RFC 2018 §5).
    pub(super) fn on_sack(&mut self, blocks: &[Range], now: Instant) -> Acked {
        let mut acked = Acked::default();
        let Some(out) = self.range() else { return acked };
        for block in blocks.iter().map(|block| Range::new(block.start, block.end)) {
            if block.is_empty() || !out.covers(block) || block.start == out.start {
                continue;
            }
            self.split(block.start, TCP_FLIGHT_RECORDS);
            self.split(block.end, TCP_FLIGHT_RECORDS);
            for index in self.indices(block) {
                let Some(record) = self.records.get(index).copied() else { continue };
                if record.fate == Fate::Sacked || !block.covers(record.range) {
                    continue;
                }
                acked.delivered += record.range.len();
                self.note_delivered(&record, record.range.len(), now);
                if record.transmissions == 1 {
                    acked.rtt = Some(now.since(record.sent_at));
                }
                self.set_fate(index, Fate::Sacked);
            }
        }
        acked
    }

    /// RFC 6675 §4 `IsLost`: what is on the way while three separate blocks, or more than two segments' worth of
    /// octets, above it are at the receiver is lost. Gives the octets newly found lost.
    pub(super) fn mark_lost_below_sacked(&mut self, mss: u32) -> u32 {
        const DUP_THRESH: u32 = 3;
        if self.sacked == 0 {
            return 0;
        }
        let (mut octets, mut blocks, mut in_block, mut newly_lost) = (0, 0, false, 0);
        for index in (0..self.records.len()).rev() {
            let Some(record) = self.records.get(index).copied() else { break };
            if record.fate == Fate::Sacked {
                octets += record.range.len();
                blocks += u32::from(!in_block);
                in_block = true;
                continue;
            }
            in_block = false;
            if blocks < DUP_THRESH && octets <= (DUP_THRESH - 1) * mss {
                continue;
            }
            match record.fate {
                Fate::Out => {
                    newly_lost += record.range.len();
                    self.set_fate(index, Fate::Lost);
                }
                Fate::Doubled => self.set_fate(index, Fate::Resent),
                _ => {}
            }
        }
        newly_lost
    }

    /// Takes the first segment that is on the way for lost, if it was not sent again since.
    pub(super) fn mark_first_lost(&mut self, mss: u32) {
        let Some(first) = self.records.front().filter(|record| record.fate == Fate::Out).map(|record| record.range)
        else {
            return;
        };
        self.split(first.start + mss, usize::MAX);
        self.set_fate(0, Fate::Lost);
    }

    /// Takes everything for lost, and forgets what the receiver said it has: it may have changed its mind
    /// (RFC 2018 §8 requires that after a timeout).
    pub(super) fn mark_all_lost(&mut self) {
        for index in 0..self.records.len() {
            self.set_fate(index, Fate::Lost);
        }
    }

    /// Takes everything that is on the way for lost, and keeps what the receiver said it has.
    pub(super) fn mark_in_network_lost(&mut self) {
        for index in 0..self.records.len() {
            if self.records.get(index).is_some_and(|record| record.fate.is_in_network()) {
                self.set_fate(index, Fate::Lost);
            }
        }
    }

    /// The first range to be sent again (RFC 6675 §4 NextSeg (1)).
    pub(super) fn first_lost(&self) -> Option<Range> {
        if self.lost == 0 {
            return None;
        }
        let mut lost = self.records.iter().skip_while(|record| record.fate != Fate::Lost);
        let mut range = lost.next()?.range;
        for record in lost.take_while(|record| record.fate == Fate::Lost) {
            range.end = record.range.end;
        }
        Some(range)
    }

    /// The first range on the way below something that is at the receiver (NextSeg (3)).
    pub(super) fn first_out_below_sacked(&self) -> Option<Range> {
        if self.sacked == 0 {
            return None;
        }
        let first = self.records.iter().position(|record| record.fate == Fate::Out)?;
        let above = self.records.iter().skip(first).any(|record| record.fate == Fate::Sacked);
        self.records.get(first).filter(|_| above).map(|record| record.range)
    }

    /// The last range that is not at the receiver (NextSeg (4)).
    pub(super) fn last_unsacked(&self) -> Option<Range> {
        self.records.iter().rev().find(|record| record.fate != Fate::Sacked).map(|record| record.range)
    }

    /// From the first octet to the last that is out.
    pub(super) fn range(&self) -> Option<Range> {
        Some(Range { start: self.records.front()?.range.start, end: self.records.back()?.range.end })
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        *self = Flight::default();
    }

    /// Checks that the records join up and that the kept sums are theirs.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut recount = Flight::default();
        let mut next = self.records.front().map(|record| record.range.start);
        for record in &self.records {
            if next != Some(record.range.start) || record.range.is_empty() {
                return Err(format!("a gap or an empty record at {:?} in {:?}", record.range, self.records));
            }
            next = Some(record.range.end);
            recount.count(record.fate, record.range.len(), true);
        }
        if (recount.in_network, recount.lost, recount.sacked) != (self.in_network, self.lost, self.sacked) {
            return Err(format!(
                "in flight: recounted {:?}, kept {:?}",
                (recount.in_network, recount.lost, recount.sacked),
                (self.in_network, self.lost, self.sacked)
            ));
        }
        Ok(())
    }

    fn count(&mut self, fate: Fate, octets: u32, add: bool) {
        let (sum, octets) = match fate {
            Fate::Out | Fate::Resent => (&mut self.in_network, octets),
            Fate::Doubled => (&mut self.in_network, octets.saturating_mul(2)),
            Fate::Lost => (&mut self.lost, octets),
            Fate::Sacked => (&mut self.sacked, octets),
        };
        *sum = if add { sum.saturating_add(octets) } else { sum.saturating_sub(octets) };
    }

    fn set_fate(&mut self, index: usize, fate: Fate) {
        let Some(record) = self.records.get_mut(index) else { return };
        let (before, octets) = (std::mem::replace(&mut record.fate, fate), record.range.len());
        if fate == Fate::Lost
            && before.is_in_network()
            && let Some(delivery) = &mut self.delivery
        {
            delivery.on_lost(octets, record.stamp);
        }
        self.count(before, octets, false);
        self.count(fate, octets, true);
    }

    /// The place of the record that holds `seq`.
    fn place(&self, seq: Seq) -> usize {
        self.records.partition_point(|record| record.range.end.at_or_before(seq))
    }

    /// The places of the records that `range` overlaps.
    fn indices(&self, range: Range) -> std::ops::Range<usize> {
        self.place(range.start)..self.records.partition_point(|record| record.range.start.before(range.end))
    }

    /// Makes a record begin at `seq`, unless there are `limit` records.
    fn split(&mut self, seq: Seq, limit: usize) {
        let place = self.place(seq);
        if self.records.len() >= limit {
            return;
        }
        if let Some(record) = self.records.get_mut(place)
            && record.range.start.before(seq)
        {
            let mut second = *record;
            record.range.end = seq;
            second.range.start = seq;
            self.records.insert(place + 1, second);
        }
    }
}

#[cfg(test)]
mod tests;
