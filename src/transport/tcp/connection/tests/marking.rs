//! Explicit congestion notification: RFC 3168.

use super::scene::{MSS, Scene, Shape, ms, peer, peer_syn, show};
use super::world::segment;
use crate::transport::tcp::config::{Config, Ecn};
use crate::transport::tcp::segment::{Flags, Segment};

const SYN_ACK: Flags = Flags::SYN;

fn config() -> Config {
    Config { ecn: Ecn::On, ..Scene::config() }
}

/// Opened by us, and the peer agrees.
fn agreed() -> Scene {
    Scene::opened_with_flags(config(), peer_syn(), SYN_ACK | Flags::ACK | Flags::ECE)
}

/// What is sent, as text, and the ECN bits of each.
fn pull(scene: &mut Scene) -> Vec<(String, u8)> {
    let mut sent = Vec::new();
    while let Some(datagram) = scene.connection.poll_transmit(&mut scene.world.cx()) {
        sent.push((show(&segment(&datagram)), datagram.traffic_class));
    }
    sent
}

fn sent(expected: &[(&str, u8)]) -> Vec<(String, u8)> {
    expected.iter().map(|(text, class)| ((*text).to_owned(), *class)).collect()
}

fn marked(segment: Segment) -> Segment {
    Segment { traffic_class: 0b11, ..segment }
}

#[test]
fn a_syn_asks_and_one_that_is_sent_again_does_not() {
    // RFC 3168 §6.1.1, §6.1.1.1.
    let mut scene = Scene::syn_sent_with(config());
    scene.recv(&["SEW -1:0"]);
    scene.pass(ms(1000), &[(1000, "S -1:0")]);
    // The answer may be to either: it is to the one that did not ask.
    scene.send(Segment { flags: Flags::SYN | Flags::ACK | Flags::ECE, ack: super::scene::OURS, ..peer_syn() });
    scene.write(100);
    assert_eq!(pull(&mut scene)[0].1, 0);
    let mut passive = Scene::syn_sent_with(Scene::config());
    passive.recv(&["S -1:0"]);
}

#[test]
fn new_data_can_be_marked_and_nothing_else() {
    // RFC 3168 §6.1.2, §6.1.4, §6.1.5.
    let mut scene = agreed();
    scene.write(2 * MSS);
    assert_eq!(pull(&mut scene), sent(&[("P. 0:2000 ack 0", 0b10)]));
    scene.send(peer(0, 0).data(10));
    scene.run(ms(40)).iter().for_each(|(_, ack)| assert_eq!(ack.traffic_class, 0));
    let again = scene.run(ms(1000));
    assert_eq!((show(&again[0].1), again[0].1.traffic_class), (".  0:1000 ack 10".replace("  ", " "), 0));
}

#[test]
fn an_answer_without_ece_or_with_cwr_does_not_agree() {
    // RFC 3168 §6.1.1.
    for flags in [Flags::NONE, Flags::ECE | Flags::CWR] {
        let mut scene = Scene::opened_with_flags(config(), peer_syn(), SYN_ACK | Flags::ACK | flags);
        scene.write(100);
        assert_eq!(pull(&mut scene), sent(&[("P. 0:100 ack 0", 0)]));
    }
}

#[test]
fn a_mark_is_echoed_until_the_peer_says_that_it_reduced_its_window() {
    // RFC 3168 §6.1.3.
    let mut scene = agreed();
    scene.send(marked(peer(0, 0).data(1000)));
    scene.send(peer(1000, 0).data(1000));
    scene.recv(&["E. 0:0 ack 2000"]);
    scene.send(peer(2000, 0).data(1000));
    scene.send(peer(3000, 0).data(1000));
    scene.recv(&["E. 0:0 ack 4000"]);
    scene.send(peer(4000, 0).data(1000).flags(Flags::ACK | Flags::CWR));
    scene.send(peer(5000, 0).data(1000));
    scene.recv(&[". 0:0 ack 6000"]);
    // A mark on the very segment that says so begins anew.
    scene.send(marked(peer(6000, 0).data(1000).flags(Flags::ACK | Flags::CWR)));
    scene.send(peer(7000, 0).data(1000));
    scene.recv(&["E. 0:0 ack 8000"]);
}

#[test]
fn an_echo_reduces_the_window_once_a_round_trip_and_the_next_data_says_so() {
    // RFC 3168 §6.1.2, RFC 8511 §3.1.
    let mut scene = agreed();
    scene.write(20 * MSS);
    scene.drain();
    assert_eq!(scene.connection.info().cwnd_bytes, 10_000);
    // Four fifths of the 9,000 octets that are still out.
    scene.send(peer(0, 1000).flags(Flags::ACK | Flags::ECE));
    assert_eq!(scene.connection.info().ssthresh_bytes, Some(7200));
    scene.send(peer(0, 2000).flags(Flags::ACK | Flags::ECE));
    scene.send(peer(0, 3000).flags(Flags::ACK | Flags::ECE));
    assert_eq!(scene.connection.info().ssthresh_bytes, Some(7200), "the marks are of one round trip");
    assert_eq!(pull(&mut scene), sent(&[]));
    scene.send(peer(0, 4000));
    assert_eq!(pull(&mut scene), sent(&[("W. 10000:11000 ack 0", 0b10)]));
    scene.send(peer(0, 5000));
    assert_eq!(pull(&mut scene), sent(&[(". 11000:12000 ack 0", 0b10)]));
    scene.send(peer(0, 10_000).flags(Flags::ACK | Flags::ECE));
    assert!(scene.connection.info().ssthresh_bytes < Some(7200), "the next round trip");
}

#[test]
fn a_peer_that_never_agreed_is_not_believed() {
    let mut scene = Scene::established();
    scene.write(20 * MSS);
    scene.drain();
    scene.send(peer(0, 1000).flags(Flags::ACK | Flags::ECE));
    assert_eq!(scene.connection.info().ssthresh_bytes, None);
    scene.send(marked(peer(0, 1000).data(1000)));
    scene.send(peer(1000, 1000).data(1000));
    assert!(pull(&mut scene).iter().all(|(text, class)| !text.contains('E') && *class == 0));
}

#[test]
fn the_users_dscp_stays_and_the_ecn_bits_are_ours() {
    let mut scene = agreed();
    scene.connection.set_traffic_class(0xbb);
    scene.write(100);
    assert_eq!(pull(&mut scene)[0].1, 0xb8 | 0b10);
}
