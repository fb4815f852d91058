//! Fragments in every order, and those that must not be put together.

use super::*;
use crate::base::time::Duration;
use crate::network::fragment;
use crate::network::ipv4;
use crate::network::packet::{Datagram, TransportHeader};
use crate::physical::frame::Body;
use proptest::prelude::*;

const LAN: InterfaceId = InterfaceId(0);
const NOW: Instant = Instant::from_secs(10);

fn reassembly() -> Reassembly {
    Reassembly::new(&mut Random::from_seed(1))
}

fn datagram(payload: &[u8]) -> Datagram {
    let body = Body::from_iter([Bytes::copy_from_slice(payload)]);
    let (source, destination) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    Datagram::new(source.into(), destination.into(), 17, TransportHeader::new(), body)
}

/// One fragment: `payload` at `offset` of datagram `identification`.
fn piece(identification: u16, offset: usize, payload: &[u8], more: bool) -> Ipv4 {
    with_tos(identification, offset, payload, more, 0)
}

fn with_tos(identification: u16, offset: usize, payload: &[u8], more: bool, traffic_class: u8) -> Ipv4 {
    let mut head = crate::physical::frame::Head::new();
    let datagram = Datagram { traffic_class, ..datagram(b"") };
    ipv4::emit(&mut head, &datagram, identification, payload.len(), ipv4::Part { offset, more }).unwrap();
    head.extend_from_slice(payload);
    ipv4::parse(&Bytes::from(head.to_vec())).unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 + n / 256) as u8).collect()
}

fn fragments(payload: &[u8], mtu: u16) -> Vec<Ipv4> {
    let fragments = fragment::cut(&datagram(payload), mtu, 7).unwrap();
    let joined = |f: fragment::Fragment| {
        let mut bytes = f.head.to_vec();
        f.body.iter().for_each(|part| bytes.extend_from_slice(part));
        ipv4::parse(&Bytes::from(bytes)).unwrap()
    };
    fragments.into_iter().map(joined).collect()
}

#[test]
fn the_last_missing_fragment_completes_the_datagram() {
    let mut reassembly = reassembly();
    let payload = pattern(4000);
    let fragments = fragments(&payload, 1500);
    assert_eq!(fragments.len(), 3);
    assert_eq!(reassembly.receive(LAN, &fragments[2], NOW), Ok(None));
    assert_eq!(reassembly.receive(LAN, &fragments[0], NOW), Ok(None));
    let whole = reassembly.receive(LAN, &fragments[1], NOW).unwrap().unwrap();
    assert_eq!(whole.payload, payload);
    assert_eq!(whole.first.bytes, fragments[0].bytes);
    assert_eq!((reassembly.bytes(), reassembly.len(), reassembly.deadline()), (0, 0, None));
}

#[test]
fn the_longest_datagram_is_put_together_even_from_small_links() {
    let payload = pattern(65_515);
    for mtu in [1500, 576] {
        let mut reassembly = reassembly();
        let last = fragments(&payload, mtu).iter().filter_map(|f| reassembly.receive(LAN, f, NOW).unwrap()).last();
        assert_eq!(last.unwrap().payload, payload, "MTU {mtu}");
    }
}

#[test]
fn an_exact_duplicate_is_ignored() {
    let mut reassembly = reassembly();
    let payload = pattern(3000);
    let fragments = fragments(&payload, 1500);
    for _ in 0..3 {
        assert_eq!(reassembly.receive(LAN, &fragments[0], NOW), Ok(None));
        assert_eq!(reassembly.receive(LAN, &fragments[2], NOW), Ok(None));
    }
    assert_eq!(reassembly.receive(LAN, &fragments[1], NOW).unwrap().unwrap().payload, payload);
}

#[test]
fn an_overlap_discards_the_datagram_and_what_is_still_to_come_of_it() {
    // RFC 5722 §3, held for IPv4 too.
    let overlaps = [
        piece(7, 8, &[1; 16], true),  // Into the one behind.
        piece(7, 0, &[1; 16], true),  // Longer than the one at the same place.
        piece(7, 0, &[9; 8], true),   // As long, but different.
        piece(7, 24, &[1; 16], true), // Beyond the end.
        piece(7, 24, &[1; 4], false), // Another end.
        piece(7, 8, &[1; 8], false),  // An end before what is there.
        piece(7, 16, &[1; 8], true),  // Inside the last, at its start.
        piece(7, 24, &[0; 8], true),  // Inside the last, at its end.
        piece(7, 32, &[1; 8], true),  // Behind the end.
        piece(7, 32, &[1; 4], false), // Another end, behind the first.
    ];
    for overlap in overlaps {
        let mut reassembly = reassembly();
        assert_eq!(reassembly.receive(LAN, &piece(7, 0, &[0; 8], true), NOW), Ok(None));
        assert_eq!(reassembly.receive(LAN, &piece(7, 16, &[0; 16], false), NOW), Ok(None));
        assert_eq!(reassembly.receive(LAN, &overlap, NOW), Err(DropReason::FragmentOverlap), "{overlap:?}");
        assert_eq!(
            reassembly.receive(LAN, &piece(7, 8, &[0; 8], true), NOW),
            Err(DropReason::FragmentOverlap),
            "the missing piece comes too late after {overlap:?}"
        );
        let expired = reassembly.handle_timeout(NOW + limits::REASSEMBLY_TIMEOUT);
        assert_eq!(expired, [Expired { interface: LAN, first_fragment: None }]);
        assert_eq!(reassembly.bytes(), 0);
    }
}

