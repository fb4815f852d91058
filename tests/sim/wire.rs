//! Packets by hand: built byte by byte, so that they may be wrong, and by none of the stack's own codecs, so
//! that they can't be wrong in the same way.

use std::net::Ipv4Addr;
use tapstack::datalink::Mac;

pub const ETHERNET: usize = 14;
pub const ICMP: u8 = 1;
pub const IGMP: u8 = 2;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

/// The Internet checksum (RFC 1071) of some parts; each but the last has an even length.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An Ethernet frame.
pub fn ethernet(to: Mac, from: Mac, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ETHERNET + payload.len());
    frame.extend_from_slice(&to.0);
    frame.extend_from_slice(&from.0);
    frame.extend_from_slice(&ether_type.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// An ARP packet for IPv4 over Ethernet.
pub fn arp(operation: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend_from_slice(&operation.to_be_bytes());
    for (mac, ip) in [sender, target] {
        packet.extend_from_slice(&mac.0);
        packet.extend_from_slice(&ip.octets());
    }
    packet
}

/// The fields of an IPv4 header that a test may want to choose.
#[derive(Clone, Copy, Debug)]
pub struct Ip<'a> {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: u8,
    pub ttl: u8,
    pub identification: u16,
    /// Flags and fragment offset as they stand in the header.
    pub fragment: u16,
    /// A multiple of four bytes.
    pub options: &'a [u8],
}

impl Ip<'_> {
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) -> Self {
        Ip { source, destination, protocol, ttl: 64, identification: 0, fragment: 0, options: &[] }
    }

    /// The packet with this header.
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let header_len = 20 + self.options.len();
        let mut packet = Vec::with_capacity(header_len + payload.len());
        packet.extend_from_slice(&[0x40 | (header_len / 4) as u8, 0]);
        packet.extend_from_slice(&((header_len + payload.len()) as u16).to_be_bytes());
        packet.extend_from_slice(&self.identification.to_be_bytes());
        packet.extend_from_slice(&self.fragment.to_be_bytes());
        packet.extend_from_slice(&[self.ttl, self.protocol, 0, 0]);
        packet.extend_from_slice(&self.source.octets());
        packet.extend_from_slice(&self.destination.octets());
        packet.extend_from_slice(self.options);
        let sum = checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend_from_slice(payload);
        packet
    }
}

/// An ICMP message with its checksum.
pub fn icmp(kind: u8, code: u8, rest: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend_from_slice(&rest);
    message.extend_from_slice(data);
    let sum = checksum(&[&message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: usize) -> [u8; 12] {
    let mut pseudo = [0; 12];
    pseudo[..4].copy_from_slice(&source.octets());
    pseudo[4..8].copy_from_slice(&destination.octets());
    pseudo[9] = protocol;
    pseudo[10..].copy_from_slice(&(len as u16).to_be_bytes());
    pseudo
}

/// A UDP datagram with its checksum.
pub fn udp(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), data: &[u8]) -> Vec<u8> {
    let len = 8 + data.len();
    let mut datagram = Vec::with_capacity(len);
    for field in [source.1, destination.1, len as u16, 0] {
        datagram.extend_from_slice(&field.to_be_bytes());
    }
    datagram.extend_from_slice(data);
    let sum = checksum(&[&pseudo_header(source.0, destination.0, UDP, len), &datagram]);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// The fields of a TCP header.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp<'a> {
    pub source_port: u16,
    pub destination_port: u16,
    pub seq: u32,
    pub ack: u32,
    /// FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32.
    pub flags: u8,
    pub window: u16,
    pub urgent: u16,
    /// A multiple of four bytes.
    pub options: &'a [u8],
}

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;
pub const URG: u8 = 32;

impl Tcp<'_> {
    /// The segment with its checksum.
    pub fn segment(&self, source: Ipv4Addr, destination: Ipv4Addr, data: &[u8]) -> Vec<u8> {
        let header_len = 20 + self.options.len();
        let mut segment = Vec::with_capacity(header_len + data.len());
        segment.extend_from_slice(&self.source_port.to_be_bytes());
        segment.extend_from_slice(&self.destination_port.to_be_bytes());
        segment.extend_from_slice(&self.seq.to_be_bytes());
        segment.extend_from_slice(&self.ack.to_be_bytes());
        segment.extend_from_slice(&[((header_len / 4) << 4) as u8, self.flags]);
        segment.extend_from_slice(&self.window.to_be_bytes());
        segment.extend_from_slice(&[0, 0]);
        segment.extend_from_slice(&self.urgent.to_be_bytes());
        segment.extend_from_slice(self.options);
        segment.extend_from_slice(data);
        let sum = checksum(&[&pseudo_header(source, destination, TCP, segment.len()), &segment]);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        segment
    }
}

/// Makes the checksums of a frame right again, as far as it still looks like an IPv4 packet.
pub fn fix_checksums(frame: &mut [u8]) {
    if frame.len() < ETHERNET + 20 || frame[12..14] != [8, 0] {
        return;
    }
    let packet = &mut frame[ETHERNET..];
    let header_len = usize::from(packet[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if header_len < 20 || header_len > packet.len() {
        return;
    }
    packet[10..12].fill(0);
    let sum = checksum(&[&packet[..header_len]]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let is_fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0;
    if is_fragment || total > packet.len() || total < header_len {
        return;
    }
    let pseudo = {
        let mut pseudo = [0; 12];
        pseudo[..8].copy_from_slice(&packet[12..20]);
        pseudo[9] = packet[9];
        pseudo[10..].copy_from_slice(&((total - header_len) as u16).to_be_bytes());
        pseudo
    };
    let protocol = packet[9];
    let payload = &mut packet[header_len..total];
    let (at, pseudo): (usize, &[u8]) = match protocol {
        TCP => (16, &pseudo),
        UDP => (6, &pseudo),
        ICMP | IGMP => (2, &[]),
        _ => return,
    };
    if payload.len() < at + 2 {
        return;
    }
    payload[at..at + 2].fill(0);
    let sum = checksum(&[pseudo, payload]);
    payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// An IPv4 packet of a frame: source, destination, protocol and payload. `None` for anything else.
pub fn parse(frame: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr, u8, &[u8])> {
    if frame.get(12..14)? != [8, 0] {
        return None;
    }
    let packet = frame.get(ETHERNET..)?;
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let payload = packet.get(usize::from(packet.first()? & 15) * 4..total)?;
    Some((address(12)?, address(16)?, *packet.get(9)?, payload))
}

/// A big-endian number of two bytes.
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// A big-endian number of four bytes.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
