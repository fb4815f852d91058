//! The TCP segment: header, checksum and payload between the wire and the state machine (RFC 9293 §3.1).
//!
//! A [`Segment`] may be a super-segment: a payload of many times the MSS with the size that it was, or is
//! to be, cut to beside it. One that goes out carries FIN and PSH for its last piece only; whoever cuts it
//! knows that.

use crate::base::checksum::Sum;
use crate::base::drops::DropReason;
use crate::base::seq::Seq;
use crate::network::packet::{Datagram, Packet, TransportHeader, protocol};
use crate::physical::frame::{Body, ReceivedChecksum};
use crate::transport::tcp::options::Options;
use bytes::Bytes;
use etherparse::{TcpHeader, TcpHeaderSlice};
use std::fmt;
use std::net::SocketAddr;

/// The length of a header without options.
pub const HEADER_LEN: usize = 20;
/// Where in the header the checksum stands.
const CHECKSUM_OFFSET: u16 = 16;

/// The control bits (RFC 9293 §3.1), with the one that RFC 9768 took from those that were reserved.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u16);

impl Flags {
    /// No bit set.
    pub const NONE: Flags = Flags(0);
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer is significant.
    pub const URG: Flags = Flags(0x20);
    /// ECN echo.
    pub const ECE: Flags = Flags(0x40);
    /// Congestion window reduced.
    pub const CWR: Flags = Flags(0x80);
    /// Accurate ECN (RFC 9768 §3.1.1).
    pub const AE: Flags = Flags(0x100);
    /// The three bits that are one field once accurate ECN is agreed on (RFC 9768 §3.2.2).
    const ACE: Flags = Flags(0x1c0);
    /// Where that field begins.
    const ACE_SHIFT: u32 = 6;

    /// True if every bit of `other` is set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These bits and those of `other`.
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These bits without those of `other`.
    #[must_use]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// AE, CWR and ECE as a number of three bits (RFC 9768 §3.2.2).
    pub const fn ace(self) -> u8 {
        ((self.0 & Flags::ACE.0) >> Flags::ACE_SHIFT) as u8
    }

    /// These bits with the low three of `ace` as AE, CWR and ECE.
    #[must_use]
    pub const fn with_ace(self, ace: u8) -> Flags {
        self.without(Flags::ACE).with(Flags((ace as u16) << Flags::ACE_SHIFT & Flags::ACE.0))
    }

    /// SYN.
    pub const fn syn(self) -> bool {
        self.has(Flags::SYN)
    }

    /// ACK.
    pub const fn ack(self) -> bool {
        self.has(Flags::ACK)
    }

    /// RST.
    pub const fn rst(self) -> bool {
        self.has(Flags::RST)
    }

    /// FIN.
    pub const fn fin(self) -> bool {
        self.has(Flags::FIN)
    }

    /// PSH.
    pub const fn psh(self) -> bool {
        self.has(Flags::PSH)
    }

    /// URG.
    pub const fn urg(self) -> bool {
        self.has(Flags::URG)
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;
    fn bitor(self, rhs: Flags) -> Flags {
        self.with(rhs)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Flags, &str); 9] = [
            (Flags::SYN, "S"),
            (Flags::FIN, "F"),
            (Flags::RST, "R"),
            (Flags::PSH, "P"),
            (Flags::URG, "U"),
            (Flags::ECE, "E"),
            (Flags::CWR, "W"),
            (Flags::AE, "A"),
            (Flags::ACK, "."),
        ];
        NAMES.iter().filter(|(flag, _)| self.has(*flag)).try_for_each(|(_, name)| f.write_str(name))
    }
}

/// A segment as it arrived.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// The sequence number of the first octet, or of the SYN.
    pub seq: Seq,
    /// What the sender expects next; significant with ACK.
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window field as it stands on the wire, not scaled.
    pub window: u16,
    /// The urgent pointer; significant with URG.
    pub urgent: u16,
    /// The options.
    pub options: Options,
    /// The data.
    pub payload: Bytes,
    /// For a super-segment, the payload octets of each segment it stands for.
    pub segment_size: Option<u16>,
    /// DSCP and ECN of the packet that brought it.
    pub traffic_class: u8,
}

