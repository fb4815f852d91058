//! What one client may have: so many connections at once and so many requests a second, whichever thread serves it.
//! A client is an address, or a whole /64 of IPv6.

use crate::base::bucket::Bucket;
use crate::base::limits::HTTP_CLIENTS;
use crate::base::time::Instant;
use crate::session::throttle::network_of;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bounds; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClientLimits {
    /// Connections at once.
    pub connections: u32,
    /// Requests a second on average.
    pub rate: u32,
    /// Requests at once, after a time without any.
    pub burst: u32,
}

#[derive(Debug)]
struct Client {
    connections: u32,
    requests: Bucket,
}

/// Who is here. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Clients(Arc<Mutex<BTreeMap<IpAddr, Client>>>);

impl Clients {
    /// A connection from `peer`; false if it has as many as it may have.
    pub(super) fn enter(&self, limits: ClientLimits, peer: IpAddr) -> bool {
        limits.connections == 0
            || self.with(limits, peer, |client| {
                let may_enter = client.connections < limits.connections;
                client.connections += u32::from(may_enter);
                may_enter
            })
    }

    /// A connection that entered is over.
    pub(super) fn leave(&self, limits: ClientLimits, peer: IpAddr) {
        if limits.connections > 0
            && let Some(client) = self.lock().get_mut(&network_of(peer))
        {
            client.connections = client.connections.saturating_sub(1);
        }
    }

    /// A request from `peer`; false if it is one too many.
    pub(super) fn may_ask(&self, limits: ClientLimits, peer: IpAddr, now: Instant) -> bool {
        limits.rate == 0 || self.with(limits, peer, |client| client.requests.take(now))
    }

    fn with<T>(&self, limits: ClientLimits, peer: IpAddr, f: impl FnOnce(&mut Client) -> T) -> T {
        let mut clients = self.lock();
        let key = network_of(peer);
        if clients.len() >= HTTP_CLIENTS && !clients.contains_key(&key) {
            clients.retain(|_, client| client.connections > 0);
        }
        let requests = Bucket::new(limits.rate, limits.burst.max(1));
        f(clients.entry(key).or_insert(Client { connections: 0, requests }))
    }

    /// No call leaves them half changed, so a panic elsewhere does no harm.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ClientLimits = ClientLimits { connections: 2, rate: 10, burst: 3 };

    fn peer(last: u32) -> IpAddr {
        IpAddr::V4((0xc000_0200 + last).into())
    }

    #[test]
    fn a_client_has_so_many_connections_and_others_have_theirs() {
        let clients = Clients::default();
        let enter = |last| clients.enter(LIMITS, peer(last));
        assert_eq!([enter(7), enter(7), enter(7), enter(8)], [true, true, false, true]);
        clients.leave(LIMITS, peer(7));
        assert_eq!([enter(7), enter(7)], [true, false]);
        let unlimited = ClientLimits { connections: 0, ..LIMITS };
        assert!((0..100).all(|_| clients.enter(unlimited, peer(7))));
    }

    #[test]
    fn requests_have_a_rate_over_all_connections() {
        let clients = Clients::default();
        let asked = |at| (0..10).filter(|_| clients.may_ask(LIMITS, peer(7), at)).count();
        assert_eq!(asked(Instant::from_secs(1)), 3);
        assert_eq!(asked(Instant::from_millis(1_100)), 1);
        assert!(clients.may_ask(LIMITS, peer(8), Instant::from_secs(1)));
        let v6 = |text: &str| text.parse().unwrap();
        assert_eq!(
            (0..4).filter(|n| clients.may_ask(LIMITS, v6(&format!("2001:db8::{n}")), Instant::from_secs(1))).count(),
            3
        );
    }

    #[test]
    fn who_left_is_forgotten_when_there_are_many() {
        let (clients, now) = (Clients::default(), Instant::from_secs(1));
        assert!(clients.enter(LIMITS, [203, 0, 113, 1].into()));
        for last in 0..2 * HTTP_CLIENTS as u32 {
            clients.may_ask(LIMITS, peer(last), now);
        }
        assert!(clients.lock().len() <= HTTP_CLIENTS + 1);
        assert!(clients.lock().contains_key(&IpAddr::from([203, 0, 113, 1])));
    }
}