#[test]
fn a_last_fragment_before_another_discards_the_datagram() {
    let mut reassembly = reassembly();
    assert_eq!(reassembly.receive(LAN, &piece(7, 16, &[0; 8], true), NOW), Ok(None));
    let last = piece(7, 0, &[0; 8], false);
    // Not a fragment at all, this one: it has neither offset nor successor.
    assert!(reassembly.receive(LAN, &last, NOW).unwrap().is_some());
    let last = piece(7, 8, &[0; 4], false);
    assert_eq!(reassembly.receive(LAN, &last, NOW), Err(DropReason::FragmentOverlap));
}

#[test]
fn nothing_reaches_beyond_the_longest_datagram() {
    // The "ping of death".
    let mut reassembly = reassembly();
    let verdict = |reassembly: &mut Reassembly, offset, len| {
        reassembly.receive(LAN, &piece(7, offset, &vec![0; len], false), NOW)
    };
    assert_eq!(verdict(&mut reassembly, 65_528, 8), Err(DropReason::FragmentMalformed));
    assert_eq!(verdict(&mut reassembly, 65_512, 4), Err(DropReason::FragmentMalformed));
    assert_eq!(reassembly.bytes(), 0);
    assert_eq!(verdict(&mut reassembly, 65_512, 3), Ok(None));
}

#[test]
fn empty_and_ragged_fragments_are_malformed() {
    // RFC 791 §3.2: fragments are multiples of eight bytes but for the last.
    let mut reassembly = reassembly();
    for fragment in [piece(7, 8, &[], true), piece(7, 8, &[], false), piece(7, 0, &[0; 9], true)] {
        assert_eq!(reassembly.receive(LAN, &fragment, NOW), Err(DropReason::FragmentMalformed), "{fragment:?}");
    }
    assert!(reassembly.is_empty());
}

#[test]
fn a_datagram_is_told_by_its_addresses_protocol_identification_and_interface() {
    let mut reassembly = reassembly();
    let first = piece(7, 0, &[0; 8], true);
    assert_eq!(reassembly.receive(LAN, &first, NOW), Ok(None));
    let last = piece(7, 8, &[0; 8], false);
    for other in [
        Ipv4 { identification: 8, ..last.clone() },
        Ipv4 { source: Ipv4Addr::new(192, 0, 2, 9), ..last.clone() },
        Ipv4 { destination: Ipv4Addr::new(192, 0, 2, 9), ..last.clone() },
        Ipv4 { protocol: 6, ..last.clone() },
    ] {
        assert_eq!(reassembly.receive(LAN, &other, NOW), Ok(None));
    }
    assert_eq!(reassembly.receive(InterfaceId(1), &last, NOW), Ok(None));
    assert!(reassembly.receive(LAN, &last, NOW).unwrap().is_some());
}

#[test]
fn a_datagram_that_stays_incomplete_expires_with_its_first_fragment_if_that_came() {
    // RFC 792 "Time Exceeded": if fragment zero is not available, none need be sent.
    let mut reassembly = reassembly();
    let first = piece(1, 0, &[5; 8], true);
    reassembly.receive(LAN, &first, NOW).unwrap();
    reassembly.receive(LAN, &piece(2, 8, &[5; 8], true), NOW + Duration::from_secs(1)).unwrap();
    // Later fragments don't extend the time (RFC 1122 §3.3.2).
    reassembly.receive(LAN, &piece(1, 16, &[5; 8], true), NOW + Duration::from_secs(2)).unwrap();
    let deadline = NOW + limits::REASSEMBLY_TIMEOUT;
    assert_eq!(reassembly.deadline(), Some(deadline));
    assert_eq!(reassembly.handle_timeout(deadline - Duration::from_nanos(1)), []);
    assert_eq!(
        reassembly.handle_timeout(deadline),
        [Expired { interface: LAN, first_fragment: Some(first.bytes.clone()) }]
    );
    assert_eq!(
        reassembly.handle_timeout(deadline + Duration::from_secs(1)),
        [Expired { interface: LAN, first_fragment: None }]
    );
    assert_eq!((reassembly.bytes(), reassembly.deadline()), (0, None));
}

