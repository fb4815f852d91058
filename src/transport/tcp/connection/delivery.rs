//! How fast the network delivers: rate samples as in draft-ietf-ccwg-bbr ("Delivery Rate Samples").
//!
//! Each record of what is out carries a [`Stamp`]: what had been delivered, and when, as it left. When it arrives, what
//! was delivered since, divided by the longer of the times in which that was sent and acknowledged, is a rate that the
//! path has carried. A sample during which the application was the limit is marked, since the path may carry more.
//!
//! Only a connection whose congestion control asks for samples keeps this.

use super::congestion::{LostPacket, RateSample};
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};

/// P: what a record remembers of the moment it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamp {
    /// P.delivered: octets delivered by then, counted as sequence numbers are.
    delivered: Seq,
    /// P.lost.
    lost: Seq,
    /// P.tx_in_flight: octets in the network, this record included.
    in_flight: u32,
    is_app_limited: bool,
    /// P.delivered_time.
    delivered_at: Instant,
    /// P.first_send_time.
    first_sent_at: Instant,
}

/// C: what a connection keeps, and the sample that is being gathered.
#[derive(Clone, Debug, Default)]
pub(super) struct DeliveryRate {
    /// C.delivered, counted as sequence numbers are.
    delivered: Seq,
    /// C.delivered_time.
    delivered_at: Instant,
    /// C.first_send_time.
    first_sent_at: Instant,
    /// C.lost.
    lost: Seq,
    /// C.app_limited: samples are marked until this is delivered.
    app_limited: Option<Seq>,
    /// The record sent last of those that this acknowledgment told of, and when that was.
    newest: Option<(Instant, Stamp)>,
    /// Octets that it told of.
    newly_delivered: u32,
    /// What was found lost since it was last asked for.
    losses: Vec<LostPacket>,
}

