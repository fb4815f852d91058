//! Several stacks as one host, on a link with one neighbour whose frames come to whichever of them.

use super::*;
use crate::base::checksum::Sum;
use crate::base::random::Random;
use crate::datalink::Mac;
use crate::datalink::ethernet::ETHERTYPE_ARP;
use crate::network::packet::Paths;
use crate::physical::frame::{DeviceId, Frame};
use crate::stack::config::{Config, InterfaceConfig};
use crate::transport::ports::DYNAMIC;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::SocketAddr;

const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const TAP: DeviceId = DeviceId(0);
const PORT: u16 = 8000;
const NOW: Instant = Instant::from_secs(1000);
const TCP: u8 = protocol::TCP;
const UDP: u8 = protocol::UDP;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const RST: u8 = 0x04;

/// A host of several stacks.
struct Family {
    stacks: Vec<Stack>,
}

/// What a stack sent: protocol, TCP flags or ICMP type, and the packet; for ARP the whole frame.
#[derive(Clone, Debug)]
struct Sent {
    by: u16,
    bytes: Vec<u8>,
}

impl Sent {
    fn is_arp(&self) -> bool {
        self.bytes[12..14] == ETHERTYPE_ARP.to_be_bytes()
    }

    fn protocol(&self) -> u8 {
        self.bytes[23]
    }

    fn tcp_flags(&self) -> u8 {
        self.bytes[14 + 20 + 13]
    }
}

impl Family {
    fn with(count: u16, probe: bool, knows_peer: bool) -> Self {
        let stack = |index| {
            let interface = InterfaceConfig {
                name: "tap0".to_owned(),
                device: TAP,
                vlan: None,
                mac: OURS,
                addresses: vec!["192.0.2.1/24".parse().unwrap()],
                mtu: 1500,
                probe,
            };
            let neighbours = if knows_peer { vec![(InterfaceId(0), PEER.into(), THEIRS)] } else { Vec::new() };
            let place = Place { index, count };
            let config = Config { interfaces: vec![interface], neighbours, place, ..Config::default() };
            Stack::new(config, Random::from_seed(u64::from(index)))
        };
        Family { stacks: (0..count).map(stack).collect() }
    }

    /// One whose addresses may be used and whose neighbour is known.
    fn new(count: u16) -> Self {
        let mut family = Family::with(count, false, true);
        family.settle(NOW);
        family
    }

    fn listen(&mut self, on: impl IntoIterator<Item = u16>, port: u16) {
        for index in on {
            let local = SocketAddr::from(([0, 0, 0, 0], port));
            self.stacks[usize::from(index)].tcp_listen(local, None, None).unwrap();
        }
    }

    fn receive(&mut self, on: u16, frame: Frame) -> Outcome {
        self.stacks[usize::from(on)].receive(NOW, TAP, frame)
    }

    /// Carries messages until there are none; what was sent meanwhile.
    fn settle(&mut self, now: Instant) -> Vec<Sent> {
        let mut sent = Vec::new();
        for _ in 0..100 {
            let mut is_quiet = true;
            for from in 0..self.stacks.len() {
                self.stacks[from].handle_timeout(now);
                while let Some((to, message)) = self.stacks[from].poll_message() {
                    is_quiet = false;
                    for to in receivers(to, from, self.stacks.len()) {
                        self.stacks[to].receive_message(now, message.clone());
                    }
                }
                while let Some((_, frame)) = self.stacks[from].poll_transmit(now) {
                    let bytes = frame.head.iter().chain(frame.body.iter().flatten()).copied().collect();
                    sent.push(Sent { by: from as u16, bytes });
                }
            }
            if is_quiet {
                return sent;
            }
        }
        panic!("the stacks do not stop talking");
    }

    fn connections(&self) -> Vec<usize> {
        self.stacks.iter().map(Stack::connections).collect()
    }
}

fn receivers(to: To, from: usize, count: usize) -> Vec<usize> {
    match to {
        To::One(index) => vec![usize::from(index)],
        To::Others => (0..count).filter(|index| *index != from).collect(),
    }
}

fn frame(ether_type: u16, payload: &[u8]) -> Frame {
    let mut bytes = [OURS.0, THEIRS.0].concat();
    bytes.extend(ether_type.to_be_bytes());
    bytes.extend(payload);
    Frame::plain(bytes)
}

