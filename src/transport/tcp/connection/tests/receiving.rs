//! The sixth to eighth step of SEGMENT ARRIVES: text, gaps, ACKs, windows and urgent data.

use super::scene::*;
use crate::base::drops::{DropReason, Outcome};
use crate::transport::tcp::config::Config;
use crate::transport::tcp::connection::{Read, Readiness};
use crate::transport::tcp::segment::{Flags, Segment};
use crate::transport::tcp::state::State;

#[test]
fn data_in_order_is_delivered() {
    let mut scene = Scene::established();
    scene.connection.take_readiness();
    assert_eq!(scene.send(peer(0, 0).data(10)), Outcome::Delivered);
    assert!(scene.connection.take_readiness().has(Readiness::READABLE));
    assert_eq!(scene.read(0), 10);
    assert_eq!(scene.connection.read(1), Ok(Read::WouldBlock));
}

#[test]
fn a_peek_gives_what_the_next_reads_will_and_leaves_it() {
    let mut scene = Scene::established();
    // A large piece, small ones that lie together, and one beyond a gap.
    for (seq, len) in [(0, 2000), (2000, 10), (2010, 10), (2020, 1500), (3600, 10)] {
        scene.send(peer(seq, 0).data(len));
    }
    assert_eq!(scene.connection.peek(10_000), octets(0, 3520));
    assert_eq!(scene.connection.peek(2005), octets(0, 2005));
    assert_eq!(scene.connection.readable_bytes(), 3520);
    assert_eq!(scene.read(0), 3520);
    assert_eq!(scene.connection.peek(1), b"");
}

#[test]
fn asked_for_quick_acks_the_one_that_waits_and_the_next_go_at_once() {
    let mut scene = Scene::established();
    scene.send(peer(0, 0).data(10));
    scene.recv(&[]);
    scene.connection.set_quick_acks(1);
    scene.recv(&[". 0:0 ack 10"]);
    scene.send(peer(10, 0).data(10));
    scene.recv(&[". 0:0 ack 20"]);
    scene.send(peer(20, 0).data(10));
    scene.pass(secs(1), &[(40, ". 0:0 ack 30")]);
}

#[test]
fn one_small_segment_is_acknowledged_after_the_delay() {
    // RFC 9293 SHLD-18, MUST-40.
    let mut scene = Scene::established();
    scene.send(peer(0, 0).data(10));
    scene.pass(secs(1), &[(40, ". 0:0 ack 10")]);
}

#[test]
fn every_second_full_segment_is_acknowledged_at_once() {
    // RFC 9293 SHLD-19.
    let mut scene = Scene::established();
    scene.send(peer(0, 0).data(1000));
    scene.recv(&[]);
    scene.send(peer(1000, 0).data(1000));
    scene.recv(&[". 0:0 ack 2000"]);
}

#[test]
fn a_super_segment_counts_as_the_segments_it_stands_for() {
    let mut scene = Scene::established();
    scene.send(Segment { segment_size: Some(1000), ..peer(0, 0).data(2000) });
    scene.recv(&[". 0:0 ack 2000"]);
}

#[test]
fn the_ack_rides_on_data() {
    // RFC 9293 MUST-58.
    let mut scene = Scene::established();
    scene.send(peer(0, 0).data(10));
    scene.write(5);
    scene.recv(&["P. 0:5 ack 10"]);
    scene.send(peer(10, 5));
    scene.pass(secs(1), &[]);
}

#[test]
fn several_segments_that_arrive_together_are_acknowledged_once() {
    // RFC 9293 MUST-58, MUST-59.
    let mut scene = Scene::established();
    for n in 0..4 {
        scene.send(peer(n * 1000, 0).data(1000));
    }
    scene.recv(&[". 0:0 ack 4000"]);
}

#[test]
fn data_beyond_a_gap_waits_and_is_acknowledged_at_once() {
    // RFC 9293 SHLD-31, MAY-13; RFC 5681 §4.2.
    let mut scene = Scene::established();
    assert_eq!(scene.send(peer(1000, 0).data(1000)), Outcome::Consumed);
    scene.recv(&[". 0:0 ack 0"]);
    assert_eq!(scene.connection.read(1), Ok(Read::WouldBlock));
    scene.send(peer(0, 0).data(1000));
    // MUST-59: everything queued is processed before the ACK goes.
    scene.recv(&[". 0:0 ack 2000"]);
    assert_eq!(scene.read(0), 2000);
}

