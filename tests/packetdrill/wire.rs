//! IPv4, TCP, UDP and ICMP by hand: what scripts send, and what they look at.

use std::net::Ipv4Addr;

pub(crate) const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
pub(crate) const REMOTE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// The bits of the flags by packetdrill's letters.
pub(crate) const FLAGS: [(char, u16); 9] = [
    ('F', 0x01),
    ('S', 0x02),
    ('R', 0x04),
    ('P', 0x08),
    ('.', 0x10),
    ('U', 0x20),
    ('E', 0x40),
    ('W', 0x80),
    ('A', 0x100),
];
/// Where the three of accurate ECN begin, as one number.
pub(crate) const ACE_SHIFT: u32 = 6;

/// A TCP option as scripts write it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TcpOption {
    Nop,
    Eol,
    Mss(u16),
    Scale(u8),
    SackOk,
    Timestamps(u32, u32),
    Sack(Vec<(u32, u32)>),
    /// AccECN: its kind, and its fields.
    AccEcn(u8, Vec<u32>),
}

/// A TCP segment without its addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tcp {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u16,
    /// The ECN field of its packet.
    pub(crate) ecn: u8,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: Vec<TcpOption>,
    pub(crate) len: usize,
}

/// Ones' complement sum.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: usize) -> Vec<u8> {
    [&source.octets()[..], &destination.octets(), &[0, protocol], &(len as u16).to_be_bytes()].concat()
}

/// An IPv4 packet to us.
pub(crate) fn ip(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ip_with_ecn(protocol, payload, 0)
}

