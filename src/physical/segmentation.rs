//! What a network card does for a host, done in software: cutting super-segments and completing checksums.
//!
//! An [`OutFrame`] may carry up to 64 KiB of TCP or UDP payload behind one head, and may leave its transport
//! checksum half done. [`Segments`] turns it into the frames that stand on the wire: the head is repeated
//! with lengths, identification, sequence number, flags and checksums adjusted, and the payload stays
//! where it lies, so that a device can write head and payload in one vectored write.
//!
//! ```text
//!   head | payload .......................... size = 1448
//!   head' | 1448 bytes     seq, id, CWR as given; no FIN, no PSH
//!   head' | 1448 bytes     seq + 1448, id + 1; no FIN, no PSH, no CWR
//!   head' | the rest       seq + 2896, id + 2, FIN and PSH as given; no CWR
//! ```
//!
//! TCP: RFC 9293 §3.1 (checksum, sequence numbers), RFC 3168 §6.1.2 (CWR belongs to the first new segment), RFC 9768 §3.3.4
//! (unless it is a bit of a field that all have).
//! UDP: RFC 768, one datagram to a segment ("train"). IPv4 and IPv6, behind up to two VLAN tags.
//!
//! Not here: IP fragmentation, which is the network floor's; and joining received segments.

use crate::base::checksum::Sum;
use crate::physical::frame::{Head, OutFrame, PartialChecksum};
use smallvec::SmallVec;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The parts of one segment's payload, in order.
pub type Slices<'a> = SmallVec<[&'a [u8]; 4]>;

/// One frame as it stands on the wire.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    /// All headers, complete.
    pub head: Head,
    /// The payload, where it lies.
    pub body: Slices<'a>,
}

impl Segment<'_> {
    /// The length of the frame in bytes.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.iter().map(|part| part.len()).sum::<usize>()
    }

    /// True if there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts the frame in one piece into `buffer`, in place of what is there.
    pub fn write_into(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.extend_from_slice(&self.head);
        for part in &self.body {
            buffer.extend_from_slice(part);
        }
    }
}

/// Why a frame can't be cut or completed: its head is not what its metadata says. A mistake of whoever built
/// the frame, never of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The checksum field is not inside the head.
    ChecksumOutsideHead,
    /// Not IPv4 or IPv6 with a TCP or UDP header that ends where the head ends.
    Headers,
    /// Segments of zero bytes were asked for.
    ZeroSize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::ChecksumOutsideHead => "the checksum field of a frame is outside its head",
            Malformed::Headers => "a super-segment has no TCP or UDP header where its head ends",
            Malformed::ZeroSize => "a super-segment asks for segments of zero bytes",
        })
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for io::Error {
    fn from(malformed: Malformed) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, malformed)
    }
}

/// The frames that one [`OutFrame`] stands for, in order.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    frame: &'a OutFrame,
    cut: Option<Cut>,
    next: usize,
    count: usize,
}

impl<'a> Segments<'a> {
    /// The frames that `frame` stands for: itself, unless it is a super-segment.
    ///
    /// # Errors
    /// The head of the frame contradicts its metadata.
    pub fn of(frame: &'a OutFrame) -> Result<Self, Malformed> {
        let Some(size) = frame.segment_size else {
            check_checksum_field(frame)?;
            return Ok(Segments { frame, cut: None, next: 0, count: 1 });
        };
        let cut = Cut::plan(frame, usize::from(size))?;
        // An empty payload is still one frame.
        let count = cut.payload_len.div_ceil(cut.size).max(1);
        Ok(Segments { frame, cut: Some(cut), next: 0, count })
    }

