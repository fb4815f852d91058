//! What is told of a connection: the figures of `tcp_info`.

use super::scene::*;
use crate::transport::tcp::segment::{Flags, Segment};

#[test]
fn segments_are_counted_as_they_stand_on_the_wire() {
    let mut scene = Scene::established();
    let before = scene.connection.info();
    // Those of the handshake are not looked at one by one; of ours, the SYN is at the peer.
    assert_eq!((before.segments_sent, before.data_segments_sent, before.delivered_segments), (1, 0, 1));
    scene.write(3500);
    scene.drain();
    // One super-segment in, of three and a bit.
    scene.send(Segment { segment_size: Some(1000), ..peer(0, 0).data(3500) });
    let info = scene.connection.info();
    assert_eq!((info.segments_sent - before.segments_sent, info.data_segments_sent), (4, 4));
    assert_eq!((info.segments_received - before.segments_received, info.data_segments_received), (4, 4));
    assert_eq!((info.unacked_segments, info.delivered_segments), (4, 1));
    scene.send(peer(3500, 3500));
    let info = scene.connection.info();
    assert_eq!((info.unacked_segments, info.delivered_segments), (0, 5));
}

#[test]
fn what_is_lost_sacked_and_sent_again_is_counted_in_segments() {
    let mut scene = Scene::far_with_sack();
    scene.write(8000);
    scene.drain();
    scene.run(ms(100));
    assert_eq!(scene.connection.info().recovery, "open");
    scene.send(peer(0, 0).sack(&[(2000, 3000)]));
    assert_eq!(scene.connection.info().recovery, "disorder");
    scene.send(peer(0, 0).sack(&[(2000, 6000)]));
    let info = scene.connection.info();
    assert_eq!(info.recovery, "recovery");
    assert_eq!((info.unacked_segments, info.sacked_segments, info.lost_segments), (8, 4, 2));
    scene.drain();
    let info = scene.connection.info();
    assert!(info.resent_segments > 0 && info.resent_segments == info.retransmissions as u32, "{info:#?}");
    assert_eq!(info.delivered_segments, 5);
}

#[test]
fn a_segment_beyond_a_gap_is_counted_as_one() {
    let mut scene = Scene::established();
    scene.send(peer(0, 0).data(1000));
    scene.send(peer(2000, 0).data(1000));
    let info = scene.connection.info();
    assert_eq!((info.data_segments_received, info.out_of_order_segments), (2, 1));
    assert_eq!(info.receive_mss_bytes, 1000);
}

#[test]
fn how_long_ago_things_happened_is_told() {
    let mut scene = Scene::established();
    let fresh = scene.connection.info_at(scene.world.now);
    assert_eq!((fresh.last_data_sent_ago_us, fresh.last_data_received_ago_us), (None, None));
    scene.write(10);
    scene.drain();
    scene.run(ms(20));
    scene.send(peer(0, 10).data(10));
    scene.run(ms(30));
    scene.send(peer(10, 10).flags(Flags::ACK));
    scene.run(ms(5));
    let info = scene.connection.info_at(scene.world.now);
    assert_eq!(info.last_data_sent_ago_us, Some(55_000));
    assert_eq!(info.last_data_received_ago_us, Some(35_000));
    assert_eq!(info.last_ack_received_ago_us, Some(5_000));
}

#[test]
fn what_waits_to_be_sent_for_the_first_time_is_told_apart() {
    let mut scene = Scene::established();
    scene.write(50_000);
    scene.drain();
    let info = scene.connection.info();
    assert_eq!(info.not_sent_bytes, 50_000 - info.bytes_sent);
    assert_eq!(info.send_queue_bytes, 50_000);
    assert_eq!((info.path_mtu_bytes, info.advertised_mss_bytes), (1500, 1460));
}
