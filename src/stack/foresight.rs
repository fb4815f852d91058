//! Looks ahead at a batch of frames: see [`crate::transport::tcp::table`] for why.

use crate::base::time::Instant;
use crate::network::packet::protocol;
use crate::physical::frame::Frame;
use crate::stack::Stack;
use crate::transport::tcp::ends::Ends;
use crate::transport::tcp::table::Foreseen;
use smallvec::SmallVec;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The length of an Ethernet header without tags.
const ETHERNET: usize = 14;
/// Where it says what follows, and what it says for IPv4.
const ETHER_TYPE: (usize, [u8; 2]) = (12, [0x08, 0x00]);

impl Stack {
    /// Looks up the connections that these frames seem to be for, if there are so many that they are not at hand.
    /// Nothing changes, and nothing need come of it.
    pub fn foresee(&self, frames: &[Frame]) -> Foreseen {
        if frames.len() < 2 || !self.tcp.is_foresight_worthwhile() {
            return Foreseen::new();
        }
        let ends: SmallVec<[Ends; 64]> = frames.iter().filter_map(|frame| ends_of(&frame.bytes)).collect();
        self.tcp.foresee(&ends)
    }

    /// Asks for what [`Stack::receive`] will need of these connections, and [`Stack::handle_timeout`] after it.
    pub fn foresee_connections(&self, foreseen: &Foreseen, now: Instant) {
        if !foreseen.is_empty() {
            self.tcp.foresee_connections(foreseen, now);
        }
    }
}

/// Between whom an untagged frame seems to carry a segment. Nothing is checked.
fn ends_of(frame: &[u8]) -> Option<Ends> {
    let (at, ether_type) = ETHER_TYPE;
    let ip = frame.get(ETHERNET..).filter(|_| frame.get(at..).is_some_and(|rest| rest.starts_with(&ether_type)))?;
    let header = ip.first_chunk::<20>().filter(|header| header[9] == protocol::TCP)?;
    let [a, b, c, d] = *ip.get(usize::from(header[0] & 0xf) * 4..)?.first_chunk::<4>()?;
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    Some(Ends::V4 {
        local: SocketAddrV4::new(Ipv4Addr::new(d0, d1, d2, d3), u16::from_be_bytes([c, d])),
        remote: SocketAddrV4::new(Ipv4Addr::new(s0, s1, s2, s3), u16::from_be_bytes([a, b])),
    })
}
