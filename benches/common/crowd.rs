//! A host with one of the small services and any number of peers that exist only as the frames they send.
//!
//! A peer is a number: its addresses follow from it, and all that is remembered of it are the two sequence
//! numbers that the next segment needs. So what a run allocates and how long it takes is the host's.

#![allow(dead_code, reason = "each target uses its part")]

use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use tapstack::application::server::{Bounds, Shutdown};
use tapstack::application::small::{self, Small};
use tapstack::base::checksum::Sum;
use tapstack::base::random::Random;
use tapstack::base::time::{Duration, Instant};
use tapstack::datalink::{InterfaceId, Mac};
use tapstack::physical::frame::{DeviceId, Frame, OutFrame, ReceivedChecksum};
use tapstack::session::clock::Clock;
use tapstack::session::host::Host;
use tapstack::session::tcp::{ListenOptions, TcpListener};
use tapstack::stack::Stack;
use tapstack::stack::config::{Config, InterfaceConfig};
use tapstack::transport::ports;

const DEVICE: DeviceId = DeviceId(0);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
/// Peers have the addresses from 192.0.2.10 on, each with so many ports.
const PORTS: u32 = 20_000;
const FIRST_PORT: u32 = 10_000;
const FIRST_ADDRESS: u32 = 10;
/// Handshakes at once: fewer than the listener keeps half open.
const BATCH: usize = 512;
/// Payload of a question.
pub const QUESTION: usize = 64;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// What is remembered of a peer: the next sequence number, what of them is acknowledged, and the next expected.
#[derive(Clone, Copy, Default)]
struct Peer {
    seq: u32,
    una: u32,
    ack: u32,
}

/// A host, its peers, and the time.
pub struct Crowd {
    pub host: Host,
    pub now: Instant,
    service: Small,
    peers: Vec<Peer>,
    random: Random,
}

impl Crowd {
    /// A host with this service, for `room` peers and without any yet.
    pub fn new(service: Small, room: usize) -> Self {
        let mut config = Config {
            interfaces: vec![InterfaceConfig {
                name: "eth0".into(),
                device: DEVICE,
                vlan: None,
                mac: Mac(HOST_MAC),
                addresses: vec!["192.0.2.2/24".parse().unwrap()],
                mtu: 1500,
                probe: false,
            }],
            ..Config::default()
        };
        config.ports.allow(ports::Protocol::Tcp, service.port());
        config.neighbours = (FIRST_ADDRESS..255)
            .map(|last| (InterfaceId(0), IpAddr::V4(Ipv4Addr::new(192, 0, 2, last as u8)), Mac(PEER_MAC)))
            .collect();
        let host = Host::new(Stack::new(config, Random::from_seed(1)), Duration::ZERO);
        let options = ListenOptions { backlog: Some(2 * BATCH), config: None };
        let listener = TcpListener::bind_with(host.net(), (IpAddr::V4(HOST), service.port()).into(), options).unwrap();
        let clock: Rc<dyn Clock> = Rc::new(host.net().clone());
        let bounds = Bounds { connections: usize::MAX, ..Bounds::default() };
        host.net().spawn(small::serve(service, listener, clock, bounds, Shutdown::new()));
        let (now, peers, random) = (Instant::from_secs(1), Vec::with_capacity(room), Random::from_seed(2));
        let mut crowd = Crowd { host, now, service, peers, random };
        crowd.turn();
        crowd
    }

    /// Connects peers until there are `number`, and lets everything settle.
    pub fn grow(&mut self, number: usize) {
        while self.peers.len() < number {
            let first = self.peers.len();
            let end = number.min(first + BATCH);
            for n in first..end {
                self.peers.push(Peer { seq: (n as u32).wrapping_mul(2_654_435_761), ..Peer::default() });
                self.receive(self.segment(n, SYN, &[]));
                self.peers[n].seq = self.peers[n].seq.wrapping_add(1);
            }
            for answer in self.turn() {
                self.take(&answer);
            }
            for n in first..end {
                self.receive(self.segment(n, ACK, &[]));
            }
            self.turn();
            self.now += Duration::from_micros(100);
        }
        self.rest(Duration::from_secs(5));
    }

