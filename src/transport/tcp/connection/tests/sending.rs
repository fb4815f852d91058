//! What goes out and when: segment sizes, Nagle, silly windows, closed windows, urgent data.

use super::scene::*;
use crate::base::counters::Counter;
use crate::network::packet::PathErrorKind;
use crate::transport::tcp::config::Config;
use crate::transport::tcp::connection::{Error, Readiness};
use crate::transport::tcp::options::Options;
use crate::transport::tcp::segment::Segment;
use crate::transport::tcp::state::State;

#[test]
fn a_send_buffer_that_is_made_smaller_takes_less_from_then_on() {
    let mut scene = Scene::established();
    assert_eq!(scene.write(1000), 1000);
    scene.connection.set_send_buffer(1500);
    assert_eq!(scene.write(1000), 500);
    scene.connection.set_send_buffer(1000);
    assert_eq!(scene.write(1000), 0, "what is kept stays");
}

#[test]
fn a_large_write_leaves_as_one_super_segment_cut_at_the_mss() {
    // RFC 9293 SHLD-28, MUST-16.
    let mut scene = Scene::established();
    scene.write(10_000);
    let sent = scene.pull();
    assert_eq!(sent.iter().map(show).collect::<Vec<_>>(), ["P. 0:10000 ack 0"]);
    assert_eq!(sent[0].segment_size, Some(1000));
    assert_eq!(sent[0].payload, octets(0, 10_000));
}

#[test]
fn the_segment_size_counts_the_options() {
    // RFC 9293 MUST-16, RFC 6691.
    let options = Options { timestamps: Some(Default::default()), ..peer_syn().options };
    let mut scene = Scene::opened(Config { timestamps: true, ..Scene::config() }, Segment { options, ..peer_syn() });
    scene.write(3000);
    assert_eq!(scene.pull()[0].segment_size, Some(988));
}

#[test]
fn the_initial_window_is_ten_segments() {
    // RFC 6928; RFC 9293 MUST-19.
    let mut scene = Scene::established();
    scene.write(50_000);
    scene.recv(&[". 0:10000 ack 0"]);
    scene.send(peer(0, 2000));
    scene.recv(&[". 10000:14000 ack 0"]);
}

#[test]
fn the_mss_option_is_not_sent_after_the_syn() {
    // RFC 9293 MUST-65.
    let mut scene = Scene::established();
    scene.write(10);
    assert_eq!(scene.pull()[0].options.mss, None);
}

#[test]
fn the_last_octet_is_pushed() {
    // RFC 9293 MUST-61.
    let mut scene = Scene::established();
    scene.write(20_000);
    assert!(!scene.pull()[0].flags.psh());
    scene.send(peer(0, 10_000));
    assert!(scene.pull()[0].flags.psh());
}

#[test]
fn a_small_segment_waits_while_another_is_unacknowledged() {
    // RFC 9293 SHLD-7.
    let mut scene = Scene::established();
    scene.write(10);
    scene.recv(&["P. 0:10 ack 0"]);
    scene.write(10);
    scene.write(10);
    scene.recv(&[]);
    scene.send(peer(0, 10));
    scene.recv(&["P. 10:30 ack 0"]);
}

#[test]
fn nagle_holds_back_no_full_segment() {
    let mut scene = Scene::established();
    scene.write(10);
    scene.drain();
    scene.write(1500);
    scene.recv(&[". 10:1010 ack 0"]);
}

#[test]
fn the_user_may_turn_nagle_off() {
    // RFC 9293 MUST-17.
    let mut scene = Scene::established();
    scene.connection.set_nodelay(true);
    for n in 0..3 {
        scene.write(10);
        scene.recv(&[format!("P. {}:{} ack 0", n * 10, n * 10 + 10).as_str()]);
    }
}

#[test]
fn a_cork_holds_back_small_segments_until_it_is_pulled() {
    let mut scene = Scene::established();
    scene.connection.set_cork(true);
    scene.write(1010);
    scene.recv(&[". 0:1000 ack 0"]);
    scene.connection.set_cork(false);
    scene.recv(&["P. 1000:1010 ack 0"]);
}

#[test]
fn a_cork_gives_way_after_the_override_timeout() {
    // RFC 9293 MUST-38 (4).
    let mut scene = Scene::established();
    scene.connection.set_cork(true);
    scene.write(10);
    scene.write(10);
    let sent = scene.run(ms(250));
    assert_eq!((sent[0].0, show(&sent[0].1)), (200, "P. 0:20 ack 0".to_owned()));
}

#[test]
fn a_sender_does_not_fill_a_silly_window() {
    // RFC 9293 MUST-38: a part of the window below half of the largest ever is not worth a segment...
    let mut scene = Scene::established();
    scene.send(peer(0, 0).window(100));
    scene.write(5000);
    scene.recv(&[]);
    // ...until the override timeout...
    scene.pass(ms(300), &[(200, ". 0:100 ack 0")]);
    // ...or until it is worth one.
    scene.send(peer(0, 100).window(1000));
    scene.recv(&[". 100:1100 ack 0"]);
}

