//! The round-trip time and the retransmission timeout: RFC 6298.

use crate::base::time::Duration;
use crate::transport::tcp::config::Config;
use std::num::NonZeroU64;

/// G: the granularity of the clock that samples are taken with.
const GRANULARITY: Duration = Duration::from_millis(1);
/// The RTO before the first sample (RFC 6298 (2.1)).
const INITIAL_RTO: Duration = Duration::from_secs(1);
/// The RTO for data after the timer expired for a SYN (RFC 6298 (5.7)).
const RTO_AFTER_LOST_SYN: Duration = Duration::from_secs(3);

/// No sample is longer: ten minutes, in nanoseconds.
const LONGEST_SAMPLE: u64 = 600_000_000_000;

/// SRTT, RTTVAR and RTO, in nanoseconds: a `Duration` is twice as large.
#[derive(Clone, Debug, Default)]
pub(super) struct Rtt {
    /// Smoothed round-trip time; `None` before the first sample.
    srtt: Option<NonZeroU64>,
    /// Round-trip time variation.
    rttvar: u64,
    /// The least sample.
    min: Option<NonZeroU64>,
    /// How often the RTO was doubled since the last sample (RFC 6298 (5.5)).
    pub(super) backoff: u32,
    syn_was_lost: bool,
}

impl Rtt {
    pub(super) fn new() -> Self {
        Rtt::default()
    }

    /// Smoothed round-trip time; `None` before the first sample.
    pub(super) fn srtt(&self) -> Option<Duration> {
        self.srtt.map(|srtt| Duration::from_nanos(srtt.get()))
    }

    /// Round-trip time variation.
    pub(super) fn rttvar(&self) -> Duration {
        Duration::from_nanos(self.rttvar)
    }

    /// The least sample.
    pub(super) fn min(&self) -> Option<Duration> {
        self.min.map(|min| Duration::from_nanos(min.get()))
    }

    /// Takes a sample: (2.2) for the first, (2.3) for the others. It ends any backoff.
    pub(super) fn on_sample(&mut self, sample: Duration) {
        let sample = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX).min(LONGEST_SAMPLE);
        self.min = NonZeroU64::new(self.min.map_or(sample, |min| min.get().min(sample)).max(1));
        let srtt = match self.srtt.map(NonZeroU64::get) {
            None => {
                self.rttvar = sample / 2;
                sample
            }
            Some(srtt) => {
                // alpha = 1/8, beta = 1/4.
                self.rttvar = self.rttvar * 3 / 4 + srtt.abs_diff(sample) / 4;
                srtt * 7 / 8 + sample / 8
            }
        };
        self.srtt = NonZeroU64::new(srtt.max(1));
        self.backoff = 0;
    }

    /// An earlier connection to the same host knew a longer round trip: the RTO allows for that, until samples tell
    /// better (RFC 9040 §4).
    pub(super) fn on_recalled(&mut self, srtt: Duration, rttvar: Duration) {
        let longer = self.srtt().and_then(|own| srtt.checked_sub(own));
        if let Some(longer) = longer {
            let rttvar = u64::try_from((rttvar + longer / 4).as_nanos()).unwrap_or(u64::MAX);
            self.rttvar = self.rttvar.max(rttvar.min(LONGEST_SAMPLE));
        }
    }

    /// The timer expired: back off (5.5).
    pub(super) fn on_timeout(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// The handshake is over, and its SYN had to be sent again: (5.7).
    pub(super) fn on_handshake_after_lost_syn(&mut self) {
        self.syn_was_lost = true;
        self.backoff = 0;
    }

    /// The RTO without backoff, not yet bounded: (2.1) and (5.7) before the first sample, (2.3) after it.
    fn base(&self) -> Duration {
        match self.srtt() {
            None if self.syn_was_lost => RTO_AFTER_LOST_SYN,
            None => INITIAL_RTO,
            Some(srtt) => srtt + GRANULARITY.max(self.rttvar() * 4),
        }
    }

    /// The RTO without backoff.
    pub(super) fn base_rto(&self, config: &Config) -> Duration {
        self.base().clamp(config.min_rto, config.max_rto)
    }

    /// The RTO.
    pub(super) fn rto(&self, config: &Config) -> Duration {
        backed_off(self.base_rto(config), self.backoff, config.max_rto)
    }
}

/// `base`, doubled `times` times, at most `max` (RFC 6298 (5.5), RFC 9293 SHLD-30).
pub(super) fn backed_off(base: Duration, times: u32, max: Duration) -> Duration {
    base.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_rto_is_one_second_before_any_sample() {
        assert_eq!(Rtt::new().rto(&Config::default()), Duration::from_secs(1));
    }

    #[test]
    fn samples_are_smoothed_as_rfc_6298_says() {
        let mut rtt = Rtt::new();
        rtt.on_sample(ms(400));
        assert_eq!((rtt.srtt(), rtt.rttvar()), (Some(ms(400)), ms(200)));
        assert_eq!(rtt.rto(&Config::default()), ms(1200));
        rtt.on_sample(ms(800));
        // RTTVAR = 3/4 * 200 + 1/4 * 400; SRTT = 7/8 * 400 + 1/8 * 800.
        assert_eq!((rtt.srtt(), rtt.rttvar()), (Some(ms(450)), ms(250)));
        assert_eq!(rtt.rto(&Config::default()), ms(1450));
    }

    #[test]
    fn an_earlier_connection_can_make_the_first_rto_longer_and_not_shorter() {
        let config = Config::default();
        let mut rtt = Rtt::new();
        rtt.on_sample(ms(100));
        let own = rtt.rto(&config);
        rtt.on_recalled(ms(50), ms(5));
        assert_eq!(rtt.rto(&config), own);
        rtt.on_recalled(ms(300), ms(50));
        assert_eq!((rtt.srtt(), rtt.rto(&config)), (Some(ms(100)), ms(500)));
    }

    #[test]
    fn the_rto_doubles_up_to_its_bound_and_a_sample_ends_that() {
        // RFC 9293 MUST-19.
        let config = Config::default();
        let mut rtt = Rtt::new();
        for expected in [1, 2, 4, 8, 16, 32, 64, 120, 120] {
            assert_eq!(rtt.rto(&config), Duration::from_secs(expected));
            rtt.on_timeout();
        }
        rtt.on_sample(ms(10));
        assert_eq!(rtt.rto(&config), config.min_rto);
    }

    #[test]
    fn after_a_lost_syn_the_first_rto_is_three_seconds() {
        let mut rtt = Rtt::new();
        rtt.on_timeout();
        rtt.on_handshake_after_lost_syn();
        assert_eq!(rtt.rto(&Config::default()), Duration::from_secs(3));
    }
}
