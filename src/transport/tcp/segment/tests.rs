//! Segments between the wire and their parts.

use super::*;
use crate::datalink::InterfaceId;
use crate::network::packet::Cast;
use crate::transport::tcp::options::Timestamps;
use proptest::prelude::*;

fn header() -> Header {
    Header {
        local: "192.0.2.1:80".parse().unwrap(),
        remote: "192.0.2.2:4000".parse().unwrap(),
        seq: Seq(0x0102_0304),
        ack: Seq(0x0506_0708),
        flags: Flags::ACK | Flags::PSH,
        window: 4096,
        urgent: 0,
    }
}

/// What the other end receives when `datagram` is sent, its checksum completed on the way out.
fn received(datagram: &Datagram) -> Packet {
    let mut bytes = datagram.header.to_vec();
    for part in &datagram.body {
        bytes.extend_from_slice(part);
    }
    let checksum = Sum::ZERO.add_bytes(&bytes).checksum();
    bytes[16..18].copy_from_slice(&checksum.to_be_bytes());
    Packet {
        source: datagram.source,
        destination: datagram.destination,
        protocol: datagram.protocol,
        hop_limit: datagram.hop_limit,
        traffic_class: datagram.traffic_class,
        cast: Cast::Unicast,
        payload: bytes.into(),
        datagram: Bytes::new(),
        checksum: ReceivedChecksum::Unverified,
        segment_size: datagram.segment_size,
        interface: InterfaceId(0),
    }
}

fn payload(text: &'static [u8]) -> Body {
    Body::from_iter([Bytes::from_static(text)])
}

#[test]
fn what_is_emitted_parses_to_itself() {
    let options = Options { timestamps: Some(Timestamps { value: 1, echo: 2 }), ..Options::default() };
    let packet = received(&emit(&header(), &options, payload(b"hello"), Some(5)));
    let (source, destination, segment) = Segment::parse(&packet).unwrap();
    assert_eq!((source, destination), (80, 4000));
    let Header { seq, ack, flags, window, urgent, .. } = header();
    let expected = Segment {
        seq,
        ack,
        flags,
        window,
        urgent,
        options,
        payload: Bytes::from_static(b"hello"),
        segment_size: Some(5),
        traffic_class: 0,
    };
    assert_eq!(segment, expected);
}

#[test]
fn a_wrong_checksum_is_dropped_unless_the_device_vouches() {
    // RFC 9293 MUST-2, MUST-3.
    let mut packet = received(&emit(&header(), &Options::default(), payload(b"hello"), None));
    let mut bytes = packet.payload.to_vec();
    bytes[22] ^= 1;
    packet.payload = bytes.into();
    assert_eq!(Segment::parse(&packet).unwrap_err(), DropReason::TcpChecksum);
    packet.checksum = ReceivedChecksum::Vouched;
    assert!(Segment::parse(&packet).is_ok());
}

#[test]
fn the_checksum_covers_the_addresses() {
    // RFC 9293 §3.1, pseudo-header.
    let mut packet = received(&emit(&header(), &Options::default(), payload(b"hello"), None));
    packet.source = "192.0.2.99".parse().unwrap();
    assert_eq!(Segment::parse(&packet).unwrap_err(), DropReason::TcpChecksum);
}

#[test]
fn a_truncated_header_is_malformed() {
    let whole = received(&emit(&header(), &Options { mss: Some(1460), ..Options::default() }, Body::new(), None));
    for length in 0..24 {
        let packet = Packet { payload: whole.payload.slice(..length), ..whole.clone() };
        assert_eq!(Segment::parse(&packet).unwrap_err(), DropReason::TcpMalformed, "length {length}");
    }
}

#[test]
fn syn_and_fin_occupy_sequence_numbers() {
    let mut segment = Segment { payload: Bytes::from_static(b"abc"), ..Segment::default() };
    assert_eq!(segment.len(), 3);
    segment.flags = Flags::SYN | Flags::FIN;
    assert_eq!(segment.len(), 5);
    assert!(Segment::default().is_empty());
}

#[test]
fn a_segment_may_not_be_fragmented_and_tells_where_its_checksum_stands() {
    let datagram = emit(&header(), &Options::default(), Body::new(), None);
    assert!(datagram.dont_fragment);
    assert_eq!(datagram.checksum_offset, Some(16));
}

proptest! {
    #[test]
    fn any_octets_parse_or_are_dropped(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut packet = received(&emit(&header(), &Options::default(), Body::new(), None));
        packet.payload = octets.into();
        packet.checksum = ReceivedChecksum::Vouched;
        let _ = Segment::parse(&packet);
    }
}
