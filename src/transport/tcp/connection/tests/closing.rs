//! Closing, in every order, and giving up.

use super::scene::*;
use crate::base::drops::{DropReason, Outcome};
use crate::transport::tcp::connection::{Error, Read, Readiness};
use crate::transport::tcp::segment::Flags;
use crate::transport::tcp::state::State;
use bytes::Bytes;

const FIN_ACK: fn() -> Flags = || Flags::FIN | Flags::ACK;

#[test]
fn a_normal_close_goes_through_fin_wait_and_time_wait() {
    // RFC 9293 figure 12, MUST-13.
    let mut scene = Scene::established();
    scene.shutdown();
    assert_eq!(scene.state(), State::FinWait1);
    scene.recv(&["F. 0:1 ack 0"]);
    scene.send(peer(0, 1));
    assert_eq!(scene.state(), State::FinWait2);
    scene.send(peer(0, 1).flags(FIN_ACK()));
    scene.recv(&[". 1:1 ack 1"]);
    assert_eq!(scene.state(), State::TimeWait);
    let facts = scene.connection.time_wait().unwrap();
    assert_eq!((facts.snd_nxt, facts.rcv_nxt), (OURS + 1, THEIRS + 1));
    scene.pass(secs(59), &[]);
    assert_eq!(scene.state(), State::TimeWait);
    scene.pass(secs(1), &[]);
    assert!(scene.connection.is_finished());
    assert_eq!(scene.connection.error(), None);
}

#[test]
fn the_other_side_of_a_normal_close_goes_through_close_wait_and_last_ack() {
    // RFC 9293 figure 12.
    let mut scene = Scene::established();
    scene.send(peer(0, 0).flags(FIN_ACK()));
    assert_eq!(scene.state(), State::CloseWait);
    assert_eq!(scene.connection.read(1), Ok(Read::End));
    scene.recv(&[". 0:0 ack 1"]);
    scene.shutdown();
    scene.recv(&["F. 0:1 ack 1"]);
    assert_eq!(scene.state(), State::LastAck);
    scene.send(peer(1, 1));
    assert!(scene.connection.is_finished());
    assert_eq!(scene.connection.deadline(), None);
}

#[test]
fn simultaneous_closes_cross() {
    // RFC 9293 figure 13.
    let mut scene = Scene::fin_wait_1();
    scene.send(peer(0, 0).flags(FIN_ACK()));
    assert_eq!(scene.state(), State::Closing);
    scene.recv(&[". 1:1 ack 1"]);
    scene.send(peer(1, 1));
    assert_eq!(scene.state(), State::TimeWait);
}

#[test]
fn a_fin_with_the_ack_of_ours_goes_straight_to_time_wait() {
    // RFC 9293 §3.10.7.4 eighth, FIN-WAIT-1.
    let mut scene = Scene::fin_wait_1();
    scene.send(peer(0, 1).flags(FIN_ACK()));
    assert_eq!(scene.state(), State::TimeWait);
    scene.recv(&[". 1:1 ack 1"]);
}

#[test]
fn a_half_closed_connection_still_receives() {
    // RFC 9293 §3.6: "the user who CLOSEs may continue to RECEIVE until told that the remote peer has CLOSED also".
    let mut scene = Scene::fin_wait_2();
    assert_eq!(scene.send(peer(0, 1).data(3000)), Outcome::Delivered);
    assert_eq!(scene.read(0), 3000);
    scene.drain();
    scene.send(peer(3000, 1).flags(FIN_ACK()));
    assert_eq!(scene.connection.read(1), Ok(Read::End));
}

#[test]
fn a_half_closed_connection_still_sends() {
    let mut scene = Scene::close_wait();
    scene.write(2500);
    scene.recv(&["P. 0:2500 ack 1"]);
    scene.shutdown();
    scene.recv(&["F. 2500:2501 ack 1"]);
}

#[test]
fn a_lost_fin_is_retransmitted() {
    let mut scene = Scene::fin_wait_1();
    scene.pass(ms(300), &[(200, "F. 0:1 ack 0")]);
}

#[test]
fn a_fin_goes_out_with_the_last_data() {
    let mut scene = Scene::established();
    scene.write(1500);
    scene.shutdown();
    scene.recv(&["FP. 0:1501 ack 0"]);
}

