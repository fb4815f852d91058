//! Frames made up from what the protocols offer to somebody without scruples.

use crate::scene::{BYSTANDER, ECHO, PUPPET, UNACCEPTED, UNREAD, UNREAD_UDP, VICTIM, mac_of};
use crate::sim::wire::{self, Ip, Tcp};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use tapstack::base::random::Random;
use tapstack::datalink::Mac;

/// The forger. It remembers how far it is in what takes several frames.
#[derive(Debug, Default)]
pub struct Forge {
    /// The identification of the next fragmented datagram.
    identification: u16,
}

fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize]
}

fn junk(random: &mut Random, len: u64) -> Vec<u8> {
    let mut junk = vec![0; random.below(len + 1) as usize];
    random.fill(&mut junk);
    junk
}

/// Who it says it is from.
fn source(random: &mut Random) -> Ipv4Addr {
    match random.below(20) {
        0..5 => PUPPET,
        5..7 => BYSTANDER,
        7..13 => Ipv4Addr::new(192, 0, 2, 100 + random.below(150) as u8),
        13..17 => Ipv4Addr::from(0xc633_6400 | random.next_u32() & 0xff),
        17 => Ipv4Addr::from(random.next_u32()),
        _ => pick(
            random,
            &[
                VICTIM,
                Ipv4Addr::UNSPECIFIED,
                Ipv4Addr::LOCALHOST,
                Ipv4Addr::BROADCAST,
                Ipv4Addr::new(224, 0, 0, 1),
                Ipv4Addr::new(192, 0, 2, 255),
                Ipv4Addr::new(192, 0, 2, 0),
                Ipv4Addr::new(240, 0, 0, 1),
            ],
        ),
    }
}

fn destination(random: &mut Random) -> Ipv4Addr {
    match random.below(20) {
        0..16 => VICTIM,
        16 => Ipv4Addr::new(198, 51, 100, random.below(5) as u8),
        17 => Ipv4Addr::from(random.next_u32()),
        _ => pick(
            random,
            &[
                Ipv4Addr::BROADCAST,
                Ipv4Addr::new(192, 0, 2, 255),
                Ipv4Addr::new(224, 0, 0, 1),
                Ipv4Addr::new(239, 1, 2, 3),
                Ipv4Addr::LOCALHOST,
                BYSTANDER,
            ],
        ),
    }
}

impl Forge {
    /// Makes a frame up.
    pub fn forge(
        &mut self,
        random: &mut Random,
        said: &VecDeque<Bytes>,
        answered: &VecDeque<Bytes>,
        frame: &mut Vec<u8>,
    ) {
        let to = if random.chance(0.9) {
            mac_of(1)
        } else {
            pick(random, &[Mac::BROADCAST, Mac([1, 0, 0x5e, 0, 0, 1]), mac_of(4)])
        };
        let somebody = Mac([2, 9, 9, 9, 9, random.next_u32() as u8]);
        let from = pick(random, &[mac_of(2), mac_of(9), mac_of(10), somebody]);
        let (ether_type, payload) = match random.below(100) {
            0..8 => (0x0806, arp(random)),
            8..30 => (0x0800, self.fragment(random)),
            30..45 => (0x0800, stranger(random)),
            45..60 => (0x0800, insider(random, said)),
            60..70 => (0x0800, udp(random)),
            70..85 => (0x0800, icmp_error(random, answered)),
            85..92 => (0x0800, icmp(random)),
            92..95 => (0x0800, igmp(random)),
            95..98 => (0x0800, with_options(random)),
            98 => (pick(random, &[0x86dd, 0x8100, 0x88a8, 0x05dc, 0, 0xffff]), junk(random, 100)),
            _ => (0x8100, [&[0, random.next_u32() as u8, 8, 0], &stranger(random)[..]].concat()),
        };
        *frame = wire::ethernet(to, from, ether_type, &payload);
    }

    /// A SYN to the echo service from somebody new.
    pub fn flood(&mut self, random: &mut Random, frame: &mut Vec<u8>) {
        let options = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
        let source = Ipv4Addr::new(192, 0, 2, 100 + random.below(150) as u8);
        let tcp = Tcp {
            source_port: random.next_u16() | 1,
            destination_port: ECHO,
            seq: random.next_u32(),
            flags: wire::SYN,
            window: 1000,
            options: if random.chance(0.5) { &options } else { &[] },
            ..Tcp::default()
        };
        let packet = Ip::new(source, VICTIM, wire::TCP).packet(&tcp.segment(source, VICTIM, &[]));
        *frame = wire::ethernet(mac_of(1), mac_of(9), 0x0800, &packet);
    }

