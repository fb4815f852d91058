//! The record of what is out.

use super::*;
use crate::base::time::Duration;
use proptest::prelude::*;

const NOW: Instant = Instant::from_secs(5);
const LATER: Instant = Instant::from_secs(6);

/// An ACK at `now` that says nothing about time.
fn at(now: Instant) -> AckTime {
    AckTime { now, ..AckTime::default() }
}

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
    let acked = flight.on_ack(Seq(350), &at(LATER));
    assert_eq!((acked.octets, acked.rtt), (350, Some(Duration::from_secs(1))));
    assert_eq!((flight.range(), flight.in_network()), (Some(range(350, 1000)), 650));
}

#[test]
fn no_sample_comes_from_what_was_sent_twice() {
    // RFC 9293 MUST-18.
    let mut flight = ten();
    flight.on_resent(range(0, 100), NOW);
    assert_eq!(flight.on_ack(Seq(500), &at(LATER)).rtt, None);
    assert_eq!(flight.on_ack(Seq(1000), &at(LATER)).rtt, Some(Duration::from_secs(1)));
}

#[test]
fn no_sample_comes_from_sacked_octets_that_were_sent_twice() {
    // RFC 9293 MUST-18.
    let mut flight = ten();
    flight.on_resent(range(200, 300), NOW);
    assert_eq!(flight.on_sack(&[range(200, 300)], &at(LATER)).rtt, None);
    assert_eq!(flight.on_sack(&[range(300, 400)], &at(LATER)).rtt, Some(Duration::from_secs(1)));
}

#[test]
fn what_is_sent_again_on_suspicion_is_in_the_network_twice_until_it_is_lost() {
    // RFC 6675 §4 SetPipe.
    let mut flight = ten();
    flight.on_doubled(range(900, 1000), LATER);
    assert_eq!((flight.in_network(), flight.resent()), (1100, 100));
    flight.mark_in_network_lost();
    assert_eq!((flight.in_network(), flight.lost(), flight.resent()), (0, 1000, 0));
    flight.check().unwrap();
}

#[test]
fn sacked_octets_count_once() {
    let mut flight = ten();
    assert_eq!(flight.on_sack(&[range(200, 400)], &at(LATER)).octets, 200);
    assert_eq!(flight.on_sack(&[range(300, 500)], &at(LATER)).octets, 100);
    assert_eq!((flight.sacked(), flight.in_network()), (300, 700));
    assert_eq!(flight.on_ack(Seq(450), &at(LATER)).octets, 200);
    assert_eq!(flight.sacked(), 50);
}

#[test]
fn three_segments_above_a_gap_are_enough_by_octets_or_by_pieces() {
    // RFC 6675 §2: DupThresh.
    let mut flight = ten();
    flight.on_sack(&[range(100, 300)], &at(LATER));
    assert!(!flight.is_dup_thresh_sacked(100));
    flight.on_sack(&[range(100, 301)], &at(LATER));
    assert!(flight.is_dup_thresh_sacked(100));
    let mut flight = ten();
    flight.on_sack(&[range(100, 110), range(200, 210), range(300, 310)], &at(LATER));
    assert!(flight.is_dup_thresh_sacked(100));
    flight.on_ack(Seq(310), &at(LATER));
    assert!(!flight.is_dup_thresh_sacked(100));
}

