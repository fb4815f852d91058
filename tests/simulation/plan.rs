//! What a seed makes: the network, its faults, TCP's knobs and what the applications do.

use crate::conversation::{Conversation, Ending, Side};
use crate::sim::{self, HostId, World};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use tapstack::base::random::Random;
use tapstack::base::time::{Duration, Instant};
use tapstack::datalink::InterfaceId;
use tapstack::physical::cable::Faults;
use tapstack::stack;
use tapstack::stack::config::RouteConfig;
use tapstack::transport::tcp::config::{Config, Keepalive};

/// Last octets of addresses: see [`sim::interface`].
const LAST: [u8; 4] = [1, 2, 4, 7];
const MTUS: [u16; 8] = [68, 296, 576, 1006, 1280, 1500, 4470, 9000];

/// One of several.
pub fn pick<T: Clone>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize].clone()
}

/// From `low` to `high`, each order of magnitude as likely as the other.
fn magnitude(random: &mut Random, low: u64, high: u64) -> u64 {
    let bits = |value: u64| u64::from(64 - value.leading_zeros());
    let size = 1 << (bits(low) - 1 + random.below(bits(high) - bits(low) + 1));
    (size + random.below(size)).clamp(low, high)
}

/// Where packets are fragmented each segment needs several frames, and what loses a tenth of the frames loses
/// nearly every segment: `frames` is how many it takes. Two bits flipped in one segment may escape a checksum, so
/// each segment passes one cable at most that flips them, and in one piece.
fn faults(random: &mut Random, frames: f64) -> Faults {
    let delay = Duration::from_micros(magnitude(random, 10, 100_000));
    let mut faults = Faults { delay, ..Faults::default() };
    let some = |random: &mut Random, most: f64| {
        if random.chance(0.5) { random.below(1000) as f64 / 1000.0 * most / frames } else { 0.0 }
    };
    if random.chance(0.75) {
        faults.loss = some(random, 0.1);
        faults.duplicate = some(random, 0.1);
        faults.corrupt = if frames > 1.0 { 0.0 } else { some(random, 0.03) };
        faults.reorder = some(random, 0.1);
        faults.jitter = if random.chance(0.5) { delay / 2 } else { Duration::ZERO };
        faults.keep_order = random.chance(0.5);
    }
    if random.chance(0.25) {
        faults.rate = Some(magnitude(random, 200_000, 50_000_000));
        faults.queue = magnitude(random, 4_000, 100_000) as usize;
    }
    faults
}

/// How many frames a segment takes on a link of this MTU.
fn frames(mtu: u16) -> f64 {
    if mtu < 128 { 10.0 } else { 1.0 }
}