    fn segment(&self, index: usize) -> Segment<'a> {
        let mut head = self.frame.head.clone();
        let body = match &self.cut {
            None => {
                let body = whole(self.frame);
                if let Some(partial) = self.frame.checksum {
                    complete(&mut head, &body, partial);
                }
                body
            }
            Some(cut) => {
                let start = index * cut.size;
                let body = slice(self.frame, start, cut.size.min(cut.payload_len - start));
                cut.adjust(&mut head, &body, index, index + 1 == self.count);
                body
            }
        };
        Segment { head, body }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        if self.next >= self.count {
            return None;
        }
        let segment = self.segment(self.next);
        self.next += 1;
        Some(segment)
    }

    fn nth(&mut self, n: usize) -> Option<Segment<'a>> {
        self.next = self.next.saturating_add(n).min(self.count);
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count - self.next, Some(self.count - self.next))
    }
}

impl ExactSizeIterator for Segments<'_> {}

/// The frame in one piece with its checksum completed, not cut: a super-segment as a capture shows it.
///
/// # Errors
/// The checksum field is not inside the head.
pub fn whole_frame(frame: &OutFrame) -> Result<Segment<'_>, Malformed> {
    check_checksum_field(frame)?;
    let mut head = frame.head.clone();
    let body = whole(frame);
    if let Some(partial) = frame.checksum {
        complete(&mut head, &body, partial);
    }
    Ok(Segment { head, body })
}

fn check_checksum_field(frame: &OutFrame) -> Result<(), Malformed> {
    match frame.checksum {
        Some(partial) if usize::from(partial.start) + usize::from(partial.offset) + 2 > frame.head.len() => {
            Err(Malformed::ChecksumOutsideHead)
        }
        _ => Ok(()),
    }
}

fn whole(frame: &OutFrame) -> Slices<'_> {
    frame.body.iter().map(AsRef::as_ref).collect()
}

/// `len` bytes of the payload from `start` on.
fn slice(frame: &OutFrame, mut start: usize, mut len: usize) -> Slices<'_> {
    let mut slices = Slices::new();
    for part in &frame.body {
        if len == 0 {
            break;
        }
        match part.get(start..) {
            Some(rest) if !rest.is_empty() => {
                let taken = rest.get(..len).unwrap_or(rest);
                slices.push(taken);
                len -= taken.len();
                start = 0;
            }
            _ => start -= part.len(),
        }
    }
    slices
}

/// The sum of everything from `start` in the head to the end of the payload.
fn sum_from(head: &[u8], start: usize, body: &[&[u8]]) -> Sum {
    let mut sum = Sum::ZERO;
    let mut offset = 0;
    for part in std::iter::once(head.get(start..).unwrap_or_default()).chain(body.iter().copied()) {
        sum = sum.add_at(offset, part);
        offset += part.len();
    }
    sum
}

/// Where a UDP header has its checksum; zero there means "none", so a sum of zero is sent as its
/// equal, all ones (RFC 768).
const UDP_CHECKSUM: u16 = 6;