/// Ten segments of 100, each sent a millisecond after the one before; what arrives does so in that order.
fn one_by_one() -> Flight {
    let mut flight = Flight::default();
    (0..10).for_each(|n| flight.on_sent(Range::starting(Seq(n * 100), 100), NOW + ms(n.into())));
    flight
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn what_was_sent_before_something_that_arrived_is_lost_after_the_patience_and_no_sooner() {
    // RFC 8985 §6.2 step 5.
    let mut flight = one_by_one();
    let newest = flight.on_sack(&[range(500, 600)], &at(NOW + ms(20))).newest.unwrap();
    assert_eq!((newest.xmit_ts, newest.end_seq), (NOW + ms(5), Seq(600)));
    let (lost, again) = flight.mark_lost_by_time(newest, ms(18), NOW + ms(20));
    // 0, 1 and 2 ms after the beginning; the last of the others is due at 4 + 18 ms.
    assert_eq!((lost, again), (300, Some(NOW + ms(22))));
    assert_eq!(flight.first_lost(), Some(range(0, 300)));
    assert_eq!(flight.mark_lost_by_time(newest, ms(18), NOW + ms(22)), (200, None));
    assert_eq!((flight.lost(), flight.in_network()), (500, 400));
}

#[test]
fn parts_of_what_was_sent_at_once_are_told_apart_by_their_numbers() {
    // RFC 8985 §6.2 step 2: RACK_sent_after.
    let mut flight = ten();
    let newest = flight.on_sack(&[range(300, 400)], &at(LATER)).newest.unwrap();
    assert_eq!(flight.mark_lost_by_time(newest, Duration::ZERO, LATER), (300, None));
    assert_eq!((flight.first_lost(), flight.in_network()), (Some(range(0, 300)), 600));
}

#[test]
fn a_retransmission_is_lost_when_what_was_sent_after_it_arrives() {
    // RFC 8985 §6.2: that is what times are good for.
    let mut flight = one_by_one();
    flight.on_resent(range(0, 100), NOW + ms(30));
    flight.on_sent(range(1000, 1100), NOW + ms(31));
    let newest = flight.on_sack(&[range(1000, 1100)], &at(NOW + ms(40))).newest.unwrap();
    flight.mark_lost_by_time(newest, ms(9), NOW + ms(40));
    assert_eq!(flight.first_lost(), Some(range(0, 1000)));
}

#[test]
fn what_was_sent_again_meanwhile_hides_nothing_behind_it() {
    // RFC 8985 §6.2 step 5: it was sent after what arrived, but what follows was not.
    let mut flight = one_by_one();
    flight.on_resent(range(0, 100), NOW + ms(30));
    let newest = flight.on_sack(&[range(500, 600)], &at(NOW + ms(40))).newest.unwrap();
    assert_eq!(flight.mark_lost_by_time(newest, ms(1), NOW + ms(40)), (400, None));
    assert_eq!(flight.first_lost(), Some(range(100, 500)));
}

#[test]
fn an_answer_that_must_be_to_the_first_transmission_says_nothing_of_the_second() {
    // RFC 8985 §6.2 step 2.
    let resent = || {
        let mut flight = one_by_one();
        flight.on_resent(range(0, 100), NOW + ms(30));
        flight
    };
    let newest = |time| resent().on_ack(Seq(100), &time).newest;
    assert!(newest(at(NOW + ms(35))).is_some());
    assert_eq!(newest(AckTime { echo: Some((NOW + ms(29)).as_millis()), ..at(NOW + ms(35)) }), None);
    assert!(newest(AckTime { echo: Some((NOW + ms(30)).as_millis()), ..at(NOW + ms(35)) }).is_some());
    assert_eq!(newest(AckTime { min_rtt: Some(ms(10)), ..at(NOW + ms(35)) }), None);
}

#[test]
fn what_comes_after_something_sent_later_is_reordered() {
    // RFC 8985 §6.2 step 3.
    let mut flight = one_by_one();
    // In one ACK the order of the blocks says nothing: those between were lost.
    assert!(flight.on_sack(&[range(500, 600), range(300, 400)], &at(LATER)).reordered.is_none());
    assert!(flight.clone().on_sack(&[range(400, 500)], &at(LATER)).reordered.is_some());
    assert!(flight.clone().on_ack(Seq(100), &at(LATER)).reordered.is_some());
    assert!(flight.clone().on_sack(&[range(600, 700)], &at(LATER)).reordered.is_none());
    // What was sent again may come late.
    flight.on_resent(range(0, 100), LATER);
    assert!(flight.on_ack(Seq(100), &at(LATER)).reordered.is_none());
}

#[test]
fn neighbours_at_the_receiver_are_one_record() {
    let mut flight = one_by_one();
    for n in [3, 5, 4, 7, 6] {
        flight.on_sack(&[Range::starting(Seq(n * 100), 100)], &at(LATER));
        flight.check().unwrap();
    }
    assert_eq!(flight.records.len(), 6);
    flight.on_sack(&[range(300, 900)], &at(LATER));
    assert_eq!((flight.records.len(), flight.sacked()), (5, 600));
    flight.check().unwrap();
}

#[test]
fn a_timeout_takes_the_first_segment_and_what_is_overdue_for_lost() {
    // RFC 8985 §6.3.
    let mut flight = one_by_one();
    flight.on_sack(&[range(200, 300)], &at(LATER));
    flight.mark_lost_on_timeout(100, ms(40), NOW + ms(43));
    // Sent at 0, 1 and 3 ms; what was at the receiver stays there.
    assert_eq!((flight.lost(), flight.sacked(), flight.in_network()), (300, 100, 600));
    flight.unmark_lost();
    assert_eq!((flight.lost(), flight.in_network()), (0, 900));
    // The first, however short ago it was sent.
    flight.mark_lost_on_timeout(100, ms(1000), NOW + ms(43));
    assert_eq!(flight.first_lost(), Some(range(0, 100)));
}

#[test]
fn a_hostile_peer_cannot_split_the_record_without_end() {
    let mut flight = Flight::default();
    flight.on_sent(range(0, 1 << 20), NOW);
    for n in 1..20_000 {
        flight.on_sack(&[range(n * 20, n * 20 + 10)], &at(LATER));
    }
    assert!(flight.records.len() <= TCP_FLIGHT_RECORDS + 1);
    flight.check().unwrap();
}

proptest! {
    /// Whatever happens, the records join up, the sums are theirs, and nothing before the last ACK is kept.
    #[test]
    fn the_sums_are_those_of_the_records(start: u32, steps in proptest::collection::vec((0u8..9, 0u32..3000, 1u32..900), 1..80)) {
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
                    flight.on_ack(una, &at(LATER));
                }
                3 => { flight.on_sack(&[some], &at(LATER)); }
                4 => {
                    let newest = Newest { xmit_ts: NOW, end_seq: una + from };
                    flight.mark_lost_by_time(newest, Duration::ZERO, LATER);
                }
                5 => if let Some(lost) = flight.first_lost() { flight.on_resent(lost, LATER); },
                6 => flight.mark_all_lost(),
                7 => flight.unmark_lost(),
                _ => flight.mark_lost_on_timeout(100, Duration::ZERO, LATER),
            }
            prop_assert_eq!(flight.check(), Ok(()));
            let out = flight.range().unwrap_or(Range::new(una, una));
            prop_assert_eq!((out.start, out.end), (una, nxt));
            prop_assert_eq!(flight.in_network() + flight.lost() + flight.sacked(), nxt - una);
        }
    }
}
