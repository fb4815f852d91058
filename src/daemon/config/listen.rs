//! Where a service listens: a port on all of our addresses, or one address and port.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// An entry of a `listen` list: `80` or `"192.0.2.2:80"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listen {
    /// The port, on every address.
    Port(u16),
    /// The port on one address.
    Address(SocketAddr),
}

impl Listen {
    /// What to bind: a bare port means the unspecified address.
    pub fn socket_addr(self) -> SocketAddr {
        match self {
            Listen::Port(port) => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            Listen::Address(address) => address,
        }
    }

    /// True if a packet could be meant for either.
    pub fn overlaps(self, other: Listen) -> bool {
        let (ours, theirs) = (self.socket_addr(), other.socket_addr());
        let same_address = ours.ip() == theirs.ip() || ours.ip().is_unspecified() || theirs.ip().is_unspecified();
        ours.port() == theirs.port() && same_address
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Port(port) => write!(f, "{port}"),
            Listen::Address(address) => write!(f, "{address}"),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Listen::Port(port) => serializer.serialize_u16(*port),
            Listen::Address(address) => serializer.collect_str(address),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListenVisitor)
    }
}

struct ListenVisitor;

impl Visitor<'_> for ListenVisitor {
    type Value = Listen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port from 1 to 65535, or an address and port such as \"192.0.2.2:80\"")
    }

    fn visit_i64<E: de::Error>(self, port: i64) -> Result<Listen, E> {
        match u16::try_from(port) {
            Ok(port) if port > 0 => Ok(Listen::Port(port)),
            _ => Err(E::invalid_value(de::Unexpected::Signed(port), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Listen, E> {
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() > 0 => Ok(Listen::Address(address)),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}
