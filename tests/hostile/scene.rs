//! The scene: a victim with sockets in every state, a puppet whose every word is recorded and twisted, and a
//! bystander who only wants an echo.

use crate::forge::Forge;
use crate::mutation::mutate;
use crate::sim::{self, wire};
use bytes::Bytes;
use futures_util::AsyncReadExt;
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use tapstack::base::random::Random;
use tapstack::base::time::{Duration, Instant};
use tapstack::datalink::{InterfaceId, Mac};
use tapstack::physical::frame::{DeviceId, Frame};
use tapstack::physical::segmentation::Segments;
use tapstack::session::clock::within;
use tapstack::session::host::Host;
use tapstack::session::net::Net;
use tapstack::session::tcp::{ListenOptions, TcpListener, TcpStream};
use tapstack::session::udp::UdpSocket;
use tapstack::stack::Stack;
use tapstack::stack::config::Config;
use tapstack::transport::tcp;
use tapstack::transport::tcp::config::Keepalive;

pub const VICTIM: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const PUPPET: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub const BYSTANDER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 4);
/// The TCP and UDP port that echoes.
pub const ECHO: u16 = 7;
/// A TCP port whose connections are accepted and never read.
pub const UNREAD: u16 = 9;
/// A TCP port whose connections are never accepted.
pub const UNACCEPTED: u16 = 10;
/// A UDP port whose datagrams are never read.
pub const UNREAD_UDP: u16 = 11;

/// Frames kept of each direction for mutating and quoting.
const RECORDED: usize = 512;
/// Conversations the puppet leads at once.
const CONVERSATIONS: usize = 12;
/// So often, and with so many frames, SYNs come faster than any half-open record can time out.
const FLOOD_EVERY: u64 = 100_000;
const FLOOD: u64 = 6_000;
/// Hostile frames between two turns of the other hosts.
const TURN: u32 = 32;
/// Hostile frames after which the bystander must have got an echo: many turns.
const PATIENCE: u64 = 100_000;

pub fn mac_of(last: u8) -> Mac {
    sim::mac("192.0.2.0", 0, last)
}

/// The hosts and their recordings.
pub struct Scene {
    now: Instant,
    random: Random,
    victim: Host,
    puppet: Host,
    bystander: Host,
    /// What the puppet and the victim said to each other.
    said: VecDeque<Bytes>,
    answered: VecDeque<Bytes>,
    forge: Forge,
    handed_in: u64,
    turn: u32,
    echoes: Rc<Cell<u64>>,
    echoes_seen: (u64, u64),
    buffer: Vec<u8>,
}

fn config(last: u8, neighbour: u8) -> Config {
    let mut config = sim::host(last);
    config.tcp.time_wait = Duration::from_secs(2);
    config.tcp.fin_wait_2 = Duration::from_secs(5);
    config.tcp.user_timeout = Some(Duration::from_secs(20));
    // On a link where anybody may claim any address, those who matter are known for good: docs/security.md.
    let friend = IpAddr::from([192, 0, 2, neighbour]);
    config.neighbours = vec![(InterfaceId(0), friend, mac_of(neighbour))];
    config
}

