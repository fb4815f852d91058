//! Reactions that were mistakes, and how they are taken back: F-RTO (RFC 5682), Eifel (RFC 3522, RFC 4015), DSACK
//! (RFC 2883, RFC 3708).

use super::scene::*;
use crate::base::counters::Counter;
use crate::transport::tcp::config::Config;

/// True if congestion control is as it was before anything happened.
fn is_forgiven(scene: &Scene) -> bool {
    let info = scene.connection.info();
    info.ssthresh_bytes.is_none() && info.cwnd_bytes >= 10_000
}

#[test]
fn originals_acknowledged_after_a_timeout_say_that_it_came_too_early() {
    // RFC 5682 §2 steps 2b and 3b, §3.
    for sack in [false, true] {
        let mut scene = Scene::far(Config { sack, ..Scene::config() });
        scene.play(
            "
            0    write 20000
            0    > . 0:10000
            300  > . 0:1000
            310  < ack 1000
            310  > . 10000:12000
            310  is Loss
            320  < ack 2000
            320  is Open
            ",
        );
        assert!(is_forgiven(&scene), "{:#?}", scene.connection.info());
        assert_eq!(scene.world.counters.of(Counter::TcpSpuriousRtos), 1);
        assert_eq!(scene.connection.info().retransmissions, 1);
    }
}

#[test]
fn a_hole_behind_the_new_data_says_that_the_timeout_was_right() {
    // RFC 5682 §3 step 3a.
    let mut scene = Scene::far_with_sack();
    scene.play(
        "
        0    write 20000
        0    > . 0:10000
        300  > . 0:1000
        400  < ack 1000
        400  > . 10000:12000
        500  < ack 1000 sack 10000:11000
        500  > . 1000:2000
        500  is Loss
        ",
    );
    assert_eq!(scene.connection.info().ssthresh_bytes, Some(5000));
}

#[test]
fn without_sack_a_duplicate_says_that_the_timeout_was_right() {
    // RFC 5682 §2 step 3a.
    Scene::far(Scene::config()).play(
        "
        0    write 20000
        0    > . 0:10000
        300  > . 0:1000
        400  < ack 1000
        400  > . 10000:12000
        500  < ack 1000
        500  is Loss
        600  < ack 1000
        ",
    );
}

#[test]
fn without_sack_what_lies_beyond_a_retransmission_proves_nothing() {
    // RFC 5682 §2: the receiver may have had it all along.
    Scene::far(Scene::config()).play(
        "
        0    write 20000
        0    > . 0:10000
        300  > . 0:1000
        400  < ack 3000
        400  > . 10000:12000
        400  is Loss
        ",
    );
}

#[test]
fn without_new_data_nothing_can_be_asked() {
    // RFC 5682 §2 step 2: conventional recovery.
    Scene::far_with_sack().play(
        "
        0    write 10000
        0    > P. 0:10000
        300  > . 0:1000
        400  < ack 1000
        400  > . 1000:3000
        400  is Loss
        ",
    );
}

#[test]
fn an_echo_from_before_the_timeout_takes_it_back_at_once() {
    // RFC 3522 §3.2, RFC 4015 §3.2: also without new data. The backoff stays until there is a sample.
    let mut scene = Scene::far_with_timestamps();
    scene.play(
        "
        0    write 10000
        0    > P. 0:10000
        300  > . 0:1000
        310  < ack 1000 echo 0
        310  is Open
        ",
    );
    assert!(is_forgiven(&scene));
    let info = scene.connection.info();
    assert_eq!((info.srtt_us, info.backoff), (Some(100_000), 1));
}

#[test]
fn an_echo_from_before_the_retransmission_takes_a_fast_recovery_back() {
    // RFC 3522 §3.2, RFC 4015 §3.2.
    let mut scene = Scene::far_with_timestamps();
    scene.play(
        "
        0    write 10000
        0    > P. 0:10000
        100  < ack 0 sack 1000:4000 echo 0
        100  > . 0:1000
        110  < ack 4000 echo 0
        110  is Open
        ",
    );
    assert!(is_forgiven(&scene) && scene.connection.reordering_seen());
    assert_eq!(scene.connection.spurious_undos(), 1);
}

#[test]
fn an_echo_of_the_retransmission_proves_the_loss() {
    // RFC 3522 §3.2 step 5.
    let mut scene = Scene::far_with_timestamps();
    scene.play(
        "
        0    write 10000
        0    > P. 0:10000
        100  < ack 0 sack 1000:4000 echo 0
        100  > . 0:1000
        200  < ack 10000 echo 100
        200  is Open
        ",
    );
    assert_eq!((scene.connection.info().ssthresh_bytes, scene.connection.spurious_undos()), (Some(5000), 0));
}

#[test]
fn where_one_hole_was_only_late_the_others_may_be_lost() {
    // RFC 3522 says it of one segment; a window has several.
    let mut scene = Scene::far_with_timestamps();
    scene.play(
        "
        0    write 10000
        0    > P. 0:10000
        100  < ack 0 sack 1000:4000 sack 5000:8000 echo 0
        100  > . 0:1000
        100  > . 4000:5000
        110  < ack 4000 sack 5000:8000 echo 0
        110  is Recovery
        200  < ack 10000 echo 100
        200  is Open
        ",
    );
    assert_eq!(scene.connection.spurious_undos(), 0);
}

#[test]
fn duplicates_of_all_that_was_sent_again_take_the_recovery_back() {
    // RFC 2883 §5, RFC 3708 §3.
    let mut scene = Scene::far_with_sack();
    scene.play(
        "
        0    write 10000
        0    > P. 0:10000
        100  < ack 0 sack 1000:4000
        100  > . 0:1000
        110  < ack 4000
        110  is Recovery
        210  < ack 4000 sack 0:1000
        210  is Open
        ",
    );
    assert!(is_forgiven(&scene));
    assert_eq!(scene.connection.dsacks_received(), 1);
}

#[test]
fn duplicates_told_of_after_the_recovery_take_it_back_too() {
    // RFC 3708 §3: within a round trip of its end.
    let mut scene = Scene::far_with_sack();
    scene.play(
        "
        0    write 10000
        0    > P. 0:10000
        100  < ack 0 sack 1000:10000
        100  > . 0:1000
        110  < ack 10000
        110  is Open
        ",
    );
    assert!(!is_forgiven(&scene));
    scene.play("100 < ack 10000 sack 0:1000");
    assert!(is_forgiven(&scene));
}

#[test]
fn a_round_trip_after_the_recovery_its_duplicates_still_count() {
    // RFC 3708 §3: they come when what was sent after the recovery is acknowledged already.
    let mut scene = Scene::far_with_sack();
    scene.play(
        "
        0    write 14000
        0    > . 0:10000
        100  < ack 0 sack 1000:10000
        100  > . 0:1000
        100  > P. 10000:14000
        110  < ack 10000
        200  < ack 12000
        210  < ack 12000 sack 0:1000
        ",
    );
    assert!(is_forgiven(&scene));
}
