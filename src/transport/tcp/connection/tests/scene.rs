//! One connection and a peer written out by hand.
//!
//! The peer's numbers count from the first octet after each SYN: `peer(0, 0)` is the first octet it sends and
//! acknowledges nothing but our SYN. What the connection sends is written as tcpdump would: flags, first and
//! last sequence number, acknowledgment, and SACK blocks if there are any.

use super::world::{World, segment};
use crate::base::drops::Outcome;
use crate::base::ranges::Range;
use crate::base::seq::Seq;
use crate::base::time::Duration;
use crate::network::packet::{PathError, PathErrorKind};
use crate::transport::tcp::config::{Algorithm, Config};
use crate::transport::tcp::connection::{Agreement, Connection, Handshake, Read};
use crate::transport::tcp::options::{Options, Timestamps};
use crate::transport::tcp::segment::{Flags, Segment};
use crate::transport::tcp::state::State;
use bytes::Bytes;
use std::rc::Rc;

/// Our first octet.
pub(super) const OURS: Seq = Seq(1001);
/// The peer's first octet, so near the wrap that every longer test crosses it.
pub(super) const THEIRS: Seq = Seq(u32::MAX - 500);
/// The MSS that the peer announces.
pub(super) const MSS: usize = 1000;
pub(super) const LOCAL: &str = "192.0.2.1:1000";
pub(super) const REMOTE: &str = "192.0.2.2:2000";

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// An ACK of the peer: its sequence number and its acknowledgment, both relative.
pub(super) fn peer(seq: u32, ack: u32) -> Segment {
    Segment { seq: THEIRS + seq, ack: OURS + ack, flags: Flags::ACK, window: 60_000, ..Segment::default() }
}

/// The peer's SYN with the options that tests assume unless they say otherwise.
pub(super) fn peer_syn() -> Segment {
    Segment {
        seq: THEIRS - 1,
        flags: Flags::SYN,
        window: 60_000,
        options: Options { mss: Some(MSS as u16), ..Options::default() },
        ..Segment::default()
    }
}

/// What makes a segment of the peer special.
pub(super) trait Shape {
    fn data(self, len: usize) -> Self;
    fn flags(self, flags: Flags) -> Self;
    fn window(self, window: u16) -> Self;
    fn ts(self, value: u32, echo: u32) -> Self;
    fn sack(self, blocks: &[(u32, u32)]) -> Self;
}

impl Shape for Segment {
    fn data(mut self, len: usize) -> Self {
        self.payload = octets(self.seq - THEIRS, len);
        self
    }
    fn flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }
    fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }
    fn ts(mut self, value: u32, echo: u32) -> Self {
        self.options.timestamps = Some(Timestamps { value, echo });
        self
    }
    fn sack(mut self, blocks: &[(u32, u32)]) -> Self {
        self.options.sack = blocks.iter().map(|(start, end)| Range::new(OURS + *start, OURS + *end)).collect();
        self
    }
}

