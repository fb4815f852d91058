//! Cutting and joining again gives the payload; etherparse judges the checksums.

use super::*;
use crate::physical::frame::Body;
use bytes::Bytes;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpSlice, TransportSlice};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
struct Shape {
    v6: bool,
    udp: bool,
    vlan: bool,
}

const SEQ: u32 = 0xffff_f000; // wraps in the middle of most payloads
const ID: u16 = 0xfffe;

/// A super-segment (or, with `size` none, a plain frame) whose head etherparse built and whose payload lies in `parts` pieces.
fn frame(shape: Shape, payload: &[u8], parts: usize, size: Option<u16>) -> OutFrame {
    let link = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let ip = if shape.v6 {
        let (source, destination) = ([0x20; 16], [0x21; 16]);
        if shape.vlan {
            link.single_vlan(7.try_into().unwrap()).ipv6(source, destination, 64)
        } else {
            link.ipv6(source, destination, 64)
        }
    } else {
        let mut header = etherparse::Ipv4Header::new(0, 64, 6.into(), [192, 0, 2, 1], [192, 0, 2, 2]).unwrap();
        header.identification = ID;
        let header = etherparse::IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default());
        if shape.vlan { link.single_vlan(7.try_into().unwrap()).ip(header) } else { link.ip(header) }
    };
    // Built with an empty payload: lengths and checksums of a super-segment's head are those of no real frame.
    let mut bytes = Vec::new();
    let (transport_len, offset) = if shape.udp {
        ip.udp(4000, 5000).write(&mut bytes, &[]).unwrap();
        (8, 6)
    } else {
        let mut tcp = etherparse::TcpHeader::new(4000, 5000, SEQ, 1000);
        (tcp.fin, tcp.psh, tcp.ack, tcp.cwr) = (true, true, true, true);
        tcp.set_options_raw(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]).unwrap();
        ip.tcp_header(tcp).write(&mut bytes, &[]).unwrap();
        (32, 16)
    };
    let start = bytes.len() - transport_len;
    let (source, destination): (IpAddr, IpAddr) = if shape.v6 {
        (Ipv6Addr::from([0x20; 16]).into(), Ipv6Addr::from([0x21; 16]).into())
    } else {
        (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::new(192, 0, 2, 2).into())
    };
    let number = if shape.udp { 17 } else { 6 };
    let whole_len = transport_len + payload.len();
    let pseudo = Sum::ZERO.add_pseudo_header(source, destination, number, whole_len).fold();
    put_u16(&mut bytes, start + offset, pseudo);
    if shape.udp {
        put_u16(&mut bytes, start + 4, whole_len as u16);
    }
    let network = if shape.vlan { 18 } else { 14 };
    if shape.v6 {
        put_u16(&mut bytes, network + 4, whole_len as u16);
    } else {
        put_u16(&mut bytes, network + 2, (20 + whole_len) as u16);
        put_u16(&mut bytes, network + 10, 0);
        let checksum = Sum::ZERO.add_bytes(&bytes[network..network + 20]).checksum();
        put_u16(&mut bytes, network + 10, checksum);
    }
    let body: Body = payload.chunks(payload.len().div_ceil(parts).max(1)).map(Bytes::copy_from_slice).collect();
    OutFrame {
        head: Head::from_slice(&bytes),
        body,
        checksum: Some(PartialChecksum { start: start as u16, offset: offset as u16 }),
        segment_size: size,
        keeps_cwr: false,
    }
}

/// What etherparse reads from one frame, after it has verified every checksum and length.
struct Read {
    payload: Vec<u8>,
    tcp: Option<etherparse::TcpHeader>,
    identification: u16,
}

fn tcp_checksum(net: &NetSlice<'_>, tcp: &TcpSlice<'_>) -> u16 {
    let header = tcp.to_header();
    match net {
        NetSlice::Ipv4(ip) => {
            header.calc_checksum_ipv4_raw(ip.header().source(), ip.header().destination(), tcp.payload()).unwrap()
        }
        NetSlice::Ipv6(ip) => {
            header.calc_checksum_ipv6_raw(ip.header().source(), ip.header().destination(), tcp.payload()).unwrap()
        }
        NetSlice::Arp(_) => unreachable!("no ARP was built"),
    }
}