/// An IPv4 packet from the peer.
fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(((20 + payload.len()) as u16).to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
    packet.extend(PEER.octets());
    packet.extend(HOST.octets());
    let checksum = Sum::ZERO.add_bytes(&packet).checksum();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A segment from the peer's port, its checksum vouched for by the device.
fn segment(from: u16, to: u16, flags: u8, seq: u32, ack: u32) -> Frame {
    let mut header = [from.to_be_bytes(), to.to_be_bytes()].concat();
    header.extend(seq.to_be_bytes());
    header.extend(ack.to_be_bytes());
    header.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    vouched(frame(0x0800, &packet(TCP, &header)))
}

fn datagram(to: u16) -> Frame {
    let mut header = [4000u16.to_be_bytes(), to.to_be_bytes(), 9u16.to_be_bytes()].concat();
    header.extend([0, 0, b'x']);
    frame(0x0800, &packet(UDP, &header))
}

fn vouched(frame: Frame) -> Frame {
    Frame { checksum: crate::physical::frame::ReceivedChecksum::Vouched, ..frame }
}

fn arp(arp: &Arp) -> Frame {
    frame(ETHERTYPE_ARP, &arp.emit())
}

/// Opens a connection from the peer's port 4000 to `port` on the queue of stack `on`; our sequence number.
fn open(family: &mut Family, on: u16, port: u16) -> u32 {
    assert_eq!(family.receive(on, segment(4000, port, SYN, 1, 0)), Outcome::Answered);
    let sent = family.settle(NOW);
    assert_eq!(sent.len(), 1, "one SYN-ACK");
    let iss = u32::from_be_bytes(sent[0].bytes[38..42].try_into().unwrap());
    family.receive(on, segment(4000, port, ACK, 2, iss + 1));
    family.settle(NOW);
    iss
}

/// The stacks that a packet for `port` visits which nobody takes.
fn visits(first: u16, count: u16, port: u16) -> Vec<u16> {
    let mut round = Round { first, tried: 0 };
    let mut visited = vec![first];
    let mut index = first;
    while let Some(next) = round.next(Place { index, count }, port) {
        visited.push(next);
        (index, round) = (next, round.gone_on());
        assert!(visited.len() <= 100, "it goes round for ever");
    }
    visited
}

proptest! {
    #[test]
    fn a_packet_for_nobody_visits_every_stack_once_and_the_owner_of_its_port_second(
        count in 1u16..=64,
        first in 0u16..64,
        port: u16,
    ) {
        let first = first % count;
        let visited = visits(first, count, port);
        prop_assert_eq!(visited.len(), usize::from(count));
        prop_assert_eq!(visited.iter().copied().collect::<BTreeSet<u16>>(), (0..count).collect());
        prop_assert_eq!(visited[0], first);
        if let Some(owner) = ports::owner(port, count) && owner != first {
            prop_assert_eq!(visited[1], owner);
        }
    }

    #[test]
    fn only_ephemeral_ports_have_an_owner(count in 1u16..=64, port: u16) {
        prop_assert_eq!(ports::owner(port, count), DYNAMIC.contains(&port).then_some(port % count));
    }
}

#[test]
fn a_stack_that_is_alone_tells_nobody_anything() {
    let mut family = Family::new(1);
    assert_eq!(family.receive(0, segment(4000, 80, ACK, 1, 1)), Outcome::Dropped(DropReason::TcpNoConnection));
    assert_eq!(family.receive(0, datagram(80)), Outcome::Dropped(DropReason::UdpNoPort));
    assert!(family.stacks[0].poll_message().is_none());
    let sent = family.settle(NOW);
    assert_eq!(sent.iter().map(Sent::protocol).collect::<BTreeSet<u8>>(), BTreeSet::from([protocol::ICMP, TCP]));
}

#[test]
fn a_segment_that_comes_to_another_stack_finds_its_connection_and_nothing_is_reset() {
    for other in [0, 1, 3] {
        let mut family = Family::new(4);
        family.listen(0..4, PORT);
        let iss = open(&mut family, 2, PORT);
        assert_eq!(family.connections(), [0, 0, 1, 0]);
        let outcome = family.receive(other, segment(4000, PORT, ACK | 0x01, 2, iss + 1));
        assert_eq!(outcome, Outcome::Passed);
        let sent = family.settle(NOW);
        assert!(sent.iter().all(|sent| sent.by == 2 && sent.tcp_flags() & RST == 0), "{sent:?}");
        assert_eq!(sent.len(), 1, "the FIN is acknowledged, by the stack that has the connection");
    }
}

#[test]
fn a_reset_that_comes_to_another_stack_ends_the_connection() {
    let mut family = Family::new(3);
    family.listen(0..3, PORT);
    let _ = open(&mut family, 0, PORT);
    family.receive(1, segment(4000, PORT, RST, 2, 0));
    family.settle(NOW);
    assert_eq!(family.connections(), [0, 0, 0]);
}

#[test]
fn a_listener_takes_a_syn_on_every_stack() {
    let mut family = Family::new(3);
    family.listen(0..3, PORT);
    for on in 0..3 {
        assert_eq!(family.receive(on, segment(5000 + on, PORT, SYN, 1, 0)), Outcome::Answered);
    }
    assert_eq!(family.connections(), [1, 1, 1]);
}

#[test]
fn a_listener_on_one_stack_only_is_found_from_all() {
    let mut family = Family::new(4);
    family.listen([3], 8080);
    for on in 0..4 {
        family.receive(on, segment(5000 + on, 8080, SYN, 1, 0));
    }
    let sent = family.settle(NOW);
    assert_eq!(family.connections(), [0, 0, 0, 4]);
    assert!(sent.iter().all(|sent| sent.by == 3 && sent.tcp_flags() == SYN | ACK), "{sent:?}");
}

#[test]
fn what_belongs_to_nobody_is_refused_once_by_the_last_that_was_asked() {
    let mut family = Family::new(4);
    assert_eq!(family.receive(1, segment(4000, 80, ACK, 1, 1)), Outcome::Passed);
    let sent = family.settle(NOW);
    assert_eq!(sent.iter().map(|sent| (sent.by, sent.tcp_flags())).collect::<Vec<_>>(), [(0, RST)]);
    assert_eq!(family.receive(1, datagram(80)), Outcome::Passed);
    let sent = family.settle(NOW);
    assert_eq!(sent.iter().map(|sent| (sent.by, sent.protocol())).collect::<Vec<_>>(), [(0, protocol::ICMP)]);
    let passed: u64 = family.stacks.iter().map(|stack| stack.ledger().of(Outcome::Passed)).sum();
    assert_eq!(passed, 6);
}

#[test]
fn a_connection_that_a_stack_opens_has_a_port_of_its_share_and_its_answers_find_it() {
    for opener in 0..3 {
        let mut family = Family::new(3);
        let remote = SocketAddr::from((PEER, 80));
        let (_, local) = family.stacks[usize::from(opener)].tcp_connect(NOW, None, remote, None).unwrap();
        assert_eq!(ports::owner(local.port(), 3), Some(opener));
        let sent = family.settle(NOW);
        let iss = u32::from_be_bytes(sent[0].bytes[38..42].try_into().unwrap());
        let on = (opener + 2) % 3;
        assert_eq!(family.receive(on, segment(80, local.port(), SYN | ACK, 9, iss + 1)), Outcome::Passed);
        let sent = family.settle(NOW);
        assert_eq!(sent.iter().map(|sent| (sent.by, sent.tcp_flags())).collect::<Vec<_>>(), [(opener, ACK)]);
        // In one step: the third stack never saw it.
        let idle = usize::from((opener + 1) % 3);
        assert_eq!(family.stacks[idle].ledger().total(), 0);
    }
}

#[test]
fn an_icmp_error_finds_the_connection_it_is_about_and_the_path_mtu_reaches_all() {
    let mut family = Family::new(3);
    family.listen(0..3, PORT);
    let iss = open(&mut family, 2, PORT);
    let (id, ..) = {
        let stack = &mut family.stacks[2];
        let Some(crate::stack::Event::Listener(listener)) = stack.poll_event() else { panic!("nobody to accept") };
        stack.tcp_accept(listener).unwrap()
    };
    let mut data = Bytes::from(vec![7; 1460]);
    family.stacks[2].tcp_write(NOW, id, &mut data).unwrap();
    assert!(!family.settle(NOW).is_empty());
    // "Fragmentation needed" about the segment that is out.
    let mut quoted = vec![0x45, 0, 0x05, 0xdc, 0, 1, 0x40, 0, 63, TCP, 0, 0];
    quoted.extend(HOST.octets());
    quoted.extend(PEER.octets());
    quoted.extend([PORT.to_be_bytes(), 4000u16.to_be_bytes()].concat());
    quoted.extend((iss + 1).to_be_bytes());
    let mut error = vec![3, 4, 0, 0, 0, 0];
    error.extend(1000u16.to_be_bytes());
    error.extend(quoted);
    let checksum = Sum::ZERO.add_bytes(&error).checksum();
    error[2..4].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(family.receive(0, frame(0x0800, &packet(protocol::ICMP, &error))), Outcome::Passed);
    family.settle(NOW);
    let mtus: Vec<u16> = family.stacks.iter().map(|stack| stack.internet.mtu_to(PEER.into())).collect();
    assert_eq!(mtus, [1000, 1000, 1000]);
}

#[test]
fn a_neighbour_that_asks_one_stack_is_known_to_all() {
    let mut family = Family::with(3, false, false);
    family.settle(NOW);
    assert_eq!(family.receive(1, arp(&Arp::request(THEIRS, PEER, HOST))), Outcome::Answered);
    let sent = family.settle(NOW);
    assert_eq!(sent.iter().map(|sent| (sent.by, sent.is_arp())).collect::<Vec<_>>(), [(1, true)], "answered once");
    for stack in &family.stacks {
        assert_eq!(stack.neighbours.lookup(InterfaceId(0), PEER.into()), Some(THEIRS));
    }
}

#[test]
fn a_reply_reaches_the_stack_that_asked_and_the_others_know_as_well() {
    let mut family = Family::with(3, false, false);
    family.settle(NOW);
    family.stacks[2].tcp_connect(NOW, None, SocketAddr::from((PEER, 80)), None).unwrap();
    let asked = family.settle(NOW);
    assert!(asked.iter().all(|sent| sent.by == 2 && sent.is_arp()), "{asked:?}");
    family.receive(0, arp(&Arp::reply(THEIRS, PEER, OURS, HOST)));
    let sent = family.settle(NOW);
    assert_eq!(sent.iter().map(|sent| (sent.by, sent.tcp_flags())).collect::<Vec<_>>(), [(2, SYN)]);
    for stack in &family.stacks {
        assert_eq!(stack.neighbours.lookup(InterfaceId(0), PEER.into()), Some(THEIRS));
    }
}

#[test]
fn one_stack_probes_for_our_addresses_and_all_use_them_when_they_are_won() {
    let mut family = Family::with(3, true, false);
    let mut sent = Vec::new();
    for tenths in 0..100 {
        let can_use: BTreeSet<bool> = family.stacks.iter().map(|stack| stack.has_address(HOST.into())).collect();
        assert_eq!(can_use.len(), 1, "all or none");
        sent.extend(family.settle(Instant::from_millis(tenths * 100)));
    }
    assert!(family.stacks.iter().all(|stack| stack.has_address(HOST.into())));
    assert!(sent.iter().all(|sent| sent.by == 0 && sent.is_arp()), "{sent:?}");
    assert_eq!(sent.len(), 5, "three probes and two announcements");
}

#[test]
fn an_address_that_is_lost_to_another_host_is_lost_to_all_stacks() {
    let mut family = Family::with(3, true, false);
    family.settle(Instant::from_secs(1));
    // Another host has it, and says so to whichever queue.
    family.stacks[2].receive(Instant::from_secs(1), TAP, arp(&Arp::reply(THEIRS, HOST, OURS, HOST)));
    for secs in 2..20 {
        family.settle(Instant::from_secs(secs));
        assert!(!family.stacks.iter().any(|stack| stack.has_address(HOST.into())));
    }
}

#[test]
fn a_conflict_that_any_stack_hears_is_answered_by_the_first() {
    let mut family = Family::new(3);
    family.settle(NOW + std::time::Duration::from_secs(10));
    family.receive(1, arp(&Arp::announcement(THEIRS, HOST)));
    let sent = family.settle(NOW + std::time::Duration::from_secs(10));
    assert_eq!(sent.iter().map(|sent| (sent.by, sent.is_arp())).collect::<Vec<_>>(), [(0, true)]);
}

#[test]
fn messages_that_nobody_takes_are_bounded_and_counted() {
    let mut family = Family::new(2);
    let extra = 10;
    for _ in 0..limits::SIBLING_MESSAGES + extra {
        family.receive(0, segment(4000, 80, ACK, 1, 1));
    }
    let dropped = family.stacks[0].ledger().of(Outcome::Dropped(DropReason::SiblingBusy));
    assert_eq!(dropped, extra as u64);
    family.stacks[1].on_message_lost();
    assert_eq!(family.stacks[1].lost().of(Outcome::Dropped(DropReason::SiblingBusy)), 1);
}
