//! Two connections over a line that loses, delays, reorders and duplicates, for many seeds: the streams arrive
//! whole, both ends close, and the invariants hold after each step.

use super::world::{World, cut, segment};
use crate::base::counters::Counter;
use crate::base::random::Random;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
use crate::transport::tcp::config::{Algorithm, Config, Ecn};
use crate::transport::tcp::connection::{Connection, Read};
use crate::transport::tcp::segment::Segment;
use crate::transport::tcp::state::State;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The line in one direction.
#[derive(Clone, Debug)]
struct Line {
    loss: f64,
    duplication: f64,
    delay: Duration,
    jitter: Duration,
    /// Of what can be marked (ECN).
    marks: f64,
    /// Super-segments arrive whole, as between two devices that offload.
    whole: bool,
}

/// One connection and its application.
struct End {
    connection: Connection,
    to_write: Bytes,
    has_written_all: bool,
    shuts_down: bool,
    sent: Vec<u8>,
    received: Vec<u8>,
    saw_end: bool,
    /// Where the right edge of its window was, once it had one.
    edge: Option<Seq>,
    app_at: Instant,
}

impl End {
    fn new(connection: Connection, sent: Vec<u8>, now: Instant) -> Self {
        End {
            connection,
            to_write: sent.clone().into(),
            has_written_all: false,
            shuts_down: true,
            sent,
            received: Vec::new(),
            saw_end: false,
            edge: None,
            app_at: now,
        }
    }

    /// The application wakes: reads some, writes some, closes when it has written all. Where nothing was possible it
    /// sleeps until the connection tells it otherwise.
    fn run(&mut self, world: &mut World, choice: &mut Random, pace: u64) {
        let mut is_stuck = true;
        while let Ok(read) = self.connection.read(1 + choice.below(100_000) as usize) {
            match read {
                Read::Data(bytes) => self.received.extend_from_slice(&bytes),
                Read::WouldBlock => break,
                Read::End => {
                    self.saw_end = true;
                    break;
                }
            }
            is_stuck = false;
            if choice.chance(0.3) {
                break;
            }
        }
        if !self.to_write.is_empty() {
            let most = if choice.chance(0.5) { 300 } else { 60_000 };
            let len = (1 + choice.below(most) as usize).min(self.to_write.len());
            let mut piece = self.to_write.slice(..len);
            if let Ok(taken) = self.connection.write(&mut piece, &mut world.cx()) {
                self.to_write = self.to_write.slice(taken..);
                is_stuck &= taken == 0;
            }
        } else if !self.has_written_all && self.shuts_down {
            self.has_written_all = true;
            self.connection.shutdown_write(&mut world.cx());
        }
        self.app_at =
            if is_stuck { Instant::FAR_FUTURE } else { world.now + Duration::from_micros(choice.below(pace)) };
    }

    /// Wakes the application if the connection says that something became possible.
    fn wake(&mut self, now: Instant) {
        if !self.connection.take_readiness().is_empty() {
            self.app_at = self.app_at.min(now);
        }
    }

    fn is_done(&self) -> bool {
        self.saw_end && self.has_written_all
    }

    fn check(&mut self, seed: u64) {
        if let Err(broken) = self.connection.check_invariants() {
            panic!("seed {seed}: {broken}\n{:#?}", self.connection.info());
        }
        if !self.connection.state().is_synchronized() {
            return;
        }
        let edge = self.connection.right_window_edge();
        let retreated = self.edge.is_some_and(|before| edge.before(before));
        assert!(!retreated, "seed {seed}: the window's edge went from {:?} to {edge}", self.edge);
        self.edge = Some(edge);
    }
}

struct Pair {
    seed: u64,
    world: World,
    choice: Random,
    ends: [End; 2],
    lines: [Line; 2],
    on_the_way: BTreeMap<(Instant, u64), (usize, Segment)>,
    count: u64,
    pace: u64,
    sent_segments: u64,
}

