//! The UDP header (RFC 768; RFC 1122 §4.1.3.4 for the checksum): parse and emit.
//!
//! ```text
//!   0      7 8     15 16    23 24    31
//!  +--------+--------+--------+--------+
//!  |   source port   | destination port|
//!  +--------+--------+--------+--------+
//!  |     length      |    checksum     |
//!  +--------+--------+--------+--------+
//! ```

use crate::base::checksum::Sum;
use crate::base::drops::DropReason;
use crate::network::packet::{Datagram, Packet, TransportHeader, protocol};
use crate::physical::frame::{Body, ReceivedChecksum};
use bytes::Bytes;
use std::net::SocketAddr;

/// The length of the header in bytes.
pub const HEADER_LEN: usize = 8;
/// Where the checksum field stands in the header.
const CHECKSUM_OFFSET: u16 = 6;
/// The most that fits into an IPv4 packet beside the headers.
pub const MAX_PAYLOAD: usize = 65_535 - 20 - HEADER_LEN;

/// A datagram as it arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// The sender's port; 0 if it wants no answer.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// What it carries: a slice of the packet, without the padding that may follow.
    pub payload: Bytes,
}

/// Reads the header of a packet's payload and verifies length and checksum.
///
/// # Errors
/// Why the datagram must be dropped.
pub fn parse(packet: &Packet) -> Result<Parsed, DropReason> {
    let Some(header) = packet.payload.first_chunk::<HEADER_LEN>() else { return Err(DropReason::UdpMalformed) };
    let [source_port, destination_port, length, checksum] =
        [[header[0], header[1]], [header[2], header[3]], [header[4], header[5]], [header[6], header[7]]]
            .map(u16::from_be_bytes);
    let length = usize::from(length);
    // What follows the length that the header tells is padding, and no part of the checksum.
    if length < HEADER_LEN || length > packet.payload.len() {
        return Err(DropReason::UdpMalformed);
    }
    let covered = packet.payload.slice(..length);
    // A field of zero says that the sender made no checksum, which IPv6 forbids (RFC 8200 §8.1).
    let has_checksum = checksum != 0 || packet.source.is_ipv6();
    if has_checksum && packet.checksum == ReceivedChecksum::Unverified {
        let sum = Sum::ZERO.add_pseudo_header(packet.source, packet.destination, protocol::UDP, length);
        if checksum == 0 || !sum.add_bytes(&covered).is_valid() {
            return Err(DropReason::UdpChecksum);
        }
    }
    Ok(Parsed { source_port, destination_port, payload: covered.slice(HEADER_LEN..) })
}

/// Builds a datagram, or `None` if the payload is longer than the header can tell.
///
/// The checksum field holds the sum of the pseudo-header. Whoever completes it must write 0xffff where
/// zero comes out, because zero means that there is no checksum (RFC 768).
pub fn emit(source: SocketAddr, destination: SocketAddr, payload: Bytes) -> Option<Datagram> {
    u16::try_from(HEADER_LEN + payload.len()).ok()?;
    let mut header = TransportHeader::new();
    for field in [source.port(), destination.port(), 0, 0] {
        header.extend_from_slice(&field.to_be_bytes());
    }
    let body = if payload.is_empty() { Body::new() } else { Body::from_iter([payload]) };
    let mut datagram = Datagram::new(source.ip(), destination.ip(), protocol::UDP, header, body);
    datagram.checksum_offset = Some(CHECKSUM_OFFSET);
    set_length(&mut datagram);
    Some(datagram)
}

/// Writes the length of what the datagram carries into its header, and the sum of the pseudo-header with it.
pub(super) fn set_length(datagram: &mut Datagram) {
    let length = datagram.payload_len();
    let sum = Sum::ZERO.add_pseudo_header(datagram.source, datagram.destination, protocol::UDP, length).fold();
    // Whoever calls this has seen to it that it fits.
    let fields = [length as u16, sum].map(u16::to_be_bytes);
    if let Some(slot) = datagram.header.get_mut(4..HEADER_LEN) {
        slot.copy_from_slice(fields.as_flattened());
    }
}
