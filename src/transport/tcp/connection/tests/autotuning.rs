//! Buffers that grow with what the path can use.

use super::scene::{MSS, Scene, Shape, ms, peer, peer_syn};
use crate::base::limits::{TCP_INITIAL_BUFFER, TCP_UNSENT};
use crate::transport::tcp::config::Config;
use bytes::Bytes;

fn tuned() -> Scene {
    let mut syn = peer_syn();
    syn.options.window_scale = Some(7);
    Scene::opened(Config { auto_tuning: true, window_scale: true, receive_buffer: 1 << 20, ..Scene::config() }, syn)
}

/// What the peer may send beyond what has arrived.
fn window(scene: &Scene) -> usize {
    scene.connection.rcv.wnd() as usize
}

/// The peer fills the window, with so much time between its segments; the user reads all of it, or nothing.
fn fill(scene: &mut Scene, from: &mut u32, time: crate::base::time::Duration, reads: bool) {
    let mut left = window(scene);
    while left > 0 {
        scene.run(time);
        let len = left.min(20 * MSS);
        scene.send(peer(*from, 0).data(len));
        *from += len as u32;
        left -= len;
        while reads && scene.connection.readable_bytes() > 0 {
            let _ = scene.connection.read(usize::MAX).unwrap();
        }
    }
    scene.drain();
}

#[test]
fn a_window_that_holds_the_peer_back_grows_to_the_configured_size() {
    let mut scene = tuned();
    let mut from = 0;
    let mut seen = vec![window(&scene)];
    for _ in 0..8 {
        fill(&mut scene, &mut from, ms(0), true);
        seen.push(window(&scene));
    }
    // The window of the SYN ends in the middle of the first, so that this one may be two rounds.
    assert!(seen[0] == TCP_INITIAL_BUFFER && seen[1] <= 4 * TCP_INITIAL_BUFFER, "{seen:?}");
    assert!(*seen.last().unwrap() > (1 << 20) - 64 * MSS && *seen.last().unwrap() <= 1 << 20, "{seen:?}");
    assert!(seen.windows(2).all(|pair| pair[0] <= pair[1]), "{seen:?}");
}

#[test]
fn a_window_does_not_grow_for_a_peer_that_is_slower_than_it() {
    let mut scene = tuned();
    let mut from = 0;
    for _ in 0..8 {
        fill(&mut scene, &mut from, ms(1_000), true);
    }
    assert!(window(&scene) <= TCP_INITIAL_BUFFER);
}

#[test]
fn a_window_does_not_grow_for_a_user_that_does_not_read() {
    let mut scene = tuned();
    let mut from = 0;
    let before = scene.connection.right_window_edge();
    fill(&mut scene, &mut from, ms(1), false);
    fill(&mut scene, &mut from, ms(1), false);
    assert!(scene.connection.right_window_edge().past(before) as usize <= TCP_INITIAL_BUFFER);
}

#[test]
fn a_writer_gets_room_for_twice_what_may_be_out_and_more_as_that_grows() {
    let mut scene = tuned();
    assert_eq!(scene.connection.write_room(), TCP_INITIAL_BUFFER);
    let mut acked = 0;
    for _ in 0..12 {
        let mut data = Bytes::from(vec![7; 1 << 20]);
        scene.connection.write(&mut data, &mut scene.world.cx()).unwrap();
        scene.drain();
        let out = scene.connection.info().in_flight_bytes;
        acked += out;
        scene.send(peer(0, acked).window(60_000));
        scene.drain();
    }
    let info = scene.connection.info();
    assert!(info.cwnd_bytes as usize > TCP_INITIAL_BUFFER, "{}", info.cwnd_bytes);
    assert!(scene.connection.write_room() > TCP_INITIAL_BUFFER && scene.connection.write_room() <= TCP_UNSENT);
}

#[test]
fn the_first_segments_are_acknowledged_at_once() {
    let mut scene = Scene::established_with(Config { quick_acks: 2, ..Scene::config() });
    for n in 0..2 {
        scene.send(peer(10 * n, 0).data(10));
        assert_eq!(scene.pull().len(), 1, "segment {n}");
    }
    scene.send(peer(20, 0).data(10));
    assert_eq!(scene.pull().len(), 0, "the third may wait for company");
}
