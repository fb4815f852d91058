//! What one client may have: so many connections at once, so many messages a second, whichever thread serves it.

use crate::base::bucket::Bucket;
use crate::base::time::Instant;
use crate::session::throttle::network_of;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clients that are remembered beyond those that are connected.
const REMEMBERED: usize = 4_096;
/// A client that was idle may send for so many seconds as fast as it likes.
const BURST_SECONDS: u32 = 60;

#[derive(Debug)]
struct Visitor {
    connections: u32,
    messages: Bucket,
}

/// Who is here.
#[derive(Clone, Debug, Default)]
pub struct Visitors(Arc<Mutex<BTreeMap<IpAddr, Visitor>>>);

/// A connection that counts until it is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    visitors: Visitors,
    from: IpAddr,
}

impl Visitors {
    /// A connection from `peer`, which may have `most` of them and send `rate` messages a second (0: as many as it
    /// likes); `None` if it has as many.
    pub(super) fn enter(&self, peer: IpAddr, most: u32, rate: u32) -> Option<Visit> {
        let from = network_of(peer);
        let mut visitors = self.lock();
        if visitors.len() >= REMEMBERED {
            visitors.retain(|_, visitor| visitor.connections > 0);
        }
        let rate = if rate == 0 { u32::MAX } else { rate };
        let messages = Bucket::new(rate, rate.saturating_mul(BURST_SECONDS));
        let visitor = visitors.entry(from).or_insert(Visitor { connections: 0, messages });
        if visitor.connections >= most {
            return None;
        }
        visitor.connections += 1;
        Some(Visit { visitors: self.clone(), from })
    }

    /// No call leaves them half changed, so a panic elsewhere does no harm.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Visitor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// True if another message may come now.
    pub(super) fn may_send(&self, now: Instant) -> bool {
        self.visitors.lock().get_mut(&self.from).is_none_or(|visitor| visitor.messages.take(now))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(visitor) = self.visitors.lock().get_mut(&self.from) {
            visitor.connections = visitor.connections.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_one_client_are_counted_while_they_last() {
        let visitors = Visitors::default();
        let peer = [192, 0, 2, 7].into();
        let first = visitors.enter(peer, 2, 1);
        let second = visitors.enter(peer, 2, 1);
        assert!(first.is_some() && second.is_some() && visitors.enter(peer, 2, 1).is_none());
        assert!(visitors.enter([192, 0, 2, 8].into(), 2, 1).is_some());
        drop(first);
        assert!(visitors.enter(peer, 2, 1).is_some());
    }

    #[test]
    fn messages_of_one_client_have_a_rate_over_all_its_connections() {
        let visitors = Visitors::default();
        let (one, two) = (visitors.enter([192, 0, 2, 7].into(), 9, 2), visitors.enter([192, 0, 2, 7].into(), 9, 2));
        let (one, two) = (one.unwrap(), two.unwrap());
        let now = Instant::from_secs(100);
        let sent =
            (0..200).filter(|number| if number % 2 == 0 { one.may_send(now) } else { two.may_send(now) }).count();
        assert_eq!(sent, 120);
        assert!(one.may_send(Instant::from_secs(101)));
    }

    #[test]
    fn clients_that_left_are_forgotten_when_there_are_many() {
        let visitors = Visitors::default();
        let here = visitors.enter([203, 0, 113, 1].into(), 9, 1);
        for number in 0..2 * REMEMBERED as u32 {
            visitors.enter(IpAddr::V4((0x0a00_0000 + number).into()), 9, 1);
        }
        assert!(visitors.lock().len() <= REMEMBERED + 1 && visitors.lock().contains_key(&[203, 0, 113, 1].into()));
        drop(here);
    }
}