#[test]
fn what_fills_a_gap_is_acknowledged_at_once_however_small() {
    // RFC 5681 §4.2: the sender must hear without delay that its retransmission arrived.
    let mut scene = Scene::established();
    scene.send(peer(0, 0).data(1000));
    scene.send(peer(1000, 0).data(1000));
    scene.recv(&[". 0:0 ack 2000"]);
    scene.send(peer(2010, 0).data(10));
    scene.recv(&[". 0:0 ack 2000"]);
    scene.send(peer(2000, 0).data(10));
    scene.recv(&[". 0:0 ack 2020"]);
}

#[test]
fn without_sack_each_segment_beyond_a_gap_gets_its_own_duplicate_ack() {
    // RFC 5681 §4.2: the peer counts them.
    let mut scene = Scene::established();
    for n in 1..4 {
        scene.send(peer(n * 1000, 0).data(1000));
    }
    scene.recv(&[". 0:0 ack 0", ". 0:0 ack 0", ". 0:0 ack 0"]);
}

#[test]
fn sack_blocks_report_the_most_recent_first() {
    // RFC 2018 §4.
    let mut scene = Scene::established_with_sack();
    scene.send(peer(1000, 0).data(1000));
    scene.recv(&[". 0:0 ack 0 sack 1000:2000"]);
    scene.send(peer(5000, 0).data(1000));
    scene.recv(&[". 0:0 ack 0 sack 5000:6000 sack 1000:2000"]);
    scene.send(peer(3000, 0).data(1000));
    scene.recv(&[". 0:0 ack 0 sack 3000:4000 sack 5000:6000 sack 1000:2000"]);
    scene.send(peer(2000, 0).data(1000));
    scene.recv(&[". 0:0 ack 0 sack 1000:4000 sack 5000:6000"]);
    scene.send(peer(0, 0).data(1000));
    scene.recv(&[". 0:0 ack 4000 sack 5000:6000"]);
    scene.send(peer(4000, 0).data(1000));
    scene.recv(&[". 0:0 ack 6000"]);
    assert_eq!(scene.read(0), 6000);
}

#[test]
fn overlapping_segments_give_each_octet_once() {
    let mut scene = Scene::established();
    scene.send(peer(500, 0).data(1000));
    scene.send(peer(2000, 0).data(100));
    scene.send(peer(400, 0).data(1650));
    scene.send(peer(0, 0).data(450));
    assert_eq!(scene.read(0), 2100);
}

#[test]
fn only_the_part_inside_the_window_is_kept() {
    // RFC 9293 §3.10.7.4 first: "tailored to that".
    let mut scene = Scene::established_with(Config { receive_buffer: 1000, ..Scene::config() });
    scene.send(peer(0, 0).data(1500).flags(Flags::ACK | Flags::FIN));
    assert_eq!(scene.state(), State::Established);
    scene.recv(&[". 0:0 ack 1000"]);
    assert_eq!(scene.read(0), 1000);
}

#[test]
fn a_fin_beyond_a_gap_counts_when_the_gap_is_filled() {
    let mut scene = Scene::established();
    scene.send(peer(100, 0).data(100).flags(Flags::ACK | Flags::FIN));
    scene.recv(&[". 0:0 ack 0"]);
    assert_eq!(scene.state(), State::Established);
    scene.send(peer(0, 0).data(100));
    assert_eq!(scene.state(), State::CloseWait);
    scene.recv(&[". 0:0 ack 201"]);
    assert_eq!(scene.read(0), 200);
    assert_eq!(scene.connection.read(1), Ok(Read::End));
}

#[test]
fn data_beyond_a_fin_is_not_believed() {
    let mut scene = Scene::established();
    scene.send(peer(0, 0).data(100).flags(Flags::ACK | Flags::FIN));
    scene.send(peer(101, 0).data(100));
    assert_eq!(scene.read(0), 100);
    assert_eq!(scene.state(), State::CloseWait);
}

#[test]
fn the_window_closes_as_the_buffer_fills_and_its_edge_stays() {
    // RFC 9293 SHLD-14.
    let mut scene = Scene::established_with(Config { receive_buffer: 5000, ..Scene::config() });
    let edge = scene.connection.right_window_edge();
    for n in 0..5 {
        scene.send(peer(n * 1000, 0).data(1000));
        scene.drain();
        assert_eq!(scene.connection.right_window_edge(), edge);
    }
    assert_eq!(scene.send(peer(5000, 0).data(1)), Outcome::Consumed);
    scene.recv(&[". 0:0 ack 5000"]);
    assert_eq!(scene.connection.readable_bytes(), 5000);
}

#[test]
fn the_window_opens_in_worthwhile_steps_only() {
    // RFC 9293 MUST-39.
    let mut scene = Scene::established_with(Config { receive_buffer: 5000, ..Scene::config() });
    scene.send(peer(0, 0).data(5000));
    scene.drain();
    scene.connection.read(100).unwrap();
    scene.recv(&[]);
    // The peer probes: the answer must not offer a silly window.
    scene.send(peer(5000, 0).data(1));
    let answer = scene.pull().remove(0);
    assert_eq!((answer.ack, answer.window), (THEIRS + 5000, 0));
    scene.connection.read(3000).unwrap();
    let update = scene.pull().remove(0);
    assert_eq!(update.window, 3100);
}

