//! The first to fifth step of SEGMENT ARRIVES, in each synchronized state.

use super::scene::*;
use crate::base::counters::Counter;
use crate::base::drops::{DropReason, Outcome};
use crate::transport::tcp::connection::{Error, Readiness};
use crate::transport::tcp::segment::Flags;
use crate::transport::tcp::state::State;

/// Every synchronized state with the sequence number that the peer sends next and what it has acknowledged.
fn synchronized() -> Vec<(Scene, u32, u32)> {
    vec![
        (Scene::established(), 0, 0),
        (Scene::fin_wait_1(), 0, 0),
        (Scene::fin_wait_2(), 0, 1),
        (Scene::close_wait(), 1, 0),
        (Scene::closing(), 1, 0),
        (Scene::last_ack(), 1, 0),
        (Scene::time_wait(), 1, 1),
    ]
}

#[test]
fn a_segment_outside_of_the_window_is_answered_by_an_ack() {
    // RFC 9293 §3.10.7.4 first.
    for (mut scene, seq, ack) in synchronized() {
        let state = scene.state();
        for far in [seq.wrapping_sub(10), seq + 2_000_000] {
            assert_eq!(scene.send(peer(far, ack).data(5)), Outcome::Dropped(DropReason::TcpOutOfWindow), "{state}");
            let answer = scene.pull();
            assert_eq!(answer.len(), 1, "{state}");
            assert_eq!(answer[0].ack, THEIRS + seq, "{state}");
        }
        assert_eq!(scene.state(), state);
    }
}

#[test]
fn a_reset_outside_of_the_window_is_dropped_silently() {
    // RFC 9293 §3.10.7.4 first and second; RFC 5961 §3.2 case 1.
    for (mut scene, seq, _) in synchronized() {
        let state = scene.state();
        let outcome = scene.send(peer(seq + 2_000_000, 0).flags(Flags::RST));
        assert_eq!(outcome, Outcome::Dropped(DropReason::TcpOutOfWindow), "{state}");
        scene.recv(&[]);
        assert_eq!(scene.state(), state);
    }
}

#[test]
fn a_reset_inside_the_window_is_challenged() {
    // RFC 5961 §3.2 case 3; RFC 9293 §3.10.7.4 second.
    for (mut scene, seq, _) in synchronized() {
        let state = scene.state();
        assert_eq!(
            scene.send(peer(seq + 1, 0).flags(Flags::RST)),
            Outcome::Dropped(DropReason::TcpBadReset),
            "{state}"
        );
        assert_eq!(scene.pull().len(), 1, "{state}");
        assert_eq!(scene.state(), state);
    }
}

#[test]
fn a_reset_at_the_exact_number_ends_the_connection() {
    // RFC 5961 §3.2 case 2; RFC 9293 MUST-12.
    for (mut scene, seq, _) in synchronized() {
        let state = scene.state();
        scene.send(peer(seq, 0).flags(Flags::RST));
        scene.recv(&[]);
        if state == State::TimeWait {
            // RFC 1337.
            assert_eq!(scene.state(), State::TimeWait);
            continue;
        }
        assert_eq!((scene.state(), scene.connection.error()), (State::Closed, Some(Error::Reset)), "{state}");
        assert!(scene.connection.take_readiness().has(Readiness::ERROR | Readiness::CLOSED), "{state}");
        assert!(scene.connection.read(1).is_err() || seq == 1, "{state}");
    }
}

#[test]
fn a_reset_is_processed_although_the_window_is_closed() {
    // RFC 9293 MUST-66.
    let mut scene =
        Scene::established_with(crate::transport::tcp::config::Config { receive_buffer: 100, ..Scene::config() });
    scene.send(peer(0, 0).data(100));
    scene.drain();
    assert_eq!(scene.connection.info().receive_window_bytes, 0);
    scene.send(peer(100, 0).flags(Flags::RST));
    assert_eq!(scene.state(), State::Closed);
}