impl DeliveryRate {
    /// A record leaves, with which `in_flight` octets are in the network; it is the only one if `is_alone`.
    pub(super) fn on_sent(&mut self, is_alone: bool, in_flight: u32, now: Instant) -> Stamp {
        if is_alone {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        Stamp {
            delivered: self.delivered,
            lost: self.lost,
            in_flight,
            is_app_limited: self.app_limited.is_some(),
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
        }
    }

    /// `octets` of a record that was sent at `sent_at` are at the receiver.
    pub(super) fn on_delivered(&mut self, octets: u32, sent_at: Instant, stamp: Stamp, now: Instant) {
        self.delivered += octets;
        self.delivered_at = now;
        self.newly_delivered += octets;
        if self.newest.is_none_or(|(newest, _)| sent_at >= newest) {
            self.newest = Some((sent_at, stamp));
            self.first_sent_at = sent_at;
        }
        if self.app_limited.is_some_and(|end| self.delivered.after(end)) {
            self.app_limited = None;
        }
    }

    /// `octets` of a record are lost.
    pub(super) fn on_lost(&mut self, octets: u32, stamp: Stamp) {
        self.lost += octets;
        self.losses.push(LostPacket {
            size: octets,
            tx_in_flight: stamp.in_flight,
            lost: self.lost - stamp.lost,
            delivered: self.delivered,
            is_app_limited: stamp.is_app_limited,
        });
    }

    /// The application has no more to send, and `in_flight` octets are in the network.
    pub(super) fn on_app_limited(&mut self, in_flight: u32) {
        self.app_limited = Some(self.delivered + in_flight.max(1));
    }

    /// What was found lost since this was last asked for.
    pub(super) fn take_losses(&mut self) -> Vec<LostPacket> {
        std::mem::take(&mut self.losses)
    }

    /// The sample of the acknowledgment that was just taken in, if it told of anything.
    pub(super) fn take_sample(&mut self, min_rtt: Option<Duration>) -> Option<RateSample> {
        let newly_acked = std::mem::take(&mut self.newly_delivered);
        let (sent_at, stamp) = self.newest.take()?;
        let send_elapsed = sent_at.since(stamp.first_sent_at);
        let ack_elapsed = self.delivered_at.since(stamp.delivered_at);
        let interval = send_elapsed.max(ack_elapsed);
        let delivered = self.delivered - stamp.delivered;
        // Faster than a round trip is no rate, but a queue that emptied somewhere.
        let is_valid = !interval.is_zero() && min_rtt.is_none_or(|min| interval >= min);
        let rate = u128::from(delivered) * 1_000_000_000 / interval.as_nanos().max(1);
        Some(RateSample {
            delivery_rate: if is_valid { u64::try_from(rate).unwrap_or(u64::MAX) } else { 0 },
            delivered,
            newly_acked,
            prior_delivered: stamp.delivered,
            total_delivered: self.delivered,
            tx_in_flight: stamp.in_flight,
            lost: self.lost - stamp.lost,
            is_app_limited: stamp.is_app_limited,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_millis(1000 + millis)
    }

    #[test]
    fn the_rate_is_what_was_delivered_over_the_longer_of_the_two_times() {
        let mut delivery = DeliveryRate::default();
        // Ten records of 1000 octets in 10 ms, acknowledged over 20 ms: the path is the limit.
        let stamps: Vec<Stamp> =
            (0..10u32).map(|n| delivery.on_sent(n == 0, (n + 1) * 1000, at(u64::from(n)))).collect();
        let mut last = None;
        for (n, stamp) in (0u32..).zip(&stamps) {
            let sent_at = at(u64::from(n));
            delivery.on_delivered(1000, sent_at, *stamp, at(50 + 2 * u64::from(n)));
            last = delivery.take_sample(None);
        }
        let last = last.unwrap();
        // All ten since the first was sent: 68 ms.
        assert_eq!((last.delivered, last.newly_acked, last.tx_in_flight), (10_000, 1000, 10_000));
        assert_eq!(last.delivery_rate, 10_000 * 1000 / 68);
        // What is sent after that is measured by the spacing of the acknowledgments.
        let stamp = delivery.on_sent(false, 1000, at(70));
        delivery.on_delivered(1000, at(70), stamp, at(72));
        assert_eq!(delivery.take_sample(None).unwrap().delivery_rate, 1000 * 1000 / 61);
    }

    #[test]
    fn a_burst_of_acknowledgments_faster_than_a_round_trip_is_no_rate() {
        let mut delivery = DeliveryRate::default();
        let stamp = delivery.on_sent(true, 1000, at(0));
        delivery.on_delivered(1000, at(0), stamp, at(1));
        assert_eq!(delivery.take_sample(Some(Duration::from_millis(2))).unwrap().delivery_rate, 0);
    }

    #[test]
    fn samples_are_marked_until_what_was_out_when_the_application_paused_has_arrived() {
        let mut delivery = DeliveryRate::default();
        let first = delivery.on_sent(true, 1000, at(0));
        delivery.on_app_limited(1000);
        let second = delivery.on_sent(false, 2000, at(1));
        delivery.on_delivered(1000, at(0), first, at(10));
        assert!(!delivery.take_sample(None).unwrap().is_app_limited);
        delivery.on_delivered(1000, at(1), second, at(11));
        assert!(delivery.take_sample(None).unwrap().is_app_limited);
        let third = delivery.on_sent(true, 1000, at(20));
        delivery.on_delivered(1000, at(20), third, at(30));
        assert!(!delivery.take_sample(None).unwrap().is_app_limited);
    }

    #[test]
    fn a_loss_tells_how_much_was_lost_since_it_was_sent() {
        let mut delivery = DeliveryRate::default();
        let stamps = [delivery.on_sent(true, 1000, at(0)), delivery.on_sent(false, 2000, at(1))];
        delivery.on_lost(1000, stamps[0]);
        delivery.on_lost(1000, stamps[1]);
        let losses = delivery.take_losses();
        assert_eq!(
            losses.iter().map(|loss| (loss.tx_in_flight, loss.lost)).collect::<Vec<_>>(),
            [(1000, 1000), (2000, 2000)]
        );
        assert!(delivery.take_losses().is_empty());
    }
}