    /// Lets time pass with everything that becomes due in it.
    pub fn rest(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.host.deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            for answer in self.turn() {
                self.take(&answer);
            }
        }
        self.now = end;
    }

    /// `number` peers picked at random, each of them once.
    pub fn pick(&mut self, number: usize) -> Vec<usize> {
        let mut picked = Vec::with_capacity(number);
        while picked.len() < number {
            let n = self.random.below(self.peers.len() as u64) as usize;
            if !picked.contains(&n) {
                picked.push(n);
            }
        }
        picked
    }

    /// A question of each of these peers.
    pub fn questions(&mut self, peers: &[usize]) -> Vec<Frame> {
        let question = |n: &usize| {
            let frame = self.segment(*n, ACK | PSH, &[b'?'; QUESTION]);
            self.peers[*n].seq = self.peers[*n].seq.wrapping_add(QUESTION as u32);
            frame
        };
        peers.iter().map(question).collect()
    }

    /// Segments of one peer, one after the other, each with the same `payload`; super-segments if `size` says what to
    /// cut them into.
    pub fn stream(&mut self, n: usize, segments: usize, payload: &[u8], size: Option<u16>) -> Vec<Frame> {
        let segment = |_| {
            let frame = Frame { segment_size: size, ..self.segment(n, ACK, payload) };
            self.peers[n].seq = self.peers[n].seq.wrapping_add(payload.len() as u32);
            frame
        };
        (0..segments).map(segment).collect()
    }

    /// Goes back to the first octet of one peer that is not acknowledged, and says how many were not.
    pub fn rewind(&mut self, n: usize) -> u32 {
        let peer = &mut self.peers[n];
        let missing = peer.seq.wrapping_sub(peer.una);
        peer.seq = peer.una;
        missing
    }

    /// An acknowledgment of each of these peers for all that it got.
    pub fn acknowledgments(&self, peers: &[usize]) -> Vec<Frame> {
        peers.iter().map(|n| self.segment(*n, ACK, &[])).collect()
    }

    /// Hands one frame in.
    pub fn receive(&mut self, frame: Frame) {
        let _ = self.host.receive(self.now, DEVICE, frame);
    }

    /// Hands frames in that came together.
    pub fn receive_all(&mut self, frames: Vec<Frame>) {
        self.host.receive_all(self.now, DEVICE, frames);
    }

    /// Lets the host run and gives what it sends.
    pub fn turn(&mut self) -> Vec<OutFrame> {
        let mut sent = Vec::new();
        self.turn_into(&mut sent);
        sent
    }

    /// Lets the host run and adds what it sends to `sent`.
    pub fn turn_into(&mut self, sent: &mut Vec<OutFrame>) {
        self.host.run(self.now);
        while let Some((_, frame)) = self.host.poll_transmit(self.now) {
            sent.push(frame);
        }
    }

    /// Remembers what a frame from the host acknowledges and brings.
    pub fn take(&mut self, frame: &OutFrame) {
        let ip = &frame.head[14..];
        if frame.head[12..14] != [8, 0] || ip[9] != 6 {
            return;
        }
        let tcp = &ip[usize::from(ip[0] & 0xf) * 4..];
        let word = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
        let port = u32::from(u16::from_be_bytes([tcp[2], tcp[3]]));
        let n = (u32::from(ip[19]) - FIRST_ADDRESS) * PORTS + port - FIRST_PORT;
        let length: usize = frame.body.iter().map(Bytes::len).sum();
        let controls = u32::from(tcp[13] & (SYN | FIN) != 0);
        let peer = &mut self.peers[n as usize];
        peer.una = word(8);
        peer.ack = word(4).wrapping_add(length as u32 + controls);
    }

    /// A segment of peer `n` with its numbers as they are.
    fn segment(&self, n: usize, flags: u8, payload: &[u8]) -> Frame {
        let (peer, n) = (self.peers[n], n as u32);
        let source = Ipv4Addr::new(192, 0, 2, (FIRST_ADDRESS + n / PORTS) as u8);
        segment(source, (FIRST_PORT + n % PORTS) as u16, self.service.port(), peer.seq, peer.ack, flags, payload)
    }
}

/// A frame with a TCP segment from `source` to the host, checksums and all.
fn segment(source: Ipv4Addr, from: u16, to: u16, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Frame {
    // An MSS of 1,460 octets, and windows in units of 128.
    let options: &[u8] = if flags & SYN != 0 { &[2, 4, 5, 180, 1, 3, 3, 7] } else { &[] };
    let tcp_len = 20 + options.len();
    let mut frame = Vec::with_capacity(34 + tcp_len + payload.len());
    frame.extend_from_slice(&HOST_MAC);
    frame.extend_from_slice(&PEER_MAC);
    frame.extend_from_slice(&[8, 0]);
    let total = (20 + tcp_len + payload.len()) as u16;
    frame.extend_from_slice(&[0x45, 0]);
    frame.extend_from_slice(&total.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend_from_slice(&source.octets());
    frame.extend_from_slice(&HOST.octets());
    let sum = Sum::ZERO.add_bytes(&frame[14..34]).checksum();
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(&from.to_be_bytes());
    frame.extend_from_slice(&to.to_be_bytes());
    frame.extend_from_slice(&seq.to_be_bytes());
    frame.extend_from_slice(&(if flags & ACK != 0 { ack } else { 0 }).to_be_bytes());
    frame.extend_from_slice(&[(tcp_len as u8) << 2, flags, 0xff, 0xff, 0, 0, 0, 0]);
    frame.extend_from_slice(options);
    frame.extend_from_slice(payload);
    let pseudo = Sum::ZERO.add_pseudo_header(source.into(), HOST.into(), 6, tcp_len + payload.len());
    let sum = pseudo.add_bytes(&frame[34..]).checksum();
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
    let bytes = Bytes::from(frame);
    // The first copy of a reference makes room to count them in; that is the device's.
    drop(bytes.clone());
    Frame { bytes, checksum: ReceivedChecksum::Unverified, segment_size: None }
}
