//! When data goes out: pacing, and what is not paced.

use super::scene::{MSS, Scene, Shape, ms, peer, peer_syn};
use crate::base::time::Duration;
use crate::transport::tcp::config::{Algorithm, Config};
use crate::transport::tcp::segment::{Flags, Segment};

/// Opened by us with a round trip of so much.
fn opened(rtt: Duration, congestion: Algorithm) -> Scene {
    let mut scene = Scene::syn_sent_with(Config { pacing: true, congestion, ..Scene::config() });
    scene.drain();
    scene.run(rtt);
    let flags = Flags::SYN | Flags::ACK;
    scene.send(Segment { flags, ack: super::scene::OURS, ..peer_syn() });
    scene.drain();
    scene
}

/// What goes out in a time, in octets, with its milliseconds.
fn sizes(scene: &mut Scene, time: Duration) -> Vec<(u64, usize)> {
    scene.run(time).into_iter().map(|(at, segment)| (at, segment.payload.len())).collect()
}

#[test]
fn the_initial_window_goes_out_at_once() {
    // RFC 6928.
    let mut scene = opened(ms(100), Algorithm::Cubic);
    scene.write(10 * MSS);
    let sent: usize = scene.pull().iter().map(|segment| segment.payload.len()).sum();
    assert_eq!(sent, 10 * MSS);
}

#[test]
fn in_slow_start_twice_the_window_goes_out_in_a_round_trip() {
    let mut scene = opened(ms(100), Algorithm::Cubic);
    scene.write(60 * MSS);
    scene.drain();
    scene.run(ms(100));
    scene.send(peer(0, 10_000));
    // A window of 20 segments and a round trip of 100 ms: two segments each 5 ms.
    let first: usize = scene.pull().iter().map(|segment| segment.payload.len()).sum();
    assert_eq!(first, 2 * MSS);
    let sent = sizes(&mut scene, ms(100));
    assert!(sent.iter().all(|(_, len)| *len == 2 * MSS), "{sent:?}");
    let gaps: Vec<u64> = sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps.iter().all(|gap| (4..=6).contains(gap)), "{sent:?}");
    assert_eq!(sent.len(), 9, "the window is full after half a round trip: {sent:?}");
}

#[test]
fn a_paced_connection_has_output_exactly_from_its_deadline_on() {
    let mut scene = opened(ms(100), Algorithm::Cubic);
    scene.write(60 * MSS);
    scene.drain();
    scene.run(ms(100));
    scene.send(peer(0, 10_000));
    scene.drain();
    for _ in 0..5 {
        let deadline = scene.connection.deadline().unwrap();
        assert!(deadline > scene.world.now, "it would be asked in vain");
        assert!(!scene.connection.has_output(scene.world.now));
        assert!(!scene.connection.has_output(deadline - Duration::from_nanos(1)));
        scene.world.now = deadline;
        scene.connection.handle_timeout(&mut scene.world.cx());
        assert!(scene.connection.has_output(scene.world.now));
        scene.drain();
    }
}

#[test]
fn a_short_round_trip_is_not_paced() {
    let mut scene = opened(Duration::from_micros(900), Algorithm::Cubic);
    for n in 1..4 {
        scene.write(40 * MSS);
        scene.drain();
        assert!(scene.connection.info().pacing_rate_bytes.is_none());
        scene.run(Duration::from_micros(900));
        scene.send(peer(0, n * 10_000));
    }
    let at_once: usize = scene.pull().iter().map(|segment| segment.payload.len()).sum();
    assert!(at_once >= 10 * MSS, "{at_once}");
}

#[test]
fn bbr_is_paced_whatever_the_round_trip() {
    let scene = opened(Duration::from_micros(900), Algorithm::Bbr);
    assert!(scene.connection.info().pacing_rate_bytes.is_some());
    assert_eq!(scene.connection.info().congestion, "bbr");
}

#[test]
fn after_a_pause_the_window_goes_out_in_pieces() {
    // RFC 7661 §4.4.2.
    let mut scene = opened(ms(100), Algorithm::Cubic);
    scene.write(10 * MSS);
    scene.drain();
    scene.run(ms(100));
    scene.send(peer(0, 10_000));
    scene.run(Duration::from_secs(60));
    scene.write(20 * MSS);
    let at_once: usize = scene.pull().iter().map(|segment| segment.payload.len()).sum();
    assert!(at_once <= 4 * MSS, "{at_once}");
}

#[test]
fn a_pause_is_not_made_up_for_by_a_burst() {
    let mut scene = opened(ms(10), Algorithm::Cubic);
    let mut acked = 0;
    for written in [60, 60, 60, 60, 0] {
        scene.write(written * MSS);
        acked += scene.pull().iter().map(|segment| segment.payload.len()).sum::<usize>();
        acked += sizes(&mut scene, ms(10)).iter().map(|(_, len)| len).sum::<usize>();
        scene.send(peer(0, acked as u32));
    }
    scene.run(ms(20));
    let info = scene.connection.info();
    let of_a_millisecond = (info.pacing_rate_bytes.unwrap() / 1000) as usize;
    assert!(of_a_millisecond >= 6 * MSS, "{info:?}");
    scene.write(60 * MSS);
    let at_once: usize = scene.pull().iter().map(|segment| segment.payload.len()).sum();
    assert!((MSS..=of_a_millisecond).contains(&at_once), "{at_once} of {of_a_millisecond}: {info:?}");
}

#[test]
fn an_urgent_retransmission_does_not_wait_for_its_turn() {
    let mut scene = opened(ms(100), Algorithm::Cubic);
    scene.write(60 * MSS);
    scene.drain();
    scene.run(ms(100));
    scene.send(peer(0, 1_000));
    scene.drain();
    for _ in 0..3 {
        scene.send(peer(0, 1_000));
    }
    let sent = scene.pull();
    assert!(sent.iter().any(|segment| segment.seq == super::scene::OURS + 1_000), "{sent:?}");
}

#[test]
fn a_window_update_is_no_loss_and_changes_no_release_time() {
    let mut scene = opened(ms(100), Algorithm::Cubic);
    scene.write(60 * MSS);
    scene.drain();
    scene.run(ms(100));
    scene.send(peer(0, 10_000));
    scene.drain();
    let deadline = scene.connection.deadline();
    scene.send(peer(0, 10_000).window(61_000));
    scene.drain();
    assert_eq!(scene.connection.deadline(), deadline);
}