impl Pair {
    /// Two ends that open to each other at once.
    fn new(seed: u64, lines: [Line; 2], configs: [Config; 2], octets: [usize; 2], pace: u64) -> Self {
        let mut world = World::new(seed);
        let mut choice = Random::from_seed(seed ^ 0x9e37_79b9);
        let addresses = ["192.0.2.1:1000".parse().unwrap(), "192.0.2.2:2000".parse().unwrap()];
        let mut side = |n: usize| {
            let iss = Seq(choice.next_u32());
            let config = Rc::new(configs[n].clone());
            let connection = Connection::connect(addresses[n], addresses[1 - n], iss, config, &mut world.cx());
            let data = (0..octets[n]).map(|_| choice.next_u16() as u8).collect();
            End::new(connection, data, world.now)
        };
        let ends = [side(0), side(1)];
        Pair { seed, world, choice, ends, lines, on_the_way: BTreeMap::new(), count: 0, pace, sent_segments: 0 }
    }

    /// Everything that can be sent at the moment enters the line.
    fn drain(&mut self, from: usize) {
        while let Some(datagram) = self.ends[from].connection.poll_transmit(&mut self.world.cx()) {
            self.ends[from].check(self.seed);
            let line = self.lines[from].clone();
            let segments = if line.whole { vec![segment(&datagram)] } else { cut(&datagram) };
            for mut segment in segments {
                self.sent_segments += 1;
                if segment.traffic_class & 0b11 == 0b10 && self.choice.chance(line.marks) {
                    segment.traffic_class |= 0b11;
                }
                let copies = if self.choice.chance(line.duplication) { 2 } else { 1 };
                for _ in 0..copies {
                    if self.choice.chance(line.loss) {
                        continue;
                    }
                    let at = self.world.now + line.delay + self.choice.duration(Duration::ZERO, line.jitter);
                    self.count += 1;
                    self.on_the_way.insert((at, self.count), (1 - from, segment.clone()));
                }
            }
        }
    }

    /// Jumps to the next thing that happens. False when nothing will.
    fn step(&mut self) -> bool {
        for n in [0, 1] {
            self.drain(n);
        }
        let now = self.world.now;
        self.ends.iter_mut().for_each(|end| end.wake(now));
        let next_segment = self.on_the_way.first_key_value().map(|(key, _)| key.0);
        let timers = self.ends.iter().filter_map(|end| end.connection.deadline());
        let apps = self.ends.iter().filter(|end| !end.is_done()).map(|end| end.app_at);
        let apps = apps.filter(|at| *at != Instant::FAR_FUTURE);
        let Some(next) = next_segment.into_iter().chain(timers).chain(apps).min() else { return false };
        self.world.now = self.world.now.max(next);
        let now = self.world.now;
        while let Some(entry) = self.on_the_way.first_entry().filter(|entry| entry.key().0 <= now) {
            let (to, segment) = entry.remove();
            self.ends[to].connection.receive(segment, &mut self.world.cx());
            self.ends[to].check(self.seed);
            // Sometimes the device has no room at once, and several segments arrive before an answer goes.
            if self.choice.chance(0.8) {
                self.drain(to);
            }
        }
        for n in [0, 1] {
            let end = &mut self.ends[n];
            if end.connection.deadline().is_some_and(|at| at <= now) {
                end.connection.handle_timeout(&mut self.world.cx());
                end.check(self.seed);
            }
            if !end.is_done() && end.app_at <= now {
                end.run(&mut self.world, &mut self.choice, self.pace);
                self.drain(n);
                self.ends[n].check(self.seed);
            }
        }
        true
    }

    fn run(&mut self) {
        for _ in 0..400_000 {
            if !self.step() {
                return;
            }
        }
        panic!(
            "seed {}: no end in sight\n{:#?}\n{:#?}",
            self.seed,
            self.ends[0].connection.info(),
            self.ends[1].connection.info()
        );
    }

    fn check_streams(&self) {
        for (n, end) in self.ends.iter().enumerate() {
            let seed = self.seed;
            let other = &self.ends[1 - n];
            assert_eq!(end.connection.error(), None, "seed {seed}: end {n} failed: {:#?}", end.connection.info());
            assert!(end.connection.is_finished(), "seed {seed}: end {n} is {}", end.connection.state());
            assert_eq!(end.received.len(), other.sent.len(), "seed {seed}: end {n}");
            assert!(end.received == other.sent, "seed {seed}: end {n} received other octets");
        }
    }
}

