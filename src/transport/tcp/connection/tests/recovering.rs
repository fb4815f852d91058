//! Loss and its recovery: timeouts, fast retransmit, NewReno, SACK.

use super::scene::*;
use crate::base::counters::Counter;
use crate::transport::tcp::config::Config;
use crate::transport::tcp::options::Options;
use crate::transport::tcp::segment::Segment;

/// Established, ten segments of 1000 out at time 0, with an RTT of 100 ms known.
fn ten_out(mut scene: Scene) -> Scene {
    scene.write(1000);
    scene.drain();
    scene.run(ms(100));
    scene.send(peer(0, 1000));
    scene.write(50_000);
    scene.recv(&[". 1000:11000 ack 0"]);
    scene
}

fn reno() -> Scene {
    ten_out(Scene::established())
}

fn sack() -> Scene {
    ten_out(Scene::established_with_sack())
}

#[test]
fn a_timeout_sends_the_first_segment_and_backs_off() {
    // RFC 9293 MUST-19; RFC 6298 (5.4) to (5.6).
    let mut scene = reno();
    let rto = scene.connection.info().rto_us / 1000;
    scene.pass(ms(rto * 3), &[(rto, ". 1000:2000 ack 0"), (rto * 3, ". 1000:2000 ack 0")]);
    let info = scene.connection.info();
    assert_eq!((info.cwnd_bytes, info.ssthresh_bytes), (1000, Some(5000)));
    assert_eq!(info.rto_us / 1000, rto * 4);
}

#[test]
fn no_sample_comes_from_what_was_sent_twice() {
    // RFC 9293 MUST-18: Karn.
    let mut scene = reno();
    let before = scene.connection.info();
    scene.run(ms(1000));
    scene.send(peer(0, 2000));
    let info = scene.connection.info();
    assert_eq!(info.srtt_us, before.srtt_us);
    assert!(info.backoff > 0, "the backoff stays until there is a sample");
}

#[test]
fn after_a_timeout_slow_start_sends_what_is_missing() {
    // RFC 5681 §3.1.
    let mut scene = Scene::established();
    scene.write(10_000);
    scene.drain();
    scene.pass(ms(200), &[(200, ". 0:1000 ack 0")]);
    scene.send(peer(0, 1000));
    scene.recv(&[". 1000:3000 ack 0"]);
    scene.send(peer(0, 3000));
    scene.recv(&[". 3000:6000 ack 0"]);
}

#[test]
fn the_third_duplicate_ack_retransmits_at_once() {
    // RFC 5681 §3.2, RFC 6582 §3.2.
    let mut scene = reno();
    scene.send(peer(0, 1000));
    scene.send(peer(0, 1000));
    // Limited transmit (RFC 3042): one new segment for each of the first two.
    scene.recv(&[". 11000:13000 ack 0"]);
    scene.send(peer(0, 1000));
    scene.recv(&[". 1000:2000 ack 0"]);
    assert_eq!(scene.world.counters.of(Counter::TcpFastRetrans), 1);
    // FlightSize was 12 segments.
    assert_eq!(scene.connection.info().cwnd_bytes, 6000);
}

#[test]
fn an_ack_with_data_or_another_window_is_no_duplicate() {
    // RFC 5681 §2.
    let mut scene = reno();
    scene.send(peer(0, 1000).data(10));
    scene.send(peer(10, 1000).window(50_000));
    scene.send(peer(10, 1000).window(40_000));
    scene.send(peer(10, 1000).window(30_000));
    scene.send(peer(10, 1000).data(10));
    assert_eq!(scene.world.counters.of(Counter::TcpFastRetrans), 0);
}

