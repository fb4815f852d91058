//! The record of what is out.

use super::*;
use proptest::prelude::*;

const NOW: Instant = Instant::from_secs(5);
const LATER: Instant = Instant::from_secs(6);

fn range(start: u32, end: u32) -> Range {
    Range::new(Seq(start), Seq(end))
}

/// Ten segments of 100, sent as one.
fn ten() -> Flight {
    let mut flight = Flight::default();
    flight.on_sent(range(0, 1000), NOW);
    flight
}

#[test]
fn an_ack_inside_a_record_leaves_the_rest() {
    let mut flight = ten();
    let acked = flight.on_ack(Seq(350), LATER);
    assert_eq!((acked.delivered, acked.rtt), (350, Some(Duration::from_secs(1))));
    assert_eq!((flight.range(), flight.in_network()), (Some(range(350, 1000)), 650));
}

#[test]
fn no_sample_comes_from_what_was_sent_twice() {
    // RFC 9293 MUST-18.
    let mut flight = ten();
    flight.on_resent(range(0, 100), NOW);
    assert_eq!(flight.on_ack(Seq(500), LATER).rtt, None);
    assert_eq!(flight.on_ack(Seq(1000), LATER).rtt, Some(Duration::from_secs(1)));
}

#[test]
fn no_sample_comes_from_sacked_octets_that_were_sent_twice() {
    // RFC 9293 MUST-18.
    let mut flight = ten();
    flight.on_resent(range(200, 300), NOW);
    assert_eq!(flight.on_sack(&[range(200, 300)], LATER).rtt, None);
    assert_eq!(flight.on_sack(&[range(300, 400)], LATER).rtt, Some(Duration::from_secs(1)));
}

#[test]
fn what_is_sent_again_on_suspicion_is_in_the_network_twice_until_it_is_lost() {
    // RFC 6675 §4 SetPipe.
    let mut flight = ten();
    flight.on_sack(&[range(300, 400)], LATER);
    flight.on_doubled(range(0, 100), LATER);
    assert_eq!(flight.in_network(), 1000);
    flight.on_sack(&[range(400, 600)], LATER);
    assert_eq!(flight.mark_lost_below_sacked(100), 200);
    assert_eq!((flight.in_network(), flight.lost(), flight.first_lost()), (500, 200, Some(range(100, 300))));
    flight.on_ack(Seq(100), LATER);
    assert_eq!(flight.in_network(), 400);
    flight.check().unwrap();
}

#[test]
fn sacked_octets_count_once() {
    let mut flight = ten();
    assert_eq!(flight.on_sack(&[range(200, 400)], LATER).delivered, 200);
    assert_eq!(flight.on_sack(&[range(300, 500)], LATER).delivered, 100);
    assert_eq!((flight.sacked(), flight.in_network()), (300, 700));
    assert_eq!(flight.on_ack(Seq(450), LATER).delivered, 200);
    assert_eq!(flight.sacked(), 50);
}

#[test]
fn a_hole_is_lost_when_more_than_two_segments_above_it_arrived() {
    // RFC 6675 §4 IsLost.
    let mut flight = ten();
    flight.on_sack(&[range(100, 300)], LATER);
    assert_eq!(flight.mark_lost_below_sacked(100), 0);
    flight.on_sack(&[range(100, 301)], LATER);
    assert_eq!(flight.mark_lost_below_sacked(100), 100);
    assert_eq!(flight.first_lost(), Some(range(0, 100)));
}

#[test]
fn a_hole_is_lost_when_three_blocks_above_it_arrived() {
    // RFC 6675 §4 IsLost.
    let mut flight = ten();
    flight.on_sack(&[range(100, 110), range(200, 210), range(300, 310)], LATER);
    assert_eq!(flight.mark_lost_below_sacked(100), 100);
    assert_eq!(flight.first_lost(), Some(range(0, 100)));
}

#[test]
fn a_hostile_peer_cannot_split_the_record_without_end() {
    let mut flight = Flight::default();
    flight.on_sent(range(0, 1 << 20), NOW);
    for n in 1..20_000 {
        flight.on_sack(&[range(n * 20, n * 20 + 10)], LATER);
    }
    assert!(flight.records.len() <= TCP_FLIGHT_RECORDS + 1);
    flight.check().unwrap();
}

proptest! {
    /// Whatever happens, the records join up, the sums are theirs, and nothing before the last ACK is kept.
    #[test]
    fn the_sums_are_those_of_the_records(start: u32, steps in proptest::collection::vec((0u8..7, 0u32..3000, 1u32..900), 1..80)) {
        let mut flight = Flight::default();
        let (mut una, mut nxt) = (Seq(start), Seq(start));
        for (step, from, len) in steps {
            let some = Range::starting(una + from, len).intersection(Range::new(una, nxt));
            match step {
                0 | 1 => {
                    flight.on_sent(Range::starting(nxt, len), NOW);
                    nxt += len;
                }
                2 => {
                    una = (una + len).min(nxt);
                    flight.on_ack(una, LATER);
                }
                3 => { flight.on_sack(&[some], LATER); }
                4 => { flight.mark_lost_below_sacked(100); }
                5 => if let Some(lost) = flight.first_lost() { flight.on_resent(lost, LATER); },
                _ => flight.mark_all_lost(),
            }
            prop_assert_eq!(flight.check(), Ok(()));
            let out = flight.range().unwrap_or(Range::new(una, una));
            prop_assert_eq!((out.start, out.end), (una, nxt));
            prop_assert_eq!(flight.in_network() + flight.lost() + flight.sacked(), nxt - una);
        }
    }
}