#[test]
fn a_retransmitted_fin_is_acknowledged_and_restarts_time_wait() {
    // RFC 9293 §3.10.7.4 eighth, TIME-WAIT.
    let mut scene = Scene::time_wait();
    scene.pass(secs(50), &[]);
    scene.send(peer(0, 1).flags(FIN_ACK()));
    scene.recv(&[". 1:1 ack 1"]);
    scene.pass(secs(59), &[]);
    assert_eq!(scene.state(), State::TimeWait);
    scene.pass(secs(1), &[]);
    assert_eq!(scene.state(), State::Closed);
}

#[test]
fn a_retransmitted_fin_is_acknowledged_in_every_state_that_had_one() {
    // RFC 9293 §3.10.7.4 first and eighth.
    for mut scene in [Scene::close_wait(), Scene::closing(), Scene::last_ack()] {
        let state = scene.state();
        scene.send(peer(0, 0).flags(FIN_ACK()));
        assert_eq!(scene.pull().first().map(|ack| ack.ack), Some(THEIRS + 1), "{state}");
        assert_eq!(scene.state(), state);
    }
}

#[test]
fn a_reset_that_flushes_unread_data_is_no_end_of_the_stream() {
    // RFC 9293 §3.10.7.4 second: outstanding RECEIVEs get "reset", although a FIN had arrived.
    let mut scene = Scene::established();
    scene.send(peer(0, 0).data(10).flags(Flags::ACK | Flags::FIN));
    scene.drain();
    scene.send(peer(11, 0).flags(Flags::RST));
    assert_eq!(scene.connection.read(100), Err(Error::Reset));
}

#[test]
fn writing_after_the_close_is_an_error() {
    // RFC 9293 §3.10.2: "connection closing".
    let mut scene = Scene::fin_wait_1();
    assert_eq!(scene.connection.write(&mut Bytes::from_static(b"x"), &mut scene.world.cx()), Err(Error::Closed));
}

#[test]
fn a_close_with_unread_data_resets() {
    // RFC 9293 SHLD-3; RFC 2525 §2.17.
    let mut scene = Scene::established();
    scene.send(peer(0, 0).data(10));
    scene.close();
    scene.recv(&["R. 0:0 ack 10"]);
    assert!(scene.connection.is_finished());
}

#[test]
fn data_that_arrives_after_the_close_is_answered_by_a_reset() {
    // RFC 9293 §3.6.1, SHLD-3.
    let mut scene = Scene::established();
    scene.close();
    scene.recv(&["F. 0:1 ack 0"]);
    assert_eq!(scene.send(peer(0, 1).data(10)), Outcome::Dropped(DropReason::TcpDataAfterClose));
    scene.recv(&["R. 1:1 ack 0"]);
    assert!(scene.connection.is_finished());
}

#[test]
fn an_abort_resets_where_the_peer_knows_of_the_connection() {
    // RFC 9293 §3.10.5.
    let reset = |mut scene: Scene| {
        let state = scene.state();
        scene.connection.abort(&mut scene.world.cx());
        scene.check();
        let sent = scene.pull();
        assert_eq!(scene.state(), State::Closed, "{state}");
        sent.iter().any(|segment| segment.flags.rst())
    };
    assert!(!reset(Scene::syn_sent()));
    assert!(reset(Scene::syn_received()));
    assert!(reset(Scene::established()));
    assert!(reset(Scene::fin_wait_1()));
    assert!(reset(Scene::fin_wait_2()));
    assert!(reset(Scene::close_wait()));
    assert!(!reset(Scene::closing()));
    assert!(!reset(Scene::last_ack()));
    assert!(!reset(Scene::time_wait()));
}

#[test]
fn an_aborted_connection_tells_its_user() {
    // RFC 9293 MUST-12.
    let mut scene = Scene::established();
    scene.connection.take_readiness();
    scene.connection.abort(&mut scene.world.cx());
    assert!(scene.connection.take_readiness().has(Readiness::ERROR | Readiness::READABLE));
    assert_eq!(scene.connection.read(1), Err(Error::Aborted));
}

#[test]
fn fin_wait_2_ends_when_nobody_is_left_to_wait() {
    let mut scene = Scene::fin_wait_2();
    scene.pass(secs(1000), &[]);
    assert_eq!(scene.state(), State::FinWait2, "a user who may still read waits for ever");
    scene.close();
    scene.pass(secs(60), &[]);
    assert_eq!(scene.state(), State::Closed);
}

#[test]
fn a_connection_in_time_wait_owns_no_buffers() {
    let scene = Scene::time_wait();
    let info = scene.connection.info();
    assert_eq!((info.send_queue_bytes, info.in_flight_bytes, info.timers.len()), (0, 0, 1));
}