fn good_line() -> Line {
    Line {
        loss: 0.0,
        duplication: 0.0,
        delay: Duration::from_millis(5),
        jitter: Duration::ZERO,
        marks: 0.0,
        whole: false,
    }
}

/// A line and two configurations as the seed has it.
fn random_pair(seed: u64) -> Pair {
    let mut random = Random::from_seed(seed);
    let mut line = || Line {
        loss: [0.0, 0.01, 0.05, 0.2][random.below(4) as usize],
        duplication: [0.0, 0.02][random.below(2) as usize],
        delay: Duration::from_micros(random.below(30_000)),
        jitter: Duration::from_micros([0, 500, 10_000][random.below(3) as usize]),
        marks: [0.0, 0.1, 0.6][random.below(3) as usize],
        whole: random.chance(0.3),
    };
    let lines = [line(), line()];
    let mut config = || Config {
        receive_buffer: [3_000, 20_000, 65_535, 300_000, 1 << 20][random.below(5) as usize],
        send_buffer: [2_000, 30_000, 1 << 20][random.below(3) as usize],
        nagle: random.chance(0.7),
        delayed_ack: random.chance(0.8).then_some(Duration::from_millis(40)),
        timestamps: random.chance(0.7),
        sack: random.chance(0.6),
        window_scale: random.chance(0.7),
        congestion: [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr, Algorithm::Bbr1][random.below(4) as usize],
        pacing: random.chance(0.7),
        ecn: [Ecn::Off, Ecn::Passive, Ecn::On, Ecn::Accurate][random.below(4) as usize],
        user_timeout: None,
        syn_retries: 30,
        // An RTO that has backed off to two minutes must find the other end still in TIME-WAIT: a closed one answers
        // nothing here.
        time_wait: Duration::from_secs(3600),
        ..Config::default()
    };
    let configs = [config(), config()];
    let size = |random: &mut Random| match random.below(4) {
        0 => 0,
        1 => random.below(3_000) as usize,
        _ => random.below(400_000) as usize,
    };
    let octets = [size(&mut random), size(&mut random)];
    let pace = [2_000, 20_000, 300_000][random.below(3) as usize];
    Pair::new(seed, lines, configs, octets, pace)
}

#[test]
fn streams_arrive_whole_over_any_line() {
    for seed in 0..500 {
        let mut pair = random_pair(seed);
        pair.run();
        pair.check_streams();
    }
}

#[test]
fn a_good_line_needs_no_retransmission() {
    let lines = [good_line(), good_line()];
    let mut pair = Pair::new(1, lines, [Config::default(), Config::default()], [2_000_000, 0], 1_000);
    pair.run();
    pair.check_streams();
    assert_eq!(pair.world.counters.of(Counter::TcpRetransSegs), 0);
    assert_eq!(pair.world.counters.of(Counter::TcpTimeouts), 0);
    assert!(pair.ends.iter().all(|end| end.connection.state() == State::Closed));
}

/// The MSS that a path lets through halves in mid-transfer, and a router says so.
#[test]
fn a_path_that_shrinks_costs_no_octet() {
    use crate::network::packet::{PathError, PathErrorKind};
    for seed in 0..20 {
        let lines = [good_line(), good_line()];
        let mut pair = Pair::new(seed, lines, [Config::default(), Config::default()], [500_000, 200_000], 1_000);
        for _ in 0..200 {
            pair.step();
        }
        for n in [0, 1] {
            let (local, remote) = (pair.ends[n].connection.local(), pair.ends[n].connection.remote());
            let una = pair.on_the_way.values().find(|(to, segment)| *to == 1 - n && !segment.payload.is_empty());
            let Some(seq) = una.map(|(_, segment)| segment.seq) else { continue };
            let mut quote = vec![0; 4];
            quote.extend_from_slice(&seq.0.to_be_bytes());
            let error = PathError {
                kind: PathErrorKind::PacketTooBig { mtu: 700 },
                local: local.ip(),
                remote: remote.ip(),
                protocol: 6,
                quote: quote.into(),
                reporter: remote.ip(),
            };
            pair.ends[n].connection.handle_path_error(&error, &mut pair.world.cx());
            pair.ends[n].check(seed);
        }
        pair.run();
        pair.check_streams();
    }
}
