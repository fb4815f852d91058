//! Both ends of a connection in 16 bytes: what a segment is looked up by. Two `SocketAddr` take 64, since each has
//! room for the longer kind of address and what belongs to it.

use std::hash::{Hash, Hasher};
use std::net::{SocketAddr, SocketAddrV4};

/// Both ends of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ends {
    /// Of IPv4.
    V4 {
        /// Ours.
        local: SocketAddrV4,
        /// The other.
        remote: SocketAddrV4,
    },
    /// Of IPv6, ours first.
    Other(Box<(SocketAddr, SocketAddr)>),
}

impl Ends {
    /// Those of a connection from `local` to `remote`.
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        match (local, remote) {
            (SocketAddr::V4(local), SocketAddr::V4(remote)) => Ends::V4 { local, remote },
            other => Ends::Other(Box::new(other)),
        }
    }

    /// Ours.
    pub fn local(&self) -> SocketAddr {
        match self {
            Ends::V4 { local, .. } => SocketAddr::V4(*local),
            Ends::Other(ends) => ends.0,
        }
    }

    /// The other.
    pub fn remote(&self) -> SocketAddr {
        match self {
            Ends::V4 { remote, .. } => SocketAddr::V4(*remote),
            Ends::Other(ends) => ends.1,
        }
    }
}

impl Hash for Ends {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            // In two words, which is what a hasher is fastest at.
            Ends::V4 { local, remote } => {
                state.write_u64(u64::from(local.ip().to_bits()) << 32 | u64::from(remote.ip().to_bits()));
                state.write_u32(u32::from(local.port()) << 16 | u32::from(remote.port()));
            }
            Ends::Other(ends) => ends.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_take_sixteen_bytes_and_come_back_as_they_were() {
        assert_eq!(size_of::<Ends>(), 16);
        for [local, remote] in [["192.0.2.2:80", "198.51.100.7:40000"], ["[2001:db8::2]:80", "[2001:db8::7]:40000"]]
            .map(|pair| {
                pair.map(|end| match end.parse::<SocketAddr>() {
                    Ok(end) => end,
                    Err(error) => panic!("{end}: {error}"),
                })
            })
        {
            let ends = Ends::new(local, remote);
            assert_eq!((ends.local(), ends.remote()), (local, remote));
            assert_ne!(ends, Ends::new(remote, local));
        }
    }
}
