//! A network of hosts in virtual time: cables between stacks, and a clock that jumps to whatever happens next.
//!
//! One seed decides everything: the faults of the cables, the stacks' own randomness, what the applications
//! do. A failure prints the seed, the command that repeats it, and the capture file of the run.
//!
//! ```text
//!   Host --- cable --- Host       a plug may have several cables: what leaves it goes into all of them,
//!     \                 |         which is a hub; a Station is a plug where the test itself reads and
//!      cable --- Station          writes raw frames
//! ```

#![allow(dead_code, reason = "each test target uses its part of the harness")]

pub mod film;
pub mod robot;
pub mod seeds;
pub mod stream;
pub mod wire;

pub use film::UNIX_ORIGIN;

use bytes::Bytes;
use film::Film;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::path::PathBuf;
use tapstack::base::counters::Counter;
use tapstack::base::random::Random;
use tapstack::base::time::{Duration, Instant};
use tapstack::datalink::Mac;
use tapstack::physical::cable::{Cable, CableCounts, Faults};
use tapstack::physical::frame::{DeviceId, Frame};
use tapstack::physical::segmentation::Segments;
use tapstack::session::host::Host;
use tapstack::session::net::Net;
use tapstack::stack::Stack;
use tapstack::stack::config::{Config, InterfaceConfig};
use tapstack::transport::ports;

/// A host's place in the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostId(pub usize);

/// A place where the test itself reads and writes frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StationId(pub usize);

/// One end of a cable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plug {
    Host(HostId, DeviceId),
    Station(StationId),
}

impl HostId {
    /// The plug of the host's device number `device`.
    pub fn plug(self, device: u16) -> Plug {
        Plug::Host(self, DeviceId(device))
    }
}

struct Link {
    from: Plug,
    to: Plug,
    cable: Cable,
    /// Large frames put in so far, and which of them vanish.
    large: u64,
    vanish: Range<u64>,
}

/// Hosts and the cables between them.
pub struct World {
    now: Instant,
    hosts: Vec<Host>,
    stations: Vec<VecDeque<Bytes>>,
    links: Vec<Link>,
    film: Film,
    /// What went over the cables, for comparing two runs.
    digest: DefaultHasher,
    /// Steps taken so far: a run that never ends is a failure.
    steps: u64,
    frames: u64,
}

/// No frame without data is longer: Ethernet, IPv4, TCP and all options.
const BARE: usize = 14 + 20 + 20 + 40;

/// Steps after which a run counts as endless.
const MOST_STEPS: u64 = 20_000_000;

impl World {
    /// An empty world; what goes over its cables is captured to `capture` if given.
    pub fn new(capture: Option<PathBuf>) -> Self {
        World {
            now: Instant::from_secs(1),
            hosts: Vec::new(),
            stations: Vec::new(),
            links: Vec::new(),
            film: Film::to(capture),
            digest: DefaultHasher::new(),
            steps: 0,
            frames: 0,
        }
    }

    /// A host with the given make-up and randomness of its own.
    pub fn add(&mut self, config: Config, seed: u64) -> HostId {
        let stack = Stack::new(config, Random::from_seed(seed));
        self.hosts.push(Host::new(stack, UNIX_ORIGIN));
        HostId(self.hosts.len() - 1)
    }

    /// A station without a stack.
    pub fn add_station(&mut self) -> StationId {
        self.stations.push(VecDeque::new());
        StationId(self.stations.len() - 1)
    }

    /// A cable with the same faults both ways.
    pub fn connect(&mut self, a: Plug, b: Plug, faults: &Faults, seed: u64) {
        self.links.push(Link { from: a, to: b, cable: Cable::new(faults.clone(), seed), large: 0, vanish: 0..0 });
        let cable = Cable::new(faults.clone(), seed ^ 0x9e37_79b9_7f4a_7c15);
        self.links.push(Link { from: b, to: a, cable, large: 0, vanish: 0..0 });
    }

    /// Other faults on every cable from now on.
    pub fn set_faults(&mut self, faults: &Faults) {
        self.links.iter_mut().for_each(|link| link.cable.set_faults(faults.clone()));
    }

    /// Other faults in one direction from now on.
    pub fn set_faults_from(&mut self, from: Plug, faults: &Faults) {
        let links = self.links.iter_mut().filter(|link| link.from == from);
        links.for_each(|link| link.cable.set_faults(faults.clone()));
    }

    /// Of the frames with data that leave a plug, those with these numbers vanish.
    pub fn lose(&mut self, from: Plug, numbers: Range<u64>) {
        let links = self.links.iter_mut().filter(|link| link.from == from);
        links.for_each(|link| link.vanish = numbers.clone());
    }

    /// What became of the frames that left a plug.
    pub fn cable_counts(&self, from: Plug) -> CableCounts {
        self.links.iter().find(|link| link.from == from).unwrap().cable.counts()
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    /// How often a host has counted something.
    pub fn count_of(&self, host: HostId, counter: Counter) -> u64 {
        self.stack(host, |stack| stack.counters().of(counter))
    }

    pub fn net(&self, host: HostId) -> Net {
        self.hosts[host.0].net().clone()
    }

    pub fn host(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0]
    }

    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// Calls a host's stack.
    pub fn stack<R>(&self, host: HostId, f: impl FnOnce(&mut Stack) -> R) -> R {
        self.hosts[host.0].net().with_stack(f)
    }

