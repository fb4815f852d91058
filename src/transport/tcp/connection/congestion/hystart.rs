//! HyStart++ (RFC 9406): slow start ends when the round-trip time rises, before the queue overflows.
//!
//! ```text
//!                RTT rose by the threshold                 5 rounds
//!   slow start ---------------------------> conservative ----------> congestion avoidance
//!        ^                                   slow start
//!        +------------------------------------- |
//!                  RTT fell again
//! ```
//!
//! It judges only the first slow start of a connection, since the next ones know where to end (RFC 9406 §4.3).
//!
//! DEVIATION(RFC 9406 §4.2): a round is compared with the fastest before it, and not with the last: where the round trip
//! is short the queue grows by less than the threshold in each round, and yet is full in the end. Slow start resumes
//! where the rise is gone. Linux's HyStart compares with the least as well.

use super::AckSample;
use crate::base::seq::Seq;
use crate::base::time::Duration;

/// The least rise of the round-trip time that counts.
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
/// The rise that always counts.
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
/// Between the two, this part of the round-trip time.
const MIN_RTT_DIVISOR: u32 = 8;
/// Samples that a round must have to be judged.
const N_RTT_SAMPLE: u32 = 8;
/// How much slower the window grows in conservative slow start.
const CSS_GROWTH_DIVISOR: u32 = 4;
/// Rounds of conservative slow start.
const CSS_ROUNDS: u8 = 5;

/// What slow start does with an acknowledgment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Growth {
    /// Grow by what was acknowledged, divided by so much.
    By(u32),
    /// Slow start is over.
    Exit,
}

/// The rounds of one slow start.
#[derive(Clone, Debug, Default)]
pub(super) struct HyStart {
    /// When this is acknowledged, a round is over.
    window_end: Option<Seq>,
    /// The least of all rounds before this one.
    least_rtt: Option<Duration>,
    current_round_min_rtt: Option<Duration>,
    /// Samples in this round.
    rtt_sample_count: u32,
    /// In conservative slow start: the rounds that are left.
    css: Option<u8>,
}

impl HyStart {
    /// RFC 9406 §4.2.
    pub(super) fn on_ack(&mut self, sample: &AckSample) -> Growth {
        let is_round_over = self.window_end.is_none_or(|end| sample.una.at_or_after(end));
        if is_round_over {
            self.window_end = Some(sample.nxt);
            let current = self.current_round_min_rtt.take();
            self.least_rtt = self.least_rtt.into_iter().chain(current).min();
            self.rtt_sample_count = 0;
        }
        if let Some(rtt) = sample.rtt {
            self.current_round_min_rtt = Some(self.current_round_min_rtt.map_or(rtt, |min| min.min(rtt)));
            self.rtt_sample_count += 1;
        }
        match (self.css, self.has_risen()) {
            (None, Some(true)) => self.css = Some(CSS_ROUNDS),
            // The rise was no queue: back to slow start.
            (Some(_), Some(false)) => self.css = None,
            (Some(0 | 1), _) if is_round_over => return Growth::Exit,
            (Some(left), _) if is_round_over => self.css = Some(left - 1),
            _ => {}
        }
        Growth::By(if self.css.is_some() { CSS_GROWTH_DIVISOR } else { 1 })
    }

    /// Whether the round-trip time of this round has risen, once there are enough samples.
    fn has_risen(&self) -> Option<bool> {
        let current = self.current_round_min_rtt.filter(|_| self.rtt_sample_count >= N_RTT_SAMPLE)?;
        let least = self.least_rtt?;
        Some(current >= least + (least / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slow start whose rounds have as many ACKs as the test gives them.
    struct Rounds {
        hystart: HyStart,
        una: Seq,
    }

    impl Rounds {
        fn new() -> Self {
            Rounds { hystart: HyStart::default(), una: Seq(0) }
        }

        /// A round of `acks` acknowledgments with one round-trip time; the last growth.
        fn round(&mut self, acks: u32, rtt: Duration) -> Growth {
            let nxt = self.una + acks;
            let mut growth = Growth::By(0);
            for _ in 0..acks {
                self.una += 1;
                let nxt = nxt + (self.una - (nxt - acks));
                let sample = AckSample { una: self.una, nxt, rtt: Some(rtt), ..AckSample::default() };
                growth = self.hystart.on_ack(&sample);
                if growth == Growth::Exit {
                    break;
                }
            }
            growth
        }
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_round_trip_time_that_stays_keeps_slow_start_going() {
        let mut rounds = Rounds::new();
        for _ in 0..20 {
            assert_eq!(rounds.round(16, ms(100)), Growth::By(1));
        }
    }

    #[test]
    fn slow_start_turns_conservative_exactly_at_the_threshold() {
        // RFC 9406 §4.2: clamp(4 ms, RTT / 8, 16 ms) above the round before.
        for (base, threshold) in
            [(ms(8), ms(4)), (ms(64), ms(8)), (ms(100), Duration::from_micros(12_500)), (ms(400), ms(16))]
        {
            let mut rounds = Rounds::new();
            rounds.round(16, base);
            assert_eq!(rounds.round(16, base + threshold - Duration::from_micros(1)), Growth::By(1), "{base:?}");
            let mut rounds = Rounds::new();
            rounds.round(16, base);
            assert_eq!(rounds.round(16, base + threshold), Growth::By(4), "{base:?}");
        }
    }

    #[test]
    fn a_round_trip_time_that_rises_by_less_each_round_turns_it_conservative_as_well() {
        let mut rounds = Rounds::new();
        assert_eq!([1, 2, 4].map(|rtt| rounds.round(16, ms(rtt))), [Growth::By(1); 3]);
        assert_eq!(rounds.round(16, ms(5)), Growth::By(4));
    }

    #[test]
    fn a_round_with_few_samples_is_not_judged() {
        let mut rounds = Rounds::new();
        rounds.round(7, ms(10));
        assert_eq!(rounds.round(7, ms(100)), Growth::By(1));
    }

    #[test]
    fn five_conservative_rounds_end_slow_start() {
        let mut rounds = Rounds::new();
        rounds.round(16, ms(10));
        assert_eq!(rounds.round(16, ms(20)), Growth::By(4));
        for _ in 0..4 {
            assert_eq!(rounds.round(16, ms(20)), Growth::By(4));
        }
        assert_eq!(rounds.round(16, ms(20)), Growth::Exit);
    }

    #[test]
    fn a_round_trip_time_that_falls_again_resumes_slow_start() {
        let mut rounds = Rounds::new();
        rounds.round(16, ms(10));
        assert_eq!(rounds.round(16, ms(20)), Growth::By(4));
        assert_eq!(rounds.round(16, ms(14)), Growth::By(4));
        assert_eq!(rounds.round(16, ms(13)), Growth::By(1));
    }
}
