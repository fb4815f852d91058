//! Messages, the errors we send, the errors we receive.

use super::errors::{ErrorKind, ErrorLimit, error_datagram, may_be_sent};
use super::received::path_error;
use super::*;
use crate::base::limits;
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use crate::network::ipv4::{self, Ipv4, Part};
use crate::network::packet::PathErrorKind;
use crate::physical::frame::Head;
use ipnet::Ipv4Net;
use proptest::prelude::*;

const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PEER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn bytes_of(message: &Message) -> Bytes {
    let (header, body) = message.emit();
    let mut bytes = header.to_vec();
    body.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.into()
}

fn packet(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8], part: Part) -> Ipv4 {
    let datagram = Datagram::new(source.into(), destination.into(), protocol, TransportHeader::new(), Body::new());
    let mut head = Head::new();
    ipv4::emit(&mut head, &datagram, 9, payload.len(), part).unwrap();
    let mut bytes = head.to_vec();
    bytes.extend_from_slice(payload);
    ipv4::parse(&Bytes::from(bytes)).unwrap()
}

fn udp(source: Ipv4Addr, destination: Ipv4Addr) -> Ipv4 {
    packet(source, destination, protocol::UDP, &[7; 100], Part::WHOLE)
}

fn nets() -> [Ipv4Net; 1] {
    ["192.0.2.2/24".parse().unwrap()]
}

#[test]
fn an_echo_comes_back_with_all_its_data() {
    // RFC 1122 §3.2.2.6: data received in a request MUST be entirely included in the reply.
    let data = Bytes::from(vec![0xa5; 65_507]);
    let echo = Message::Echo { identifier: 3, sequence: 4, data: data.clone() };
    let parsed = Message::parse(&bytes_of(&echo)).unwrap();
    assert_eq!(parsed.answer(0), Some(Message::EchoReply { identifier: 3, sequence: 4, data }));
}

#[test]
fn the_time_is_answered_as_not_the_time_of_day() {
    // RFC 792 "Timestamp": the high bit marks a time that does not count from midnight UT.
    let ask = Message::Timestamp { identifier: 1, sequence: 2, originate: 77 };
    let Some(Message::TimestampReply { originate: 77, receive, transmit, .. }) = ask.answer(5) else { panic!() };
    assert_eq!((receive, transmit), (0x8000_0005, 0x8000_0005));
}

#[test]
fn a_wrong_checksum_and_a_short_message_are_dropped() {
    let bytes = bytes_of(&Message::Echo { identifier: 3, sequence: 4, data: Bytes::from_static(b"abc") });
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Message::parse(&bad.into()), Err(DropReason::IcmpChecksum), "bit {bit}");
    }
    for len in 0..8 {
        assert_eq!(Message::parse(&bytes.slice(..len)), Err(DropReason::IcmpMalformed));
    }
}

#[test]
fn what_is_not_known_is_unknown() {
    // RFC 1122 §3.2.2: an unknown type MUST be silently discarded; 4, 15, 17 are obsolete.
    for kind in [1, 2, 4, 15, 16, 17, 18, 30, 255] {
        let message = Message::Unknown { kind, code: 0 };
        assert_eq!(Message::parse(&bytes_of(&message)), Ok(message));
    }
    let odd_echo = Message::Unknown { kind: kind::ECHO, code: 1 };
    assert_eq!(Message::parse(&bytes_of(&odd_echo)), Ok(odd_echo));
}

#[test]
fn no_error_is_sent_about_what_forbids_one() {
    // RFC 1122 §3.2.2, RFC 1812 §4.3.2.7.
    let fine = udp(PEER, US);
    assert!(may_be_sent(&fine, false, &nets()));
    assert!(!may_be_sent(&fine, true, &nets()), "a link broadcast");
    for destination in ["255.255.255.255", "192.0.2.255", "192.0.2.0", "224.0.0.1"] {
        let ip = udp(PEER, destination.parse().unwrap());
        assert!(!may_be_sent(&ip, false, &nets()), "to {destination}");
    }
    for source in ["0.0.0.0", "127.0.0.1", "192.0.2.255", "192.0.2.0", "224.0.0.1", "255.255.255.255", "240.0.0.1"] {
        let ip = udp(source.parse().unwrap(), US);
        assert!(!may_be_sent(&ip, false, &nets()), "from {source}");
    }
    let first = packet(PEER, US, protocol::UDP, &[0; 8], Part { offset: 0, more: true });
    let second = packet(PEER, US, protocol::UDP, &[0; 8], Part { offset: 8, more: false });
    assert!(may_be_sent(&first, false, &nets()));
    assert!(!may_be_sent(&second, false, &nets()), "a later fragment");
}

#[test]
fn no_error_is_sent_about_an_error() {
    // RFC 1122 §3.2.2: but about a question there is.
    let about = |kind: u8| may_be_sent(&packet(PEER, US, protocol::ICMP, &[kind; 8], Part::WHOLE), false, &nets());
    let allowed: Vec<u8> = (0..=255).filter(|kind| about(*kind)).collect();
    assert_eq!(allowed, [0, 8, 9, 10, 13, 14, 15, 16, 17, 18]);
    assert!(!may_be_sent(&packet(PEER, US, protocol::ICMP, &[], Part::WHOLE), false, &nets()));
}

