//! What a router changes in a packet, and what it refuses.

use super::*;
use crate::datalink::InterfaceId;
use crate::network::ipv4::{self, Part};
use crate::network::packet::Datagram;
use crate::network::route::Origin;
use proptest::prelude::*;

const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const DESTINATION: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const OWN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

fn way(mtu: u16) -> WayOut {
    WayOut { mtu, own: OWN, millis: 5, checksum: ReceivedChecksum::Unverified, segment_size: None }
}

fn packet(change: impl FnOnce(&mut Datagram), payload: &[u8]) -> Ipv4 {
    let mut datagram =
        Datagram::new(SOURCE.into(), DESTINATION.into(), protocol::UDP, TransportHeader::new(), Body::new());
    change(&mut datagram);
    let mut head = Head::new();
    ipv4::emit(&mut head, &datagram, 0x4242, payload.len(), Part::WHOLE).unwrap();
    let mut bytes = head.to_vec();
    bytes.extend_from_slice(payload);
    ipv4::parse(&Bytes::from(bytes)).unwrap()
}

fn refused(ip: &Ipv4) -> (DropReason, Option<ErrorKind>) {
    check(ip, false).map_err(|refusal| (refusal.reason, refusal.error)).unwrap_err()
}

fn sent(onward: &Onward) -> Ipv4 {
    let mut bytes = onward.head.to_vec();
    onward.body.iter().for_each(|part| bytes.extend_from_slice(part));
    ipv4::parse(&Bytes::from(bytes)).unwrap()
}

#[test]
fn a_forwarded_packet_loses_one_hop_and_nothing_else() {
    // RFC 1812 §5.3.1, §5.3.6.
    let ip = packet(|datagram| datagram.traffic_class = 0xb9, b"some payload");
    let onward = send_on(&ip, check(&ip, false).unwrap(), way(1500)).unwrap();
    let out = sent(&onward[0]);
    assert_eq!(out, Ipv4 { ttl: 63, bytes: out.bytes.clone(), ..ip.clone() });
    assert_eq!(out.payload(), ip.payload());
    assert_eq!(onward[0].body[0].as_ptr(), ip.payload().as_ptr(), "the payload is not copied");
}

#[test]
fn the_last_hop_is_told_and_not_forwarded() {
    // RFC 1812 §5.3.1: TTL of 1 or 0: Time Exceeded, code 0.
    for ttl in [0, 1] {
        let ip = packet(|datagram| datagram.hop_limit = ttl, b"");
        assert_eq!(refused(&ip), (DropReason::TtlExpired, Some(ErrorKind::TtlExceeded)));
    }
    assert!(check(&packet(|datagram| datagram.hop_limit = 2, b""), false).is_ok());
}

#[test]
fn what_no_router_passes_on_is_dropped_in_silence() {
    // RFC 1812 §5.3.4 (link broadcast), §5.3.5 (broadcast), §5.3.7 (martians), RFC 3927 §7 (link-local).
    let ip = packet(|_| {}, b"");
    assert_eq!(check(&ip, true).unwrap_err(), Refusal::silent(DropReason::LinkBroadcast));
    let to = |text: &str| packet(|datagram| datagram.destination = text.parse().unwrap(), b"");
    for destination in ["255.255.255.255", "224.0.0.5", "127.0.0.1", "169.254.1.1", "0.0.0.0", "240.1.1.1"] {
        assert_eq!(refused(&to(destination)), (DropReason::MartianDestination, None), "{destination}");
    }
    let from = |text: &str| packet(|datagram| datagram.source = text.parse().unwrap(), b"");
    for source in ["0.0.0.0", "127.0.0.1", "224.1.1.1", "255.255.255.255", "169.254.1.1"] {
        assert_eq!(refused(&from(source)), (DropReason::MartianSource, None), "{source}");
    }
}

#[test]
fn source_routes_and_malformed_options_are_refused_and_told() {
    let with = |options: &[u8]| packet(|datagram| datagram.options = SmallVec::from_slice(options), b"");
    assert_eq!(
        refused(&with(&[131, 7, 4, 1, 2, 3, 4, 0])),
        (DropReason::SourceRoute, Some(ErrorKind::SourceRouteFailed))
    );
    assert_eq!(
        refused(&with(&[1, 7, 99, 0])),
        (DropReason::IpOptionMalformed, Some(ErrorKind::ParameterProblem { pointer: 22 }))
    );
}

