//! Accurate ECN: RFC 9768.

use super::scene::{LOCAL, MSS, OURS, REMOTE, Scene, Shape, handshake, ms, peer, peer_syn, show};
use super::world::{World, segment};
use crate::base::counters::Counter;
use crate::transport::tcp::config::{Config, Ecn};
use crate::transport::tcp::connection::{Agreement, Connection, Handshake, Mode};
use crate::transport::tcp::options::AccurateEcn;
use crate::transport::tcp::segment::{Flags, Segment};
use crate::transport::tcp::state::State;
use std::rc::Rc;

/// Codepoints of the ECN field.
const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;

/// The handshake encoding of a SYN or SYN-ACK that came without ECT.
const UNMARKED: u8 = 0b010;

fn config() -> Config {
    Config { ecn: Ecn::Accurate, ..Scene::config() }
}

/// The answer to our SYN with these three flags, and the ECN field it came with.
fn syn_ack(ace: u8, codepoint: u8) -> Segment {
    let flags = (Flags::SYN | Flags::ACK).with_ace(ace);
    Segment { flags, ack: OURS, traffic_class: codepoint, ..peer_syn() }
}

/// SYN-SENT, and the SYN is out.
fn asking() -> Scene {
    let mut scene = Scene::syn_sent_with(config());
    scene.drain();
    scene
}

/// Opened by us, and the peer agrees; nothing was mangled.
fn agreed() -> Scene {
    let mut scene = asking();
    scene.send(syn_ack(UNMARKED, NOT_ECT));
    scene.drain();
    scene
}

/// Opened by the peer, who has sent nothing but its SYN yet.
fn answering(agreement: Agreement) -> Scene {
    let handshake = Handshake { ecn: agreement, ..handshake() };
    let mut scene = Scene::syn_sent_with(Scene::config());
    scene.world = World::new(7);
    scene.connection = Connection::accepted(handshake, Rc::new(Scene::config()), &mut scene.world.cx());
    scene
}

fn accurately() -> Agreement {
    Agreement { mode: Mode::Accurate, ..Agreement::default() }
}

/// An ACK with its ACE field.
fn ace(segment: Segment, ace: u8) -> Segment {
    Segment { flags: segment.flags.with_ace(ace), ..segment }
}

fn marked(segment: Segment, codepoint: u8) -> Segment {
    Segment { traffic_class: codepoint, ..segment }
}

fn with_option(mut segment: Segment, counts: [u32; 3], fields: u8) -> Segment {
    segment.options.accurate_ecn = AccurateEcn::new(&counts, fields);
    segment
}

/// What is sent: as text without the three flags, the ACE field, and the ECN field of its packet.
fn pull(scene: &mut Scene) -> Vec<(String, u8, u8)> {
    let mut sent = Vec::new();
    while let Some(datagram) = scene.connection.poll_transmit(&mut scene.world.cx()) {
        let segment = segment(&datagram);
        let plain = Segment { flags: segment.flags.with_ace(0), ..segment.clone() };
        sent.push((show(&plain), segment.flags.ace(), datagram.traffic_class));
        scene.check();
    }
    sent
}

fn sent(expected: &[(&str, u8, u8)]) -> Vec<(String, u8, u8)> {
    expected.iter().map(|(text, ace, codepoint)| ((*text).to_owned(), *ace, *codepoint)).collect()
}

/// The counts of the option: ECT(0), CE, ECT(1).
fn counts(segment: &Segment) -> Option<[Option<u32>; 3]> {
    segment.options.accurate_ecn.map(|option| [option.ect_0(), option.ce(), option.ect_1()])
}

#[test]
fn a_syn_asks_twice_with_three_flags_and_has_no_option() {
    // RFC 9768 §3.1.1, §3.1.4.1, §3.2.3.2.1.
    let mut scene = Scene::syn_sent_with(config());
    let syn = scene.pull().remove(0);
    assert_eq!((show(&syn).as_str(), counts(&syn)), ("SEWA -1:0", None));
    scene.pass(ms(4000), &[(1000, "SEWA -1:0"), (3000, "S -1:0")]);
    // The answer may be to any of them; the first decides.
    scene.send(syn_ack(UNMARKED, NOT_ECT));
    assert_eq!(scene.connection.info().ecn, "accurate");
}