#[test]
fn memory_is_bounded_and_the_oldest_makes_room() {
    let mut reassembly = reassembly();
    for n in 0..500u16 {
        for part in 0..10 {
            let _ = reassembly.receive(LAN, &piece(n, part * 1480, &pattern(1480), true), NOW);
            assert!(reassembly.bytes() <= limits::REASSEMBLY_BYTES);
        }
    }
    assert!(reassembly.len() < 500);
    // The newest is untouched.
    assert!(reassembly.receive(LAN, &piece(499, 14_800, &[0; 8], false), NOW).unwrap().is_some());
    reassembly.handle_timeout(NOW + limits::REASSEMBLY_TIMEOUT);
    assert_eq!(reassembly.bytes(), 0);
}

#[test]
fn the_number_of_datagrams_and_of_fragments_is_bounded() {
    let mut reassembly = reassembly();
    for n in 0..5_000u16 {
        reassembly.receive(LAN, &piece(n, 0, &[0; 8], true), NOW).unwrap();
    }
    assert_eq!(reassembly.len(), limits::REASSEMBLY_DATAGRAMS);
    let mut reassembly = self::reassembly();
    for n in 0..limits::REASSEMBLY_FRAGMENTS {
        assert_eq!(reassembly.receive(LAN, &piece(1, n * 16, &[0; 8], true), NOW), Ok(None));
    }
    let one_more = piece(1, limits::REASSEMBLY_FRAGMENTS * 16, &[0; 8], true);
    assert_eq!(reassembly.receive(LAN, &one_more, NOW), Err(DropReason::FragmentMalformed));
    assert!(reassembly.bytes() <= OVERHEAD);
}

#[test]
fn congestion_on_the_way_of_one_fragment_marks_the_whole() {
    // RFC 3168 §5.3.
    let whole = |first: u8, second: u8| {
        let mut reassembly = reassembly();
        reassembly.receive(LAN, &with_tos(1, 0, &[0; 8], true, first), NOW).unwrap();
        reassembly.receive(LAN, &with_tos(1, 8, &[0; 8], false, second), NOW).map(|whole| whole.unwrap().first.tos)
    };
    assert_eq!(whole(2, 3), Ok(3));
    assert_eq!(whole(0x42, 0x42), Ok(0x42));
    assert_eq!(whole(0, 0), Ok(0));
    assert_eq!(whole(0, 3), Err(DropReason::FragmentMalformed));
}

#[test]
fn pieces_do_not_pin_the_receive_buffer() {
    let mut reassembly = reassembly();
    let fragment = piece(1, 8, &[0; 8], true);
    reassembly.receive(LAN, &fragment, NOW).unwrap();
    assert!(fragment.bytes.is_unique());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn any_order_of_any_cut_with_any_duplicates_gives_the_original(
        len in 1usize..20_000, mtu in 300u16..3000, seed: u64,
    ) {
        let payload = pattern(len);
        let mut random = Random::from_seed(seed);
        let mut pieces = fragments(&payload, mtu);
        for n in (1..pieces.len()).rev() {
            let other = random.below(n as u64 + 1) as usize;
            pieces.swap(n, other);
        }
        let mut reassembly = reassembly();
        let mut result = None;
        for n in 0..pieces.len() {
            prop_assert!(result.is_none(), "complete before the last piece");
            result = reassembly.receive(LAN, &pieces[n], NOW).unwrap();
            if result.is_none() && random.chance(0.3) {
                let again = random.below(n as u64 + 1) as usize;
                prop_assert_eq!(reassembly.receive(LAN, &pieces[again], NOW), Ok(None));
            }
        }
        prop_assert_eq!(result.unwrap().payload, Bytes::from(payload));
        prop_assert_eq!((reassembly.bytes(), reassembly.len()), (0, 0));
    }

    #[test]
    fn random_fragments_never_panic_and_the_memory_adds_up(
        pieces in proptest::collection::vec((0u16..3, 0usize..20, 0usize..60, any::<bool>()), 0..80)
    ) {
        let mut reassembly = reassembly();
        for (identification, units, len, more) in pieces {
            if let Ok(Some(whole)) = reassembly.receive(LAN, &piece(identification, units * 8, &vec![0; len], more), NOW) {
                prop_assert!(whole.payload.len() < 300);
            }
            let recount: usize = reassembly.partial.iter().map(|(_, partial)| partial.charge).sum();
            prop_assert_eq!(reassembly.bytes(), recount);
        }
        reassembly.handle_timeout(NOW + limits::REASSEMBLY_TIMEOUT);
        prop_assert_eq!((reassembly.bytes(), reassembly.len()), (0, 0));
    }
}