#[test]
fn an_error_quotes_as_much_as_fits_576_bytes() {
    // RFC 1812 §4.3.2.3.
    for (len, quoted) in [(100, 120), (528, 548), (529, 548), (1480, 548)] {
        let offending = packet(PEER, US, protocol::UDP, &vec![7; len], Part::WHOLE);
        let error = error_datagram(&offending.bytes, ErrorKind::PortUnreachable, US).unwrap();
        assert_eq!(error.payload_len(), 8 + quoted, "{len}");
        assert_eq!((error.source, error.destination), (US.into(), PEER.into()));
        assert_eq!(error.traffic_class, 0xc0, "RFC 1812 §4.3.2.5");
        assert_eq!(error.body[0], offending.bytes[..quoted]);
    }
    assert!(error_datagram(&[0x45; 19], ErrorKind::PortUnreachable, US).is_none());
}

#[test]
fn each_error_has_its_type_code_and_word() {
    let gateway = Ipv4Addr::new(192, 0, 2, 254);
    for (what, head) in [
        (ErrorKind::NetUnreachable, [3, 0, 0, 0, 0, 0]),
        (ErrorKind::HostUnreachable, [3, 1, 0, 0, 0, 0]),
        (ErrorKind::ProtocolUnreachable, [3, 2, 0, 0, 0, 0]),
        (ErrorKind::PortUnreachable, [3, 3, 0, 0, 0, 0]),
        (ErrorKind::FragmentationNeeded { mtu: 1400 }, [3, 4, 0, 0, 5, 120]),
        (ErrorKind::SourceRouteFailed, [3, 5, 0, 0, 0, 0]),
        (ErrorKind::NetProhibited, [3, 9, 0, 0, 0, 0]),
        (ErrorKind::HostProhibited, [3, 10, 0, 0, 0, 0]),
        (ErrorKind::CommunicationProhibited, [3, 13, 0, 0, 0, 0]),
        (ErrorKind::TtlExceeded, [11, 0, 0, 0, 0, 0]),
        (ErrorKind::ReassemblyTimeExceeded, [11, 1, 0, 0, 0, 0]),
        (ErrorKind::ParameterProblem { pointer: 22 }, [12, 0, 22, 0, 0, 0]),
        (ErrorKind::Redirect { gateway }, [5, 1, 192, 0, 2, 254]),
    ] {
        let error = error_datagram(&udp(PEER, US).bytes, what, US).unwrap();
        let header = &error.header;
        assert_eq!([header[0], header[1], header[4], header[5], header[6], header[7]], head, "{what:?}");
    }
}

#[test]
fn errors_are_limited_in_all_and_to_each_destination() {
    // RFC 1812 §4.3.2.8.
    let mut limit = ErrorLimit::new(&mut Random::from_seed(1));
    let now = Instant::from_secs(1);
    let to_one = (0..1000).filter(|_| limit.take(PEER.into(), now)).count();
    assert_eq!(to_one, 20);
    let to_many = (0..1000u32).filter(|n| limit.take(Ipv4Addr::from(*n).into(), now)).count();
    assert_eq!(to_one + to_many, limits::ICMP_ERRORS_BURST as usize);
    assert!(limit.take(PEER.into(), now + Duration::from_secs(1)));
}

fn is_us(address: IpAddr) -> bool {
    address == IpAddr::V4(US)
}

fn told(message: &Message) -> Result<PathErrorKind, DropReason> {
    path_error(message, ROUTER, is_us).map(|error| error.kind)
}

fn unreachable(code: u8, mtu: u16) -> Message {
    Message::Unreachable { code, mtu, quote: udp(US, PEER).bytes }
}

#[test]
fn a_received_error_says_whose_packet_it_is_about() {
    let error = path_error(&unreachable(3, 0), ROUTER, is_us).unwrap();
    assert_eq!((error.local, error.remote), (US.into(), PEER.into()));
    assert_eq!((error.protocol, error.reporter), (protocol::UDP, ROUTER.into()));
    assert_eq!(error.quote, vec![7; 100]);
}

#[test]
fn each_code_has_its_meaning() {
    // RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1.
    use PathErrorKind::*;
    for (codes, kind) in [
        (&[0, 6, 11][..], NetworkUnreachable),
        (&[1, 5, 7, 8, 12], HostUnreachable),
        (&[2], ProtocolUnreachable),
        (&[3], PortUnreachable),
        (&[9, 10, 13, 14, 15], Prohibited),
    ] {
        for code in codes {
            assert_eq!(told(&unreachable(*code, 0)), Ok(kind), "code {code}");
        }
    }
    assert_eq!(told(&unreachable(16, 0)), Err(DropReason::IcmpUnknown));
    let quote = udp(US, PEER).bytes;
    assert_eq!(told(&Message::TimeExceeded { code: 0, quote: quote.clone() }), Ok(TimeExceeded));
    assert_eq!(told(&Message::ParameterProblem { code: 0, pointer: 1, quote: quote.clone() }), Ok(ParameterProblem));
    assert_eq!(told(&Message::Redirect { code: 1, gateway: US, quote }), Err(DropReason::IcmpUnknown));
}

