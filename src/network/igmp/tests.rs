//! Membership in virtual time.

use super::*;
use crate::network::ipv4::{self, Part};
use crate::physical::frame::Head;
use bytes::Bytes;

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const OTHER: Ipv4Addr = Ipv4Addr::new(239, 9, 9, 9);
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const LAN: InterfaceId = InterfaceId(0);

fn start() -> Instant {
    Instant::from_secs(100)
}

fn membership() -> Membership {
    Membership::new(LAN, &mut Random::from_seed(1))
}

/// All that is sent until `until`: when after `start()`, where to, and the bytes.
fn run(membership: &mut Membership, until: Duration) -> Vec<(Duration, IpAddr, Vec<u8>)> {
    let mut sent = Vec::new();
    let mut now = start();
    loop {
        while let Some(datagram) = membership.poll_transmit() {
            sent.push((now.since(start()), datagram.destination, datagram.header.to_vec()));
        }
        match membership.deadline() {
            Some(at) if at.since(start()) <= until => now = now.max(at),
            _ => return sent,
        }
        membership.handle_timeout(now);
    }
}

/// The records of a report: type and group.
fn records(bytes: &[u8]) -> Vec<(u8, Ipv4Addr)> {
    assert_eq!(bytes[0], message::V3_REPORT);
    bytes[8..].chunks(8).map(|r| (r[0], Ipv4Addr::new(r[4], r[5], r[6], r[7]))).collect()
}

fn packet(destination: Ipv4Addr, ttl: u8, options: &[u8], payload: &[u8]) -> Ipv4 {
    let datagram = Datagram {
        hop_limit: ttl,
        options: SmallVec::from_slice(options),
        ..Datagram::new(ROUTER.into(), destination.into(), protocol::IGMP, TransportHeader::new(), Body::new())
    };
    let mut head = Head::new();
    ipv4::emit(&mut head, &datagram, 0, payload.len(), Part::WHOLE).unwrap();
    let mut bytes = head.to_vec();
    bytes.extend_from_slice(payload);
    ipv4::parse(&Bytes::from(bytes)).unwrap()
}