#[test]
fn the_answer_decides_how_marks_are_told() {
    // RFC 9768 table 2.
    for (answer, mode) in
        [(0b000, "off"), (0b001, "classic"), (0b010, "accurate"), (0b011, "accurate"), (0b100, "accurate")]
    {
        let mut scene = asking();
        scene.send(syn_ack(answer, NOT_ECT));
        assert_eq!(scene.connection.info().ecn, mode);
    }
    for (answer, mode) in [(0b101, "accurate"), (0b110, "accurate"), (0b111, "off")] {
        let mut scene = asking();
        scene.send(syn_ack(answer, NOT_ECT));
        assert_eq!(scene.connection.info().ecn, mode);
    }
}

#[test]
fn a_pure_ack_says_how_the_syn_ack_came_before_any_data_goes() {
    // RFC 9768 §3.2.2.1, table 3.
    for (codepoint, said, counted) in [(NOT_ECT, 0b010, 5), (ECT_1, 0b011, 5), (ECT_0, 0b100, 5), (CE, 0b110, 6)] {
        let mut scene = asking();
        scene.write(100);
        scene.send(syn_ack(UNMARKED, codepoint));
        assert_eq!(pull(&mut scene), sent(&[(". 0:0 ack 0", said, 0), ("P. 0:100 ack 0", counted, ECT_0)]));
    }
}

#[test]
fn a_syn_ack_that_comes_again_is_told_of_again_and_counts_once() {
    // RFC 9768 §3.2.2.1, §3.2.2.2.
    let mut scene = agreed();
    for _ in 0..2 {
        scene.send(syn_ack(UNMARKED, CE));
        assert_eq!(pull(&mut scene), sent(&[(". 0:0 ack 0", 0b110, 0)]));
    }
    scene.send(peer(0, 0).data(10));
    scene.run(ms(50));
    scene.write(10);
    assert_eq!(pull(&mut scene), sent(&[("P. 0:10 ack 10", 6, ECT_0)]));
}

#[test]
fn where_the_field_of_the_syn_changed_on_the_way_nothing_is_marked_but_marks_count() {
    // RFC 9768 §3.2.2.3.
    for answer in [0b011, 0b100, 0b110] {
        let mut scene = asking();
        scene.send(syn_ack(answer, NOT_ECT));
        scene.drain();
        scene.write(10 * MSS);
        assert!(pull(&mut scene).iter().all(|(_, ace, codepoint)| (*ace, *codepoint) == (5, NOT_ECT)));
        scene.send(ace(peer(0, 2000), 6));
        assert_eq!(scene.connection.info().measured.delivered_ce_segments, Some(1));
        assert!(scene.connection.info().ssthresh_bytes.is_some());
    }
}

#[test]
fn a_marked_syn_costs_a_part_of_the_initial_window() {
    // RFC 9768 §3.2.2.2; s.cep is not incremented.
    let mut scene = asking();
    scene.send(syn_ack(0b110, NOT_ECT));
    let info = scene.connection.info();
    assert!(info.ssthresh_bytes.is_some_and(|ssthresh| ssthresh < 10_000), "{info:?}");
    assert_eq!(info.measured.delivered_ce_segments, Some(0));
}

#[test]
fn the_ack_of_our_syn_ack_says_how_it_came() {
    // RFC 9768 §3.2.2.1, table 4.
    for (said, marked, codepoint) in
        [(0b001, 0, ECT_0), (0b010, 0, ECT_0), (0b101, 0, ECT_0), (0b111, 0, ECT_0), (0b011, 0, 0), (0b110, 1, 0)]
    {
        let mut scene = answering(accurately());
        scene.send(ace(peer(0, 0), said));
        assert_eq!(scene.state(), State::Established);
        scene.write(10);
        assert_eq!(pull(&mut scene), sent(&[("P. 0:10 ack 0", 5, codepoint)]), "{said:03b}");
        assert_eq!(scene.connection.info().measured.delivered_ce_segments, Some(marked));
        // s.cep goes on from five, or six.
        scene.send(ace(peer(0, 10), 6));
        assert_eq!(scene.connection.info().measured.delivered_ce_segments, Some(1));
    }
}