impl Scene {
    /// The scene of a seed. Every other one has a victim that forwards.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::from_seed(seed);
        let mut made = config(1, 4);
        if seed % 2 == 1 {
            made.interfaces.push(sim::interface("eth1", 1, 1, "198.51.100.0"));
            made.forwarding = true;
        }
        let mut host = |config| Host::new(Stack::new(config, random.fork()), sim::UNIX_ORIGIN);
        let scene = Scene {
            now: Instant::from_secs(1),
            victim: host(made),
            puppet: host(config(2, 7)),
            bystander: host(config(4, 1)),
            said: VecDeque::new(),
            answered: VecDeque::new(),
            forge: Forge::default(),
            handed_in: 0,
            turn: 0,
            echoes: Rc::default(),
            echoes_seen: (0, 0),
            buffer: Vec::with_capacity(4096),
            random,
        };
        victim_tasks(scene.victim.net());
        for conversation in 0..CONVERSATIONS {
            puppet_task(scene.puppet.net(), seed ^ (conversation as u64) << 32);
        }
        bystander_task(scene.bystander.net(), &scene.echoes);
        scene
    }

    /// One hostile frame, and now and then a turn of the other hosts.
    pub fn attack(&mut self) {
        self.now += Duration::from_nanos(self.random.below(200_000));
        let mut frame = std::mem::take(&mut self.buffer);
        frame.clear();
        match self.random.below(100) {
            _ if self.handed_in % FLOOD_EVERY < FLOOD => self.forge.flood(&mut self.random, &mut frame),
            0..45 if !self.said.is_empty() => {
                let which = self.random.below(self.said.len() as u64) as usize;
                frame.extend_from_slice(&self.said[which]);
                mutate(&mut self.random, &mut frame);
            }
            0..90 => {
                self.forge.forge(&mut self.random, &self.said, &self.answered, &mut frame);
                if self.random.chance(0.1) {
                    mutate(&mut self.random, &mut frame);
                }
            }
            _ => {
                let len = self.random.below(1 << self.random.clone().below(11)) as usize;
                frame.resize(len, 0);
                self.random.fill(&mut frame);
                if self.random.chance(0.5) && len >= 14 {
                    frame[..6].copy_from_slice(&mac_of(1).0);
                    frame[12..14].copy_from_slice(&[8, 0]);
                }
            }
        }
        self.hand_in(Bytes::copy_from_slice(&frame));
        self.buffer = frame;
        self.turn += 1;
        if self.turn >= TURN {
            self.turn = 0;
            self.others();
        }
        if self.handed_in >= self.echoes_seen.0 + PATIENCE {
            self.check();
        }
    }

    fn hand_in(&mut self, frame: Bytes) {
        // Forwarding needs the second device, and what comes from it is as hostile.
        let device = DeviceId(u16::from(self.random.chance(0.02)));
        self.victim_receives(device, frame);
    }

    fn victim_receives(&mut self, device: DeviceId, frame: Bytes) {
        self.handed_in += 1;
        self.victim.receive(self.now, device, Frame::plain(frame));
        self.victim.run(self.now);
        let frames = drain(&mut self.victim, self.now);
        for frame in frames {
            self.victim_said(frame);
        }
    }

    /// A frame of the victim goes to whom it is meant for by IP: a poisoned neighbour table should not spare
    /// the victim the puppet's conversations.
    fn victim_said(&mut self, frame: Bytes) {
        let to = match wire::parse(&frame) {
            Some((_, to, ..)) => to,
            None if frame[12..14] == [8, 6] && frame.len() >= 42 => {
                Ipv4Addr::new(frame[38], frame[39], frame[40], frame[41])
            }
            None => return,
        };
        let (host, mac) = match to {
            PUPPET => (&mut self.puppet, mac_of(2)),
            BYSTANDER => (&mut self.bystander, mac_of(4)),
            _ => return,
        };
        let mut frame = frame.to_vec();
        frame[..6].copy_from_slice(&mac.0);
        let frame = Bytes::from(frame);
        host.receive(self.now, DeviceId(0), Frame::plain(frame.clone()));
        if to == PUPPET {
            remember(&mut self.answered, frame);
        }
    }

    /// The puppet, with whose words go their mutants, and the bystander have their turns.
    fn others(&mut self) {
        self.victim.run(self.now);
        for frame in drain(&mut self.victim, self.now) {
            self.victim_said(frame);
        }
        self.puppet.run(self.now);
        for frame in drain(&mut self.puppet, self.now) {
            remember(&mut self.said, frame.clone());
            for _ in 0..self.random.below(3) {
                let mut mutant = frame.to_vec();
                mutate(&mut self.random, &mut mutant);
                self.victim_receives(DeviceId(0), mutant.into());
            }
            if self.random.chance(0.95) {
                self.victim_receives(DeviceId(0), frame);
            }
        }
        self.bystander.run(self.now);
        for frame in drain(&mut self.bystander, self.now) {
            self.victim_receives(DeviceId(0), frame);
        }
    }

    /// Lets some minutes pass without an attack, and forgets what was recorded.
    pub fn calm_down(&mut self) {
        for _ in 0..30_000 {
            self.now += Duration::from_millis(10);
            self.others();
        }
        self.said = VecDeque::new();
        self.answered = VecDeque::new();
    }

    /// The counts add up, the invariants hold, and the bystander got its echoes.
    pub fn check(&mut self) {
        let total = self.victim.net().with_stack(|stack| {
            stack.check_invariants().unwrap();
            stack.ledger().total()
        });
        assert_eq!(total, self.handed_in, "every frame is counted exactly once");
        let echoes = self.echoes.get();
        assert!(echoes > self.echoes_seen.1, "the bystander got no echo for {PATIENCE} frames, {echoes} so far");
        self.echoes_seen = (self.handed_in, echoes);
    }

    pub fn handed_in(&self) -> u64 {
        self.handed_in
    }

    /// The counts of the victim, for the report.
    pub fn ledger(&self) -> String {
        let mut text = String::new();
        self.victim.net().with_stack(|stack| {
            for (reason, count) in stack.ledger().drops().filter(|(_, count)| *count > 0) {
                let _ = write!(text, "{}={count} ", reason.label());
            }
            for (counter, count) in stack.counters().all().filter(|(_, count)| *count > 0) {
                let _ = write!(text, "{}={count} ", counter.label());
            }
        });
        let _ = write!(text, "echoes={}", self.echoes.get());
        text
    }
}

fn remember(frames: &mut VecDeque<Bytes>, frame: Bytes) {
    if frames.len() >= RECORDED {
        frames.pop_front();
    }
    frames.push_back(frame);
}

fn drain(host: &mut Host, now: Instant) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while let Some((_, frame)) = host.poll_transmit(now) {
        for segment in Segments::of(&frame).unwrap() {
            let mut buffer = Vec::new();
            segment.write_into(&mut buffer);
            frames.push(buffer.into());
        }
    }
    frames
}

