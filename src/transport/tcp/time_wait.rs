//! TIME-WAIT in 72 bytes: what is left of a connection that both sides closed.
//!
//! For the time it lasts the record answers a retransmitted FIN and whatever else is not acceptable with an
//! ACK (RFC 9293 §3.10.7.4), and lets a new SYN open the connection again if that is safe (RFC 6191, and
//! RFC 9293 MAY-2). The table keeps the records in the order in which they came, and the oldest makes room.
//!
//! `DEVIATION(RFC 9293 §3.10.7.4)`: a reset does not end TIME-WAIT (RFC 1337 §3, fix 1), so that an old
//! duplicate cannot.

use crate::base::drops::DropReason;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
use crate::network::packet::Datagram;
use crate::physical::frame::Body;
use crate::transport::tcp::connection::{TimeWaitFacts, TimestampClock};
use crate::transport::tcp::ends::Ends;
use crate::transport::tcp::options::Options;
use crate::transport::tcp::segment::{Flags, Header, Segment, emit};
use slotmap::{SlotMap, new_key_type};
use std::collections::VecDeque;

new_key_type! {
    /// A record.
    pub(super) struct TimeWaitId;
}

/// One connection in TIME-WAIT.
#[derive(Clone, Debug)]
pub(super) struct TimeWait {
    pub(super) ends: Ends,
    timestamps: Option<TimestampClock>,
    /// When it ends.
    pub(super) deadline: Instant,
    /// How long it lasts anew after a retransmitted FIN.
    millis: u32,
    snd_nxt: Seq,
    rcv_nxt: Seq,
    rcv_wnd: u32,
    window: u16,
    /// The ACE field of what is sent (RFC 9768 §3.2.2).
    ace: u8,
}

/// What a segment means in TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The peer's FIN again: acknowledge it, and wait anew.
    AcknowledgeFin,
    /// Not acceptable: acknowledge what was received, within the rate of challenges.
    Challenge(DropReason),
    /// A SYN that may open the connection again, if there is a listener.
    Reopen,
    /// Nothing to say.
    Drop(DropReason),
    /// An acceptable ACK: nothing is left for it to do.
    Consume,
}

impl TimeWait {
    pub(super) fn new(facts: &TimeWaitFacts) -> Self {
        TimeWait {
            ends: Ends::new(facts.local, facts.remote),
            timestamps: facts.timestamps,
            deadline: facts.deadline,
            millis: u32::try_from(facts.duration.as_millis()).unwrap_or(u32::MAX),
            snd_nxt: facts.snd_nxt,
            rcv_nxt: facts.rcv_nxt,
            rcv_wnd: facts.rcv_wnd,
            window: facts.window,
            ace: facts.ace,
        }
    }

    pub(super) fn receive(&mut self, segment: &Segment, now: Instant) -> Verdict {
        let flags = segment.flags;
        if flags.rst() {
            return Verdict::Drop(DropReason::TcpBadReset);
        }
        if flags.syn() && !flags.ack() {
            // RFC 6191 §2: a SYN that may not open the connection again is dropped silently.
            return if self.may_reopen(segment) { Verdict::Reopen } else { Verdict::Drop(DropReason::TcpBadSyn) };
        }
        if flags.fin() && segment.seq + segment.len() == self.rcv_nxt {
            // RFC 9293 §3.10.7.4, first and eighth: "Acknowledge it, and restart the 2 MSL timeout."
            self.deadline = now + Duration::from_millis(u64::from(self.millis));
            return Verdict::AcknowledgeFin;
        }
        if let (Some(clock), Some(timestamps)) = (self.timestamps, segment.options.timestamps)
            && clock.is_old(timestamps.value, now)
        {
            return Verdict::Challenge(DropReason::TcpPaws);
        }
        if !segment.is_empty() || !segment.seq.in_window(self.rcv_nxt, self.rcv_wnd.max(1)) {
            return Verdict::Challenge(DropReason::TcpOutOfWindow);
        }
        if flags.ack() { Verdict::Consume } else { Verdict::Drop(DropReason::TcpNoAck) }
    }

