//! The user timeout option: RFC 5482.

use super::scene::*;
use crate::base::time::Duration;
use crate::transport::tcp::config::Config;
use crate::transport::tcp::connection::Connection;
use crate::transport::tcp::options::Options;
use crate::transport::tcp::segment::Segment;
use crate::transport::tcp::state::State;
use std::rc::Rc;

fn config(own: u64) -> Config {
    Config { user_timeout_option: true, user_timeout: Some(secs(own)), ..Scene::config() }
}

fn opened(own: u64, theirs: Option<u16>) -> Scene {
    let options = Options { user_timeout: theirs, ..peer_syn().options };
    Scene::opened(config(own), Segment { options, ..peer_syn() })
}

/// How long unacknowledged data lasts.
fn patience(scene: &mut Scene) -> Duration {
    scene.write(10);
    scene.drain();
    let start = scene.world.now;
    while scene.state() != State::Closed {
        scene.run(secs(1));
        assert!(scene.world.now.since(start) < secs(10_000));
    }
    scene.world.now.since(start)
}

#[test]
fn the_syn_says_how_long_we_wait_and_so_does_the_first_segment_after_it() {
    // RFC 5482 §3.1.
    let mut scene = Scene::syn_sent_with(config(200));
    assert_eq!(scene.pull()[0].options.user_timeout, Some(200));
    let mut scene = Scene::syn_sent_with(config(200));
    scene.drain();
    scene.send(Segment { flags: peer_syn().flags | peer(0, 0).flags, ack: OURS, ..peer_syn() });
    assert_eq!(scene.pull()[0].options.user_timeout, Some(200));
    scene.send(peer(0, 0).data(10));
    assert_eq!(scene.run(secs(1))[0].1.options.user_timeout, None);
}

#[test]
fn the_longer_patience_of_the_two_counts() {
    // RFC 5482 §3.1: USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT)).
    assert_eq!(patience(&mut opened(200, Some(400))), secs(400));
    assert_eq!(patience(&mut opened(200, Some(150))), secs(200));
    assert_eq!(patience(&mut opened(200, None)), secs(200));
}

#[test]
fn what_the_peer_says_is_taken_within_limits() {
    assert_eq!(patience(&mut opened(50, Some(10))), secs(100), "L_LIMIT");
    assert_eq!(patience(&mut opened(50, Some(1 << 15 | 1000))), secs(3600), "U_LIMIT");
    assert_eq!(patience(&mut opened(50, Some(0))), secs(50), "zero says nothing (§3)");
}

#[test]
fn what_the_application_sets_is_told_and_not_changed_by_the_peer() {
    // RFC 5482 §3.2, CHANGEABLE.
    let mut scene = opened(200, None);
    scene.connection.set_user_timeout(Some(secs(120)), &mut scene.world.cx());
    let mut told = peer(0, 0).data(10);
    told.options.user_timeout = Some(900);
    scene.send(told);
    assert_eq!(scene.run(secs(1))[0].1.options.user_timeout, Some(120));
    assert_eq!(patience(&mut scene), secs(120));
}

#[test]
fn the_peer_may_change_its_mind_later() {
    let mut scene = opened(200, Some(400));
    let mut told = peer(0, 0).data(10);
    told.options.user_timeout = Some(500);
    scene.send(told);
    assert_eq!(patience(&mut scene), secs(500));
}

#[test]
fn without_the_configuration_the_option_is_neither_sent_nor_heeded() {
    // RFC 5482 §3.2, ENABLED: false by default.
    let own = Config { user_timeout: Some(secs(200)), ..Scene::config() };
    let options = Options { user_timeout: Some(400), ..peer_syn().options };
    let mut scene = Scene::opened(own, Segment { options, ..peer_syn() });
    assert_eq!(patience(&mut scene), secs(200));
}

#[test]
fn an_accepted_connection_tells_with_its_first_segment() {
    let mut scene = Scene::syn_received();
    scene.connection = Connection::accepted(handshake(), Rc::new(config(200)), &mut scene.world.cx());
    scene.send(peer(0, 0).data(10));
    let sent = scene.run(secs(1));
    let told: Vec<_> = scene.pull().into_iter().chain(sent.into_iter().map(|(_, segment)| segment)).collect();
    assert_eq!(told[0].options.user_timeout, Some(200));
}
