//! A peer that sends anything at all, in every state: nothing panics, the invariants hold, and what the
//! connection keeps stays bounded.

use super::scene::*;
use crate::base::random::Random;
use crate::base::ranges::Range;
use crate::base::seq::Seq;
use crate::network::packet::PathErrorKind;
use crate::transport::tcp::config::{Algorithm, Config, Ecn, Keepalive};
use crate::transport::tcp::options::{Options, Timestamps};
use crate::transport::tcp::segment::{Flags, Segment};

const FLAGS: [Flags; 6] = [Flags::FIN, Flags::SYN, Flags::RST, Flags::PSH, Flags::ACK, Flags::URG];

/// A number near where something matters, or anywhere.
fn near(random: &mut Random, marks: &[Seq]) -> Seq {
    let mark = marks[random.below(marks.len() as u64) as usize];
    match random.below(8) {
        0 => Seq(random.next_u32()),
        1..5 => mark,
        5 => mark + random.below(5_000) as u32,
        6 => mark - random.below(5_000) as u32,
        _ => mark + random.below(70_000) as u32,
    }
}

fn segment(random: &mut Random) -> Segment {
    let (ours, theirs) =
        ([OURS - 1, OURS, OURS + 1, OURS + 1000, OURS + 3000], [THEIRS - 1, THEIRS, THEIRS + 1, THEIRS + 2000]);
    let mut flags = if random.chance(0.9) { Flags::ACK } else { Flags::NONE };
    for flag in FLAGS {
        if random.chance(0.04) {
            flags = flags | flag;
        }
    }
    let mut options = Options::default();
    if random.chance(0.5) {
        let value = if random.chance(0.8) { 1000 } else { random.next_u32() };
        options.timestamps = Some(Timestamps { value, echo: random.next_u32() });
    }
    if random.chance(0.4) {
        for _ in 0..1 + random.below(4) {
            let start = near(random, &ours);
            options.sack.push(Range { start, end: near(random, &[start, start + 1, start + 1000]) });
        }
    }
    options.mss = random.chance(0.1).then(|| random.next_u16());
    options.window_scale = random.chance(0.1).then(|| random.below(15) as u8);
    let len = [0, 0, 1, 100, 1000, 60_000][random.below(6) as usize];
    let window = [0, 1, 500, 60_000, 65_535][random.below(5) as usize];
    Segment {
        seq: near(random, &theirs),
        ack: near(random, &ours),
        flags,
        window,
        urgent: random.next_u16(),
        options,
        payload: octets(0, len),
        segment_size: (len > 1000).then(|| [0, 1, 1460][random.below(3) as usize]),
        traffic_class: random.below(4) as u8,
    }
}

fn torment(seed: u64) {
    let mut random = Random::from_seed(seed);
    let config = Config {
        timestamps: random.chance(0.5),
        sack: random.chance(0.5),
        window_scale: random.chance(0.5),
        congestion: [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr, Algorithm::Bbr1][random.below(4) as usize],
        ecn: [Ecn::Off, Ecn::Passive, Ecn::On, Ecn::Accurate][random.below(4) as usize],
        receive_buffer: [100, 5_000, 200_000][random.below(3) as usize],
        keepalive: random.chance(0.3).then(Keepalive::default),
        ..Config::default()
    };
    let mut scene = match random.below(9) {
        0 => Scene::syn_sent_with(config),
        1 => Scene::fin_wait_1(),
        2 => Scene::fin_wait_2(),
        3 => Scene::close_wait(),
        4 => Scene::closing(),
        5 => Scene::last_ack(),
        6 => Scene::time_wait(),
        _ => {
            let mut syn = peer_syn();
            syn.options.sack_permitted = true;
            syn.options.window_scale = Some(random.below(15) as u8);
            syn.options.timestamps = Some(Timestamps { value: 1000, echo: 0 });
            Scene::opened(config, syn)
        }
    };
    for _ in 0..200 {
        match random.below(20) {
            0 => drop(scene.run(ms(random.below(3_000)))),
            1 => {
                let _ = scene.connection.write(&mut octets(0, random.below(5_000) as usize), &mut scene.world.cx());
            }
            2 => drop(scene.connection.read(random.below(10_000) as usize)),
            3 => {
                let kinds = [PathErrorKind::PacketTooBig { mtu: random.next_u16() }, PathErrorKind::PortUnreachable];
                scene.path_error(kinds[random.below(2) as usize], random.below(2_000) as u32);
            }
            4 if random.chance(0.05) => scene.shutdown(),
            5 if random.chance(0.05) => scene.close(),
            6 if random.chance(0.05) => scene.connection.mark_urgent(),
            _ => {
                scene.send(segment(&mut random));
            }
        }
        if random.chance(0.7) {
            scene.drain();
        }
    }
    scene.drain();
    scene.check();
}

#[test]
fn nothing_that_arrives_breaks_a_connection() {
    for seed in 0..1_000 {
        torment(seed);
    }
}
