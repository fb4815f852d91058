//! Loss that SACK tells of: RACK (RFC 8985), the pipe of RFC 6675, and PRR (RFC 9937) for how much goes out.

use super::scene::*;
use crate::base::counters::Counter;

#[test]
fn with_three_segments_above_it_a_hole_is_lost_at_once() {
    // RFC 8985 §6.2 step 4: DupThresh, while no reordering was seen.
    let mut scene = Scene::far_with_sack();
    scene.play(
        "
        0    write 10000
        0    > P. 0:10000
        100  < ack 0 sack 1000:2000
        110  < ack 0 sack 1000:3000
        110  is Disorder
        120  < ack 0 sack 1000:4000
        120  > . 0:1000
        120  is Recovery
        220  < ack 10000
        220  is Open
        ",
    );
    assert_eq!(scene.world.counters.of(Counter::TcpFastRetrans), 1);
    assert_eq!(scene.connection.info().ssthresh_bytes, Some(5000));
}

#[test]
fn a_hole_below_one_segment_is_lost_after_the_reordering_window() {
    // RFC 8985 §6.2 step 5: a quarter of the least round trip after the hole should have been acknowledged.
    Scene::far_with_sack().play(
        "
        0    write 10000
        0    > P. 0:10000
        100  < ack 0 sack 1000:2000
        125  > . 0:1000
        125  is Recovery
        ",
    );
}

/// Segments come out of order: seen at 105 ms, with SND.UNA at 3000.
const REORDERED: &str = "
    0    write 10000
    0    > P. 0:10000
    100  < ack 0 sack 1000:3000
    105  < ack 3000
    ";

#[test]
fn where_segments_come_out_of_order_three_of_them_prove_nothing() {
    // RFC 8985 §6.2 steps 3 and 4.
    let mut scene = Scene::far_with_sack();
    scene.play(&format!(
        "{REORDERED}
        110  < ack 3000 sack 4000:8000
        115  < ack 8000
        115  is Open
        "
    ));
    assert!(scene.connection.reordering_seen());
    assert_eq!(scene.connection.info().retransmissions, 0);
}

#[test]
fn where_segments_come_out_of_order_a_hole_is_lost_after_the_window() {
    // RFC 8985 §6.2 step 5.
    Scene::far_with_sack().play(&format!(
        "{REORDERED}
        110  < ack 3000 sack 4000:8000
        135  > . 3000:4000
        "
    ));
}

#[test]
fn a_duplicate_at_the_receiver_widens_the_reordering_window() {
    // RFC 8985 §6.2 step 4: twice as wide after the first round with DSACK, and no more for others in that round.
    Scene::far_with_sack().play(&format!(
        "{REORDERED}
        110  < ack 3000 sack 4000:8000
        120  < ack 3000 sack 0:1000 sack 4000:8000
        125  < ack 3000 sack 1000:2000 sack 4000:8000
        160  > . 3000:4000
        "
    ));
}

#[test]
fn a_late_segment_widens_the_reordering_window_by_as_much_as_it_was_late() {
    // Beyond RFC 8985 §6.2 step 4: 60 ms late make three quarters of the least round trip, at once.
    Scene::far_with_sack().play(
        "
        0    write 10000
        0    > P. 0:10000
        100  < ack 0 sack 3000:4000 sack 1000:2000
        125  > . 0:1000
        160  < ack 0 sack 1000:4000
        161  < ack 0 sack 1000:10000
        225  < ack 10000
        225  is Open
        225  write 3000
        225  > P. 10000:13000
        325  < ack 10000 sack 11000:13000
        400  > . 10000:11000
        ",
    );
}

#[test]
fn a_lost_retransmission_is_found_by_what_was_sent_after_it() {
    // RFC 8985 §3.1: no timeout for that.
    let mut scene = Scene::far_with_sack();
    scene.play(
        "
        0    write 20000
        0    > . 0:10000
        100  < ack 0 sack 1000:10000
        100  > . 0:1000
        100  > . 10000:14000
        200  < ack 0 sack 1000:11000
        200  > . 0:1000
        200  > . 14000:15000
        300  < ack 15000
        300  > P. 15000:20000
        300  is Open
        ",
    );
    assert_eq!(scene.connection.info().timeouts, 0);
}