fn read(bytes: &[u8]) -> Read {
    let packet = SlicedPacket::from_ethernet(bytes).unwrap();
    let net = packet.net.unwrap();
    let identification = match &net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum(), "IPv4 header checksum");
            header.identification
        }
        _ => 0,
    };
    match packet.transport.unwrap() {
        TransportSlice::Tcp(tcp) => {
            assert_eq!(tcp.checksum(), tcp_checksum(&net, &tcp), "TCP checksum");
            Read { payload: tcp.payload().to_vec(), tcp: Some(tcp.to_header()), identification }
        }
        TransportSlice::Udp(udp) => {
            let header = udp.to_header();
            let expected = match &net {
                NetSlice::Ipv4(ip) => {
                    header.calc_checksum_ipv4_raw(ip.header().source(), ip.header().destination(), udp.payload())
                }
                NetSlice::Ipv6(ip) => {
                    header.calc_checksum_ipv6_raw(ip.header().source(), ip.header().destination(), udp.payload())
                }
                NetSlice::Arp(_) => unreachable!("no ARP was built"),
            };
            assert_ne!(header.checksum, 0, "a UDP checksum of zero says there is none (RFC 768)");
            assert_eq!(header.checksum, expected.unwrap(), "UDP checksum");
            assert_eq!(usize::from(header.length), 8 + udp.payload().len());
            Read { payload: udp.payload().to_vec(), tcp: None, identification }
        }
        _ => unreachable!("only TCP and UDP were built"),
    }
}

fn contiguous(segment: &Segment<'_>) -> Vec<u8> {
    let mut buffer = Vec::new();
    segment.write_into(&mut buffer);
    assert_eq!(buffer.len(), segment.len());
    buffer
}

fn check(shape: Shape, payload: &[u8], parts: usize, size: u16) {
    let frame = frame(shape, payload, parts, Some(size));
    let segments = Segments::of(&frame).unwrap();
    let count = segments.len();
    let mut joined = Vec::new();
    for (index, segment) in segments.enumerate() {
        let read = read(&contiguous(&segment));
        let is_last = index + 1 == count;
        assert!(is_last || read.payload.len() == usize::from(size), "only the last may be short");
        if !shape.v6 {
            assert_eq!(read.identification, ID.wrapping_add(index as u16));
        }
        if let Some(tcp) = read.tcp {
            assert_eq!(tcp.sequence_number, SEQ.wrapping_add(joined.len() as u32));
            assert_eq!((tcp.fin, tcp.psh, tcp.cwr, tcp.ack), (is_last, is_last, index == 0, true));
        }
        joined.extend_from_slice(&read.payload);
    }
    assert_eq!(joined, payload);
    assert_eq!(count, payload.len().div_ceil(usize::from(size)).max(1));
}

#[test]
fn all_segments_keep_cwr_where_it_is_a_bit_of_a_field() {
    // RFC 9768 §3.3.4.
    let shape = Shape { v6: false, udp: false, vlan: false };
    let frame = OutFrame { keeps_cwr: true, ..frame(shape, &[7; 3000], 1, Some(1000)) };
    let flags = Segments::of(&frame).unwrap().map(|segment| read(&contiguous(&segment)).tcp.unwrap().cwr);
    assert_eq!(flags.collect::<Vec<_>>(), [true; 3]);
}