    /// Fragments that overlap, run past the end, never finish, or make a whole.
    fn fragment(&mut self, random: &mut Random) -> Vec<u8> {
        const MORE: u16 = 0x2000;
        if random.chance(0.4) {
            self.identification = random.next_u16();
        }
        let (offset, more, len) = match random.below(8) {
            // Ping of death: the end lies beyond 65,535.
            0 => (8189, 0, 100),
            1 => (0x1fff, MORE, 8),
            // Teardrop: the second lies within the first.
            2 => (0, MORE, 64),
            3 => (3, 0, 4),
            // Tiny, empty, and of no multiple of eight.
            4 => (random.below(4) as u16, MORE, 8),
            5 => (random.below(4) as u16, MORE, random.below(9)),
            _ => (random.below(200) as u16, if random.chance(0.8) { MORE } else { 0 }, 8 * random.below(180)),
        };
        let protocol = pick(random, &[wire::ICMP, wire::UDP, wire::TCP, 99]);
        let header = Ip {
            identification: self.identification % 512,
            fragment: offset | more,
            ..Ip::new(if random.chance(0.7) { PUPPET } else { source(random) }, VICTIM, protocol)
        };
        let mut payload = vec![0; len as usize];
        random.fill(&mut payload);
        header.packet(&payload)
    }
}

fn arp(random: &mut Random) -> Vec<u8> {
    let stranger = Ipv4Addr::new(192, 0, 2, 200 + random.below(56) as u8);
    let sender = pick(
        random,
        &[PUPPET, VICTIM, stranger, stranger, Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(203, 0, 113, 1), BYSTANDER],
    );
    let target = pick(random, &[VICTIM, VICTIM, VICTIM, sender, stranger, PUPPET]);
    let mac = pick(random, &[mac_of(2), mac_of(9), mac_of(1), Mac::BROADCAST, Mac::default()]);
    arp_packet(random, sender, target, mac)
}

fn arp_packet(random: &mut Random, sender: Ipv4Addr, target: Ipv4Addr, mac: Mac) -> Vec<u8> {
    let operation = pick(random, &[1, 1, 2, 2, 2, 3]);
    wire::arp(operation, (mac, sender), (pick(random, &[mac_of(1), Mac::default()]), target))
}

fn options(random: &mut Random) -> Vec<u8> {
    let mut options = match random.below(8) {
        0 => Vec::new(),
        1 => vec![2, 4, random.next_u32() as u8, random.next_u32() as u8],
        2 => vec![2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, random.next_u32() as u8, 0, 0, 0, 0, 1, 3, 3, 7],
        3 => vec![3, 3, random.next_u32() as u8, 1],
        4 => [&[8, 10][..], &junk(random, 8)].concat(),
        5 => [&[5, 2 + 8 * random.below(5) as u8][..], &junk(random, 32)].concat(),
        6 => vec![2, 0, 3, 1],
        _ => junk(random, 40),
    };
    options.resize(options.len().next_multiple_of(4).min(40), 1);
    options
}

/// SYN floods, guesses of cookies and noise from strangers.
fn stranger(random: &mut Random) -> Vec<u8> {
    let options = options(random);
    let flags = match random.below(10) {
        0..5 => wire::SYN,
        5 => wire::ACK,
        6 => wire::RST,
        7 => wire::SYN | wire::ACK,
        _ => random.next_u32() as u8,
    };
    let (source, destination) = (source(random), destination(random));
    let tcp = Tcp {
        source_port: random.next_u16(),
        destination_port: pick(random, &[ECHO, ECHO, UNREAD, UNACCEPTED, 12, 0]),
        seq: random.next_u32(),
        ack: random.next_u32(),
        flags,
        window: random.next_u16(),
        urgent: random.next_u16(),
        options: &options,
    };
    let data = if random.chance(0.2) { junk(random, 200) } else { Vec::new() };
    Ip::new(source, destination, wire::TCP).packet(&tcp.segment(source, destination, &data))
}

/// A segment that fits one of the puppet's connections: its ports, and numbers near those it has used.
fn insider(random: &mut Random, said: &VecDeque<Bytes>) -> Vec<u8> {
    let recorded = (0..4).find_map(|_| {
        let frame = said.get(random.below(said.len().max(1) as u64) as usize)?;
        let (_, _, protocol, segment) = wire::parse(frame)?;
        (protocol == wire::TCP && segment.len() >= 20).then_some(segment)
    });
    let Some(recorded) = recorded else { return stranger(random) };
    let near = |random: &mut Random| match random.below(6) {
        0..2 => 0,
        2 => 1,
        3 => random.next_u32() % 70_000,
        4 => (random.next_u32() % 70_000).wrapping_neg(),
        _ => random.next_u32(),
    };
    let options = options(random);
    let tcp = Tcp {
        source_port: wire::u16_at(recorded, 0),
        destination_port: wire::u16_at(recorded, 2),
        seq: wire::u32_at(recorded, 4).wrapping_add(near(random)),
        ack: wire::u32_at(recorded, 8).wrapping_add(near(random)),
        flags: if random.chance(0.5) { wire::ACK | random.next_u32() as u8 } else { random.next_u32() as u8 },
        window: pick(random, &[0, 1, 1000, 0xffff]),
        urgent: random.next_u16(),
        options: &options,
    };
    let data = if random.chance(0.5) { junk(random, 1460) } else { Vec::new() };
    Ip::new(PUPPET, VICTIM, wire::TCP).packet(&tcp.segment(PUPPET, VICTIM, &data))
}