#[test]
fn a_hole_is_repaired_at_the_pace_of_what_arrives() {
    // RFC 9937 §6: with half the window lost, what goes out grows by one segment a round while all goes well.
    Scene::far_with_sack().play(
        "
        0    write 10000
        0    > P. 0:10000
        100  < ack 0 sack 8000:9000
        101  < ack 0 sack 8000:10000
        126  > . 0:1000
        226  < ack 1000 sack 8000:10000
        226  > . 1000:3000
        326  < ack 3000 sack 8000:10000
        326  > . 3000:6000
        426  < ack 6000 sack 8000:10000
        426  > . 6000:8000
        526  < ack 10000
        526  is Open
        ",
    );
}

#[test]
fn what_is_found_lost_between_two_acks_makes_room() {
    // RFC 9937 §6: cwnd is set with each ACK; a lost segment leaves the network also without one.
    let mut scene = Scene::far_with_sack();
    scene.play(&format!(
        "{REORDERED}
        110  < ack 3000 sack 8000:9000
        130  < ack 4000 sack 8000:9000
        135  > . 4000:5000
        "
    ));
    assert_eq!(scene.connection.info().timeouts, 0);
}

#[test]
fn before_anything_is_lost_what_arrives_lets_new_data_go() {
    // RFC 3042, with the pipe of RFC 6675 §4: a segment at the receiver is no longer in the network.
    Scene::far_with_sack().play(
        "
        0    write 20000
        0    > . 0:10000
        100  < ack 0 sack 1000:2000
        100  > . 10000:11000
        101  < ack 0 sack 1000:3000
        101  > . 11000:12000
        ",
    );
}

#[test]
fn a_receiver_that_takes_back_what_it_said_is_sent_everything() {
    // RFC 2018 §8: it has what it does not acknowledge, and half a round trip to explain itself.
    let mut scene = Scene::far_with_sack();
    scene.play(
        "
        0    write 10000
        0    > P. 0:10000
        100  < ack 0 sack 1000:3000
        110  < ack 1000
        160  > . 1000:2000
        160  is Loss
        260  < ack 2000
        260  > . 2000:4000
        ",
    );
    assert_eq!(scene.world.counters.of(Counter::TcpSACKReneging), 1);
}

#[test]
fn with_fewer_than_four_segments_out_the_timer_counts_from_when_they_were_sent() {
    // RFC 7765 §4: RTO restart. The RTO is 250 ms after the sample of 100 ms.
    Scene::far_with_sack().play(
        "
        0    write 3000
        0    > P. 0:3000
        100  < ack 1000
        250  > . 1000:2000
        ",
    );
    Scene::far_with_sack().play(
        "
        0    write 5000
        0    > P. 0:5000
        100  < ack 1000
        350  > . 1000:2000
        ",
    );
}

#[test]
fn an_ack_that_another_overtook_is_no_old_duplicate() {
    // RFC 7323 §5.3 would drop it, and what its SACK block tells.
    let mut scene = Scene::far_with_timestamps();
    scene.write(10_000);
    scene.drain();
    scene.run(ms(100));
    let echo = scene.connection.agreed.timestamps.unwrap().value(scene.world.now) - 100;
    scene.send(peer(0, 0).sack(&[(3000, 4000)]).ts(1000, echo));
    scene.send(peer(0, 0).sack(&[(1000, 2000)]).ts(990, echo));
    assert_eq!(scene.connection.sacked_in_flight(), 2000);
    // One of more than an RTO ago is.
    scene.send(peer(0, 0).sack(&[(5000, 6000)]).ts(1, echo));
    assert_eq!(scene.connection.sacked_in_flight(), 2000);
    // And TS.Recent did not go back.
    assert_eq!(scene.connection.agreed.timestamps.unwrap().recent, 1000);
}
