//! The claim to one of our own IPv4 addresses: probe whether it is free, announce it, defend it.
//!
//! Implements RFC 5227, with its constants (§1.1). One [`Claim`] per address; it says what to send and is
//! told every ARP packet of its link.
//!
//! ```text
//!            3 probes, nobody objects              2 announcements
//!   Probing --------------------------> Announcing ---------------> Owned
//!      ^ \                                  |                          |
//!      |  \ somebody has it, or wants it    | somebody else says it has it, twice in 10 s
//!      |   v                                v                          |
//!      +-- Lost <---------------------------+--------------------------+
//!   60 s   (with Defence::Keep an owned address is never lost)
//! ```
//!
//! A claim made with [`Claim::quick`] starts at Announcing: the address is used at once. Not here: choosing
//! another address after a conflict (RFC 3927, DHCP DECLINE), which is for whoever chose this one.

use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use crate::datalink::Mac;
use crate::datalink::arp::Arp;
use std::net::Ipv4Addr;

#[cfg(test)]
mod tests;

/// The random wait before the first probe (RFC 5227 §1.1).
const PROBE_WAIT: Duration = Duration::from_secs(1);
/// Probes sent.
const PROBE_NUM: u8 = 3;
/// The shortest time between probes.
const PROBE_MIN: Duration = Duration::from_secs(1);
/// The longest time between probes.
const PROBE_MAX: Duration = Duration::from_secs(2);
/// From the last probe to the first announcement.
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
/// Announcements sent.
const ANNOUNCE_NUM: u8 = 2;
/// The time between announcements.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
/// A second conflict within this time means giving up, or staying silent.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// From a lost address to the next attempt at it. RFC 5227 asks for this interval after ten conflicts; a
/// host whose address is configured has no other to try, so it waits so long each time.
const RATE_LIMIT_INTERVAL: Duration = Duration::from_secs(60);

/// What to do when somebody else uses an address of ours (RFC 5227 §2.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Defence {
    /// Answer one conflict, give the address up at a second one within ten seconds: choice (b).
    GiveUp,
    /// Answer at most once in ten seconds and go on: choice (c), for a host whose address others rely on.
    #[default]
    Keep,
}

/// What a packet or the passing of time did to a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimEvent {
    /// Nothing.
    Nothing,
    /// Nobody objected: the address is ours from here on.
    Won,
    /// A conflict, answered by an announcement.
    Defended {
        /// The other station.
        by: Mac,
    },
    /// A conflict, not answered because one was answered a moment ago.
    Tolerated {
        /// The other station.
        by: Mac,
    },
    /// The address may not be used, or no longer: whatever is bound to it is to be closed.
    Lost {
        /// The other station.
        by: Mac,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// This many probes were sent.
    Probing(u8),
    /// This many announcements were sent.
    Announcing(u8),
    Owned,
    Lost,
}

/// The claim to one address.
#[derive(Clone, Debug)]
pub struct Claim {
    address: Ipv4Addr,
    mac: Mac,
    defence: Defence,
    state: State,
    deadline: Option<Instant>,
    last_conflict: Option<Instant>,
    transmit: Option<Arp>,
    random: Random,
}

impl Claim {
    /// Claims an address the careful way: it is usable in four to seven seconds if nobody has it.
    pub fn new(address: Ipv4Addr, mac: Mac, now: Instant, random: &mut Random) -> Self {
        let mut claim = Claim {
            address,
            mac,
            defence: Defence::default(),
            state: State::Probing(0),
            deadline: None,
            last_conflict: None,
            transmit: None,
            random: random.fork(),
        };
        claim.start_probing(now);
        claim
    }

