//! Cutting a datagram into fragments that fit a link.
//!
//! Implements RFC 791 §3.2 "Fragmentation", for datagrams of our own (RFC 1122 §3.3.3) and for those on their way
//! through (RFC 1812 §4.2.2.7), which may be fragments already. The payload is not copied: each fragment's
//! body is slices of the original's. A transport checksum that was left to the device is completed first,
//! because no device can complete it across fragments.

use crate::base::checksum::Sum;
use crate::network::ipv4::{self, CannotEmit, HEADER_LEN, Ipv4, Part};
use crate::network::options;
use crate::network::packet::{Datagram, TransportHeader, protocol};
use crate::physical::frame::{Body, Head};
use bytes::Bytes;
use smallvec::SmallVec;

#[cfg(test)]
mod tests;

/// One packet, ready for a link header before it.
#[derive(Clone, Debug, Default)]
pub struct Fragment {
    /// The IP header.
    pub head: Head,
    /// What follows it.
    pub body: Body,
}

/// Why a datagram can't be cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CannotCut {
    /// It does not fit and must not be fragmented.
    DontFragment,
    /// The MTU leaves no room for eight bytes behind the header.
    MtuTooSmall,
    /// Its header can't be written.
    Header(CannotEmit),
}

impl From<CannotEmit> for CannotCut {
    fn from(error: CannotEmit) -> Self {
        CannotCut::Header(error)
    }
}

/// Cuts a datagram of our own for a link of `mtu` bytes. One that fits comes back in one piece.
///
/// # Errors
/// [`CannotCut`].
pub fn cut(datagram: &Datagram, mtu: u16, identification: u16) -> Result<Vec<Fragment>, CannotCut> {
    let mut header = datagram.header.clone();
    if let Some(offset) = datagram.checksum_offset {
        complete_checksum(&mut header, &datagram.body, offset, datagram.protocol);
    }
    let mut chain = Body::new();
    if !header.is_empty() {
        chain.push(Bytes::copy_from_slice(&header));
    }
    chain.extend(datagram.body.iter().filter(|part| !part.is_empty()).cloned());
    cut_chain(datagram, chain, Part::WHOLE, identification, mtu)
}

/// Cuts a received datagram, or fragment, that is to be sent on with another TTL and other options.
///
/// # Errors
/// [`CannotCut`].
pub fn cut_received(ip: &Ipv4, payload: Bytes, ttl: u8, options: &[u8], mtu: u16) -> Result<Vec<Fragment>, CannotCut> {
    let datagram = Datagram {
        hop_limit: ttl,
        traffic_class: ip.tos,
        dont_fragment: ip.dont_fragment,
        options: SmallVec::from_slice(options),
        ..Datagram::new(
            ip.source.into(),
            ip.destination.into(),
            ip.protocol,
            TransportHeader::new(),
            Body::from_iter([payload.clone()]),
        )
    };
    let part = Part { offset: ip.fragment_offset, more: ip.more_fragments };
    cut_chain(&datagram, Body::from_iter([payload]), part, ip.identification, mtu)
}

/// Completes the checksum in a transport header whose field holds the pseudo-header's sum.
pub fn complete_checksum(header: &mut [u8], body: &Body, offset: u16, protocol_number: u8) {
    let mut sum = Sum::ZERO.add_bytes(header);
    let mut place = header.len();
    for part in body {
        sum = sum.add_at(place, part);
        place += part.len();
    }
    let mut checksum = sum.checksum();
    // RFC 768: a computed zero is sent as all ones; zero means that there is none.
    if checksum == 0 && protocol_number == protocol::UDP {
        checksum = 0xffff;
    }
    if let Some(field) = header.get_mut(usize::from(offset)..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        *field = checksum.to_be_bytes();
    }
}

fn cut_chain(
    datagram: &Datagram,
    chain: Body,
    part: Part,
    identification: u16,
    mtu: u16,
) -> Result<Vec<Fragment>, CannotCut> {
    let total: usize = chain.iter().map(Bytes::len).sum();
    let mtu = usize::from(mtu);
    if HEADER_LEN + datagram.options.len() + total <= mtu {
        let mut head = Head::new();
        ipv4::emit(&mut head, datagram, identification, total, part)?;
        return Ok(vec![Fragment { head, body: chain }]);
    }
    if datagram.dont_fragment {
        return Err(CannotCut::DontFragment);
    }
    let later_options = options::for_later_fragments(&datagram.options);
    let mut fragments = Vec::new();
    let mut chain = Chain { parts: chain.into_iter(), rest: Bytes::new() };
    let mut done = 0;
    while done < total {
        // A fragment that is cut again keeps its own first fragment's options: those of this header.
        let options = if done == 0 { &datagram.options } else { &later_options };
        let room = mtu.saturating_sub(HEADER_LEN + options.len());
        let len = if total - done <= room { total - done } else { room / 8 * 8 };
        if len == 0 {
            return Err(CannotCut::MtuTooSmall);
        }
        let here = Part { offset: part.offset + done, more: part.more || done + len < total };
        let mut head = Head::new();
        ipv4::emit_with_options(&mut head, datagram, options, identification, len, here)?;
        fragments.push(Fragment { head, body: chain.take(len) });
        done += len;
    }
    Ok(fragments)
}

/// The bytes of a payload, taken from its parts from front to back.
struct Chain {
    parts: smallvec::IntoIter<[Bytes; 2]>,
    rest: Bytes,
}

impl Chain {
    fn take(&mut self, mut len: usize) -> Body {
        let mut taken = Body::new();
        while len > 0 {
            if self.rest.is_empty() {
                let Some(next) = self.parts.next() else { break };
                self.rest = next;
            }
            let part = self.rest.split_to(len.min(self.rest.len()));
            len -= part.len();
            if !part.is_empty() {
                taken.push(part);
            }
        }
        taken
    }
}
