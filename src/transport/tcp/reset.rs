//! Resets for segments that belong to no connection, exactly where RFC 9293 §3.5.2 group 1 and §3.10.7.1
//! ask for them.
//!
//! ```text
//!  has RST                  nothing: a reset is never answered by one
//!  no ACK                   <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
//!  has ACK                  <SEQ=SEG.ACK><CTL=RST>
//! ```
//!
//! A segment to or from a broadcast or multicast address never comes this far (`table` drops it first), and
//! how many are sent a second is bounded by [`crate::base::limits::TCP_RESETS_PER_SECOND`].

use crate::base::seq::Seq;
use crate::network::packet::Datagram;
use crate::physical::frame::Body;
use crate::transport::tcp::options::Options;
use crate::transport::tcp::segment::{Flags, Header, Segment, emit};
use std::net::SocketAddr;

/// The reset that answers `segment`, which went from `remote` to `local`; `None` if it is one itself.
pub fn reset_for(local: SocketAddr, remote: SocketAddr, segment: &Segment) -> Option<Datagram> {
    if segment.flags.rst() {
        return None;
    }
    let (seq, ack, flags) = if segment.flags.ack() {
        (segment.ack, Seq(0), Flags::RST)
    } else {
        (Seq(0), segment.seq + segment.len(), Flags::RST | Flags::ACK)
    };
    let header = Header { local, remote, seq, ack, flags, window: 0, urgent: 0 };
    Some(emit(&header, &Options::default(), Body::new(), None))
}
