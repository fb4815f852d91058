//! Giving up, or not: user timeout, keepalive, ICMP errors; and PAWS, which keeps the past away.

use super::scene::*;
use crate::base::counters::Counter;
use crate::base::drops::{DropReason, Outcome};
use crate::network::packet::PathErrorKind;
use crate::transport::tcp::config::{Config, Keepalive};
use crate::transport::tcp::connection::Error;
use crate::transport::tcp::options::{Options, Timestamps};
use crate::transport::tcp::segment::{Flags, Segment};
use crate::transport::tcp::state::State;

#[test]
fn unacknowledged_data_is_given_up_after_the_user_timeout() {
    // RFC 9293 MUST-20, MUST-21.
    let mut scene = Scene::established();
    scene.connection.set_user_timeout(Some(secs(100)), &mut scene.world.cx());
    scene.write(10);
    scene.drain();
    scene.run(ms(99_999));
    assert_eq!(scene.state(), State::Established);
    scene.run(ms(1));
    assert_eq!((scene.state(), scene.connection.error()), (State::Closed, Some(Error::TimedOut)));
    assert_eq!(scene.world.counters.of(Counter::TcpAbortOnTimeout), 1);
}

#[test]
fn progress_renews_patience() {
    let mut scene = Scene::established();
    scene.write(1000);
    scene.drain();
    for n in 1..10 {
        scene.run(secs(200));
        scene.send(peer(0, n * 100));
    }
    assert_eq!(scene.state(), State::Established);
}

#[test]
fn an_idle_connection_stays_for_ever() {
    // RFC 9293 MUST-25: keepalive is off unless asked for.
    let mut scene = Scene::established();
    scene.pass(secs(1_000_000), &[]);
    assert_eq!(scene.state(), State::Established);
}

#[test]
fn after_three_retransmissions_the_path_is_suspect() {
    // RFC 9293 MUST-20 (R1), SHLD-9, SHLD-10.
    let mut scene = Scene::established();
    scene.write(10);
    scene.drain();
    scene.run(ms(200 + 400));
    assert!(!scene.connection.is_suspect());
    scene.run(secs(10));
    assert!(scene.connection.is_suspect());
}

#[test]
fn a_silent_peer_is_probed_and_given_up() {
    // RFC 9293 MUST-24, MUST-26, MUST-27, MUST-29, SHLD-12.
    let mut scene = Scene::established();
    let keepalive = Keepalive { idle: secs(100), interval: secs(10), count: 3 };
    scene.connection.set_keepalive(Some(keepalive), &mut scene.world.cx());
    let probe = ". -1:-1 ack 0";
    scene.pass(secs(129), &[(100_000, probe), (110_000, probe), (120_000, probe)]);
    assert_eq!(scene.state(), State::Established);
    scene.run(secs(1));
    assert_eq!(scene.connection.error(), Some(Error::TimedOut));
}

#[test]
fn an_answer_to_a_keepalive_is_enough() {
    // RFC 9293 MUST-26, MUST-29.
    let keepalive = Keepalive { idle: secs(100), interval: secs(10), count: 3 };
    let mut scene = Scene::established_with(Config { keepalive: Some(keepalive), ..Scene::config() });
    for _ in 0..10 {
        assert!(!scene.run(secs(115)).is_empty());
        scene.send(peer(0, 0));
    }
    assert_eq!(scene.state(), State::Established);
}

#[test]
fn no_keepalive_is_sent_while_the_peer_is_heard() {
    // RFC 9293 MUST-26.
    let keepalive = Keepalive { idle: secs(100), interval: secs(10), count: 3 };
    let mut scene = Scene::established_with(Config { keepalive: Some(keepalive), ..Scene::config() });
    for _ in 0..10 {
        scene.pass(secs(90), &[]);
        scene.send(peer(0, 0));
    }
}

#[test]
fn soft_errors_do_not_end_a_connection() {
    // RFC 9293 MUST-56, SHLD-25; RFC 5927 §5.2.
    use PathErrorKind::*;
    for kind in [
        NetworkUnreachable,
        HostUnreachable,
        TimeExceeded,
        ParameterProblem,
        Prohibited,
        PortUnreachable,
        ProtocolUnreachable,
    ] {
        let mut scene = Scene::established();
        scene.write(10);
        scene.drain();
        assert_eq!(scene.path_error(kind, 0), Outcome::Consumed);
        assert_eq!((scene.state(), scene.connection.soft_error()), (State::Established, Some(kind)));
        scene.send(peer(0, 10));
        assert_eq!(scene.connection.soft_error(), None, "an ACK shows that the path works");
    }
}

#[test]
fn a_port_unreachable_refuses_an_open() {
    // RFC 9293 SHLD-26.
    let mut scene = Scene::syn_sent();
    scene.path_error(PathErrorKind::PortUnreachable, 0u32.wrapping_sub(1));
    assert_eq!((scene.state(), scene.connection.error()), (State::Closed, Some(Error::Refused)));
}

#[test]
fn a_soft_error_explains_an_open_that_times_out() {
    // RFC 9293 MUST-56, SHLD-25.
    let mut scene = Scene::syn_sent();
    scene.path_error(PathErrorKind::HostUnreachable, 0u32.wrapping_sub(1));
    assert_eq!(scene.state(), State::SynSent);
    scene.run(secs(1000));
    assert_eq!(scene.connection.error(), Some(Error::Unreachable));
}