#[test]
fn an_ack_of_our_syn_ack_with_zero_ends_marks_both_ways_of_ours() {
    // RFC 9768 table 4, note 1: neither ECT nor heed, but what arrives is told as before.
    let mut scene = answering(accurately());
    scene.send(ace(peer(0, 0), 0));
    scene.write(10 * MSS);
    assert!(pull(&mut scene).iter().all(|(_, ace, codepoint)| (*ace, *codepoint) == (5, NOT_ECT)));
    scene.send(ace(peer(0, 1000), 3));
    assert_eq!(scene.connection.info().ssthresh_bytes, None);
    scene.send(marked(ace(peer(0, 1000).data(100), 3), CE));
    assert_eq!(pull(&mut scene), sent(&[(". 10000:10000 ack 100", 6, 0)]));
}

#[test]
fn an_ack_of_our_syn_ack_with_data_has_the_counter() {
    // RFC 9768 §3.2.2.1: handshake encoding in pure ACKs without SACK blocks only.
    let mut scene = answering(accurately());
    let timestamps = |segment: Segment| segment.ts(1, 0);
    scene.send(timestamps(ace(peer(0, 0).data(10), 6)));
    scene.write(10);
    assert_eq!(pull(&mut scene).last(), Some(&("P. 0:10 ack 10".to_owned(), 5, ECT_0)));
    assert_eq!(scene.connection.info().measured.delivered_ce_segments, Some(1));
}

#[test]
fn whose_syn_came_again_without_ecn_is_told_of_marks_and_sent_none() {
    // RFC 9768 §3.1.5.
    let mut scene = answering(Agreement { is_doubtful: true, ..accurately() });
    scene.send(ace(peer(0, 0), UNMARKED));
    scene.write(10);
    assert_eq!(pull(&mut scene), sent(&[("P. 0:10 ack 0", 5, NOT_ECT)]));
    scene.send(marked(ace(peer(0, 10).data(10), 5), CE));
    assert_eq!(pull(&mut scene), sent(&[(". 10:10 ack 10", 6, 0)]));
}

#[test]
fn only_new_data_can_be_marked() {
    // RFC 3168 §6.1.4 to §6.1.6, which RFC 9768 leaves as they are.
    let mut scene = agreed();
    scene.write(1000);
    assert_eq!(pull(&mut scene), sent(&[("P. 0:1000 ack 0", 5, ECT_0)]));
    let again = scene.run(ms(1000));
    assert!(!again.is_empty() && again.iter().all(|(_, segment)| segment.traffic_class == NOT_ECT));
    scene.send(marked(ace(peer(0, 1000).data(10), 5), CE));
    assert_eq!(pull(&mut scene), sent(&[(". 1000:1000 ack 10", 6, 0)]));
}

#[test]
fn what_arrives_marked_is_counted_in_every_segment_that_leaves() {
    // RFC 9768 §3.2, §3.2.2: also on segments without data, and whatever they are.
    let mut scene = agreed();
    scene.send(marked(ace(peer(0, 0).data(1000), 5), ECT_0));
    scene.send(marked(ace(peer(1000, 0).data(1000), 5), CE));
    assert_eq!(pull(&mut scene), sent(&[(". 0:0 ack 2000", 6, 0)]));
    // A super-segment is as many packets as it was.
    let whole = Segment { segment_size: Some(500), ..marked(ace(peer(2000, 0).data(2000), 5), CE) };
    scene.send(whole);
    assert_eq!(pull(&mut scene), sent(&[(". 0:0 ack 4000", (5 + 5) % 8, 0)]));
    assert_eq!(scene.connection.info().measured.received_ce_segments, Some(5));
    assert!(scene.connection.info().ecn_seen);
    // What is not acceptable does not count.
    scene.send(marked(ace(peer(0, 0).data(1000), 5), CE));
    assert_eq!(pull(&mut scene), sent(&[(". 0:0 ack 4000", 2, 0)]));
}