proptest! {
    #[test]
    fn the_segments_of_a_super_segment_join_to_its_payload_with_every_checksum_valid(
        v6: bool, udp: bool, vlan: bool,
        payload in proptest::collection::vec(any::<u8>(), 0..9000),
        parts in 1usize..5,
        size in 1u16..3000,
    ) {
        check(Shape { v6, udp, vlan }, &payload, parts, size);
    }

    #[test]
    fn a_plain_frame_leaves_with_its_partial_checksum_completed(
        v6: bool, udp: bool, vlan: bool,
        payload in proptest::collection::vec(any::<u8>(), 0..3000),
        parts in 1usize..5,
    ) {
        let frame = frame(Shape { v6, udp, vlan }, &payload, parts, None);
        let segments: Vec<_> = Segments::of(&frame).unwrap().collect();
        prop_assert_eq!(segments.len(), 1);
        prop_assert_eq!(read(&contiguous(&segments[0])).payload, payload);
    }

    #[test]
    fn no_head_whatever_its_bytes_panics(
        head in proptest::collection::vec(any::<u8>(), 0..120),
        start: u16, offset: u16, partial: bool, size: Option<u16>, ether_type in prop_oneof![Just(0x0800u16), Just(0x86dd), Just(0x8100), any::<u16>()],
    ) {
        let mut head = Head::from_vec(head);
        put_u16(&mut head, 12, ether_type);
        let checksum = partial.then_some(PartialChecksum { start: start % 150, offset: offset % 30 });
        let frame = OutFrame { head, body: Body::from_iter([Bytes::from_static(&[7; 100])]), checksum, segment_size: size, keeps_cwr: false };
        if let Ok(segments) = Segments::of(&frame) {
            let total: usize = segments.map(|segment| segment.body.iter().map(|part| part.len()).sum::<usize>()).sum();
            prop_assert_eq!(total, 100);
        }
    }
}

#[test]
fn a_super_segment_of_64_kib_is_cut_whole() {
    let payload: Vec<u8> = (0..65_000u32).map(|i| (i * 7) as u8).collect();
    check(Shape { v6: false, udp: false, vlan: false }, &payload, 3, 1448);
    check(Shape { v6: true, udp: true, vlan: false }, &payload, 3, 1400);
}

#[test]
fn a_frame_without_metadata_leaves_as_it_is() {
    let mut plain = frame(Shape { v6: false, udp: false, vlan: false }, b"hello", 1, None);
    plain.checksum = None;
    let segment = Segments::of(&plain).unwrap().next().unwrap();
    assert_eq!(segment.head, plain.head);
    assert_eq!(contiguous(&segment).len(), plain.len());
}

#[test]
fn a_udp_checksum_that_comes_out_as_zero_is_sent_as_all_ones() {
    // RFC 768: "If the computed checksum is zero, it is transmitted as all ones".
    let shape = Shape { v6: false, udp: true, vlan: false };
    let zero_sum = (0..=u16::MAX).find(|word| {
        let mut frame = frame(shape, &word.to_be_bytes(), 1, None);
        frame.segment_size = Some(100);
        let head = Segments::of(&frame).unwrap().next().unwrap().head;
        u16_at(&head, head.len() - 2) == Some(0xffff)
    });
    assert!(zero_sum.is_some(), "one of all words makes the sum zero");
}

#[test]
fn segments_can_be_taken_up_again_in_the_middle() {
    let payload: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
    let frame = frame(Shape { v6: false, udp: false, vlan: false }, &payload, 2, Some(1000));
    let all: Vec<_> = Segments::of(&frame).unwrap().map(|segment| contiguous(&segment)).collect();
    let rest: Vec<_> = Segments::of(&frame).unwrap().skip(4).map(|segment| contiguous(&segment)).collect();
    assert_eq!(rest, all[4..]);
}

#[test]
fn metadata_that_contradicts_the_head_is_refused() {
    let shape = Shape { v6: false, udp: false, vlan: false };
    let good = frame(shape, &[1; 300], 1, Some(100));
    let refused = |change: &dyn Fn(&mut OutFrame)| {
        let mut frame = good.clone();
        change(&mut frame);
        Segments::of(&frame).unwrap_err()
    };
    assert_eq!(refused(&|f| f.segment_size = Some(0)), Malformed::ZeroSize);
    assert_eq!(
        refused(&|f| f.checksum = Some(PartialChecksum { start: 34, offset: 90 })),
        Malformed::ChecksumOutsideHead
    );
    assert_eq!(refused(&|f| f.head.push(0)), Malformed::Headers);
    assert_eq!(refused(&|f| f.head[12] = 0x90), Malformed::Headers);
    assert_eq!(refused(&|f| f.checksum = Some(PartialChecksum { start: 20, offset: 16 })), Malformed::Headers);
}
