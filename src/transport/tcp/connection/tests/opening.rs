//! Opening: SYN-SENT, SYN-RECEIVED and what the SYNs agree on.

use super::scene::*;
use crate::base::drops::{DropReason, Outcome};
use crate::transport::tcp::config::{Config, Ecn};
use crate::transport::tcp::connection::{Connection, Error, Handshake, Readiness, WindowScale};
use crate::transport::tcp::options::Options;
use crate::transport::tcp::segment::{Flags, Segment};
use crate::transport::tcp::state::State;
use std::rc::Rc;

fn syn_ack() -> Segment {
    Segment { flags: Flags::SYN | Flags::ACK, ack: OURS, ..peer_syn() }
}

#[test]
fn an_active_open_sends_a_syn_with_every_option() {
    // RFC 9293 MUST-14, MUST-67.
    let mut scene = Scene::syn_sent_with(Config::default());
    let syn = scene.pull().remove(0);
    assert_eq!(show(&syn), "S -1:0");
    assert_eq!((syn.options.mss, syn.options.window_scale, syn.options.sack_permitted), (Some(1460), Some(7), true));
    assert!(syn.options.timestamps.is_some());
    assert_eq!((syn.ack.0, syn.window), (0, 65_535));
}

#[test]
fn timestamps_begin_at_a_number_of_the_connections_own() {
    // RFC 7323 §7.1: they tell nothing about the host's clock.
    let mut scene = Scene::syn_sent_with(Config::default());
    let cx = &mut scene.world.cx();
    let mut open =
        || Connection::connect(LOCAL.parse().unwrap(), REMOTE.parse().unwrap(), OURS, Rc::new(Config::default()), cx);
    let values = [open(), open(), open()].map(|mut connection| {
        let syn = super::world::segment(&connection.poll_transmit(&mut scene.world.cx()).unwrap());
        syn.options.timestamps.unwrap().value
    });
    assert!(values[0] != values[1] && values[1] != values[2]);
}

#[test]
fn a_syn_ack_opens_the_connection() {
    // RFC 9293 figure 6.
    let mut scene = Scene::syn_sent();
    scene.send(syn_ack());
    scene.recv(&[". 0:0 ack 0"]);
    assert_eq!(scene.state(), State::Established);
    assert!(scene.connection.take_readiness().has(Readiness::CONNECTED | Readiness::WRITABLE));
    assert!(scene.connection.take_readiness().is_empty());
}

#[test]
fn only_what_both_sides_offer_is_used() {
    // RFC 7323 §2.2, §3.2; RFC 2018 §2.
    let scene = Scene::opened(Config::default(), peer_syn());
    let info = scene.connection.info();
    assert_eq!(
        (info.sack, info.timestamps, info.send_window_scale, info.receive_window_scale),
        (false, false, None, None)
    );
    assert_eq!(info.mss_bytes, 1000);
}

#[test]
fn the_window_of_a_syn_is_not_scaled_and_those_after_it_are() {
    // RFC 7323 §2.2; RFC 9293 MUST-1.
    let options = Options { window_scale: Some(7), ..peer_syn().options };
    let mut scene = Scene::opened(Config { window_scale: true, ..Scene::config() }, Segment { options, ..peer_syn() });
    assert_eq!(scene.connection.info().send_window_bytes, 60_000);
    scene.send(peer(0, 0).window(60_000));
    assert_eq!(scene.connection.info().send_window_bytes, 60_000 << 7);
}

#[test]
fn a_peer_without_an_mss_gets_536() {
    // RFC 9293 MUST-15.
    let scene = Scene::opened(Scene::config(), Segment { options: Options::default(), ..peer_syn() });
    assert_eq!(scene.connection.info().mss_bytes, 536);
}

#[test]
fn an_unanswered_syn_is_sent_again_with_backoff_for_three_minutes() {
    // RFC 9293 MUST-22, MUST-23, MUST-19.
    let mut scene = Scene::syn_sent();
    let sent = scene.run(secs(1000));
    let at: Vec<u64> = sent.iter().map(|(at, _)| at / 1000).collect();
    assert_eq!(at, [1, 3, 7, 15, 31, 63, 127]);
    assert!(sent.iter().all(|(_, syn)| show(syn) == "S -1:0" && syn.options.mss == Some(1460)));
    assert_eq!((scene.state(), scene.connection.error()), (State::Closed, Some(Error::TimedOut)));
    assert!(scene.connection.is_finished());
}

#[test]
fn after_a_lost_syn_the_window_is_one_segment_and_the_rto_three_seconds() {
    // RFC 5681 §3.1, RFC 6298 (5.7).
    let mut scene = Scene::syn_sent();
    scene.run(secs(2));
    scene.send(syn_ack());
    scene.drain();
    let info = scene.connection.info();
    assert_eq!((info.cwnd_bytes, info.rto_us), (1000, 3_000_000));
}

#[test]
fn a_reset_that_acknowledges_our_syn_refuses() {
    // RFC 9293 §3.10.7.3 second.
    let mut scene = Scene::syn_sent();
    assert_eq!(scene.send(peer(0, 0).flags(Flags::RST)), Outcome::Dropped(DropReason::TcpBadReset));
    assert_eq!(scene.send(peer(0, 1).flags(Flags::RST | Flags::ACK)), Outcome::Dropped(DropReason::TcpBadAck));
    assert_eq!(scene.state(), State::SynSent);
    scene.send(peer(0, 0).flags(Flags::RST | Flags::ACK));
    assert_eq!((scene.state(), scene.connection.error()), (State::Closed, Some(Error::Refused)));
    scene.recv(&[]);
}