    /// Frames that went into cables so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The same for two runs if and only if the same frames went over the cables at the same times.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// A station writes a frame.
    pub fn send(&mut self, station: StationId, frame: &[u8]) {
        self.carry(Plug::Station(station), frame);
    }

    /// The next frame that reached a station.
    pub fn receive(&mut self, station: StationId) -> Option<Bytes> {
        self.stations[station.0].pop_front()
    }

    fn carry(&mut self, from: Plug, frame: &[u8]) {
        self.frames += 1;
        self.digest.write_u64(self.now.as_nanos());
        self.digest.write(frame);
        let bytes = Bytes::copy_from_slice(frame);
        for link in self.links.iter_mut().filter(|link| link.from == from) {
            link.large += u64::from(bytes.len() > BARE);
            if bytes.len() <= BARE || !link.vanish.contains(&(link.large - 1)) {
                link.cable.send(bytes.clone(), self.now);
            }
        }
    }

    /// Everything that can happen now happens.
    pub fn settle(&mut self) {
        loop {
            let arrived = self.deliver();
            let left = self.run_hosts();
            self.steps += 1;
            assert!(self.steps < MOST_STEPS, "the run does not end");
            if !arrived && !left && self.deadline().is_none_or(|next| next > self.now) {
                return;
            }
        }
    }

    /// Hands over what has arrived by now; true if anything has.
    fn deliver(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.links.len() {
            while let Some(bytes) = self.links[index].cable.receive(self.now) {
                any = true;
                self.film.take(self.now, &bytes);
                match self.links[index].to {
                    Plug::Host(host, device) => {
                        self.hosts[host.0].receive(self.now, device, Frame::plain(bytes));
                        self.check(host);
                    }
                    Plug::Station(station) => self.stations[station.0].push_back(bytes),
                }
            }
        }
        any
    }

    /// Runs every host and takes what it sends; true if anything was sent.
    fn run_hosts(&mut self) -> bool {
        let mut any = false;
        let mut buffer = Vec::new();
        for index in 0..self.hosts.len() {
            self.hosts[index].run(self.now);
            while let Some((device, frame)) = self.hosts[index].poll_transmit(self.now) {
                any = true;
                for segment in Segments::of(&frame).unwrap() {
                    buffer.clear();
                    segment.write_into(&mut buffer);
                    self.carry(Plug::Host(HostId(index), device), &buffer);
                }
            }
            self.check(HostId(index));
        }
        any
    }

    fn check(&self, host: HostId) {
        if let Err(broken) = self.stack(host, |stack| stack.check_invariants()) {
            panic!("host {} at {}: {broken}", host.0, self.now);
        }
    }

    /// When the next thing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let cables = self.links.iter().filter_map(|link| link.cable.deadline());
        let hosts = self.hosts.iter().filter_map(Host::deadline);
        cables.chain(hosts).min()
    }

    /// Runs until `done` says so, or nothing happens any more, or `limit` of virtual time has passed. True if
    /// `done` said so.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut World) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            match self.deadline() {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => return false,
            }
        }
    }

    /// Runs for a while.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.run_until(duration, |_| false);
        self.now = end;
        self.settle();
    }

    /// Waits for TIME-WAIT to pass and then demands that no connection, half-open or closed, is left.
    pub fn assert_all_freed(&mut self) {
        self.run_for(Duration::from_secs(300));
        for host in self.hosts() {
            let left = self.stack(host, |stack| stack.show_sockets());
            let tcp: Vec<_> = left.iter().filter(|row| row.protocol == "tcp").collect();
            assert!(tcp.is_empty(), "host {} keeps {tcp:#?}", host.0);
        }
    }
}

/// A host with one interface: 192.0.2.`last`/24 on device 0.
pub fn host(last: u8) -> Config {
    Config { interfaces: vec![interface("eth0", 0, last, "192.0.2.0")], ports: every_port(), ..Config::default() }
}

/// A policy under which every port may be bound.
fn every_port() -> ports::Policy {
    let mut policy = ports::Policy::new();
    for port in 1..1024 {
        policy.allow(ports::Protocol::Tcp, port);
        policy.allow(ports::Protocol::Udp, port);
    }
    policy
}

/// An interface `network`+`last`/24 on the device.
///
/// Use last octets that differ in two bits at least (1, 2, 4, 7): a cable flips single bits, and ARP, which
/// has no checksum, would make one host claim the other's address.
pub fn interface(name: &str, device: u16, last: u8, network: &str) -> InterfaceConfig {
    let mut octets = network.parse::<std::net::Ipv4Addr>().unwrap().octets();
    octets[3] = last;
    InterfaceConfig {
        name: name.to_owned(),
        device: DeviceId(device),
        vlan: None,
        mac: mac(network, device, last),
        addresses: vec![ipnet::IpNet::new(octets.into(), 24).unwrap()],
        mtu: 1500,
        probe: false,
    }
}

/// The station address of [`interface`].
pub fn mac(network: &str, device: u16, last: u8) -> Mac {
    let [_, b, c, _] = network.parse::<std::net::Ipv4Addr>().unwrap().octets();
    Mac([2, 0, b, c, device as u8, last])
}