fn complete(head: &mut Head, body: &[&[u8]], partial: PartialChecksum) {
    let start = usize::from(partial.start);
    let checksum = match sum_from(head, start, body).checksum() {
        0 if partial.offset == UDP_CHECKSUM => 0xffff,
        checksum => checksum,
    };
    put_u16(head, start + usize::from(partial.offset), checksum);
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Transport {
    Tcp,
    Udp,
}

/// Where the fields stand that differ from segment to segment.
#[derive(Clone, Copy, Debug)]
struct Cut {
    network: usize,
    transport: usize,
    source: IpAddr,
    destination: IpAddr,
    protocol: Transport,
    size: usize,
    payload_len: usize,
    keeps_cwr: bool,
}

const ETHERTYPE_OFFSET: usize = 12;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

impl Cut {
    fn plan(frame: &OutFrame, size: usize) -> Result<Cut, Malformed> {
        if size == 0 {
            return Err(Malformed::ZeroSize);
        }
        check_checksum_field(frame)?;
        Cut::read(frame, size).ok_or(Malformed::Headers)
    }

    fn read(frame: &OutFrame, size: usize) -> Option<Cut> {
        let head: &[u8] = &frame.head;
        let mut network = ETHERTYPE_OFFSET + 2;
        let mut ether_type = u16_at(head, ETHERTYPE_OFFSET)?;
        for _tag in 0..2 {
            if matches!(ether_type, 0x8100 | 0x88a8) {
                ether_type = u16_at(head, network + 2)?;
                network += 4;
            }
        }
        let (source, destination, after, protocol) = match ether_type {
            0x0800 => {
                let header_len = usize::from(head.get(network)? & 0x0f) * 4;
                let source = Ipv4Addr::from(*head.get(network + 12..)?.first_chunk::<4>()?);
                let destination = Ipv4Addr::from(*head.get(network + 16..)?.first_chunk::<4>()?);
                (source.into(), destination.into(), network + header_len, *head.get(network + 9)?)
            }
            0x86dd => {
                let source = Ipv6Addr::from(*head.get(network + 8..)?.first_chunk::<16>()?);
                let destination = Ipv6Addr::from(*head.get(network + 24..)?.first_chunk::<16>()?);
                (IpAddr::from(source), destination.into(), network + 40, *head.get(network + 6)?)
            }
            _ => return None,
        };
        // Behind IPv6 extension headers, the checksum's place says which transport it is and where.
        let (transport, protocol) = match (frame.checksum.map(|c| (usize::from(c.start), c.offset)), protocol) {
            (Some((start, 16)), _) => (start, Transport::Tcp),
            (Some((start, UDP_CHECKSUM)), _) => (start, Transport::Udp),
            (None, 6) => (after, Transport::Tcp),
            (None, 17) => (after, Transport::Udp),
            _ => return None,
        };
        let header_len = match protocol {
            Transport::Tcp => usize::from(head.get(transport + 12)? >> 4) * 4,
            Transport::Udp => 8,
        };
        if transport < after || transport + header_len != head.len() {
            return None;
        }
        let payload_len = frame.len() - head.len();
        let keeps_cwr = frame.keeps_cwr;
        Some(Cut { network, transport, source, destination, protocol, size, payload_len, keeps_cwr })
    }

    fn adjust(&self, head: &mut Head, body: &[&[u8]], index: usize, is_last: bool) {
        let payload_len: usize = body.iter().map(|part| part.len()).sum();
        let network_len = head.len() - self.network + payload_len;
        let transport_len = head.len() - self.transport + payload_len;
        if self.source.is_ipv4() {
            put_u16(head, self.network + 2, network_len as u16);
            let identification = u16_at(head, self.network + 4).unwrap_or(0).wrapping_add(index as u16);
            put_u16(head, self.network + 4, identification);
            put_u16(head, self.network + 10, 0);
            let header_len = head.get(self.network).map_or(0, |byte| usize::from(byte & 0x0f) * 4);
            let header = head.get(self.network..self.network + header_len).unwrap_or_default();
            let checksum = Sum::ZERO.add_bytes(header).checksum();
            put_u16(head, self.network + 10, checksum);
        } else {
            put_u16(head, self.network + 4, (network_len - 40) as u16);
        }
        let (number, checksum_at) = match self.protocol {
            Transport::Tcp => {
                self.adjust_tcp(head, index, is_last);
                (6, self.transport + 16)
            }
            Transport::Udp => {
                put_u16(head, self.transport + 4, transport_len as u16);
                (17, self.transport + usize::from(UDP_CHECKSUM))
            }
        };
        let pseudo = Sum::ZERO.add_pseudo_header(self.source, self.destination, number, transport_len);
        put_u16(head, checksum_at, pseudo.fold());
        let start = self.transport as u16;
        complete(head, body, PartialChecksum { start, offset: checksum_at as u16 - start });
    }

    fn adjust_tcp(&self, head: &mut Head, index: usize, is_last: bool) {
        if let Some(slot) = head.get_mut(self.transport + 4..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            *slot = u32::from_be_bytes(*slot).wrapping_add((index * self.size) as u32).to_be_bytes();
        }
        if let Some(flags) = head.get_mut(self.transport + 13) {
            if !is_last {
                *flags &= !(FIN | PSH);
            }
            if index > 0 && !self.keeps_cwr {
                *flags &= !CWR;
            }
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(slot) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *slot = value.to_be_bytes();
    }
}

#[cfg(test)]
mod tests;