#[test]
fn an_ack_of_something_else_is_answered_by_a_reset() {
    // RFC 9293 §3.10.7.3 first: <SEQ=SEG.ACK><CTL=RST>.
    let mut scene = Scene::syn_sent();
    scene.send(Segment { ack: OURS + 77, ..syn_ack() });
    scene.recv(&["R 77:77"]);
    assert_eq!(scene.state(), State::SynSent);
}

#[test]
fn data_that_comes_with_the_syn_ack_is_delivered() {
    // RFC 9293 §3.10.7.3 fourth.
    let mut scene = Scene::syn_sent();
    scene.send(Segment { payload: octets(0, 100), ..syn_ack() });
    scene.recv(&[". 0:0 ack 100"]);
    assert_eq!(scene.read(0), 100);
}

#[test]
fn simultaneous_opens_meet() {
    // RFC 9293 MUST-10, figure 7.
    let mut scene = Scene::syn_sent();
    scene.send(peer_syn());
    assert_eq!(scene.state(), State::SynReceived);
    scene.recv(&["S. -1:0 ack 0"]);
    scene.send(peer(0, 0));
    assert_eq!(scene.state(), State::Established);
}

#[test]
fn the_syn_ack_of_a_simultaneous_open_is_sent_again() {
    // RFC 9293 MUST-10, MUST-22.
    let mut scene = Scene::syn_sent();
    scene.send(peer_syn());
    scene.drain();
    scene.pass(secs(1), &[(1000, "S. -1:0 ack 0")]);
}

#[test]
fn a_reset_in_syn_received_refuses() {
    // RFC 9293 MUST-11: a connection that came from an active open is refused, not returned to LISTEN.
    let mut scene = Scene::syn_sent();
    scene.send(peer_syn());
    scene.drain();
    scene.send(peer(0, 0).flags(Flags::RST | Flags::ACK));
    assert_eq!((scene.state(), scene.connection.error()), (State::Closed, Some(Error::Refused)));
}

#[test]
fn the_ack_of_our_syn_ack_establishes_a_passive_open() {
    // RFC 9293 §3.10.7.4 fifth, SYN-RECEIVED.
    let mut scene = Scene::syn_received();
    assert_eq!(scene.send(peer(0, 0).data(10)), Outcome::Delivered);
    assert_eq!(scene.state(), State::Established);
    assert_eq!(scene.connection.info().srtt_us, Some(10_000));
    assert_eq!(scene.read(0), 10);
}

#[test]
fn a_wrong_ack_in_syn_received_is_answered_by_a_reset() {
    // RFC 9293 §3.10.7.4 fifth, SYN-RECEIVED.
    let mut scene = Scene::syn_received();
    scene.send(peer(0, 5));
    scene.recv(&["R 5:5"]);
    assert_eq!(scene.state(), State::SynReceived);
}

#[test]
fn a_handshake_hands_over_what_was_agreed() {
    let mut world = super::world::World::new(1);
    let handshake = Handshake {
        window_scale: Some(WindowScale { ours: 5, theirs: 3 }),
        sack: true,
        syn_ack_retransmitted: true,
        rtt: None,
        ..handshake()
    };
    let mut connection = Connection::accepted(handshake, Rc::new(Config::default()), &mut world.cx());
    connection.receive(peer(0, 0).window(1000), &mut world.cx());
    let info = connection.info();
    assert_eq!((info.send_window_bytes, info.sack, info.cwnd_bytes), (8000, true, 1000));
}

#[test]
fn what_is_written_and_closed_before_the_handshake_is_sent_after_it() {
    // RFC 9293 §3.10.2, §3.10.4: SYN-SENT queues.
    let mut scene = Scene::syn_sent();
    assert_eq!(scene.write(100), 100);
    scene.shutdown();
    scene.recv(&[]);
    scene.send(syn_ack());
    scene.recv(&["FP. 0:101 ack 0"]);
    assert_eq!(scene.state(), State::FinWait1);
}

#[test]
fn a_close_in_syn_sent_forgets_the_connection() {
    // RFC 9293 §3.10.4.
    let mut scene = Scene::syn_sent();
    scene.close();
    assert!(scene.connection.is_finished());
}

#[test]
fn a_connection_is_small() {
    // A million idle ones must fit a gibibyte.
    assert!(size_of::<Connection>() + 128 <= 1024, "{} octets", size_of::<Connection>());
}

#[test]
fn the_fifth_syn_has_no_option_but_the_mss() {
    // Not in an RFC: what stands in the way may dislike options; see `PLAIN_SYN`.
    let mut scene = Scene::syn_sent_with(Config { ecn: Ecn::On, ..Config::default() });
    let first = scene.pull().remove(0);
    let others: Vec<Segment> = scene.run(secs(100)).into_iter().map(|(_, segment)| segment).collect();
    let has = |syn: &Segment| {
        let options = &syn.options;
        (
            syn.flags.has(Flags::ECE),
            options.sack_permitted,
            options.timestamps.is_some(),
            options.window_scale.is_some(),
        )
    };
    assert_eq!(has(&first), (true, true, true, true));
    for again in &others[..3] {
        assert_eq!(has(again), (false, true, true, true));
    }
    assert_eq!(has(&others[3]), (false, false, false, false));
    assert_eq!(others[3].options.mss, Some(1460));
    // A late answer to an earlier one is taken with what it agrees to.
    let options = Options { sack_permitted: true, window_scale: Some(3), ..peer_syn().options };
    scene.send(Segment { flags: Flags::SYN | Flags::ACK, ack: OURS, options, ..peer_syn() });
    let info = scene.connection.info();
    assert_eq!((info.sack, info.send_window_scale), (true, Some(3)));
}