#[test]
fn a_partial_ack_retransmits_the_next_hole() {
    // RFC 6582 §3.2 step 3.
    let mut scene = reno();
    for _ in 0..3 {
        scene.send(peer(0, 1000));
    }
    scene.drain();
    scene.send(peer(0, 5000));
    let sent = scene.pull();
    assert_eq!(show(&sent[0]), ". 5000:6000 ack 0");
    // The ACK of everything that was out ends it.
    scene.send(peer(0, 13_000));
    assert_eq!(scene.world.counters.of(Counter::TcpFastRetrans), 1);
    assert_eq!(scene.connection.info().lost_bytes, 0);
}

#[test]
fn duplicates_after_a_timeout_are_not_a_new_loss() {
    // RFC 6582 §3.2 step 1: `recover`.
    let mut scene = reno();
    scene.run(ms(400));
    scene.drain();
    for _ in 0..5 {
        scene.send(peer(0, 1000));
    }
    assert_eq!(scene.world.counters.of(Counter::TcpFastRetrans), 0);
}

#[test]
fn duplicates_of_the_ack_that_ended_a_recovery_are_no_new_loss() {
    // RFC 6582 §3.2 step 2: they may be echoes of what was sent twice.
    let mut scene = Scene::established();
    scene.write(10_000);
    scene.drain();
    scene.run(secs(1));
    scene.send(peer(0, 10_000));
    scene.write(50_000);
    scene.drain();
    for _ in 0..5 {
        scene.send(peer(0, 10_000));
    }
    assert_eq!(scene.world.counters.of(Counter::TcpFastRetrans), 0);
    // Beyond it they count again.
    for _ in 0..4 {
        scene.send(peer(0, 11_000));
    }
    assert_eq!(scene.world.counters.of(Counter::TcpFastRetrans), 1);
}

#[test]
fn each_ack_of_new_data_restarts_the_timer() {
    // RFC 6298 (5.3).
    let mut scene = reno();
    assert_eq!(scene.run(ms(100)).len(), 0);
    scene.send(peer(0, 2000));
    scene.drain();
    let info = scene.connection.info();
    let due = info.timers.iter().find(|timer| timer.name == "retransmit").unwrap().due_us;
    assert_eq!(due, scene.world.now.as_micros() + info.rto_us);
}

#[test]
fn sack_tells_what_is_lost_and_only_that_is_sent_again() {
    // RFC 6675 §5, RFC 8985 §6.2: each hole below the last of three segments that arrived.
    Scene::far_with_sack().play(
        "
        0    write 10000
        0    > P. 0:10000
        100  < ack 0 sack 1000:2000
        101  < ack 0 sack 3000:4000 sack 1000:2000
        102  < ack 0 sack 5000:6000 sack 3000:4000 sack 1000:2000
        102  > . 0:1000
        103  < ack 0 sack 5000:10000 sack 3000:4000 sack 1000:2000
        103  > . 2000:3000
        103  > . 4000:5000
        203  < ack 10000
        203  is Open
        ",
    );
}

#[test]
fn what_the_peer_has_beyond_a_gap_takes_no_room_of_a_buffer_that_grows_with_the_window() {
    // Or there would be nothing to send while the gap is repaired.
    let mut syn = peer_syn();
    syn.options.sack_permitted = true;
    let config = Config { auto_tuning: true, sack: true, send_buffer: 12_000, ..Scene::config() };
    let mut scene = ten_out(Scene::opened(config, syn));
    while scene.write(50_000) > 0 {}
    assert_eq!(scene.connection.write_room(), 0);
    scene.send(peer(0, 1000).sack(&[(2000, 11_000)]));
    assert_eq!(scene.connection.write_room(), 9_000);
    // As much again at the most, however long the gap stays.
    for _ in 0..5 {
        while scene.write(50_000) > 0 {}
        let end = scene.pull().iter().map(|sent| sent.seq + sent.payload.len() as u32 - OURS).max().unwrap_or(11_000);
        scene.send(peer(0, 1000).sack(&[(2000, end.max(11_000))]));
    }
    assert_eq!((scene.connection.write_room(), scene.connection.output.len()), (0, 24_000));
}