#[test]
fn a_mark_is_acknowledged_at_once() {
    // RFC 9768 §3.2.2.5.1: the first after none, then every second; three of segments without data.
    let mut scene = agreed();
    scene.send(marked(ace(peer(0, 0).data(1000), 5), ECT_0));
    let mut acks = |n: u32, codepoint| {
        scene.send(marked(ace(peer(900 + n * 100, 0).data(100), 5), codepoint));
        pull(&mut scene).iter().map(|(_, ace, _)| *ace).collect::<Vec<_>>()
    };
    assert_eq!(acks(1, CE), [6]);
    assert!(acks(2, CE).is_empty());
    assert_eq!(acks(3, CE), [0]);
    assert!(acks(4, CE).is_empty());
    assert!(acks(5, ECT_0).is_empty());
    assert_eq!(acks(6, CE), [2]);
    let mut scene = agreed();
    let bare = |scene: &mut Scene| {
        scene.send(marked(ace(peer(0, 0), 5), CE));
        pull(scene)
    };
    assert!(bare(&mut scene).is_empty());
    assert!(bare(&mut scene).is_empty());
    assert_eq!(bare(&mut scene), sent(&[(". 0:0 ack 0", 0, 0)]));
}

#[test]
fn marks_reduce_the_window_once_a_round_trip_and_no_cwr_says_so() {
    // RFC 9768 §3.1.5, RFC 8511 §3.1.
    let mut scene = agreed();
    scene.write(30 * MSS);
    scene.drain();
    // Four fifths of the 9,000 octets that are still out.
    scene.send(ace(peer(0, 1000), 6));
    assert_eq!(scene.connection.info().ssthresh_bytes, Some(7200));
    scene.send(ace(peer(0, 2000), 7));
    scene.send(ace(peer(0, 4000), 1));
    assert_eq!(scene.connection.info().ssthresh_bytes, Some(7200), "the marks are of one round trip");
    assert_eq!(scene.connection.info().measured.delivered_ce_segments, Some(4));
    assert_eq!(scene.world.counters.of(Counter::TcpDeliveredCE), 4);
    let next = pull(&mut scene);
    assert!(!next.is_empty() && next.iter().all(|(_, ace, codepoint)| (*ace, *codepoint) == (5, ECT_0)), "{next:?}");
    scene.send(ace(peer(0, 10_000), 2));
    assert!(scene.connection.info().ssthresh_bytes < Some(7200), "the next round trip");
}

#[test]
fn the_octets_of_the_option_tell_what_the_field_can_not() {
    // RFC 9768 §3.2.3.1: nine marks look like one.
    let mut scene = agreed();
    scene.write(10 * MSS);
    scene.drain();
    scene.send(with_option(ace(peer(0, 10_000), 6), [1001, 9000, 1], 0b011));
    assert_eq!(scene.connection.info().measured.delivered_ce_segments, Some(9));
}

#[test]
fn super_segments_ask_to_keep_the_bit_that_cwr_is() {
    // RFC 9768 §3.3.4: whoever cuts one would change the field of all but the first. With RFC 3168 that is right.
    let kept = |scene: &mut Scene| {
        scene.write(2 * MSS);
        let datagram = scene.connection.poll_transmit(&mut scene.world.cx()).unwrap();
        (datagram.segment_size, datagram.keeps_cwr)
    };
    // The first data has an option.
    assert_eq!(kept(&mut agreed()), (Some(988), true));
    let mut classic = asking();
    classic.send(syn_ack(0b001, NOT_ECT));
    classic.drain();
    assert_eq!(kept(&mut classic), (Some(1000), false));
}

#[test]
fn the_handshake_tests_whether_options_arrive() {
    // RFC 9768 §3.2.3.2.1.
    let mut scene = asking();
    scene.send(syn_ack(UNMARKED, NOT_ECT));
    let full = Some([Some(1), Some(0), Some(1)]);
    assert_eq!(counts(&scene.pull()[0]), full);
    scene.write(10);
    assert_eq!(counts(&scene.pull()[0]), full, "the first data as well");
    scene.send(ace(peer(0, 10), 5));
    scene.write(10);
    assert_eq!(counts(&scene.pull()[0]), None, "nothing changed");
}

#[test]
fn octets_are_told_with_the_ack_of_them() {
    // RFC 9768 §3.2.3.3.
    let mut scene = agreed();
    let mut told = |segments: [Segment; 2]| {
        segments.into_iter().for_each(|segment| _ = scene.send(segment));
        scene.pull().iter().map(counts).collect::<Vec<_>>()
    };
    let data = |n: u32, codepoint| marked(ace(peer(n * 1000, 0).data(1000), 5), codepoint);
    assert_eq!(told([data(0, ECT_0), data(1, ECT_0)]), [Some([Some(2001), None, None])]);
    assert_eq!(told([data(2, NOT_ECT), data(3, NOT_ECT)]), [None]);
    assert_eq!(told([data(4, ECT_0), data(5, CE)]), [Some([Some(3001), Some(1000), None])]);
    assert_eq!(told([data(6, ECT_1), data(7, ECT_1)]), [Some([Some(3001), Some(1000), Some(2001)])]);
    // What comes again is not acceptable, and its ACK has no option: if the option is why it comes, this one arrives.
    assert_eq!(told([data(0, ECT_0), data(1, ECT_0)]), [None]);
}