/// TCP's knobs.
pub fn knobs(random: &mut Random) -> Config {
    const BUFFERS: [usize; 6] = [2 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
    Config {
        receive_buffer: pick(random, &BUFFERS),
        send_buffer: pick(random, &BUFFERS),
        nagle: random.chance(0.7),
        delayed_ack: random.chance(0.7).then(|| pick(random, &[40, 200, 400].map(Duration::from_millis))),
        keepalive: random.chance(0.2).then_some(Keepalive {
            idle: Duration::from_secs(30),
            interval: Duration::from_secs(20),
            count: 9,
        }),
        timestamps: random.chance(0.7),
        sack: random.chance(0.7),
        window_scale: random.chance(0.7),
        initial_window: pick(random, &[1, 2, 4, 10]),
        // A damaged ARP reply can send the probes of several minutes to nobody.
        user_timeout: Some(Duration::from_secs(3600)),
        ..Config::default()
    }
}

fn total(random: &mut Random, most_bytes: u64) -> u64 {
    if random.chance(0.1) { 0 } else { magnitude(random, 1, most_bytes) }
}

/// Who sends `total` bytes and is sent `peer_total`, each in some 200 turns at most.
fn side(random: &mut Random, total: u64, peer_total: u64) -> Side {
    let rest = |random: &mut Random| match random.below(10) {
        0 => (0.02, Duration::from_secs(20)),
        1..4 => (0.1, Duration::from_millis(500)),
        _ => (0.0, Duration::ZERO),
    };
    let size = |random: &mut Random, total: u64, most: u64| {
        let least = (total / 100).max(1);
        magnitude(random, least, most.max(least))
    };
    Side {
        total,
        write_size: size(random, total, 16_384),
        read_size: size(random, peer_total, 65_536),
        write_pause: rest(random),
        read_pause: rest(random),
        listens_first: false,
        close_at: Instant::ZERO,
        nodelay: random.chance(0.3),
    }
}

fn ending(random: &mut Random) -> Ending {
    let (wrote, read) = (magnitude(random, 1, 20_000) - 1, magnitude(random, 1, 20_000) - 1);
    match random.below(12) {
        0 => Ending::ClientAborts { wrote, read },
        1 => Ending::ServerAborts { wrote, read },
        2 => Ending::ClientDrops { wrote, read },
        3 => Ending::ServerDrops { wrote, read },
        _ => Ending::Orderly,
    }
}

fn conversation(random: &mut Random, ends: (HostId, HostId), address: SocketAddr, most: u64) -> Conversation {
    let (client, server) = ends;
    let (asked, answered) = (total(random, most), total(random, most));
    let mut talk = Conversation {
        client,
        server,
        address,
        client_config: knobs(random),
        server_config: knobs(random),
        starts: Duration::from_millis(random.below(2_000)),
        ask: side(random, asked, answered),
        answer: side(random, answered, asked),
        ending: ending(random),
        key: random.next_u64(),
    };
    match random.below(6) {
        0 => talk.ask.listens_first = true,
        1 => talk.answer.listens_first = true,
        2 => {
            let close_at = Instant::from_secs(20) + Duration::from_millis(random.below(1000));
            (talk.ask.close_at, talk.answer.close_at) = (close_at, close_at);
        }
        _ => {}
    }
    match &mut talk.ending {
        Ending::Orderly => {}
        Ending::ClientAborts { read, .. } | Ending::ClientDrops { read, .. } if talk.answer.listens_first => *read = 0,
        Ending::ServerAborts { read, .. } | Ending::ServerDrops { read, .. } if talk.ask.listens_first => *read = 0,
        _ => {}
    }
    if talk.ending != Ending::Orderly {
        // A reset may get lost, and then only a keepalive finds out.
        let keepalive = Keepalive { idle: Duration::from_secs(10), interval: Duration::from_secs(10), count: 6 };
        (talk.client_config.keepalive, talk.server_config.keepalive) = (Some(keepalive), Some(keepalive));
    }
    talk
}

/// The network: hosts, and the address of each.
struct Network {
    hosts: Vec<(HostId, IpAddr)>,
    least_mtu: u16,
}

fn lan(world: &mut World, random: &mut Random, count: usize) -> Network {
    let mtu = pick(random, &MTUS);
    let mut hosts = Vec::new();
    for last in LAST.into_iter().take(count) {
        let mut config = sim::host(last);
        config.interfaces[0].mtu = mtu;
        hosts.push((world.add(config, random.next_u64()), IpAddr::from([192, 0, 2, last])));
    }
    for (index, (a, _)) in hosts.iter().enumerate() {
        for (b, _) in hosts.iter().skip(index + 1) {
            world.connect(a.plug(0), b.plug(0), &faults(random, frames(mtu)), random.next_u64());
        }
    }
    Network { hosts, least_mtu: mtu }
}

/// A router's own configuration and that of a host on each side.
pub fn routed(left_mtu: u16, right_mtu: u16) -> [stack::config::Config; 3] {
    let any = "0.0.0.0/0".parse().unwrap();
    let by = |router: [u8; 4]| RouteConfig { to: any, via: Some(router.into()), interface: InterfaceId(0), metric: 1 };
    let mut left = sim::host(1);
    left.interfaces[0].mtu = left_mtu;
    left.routes = vec![by([192, 0, 2, 7])];
    let mut right = sim::host(1);
    right.interfaces = vec![sim::interface("eth0", 0, 1, "198.51.100.0")];
    right.interfaces[0].mtu = right_mtu;
    right.routes = vec![by([198, 51, 100, 7])];
    let mut router = sim::host(7);
    router.interfaces.push(sim::interface("eth1", 1, 7, "198.51.100.0"));
    router.interfaces[0].mtu = left_mtu;
    router.interfaces[1].mtu = right_mtu;
    router.forwarding = true;
    [left, router, right]
}

fn internet(world: &mut World, random: &mut Random) -> Network {
    let mtus = (pick(random, &MTUS), pick(random, &MTUS));
    let [left, router, right] = routed(mtus.0, mtus.1).map(|config| world.add(config, random.next_u64()));
    let frames = frames(mtus.0.min(mtus.1));
    world.connect(left.plug(0), router.plug(0), &faults(random, frames), random.next_u64());
    let far = Faults { corrupt: 0.0, ..faults(random, frames) };
    world.connect(router.plug(1), right.plug(0), &far, random.next_u64());
    let hosts = vec![(left, IpAddr::from([192, 0, 2, 1])), (right, IpAddr::from([198, 51, 100, 1]))];
    Network { hosts, least_mtu: mtus.0.min(mtus.1) }
}

/// A world with its conversations, none of them started.
pub fn draw(seed: u64, most_bytes: u64, capture: Option<PathBuf>) -> (World, Vec<Conversation>) {
    let mut random = Random::from_seed(seed);
    let mut world = World::new(capture);
    let network = match random.below(10) {
        0..6 => lan(&mut world, &mut random, 2),
        6 => lan(&mut world, &mut random, 3),
        7 => lan(&mut world, &mut random, 4),
        _ => internet(&mut world, &mut random),
    };
    // Small packets make long runs: some 500 of them are enough.
    let most = most_bytes.min(u64::from(network.least_mtu.saturating_sub(40).max(28)) * 500);
    let mut talks = Vec::new();
    for port in 0..1 + random.below(4) as u16 {
        let from = random.below(network.hosts.len() as u64) as usize;
        let to = (from + 1 + random.below(network.hosts.len() as u64 - 1) as usize) % network.hosts.len();
        let ends = (network.hosts[from].0, network.hosts[to].0);
        let address = SocketAddr::new(network.hosts[to].1, 1000 + port);
        talks.push(conversation(&mut random, ends, address, most));
    }
    (world, talks)
}