    /// RFC 6191 §2: the new SYN is safely after everything of the old connection, by its timestamp if both
    /// have one, or by its sequence number.
    fn may_reopen(&self, syn: &Segment) -> bool {
        let is_later_seq = syn.seq.at_or_after(self.rcv_nxt);
        match (self.timestamps, syn.options.timestamps) {
            (Some(old), Some(new)) => {
                Seq(new.value).after(Seq(old.recent)) || (new.value == old.recent && is_later_seq)
            }
            (None, Some(_)) => true,
            (_, None) => is_later_seq,
        }
    }

    /// An ISS for the next connection, out of reach of anything of this one (RFC 9293 MAY-2): the generated
    /// one, or the first beyond any window without scaling.
    pub(super) fn next_iss(&self, generated: Seq) -> Seq {
        generated.max(self.snd_nxt + 65_537)
    }

    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`.
    pub(super) fn ack(&self, now: Instant) -> Datagram {
        let (local, remote, window) = (self.ends.local(), self.ends.remote(), self.window);
        let flags = Flags::ACK.with_ace(self.ace);
        let header = Header { local, remote, seq: self.snd_nxt, ack: self.rcv_nxt, flags, window, urgent: 0 };
        let options = Options { timestamps: self.timestamps.map(|clock| clock.option(now)), ..Options::default() };
        emit(&header, &options, Body::new(), None)
    }
}

/// All records, with a bound.
#[derive(Debug)]
pub(super) struct TimeWaits {
    records: SlotMap<TimeWaitId, TimeWait>,
    /// In the order in which they came; those gone since are skipped.
    order: VecDeque<TimeWaitId>,
    limit: usize,
}

impl TimeWaits {
    pub(super) fn new(limit: usize) -> Self {
        TimeWaits { records: SlotMap::with_key(), order: VecDeque::new(), limit }
    }

    /// Adds a record. If there are too many, the oldest comes back and is gone.
    pub(super) fn insert(&mut self, record: TimeWait) -> (TimeWaitId, Option<(TimeWaitId, TimeWait)>) {
        let evicted = if self.records.len() >= self.limit { self.remove_oldest() } else { None };
        // Records that went early leave their names behind; they may not outnumber the others for long.
        if self.order.len() > 2 * self.records.len() + 64 {
            let records = &self.records;
            self.order.retain(|id| records.contains_key(*id));
        }
        let id = self.records.insert(record);
        self.order.push_back(id);
        (id, evicted)
    }

    /// Gives up the room for records that are gone.
    pub(super) fn shrink_to_fit(&mut self) {
        let records = &self.records;
        self.order.retain(|id| records.contains_key(*id));
        self.order.shrink_to_fit();
    }

    fn remove_oldest(&mut self) -> Option<(TimeWaitId, TimeWait)> {
        while let Some(id) = self.order.pop_front() {
            if let Some(record) = self.records.remove(id) {
                return Some((id, record));
            }
        }
        None
    }

    pub(super) fn remove(&mut self, id: TimeWaitId) -> Option<TimeWait> {
        self.records.remove(id)
    }

    pub(super) fn get(&self, id: TimeWaitId) -> Option<&TimeWait> {
        self.records.get(id)
    }

    pub(super) fn get_mut(&mut self, id: TimeWaitId) -> Option<&mut TimeWait> {
        self.records.get_mut(id)
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &TimeWait> {
        self.records.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::tcp::options::Timestamps;
    use std::net::SocketAddr;

    const RCV: Seq = Seq(5000);
    const SND: Seq = Seq(9000);
    const NOW: Instant = Instant::from_secs(10);

    fn record(timestamps: Option<u32>) -> TimeWait {
        TimeWait::new(&TimeWaitFacts {
            local: SocketAddr::from(([192, 0, 2, 2], 80)),
            remote: SocketAddr::from(([192, 0, 2, 9], 4000)),
            snd_nxt: SND,
            rcv_nxt: RCV,
            rcv_wnd: 1000,
            window: 1000,
            ace: 0,
            timestamps: timestamps.map(|recent| TimestampClock { offset: 0, recent, recent_at: NOW }),
            deadline: NOW + Duration::from_secs(60),
            duration: Duration::from_secs(60),
        })
    }

    fn segment(seq: Seq, flags: Flags, timestamp: Option<u32>) -> Segment {
        let mut segment = Segment { seq, flags, ack: SND, ..Segment::default() };
        segment.options.timestamps = timestamp.map(|value| Timestamps { value, echo: 0 });
        segment
    }

    #[test]
    fn a_record_takes_72_bytes() {
        assert_eq!(size_of::<TimeWait>(), 72);
    }

    #[test]
    fn a_retransmitted_fin_is_acknowledged_and_restarts_the_wait() {
        // RFC 9293 MUST-13, §3.10.7.4 eighth.
        let mut record = record(None);
        let later = NOW + Duration::from_secs(50);
        assert_eq!(record.receive(&segment(RCV - 1, Flags::FIN | Flags::ACK, None), later), Verdict::AcknowledgeFin);
        assert_eq!(record.deadline, later + Duration::from_secs(60));
    }

    #[test]
    fn a_reset_does_not_end_the_wait() {
        // RFC 1337 §3.
        let verdict = record(None).receive(&segment(RCV, Flags::RST, None), NOW);
        assert_eq!(verdict, Verdict::Drop(DropReason::TcpBadReset));
    }

    #[test]
    fn an_ack_in_order_needs_no_answer_and_one_out_of_window_gets_one() {
        let mut record = record(None);
        assert_eq!(record.receive(&segment(RCV, Flags::ACK, None), NOW), Verdict::Consume);
        let out = Verdict::Challenge(DropReason::TcpOutOfWindow);
        assert_eq!(record.receive(&segment(RCV - 1, Flags::ACK, None), NOW), out);
        assert_eq!(record.receive(&segment(RCV + 1000, Flags::ACK, None), NOW), out);
        assert_eq!(record.receive(&segment(RCV - 9, Flags::SYN | Flags::ACK, None), NOW), out);
    }

    #[test]
    fn a_syn_reopens_by_later_timestamp_or_sequence_number() {
        // RFC 6191 §2, every case.
        let (at, before) = (RCV, RCV - 100);
        let reopens = |old, seq, new| record(old).receive(&segment(seq, Flags::SYN, new), NOW) == Verdict::Reopen;
        assert!(reopens(Some(500), before, Some(501)));
        assert!(reopens(Some(500), at, Some(500)));
        assert!(!reopens(Some(500), before, Some(500)));
        assert!(!reopens(Some(500), at, Some(499)));
        assert!(reopens(None, before, Some(1)));
        assert!(reopens(Some(500), at, None));
        assert!(!reopens(Some(500), before, None));
        assert!(reopens(None, at, None));
        assert!(!reopens(None, before, None));
    }

    #[test]
    fn a_passing_connection_keeps_its_ace_field() {
        // RFC 9768 §3.2.2.
        let record = TimeWait { ace: 6, ..record(None) };
        let ack = crate::transport::tcp::connection::tests::world::segment(&record.ack(NOW));
        assert_eq!(ack.flags, Flags::ACK.with_ace(6));
    }

    #[test]
    fn the_next_iss_is_beyond_everything_of_the_old_connection() {
        // RFC 9293 MAY-2.
        let record = record(None);
        assert_eq!(record.next_iss(SND + 100_000), SND + 100_000);
        assert!(record.next_iss(SND).after(SND + 65_535));
        assert!(record.next_iss(SND - 5).after(SND + 65_535));
    }

    #[test]
    fn the_oldest_makes_room_and_names_do_not_pile_up() {
        let mut records = TimeWaits::new(3);
        let ids: Vec<_> = (0..3).map(|_| records.insert(record(None)).0).collect();
        records.remove(ids[0]);
        assert!(records.insert(record(None)).1.is_none());
        assert!(records.insert(record(None)).1.is_some());
        assert!(records.get(ids[1]).is_none() && records.get(ids[2]).is_some());
        for _ in 0..10_000 {
            let (id, _) = records.insert(record(None));
            records.remove(id);
        }
        assert!(records.order.len() < 200, "{}", records.order.len());
    }
}
