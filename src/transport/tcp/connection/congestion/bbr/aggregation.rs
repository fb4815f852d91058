//! How much more than the bandwidth says is acknowledged at once, because ACKs come in bunches
//! (draft-ietf-ccwg-bbr, "Updating the Model: ACK Aggregation"; Linux has it in version 1, too).

use crate::base::time::Instant;

/// BBR.ExtraAckedFilterLen in rounds: half of them in each of two buckets.
const HALF_ROUNDS: u32 = 5;

/// The most of late.
#[derive(Clone, Debug)]
pub(in super::super) struct AckAggregation {
    /// The most of these rounds, and of those before.
    most: [u32; 2],
    rounds: u32,
    /// BBR.extra_acked_delivered.
    delivered: u64,
    /// BBR.extra_acked_interval_start.
    since: Instant,
}

impl AckAggregation {
    pub(in super::super) fn new(now: Instant) -> Self {
        AckAggregation { most: [0; 2], rounds: 0, delivered: 0, since: now }
    }

    /// BBR.extra_acked, in octets.
    pub(in super::super) fn extra_acked(&self) -> u32 {
        self.most[0].max(self.most[1])
    }

    /// BBRUpdateACKAggregation: `octets` were acknowledged where `bw` octets a second are expected, and no more than
    /// `cwnd` can be extra.
    pub(in super::super) fn update(&mut self, octets: u32, bw: u64, cwnd: u32, now: Instant) {
        let interval = now.since(self.since);
        let mut expected = (u128::from(bw) * interval.as_nanos() / 1_000_000_000) as u64;
        if self.delivered <= expected {
            self.restart(now);
            expected = 0;
        }
        self.delivered += u64::from(octets);
        let extra = self.delivered.saturating_sub(expected).min(u64::from(cwnd)) as u32;
        self.most[0] = self.most[0].max(extra);
    }

    /// A round begins: what is older than the filter is forgotten. In Startup that is as long as one round.
    pub(in super::super) fn start_round(&mut self, is_startup: bool) {
        self.rounds += 1;
        if self.rounds >= if is_startup { 1 } else { HALF_ROUNDS } {
            self.rounds = 0;
            self.most = [0, if is_startup { 0 } else { self.most[0] }];
        }
    }

    /// Nothing was expected until now.
    pub(in super::super) fn restart(&mut self, now: Instant) {
        self.delivered = 0;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_millis(1000 + millis)
    }

    #[test]
    fn what_a_bunch_has_beyond_the_bandwidth_is_extra_for_ten_rounds() {
        let mut aggregation = AckAggregation::new(at(0));
        // A million octets a second: 10,000 in 10 ms, of which 30,000 are acknowledged at once.
        aggregation.update(30_000, 1_000_000, 100_000, at(10));
        assert_eq!(aggregation.extra_acked(), 30_000, "a bunch begins");
        aggregation.update(10_000, 1_000_000, 100_000, at(20));
        assert_eq!(aggregation.extra_acked(), 30_000);
        aggregation.update(50_000, 1_000_000, 35_000, at(21));
        assert_eq!(aggregation.extra_acked(), 35_000, "not more than the window");
        (0..9).for_each(|_| aggregation.start_round(false));
        assert_eq!(aggregation.extra_acked(), 35_000);
        aggregation.start_round(false);
        assert_eq!(aggregation.extra_acked(), 0);
    }

    #[test]
    fn in_startup_a_round_is_remembered() {
        let mut aggregation = AckAggregation::new(at(0));
        aggregation.update(30_000, 1_000_000, 100_000, at(10));
        aggregation.start_round(true);
        assert_eq!(aggregation.extra_acked(), 0);
    }
}