#[test]
fn a_window_of_half_the_largest_is_used_although_it_is_small() {
    // RFC 9293 MUST-38 (3).
    let mut scene = Scene::opened(Scene::config(), peer_syn().window(800));
    scene.send(peer(0, 0).window(400));
    scene.write(5000);
    scene.recv(&[". 0:400 ack 0"]);
}

#[test]
fn where_not_even_the_least_segment_fits_the_network_may_cut_it() {
    // RFC 791: any link may be as small as 68.
    let mut scene = Scene::established();
    let datagram_of = |scene: &mut Scene| {
        scene.write(500);
        scene.connection.poll_transmit(&mut scene.world.cx()).unwrap()
    };
    assert!(datagram_of(&mut scene).dont_fragment);
    scene.path_error(PathErrorKind::PacketTooBig { mtu: 68 }, 0);
    let datagram = datagram_of(&mut scene);
    assert!(!datagram.dont_fragment);
    assert_eq!(datagram.segment_size, Some(88));
}

#[test]
fn nothing_is_sent_beyond_the_window() {
    // RFC 9293 §3.8.6.
    let mut scene = Scene::established();
    scene.send(peer(0, 0).window(2500));
    scene.write(5000);
    scene.recv(&[". 0:2000 ack 0"]);
}

#[test]
fn a_closed_window_is_probed_with_backoff() {
    // RFC 9293 MUST-35, MUST-36, SHLD-29, SHLD-30.
    let mut scene = Scene::established();
    scene.send(peer(0, 0).window(0));
    scene.write(3000);
    scene.recv(&[]);
    let sent = scene.run(secs(8));
    let rto = sent[0].0;
    let at: Vec<u64> = sent.iter().map(|(at, _)| at / rto).collect();
    assert_eq!(at, [1, 3, 7, 15, 31]);
    assert!(sent.iter().all(|(_, probe)| show(probe) == ". 0:1 ack 0"));
    assert_eq!(scene.world.counters.of(Counter::TcpTimeouts), 0);
}

#[test]
fn an_ack_stays_within_a_window_that_a_probe_has_overstepped() {
    // RFC 9293 §3.10.7.4 first: beyond its closed window the peer would not even take the acknowledgment.
    let mut scene = Scene::established();
    scene.send(peer(0, 0).window(0));
    scene.write(3000);
    assert_eq!(show(&scene.run(secs(1))[0].1), ". 0:1 ack 0");
    scene.send(peer(0, 0).window(0).data(1000));
    scene.send(peer(1000, 0).window(0).data(1000));
    scene.recv(&[". 0:0 ack 2000"]);
}

#[test]
fn an_opening_window_lets_the_data_go_without_blame() {
    let mut scene = Scene::established();
    scene.send(peer(0, 0).window(0));
    scene.write(3000);
    scene.run(secs(2));
    scene.send(peer(0, 0).window(60_000));
    scene.recv(&[". 0:1 ack 0", "P. 1:3000 ack 0"]);
    assert_eq!(scene.connection.info().cwnd_bytes, 10_000);
}

#[test]
fn a_probe_that_is_taken_counts() {
    let mut scene = Scene::established();
    scene.send(peer(0, 0).window(0));
    scene.write(3000);
    scene.run(ms(300));
    scene.send(peer(0, 1).window(2000));
    scene.recv(&[". 1:2001 ack 0"]);
}

#[test]
fn a_window_may_stay_closed_for_ever_while_the_peer_answers() {
    // RFC 9293 MUST-37.
    let mut scene = Scene::established();
    scene.send(peer(0, 0).window(0));
    scene.write(3000);
    for _ in 0..60 {
        scene.run(secs(60));
        scene.send(peer(0, 0).window(0));
    }
    assert_eq!(scene.state(), State::Established);
    // A peer that falls silent is given up.
    scene.run(secs(1000));
    assert_eq!(scene.connection.error(), Some(Error::TimedOut));
}

#[test]
fn a_fin_probes_a_closed_window_when_there_is_no_data() {
    let mut scene = Scene::established();
    scene.send(peer(0, 0).window(0));
    scene.shutdown();
    scene.recv(&[]);
    let sent = scene.run(secs(1));
    assert_eq!(show(&sent[0].1), "F. 0:1 ack 0");
}

