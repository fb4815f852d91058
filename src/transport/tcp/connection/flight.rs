//! What is out: every sequence number from SND.UNA to SND.NXT in one list of records, in order and without
//! gaps. It is the SACK scoreboard (RFC 2018), the retransmission queue (RFC 9293 §3.10.7.4) and the source
//! of round-trip samples (RFC 6298 §3) at once; pipe (RFC 6675 §2) and what is lost by time (RFC 8985 §6.2) are
//! computed from it.
//!
//! A record is what went out together, a super-segment as a rule; it is split where only a part of it is
//! acknowledged, sacked or sent again, and the parts keep its time. Neighbours at the receiver are joined, so
//! that looking through the list costs as much as there are holes, not as much as there is out.

mod census;
mod delivery;
mod marks;
mod room;

use super::congestion::{LostPacket, RateSample};
use super::delivery::{DeliveryRate, Stamp};
use crate::base::limits::TCP_FLIGHT_RECORDS;
use crate::base::ranges::Range;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
pub(super) use delivery::{AckTime, Delivery, Newest};
pub(super) use room::Room;
use smallvec::SmallVec;
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
    /// When it was last sent: Segment.xmit_ts (RFC 8985 §5.2).
    pub(super) sent_at: Instant,
    /// How often it was sent.
    pub(super) transmissions: u8,
    pub(super) fate: Fate,
    /// What was known of the rate of delivery then, where that is measured.
    pub(super) stamp: Stamp,
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
    /// Octets on the way that were sent again.
    resent: u32,
    /// The end of the highest octet at the receiver, while there is any beyond a gap: RACK.fack (RFC 8985 §5.3).
    fack: Seq,
    /// Pieces that became sacked since none was.
    sacked_pieces: u16,
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

    /// Octets on the way that were sent again.
    pub(super) fn resent(&self) -> u32 {
        self.resent
    }

    /// True if what is beyond a gap at the receiver was DupThresh segments at least (RFC 6675 §2): more than two
    /// segments' worth of octets, or three pieces that arrived by themselves.
    pub(super) fn is_dup_thresh_sacked(&self, mss: u32) -> bool {
        self.sacked > 2 * mss || self.sacked_pieces > 2 && self.sacked > 0
    }

    /// True if the receiver has the oldest octet that it did not acknowledge, which cannot be: it took back what it
    /// said (RFC 2018 §8).
    pub(super) fn has_reneged(&self) -> bool {
        self.records.front().is_some_and(|record| record.fate == Fate::Sacked)
    }

    /// When the oldest record was last sent.
    pub(super) fn earliest_sent(&self) -> Option<Instant> {
        self.records.front().map(|record| record.sent_at)
    }

    /// True if fewer than `limit` segments are out.
    pub(super) fn has_fewer_segments_than(&self, limit: u32, mss: u32) -> bool {
        let first = self.records.iter().take(limit as usize);
        first.map(|record| record.range.len().div_ceil(mss)).sum::<u32>() < limit
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

    /// `range` was sent again although nothing says that it is lost (a tail loss probe): until something does, both
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
    pub(super) fn on_ack(&mut self, ack: Seq, time: &AckTime) -> Delivery {
        let mut delivery = Delivery::default();
        let fack = (self.sacked > 0).then_some(self.fack);
        while let Some(record) = self.records.front().copied() {
            if record.range.start.at_or_after(ack) {
                break;
            }
            let covered = record.range.intersection(Range::new(record.range.start, ack));
            self.count(record.fate, covered.len(), false);
            delivery.acknowledge(&Sent { range: covered, ..record }, fack, time);
            if record.fate != Fate::Sacked {
                self.note_delivered(&record, covered.len(), time.now);
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
        self.forget_pieces();
        delivery
    }

    /// Marks what `blocks` say is at the receiver. Blocks that lie outside of what is out say nothing (RFC 2018 §5).
    pub(super) fn on_sack(&mut self, blocks: &[Range], time: &AckTime) -> Delivery {
        let mut delivery = Delivery::default();
        let Some(out) = self.range() else { return delivery };
        let mut blocks: SmallVec<[Range; 4]> = blocks
            .iter()
            .map(|block| Range::new(block.start, block.end))
            .filter(|block| !block.is_empty() && out.covers(*block) && block.start != out.start)
            .collect();
        // In order, so that a block below a new one is no reordering: the ACK between them may have been lost.
        blocks.sort_by_key(|block| block.start - out.start);
        for block in blocks {
            self.split(block.start, TCP_FLIGHT_RECORDS);
            self.split(block.end, TCP_FLIGHT_RECORDS);
            let mut index = self.place(block.start);
            while let Some(record) = self.records.get(index).copied()
                && record.range.start.before(block.end)
            {
                if record.fate != Fate::Sacked && block.covers(record.range) {
                    let fack = (self.sacked > 0).then_some(self.fack);
                    delivery.select(&record, fack, time);
                    self.note_delivered(&record, record.range.len(), time.now);
                    self.set_fate(index, Fate::Sacked);
                    self.fack = fack.map_or(record.range.end, |fack| fack.max(record.range.end));
                    self.sacked_pieces = self.sacked_pieces.saturating_add(1);
                }
                index += usize::from(!self.join_sacked(index));
            }
            self.join_sacked(index);
        }
        delivery
    }

    /// Joins the record with the one before it if both are at the receiver.
    fn join_sacked(&mut self, index: usize) -> bool {
        let Some(before) = index.checked_sub(1) else { return false };
        let is_sacked = |index: usize| self.records.get(index).filter(|record| record.fate == Fate::Sacked);
        let (Some(_), Some(second)) = (is_sacked(before), is_sacked(index)) else { return false };
        let end = second.range.end;
        if let Some(first) = self.records.get_mut(before) {
            first.range.end = end;
        }
        self.records.remove(index);
        true
    }

    fn forget_pieces(&mut self) {
        if self.sacked == 0 {
            self.sacked_pieces = 0;
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

    /// The last range that is not at the receiver.
    pub(super) fn last_unsacked(&self) -> Option<Range> {
        self.records.iter().rev().find(|record| record.fate != Fate::Sacked).map(|record| record.range)
    }

    /// From the first octet to the last that is out.
    pub(super) fn range(&self) -> Option<Range> {
        Some(Range { start: self.records.front()?.range.start, end: self.records.back()?.range.end })
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
        let sums = |flight: &Flight| (flight.in_network, flight.lost, flight.sacked, flight.resent);
        if sums(&recount) != sums(self) {
            return Err(format!("in flight: recounted {:?}, kept {:?}", sums(&recount), sums(self)));
        }
        Ok(())
    }

    fn count(&mut self, fate: Fate, octets: u32, add: bool) {
        if matches!(fate, Fate::Resent | Fate::Doubled) {
            self.resent = if add { self.resent.saturating_add(octets) } else { self.resent.saturating_sub(octets) };
        }
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