fn udp(random: &mut Random) -> Vec<u8> {
    let (source, destination) = (source(random), destination(random));
    let port = pick(random, &[ECHO, UNREAD_UDP, UNREAD_UDP, 12, 0, 53]);
    // An echo to an echo would never end.
    let from = pick(random, &[ECHO, 0, 1024, 40_000]);
    let mut datagram = wire::udp((source, from), (destination, port), &junk(random, 300));
    match random.below(6) {
        0 => datagram[6..8].fill(0),
        1 => datagram[4..6].copy_from_slice(&random.next_u16().to_be_bytes()),
        2 => datagram[4..6].copy_from_slice(&pick(random, &[[0, 0], [0, 7], [0xff, 0xff]])),
        _ => {}
    }
    Ip::new(source, destination, wire::UDP).packet(&datagram)
}

/// An error about something the victim has really sent, or about something near it.
fn icmp_error(random: &mut Random, answered: &VecDeque<Bytes>) -> Vec<u8> {
    let recorded = answered.get(random.below(answered.len().max(1) as u64) as usize);
    let mut quote = match recorded {
        Some(frame) if frame.len() > wire::ETHERNET => frame[wire::ETHERNET..].to_vec(),
        _ => junk(random, 60),
    };
    quote.truncate(pick(random, &[8, 20, 27, 28, 40, 60, 548]));
    if random.chance(0.2) && quote.len() >= 28 {
        let at = random.below(28) as usize;
        quote[at] = random.next_u32() as u8;
    }
    let mtu = pick(random, &[0, 1, 67, 68, 88, 296, 576, 1400, 1500, 65_535]);
    let (kind, code) = match random.below(6) {
        0..3 => (3, 4),
        3 => (3, random.next_u32() as u8 % 17),
        4 => (11, random.next_u32() as u8 % 3),
        _ => (12, random.next_u32() as u8 % 3),
    };
    let [high, low] = u16::to_be_bytes(mtu);
    let message = wire::icmp(kind, code, [random.next_u32() as u8, 0, high, low], &quote);
    Ip::new(source(random), VICTIM, wire::ICMP).packet(&message)
}

fn icmp(random: &mut Random) -> Vec<u8> {
    let any = random.next_u32() as u8;
    let kind = pick(random, &[8, 8, 0, 13, 14, 5, 4, 9, 10, 15, 17, 30, any]);
    let message = wire::icmp(kind, random.next_u32() as u8 % 4, random.next_u32().to_be_bytes(), &junk(random, 600));
    let (source, destination) = (source(random), destination(random));
    Ip { ttl: random.next_u32() as u8, ..Ip::new(source, destination, wire::ICMP) }.packet(&message)
}

fn igmp(random: &mut Random) -> Vec<u8> {
    let group = pick(random, &[[0, 0, 0, 0], [224, 0, 0, 1], [239, 1, 2, 3], [192, 0, 2, 1]]);
    let kind = pick(random, &[0x11, 0x11, 0x12, 0x16, 0x22, 0x17, 0x99]);
    let mut message = wire::icmp(kind, random.next_u32() as u8, group, &junk(random, 12));
    message.truncate(pick(random, &[4, 8, 12, 20]).min(message.len()));
    let to = pick(random, &[Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::new(239, 1, 2, 3), VICTIM]);
    Ip { ttl: 1, options: &[0x94, 4, 0, 0], ..Ip::new(source(random), to, wire::IGMP) }.packet(&message)
}

/// IP options: routes, records, timestamps, and what only looks like them.
fn with_options(random: &mut Random) -> Vec<u8> {
    let kind = pick(random, &[7, 68, 131, 137, 148, 130, 0, 1, 255]);
    let len = pick(random, &[0, 1, 2, 3, 4, 7, 8, 11, 39, 40, 255]);
    let mut options = vec![kind, len, pick(random, &[0, 1, 4, 5, 8, 255])];
    options.extend(junk(random, 37));
    options.resize(options.len().next_multiple_of(4).min(40), 0);
    let (source, destination) = (source(random), destination(random));
    let message = wire::icmp(8, 0, [0; 4], &junk(random, 30));
    Ip { options: &options, ttl: 1 + random.next_u32() as u8 % 3, ..Ip::new(source, destination, wire::ICMP) }
        .packet(&message)
}