fn at(ip: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

fn victim_tasks(net: &Net) {
    let any = Ipv4Addr::UNSPECIFIED;
    // Peers that were killed by forgery are found out, or their connections would stay for ever.
    let keepalive = Keepalive { idle: Duration::from_secs(10), interval: Duration::from_secs(5), count: 3 };
    let lively = tcp::config::Config { keepalive: Some(keepalive), ..config(1, 4).tcp };
    let options = ListenOptions { config: Some(lively), ..ListenOptions::default() };
    let echo = TcpListener::bind_with(net, at(any, ECHO), options).unwrap();
    net.spawn({
        let net = net.clone();
        async move {
            while let Ok(mut stream) = echo.accept().await {
                net.spawn(async move {
                    while let Ok(bytes) = stream.read_bytes(4096).await {
                        if bytes.is_empty() || stream.write_bytes(bytes).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    let unread = TcpListener::bind(net, at(any, UNREAD)).unwrap();
    net.spawn({
        let net = net.clone();
        async move {
            while let Ok(stream) = unread.accept().await {
                let other = net.clone();
                net.spawn(async move {
                    other.sleep(Duration::from_secs(3)).await;
                    drop(stream);
                });
            }
        }
    });
    let options = ListenOptions { backlog: Some(64), ..ListenOptions::default() };
    let unaccepted = TcpListener::bind_with(net, at(any, UNACCEPTED), options).unwrap();
    let unread_udp = UdpSocket::bind(net, at(any, UNREAD_UDP)).unwrap();
    net.spawn(async move {
        std::future::pending::<()>().await;
        drop((unaccepted, unread_udp));
    });
    let udp = UdpSocket::bind(net, at(any, ECHO)).unwrap();
    net.spawn(async move {
        loop {
            if let Ok(received) = udp.receive().await {
                let _ = udp.reply(received.data.clone(), &received);
            }
        }
    });
    // Somebody who always waits for ARP, and whose socket is told of errors.
    let (caller, sleeper) = (UdpSocket::bind(net, at(any, 0)).unwrap(), net.clone());
    net.spawn(async move {
        for turn in 0u32.. {
            let _ = caller.connect(at(Ipv4Addr::new(192, 0, 2, 200 + (turn % 50) as u8), 53));
            let _ = caller.send(Bytes::from_static(b"is anybody there?"));
            sleeper.sleep(Duration::from_millis(300)).await;
        }
    });
}

/// One conversation after the other, each of a random kind, whatever becomes of them.
fn puppet_task(net: &Net, seed: u64) {
    let (net, mut random) = (net.clone(), Random::from_seed(seed));
    net.clone().spawn(async move {
        loop {
            let pause = random.duration(Duration::ZERO, Duration::from_millis(200));
            net.sleep(pause).await;
            let size = [0, 100, 1000, 4000][random.below(4) as usize];
            let data = |random: &mut Random| sim::stream::bytes(seed, 0, random.below(size + 1) as usize);
            if random.chance(0.2) {
                let udp = UdpSocket::bind(&net, at(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
                let _ = udp.send_to(data(&mut random), at(VICTIM, ECHO));
                let _ = within(&net, Duration::from_millis(100), udp.recv()).await;
                continue;
            }
            let port = [ECHO, ECHO, ECHO, UNREAD, UNACCEPTED, 12][random.below(6) as usize];
            let connecting = TcpStream::connect(&net, at(VICTIM, port));
            let Ok(Ok(mut stream)) = within(&net, Duration::from_secs(3), connecting).await else { continue };
            let sent = data(&mut random);
            let _ = within(&net, Duration::from_secs(2), stream.write_bytes(sent)).await;
            let _ = within(&net, Duration::from_millis(200), stream.read_bytes(2000)).await;
            let rest = random.duration(Duration::ZERO, Duration::from_secs(1));
            net.sleep(rest).await;
            match random.below(4) {
                0 => stream.abort(),
                1 => {
                    stream.shutdown_write();
                    let _ = within(&net, Duration::from_secs(2), stream.read_bytes(1 << 16)).await;
                    let _ = within(&net, Duration::from_secs(1), stream.read_bytes(1 << 16)).await;
                }
                2 => {
                    stream.shutdown_write();
                    net.sleep(Duration::from_secs(2)).await;
                }
                _ => {}
            }
        }
    });
}

fn bystander_task(net: &Net, echoes: &Rc<Cell<u64>>) {
    let (net, echoes) = (net.clone(), echoes.clone());
    net.clone().spawn(async move {
        let mut stream = TcpStream::connect(&net, at(VICTIM, ECHO)).await.unwrap();
        for turn in 0u64.. {
            let sent = sim::stream::bytes(turn, 0, 64);
            stream.write_bytes(sent.clone()).await.unwrap();
            let mut heard = [0; 64];
            AsyncReadExt::read_exact(&mut stream, &mut heard).await.unwrap();
            assert_eq!(sent, heard[..], "the bystander's echo is damaged");
            echoes.set(echoes.get() + 1);
            net.sleep(Duration::from_millis(100)).await;
        }
    });
}