    /// Claims an address and uses it at once: announced, and defended as if it had been probed.
    ///
    /// `DEVIATION(RFC 5227 §2.1)`: a host must probe first. For whoever knows that the address is free,
    /// and for tests.
    pub fn quick(address: Ipv4Addr, mac: Mac, now: Instant, random: &mut Random) -> Self {
        let mut claim = Claim::new(address, mac, now, random);
        claim.state = State::Announcing(0);
        claim.deadline = Some(now);
        claim
    }

    /// The same claim with another defence.
    #[must_use]
    pub fn with_defence(mut self, defence: Defence) -> Self {
        self.defence = defence;
        self
    }

    /// The address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// True if the address may be used: as a source, and in answers to ARP.
    pub fn is_usable(&self) -> bool {
        matches!(self.state, State::Announcing(_) | State::Owned)
    }

    /// Is told of an ARP packet received on the link.
    pub fn handle_arp(&mut self, arp: &Arp, now: Instant) -> ClaimEvent {
        // Our own packets may come back to us over a loop in the link.
        if arp.sender_mac == self.mac {
            return ClaimEvent::Nothing;
        }
        let by = arp.sender_mac;
        let uses = arp.sender_ip == self.address;
        match self.state {
            // RFC 5227 §2.1.1: somebody has it, or another host probes for it at this moment.
            State::Probing(_) if uses || (arp.is_probe() && arp.target_ip == self.address) => self.lose(by, now),
            State::Announcing(_) | State::Owned if uses => self.defend(by, now),
            _ => ClaimEvent::Nothing,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> ClaimEvent {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return ClaimEvent::Nothing;
        }
        match self.state {
            State::Probing(sent) if sent < PROBE_NUM => {
                self.transmit = Some(Arp::probe(self.mac, self.address));
                self.state = State::Probing(sent + 1);
                let wait =
                    if sent + 1 < PROBE_NUM { self.random.duration(PROBE_MIN, PROBE_MAX) } else { ANNOUNCE_WAIT };
                self.deadline = Some(now + wait);
                ClaimEvent::Nothing
            }
            State::Probing(_) => {
                self.announce(0, now);
                ClaimEvent::Won
            }
            State::Announcing(sent) => {
                self.announce(sent, now);
                ClaimEvent::Nothing
            }
            State::Owned => {
                self.deadline = None;
                ClaimEvent::Nothing
            }
            State::Lost => {
                self.start_probing(now);
                ClaimEvent::Nothing
            }
        }
    }

    /// When [`Claim::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The packet to broadcast, if there is one.
    pub fn poll_transmit(&mut self) -> Option<Arp> {
        self.transmit.take()
    }

    fn start_probing(&mut self, now: Instant) {
        self.state = State::Probing(0);
        self.deadline = Some(now + self.random.duration(Duration::ZERO, PROBE_WAIT));
    }

    fn announce(&mut self, sent: u8, now: Instant) {
        self.transmit = Some(Arp::announcement(self.mac, self.address));
        if sent + 1 < ANNOUNCE_NUM {
            self.state = State::Announcing(sent + 1);
            self.deadline = Some(now + ANNOUNCE_INTERVAL);
        } else {
            self.state = State::Owned;
            self.deadline = None;
        }
    }

    fn defend(&mut self, by: Mac, now: Instant) -> ClaimEvent {
        let recent = self.last_conflict.is_some_and(|last| now < last + DEFEND_INTERVAL);
        match self.defence {
            Defence::GiveUp if recent => return self.lose(by, now),
            Defence::Keep if recent => return ClaimEvent::Tolerated { by },
            Defence::GiveUp | Defence::Keep => {}
        }
        self.last_conflict = Some(now);
        self.transmit = Some(Arp::announcement(self.mac, self.address));
        ClaimEvent::Defended { by }
    }

    fn lose(&mut self, by: Mac, now: Instant) -> ClaimEvent {
        self.state = State::Lost;
        self.deadline = Some(now + RATE_LIMIT_INTERVAL);
        self.last_conflict = None;
        self.transmit = None;
        ClaimEvent::Lost { by }
    }
}
