//! Tail loss probes (RFC 8985 §7).

use super::scene::*;
use crate::base::counters::Counter;
use crate::transport::tcp::config::Config;

fn probing(sack: bool) -> Scene {
    Scene::far(Config { sack, tail_loss_probe: true, ..Scene::config() })
}

#[test]
fn a_lost_tail_is_repaired_without_a_timeout() {
    // RFC 8985 §7.3: two round trips after the last segment it is sent again; RACK does the rest.
    let mut scene = probing(true);
    scene.play(
        "
        0    write 5000
        0    > P. 0:5000
        202  > P. 4000:5000
        302  < ack 0 sack 4000:5000
        302  > . 0:1000
        402  < ack 1000 sack 4000:5000
        402  > . 1000:3000
        502  < ack 3000 sack 4000:5000
        502  > . 3000:4000
        602  < ack 5000
        602  is Open
        ",
    );
    assert_eq!(scene.world.counters.of(Counter::TcpTimeouts), 0);
    assert_eq!(scene.world.counters.of(Counter::TcpLossProbes), 1);
}

#[test]
fn the_echo_of_what_came_in_order_says_nothing_of_a_probe_beyond_a_hole() {
    // RFC 7323 §4.3: TS.Recent is not that of the probe.
    Scene::far(Config { sack: true, timestamps: true, tail_loss_probe: true, ..Scene::config() }).play(
        "
        0    write 5000
        0    > P. 0:5000
        202  > P. 4000:5000
        302  < ack 0 sack 4000:5000 echo 0
        302  > . 0:1000
        ",
    );
}

#[test]
fn the_fin_goes_with_the_segment_that_is_probed_with() {
    let mut scene = probing(true);
    scene.write(2500);
    scene.drain();
    scene.shutdown();
    scene.play(
        "
        0    > F. 2500:2501
        202  > F. 2500:2501
        ",
    );
    let mut scene = probing(true);
    scene.write(2500);
    scene.shutdown();
    scene.play(
        "
        0    > FP. 0:2501
        202  > FP. 2000:2501
        ",
    );
}

#[test]
fn new_data_is_a_better_probe_and_waits_for_no_window() {
    // RFC 8985 §7.3: TLP_send_probe.
    probing(true).play(
        "
        0    write 20000
        0    > . 0:10000
        202  > . 10000:11000
        302  < ack 0 sack 10000:11000
        302  > . 0:1000
        302  is Recovery
        ",
    );
}

#[test]
fn one_segment_waits_for_a_delayed_ack_but_not_longer_than_the_rto() {
    // RFC 8985 §7.2: TLP_calc_PTO. The probe goes when the RTO would have expired, and the RTO counts from it.
    let mut scene = probing(true);
    scene.play(
        "
        0    write 1000
        0    > P. 0:1000
        300  > P. 0:1000
        300  is Open
        600  > P. 0:1000
        600  is Loss
        ",
    );
    assert_eq!(scene.world.counters.of(Counter::TcpTimeouts), 1);
}

/// The last of three segments is probed for at 250 ms (the RTO, restarted by RFC 7765) and acknowledged at 350.
const PROBED: &str = "
    0    write 3000
    0    > P. 0:3000
    100  < ack 2000
    250  > P. 2000:3000
    350  < ack 3000
    ";

#[test]
fn a_loss_that_the_probe_repaired_is_a_loss() {
    // RFC 8985 §7.4: congestion control must hear of it.
    let mut scene = probing(true);
    scene.play(&format!(
        "{PROBED}
        350  write 1000
        350  > P. 3000:4000
        450  < ack 4000
        "
    ));
    assert_eq!(scene.world.counters.of(Counter::TcpLossProbeRecovery), 1);
    assert!(scene.connection.info().ssthresh_bytes.is_some());
}

#[test]
fn a_probe_that_came_twice_was_not_needed() {
    // RFC 8985 §7.4.2 case 1: DSACK.
    let mut scene = probing(true);
    scene.play(&format!(
        "{PROBED}
        360  < ack 3000 sack 2000:3000
        360  write 1000
        360  > P. 3000:4000
        460  < ack 4000
        "
    ));
    assert_eq!(scene.connection.info().ssthresh_bytes, None);
}

#[test]
fn without_sack_a_bare_duplicate_says_that_the_probe_was_not_needed() {
    // RFC 8985 §7.4.2 case 2.
    let mut scene = probing(false);
    scene.play(&format!(
        "{PROBED}
        360  < ack 3000
        360  write 1000
        360  > P. 3000:4000
        460  < ack 4000
        "
    ));
    assert_eq!(scene.connection.info().ssthresh_bytes, None);
}

#[test]
fn without_sack_a_probe_repairs_the_last_segment() {
    // RFC 8985 §7.4: and what it repaired is noticed by the ACK of what comes after.
    let mut scene = probing(false);
    scene.play(&format!(
        "{PROBED}
        350  write 1000
        350  > P. 3000:4000
        450  < ack 4000
        "
    ));
    assert_eq!(scene.world.counters.of(Counter::TcpTimeouts), 0);
    assert!(scene.connection.info().ssthresh_bytes.is_some());
}

#[test]
fn only_one_probe_is_out() {
    // RFC 8985 §7.2: after a probe only the RTO remains, until it is resolved.
    probing(true).play(
        "
        0    write 5000
        0    > P. 0:5000
        202  > P. 4000:5000
        502  > . 0:1000
        502  is Loss
        ",
    );
    // Nor does an ACK of what is below it schedule another.
    probing(true).play(
        "
        0    write 5000
        0    > P. 0:5000
        202  > P. 4000:5000
        210  < ack 2000
        373  > . 2000:3000
        373  is Loss
        ",
    );
}

#[test]
fn no_probe_is_sent_while_something_is_known_to_be_missing() {
    // RFC 8985 §7.2: RACK's timer runs instead.
    let mut scene = probing(true);
    scene.play(
        "
        0    write 5000
        0    > P. 0:5000
        100  < ack 0 sack 1000:2000
        125  > . 0:1000
        225  < ack 5000
        225  is Open
        ",
    );
    assert_eq!(scene.world.counters.of(Counter::TcpLossProbes), 0);
}