#[test]
fn an_ack_and_an_urgent_pointer_are_processed_although_the_window_is_closed() {
    // RFC 9293 MUST-66.
    let mut scene =
        Scene::established_with(crate::transport::tcp::config::Config { receive_buffer: 100, ..Scene::config() });
    scene.write(500);
    scene.send(peer(0, 0).data(100));
    scene.drain();
    scene.connection.take_readiness();
    let mut segment = peer(100, 500).data(50).flags(Flags::ACK | Flags::URG);
    segment.urgent = 50;
    scene.send(segment);
    assert_eq!(scene.connection.info().bytes_acked, 500);
    assert!(scene.connection.take_readiness().has(Readiness::URGENT));
    assert_eq!(scene.read(0), 100);
}

#[test]
fn a_syn_inside_a_connection_is_challenged() {
    // RFC 5961 §4.2; RFC 9293 §3.10.7.4 fourth.
    for (mut scene, seq, ack) in synchronized() {
        let state = scene.state();
        let outcome = scene.send(peer(seq, ack).flags(Flags::SYN));
        assert_eq!(outcome, Outcome::Dropped(DropReason::TcpBadSyn), "{state}");
        assert_eq!(scene.pull().len(), 1, "{state}");
        assert_eq!(scene.state(), state);
    }
}

#[test]
fn challenges_are_limited() {
    // RFC 5961 §7.
    let mut scene = Scene::established();
    let mut answers = 0;
    for _ in 0..100 {
        scene.send(peer(0, 0).flags(Flags::SYN));
        answers += scene.pull().len();
    }
    assert_eq!(answers, 10);
    assert_eq!(scene.world.counters.of(Counter::TcpChallengeAckSkipped), 90);
    scene.run(secs(1));
    scene.send(peer(0, 0).flags(Flags::SYN));
    assert_eq!(scene.pull().len(), 1);
}

#[test]
fn a_challenge_can_be_withheld() {
    let mut scene = Scene::established();
    scene.send(peer(0, 0).flags(Flags::SYN));
    assert!(scene.connection.withhold_challenge());
    assert!(!scene.connection.withhold_challenge());
    scene.recv(&[]);
}

#[test]
fn a_segment_without_ack_is_dropped() {
    // RFC 9293 §3.10.7.4 fifth.
    for (mut scene, seq, _) in synchronized() {
        assert_eq!(scene.send(peer(seq, 0).flags(Flags::NONE).data(5)), Outcome::Dropped(DropReason::TcpNoAck));
        assert_eq!(scene.connection.readable_bytes(), 0);
    }
}

#[test]
fn an_ack_of_what_was_never_sent_is_challenged() {
    // RFC 9293 §3.10.7.4 fifth; RFC 5961 §5.2.
    for (mut scene, seq, _) in synchronized() {
        let state = scene.state();
        assert_eq!(scene.send(peer(seq, 1000).data(5)), Outcome::Dropped(DropReason::TcpBadAck), "{state}");
        assert_eq!(scene.connection.readable_bytes(), 0, "{state}");
        assert_eq!(scene.pull().len(), 1, "{state}");
    }
}

#[test]
fn an_ack_older_than_the_largest_window_is_challenged() {
    // RFC 5961 §5.2: SND.UNA - MAX.SND.WND.
    let mut scene = Scene::established();
    assert_eq!(scene.send(peer(0, 0u32.wrapping_sub(60_000)).data(5)), Outcome::Delivered);
    assert_eq!(scene.send(peer(5, 0u32.wrapping_sub(60_001)).data(5)), Outcome::Dropped(DropReason::TcpBadAck));
}

#[test]
fn an_old_segment_does_not_set_the_window() {
    // RFC 9293 §3.10.7.4 fifth: SND.WL1, SND.WL2.
    let mut scene = Scene::established();
    scene.send(peer(1000, 0).data(10).window(6000));
    assert_eq!(scene.connection.info().send_window_bytes, 6000);
    scene.send(peer(0, 0).data(10).window(100));
    assert_eq!(scene.connection.info().send_window_bytes, 6000);
}

#[test]
fn a_keepalive_of_the_peer_is_answered() {
    // RFC 9293 §3.8.4: SEG.SEQ = SND.NXT-1.
    let mut scene = Scene::established();
    scene.send(peer(0u32.wrapping_sub(1), 0));
    scene.recv(&[". 0:0 ack 0"]);
}
