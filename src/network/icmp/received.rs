//! ICMP errors that we receive: which packet of ours one is about, and what it says.
//!
//! Implements RFC 1122 §3.2.2.1 to §3.2.2.5 (pass it to the transport whose packet is quoted) and RFC 1191 §3, §5, §7.1 for the
//! MTU. Anyone can send an ICMP error, so it is believed only as far as the quote shows a packet of ours; whether
//! that packet is in flight (RFC 5927 §4) only the transport can tell.

use super::Message;
use crate::base::drops::DropReason;
use crate::network::address;
use crate::network::ipv4::{HEADER_LEN, MIN_MTU};
use crate::network::packet::{PathError, PathErrorKind};
use bytes::Bytes;
use etherparse::Ipv4HeaderSlice;
use std::net::{IpAddr, Ipv4Addr};

/// What RFC 792 promises of the quoted payload.
const MIN_QUOTE: usize = 8;
/// The MTUs of common links, for routers that tell none (RFC 1191 §7.1).
const PLATEAUS: [u16; 11] = [65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68];

/// Reads an error that `reporter` sent.
///
/// # Errors
/// [`DropReason::IcmpUnknown`] for a message that is no error about a packet, [`DropReason::IcmpMalformed`] for
/// a quote that is no IPv4 packet or too short, [`DropReason::IcmpNotInFlight`] for one that is not ours or
/// whose MTU can't be.
pub fn path_error(
    message: &Message,
    reporter: Ipv4Addr,
    is_local: impl Fn(IpAddr) -> bool,
) -> Result<PathError, DropReason> {
    let quote = match message {
        Message::Unreachable { quote, .. }
        | Message::TimeExceeded { quote, .. }
        | Message::ParameterProblem { quote, .. } => quote,
        _ => return Err(DropReason::IcmpUnknown),
    };
    let quoted = Quoted::parse(quote)?;
    if !is_local(quoted.source.into()) || !address::is_host(quoted.destination) {
        return Err(DropReason::IcmpNotInFlight);
    }
    let kind = match message {
        Message::Unreachable { code, mtu, .. } => unreachable_kind(*code, *mtu, quoted.total_len)?,
        Message::TimeExceeded { .. } => PathErrorKind::TimeExceeded,
        _ => PathErrorKind::ParameterProblem,
    };
    Ok(PathError {
        kind,
        local: quoted.source.into(),
        remote: quoted.destination.into(),
        protocol: quoted.protocol,
        quote: quoted.payload,
        reporter: reporter.into(),
    })
}

/// RFC 1122 §3.2.2.1 and RFC 1812 §5.2.7.1: codes 0, 1 and 5 to 8, 11, 12 are hints, not proof.
fn unreachable_kind(code: u8, mtu: u16, quoted_len: u16) -> Result<PathErrorKind, DropReason> {
    Ok(match code {
        0 | 6 | 11 => PathErrorKind::NetworkUnreachable,
        1 | 5 | 7 | 8 | 12 => PathErrorKind::HostUnreachable,
        2 => PathErrorKind::ProtocolUnreachable,
        3 => PathErrorKind::PortUnreachable,
        4 => PathErrorKind::PacketTooBig { mtu: plausible_mtu(mtu, quoted_len).ok_or(DropReason::IcmpNotInFlight)? },
        9 | 10 | 13..=15 => PathErrorKind::Prohibited,
        _ => return Err(DropReason::IcmpUnknown),
    })
}

/// The MTU that an error about a packet of `quoted_len` bytes can mean: smaller than the packet and not below
/// the minimum. For routers that tell none, the next smaller of the common ones (RFC 1191 §5).
fn plausible_mtu(mtu: u16, quoted_len: u16) -> Option<u16> {
    if mtu == 0 {
        return PLATEAUS.into_iter().find(|plateau| *plateau < quoted_len);
    }
    (MIN_MTU..quoted_len).contains(&mtu).then_some(mtu)
}

/// The beginning of a packet of ours, as an error quotes it. Its checksum is not checked: routers on the way
/// changed the TTL, and some the rest.
struct Quoted {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    total_len: u16,
    payload: Bytes,
}

impl Quoted {
    fn parse(quote: &Bytes) -> Result<Self, DropReason> {
        let header = Ipv4HeaderSlice::from_slice(quote).map_err(|_| DropReason::IcmpMalformed)?;
        let payload = quote.slice(header.slice().len()..);
        // Only the first fragment has the ports in it.
        if payload.len() < MIN_QUOTE || header.fragments_offset().value() != 0 {
            return Err(DropReason::IcmpMalformed);
        }
        // Some old routers quote the length of the payload alone (RFC 1191 §5): a header more is no harm.
        let total_len = header.total_len().max((HEADER_LEN + MIN_QUOTE) as u16);
        Ok(Quoted {
            source: header.source_addr(),
            destination: header.destination_addr(),
            protocol: header.protocol().0,
            total_len,
            payload,
        })
    }
}
