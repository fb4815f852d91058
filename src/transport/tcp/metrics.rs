//! What earlier connections learned of the way to a host, for the next one to begin with (RFC 9040; tcp_metrics in
//! Linux): its round-trip time, and where slow start ended.
//!
//! By default only the round-trip time is used: a retransmission timer that begins too short costs a spurious timeout.
//! Where slow start ended may have been the doing of a line that loses at random, or of who else was there; Linux has
//! stopped using it for that reason, and so it has to be asked for.

use crate::base::hash::HashKey;
use crate::base::limits;
use crate::base::lru::LruMap;
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use std::net::IpAddr;

/// How long it is believed.
const LIFETIME: Duration = Duration::from_secs(3600);

/// What is known of the way to one host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Metrics {
    /// Smoothed round-trip time.
    pub(super) srtt: Duration,
    /// Its variation.
    pub(super) rttvar: Duration,
    /// Where slow start ended, in octets, if it did.
    pub(super) ssthresh: Option<u32>,
    /// When a connection last said so.
    pub(super) noted_at: Instant,
}

/// The hosts, the one used least recently forgotten first.
#[derive(Clone, Debug)]
pub(super) struct MetricsCache {
    table: LruMap<IpAddr, Metrics>,
}

impl MetricsCache {
    pub(super) fn new(random: &mut Random) -> Self {
        MetricsCache { table: LruMap::new(limits::TCP_METRICS, HashKey::random(random)) }
    }

    /// How many hosts are known.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// A connection to `host` is over. A longer round trip is taken over at once, a shorter one by and by.
    pub(super) fn note(&mut self, host: IpAddr, new: Metrics) {
        let slow = |old: Duration, new: Duration| if new >= old { new } else { old - (old - new) / 8 };
        match self.table.touch(&host) {
            Some(old) if new.noted_at.since(old.noted_at) < LIFETIME => {
                let ssthresh = match (old.ssthresh, new.ssthresh) {
                    (Some(old), Some(new)) => Some(old / 2 + new / 2),
                    (old, new) => new.or(old),
                };
                *old =
                    Metrics { srtt: slow(old.srtt, new.srtt), rttvar: slow(old.rttvar, new.rttvar), ssthresh, ..new };
            }
            Some(old) => *old = new,
            None => _ = self.table.insert(host, new),
        }
    }

    /// What is known of the way to `host`.
    pub(super) fn recall(&self, host: IpAddr, now: Instant) -> Option<Metrics> {
        self.table.get(&host).copied().filter(|metrics| now.since(metrics.noted_at) < LIFETIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    const fn metrics(millis: u64, ssthresh: Option<u32>, at: u64) -> Metrics {
        let srtt = Duration::from_millis(millis);
        Metrics { srtt, rttvar: srtt, ssthresh, noted_at: Instant::from_secs(at) }
    }

    fn cache() -> MetricsCache {
        MetricsCache::new(&mut Random::from_seed(1))
    }

    #[test]
    fn a_longer_round_trip_is_taken_over_at_once_and_a_shorter_one_by_and_by() {
        let mut cache = cache();
        cache.note(HOST, metrics(100, None, 1));
        cache.note(HOST, metrics(180, Some(8000), 2));
        assert_eq!(cache.recall(HOST, Instant::from_secs(3)), Some(metrics(180, Some(8000), 2)));
        cache.note(HOST, metrics(100, Some(4000), 3));
        assert_eq!(cache.recall(HOST, Instant::from_secs(3)), Some(metrics(170, Some(6000), 3)));
    }

    #[test]
    fn what_is_older_than_an_hour_is_not_believed() {
        let mut cache = cache();
        cache.note(HOST, metrics(100, None, 0));
        assert!(cache.recall(HOST, Instant::from_secs(3599)).is_some());
        assert!(cache.recall(HOST, Instant::from_secs(3600)).is_none());
        cache.note(HOST, metrics(10, None, 3600));
        assert_eq!(cache.recall(HOST, Instant::from_secs(3600)), Some(metrics(10, None, 3600)));
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut cache = cache();
        for n in 0..10_000u32 {
            cache.note(Ipv4Addr::from(n).into(), metrics(1, None, 0));
        }
        assert_eq!(cache.len(), limits::TCP_METRICS);
    }
}
