//! ICMP: the messages, read and written.
//!
//! Implements RFC 792 with RFC 1122 §3.2.2, RFC 1191 §4 (the MTU in "fragmentation needed") and RFC 1812 §4.3. When an error
//! may be sent and what it looks like is in [`errors`], what a received error says to a transport in [`received`].
//!
//! Redirects are read but never followed: `DEVIATION(RFC 1122 §3.3.1.2)`, because anyone on the link can send
//! one; gVisor and passt hold it the same way. Source Quench is obsolete (RFC 6633), Information and Address Mask
//! (RFC 6918) too; they are unknown here.

pub mod errors;
pub mod received;

use crate::base::checksum::Sum;
use crate::base::drops::DropReason;
use crate::network::packet::{Datagram, TransportHeader, protocol};
use crate::physical::frame::Body;
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr};

#[cfg(test)]
mod tests;

/// Message types.
pub mod kind {
    /// Echo Reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination Unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo.
    pub const ECHO: u8 = 8;
    /// Router Advertisement (RFC 1256).
    pub const ROUTER_ADVERTISEMENT: u8 = 9;
    /// Router Solicitation (RFC 1256).
    pub const ROUTER_SOLICITATION: u8 = 10;
    /// Time Exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter Problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Timestamp.
    pub const TIMESTAMP: u8 = 13;
    /// Timestamp Reply.
    pub const TIMESTAMP_REPLY: u8 = 14;
}

/// An ICMP message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Asks for the same bytes back.
    Echo {
        /// Tells apart who asks.
        identifier: u16,
        /// Tells apart what is asked.
        sequence: u16,
        /// What is to come back.
        data: Bytes,
    },
    /// Answers [`Message::Echo`].
    EchoReply {
        /// As asked.
        identifier: u16,
        /// As asked.
        sequence: u16,
        /// As asked.
        data: Bytes,
    },
    /// A packet could not be delivered.
    Unreachable {
        /// Why (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1).
        code: u8,
        /// With code 4, the MTU of the next hop, or 0 from routers that know no better (RFC 1191 §4).
        mtu: u16,
        /// The beginning of the packet.
        quote: Bytes,
    },
    /// A packet ran out of hops (code 0) or its fragments out of time (code 1).
    TimeExceeded {
        /// Which of the two.
        code: u8,
        /// The beginning of the packet.
        quote: Bytes,
    },
    /// A packet's header made no sense.
    ParameterProblem {
        /// 0: the pointer says where.
        code: u8,
        /// The byte of the header.
        pointer: u8,
        /// The beginning of the packet.
        quote: Bytes,
    },
    /// A better first hop.
    Redirect {
        /// For a network or a host.
        code: u8,
        /// The better hop.
        gateway: Ipv4Addr,
        /// The beginning of the packet.
        quote: Bytes,
    },
    /// Asks for the time.
    Timestamp {
        /// Tells apart who asks.
        identifier: u16,
        /// Tells apart what is asked.
        sequence: u16,
        /// The asker's time.
        originate: u32,
    },
    /// Answers [`Message::Timestamp`].
    TimestampReply {
        /// As asked.
        identifier: u16,
        /// As asked.
        sequence: u16,
        /// As asked.
        originate: u32,
        /// When the question came in.
        receive: u32,
        /// When the answer went out.
        transmit: u32,
    },
    /// Any other.
    Unknown {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
    },
}

impl Message {
    /// Reads a message; data and quotes are slices of it.
    ///
    /// # Errors
    /// [`DropReason::IcmpMalformed`], [`DropReason::IcmpChecksum`].
    pub fn parse(bytes: &Bytes) -> Result<Self, DropReason> {
        let (head, data) = bytes.split_first_chunk::<8>().ok_or(DropReason::IcmpMalformed)?;
        if !Sum::ZERO.add_bytes(bytes).is_valid() {
            return Err(DropReason::IcmpChecksum);
        }
        let [kind, code, _, _, a, b, c, d] = *head;
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let rest = || bytes.slice(head.len()..);
        Ok(match (kind, code) {
            (kind::ECHO, 0) => Message::Echo { identifier: high, sequence: low, data: rest() },
            (kind::ECHO_REPLY, 0) => Message::EchoReply { identifier: high, sequence: low, data: rest() },
            (kind::UNREACHABLE, _) => Message::Unreachable { code, mtu: low, quote: rest() },
            (kind::TIME_EXCEEDED, _) => Message::TimeExceeded { code, quote: rest() },
            (kind::PARAMETER_PROBLEM, _) => Message::ParameterProblem { code, pointer: a, quote: rest() },
            (kind::REDIRECT, _) => Message::Redirect { code, gateway: Ipv4Addr::new(a, b, c, d), quote: rest() },
            (kind::TIMESTAMP, 0) => {
                let (originate, _) = data.split_first_chunk::<4>().ok_or(DropReason::IcmpMalformed)?;
                Message::Timestamp { identifier: high, sequence: low, originate: u32::from_be_bytes(*originate) }
            }
            (kind::TIMESTAMP_REPLY, 0) => {
                let times = data.as_chunks::<4>().0.first_chunk::<3>().ok_or(DropReason::IcmpMalformed)?;
                let [originate, receive, transmit] = times.map(u32::from_be_bytes);
                Message::TimestampReply { identifier: high, sequence: low, originate, receive, transmit }
            }
            _ => Message::Unknown { kind, code },
        })
    }

