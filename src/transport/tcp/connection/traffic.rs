//! What is counted of a connection's segments: in a few octets while they are few, since many connections only ever
//! have few, and in a record of its own from then on, or once something out of the ordinary happened.

use crate::base::time::Instant;

/// What was counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    pub(super) segments_sent: u32,
    pub(super) segments_received: u32,
    pub(super) data_segments_sent: u32,
    pub(super) data_segments_received: u32,
    pub(super) out_of_order_segments: u32,
    /// Known to be at the peer, our SYN not counted.
    pub(super) delivered_segments: u32,
    pub(super) retransmissions: u32,
    pub(super) bytes_retransmitted: u64,
    pub(super) timeouts: u32,
    /// Duplicates that the peer told of (RFC 2883).
    pub(super) dsacks: u32,
    /// Reactions to loss that were taken back.
    pub(super) spurious_undos: u32,
    /// ACKs that told of something that came late.
    pub(super) reorderings: u32,
    /// When data last arrived.
    pub(super) data_received_at: Instant,
}

/// What one segment adds.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct More {
    pub(super) sent: u32,
    pub(super) received: u32,
    pub(super) data_sent: u32,
    pub(super) data_received: u32,
    pub(super) delivered: u32,
}

/// The counts of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    many: Option<Box<Traffic>>,
    few: Few,
    data_received_at: Instant,
}

/// As [`More`], added up since the handshake.
#[derive(Clone, Copy, Default, Debug)]
struct Few {
    sent: u8,
    received: u8,
    data_sent: u8,
    data_received: u8,
    delivered: u8,
}

impl Few {
    /// With `more`, if they are still few.
    fn and(self, more: More) -> Option<Few> {
        let add = |few: u8, more: u32| few.checked_add(u8::try_from(more).ok()?);
        Some(Few {
            sent: add(self.sent, more.sent)?,
            received: add(self.received, more.received)?,
            data_sent: add(self.data_sent, more.data_sent)?,
            data_received: add(self.data_received, more.data_received)?,
            delivered: add(self.delivered, more.delivered)?,
        })
    }
}

impl Few {
    /// In full.
    fn all(self) -> Traffic {
        Traffic {
            segments_sent: u32::from(self.sent) + 1,
            segments_received: u32::from(self.received) + 1,
            data_segments_sent: self.data_sent.into(),
            data_segments_received: self.data_received.into(),
            out_of_order_segments: 0,
            delivered_segments: self.delivered.into(),
            retransmissions: 0,
            bytes_retransmitted: 0,
            timeouts: 0,
            dsacks: 0,
            spurious_undos: 0,
            reorderings: 0,
            data_received_at: Instant::ZERO,
        }
    }
}

impl Tally {
    /// What was counted, one segment each way of the handshake included.
    pub(super) fn all(&self) -> Traffic {
        let all = self.many.as_deref().copied().unwrap_or_else(|| self.few.all());
        Traffic { data_received_at: self.data_received_at, ..all }
    }

    /// True once there was data.
    pub(super) fn has_begun(&self) -> bool {
        self.many.is_some() || self.few.data_sent > 0 || self.few.data_received > 0
    }

    /// The record, made if there is none: for what is out of the ordinary.
    pub(super) fn record(&mut self) -> &mut Traffic {
        let few = self.few;
        self.many.get_or_insert_with(|| Box::new(few.all()))
    }

    /// Counts a segment.
    pub(super) fn add(&mut self, more: More, now: Instant) {
        if more.data_received > 0 {
            self.data_received_at = now;
        }
        if self.many.is_none()
            && let Some(few) = self.few.and(more)
        {
            self.few = few;
            return;
        }
        let many = self.record();
        many.segments_sent = many.segments_sent.wrapping_add(more.sent);
        many.segments_received = many.segments_received.wrapping_add(more.received);
        many.data_segments_sent = many.data_segments_sent.wrapping_add(more.data_sent);
        many.data_segments_received = many.data_segments_received.wrapping_add(more.data_received);
        many.delivered_segments = many.delivered_segments.wrapping_add(more.delivered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_counted_alike() {
        let mut tally = Tally::default();
        let (mut sent, mut data) = (1, 0);
        for n in 0..600 {
            let more = More { sent: 1 + n % 3, data_sent: n % 3, received: 1, ..More::default() };
            tally.add(more, Instant::ZERO);
            (sent, data) = (sent + more.sent, data + more.data_sent);
            let all = tally.all();
            assert_eq!((all.segments_sent, all.data_segments_sent, all.segments_received), (sent, data, n + 2));
        }
        assert!(tally.many.is_some());
    }

    #[test]
    fn what_is_out_of_the_ordinary_keeps_what_was_counted() {
        let mut tally = Tally::default();
        tally.add(More { sent: 7, ..More::default() }, Instant::ZERO);
        tally.record().timeouts += 1;
        assert_eq!((tally.all().segments_sent, tally.all().timeouts), (8, 1));
    }
}