#[test]
fn a_recorded_route_gains_our_address() {
    // RFC 1812 §5.3.13.5.
    let ip = packet(|datagram| datagram.options = SmallVec::from_slice(&[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]), b"x");
    let onward = send_on(&ip, check(&ip, false).unwrap(), way(1500)).unwrap();
    assert_eq!(sent(&onward[0]).options(), [7, 11, 8, 203, 0, 113, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn what_does_not_fit_is_cut_or_sent_back() {
    let payload: Vec<u8> = (0..=255).cycle().take(2000).collect();
    let ip = packet(|_| {}, &payload);
    let fragments = send_on(&ip, Seen::default(), way(600)).unwrap();
    let fragments: Vec<Ipv4> = fragments.iter().map(sent).collect();
    assert_eq!(fragments.len(), 4);
    assert!(fragments.iter().all(|ip| ip.ttl == 63 && ip.total_len <= 600 && ip.identification == 0x4242));
    assert_eq!(fragments.iter().flat_map(|ip| ip.payload().to_vec()).collect::<Vec<u8>>(), payload);
    // RFC 1191 §4: with the MTU of the next hop.
    let ip = packet(|datagram| datagram.dont_fragment = true, &payload);
    let refusal = send_on(&ip, Seen::default(), way(600)).unwrap_err();
    let error = ErrorKind::FragmentationNeeded { mtu: 600 };
    assert_eq!(refusal, Refusal::told(DropReason::FragmentationNeeded, error));
}

/// A TCP segment whose checksum field holds the pseudo-header's sum, as a device passes it on that leaves
/// checksums to the next.
fn partial_tcp(payload_len: usize) -> (Vec<u8>, Sum) {
    let mut segment = vec![0x55; 32 + payload_len];
    segment[12] = 0x80;
    segment[16..18].fill(0);
    let pseudo = Sum::ZERO.add_pseudo_header(SOURCE.into(), DESTINATION.into(), protocol::TCP, segment.len());
    segment[16..18].copy_from_slice(&pseudo.fold().to_be_bytes());
    (segment, pseudo)
}

#[test]
fn a_super_segment_goes_on_whole_with_its_headers_in_the_head() {
    let (segment, pseudo) = partial_tcp(40_000);
    let ip = packet(|datagram| (datagram.protocol, datagram.dont_fragment) = (protocol::TCP, true), &segment);
    let way = WayOut { checksum: ReceivedChecksum::Vouched, segment_size: Some(1448), ..way(1500) };
    let onward = send_on(&ip, Seen::default(), way).unwrap();
    let [onward] = &onward[..] else { panic!("one packet") };
    assert_eq!((onward.header_len, onward.head.len()), (20, 20 + 32));
    assert_eq!((onward.checksum_offset, onward.segment_size), (Some(16), Some(1448)));
    assert_eq!(onward.head[20 + 16..20 + 18], pseudo.fold().to_be_bytes());
    assert_eq!(onward.body[0].as_ptr(), ip.payload()[32..].as_ptr());
    // Its segments must fit as well.
    let refusal = send_on(&ip, Seen::default(), WayOut { mtu: 1400, ..way }).unwrap_err();
    assert_eq!(refusal.error, Some(ErrorKind::FragmentationNeeded { mtu: 1400 }));
}

#[test]
fn a_vouched_checksum_is_completed_when_the_packet_is_cut() {
    let (segment, pseudo) = partial_tcp(1301);
    let ip = packet(|datagram| datagram.protocol = protocol::TCP, &segment);
    let way = WayOut { checksum: ReceivedChecksum::Vouched, ..way(576) };
    let fragments = send_on(&ip, Seen::default(), way).unwrap();
    let whole: Vec<u8> = fragments.iter().flat_map(|onward| sent(onward).payload().to_vec()).collect();
    assert_eq!(fragments.len(), 3);
    assert!(pseudo.add_bytes(&whole).is_valid());
}

#[test]
fn a_better_first_hop_on_the_senders_own_link_is_told() {
    // RFC 1812 §5.2.7.2.
    let (lan, wan) = (InterfaceId(0), InterfaceId(1));
    let net: Ipv4Net = "192.0.2.1/24".parse().unwrap();
    let route = |via: &str, interface| Route {
        to: "203.0.113.0/24".parse().unwrap(),
        via: Some(via.parse().unwrap()),
        interface,
        metric: 0,
        source: None,
        origin: Origin::Static,
    };
    let ip = packet(|_| {}, b"");
    assert!(is_redirect_due(&ip, lan, &route("192.0.2.254", lan), &net));
    assert!(!is_redirect_due(&ip, lan, &route("192.0.2.254", wan), &net));
    assert!(!is_redirect_due(&ip, lan, &route("198.51.100.1", lan), &net), "not on the sender's network");
    assert!(!is_redirect_due(&ip, lan, &route("192.0.2.10", lan), &net), "back to the sender");
    let far = packet(|datagram| datagram.source = "198.51.100.7".parse().unwrap(), b"");
    assert!(!is_redirect_due(&far, lan, &route("192.0.2.254", lan), &net), "the sender is behind a router");
}

#[test]
fn the_example_of_rfc_1624_adds_up() {
    // RFC 1624 §4: HC = DD2F, m = 5555, m' = 3285, HC' = 0000.
    assert_eq!(updated_checksum(0xdd2f, 0x5555, 0x3285), 0x0000);
}

proptest! {
    #[test]
    fn a_checksum_changed_is_the_checksum_recomputed(
        source: [u8; 4], identification: u16, ttl in 2u8.., traffic_class: u8, timestamp: bool, millis: u32,
    ) {
        let option: &[u8] = if timestamp { &[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0] } else { &[] };
        let mut ip = packet(|datagram| {
            datagram.source = Ipv4Addr::from(source).into();
            datagram.hop_limit = ttl;
            datagram.traffic_class = traffic_class;
            datagram.options = SmallVec::from_slice(option);
        }, b"payload");
        ip.identification = identification;
        let seen = options::check(ip.options()).unwrap();
        let onward = send_on(&ip, seen, WayOut { millis, ..way(1500) }).unwrap();
        // `sent` parses, and so verifies the checksum.
        prop_assert_eq!(sent(&onward[0]).ttl, ttl - 1);
    }

    #[test]
    fn random_packets_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 20..120), mtu in 68u16..200, vouched: bool, size: Option<u16>) {
        bytes[0] = 0x40 | (5 + bytes[0] % 11);
        let total_len = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&total_len.to_be_bytes());
        bytes[10..12].fill(0);
        let header_len = usize::from(bytes[0] & 15) * 4;
        let checksum = Sum::ZERO.add_bytes(&bytes[..header_len.min(bytes.len())]).checksum();
        bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
        if let Ok(ip) = ipv4::parse(&bytes.into()) {
            let checksum = if vouched { ReceivedChecksum::Vouched } else { ReceivedChecksum::Unverified };
            let seen = check(&ip, false).unwrap_or_default();
            let _ = send_on(&ip, seen, WayOut { checksum, segment_size: size, ..way(mtu) });
        }
    }
}
