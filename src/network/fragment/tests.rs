//! Cutting, by itself; together with putting together it is tested in `reassembly`.

use super::*;
use crate::network::options::ROUTER_ALERT_OPTION;
use proptest::prelude::*;
use std::net::Ipv4Addr;

const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn datagram(header: &[u8], parts: &[&[u8]]) -> Datagram {
    let body = parts.iter().map(|part| Bytes::copy_from_slice(part)).collect();
    Datagram::new(A.into(), B.into(), protocol::UDP, TransportHeader::from_slice(header), body)
}

fn parsed(fragment: &Fragment) -> Ipv4 {
    let mut bytes = fragment.head.to_vec();
    fragment.body.iter().for_each(|part| bytes.extend_from_slice(part));
    ipv4::parse(&Bytes::from(bytes)).unwrap()
}

#[test]
fn a_datagram_that_fits_stays_in_one_piece() {
    let fragments = cut(&datagram(&[1; 8], &[&[2; 1472]]), 1500, 5).unwrap();
    assert_eq!(fragments.len(), 1);
    assert!(!parsed(&fragments[0]).is_fragment());
    assert_eq!(cut(&datagram(&[1; 8], &[&[2; 1473]]), 1500, 5).unwrap().len(), 2);
}

#[test]
fn the_payload_is_not_copied() {
    let datagram = datagram(&[1; 8], &[&[2; 1000], &[3; 3000]]);
    let fragments = cut(&datagram, 1500, 5).unwrap();
    let sources: Vec<_> = datagram.body.iter().map(|part| part.as_ptr_range()).collect();
    for part in fragments.iter().flat_map(|fragment| &fragment.body).filter(|part| part.len() > 8) {
        assert!(sources.iter().any(|source| source.contains(&part.as_ptr())));
    }
}

#[test]
fn what_must_not_be_fragmented_is_not() {
    // RFC 791 §3.2: the Don't Fragment flag.
    let datagram = Datagram { dont_fragment: true, ..datagram(&[], &[&[0; 1481]]) };
    assert_eq!(cut(&datagram, 1500, 0).err(), Some(CannotCut::DontFragment));
    assert!(cut(&datagram, 1501, 0).is_ok());
}

#[test]
fn the_smallest_link_still_carries_fragments() {
    // RFC 791 §3.2: every link carries 68 bytes, the longest header and eight more.
    let options = SmallVec::from_iter([1; 40]);
    let datagram = Datagram { options, ..datagram(&[7; 8], &[&[0; 100]]) };
    assert!(cut(&datagram, 68, 0).is_ok());
    assert_eq!(cut(&datagram, 67, 0).err(), Some(CannotCut::MtuTooSmall));
    assert!(matches!(cut(&self::datagram(&[], &[&[0; 70_000]]), 1500, 0), Err(CannotCut::Header(_)) | Ok(_)));
}

#[test]
fn only_options_that_ask_for_it_are_copied() {
    // RFC 791 §3.1 "Copied Flag": Router Alert is, Record Route is not.
    let mut options = SmallVec::from_slice(&ROUTER_ALERT_OPTION);
    options.extend_from_slice(&[7, 7, 4, 0, 0, 0, 0, 0]);
    let fragments = cut(&Datagram { options, ..datagram(&[], &[&[0; 2000]]) }, 600, 0).unwrap();
    assert_eq!(parsed(&fragments[0]).header_len, 32);
    for fragment in &fragments[1..] {
        assert_eq!(parsed(fragment).options(), ROUTER_ALERT_OPTION);
    }
}

#[test]
fn a_checksum_left_to_the_device_is_completed_before_cutting() {
    let payload: Vec<u8> = (0..3001u32).map(|n| (n * 7) as u8).collect();
    let len = 8 + payload.len();
    let pseudo = Sum::ZERO.add_pseudo_header(A.into(), B.into(), protocol::UDP, len);
    let mut header = [0, 7, 0, 9, (len >> 8) as u8, len as u8, 0, 0];
    header[6..].copy_from_slice(&pseudo.fold().to_be_bytes());
    let (front, back) = payload.split_at(1001);
    let datagram = Datagram { checksum_offset: Some(6), ..datagram(&header, &[front, back]) };
    let fragments = cut(&datagram, 576, 0).unwrap();
    let whole: Vec<u8> = fragments.iter().flat_map(|fragment| parsed(fragment).payload().to_vec()).collect();
    assert!(pseudo.add_bytes(&whole).is_valid());
    assert_eq!(whole[8..], payload);
}

#[test]
fn a_fragment_on_its_way_through_is_cut_again_in_its_place() {
    // RFC 1812 §4.2.2.7.
    let first = cut(&datagram(&[], &[&(0..=255).cycle().take(3000).collect::<Vec<u8>>()]), 1500, 77).unwrap();
    let middle = parsed(&first[1]);
    assert!(middle.more_fragments && middle.fragment_offset == 1480);
    let again = cut_received(&middle, middle.payload(), 9, &[], 576).unwrap();
    let again: Vec<Ipv4> = again.iter().map(parsed).collect();
    assert_eq!(again.iter().map(|ip| ip.fragment_offset).collect::<Vec<_>>(), [1480, 2032, 2584]);
    assert!(again.iter().all(|ip| ip.more_fragments && ip.identification == 77 && ip.ttl == 9));
    let bytes: Vec<u8> = again.iter().flat_map(|ip| ip.payload().to_vec()).collect();
    assert_eq!(bytes, middle.payload());
}

proptest! {
    #[test]
    fn the_fragments_are_the_datagram(
        header in proptest::collection::vec(any::<u8>(), 0..60),
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..6),
        mtu in 68u16..2000, identification: u16,
    ) {
        let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
        let fragments: Vec<Ipv4> =
            cut(&datagram(&header, &parts), mtu, identification).unwrap().iter().map(parsed).collect();
        let mut offset = 0;
        for (n, ip) in fragments.iter().enumerate() {
            prop_assert!(ip.total_len <= usize::from(mtu));
            prop_assert_eq!(ip.fragment_offset, offset);
            prop_assert_eq!(ip.identification, identification);
            prop_assert_eq!(ip.more_fragments, n + 1 < fragments.len());
            offset += ip.payload().len();
        }
        let payload: Vec<u8> = fragments.iter().flat_map(|ip| ip.payload().to_vec()).collect();
        prop_assert_eq!(payload, [&header[..], &parts.concat()].concat());
    }
}