fn ip_with_ecn(protocol: u8, payload: &[u8], ecn: u8) -> Vec<u8> {
    let mut header = vec![0x45, ecn];
    header.extend(((20 + payload.len()) as u16).to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(REMOTE.octets());
    header.extend(LOCAL.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header.extend(payload);
    header
}

impl TcpOption {
    fn emit(&self, out: &mut Vec<u8>) {
        match self {
            TcpOption::Eol => out.push(0),
            TcpOption::Nop => out.push(1),
            TcpOption::Mss(mss) => out.extend([&[2, 4][..], &mss.to_be_bytes()].concat()),
            TcpOption::Scale(shift) => out.extend([3, 3, *shift]),
            TcpOption::SackOk => out.extend([4, 2]),
            TcpOption::Timestamps(value, echo) => {
                out.extend([&[8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat());
            }
            TcpOption::Sack(blocks) => {
                out.extend([5, 2 + 8 * blocks.len() as u8]);
                out.extend(blocks.iter().flat_map(|(start, end)| [start.to_be_bytes(), end.to_be_bytes()].concat()));
            }
            TcpOption::AccEcn(kind, fields) => {
                out.extend([*kind, 2 + 3 * fields.len() as u8]);
                out.extend(fields.iter().flat_map(|field| field.to_be_bytes()[1..].to_vec()));
            }
        }
    }

    fn parse_all(mut rest: &[u8]) -> Vec<TcpOption> {
        let word = |octets: &[u8]| u32::from_be_bytes(octets[..4].try_into().unwrap());
        let mut options = Vec::new();
        while let [kind, tail @ ..] = rest {
            if *kind < 2 {
                options.push(if *kind == 1 { TcpOption::Nop } else { TcpOption::Eol });
                rest = tail;
                continue;
            }
            let len = usize::from(tail[0]);
            let value = &rest[2..len];
            options.push(match kind {
                2 => TcpOption::Mss(u16::from_be_bytes([value[0], value[1]])),
                3 => TcpOption::Scale(value[0]),
                4 => TcpOption::SackOk,
                5 => TcpOption::Sack(value.chunks(8).map(|block| (word(block), word(&block[4..]))).collect()),
                8 => TcpOption::Timestamps(word(value), word(&value[4..])),
                172 | 174 => {
                    let fields = value.chunks(3).map(|field| word(&[&[0], field].concat()));
                    TcpOption::AccEcn(*kind, fields.collect())
                }
                other => panic!("option {other} in {rest:?}"),
            });
            rest = &rest[len..];
        }
        options
    }
}

impl Tcp {
    /// The segment in its IP packet.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut options = Vec::new();
        self.options.iter().for_each(|option| option.emit(&mut options));
        options.resize(options.len().div_ceil(4) * 4, 0);
        let mut out = [self.source.to_be_bytes(), self.destination.to_be_bytes()].concat();
        out.extend(self.seq.to_be_bytes());
        out.extend(self.ack.to_be_bytes());
        out.extend((((5 + options.len() / 4) as u16) << 12 | self.flags).to_be_bytes());
        out.extend(self.window.to_be_bytes());
        out.extend([0, 0]);
        out.extend(self.urgent.to_be_bytes());
        out.extend(options);
        out.resize(out.len() + self.len, 0);
        let sum = checksum(&[&pseudo_header(REMOTE, LOCAL, TCP, out.len()), &out]);
        out[16..18].copy_from_slice(&sum.to_be_bytes());
        ip_with_ecn(TCP, &out, self.ecn)
    }

    /// The segment in a packet of ours; its checksum must be right.
    pub(crate) fn parse(packet: &[u8]) -> Tcp {
        let payload = payload(packet, TCP);
        let short = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
        let word = |at: usize| u32::from(short(at)) << 16 | u32::from(short(at + 2));
        let header = usize::from(payload[12] >> 4) * 4;
        Tcp {
            source: short(0),
            destination: short(2),
            seq: word(4),
            ack: word(8),
            flags: short(12) & 0x1ff,
            ecn: packet[1] & 3,
            window: short(14),
            urgent: short(18),
            options: TcpOption::parse_all(&payload[20..header]),
            len: payload.len() - header,
        }
    }
}

/// What a packet of ours carries, which must be of `protocol`; both checksums must be right.
pub(crate) fn payload(packet: &[u8], protocol: u8) -> &[u8] {
    assert_eq!(packet[0], 0x45, "an IPv4 header without options");
    assert_eq!(usize::from(packet[2]) << 8 | usize::from(packet[3]), packet.len(), "the length in the header");
    assert_eq!(checksum(&[&packet[..20]]), 0, "the header's checksum");
    assert_eq!(packet[9], protocol, "the protocol: {packet:?}");
    assert_eq!((&packet[12..16], &packet[16..20]), (&LOCAL.octets()[..], &REMOTE.octets()[..]));
    let payload = &packet[20..];
    let pseudo = pseudo_header(LOCAL, REMOTE, protocol, payload.len());
    let pseudo = if protocol == ICMP { &[][..] } else { &pseudo[..] };
    assert_eq!(checksum(&[pseudo, payload]), 0, "the checksum of the transport");
    payload
}

/// A UDP datagram of `len` octets to us.
pub(crate) fn udp(source: u16, destination: u16, len: usize) -> Vec<u8> {
    let mut out = [source, destination, (8 + len) as u16, 0].map(u16::to_be_bytes).concat();
    out.resize(8 + len, 0);
    let sum = checksum(&[&pseudo_header(REMOTE, LOCAL, UDP, out.len()), &out]);
    out[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(UDP, &out)
}

/// An ICMP message to us: type, code, the four octets after the checksum, and what follows.
pub(crate) fn icmp(kind: u8, code: u8, rest: [u8; 4], quote: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, code, 0, 0];
    out.extend(rest);
    out.extend(quote);
    let sum = checksum(&[&out]);
    out[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(ICMP, &out)
}

/// The beginning of a packet that we sent, for an ICMP error to quote.
pub(crate) fn quote(protocol: u8, len: usize, transport: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend(((20 + len) as u16).to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(LOCAL.octets());
    header.extend(REMOTE.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header.extend(transport);
    header
}
