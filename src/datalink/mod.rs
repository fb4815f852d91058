//! Floor 2, the data link: getting a frame to the right station on one link.
//!
//! OSI meant framing, addressing and error detection between neighbours. In this house: Ethernet II with
//! 802.1Q tags ([`ethernet`]), ARP and its table of neighbours ([`arp`], [`neighbours`]), and the claim to
//! our own addresses ([`conflict`]). In come frames and next hops, out go payloads with their EtherType and
//! frames with a destination. It never knows what the payload means beyond the address it resolves.

pub mod arp;
pub mod conflict;
pub mod ethernet;
pub mod neighbours;

use std::fmt;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// All stations.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// True for group addresses, broadcast included: the lowest bit of the first octet.
    pub fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Mac {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            *octet = parts
                .next()
                .filter(|part| part.len() == 2)
                .and_then(|part| u8::from_str_radix(part, 16).ok())
                .ok_or_else(|| format!("`{text}` is not a MAC address; write it as 02:00:00:00:00:01"))?;
        }
        match parts.next() {
            None => Ok(Mac(octets)),
            Some(_) => Err(format!("`{text}` has more than six octets")),
        }
    }
}

/// A network interface of the stack: a device, or one VLAN of it. Its place in the list of interfaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfaceId(pub u16);
