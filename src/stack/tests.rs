//! What only the whole stack can show: which ICMP errors leave it, and which change what it knows.

use super::*;
use crate::base::checksum::Sum;
use crate::datalink::{InterfaceId, Mac};
use crate::stack::config::InterfaceConfig;
use std::net::{IpAddr, Ipv4Addr};

const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const TAP: DeviceId = DeviceId(0);
const UDP: u8 = 17;
const ICMP: u8 = 1;

/// A host with one interface and one neighbour.
fn stack() -> Stack {
    let interface = InterfaceConfig {
        name: "tap0".to_owned(),
        device: TAP,
        vlan: None,
        mac: OURS,
        addresses: vec!["192.0.2.1/24".parse().unwrap()],
        mtu: 1500,
        probe: false,
    };
    let neighbours = vec![(InterfaceId(0), PEER.into(), THEIRS)];
    let config = Config { interfaces: vec![interface], neighbours, ..Config::default() };
    let mut stack = Stack::new(config, Random::from_seed(1));
    icmp_sent(&mut stack);
    stack
}

const NOW: Instant = Instant::from_secs(1000);

/// An IPv4 packet from the peer to us.
fn packet(protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let mut packet = vec![0x40 | (header_len / 4) as u8, 0];
    packet.extend(((header_len + payload.len()) as u16).to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
    packet.extend(PEER.octets());
    packet.extend(HOST.octets());
    packet.extend(options);
    let checksum = Sum::ZERO.add_bytes(&packet).checksum();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

fn frame(to: Mac, packet: &[u8]) -> Frame {
    let mut bytes = to.0.to_vec();
    bytes.extend(THEIRS.0);
    bytes.extend([0x08, 0x00]);
    bytes.extend(packet);
    Frame::plain(bytes)
}

/// A UDP datagram without checksum to a port where nobody listens.
fn to_closed_port() -> Vec<u8> {
    packet(UDP, &[], &[0x30, 0x39, 0x30, 0x39, 0, 8, 0, 0])
}

/// Types and codes of the ICMP messages that wait to be sent.
fn icmp_sent(stack: &mut Stack) -> Vec<(u8, u8)> {
    stack.handle_timeout(NOW);
    std::iter::from_fn(|| stack.poll_transmit(NOW))
        .map(|(_, out)| out.head.iter().chain(out.body.iter().flatten()).copied().collect::<Vec<u8>>())
        .filter(|bytes| bytes[12..14] == [0x08, 0x00] && bytes[23] == ICMP)
        .map(|bytes| (bytes[34], bytes[35]))
        .collect()
}

#[test]
fn icmp_errors_leave_at_a_bounded_rate() {
    // RFC 1812 §4.3.2.8.
    let mut stack = stack();
    for _ in 0..100 {
        stack.receive(NOW, TAP, frame(OURS, &to_closed_port()));
    }
    assert_eq!(icmp_sent(&mut stack), [(3, 3); 20]);
    assert_eq!(stack.counters().of(crate::base::counters::Counter::IcmpOutRateLimited), 80);
}

#[test]
fn an_icmp_error_is_never_answered_by_another() {
    // RFC 1122 §3.2.2. The option is malformed, which is answered elsewhere.
    let mut stack = stack();
    let malformed = [7, 9, 4, 0];
    stack.receive(NOW, TAP, frame(OURS, &packet(UDP, &malformed, &[0; 8])));
    assert_eq!(icmp_sent(&mut stack), [(12, 0)]);
    stack.receive(NOW, TAP, frame(OURS, &packet(ICMP, &malformed, &[3, 1, 0, 0, 0, 0, 0, 0])));
    assert_eq!(icmp_sent(&mut stack), []);
}

#[test]
fn what_came_by_link_broadcast_is_answered_by_no_icmp_error() {
    // RFC 1122 §3.2.2.
    let mut stack = stack();
    stack.receive(NOW, TAP, frame(Mac::BROADCAST, &packet(UDP, &[7, 9, 4, 0], &[0; 8])));
    stack.receive(NOW, TAP, frame(Mac::BROADCAST, &to_closed_port()));
    assert_eq!(icmp_sent(&mut stack), []);
}

#[test]
fn a_path_mtu_is_believed_only_if_what_is_quoted_is_in_flight() {
    // RFC 5927 §7.2.
    let mut stack = stack();
    let mut quote = packet(6, &[], &[0; 1480]);
    quote[12..16].copy_from_slice(&HOST.octets());
    quote[16..20].copy_from_slice(&PEER.octets());
    let mut message = vec![3, 4, 0, 0, 0, 0, 0x02, 0x40];
    message.extend(quote);
    let checksum = Sum::ZERO.add_bytes(&message).checksum();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let outcome = stack.receive(NOW, TAP, frame(OURS, &packet(ICMP, &[], &message)));
    assert_eq!(outcome, Outcome::Dropped(DropReason::IcmpNotInFlight));
    assert_eq!(stack.internet.path_mtus.mtu_to(IpAddr::V4(PEER), NOW), None);
}

#[test]
fn an_interface_that_is_down_is_silent_and_claims_its_address_when_it_is_up_again() {
    let mut stack = stack();
    let ping = frame(OURS, &packet(ICMP, &[], &[8, 0, 0xf7, 0xfd, 0, 1, 0, 1]));
    assert_eq!(stack.receive(NOW, TAP, ping.clone()), Outcome::Answered);
    icmp_sent(&mut stack);

    stack.set_up(NOW, InterfaceId(0), false);
    assert_eq!(stack.receive(NOW, TAP, ping.clone()), Outcome::Dropped(DropReason::InterfaceDown));
    assert_eq!(stack.internet.source_for(PEER.into()), None, "its routes are passed over");
    assert_eq!(icmp_sent(&mut stack), []);

    stack.set_up(NOW, InterfaceId(0), true);
    stack.handle_timeout(NOW);
    let (_, announcement) = stack.poll_transmit(NOW).unwrap();
    assert_eq!(announcement.head[12..14], [0x08, 0x06], "an ARP announcement (RFC 5227 §2.3)");
    assert_eq!(announcement.head[28..32], HOST.octets());
    assert_eq!(stack.internet.source_for(PEER.into()), Some(HOST.into()));
    assert_eq!(stack.receive(NOW, TAP, ping), Outcome::Answered);
}
