//! What the user says of windows and queues: window clamp and notsent-lowat.

use super::scene::*;
use crate::transport::tcp::config::Config;
use crate::transport::tcp::connection::Readiness;

#[test]
fn a_clamped_connection_announces_no_more() {
    let mut scene = Scene::established_with(Config { window_clamp: Some(10_000), ..Scene::config() });
    scene.send(peer(0, 0).data(1000));
    scene.read(0);
    scene.run(ms(100));
    assert_eq!(scene.connection.info().receive_window_bytes, 9000);
    for n in 1..20 {
        scene.send(peer(n * 1000, 0).data(1000));
        scene.read(n * 1000);
        scene.drain();
        assert!(scene.connection.info().receive_window_bytes <= 10_000);
    }
    scene.run(ms(100));
    assert!(scene.connection.info().receive_window_bytes > 8000, "the window opens again");
}

#[test]
fn a_clamp_takes_nothing_back_that_was_announced() {
    // RFC 9293 SHLD-14.
    let mut scene = Scene::established();
    let edge = scene.connection.right_window_edge();
    scene.connection.set_window_clamp(Some(5000));
    scene.send(peer(0, 0).data(10_000));
    scene.read(0);
    scene.drain();
    assert_eq!(scene.connection.right_window_edge(), edge);
    let mut at = 10_000;
    while at < 60_000 {
        scene.send(peer(at, 0).data(1000));
        scene.read(at);
        scene.drain();
        at += 1000;
    }
    assert!(scene.connection.info().receive_window_bytes <= 6000);
}

#[test]
fn below_the_mark_a_connection_is_writable_and_above_it_is_not() {
    // TCP_NOTSENT_LOWAT of Linux.
    let mut scene = Scene::established_with(Config { notsent_lowat: Some(8000), ..Scene::config() });
    // Ten segments of the initial window leave, and no more than the mark waits behind them.
    assert_eq!(scene.write(100_000), 8000);
    scene.drain();
    let mut taken = 8000;
    while taken < 18_000 {
        let more = scene.write(100_000);
        assert!(more > 0);
        taken += more;
        scene.drain();
    }
    assert_eq!(scene.write(100_000), 0);
    scene.connection.take_readiness();
    scene.send(peer(0, 1000));
    scene.drain();
    assert!(!scene.connection.take_readiness().has(Readiness::WRITABLE), "more than half of the mark still waits");
    scene.send(peer(0, 3000));
    scene.drain();
    assert!(scene.connection.take_readiness().has(Readiness::WRITABLE));
}

#[test]
fn the_least_mark_is_a_segment() {
    let mut scene = Scene::established();
    scene.connection.set_notsent_lowat(Some(1));
    assert_eq!(scene.write(100_000), 1000);
}
