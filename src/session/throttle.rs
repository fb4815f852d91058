//! What failed logins cost: time between attempts, by the address they come from.
//!
//! After a failure the next attempt from the same address (for IPv6, the same /64, which one person has
//! whole) waits a second, after the next two, then four, up to half a minute. Attempts over many
//! connections at once stand in one queue, so that more connections don't mean more guesses; when the
//! queue is longer than a minute, further ones are turned away. A success, or a quarter of an hour
//! without failure, clears the record.

use crate::base::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The wait after the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest that an attempt stands in the queue.
const QUEUE: Duration = Duration::from_secs(60);
/// How long a failure is remembered.
const MEMORY: Duration = Duration::from_secs(15 * 60);
/// Addresses remembered; the one that failed longest ago makes room.
const ADDRESSES: usize = 4_096;

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    failed_at: Instant,
    next_attempt: Instant,
}

impl Record {
    fn wait(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
    }
}

/// The records of addresses that failed.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    records: BTreeMap<IpAddr, Record>,
}

/// The records for everything that takes passwords, on whichever thread.
#[derive(Clone, Debug, Default)]
pub struct SharedThrottle(Arc<Mutex<Throttle>>);

impl SharedThrottle {
    /// The records. No call leaves them half changed, so a panic elsewhere does no harm.
    pub fn lock(&self) -> MutexGuard<'_, Throttle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Throttle {
    /// When an attempt from `address` may be made, which takes that place in the queue; `None` if the
    /// queue is too long.
    pub fn admit(&mut self, address: IpAddr, now: Instant) -> Option<Instant> {
        let key = network_of(address);
        let Some(record) = self.records.get_mut(&key) else {
            return Some(now);
        };
        if now.since(record.failed_at) > MEMORY {
            self.records.remove(&key);
            return Some(now);
        }
        let at = record.next_attempt.max(now);
        if at.since(now) > QUEUE {
            return None;
        }
        record.next_attempt = at + record.wait();
        Some(at)
    }

    /// An attempt from `address` failed.
    pub fn on_failure(&mut self, address: IpAddr, now: Instant) {
        let key = network_of(address);
        if !self.records.contains_key(&key) && self.records.len() >= ADDRESSES {
            let oldest = self.records.iter().min_by_key(|(_, record)| record.failed_at).map(|(address, _)| *address);
            oldest.map(|address| self.records.remove(&address));
        }
        let record = self.records.entry(key).or_insert(Record { failures: 0, failed_at: now, next_attempt: now });
        record.failures = record.failures.saturating_add(1);
        record.failed_at = now;
        record.next_attempt = record.next_attempt.max(now + record.wait());
    }

    /// An attempt from `address` succeeded.
    pub fn on_success(&mut self, address: IpAddr) {
        self.records.remove(&network_of(address));
    }
}

/// What counts as one address.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn at(secs: u64) -> Instant {
        Instant::from_secs(secs)
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_half_a_minute() {
        let mut throttle = Throttle::default();
        let mut now = at(100);
        assert_eq!(throttle.admit(PEER, now), Some(now));
        for wait in [1, 2, 4, 8, 16, 30, 30] {
            throttle.on_failure(PEER, now);
            let next = throttle.admit(PEER, now).unwrap();
            assert_eq!(next.since(now), Duration::from_secs(wait));
            now = next;
        }
    }

    #[test]
    fn many_connections_from_one_address_stand_in_one_queue() {
        let mut throttle = Throttle::default();
        for _ in 0..5 {
            throttle.on_failure(PEER, at(100));
        }
        let places: Vec<_> =
            (0..6).map(|_| throttle.admit(PEER, at(100)).map(|place| place.since(at(100)).as_secs())).collect();
        assert_eq!(places, [Some(16), Some(32), Some(48), None, None, None]);
    }

    #[test]
    fn a_success_or_a_quarter_of_an_hour_clears_the_record() {
        let mut throttle = Throttle::default();
        throttle.on_failure(PEER, at(100));
        throttle.on_success(PEER);
        assert_eq!(throttle.admit(PEER, at(100)), Some(at(100)));
        throttle.on_failure(PEER, at(100));
        assert_eq!(throttle.admit(PEER, at(1_001)), Some(at(1_001)));
        assert!(throttle.records.is_empty());
    }

    #[test]
    fn others_do_not_wait_and_a_v6_network_is_one_address() {
        let mut throttle = Throttle::default();
        throttle.on_failure("2001:db8::1".parse().unwrap(), at(100));
        assert_eq!(throttle.admit(PEER, at(100)), Some(at(100)));
        assert_eq!(throttle.admit("2001:db8:0:0:ffff::2".parse().unwrap(), at(100)), Some(at(101)));
        assert_eq!(throttle.admit("2001:db8:0:1::1".parse().unwrap(), at(100)), Some(at(100)));
    }

    #[test]
    fn the_records_are_bounded_and_the_oldest_makes_room() {
        let mut throttle = Throttle::default();
        for n in 0..=ADDRESSES as u32 {
            throttle.on_failure(IpAddr::V4((0x0a00_0000 + n).into()), Instant::from_millis(u64::from(n)));
        }
        assert_eq!(throttle.records.len(), ADDRESSES);
        assert!(!throttle.records.contains_key(&IpAddr::V4(0x0a00_0000.into())));
    }
}