impl Segment {
    /// Reads the TCP segment in `packet` and gives its source and destination port with it.
    ///
    /// # Errors
    /// [`DropReason::TcpMalformed`] for a truncated header or an impossible option,
    /// [`DropReason::TcpChecksum`] for a wrong checksum that nobody vouched for (RFC 9293 MUST-3).
    pub fn parse(packet: &Packet) -> Result<(u16, u16, Segment), DropReason> {
        let header = TcpHeaderSlice::from_slice(&packet.payload).map_err(|_| DropReason::TcpMalformed)?;
        if packet.checksum == ReceivedChecksum::Unverified
            && !Sum::ZERO
                .add_pseudo_header(packet.source, packet.destination, protocol::TCP, packet.payload.len())
                .add_bytes(&packet.payload)
                .is_valid()
        {
            return Err(DropReason::TcpChecksum);
        }
        let flag = |set: bool, flag: Flags| if set { flag } else { Flags::NONE };
        let segment = Segment {
            seq: Seq(header.sequence_number()),
            ack: Seq(header.acknowledgment_number()),
            flags: flag(header.fin(), Flags::FIN)
                | flag(header.syn(), Flags::SYN)
                | flag(header.rst(), Flags::RST)
                | flag(header.psh(), Flags::PSH)
                | flag(header.ack(), Flags::ACK)
                | flag(header.urg(), Flags::URG)
                | flag(header.ece(), Flags::ECE)
                | flag(header.cwr(), Flags::CWR)
                | flag(header.ns(), Flags::AE),
            window: header.window_size(),
            urgent: header.urgent_pointer(),
            options: Options::parse(header.options())?,
            payload: packet.payload.slice(header.slice().len()..),
            segment_size: packet.segment_size,
            traffic_class: packet.traffic_class,
        };
        Ok((header.source_port(), header.destination_port(), segment))
    }

    /// SEG.LEN: the sequence numbers it occupies, SYN and FIN counted.
    pub fn len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.flags.syn()) + u32::from(self.flags.fin())
    }

    /// True if it occupies no sequence number.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The fixed part of a header that goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The sequence number of the first octet, or of the SYN.
    pub seq: Seq,
    /// What we expect next; zero without ACK.
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window field, scaled already.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
}

/// Builds the datagram that carries a segment. Its checksum field holds the sum of the pseudo-header, for
/// whoever is last on the way out to complete (RFC 9293 MUST-2); it may not be fragmented (RFC 1191).
pub fn emit(header: &Header, options: &Options, body: Body, segment_size: Option<u16>) -> Datagram {
    let mut tcp = TcpHeader::new(header.local.port(), header.remote.port(), header.seq.0, header.window);
    tcp.acknowledgment_number = header.ack.0;
    tcp.urgent_pointer = header.urgent;
    tcp.fin = header.flags.fin();
    tcp.syn = header.flags.syn();
    tcp.rst = header.flags.rst();
    tcp.psh = header.flags.psh();
    tcp.ack = header.flags.ack();
    tcp.urg = header.flags.urg();
    tcp.ece = header.flags.has(Flags::ECE);
    tcp.cwr = header.flags.has(Flags::CWR);
    tcp.ns = header.flags.has(Flags::AE);
    // `Options::emit` never makes more than fits a header, and pads with NOPs.
    let _ = tcp.set_options_raw(&options.emit());
    let length = tcp.header_len() + body.iter().map(Bytes::len).sum::<usize>();
    let (source, destination) = (header.local.ip(), header.remote.ip());
    tcp.checksum = Sum::ZERO.add_pseudo_header(source, destination, protocol::TCP, length).fold();
    let mut datagram =
        Datagram::new(source, destination, protocol::TCP, TransportHeader::from_slice(&tcp.to_bytes()), body);
    datagram.dont_fragment = true;
    datagram.checksum_offset = Some(CHECKSUM_OFFSET);
    datagram.segment_size = segment_size;
    datagram
}

#[cfg(test)]
mod tests;