#[test]
fn a_second_timeout_forgets_what_was_sacked() {
    // RFC 2018 §8: the receiver may have discarded it.
    let mut scene = sack();
    scene.send(peer(0, 1000).sack(&[(3000, 4000)]));
    scene.drain();
    scene.run(ms(300));
    assert_eq!(scene.connection.info().timeouts, 1);
    assert_eq!(scene.connection.info().sacked_bytes, 1000);
    scene.run(secs(1));
    assert_eq!(scene.connection.info().sacked_bytes, 0);
    scene.send(peer(0, 3000));
    let sent = scene.pull();
    assert_eq!(sent[0].seq, OURS + 3000, "also what had been sacked is sent again");
}

#[test]
fn sack_blocks_that_make_no_sense_are_ignored() {
    // RFC 2018 §5, with hostile peers in mind.
    let mut scene = sack();
    let before = scene.connection.info();
    scene.send(peer(0, 1000).sack(&[(0, 500), (1000, 2000), (11_000, 90_000), (5000, 4000)]));
    let info = scene.connection.info();
    assert_eq!((info.sacked_bytes, info.in_flight_bytes), (0, before.in_flight_bytes));
    // Half of each of these lies in what is out, but no honest receiver has the other half.
    scene.send(peer(0, 1000).sack(&[(500, 1500), (10_500, 11_500)]));
    assert_eq!(scene.connection.info().sacked_bytes, 0);
}

#[test]
fn recovery_halves_the_window_once_for_one_flight() {
    // RFC 5681 §4.3, RFC 6675 §5 step (4).
    let mut scene = sack();
    scene.send(peer(0, 1000).sack(&[(5000, 8000)]));
    let after = scene.connection.info().cwnd_bytes;
    scene.drain();
    scene.send(peer(0, 1000).sack(&[(5000, 8000), (9000, 11_000)]));
    scene.send(peer(0, 3000).sack(&[(5000, 8000), (9000, 11_000)]));
    assert_eq!(scene.connection.info().cwnd_bytes, after);
}

#[test]
fn what_is_retransmitted_is_what_was_sent() {
    let mut scene = sack();
    scene.send(peer(0, 1000).sack(&[(4000, 9000)]));
    for segment in scene.pull() {
        assert_eq!(segment.payload, octets(segment.seq - OURS, segment.payload.len()));
    }
}

#[test]
fn timestamps_give_a_sample_from_what_was_sent_twice() {
    // RFC 7323 §4: RTTM.
    let options = Options { timestamps: Some(Default::default()), ..peer_syn().options };
    let mut scene = Scene::opened(Config { timestamps: true, ..Scene::config() }, Segment { options, ..peer_syn() });
    scene.write(500);
    scene.drain();
    let again = scene.run(secs(1)).pop().unwrap().1;
    let value = again.options.timestamps.unwrap().value;
    scene.run(ms(30));
    scene.send(peer(0, 500).ts(1, value));
    let info = scene.connection.info();
    assert_eq!(info.backoff, 0);
    assert!(info.srtt_us.unwrap() < 1_000_000, "{:?}", info.srtt_us);
}

#[test]
fn an_echo_from_before_the_retransmission_is_no_sample() {
    // RFC 9293 MUST-18: the ACK of the first transmission was lost, and what its echo measures is our own timeout.
    let options = Options { timestamps: Some(Default::default()), ..peer_syn().options };
    let mut scene = Scene::opened(Config { timestamps: true, ..Scene::config() }, Segment { options, ..peer_syn() });
    scene.write(500);
    let first = scene.pull().remove(0).options.timestamps.unwrap().value;
    let before = scene.connection.info().srtt_us;
    assert_eq!(scene.run(secs(1)).len(), 2);
    scene.run(ms(30));
    scene.send(peer(0, 500).ts(1, first));
    let info = scene.connection.info();
    assert_eq!((info.srtt_us, info.backoff), (before, 2));
}