#[test]
fn full_segments_have_an_option_only_for_marks() {
    // RFC 9768 §3.2.3.3 leaves it open for ECT: here it would cost a segment.
    let mut scene = agreed();
    scene.write(10);
    scene.drain();
    scene.send(ace(peer(0, 10), 5));
    let mut next = 0;
    let mut told = |codepoint, len| {
        scene.send(marked(ace(peer(next, 10).data(10), 5), codepoint));
        next += 10;
        scene.write(len);
        let sent = scene.pull();
        let last = sent.last().unwrap().clone();
        (counts(&last).is_some(), last.segment_size.is_some())
    };
    assert_eq!(told(ECT_0, MSS), (false, false));
    assert_eq!(told(ECT_0, MSS / 2), (true, false));
}

#[test]
fn after_the_first_data_with_an_option_was_lost_there_are_none() {
    // RFC 9768 §3.2.3.2.2.
    let mut scene = agreed();
    scene.write(10);
    assert!(counts(&scene.pull()[0]).is_some());
    let again = scene.run(ms(1500));
    assert_eq!(counts(&again[0].1), None);
    scene.send(ace(peer(0, 10), 5));
    for n in 0..2 {
        scene.send(marked(ace(peer(n * 1000, 10).data(1000), 5), ECT_0));
    }
    assert_eq!(scene.pull().iter().map(counts).collect::<Vec<_>>(), [None]);
}

#[test]
fn after_a_syn_ack_that_got_through_without_its_option_there_are_none() {
    // RFC 9768 §3.2.3.2.2.
    let mut scene = answering(Agreement { is_without_option: true, ..accurately() });
    scene.send(ace(peer(0, 0), UNMARKED));
    scene.send(marked(ace(peer(0, 0).data(1000), 5), CE));
    let sent = scene.pull();
    assert_eq!((counts(&sent[0]), sent[0].flags.ace()), (None, 6));
}

#[test]
fn two_syns_that_cross_agree_as_well() {
    // RFC 9768 §3.1.2, "Simultaneous Open"; §3.2.2.1.
    let mut scene = asking();
    let syn = Segment { flags: Flags::SYN.with_ace(0b111), traffic_class: ECT_0, ..peer_syn() };
    scene.send(syn);
    let answer = scene.pull().remove(0);
    assert_eq!((answer.flags, counts(&answer).is_some()), ((Flags::SYN | Flags::ACK).with_ace(0b100), true));
    scene.send(syn_ack(UNMARKED, CE));
    assert_eq!(pull(&mut scene), sent(&[(". 0:0 ack 0", 0b110, 0)]));
    scene.send(ace(peer(0, 0), UNMARKED));
    assert_eq!((scene.state(), scene.connection.info().ecn), (State::Established, "accurate"));
    scene.write(10);
    assert_eq!(pull(&mut scene), sent(&[("P. 0:10 ack 0", 6, ECT_0)]));
    // Who did not ask does not agree to what crosses.
    let mut plain = Scene::syn_sent();
    plain.send(Segment { flags: Flags::SYN.with_ace(0b111), ..peer_syn() });
    plain.recv(&["S. -1:0 ack 0"]);
}

#[test]
fn a_user_chooses_dscp_and_never_the_ecn_bits_of_a_syn() {
    // RFC 9768 §3.1.5: no ECT but where it was agreed on.
    let config = Config { traffic_class: 0xbb, ..config() };
    let (local, remote) = (LOCAL.parse().unwrap(), REMOTE.parse().unwrap());
    let mut world = World::new(7);
    let mut connection = Connection::connect(local, remote, OURS - 1, Rc::new(config), &mut world.cx());
    assert_eq!(connection.poll_transmit(&mut world.cx()).unwrap().traffic_class, 0xb8);
}