#[test]
fn an_error_about_what_is_not_in_flight_is_ignored() {
    // RFC 5927 §4.1.
    let mut scene = Scene::established();
    scene.write(10);
    scene.drain();
    for seq in [10, 5000, 0u32.wrapping_sub(1)] {
        let outcome = scene.path_error(PathErrorKind::PacketTooBig { mtu: 600 }, seq);
        assert_eq!(outcome, Outcome::Dropped(DropReason::IcmpNotInFlight));
    }
    assert_eq!(scene.connection.info().mss_bytes, 1000);
}

#[test]
fn a_packet_too_big_cuts_smaller_and_blames_nobody() {
    // RFC 1191 §6.4; RFC 9293 §3.7.2, MUST-16.
    let mut scene = Scene::established();
    scene.write(4000);
    scene.drain();
    let cwnd = scene.connection.info().cwnd_bytes;
    scene.path_error(PathErrorKind::PacketTooBig { mtu: 640 }, 1000);
    let sent = scene.pull();
    assert_eq!(show(&sent[0]), "P. 0:4000 ack 0");
    assert_eq!(sent[0].segment_size, Some(600));
    assert_eq!(scene.connection.info().cwnd_bytes, cwnd);
    // The same news about another segment of that flight is none.
    scene.path_error(PathErrorKind::PacketTooBig { mtu: 640 }, 2000);
    scene.recv(&[]);
    // Nor does the path grow by it.
    scene.path_error(PathErrorKind::PacketTooBig { mtu: 900 }, 2000);
    assert_eq!(scene.connection.info().mss_bytes, 600);
}

fn with_timestamps() -> Scene {
    let options = Options { timestamps: Some(Timestamps { value: 1000, echo: 0 }), ..peer_syn().options };
    Scene::opened(Config { timestamps: true, ..Scene::config() }, Segment { options, ..peer_syn() })
}

#[test]
fn an_old_timestamp_makes_an_old_duplicate() {
    // RFC 7323 §5.3 R1.
    let mut scene = with_timestamps();
    assert_eq!(scene.send(peer(0, 0).data(10).ts(999, 0)), Outcome::Dropped(DropReason::TcpPaws));
    scene.recv(&[". 0:0 ack 0"]);
    assert_eq!(scene.send(peer(0, 0).data(10).ts(1000, 0)), Outcome::Delivered);
    assert_eq!(scene.world.counters.of(Counter::TcpPawsEstab), 1);
}

#[test]
fn a_reset_needs_no_timestamp() {
    // RFC 7323 §3.2, §5.2.
    let mut scene = with_timestamps();
    scene.send(peer(0, 0).flags(Flags::RST).ts(1, 0));
    assert_eq!(scene.state(), State::Closed);
}

#[test]
fn a_segment_without_the_agreed_timestamp_is_dropped() {
    // RFC 7323 §3.2.
    let mut scene = with_timestamps();
    assert_eq!(scene.send(peer(0, 0).data(10)), Outcome::Dropped(DropReason::TcpPaws));
}

#[test]
fn a_syn_needs_no_timestamp_to_be_challenged() {
    // RFC 5961 §4.2, RFC 9293 §3.5.1: a peer that restarted finds out, whichever options it uses by then.
    let mut scene = with_timestamps();
    assert_eq!(scene.send(peer(5, 0).flags(Flags::SYN)), Outcome::Dropped(DropReason::TcpBadSyn));
    assert_eq!(scene.pull().len(), 1);
}

#[test]
fn after_24_days_of_silence_any_timestamp_is_taken() {
    // RFC 7323 §5.5.
    let mut scene = with_timestamps();
    scene.run(secs(24 * 24 * 3600 + 1));
    assert_eq!(scene.send(peer(0, 0).data(10).ts(5, 0)), Outcome::Delivered);
}

#[test]
fn the_echo_is_that_of_what_the_last_ack_waited_for() {
    // RFC 7323 §4.3: (A) delayed ACKs echo the first segment, (B) a hole keeps the echo, (C) filling it moves on.
    let mut scene = with_timestamps();
    let echo = |scene: &mut Scene| scene.pull().last().unwrap().options.timestamps.unwrap().echo;
    scene.send(peer(0, 0).data(1000).ts(1001, 0));
    scene.send(peer(1000, 0).data(1000).ts(1002, 0));
    assert_eq!(echo(&mut scene), 1001);
    scene.send(peer(3000, 0).data(1000).ts(1004, 0));
    assert_eq!(echo(&mut scene), 1001);
    scene.send(peer(2000, 0).data(1000).ts(1005, 0));
    assert_eq!(echo(&mut scene), 1005);
}

#[test]
fn the_last_segment_sent_again_is_echoed_anew() {
    // Otherwise a lost ACK would make the peer measure its own timeout.
    let mut scene = with_timestamps();
    scene.send(peer(0, 0).data(1000).ts(1001, 0));
    scene.run(secs(1));
    scene.send(peer(0, 0).data(1000).ts(2001, 0));
    let ack = scene.pull().pop().unwrap();
    assert_eq!(ack.options.timestamps.unwrap().echo, 2001);
}