#[test]
fn a_scaled_window_is_never_retracted_by_rounding() {
    // RFC 7323 §2.4.
    let mut options = peer_syn().options;
    options.window_scale = Some(0);
    let config = Config { window_scale: true, receive_buffer: 1 << 20, ..Scene::config() };
    let mut scene = Scene::opened(config, Segment { options, ..peer_syn() });
    let mut edge = scene.connection.right_window_edge();
    for n in 0..200 {
        scene.send(peer(n * 7, 0).data(7));
        scene.run(ms(50));
        let after = scene.connection.right_window_edge();
        assert!(after.at_or_after(edge));
        edge = after;
    }
}

#[test]
fn small_segments_do_not_push_the_window_out_of_the_buffer() {
    // RFC 9293 MUST-39: rounding to the unit of the scale must not open a window that the user did not open.
    let mut options = peer_syn().options;
    options.window_scale = Some(0);
    let config = Config { window_scale: true, receive_buffer: 1 << 20, ..Scene::config() };
    let mut scene = Scene::opened(config, Segment { options, ..peer_syn() });
    let nearly = (1 << 20) - 1000;
    for at in (0..nearly).step_by(1000) {
        scene.send(peer(at, 0).data(1000));
        scene.drain();
    }
    let filled = scene.connection.readable_bytes() as u32;
    for n in 0..2000 {
        scene.send(peer(filled + n, 0).data(1));
        scene.drain();
    }
    assert_eq!(scene.connection.readable_bytes(), 1 << 20);
}

#[test]
fn too_many_ranges_beyond_gaps_are_refused() {
    let mut scene = Scene::established();
    for n in 0..256 {
        assert_eq!(scene.send(peer(10 + n * 10, 0).data(1)), Outcome::Consumed);
    }
    assert_eq!(scene.send(peer(10_000, 0).data(1)), Outcome::Dropped(DropReason::TcpReassemblyFull));
}

#[test]
fn urgent_data_is_announced_and_stays_in_line() {
    // RFC 9293 MUST-30, MUST-32, MUST-33, MUST-62; RFC 6093 §3.4.
    let mut scene = Scene::established();
    scene.connection.take_readiness();
    let mut segment = peer(0, 0).data(10).flags(Flags::ACK | Flags::URG);
    segment.urgent = 30;
    scene.send(segment);
    assert!(scene.connection.take_readiness().has(Readiness::URGENT));
    assert_eq!(scene.connection.urgent_ahead(), 30);
    assert_eq!(scene.read(0), 10);
    assert_eq!(scene.connection.urgent_ahead(), 20);
    scene.send(peer(10, 0).data(40));
    assert_eq!(scene.read(10), 40);
    assert_eq!(scene.connection.urgent_ahead(), 0);
    assert!(!scene.connection.take_readiness().has(Readiness::URGENT));
}

#[test]
fn data_is_not_acknowledged_late_when_delays_are_off() {
    let mut scene = Scene::established_with(Config { delayed_ack: None, ..Scene::config() });
    scene.send(peer(0, 0).data(1));
    scene.recv(&[". 0:0 ack 1"]);
}

#[test]
fn what_comes_twice_is_told_once() {
    // RFC 2883 §4.1.1: the first block, below the acknowledgment.
    let mut scene = Scene::established_with_sack();
    scene.send(peer(0, 0).data(1000));
    scene.run(ms(100));
    scene.send(peer(0, 0).data(1000));
    scene.recv(&[". 0:0 ack 1000 sack 0:1000"]);
    scene.send(peer(500, 0).data(1000));
    scene.recv(&[". 0:0 ack 1500 sack 500:1000"]);
    scene.send(peer(2000, 0).data(1000));
    scene.recv(&[". 0:0 ack 1500 sack 2000:3000"]);
}

#[test]
fn what_comes_twice_beyond_a_gap_is_told_before_the_block_that_holds_it() {
    // RFC 2883 §4.2.
    let mut scene = Scene::established_with_sack();
    scene.send(peer(2000, 0).data(1000));
    scene.drain();
    scene.send(peer(2500, 0).data(1000));
    scene.recv(&[". 0:0 ack 0 sack 2500:3000 sack 2000:3500"]);
    scene.send(peer(5000, 0).data(1000));
    scene.recv(&[". 0:0 ack 0 sack 5000:6000 sack 2000:3500"]);
}