fn query_bytes(group: Ipv4Addr, code: u8, len: usize) -> Vec<u8> {
    let mut bytes = message::emit_old(message::QUERY, group).to_vec();
    bytes[1] = code;
    bytes.resize(len, 0);
    bytes[2..4].fill(0);
    let checksum = crate::base::checksum::Sum::ZERO.add_bytes(&bytes).checksum();
    bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn query(group: Ipv4Addr, code: u8, len: usize) -> Ipv4 {
    let destination = if group.is_unspecified() { ALL_SYSTEMS } else { group };
    packet(destination, 1, &ROUTER_ALERT_OPTION, &query_bytes(group, code, len))
}

fn joined() -> Membership {
    let mut membership = membership();
    membership.join(GROUP, start() - Duration::from_secs(50));
    membership.join(OTHER, start() - Duration::from_secs(50));
    membership.handle_timeout(start());
    membership.handle_timeout(start());
    while membership.poll_transmit().is_some() {}
    assert_eq!(membership.deadline(), None);
    membership
}

#[test]
fn a_join_is_reported_at_once_and_once_more_within_a_second() {
    // RFC 3376 §5.1.
    let mut membership = membership();
    membership.set_source(Ipv4Addr::new(192, 0, 2, 2));
    assert!(membership.join(GROUP, start()));
    let first = membership.poll_transmit().unwrap();
    assert_eq!(first.destination, IpAddr::V4(IGMPV3_ROUTERS));
    assert_eq!((first.hop_limit, first.traffic_class, first.interface), (1, 0xc0, Some(LAN)));
    assert_eq!(first.options[..], ROUTER_ALERT_OPTION);
    assert_eq!(records(&first.header), [(4, GROUP)]);
    let again = run(&mut membership, Duration::from_secs(100));
    assert_eq!(again.len(), 1);
    assert!(again[0].0 > Duration::ZERO && again[0].0 <= UNSOLICITED_REPORT_INTERVAL);
}

#[test]
fn a_leave_is_reported_as_inclusion_of_nobody() {
    let mut membership = joined();
    assert!(membership.leave(GROUP, start()));
    assert!(!membership.is_member(GROUP) && membership.is_member(OTHER));
    let sent = run(&mut membership, Duration::from_secs(100));
    assert_eq!(sent.iter().map(|(_, _, bytes)| records(bytes)).collect::<Vec<_>>(), [[(3, GROUP)], [(3, GROUP)]]);
    assert!(!membership.leave(GROUP, start()), "it was left");
}

#[test]
fn a_group_is_left_when_the_last_holder_leaves() {
    let mut membership = joined();
    membership.join(GROUP, start());
    membership.leave(GROUP, start());
    assert!(membership.is_member(GROUP));
    assert_eq!(run(&mut membership, Duration::from_secs(100)), []);
    membership.leave(GROUP, start());
    assert!(!membership.is_member(GROUP));
}

#[test]
fn all_systems_is_always_joined_and_never_reported() {
    // RFC 3376 §6.
    let mut membership = membership();
    assert!(membership.is_member(ALL_SYSTEMS) && membership.join(ALL_SYSTEMS, start()));
    assert_eq!(run(&mut membership, Duration::from_secs(100)), []);
    assert!(!membership.join(ROUTER, start()), "no group");
}

#[test]
fn a_general_query_is_answered_once_for_all_groups_within_its_time() {
    // RFC 3376 §5.2.
    let mut membership = joined();
    membership.receive(&query(Ipv4Addr::UNSPECIFIED, 100, 12), start()).unwrap();
    membership.receive(&query(Ipv4Addr::UNSPECIFIED, 100, 12), start()).unwrap();
    let sent = run(&mut membership, Duration::from_secs(100));
    assert_eq!(sent.len(), 1);
    assert!(sent[0].0 <= Duration::from_secs(10));
    assert_eq!(records(&sent[0].2), [(2, GROUP), (2, OTHER)]);
}

#[test]
fn a_later_query_does_not_put_off_an_answer() {
    // RFC 3376 §5.2 rule 1.
    for seed in 0..20 {
        let mut membership = joined();
        membership.random = Random::from_seed(seed);
        membership.receive(&query(Ipv4Addr::UNSPECIFIED, 1, 12), start()).unwrap();
        membership.receive(&query(Ipv4Addr::UNSPECIFIED, 120, 12), start()).unwrap();
        membership.receive(&query(GROUP, 120, 12), start()).unwrap();
        let sent = run(&mut membership, Duration::from_secs(100));
        assert_eq!(sent.len(), 1, "one answer for all");
        assert!(sent[0].0 <= Duration::from_millis(100));
    }
}

#[test]
fn a_group_query_is_answered_for_that_group_alone() {
    let mut membership = joined();
    membership.receive(&query(GROUP, 10, 12), start()).unwrap();
    membership.receive(&query(Ipv4Addr::new(239, 5, 5, 5), 10, 12), start()).unwrap();
    let sent = run(&mut membership, Duration::from_secs(100));
    assert_eq!(sent.iter().map(|(_, _, bytes)| records(bytes)).collect::<Vec<_>>(), [[(2, GROUP)]]);
}

#[test]
fn towards_an_igmpv2_router_igmpv2_is_spoken_for_a_while() {
    // RFC 3376 §7.2.1.
    let mut membership = joined();
    membership.receive(&query(Ipv4Addr::UNSPECIFIED, 100, 8), start()).unwrap();
    assert_eq!(membership.version(start()), Version::V2);
    let sent = run(&mut membership, Duration::from_secs(20));
    let mut expected = vec![
        (IpAddr::V4(GROUP), message::emit_old(message::V2_REPORT, GROUP).to_vec()),
        (IpAddr::V4(OTHER), message::emit_old(message::V2_REPORT, OTHER).to_vec()),
    ];
    let mut got: Vec<_> = sent.into_iter().map(|(_, to, bytes)| (to, bytes)).collect();
    expected.sort();
    got.sort();
    assert_eq!(got, expected);
    membership.leave(GROUP, start() + Duration::from_secs(20));
    let leave = membership.poll_transmit().unwrap();
    assert_eq!(leave.destination, IpAddr::V4(ALL_ROUTERS));
    assert_eq!(leave.header[..], message::emit_old(message::V2_LEAVE, GROUP));
    assert_eq!(membership.version(start() + OLDER_VERSION_QUERIER_PRESENT), Version::V3);
}

#[test]
fn somebody_elses_igmpv2_report_makes_ours_superfluous() {
    // RFC 2236 §3.
    let mut membership = joined();
    membership.receive(&query(GROUP, 100, 8), start()).unwrap();
    let report = packet(GROUP, 1, &ROUTER_ALERT_OPTION, &message::emit_old(message::V2_REPORT, GROUP));
    membership.receive(&report, start()).unwrap();
    assert_eq!(run(&mut membership, Duration::from_secs(100)), []);
    // Nor is a leave worth sending by who did not report last.
    membership.leave(GROUP, start() + Duration::from_secs(1));
    assert_eq!(run(&mut membership, Duration::from_secs(100)), []);
}

#[test]
fn towards_an_igmpv1_router_nobody_leaves() {
    let mut membership = joined();
    let ancient = packet(ALL_SYSTEMS, 1, &[], &query_bytes(Ipv4Addr::UNSPECIFIED, 0, 8));
    membership.receive(&ancient, start()).unwrap();
    assert_eq!(membership.version(start()), Version::V1);
    let sent = run(&mut membership, Duration::from_secs(20));
    assert!(sent.len() == 2 && sent.iter().all(|(at, _, bytes)| *at <= V1_RESPONSE_TIME && bytes[0] == 0x12));
    membership.leave(GROUP, start() + Duration::from_secs(20));
    assert_eq!(membership.poll_transmit().map(|datagram| datagram.header), None);
}

#[test]
fn a_query_from_beyond_the_link_is_refused() {
    // RFC 3376 §9.1.
    let mut membership = joined();
    let bytes = query_bytes(Ipv4Addr::UNSPECIFIED, 100, 12);
    for ip in [
        packet(ALL_SYSTEMS, 64, &ROUTER_ALERT_OPTION, &bytes),
        packet(ALL_SYSTEMS, 1, &[], &bytes),
        packet(GROUP, 1, &ROUTER_ALERT_OPTION, &query_bytes(Ipv4Addr::UNSPECIFIED, 100, 8)),
        packet(ALL_SYSTEMS, 1, &ROUTER_ALERT_OPTION, &bytes[..7]),
    ] {
        assert_eq!(membership.receive(&ip, start()), Err(DropReason::IgmpMalformed));
    }
    assert_eq!(membership.deadline(), None);
}

#[test]
fn groups_are_bounded_and_long_reports_are_divided() {
    let mut membership = membership();
    let group = |n: usize| Ipv4Addr::from(u32::from(GROUP) + n as u32);
    for n in 0..limits::GROUPS {
        assert!(membership.join(group(n), start()));
    }
    assert!(!membership.join(group(limits::GROUPS), start()));
    assert!(membership.join(group(0), start()), "one that is joined can be joined again");
    run(&mut membership, Duration::from_secs(100));
    membership.receive(&query(Ipv4Addr::UNSPECIFIED, 1, 12), start()).unwrap();
    let sent = run(&mut membership, Duration::from_secs(100));
    assert!(sent.iter().all(|(_, _, bytes)| bytes.len() + 24 <= 576));
    assert_eq!(sent.iter().map(|(_, _, bytes)| records(bytes).len()).sum::<usize>(), limits::GROUPS);
}