    /// The message's bytes: the fixed part with the checksum of the whole, and the data or quote as it lies
    /// in memory.
    pub fn emit(&self) -> (TransportHeader, Body) {
        let (kind, code, word, data) = match self {
            Message::Echo { identifier, sequence, data } => (kind::ECHO, 0, pair(*identifier, *sequence), Some(data)),
            Message::EchoReply { identifier, sequence, data } => {
                (kind::ECHO_REPLY, 0, pair(*identifier, *sequence), Some(data))
            }
            Message::Unreachable { code, mtu, quote } => (kind::UNREACHABLE, *code, pair(0, *mtu), Some(quote)),
            Message::TimeExceeded { code, quote } => (kind::TIME_EXCEEDED, *code, [0; 4], Some(quote)),
            Message::ParameterProblem { code, pointer, quote } => {
                (kind::PARAMETER_PROBLEM, *code, [*pointer, 0, 0, 0], Some(quote))
            }
            Message::Redirect { code, gateway, quote } => (kind::REDIRECT, *code, gateway.octets(), Some(quote)),
            Message::Timestamp { identifier, sequence, .. } => (kind::TIMESTAMP, 0, pair(*identifier, *sequence), None),
            Message::TimestampReply { identifier, sequence, .. } => {
                (kind::TIMESTAMP_REPLY, 0, pair(*identifier, *sequence), None)
            }
            Message::Unknown { kind, code } => (*kind, *code, [0; 4], None),
        };
        let mut header = TransportHeader::from_slice(&[kind, code, 0, 0]);
        header.extend_from_slice(&word);
        match self {
            Message::Timestamp { originate, .. } => {
                header.extend_from_slice(&originate.to_be_bytes());
                header.extend_from_slice(&[0; 8]);
            }
            Message::TimestampReply { originate, receive, transmit, .. } => {
                for time in [originate, receive, transmit] {
                    header.extend_from_slice(&time.to_be_bytes());
                }
            }
            _ => {}
        }
        let body: Body = data.filter(|data| !data.is_empty()).cloned().into_iter().collect();
        // The header's length is even, so the data stands at an even offset.
        let sum = body.iter().fold(Sum::ZERO.add_bytes(&header), |sum, part| sum.add_bytes(part));
        if let Some(field) = header.get_mut(2..).and_then(|rest| rest.first_chunk_mut::<2>()) {
            *field = sum.checksum().to_be_bytes();
        }
        (header, body)
    }

    /// The message as a datagram.
    pub fn datagram(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Datagram {
        let (header, body) = self.emit();
        Datagram::new(IpAddr::V4(source), IpAddr::V4(destination), protocol::ICMP, header, body)
    }

    /// The answer to a question: an echo's data back (RFC 1122 §3.2.2.6), or the time, `millis` being any
    /// milliseconds: the bit is set that says they don't count from midnight UT (RFC 792 "Timestamp").
    pub fn answer(&self, millis: u32) -> Option<Message> {
        match *self {
            Message::Echo { identifier, sequence, ref data } => {
                Some(Message::EchoReply { identifier, sequence, data: data.clone() })
            }
            Message::Timestamp { identifier, sequence, originate } => {
                let time = millis | 1 << 31;
                Some(Message::TimestampReply { identifier, sequence, originate, receive: time, transmit: time })
            }
            _ => None,
        }
    }

    /// True for the messages that report an error about another packet.
    pub fn is_error(&self) -> bool {
        matches!(
            self,
            Message::Unreachable { .. }
                | Message::TimeExceeded { .. }
                | Message::ParameterProblem { .. }
                | Message::Redirect { .. }
        )
    }
}

fn pair(high: u16, low: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    [a, b, c, d]
}
