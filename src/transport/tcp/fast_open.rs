//! TCP Fast Open, what both sides keep between connections: RFC 7413 §4.1.
//!
//! ```text
//!   client                                  server
//!   SYN, empty cookie ─────────────────────► a keyed hash of both addresses
//!   ◄───────────────────── SYN-ACK, cookie
//!   remembers it for the host                keeps nothing
//!        ...
//!   SYN, cookie, data ─────────────────────► checks the hash; the data is delivered at once
//! ```
//!
//! The key of the hash changes every hour and the one before is accepted too. A client whose SYN with the option was lost,
//! but not the one without, stays away from the option for a while that doubles each time (§4.1.3.1, "negative
//! caching").
//!
//! Not here: data on SYNs ([`super::connection`]), and who may use it (`fast_open` of a listener's configuration).

use crate::base::hash::HashKey;
use crate::base::limits;
use crate::base::lru::LruMap;
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use crate::transport::tcp::options::FastOpenCookie;
use std::hash::BuildHasher;
use std::net::IpAddr;

/// How long one key is used for new cookies.
const EPOCH: Duration = Duration::from_secs(3600);
/// How long a client stays away from a path where the option was lost once.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// It doubles so often at most: to some four days.
const MOST_DOUBLINGS: u32 = 12;

/// The server's secrets.
#[derive(Clone, Debug)]
pub(super) struct FastOpenKeys {
    random: Random,
    epoch: u64,
    current: HashKey,
    previous: HashKey,
}

impl FastOpenKeys {
    pub(super) fn new(random: &mut Random) -> Self {
        let mut random = random.fork();
        let (current, previous) = (HashKey::random(&mut random), HashKey::random(&mut random));
        FastOpenKeys { random, epoch: 0, current, previous }
    }

    /// The cookie of a client.
    pub(super) fn make(&mut self, local: IpAddr, remote: IpAddr, now: Instant) -> FastOpenCookie {
        self.rotate(now);
        cookie(self.current, local, remote)
    }

    /// True if it is one of ours, for this client, and not too old.
    pub(super) fn check(&mut self, given: &FastOpenCookie, local: IpAddr, remote: IpAddr, now: Instant) -> bool {
        self.rotate(now);
        [self.current, self.previous].into_iter().any(|key| cookie(key, local, remote) == *given)
    }

    fn rotate(&mut self, now: Instant) {
        let epoch = now.as_nanos() / EPOCH.as_nanos() as u64;
        if epoch == self.epoch {
            return;
        }
        self.previous = if epoch == self.epoch + 1 { self.current } else { HashKey::random(&mut self.random) };
        self.current = HashKey::random(&mut self.random);
        self.epoch = epoch;
    }
}

fn cookie(key: HashKey, local: IpAddr, remote: IpAddr) -> FastOpenCookie {
    FastOpenCookie::new(&key.hash_one((local, remote)).to_be_bytes()).unwrap_or_default()
}

/// How a client may open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Attempt {
    /// Without the option.
    Plain,
    /// Ask for a cookie.
    Ask,
    /// With a cookie and data, as much as this MSS allows.
    Cookie(FastOpenCookie, u16),
}

/// What one opening has taught.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct News {
    /// The cookie that the server gave.
    pub(super) cookie: Option<FastOpenCookie>,
    /// The server's MSS.
    pub(super) mss: u16,
    /// The SYN with the option was lost, the one without was answered.
    pub(super) was_lost: bool,
    /// The data on the SYN was taken.
    pub(super) was_taken: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    cookie: Option<(FastOpenCookie, u16)>,
    losses: u32,
    plain_until: Instant,
}

/// What a client knows of servers, the one used least recently forgotten first.
#[derive(Clone, Debug)]
pub(super) struct FastOpenCache {
    table: LruMap<IpAddr, Known>,
}

impl FastOpenCache {
    pub(super) fn new(random: &mut Random) -> Self {
        FastOpenCache { table: LruMap::new(limits::TCP_FAST_OPEN_SERVERS, HashKey::random(random)) }
    }

    /// How to open a connection to `server`.
    pub(super) fn attempt(&mut self, server: IpAddr, now: Instant) -> Attempt {
        match self.table.touch(&server) {
            Some(known) if now < known.plain_until => Attempt::Plain,
            Some(Known { cookie: Some((cookie, mss)), .. }) => Attempt::Cookie(*cookie, *mss),
            _ => Attempt::Ask,
        }
    }