#[test]
fn a_window_that_shrinks_is_borne() {
    // RFC 9293 MUST-34, SHLD-15, SHLD-16.
    let mut scene = Scene::established();
    scene.write(20_000);
    scene.recv(&[". 0:10000 ack 0"]);
    scene.send(peer(0, 1000).window(2000));
    // Nothing new beyond the new edge at 3000, and what is lost within it is sent again.
    scene.recv(&[]);
    let sent = scene.run(secs(2));
    assert!(sent.iter().all(|(_, segment)| segment.seq + segment.len() - OURS <= 3000), "{sent:?}");
    assert!(!sent.is_empty());
    scene.send(peer(0, 10_000).window(60_000));
    assert!(scene.pull().iter().any(|segment| segment.seq == OURS + 10_000));
}

#[test]
fn a_window_that_shrinks_to_nothing_is_probed() {
    // RFC 9293 MUST-34, MUST-35.
    let mut scene = Scene::established();
    scene.write(5_000);
    scene.drain();
    scene.send(peer(0, 1000).window(0));
    let sent = scene.run(secs(1));
    assert!(sent.iter().all(|(_, probe)| show(probe) == ". 1000:1001 ack 0"), "{sent:?}");
    assert_eq!(scene.world.counters.of(Counter::TcpTimeouts), 0);
    scene.send(peer(0, 5000).window(60_000));
    assert_eq!(scene.connection.info().send_queue_bytes, 0);
}

#[test]
fn urgent_data_is_pointed_to_and_ends_with_the_first_octet_that_is_not() {
    // RFC 9293 MUST-30, MUST-31, MUST-62.
    let mut scene = Scene::established();
    scene.write(1500);
    scene.connection.mark_urgent();
    scene.write(600);
    scene.recv(&["U. 0:1000 ack 0 urg 1500", "U. 1000:2000 ack 0 urg 500", "P. 2000:2100 ack 0"]);
}

#[test]
fn a_full_buffer_takes_no_more_and_tells_when_it_does() {
    let mut scene = Scene::established_with(Config { send_buffer: 10_000, ..Scene::config() });
    assert_eq!(scene.write(15_000), 10_000);
    assert_eq!(scene.write(5_000), 0);
    scene.drain();
    scene.connection.take_readiness();
    scene.send(peer(0, 1000));
    assert!(!scene.connection.take_readiness().has(Readiness::WRITABLE), "not for a few octets");
    scene.send(peer(0, 5000));
    assert!(scene.connection.take_readiness().has(Readiness::WRITABLE));
    assert_eq!(scene.write(15_000), 5000);
}

#[test]
fn the_user_chooses_hop_limit_and_traffic_class() {
    // RFC 9293 MUST-48, MUST-49.
    let mut scene = Scene::established();
    scene.connection.set_traffic_class(0xb8);
    scene.connection.set_hop_limit(3);
    scene.write(1);
    let datagram = scene.connection.poll_transmit(&mut scene.world.cx()).unwrap();
    assert_eq!((datagram.traffic_class, datagram.hop_limit), (0xb8, 3));
}

#[test]
fn a_window_outlives_a_silence_of_five_minutes_and_loses_half_with_each() {
    // RFC 7661 §4.4.3.
    let mut scene = Scene::established();
    for n in 1..=5 {
        scene.write(10_000);
        scene.drain();
        scene.send(peer(0, n * 10_000));
    }
    let cwnd = scene.connection.info().cwnd_bytes;
    assert!(cwnd > 20_000, "{cwnd}");
    scene.run(secs(290));
    scene.write(10_000);
    scene.drain();
    scene.send(peer(0, 60_000));
    assert!(scene.connection.info().cwnd_bytes >= cwnd);
    scene.run(secs(20));
    scene.write(100);
    assert_eq!(scene.connection.info().cwnd_bytes, cwnd / 2);
}

#[test]
fn a_super_segment_is_no_longer_than_the_devices_take() {
    let mut scene = Scene::established_with(Config { super_segment: 3_500, initial_window: 10, ..Scene::config() });
    scene.write(10_000);
    let lengths: Vec<usize> = scene.pull().iter().map(|segment| segment.payload.len()).collect();
    assert_eq!(lengths, [3_000, 3_000, 3_000, 1_000]);
}

#[test]
fn only_what_nobody_forwards_leaves_in_longer_super_segments_than_an_ip_length_can_tell() {
    for (is_direct, expected) in [(true, 190_000), (false, 65_000)] {
        let mut syn = peer_syn();
        syn.options.window_scale = Some(7);
        let config = Config { super_segment: 190_000, window_scale: true, ..Scene::config() };
        let mut scene = Scene::opened(config, syn);
        scene.connection.snd.is_direct = is_direct;
        let mut longest = 0;
        let mut acked = 0;
        for _ in 0..12 {
            scene.write(400_000);
            longest = longest.max(scene.pull().iter().map(|segment| segment.payload.len()).max().unwrap_or(0));
            acked += scene.connection.info().in_flight_bytes;
            scene.send(peer(0, acked).window(60_000));
        }
        assert_eq!(longest, expected);
    }
}