#[test]
fn an_error_about_a_packet_that_is_not_ours_is_refused() {
    let about = |quote: Bytes| told(&Message::Unreachable { code: 3, mtu: 0, quote });
    assert_eq!(about(udp(PEER, US).bytes), Err(DropReason::IcmpNotInFlight));
    assert_eq!(about(udp(US, Ipv4Addr::new(224, 0, 0, 1)).bytes), Err(DropReason::IcmpNotInFlight));
    let whole = udp(US, PEER).bytes;
    assert_eq!(about(whole.slice(..27)), Err(DropReason::IcmpMalformed));
    assert!(about(whole.slice(..28)).is_ok(), "eight bytes are enough");
    assert_eq!(about(Bytes::from(vec![0x60; 40])), Err(DropReason::IcmpMalformed));
    let later = packet(US, PEER, protocol::UDP, &[0; 80], Part { offset: 8, more: true });
    assert_eq!(about(later.bytes), Err(DropReason::IcmpMalformed));
}

#[test]
fn an_mtu_must_be_smaller_than_the_packet_and_not_below_the_minimum() {
    // RFC 1191 §3, §5. The quoted packet has 120 bytes.
    let mtu = |mtu| told(&unreachable(4, mtu));
    for honest in [68, 100, 119] {
        assert_eq!(mtu(honest), Ok(PathErrorKind::PacketTooBig { mtu: honest }));
    }
    for absurd in [1, 67, 120, 1500, 65_535] {
        assert_eq!(mtu(absurd), Err(DropReason::IcmpNotInFlight), "{absurd}");
    }
}

#[test]
fn a_router_that_tells_no_mtu_means_the_next_plateau() {
    // RFC 1191 §7.1.
    for (len, plateau) in [(1500, 1492), (1492, 1006), (1006, 508), (9000, 8166), (69, 68)] {
        let quote = packet(US, PEER, protocol::UDP, &vec![0; len - 20], Part::WHOLE).bytes;
        let message = Message::Unreachable { code: 4, mtu: 0, quote };
        assert_eq!(told(&message), Ok(PathErrorKind::PacketTooBig { mtu: plateau }), "{len}");
    }
    let quote = packet(US, PEER, protocol::UDP, &[0; 48], Part::WHOLE).bytes;
    assert_eq!(told(&Message::Unreachable { code: 4, mtu: 0, quote }), Err(DropReason::IcmpNotInFlight));
}

fn message() -> impl Strategy<Value = Message> {
    let data = || proptest::collection::vec(any::<u8>(), 0..100).prop_map(Bytes::from);
    prop_oneof![
        (any::<u16>(), any::<u16>(), data()).prop_map(|(identifier, sequence, data)| Message::Echo {
            identifier,
            sequence,
            data
        }),
        (any::<u16>(), any::<u16>(), data()).prop_map(|(identifier, sequence, data)| Message::EchoReply {
            identifier,
            sequence,
            data
        }),
        (any::<u8>(), any::<u16>(), data()).prop_map(|(code, mtu, quote)| Message::Unreachable { code, mtu, quote }),
        (any::<u8>(), data()).prop_map(|(code, quote)| Message::TimeExceeded { code, quote }),
        (any::<u8>(), any::<u8>(), data()).prop_map(|(code, pointer, quote)| Message::ParameterProblem {
            code,
            pointer,
            quote
        }),
        (any::<u8>(), any::<[u8; 4]>(), data()).prop_map(|(code, gateway, quote)| Message::Redirect {
            code,
            gateway: gateway.into(),
            quote
        }),
        (any::<u16>(), any::<u16>(), any::<u32>()).prop_map(|(identifier, sequence, originate)| Message::Timestamp {
            identifier,
            sequence,
            originate
        }),
        (any::<u16>(), any::<u16>(), any::<[u32; 3]>()).prop_map(
            |(identifier, sequence, [originate, receive, transmit])| Message::TimestampReply {
                identifier,
                sequence,
                originate,
                receive,
                transmit
            }
        ),
    ]
}

proptest! {
    #[test]
    fn what_is_emitted_parses_to_the_same(message in message()) {
        prop_assert_eq!(Message::parse(&bytes_of(&message)), Ok(message));
    }

    #[test]
    fn random_messages_never_panic(mut bytes: Vec<u8>, kind in 0u8..20, sound: bool) {
        if sound && bytes.len() >= 8 {
            (bytes[0], bytes[2], bytes[3]) = (kind, 0, 0);
            let checksum = Sum::ZERO.add_bytes(&bytes).checksum();
            bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
        }
        if let Ok(message) = Message::parse(&bytes.into()) {
            let _ = path_error(&message, ROUTER, |_| true);
            let _ = message.answer(0);
        }
    }
}