    /// An opening to `server` is over.
    pub(super) fn note(&mut self, server: IpAddr, news: News, now: Instant) {
        let mut known = self.table.get(&server).copied().unwrap_or_default();
        if news.was_lost {
            let pause = FIRST_PAUSE.saturating_mul(1 << known.losses.min(MOST_DOUBLINGS));
            known = Known { cookie: None, losses: known.losses.saturating_add(1), plain_until: now + pause };
        } else {
            // Neither taken nor replaced: the server has forgotten the option.
            let kept = known.cookie.filter(|_| news.was_taken);
            known.cookie = news.cookie.map(|cookie| (cookie, news.mss)).or(kept);
            if news.was_taken {
                known.losses = 0;
            }
        }
        self.table.insert(server, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8));

    #[test]
    fn a_fast_open_cookie_is_good_for_its_client_and_for_one_to_two_hours() {
        let mut keys = FastOpenKeys::new(&mut Random::from_seed(1));
        let at = |secs| Instant::from_secs(secs);
        let cookie = keys.make(SERVER, CLIENT, at(3599));
        assert!(keys.check(&cookie, SERVER, CLIENT, at(3599)));
        assert!(!keys.check(&cookie, SERVER, OTHER, at(3599)));
        assert!(keys.check(&cookie, SERVER, CLIENT, at(7199)));
        assert!(!keys.check(&cookie, SERVER, CLIENT, at(7200)));
        assert!(!FastOpenKeys::new(&mut Random::from_seed(2)).check(&cookie, SERVER, CLIENT, at(0)));
    }

    const NEWS: News = News { cookie: None, mss: 1460, was_lost: false, was_taken: false };

    #[test]
    fn a_path_that_loses_the_option_is_left_alone_for_longer_each_time() {
        // RFC 7413 §4.1.3.1.
        let mut cache = FastOpenCache::new(&mut Random::from_seed(1));
        let cookie = FastOpenCookie::new(&[7; 8]).unwrap();
        cache.note(SERVER, News { cookie: Some(cookie), ..NEWS }, Instant::ZERO);
        assert_eq!(cache.attempt(SERVER, Instant::ZERO), Attempt::Cookie(cookie, 1460));
        cache.note(SERVER, News { was_lost: true, ..NEWS }, Instant::ZERO);
        assert_eq!(cache.attempt(SERVER, Instant::from_secs(59)), Attempt::Plain);
        assert_eq!(cache.attempt(SERVER, Instant::from_secs(60)), Attempt::Ask);
        cache.note(SERVER, News { was_lost: true, ..NEWS }, Instant::from_secs(60));
        assert_eq!(cache.attempt(SERVER, Instant::from_secs(179)), Attempt::Plain);
        assert_eq!(cache.attempt(SERVER, Instant::from_secs(180)), Attempt::Ask);
        assert_eq!(cache.attempt(OTHER, Instant::ZERO), Attempt::Ask);
    }

    #[test]
    fn a_cookie_that_is_neither_taken_nor_replaced_is_dropped() {
        let mut cache = FastOpenCache::new(&mut Random::from_seed(1));
        let cookie = FastOpenCookie::new(&[7; 8]).unwrap();
        cache.note(SERVER, News { cookie: Some(cookie), ..NEWS }, Instant::ZERO);
        cache.note(SERVER, News { was_taken: true, ..NEWS }, Instant::ZERO);
        assert_eq!(cache.attempt(SERVER, Instant::ZERO), Attempt::Cookie(cookie, 1460));
        cache.note(SERVER, NEWS, Instant::ZERO);
        assert_eq!(cache.attempt(SERVER, Instant::ZERO), Attempt::Ask);
    }

    #[test]
    fn the_cache_of_cookies_is_bounded() {
        let mut cache = FastOpenCache::new(&mut Random::from_seed(1));
        for n in 0..10_000u32 {
            cache.note(Ipv4Addr::from(n).into(), NEWS, Instant::ZERO);
        }
        assert_eq!(cache.table.len(), limits::TCP_FAST_OPEN_SERVERS);
    }
}