/// The octets of a stream from `from` on: each tells where it stands.
pub(super) fn octets(from: u32, len: usize) -> Bytes {
    (0..len as u32).map(|n| from.wrapping_add(n).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

pub(super) struct Scene {
    pub(super) world: World,
    pub(super) connection: Connection,
    written: u32,
}

impl Scene {
    pub(super) fn config() -> Config {
        Config {
            auto_tuning: false,
            quick_acks: 0,
            receive_buffer: 1 << 20,
            send_buffer: 1 << 20,
            // Tests that are about something else are not to be told of every silence.
            tail_loss_probe: false,
            timestamps: false,
            sack: false,
            window_scale: false,
            // What is sent when is then a matter of halves and whole segments.
            congestion: Algorithm::NewReno,
            pacing: false,
            ..Config::default()
        }
    }

    pub(super) fn syn_sent_with(config: Config) -> Self {
        let mut world = World::new(7);
        let (local, remote) = (LOCAL.parse().unwrap(), REMOTE.parse().unwrap());
        let connection = Connection::connect(local, remote, OURS - 1, Rc::new(config), &mut world.cx());
        Scene { world, connection, written: 0 }
    }

    pub(super) fn syn_sent() -> Self {
        let mut scene = Scene::syn_sent_with(Scene::config());
        scene.drain();
        scene
    }

    /// Opened by us, with the options of `syn_ack`.
    pub(super) fn opened(config: Config, syn_ack: Segment) -> Self {
        Scene::opened_with_flags(config, syn_ack, Flags::SYN | Flags::ACK)
    }

    pub(super) fn opened_with_flags(config: Config, syn_ack: Segment, flags: Flags) -> Self {
        let mut scene = Scene::syn_sent_with(config);
        scene.drain();
        scene.send(Segment { flags, ack: OURS, ..syn_ack });
        scene.drain();
        assert_eq!(scene.state(), State::Established);
        scene
    }

    pub(super) fn established_with(config: Config) -> Self {
        Scene::opened(config, peer_syn())
    }

    pub(super) fn established() -> Self {
        Scene::established_with(Scene::config())
    }

    pub(super) fn established_with_sack() -> Self {
        let mut syn = peer_syn();
        syn.options.sack_permitted = true;
        Scene::opened(Config { sack: true, ..Scene::config() }, syn)
    }

    /// The half of a passive open that a connection sees.
    pub(super) fn syn_received() -> Self {
        let mut world = World::new(7);
        let connection = Connection::accepted(handshake(), Rc::new(Scene::config()), &mut world.cx());
        Scene { world, connection, written: 0 }
    }

    pub(super) fn fin_wait_1() -> Self {
        let mut scene = Scene::established();
        scene.shutdown();
        scene.recv(&["F. 0:1 ack 0"]);
        scene
    }

    pub(super) fn fin_wait_2() -> Self {
        let mut scene = Scene::fin_wait_1();
        scene.send(peer(0, 1));
        scene
    }

    pub(super) fn close_wait() -> Self {
        let mut scene = Scene::established();
        scene.send(peer(0, 0).flags(Flags::FIN | Flags::ACK));
        scene.recv(&[". 0:0 ack 1"]);
        scene
    }

    pub(super) fn closing() -> Self {
        let mut scene = Scene::fin_wait_1();
        scene.send(peer(0, 0).flags(Flags::FIN | Flags::ACK));
        scene.drain();
        scene
    }

    pub(super) fn last_ack() -> Self {
        let mut scene = Scene::close_wait();
        scene.shutdown();
        scene.recv(&["F. 0:1 ack 1"]);
        scene
    }

    pub(super) fn time_wait() -> Self {
        let mut scene = Scene::fin_wait_2();
        scene.send(peer(0, 1).flags(Flags::FIN | Flags::ACK));
        scene.recv(&[". 1:1 ack 1"]);
        scene
    }

    pub(super) fn state(&self) -> State {
        self.connection.state()
    }

    pub(super) fn check(&self) {
        if let Err(broken) = self.connection.check_invariants() {
            panic!("{broken}\n{:#?}", self.connection.info());
        }
    }

    /// The peer sends.
    pub(super) fn send(&mut self, segment: Segment) -> Outcome {
        let outcome = self.connection.receive(segment, &mut self.world.cx());
        self.check();
        outcome
    }

    /// Everything that the connection sends at the moment.
    pub(super) fn pull(&mut self) -> Vec<Segment> {
        let mut segments = Vec::new();
        while let Some(datagram) = self.connection.poll_transmit(&mut self.world.cx()) {
            self.check();
            segments.push(segment(&datagram));
            assert!(segments.len() < 1000, "it does not stop sending: {:?}", segments.last());
        }
        assert!(!self.connection.has_output(self.world.now));
        segments
    }

    pub(super) fn drain(&mut self) {
        self.pull();
    }

    /// What the connection sends at the moment is this and no more.
    #[track_caller]
    pub(super) fn recv(&mut self, expected: &[&str]) {
        let sent: Vec<String> = self.pull().iter().map(show).collect();
        assert_eq!(sent, expected);
    }

    /// Time passes; whatever is sent meanwhile is given with the milliseconds since the beginning.
    pub(super) fn run(&mut self, time: Duration) -> Vec<(u64, Segment)> {
        let start = self.world.now;
        let end = start + time;
        let mut sent = Vec::new();
        while let Some(due) = self.connection.deadline().filter(|due| *due <= end) {
            self.world.now = self.world.now.max(due);
            self.connection.handle_timeout(&mut self.world.cx());
            self.check();
            let at = self.world.now.since(start).as_millis() as u64;
            sent.extend(self.pull().into_iter().map(|segment| (at, segment)));
        }
        self.world.now = end;
        sent
    }

    /// Time passes, and this is sent meanwhile.
    #[track_caller]
    pub(super) fn pass(&mut self, time: Duration, expected: &[(u64, &str)]) {
        let sent: Vec<(u64, String)> = self.run(time).iter().map(|(at, segment)| (*at, show(segment))).collect();
        let expected: Vec<(u64, String)> = expected.iter().map(|(at, text)| (*at, (*text).to_owned())).collect();
        assert_eq!(sent, expected);
    }

    /// The user writes the next `len` octets of its stream.
    pub(super) fn write(&mut self, len: usize) -> usize {
        let taken = self.connection.write(&mut octets(self.written, len), &mut self.world.cx()).unwrap();
        self.written += taken as u32;
        self.check();
        taken
    }

    /// The user reads all there is, which must be the peer's stream from `from` on; gives how much it was.
    #[track_caller]
    pub(super) fn read(&mut self, from: u32) -> usize {
        let mut all = Vec::new();
        while let Ok(Read::Data(bytes)) = self.connection.read(usize::MAX) {
            all.extend_from_slice(&bytes);
        }
        assert!(all == octets(from, all.len()), "not the octets from {from} on");
        self.check();
        all.len()
    }

    pub(super) fn shutdown(&mut self) {
        self.connection.shutdown_write(&mut self.world.cx());
        self.check();
    }

    pub(super) fn close(&mut self) {
        self.connection.close(&mut self.world.cx());
        self.check();
    }

    /// An ICMP error quotes the segment that begins at `seq`, relative.
    pub(super) fn path_error(&mut self, kind: PathErrorKind, seq: u32) -> Outcome {
        let mut quote = vec![0u8; 8];
        quote[..2].copy_from_slice(&1000u16.to_be_bytes());
        quote[2..4].copy_from_slice(&2000u16.to_be_bytes());
        quote[4..].copy_from_slice(&(OURS + seq).0.to_be_bytes());
        let error = PathError {
            kind,
            local: [192, 0, 2, 1].into(),
            remote: [192, 0, 2, 2].into(),
            protocol: 6,
            quote: quote.into(),
            reporter: [192, 0, 2, 254].into(),
        };
        let outcome = self.connection.handle_path_error(&error, &mut self.world.cx());
        self.check();
        outcome
    }
}

pub(super) fn handshake() -> Handshake {
    Handshake {
        local: LOCAL.parse().unwrap(),
        remote: REMOTE.parse().unwrap(),
        iss: OURS - 1,
        irs: THEIRS - 1,
        peer_mss: Some(MSS as u16),
        window_scale: None,
        sack: false,
        timestamps: None,
        ecn: Agreement::default(),
        window: 60_000,
        rtt: Some(ms(10)),
        syn_ack_retransmitted: false,
    }
}

/// A segment of ours as tcpdump would write it.
pub(super) fn show(segment: &Segment) -> String {
    let relative = |seq: Seq| i64::from((seq - OURS) as i32);
    let start = relative(segment.seq);
    let mut text = format!("{:?} {start}:{}", segment.flags, start + i64::from(segment.len()));
    if segment.flags.ack() {
        text += &format!(" ack {}", (segment.ack - THEIRS) as i32);
    }
    if segment.flags.urg() {
        text += &format!(" urg {}", segment.urgent);
    }
    for block in &segment.options.sack {
        text += &format!(" sack {}:{}", block.start - THEIRS, block.end - THEIRS);
    }
    text
}
