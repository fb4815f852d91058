//! Finding the path MTU without ICMP: RFC 4821. The peer stands behind a path that carries no more than so many octets of
//! a segment, and says nothing of the others.

use super::scene::*;
use super::world::cut;
use crate::base::counters::Counter;
use crate::base::time::Duration;
use crate::network::packet::PathErrorKind;
use crate::transport::tcp::config::{Config, MtuProbing};
use crate::transport::tcp::options::Options;
use crate::transport::tcp::segment::Segment;

/// The peer behind the path.
struct BehindPath {
    scene: Scene,
    /// The most octets of data in a segment that arrives.
    carries: usize,
    /// What has arrived, octet by octet.
    arrived: Vec<bool>,
    /// Sizes of what vanished.
    vanished: Vec<usize>,
}

impl BehindPath {
    fn new(config: Config, carries: usize) -> Self {
        let options = Options { mss: Some(1460), sack_permitted: true, ..peer_syn().options };
        let scene = Scene::opened(Config { sack: true, ..config }, Segment { options, ..peer_syn() });
        BehindPath { scene, carries, arrived: vec![false; 1 << 20], vanished: Vec::new() }
    }

    fn next(&self) -> u32 {
        self.arrived.iter().position(|has| !has).unwrap() as u32
    }

    /// What has been sent arrives or vanishes, and each that arrives is acknowledged.
    fn exchange(&mut self) -> usize {
        let mut answers = Vec::new();
        while let Some(datagram) = self.scene.connection.poll_transmit(&mut self.scene.world.cx()) {
            for segment in cut(&datagram) {
                let (start, len) = ((segment.seq - OURS) as usize, segment.payload.len());
                if len > self.carries {
                    self.vanished.push(len);
                    continue;
                }
                assert_eq!(segment.payload, octets(start as u32, len));
                self.arrived[start..start + len].fill(true);
                let next = self.next();
                let block = (start as u32 > next).then_some((start as u32, (start + len) as u32));
                answers.push(peer(0, next).sack(block.as_slice()));
            }
        }
        self.scene.world.now += ms(10);
        let count = answers.len();
        for answer in answers {
            self.scene.send(answer);
        }
        count
    }

    /// Until nothing is said any more without a timeout.
    fn talk(&mut self) {
        while self.exchange() > 0 {}
    }

    /// Time passes, with the timeouts in it.
    fn wait(&mut self, time: Duration) {
        let end = self.scene.world.now + time;
        while let Some(due) = self.scene.connection.deadline().filter(|due| *due <= end) {
            self.scene.world.now = self.scene.world.now.max(due);
            self.scene.connection.handle_timeout(&mut self.scene.world.cx());
            self.talk();
        }
        self.scene.world.now = self.scene.world.now.max(end);
    }

    fn mss(&self) -> u32 {
        self.scene.connection.info().mss_bytes
    }
}

#[test]
fn a_black_hole_is_found_after_two_timeouts_and_searched_up_to_its_edge() {
    // RFC 4821 §7.7, §7.3; RFC 8899 §4.3.
    let mut path = BehindPath::new(Scene::config(), 1300);
    path.scene.write(200_000);
    path.talk();
    assert_eq!((path.next(), path.mss()), (0, 1460));
    path.wait(ms(300));
    assert_eq!(path.mss(), 1460, "one timeout is a loss");
    path.wait(secs(60));
    assert_eq!(path.next(), 200_000);
    // The search ends within eight octets of what the path carries.
    assert!((1293..=1300).contains(&path.mss()), "{}", path.mss());
    assert!(path.scene.world.counters.of(Counter::TcpMTUPSuccess) > 0);
}

#[test]
fn an_outage_of_everything_costs_one_probe() {
    let mut path = BehindPath::new(Scene::config(), 0);
    path.scene.write(100_000);
    path.talk();
    path.wait(secs(1));
    assert_eq!(path.mss(), 1024);
    path.carries = 1460;
    path.wait(secs(20));
    assert_eq!((path.next(), path.mss()), (100_000, 1460));
    assert_eq!(path.scene.world.counters.of(Counter::TcpMTUPSuccess), 1);
}

#[test]
fn a_lost_probe_is_no_sign_of_congestion() {
    // RFC 4821 §7.6.1.
    let mut path = BehindPath::new(Config { mtu_probing: MtuProbing::Always, ..Scene::config() }, 1100);
    assert_eq!(path.mss(), 1024);
    path.scene.write(300_000);
    let before = path.scene.connection.info().cwnd_bytes;
    path.talk();
    let info = path.scene.connection.info();
    assert_eq!((path.next(), info.timeouts, info.ssthresh_bytes), (300_000, 0, None));
    assert!(info.cwnd_bytes > before);
    assert!(path.vanished.len() > 1 && path.scene.world.counters.of(Counter::TcpMTUPFail) > 1);
    assert!((1093..=1100).contains(&path.mss()), "{}", path.mss());
}

#[test]
fn what_is_lost_beside_a_probe_is_congestion() {
    let mut path = BehindPath::new(Config { mtu_probing: MtuProbing::Always, ..Scene::config() }, 1100);
    path.scene.write(60_000);
    // The probe of 1460 octets and the segment behind it vanish.
    let sent = path.scene.pull();
    assert_eq!((sent[0].payload.len(), sent[0].segment_size), (1460, None));
    let held = 1460 + 1024;
    for n in 1..=4 {
        path.scene.send(peer(0, 0).sack(&[(held, held + n * 1024)]));
    }
    assert!(path.scene.connection.info().ssthresh_bytes.is_some());
}

#[test]
fn a_finished_search_looks_again_after_ten_minutes() {
    // RFC 8899 §5.1.1, PMTU_RAISE_TIMER.
    let mut path = BehindPath::new(Config { mtu_probing: MtuProbing::Always, ..Scene::config() }, 1100);
    path.scene.write(300_000);
    path.talk();
    path.carries = 1460;
    path.wait(secs(590));
    path.scene.write(60_000);
    path.talk();
    assert!(path.mss() <= 1100);
    path.wait(secs(20));
    path.scene.write(120_000);
    path.talk();
    assert_eq!((path.next(), path.mss()), (480_000, 1460));
}

#[test]
fn a_router_that_does_speak_bounds_the_search() {
    // RFC 4821 §7.4: what "packet too big" says is taken, within RFC 5927's checks.
    let mut path = BehindPath::new(Config { mtu_probing: MtuProbing::Always, ..Scene::config() }, 1200);
    path.scene.write(60_000);
    path.scene.drain();
    path.scene.path_error(PathErrorKind::PacketTooBig { mtu: 1240 }, 0);
    path.scene.world.paths.mtu = 1240;
    path.wait(secs(10));
    assert_eq!((path.next(), path.mss()), (60_000, 1200));
}

#[test]
fn small_segments_that_are_lost_say_nothing_of_the_path() {
    let mut path = BehindPath::new(Scene::config(), 0);
    path.scene.write(100);
    path.talk();
    path.wait(secs(20));
    assert_eq!(path.mss(), 1460);
}

#[test]
fn where_probing_is_off_the_size_stays() {
    let mut path = BehindPath::new(Config { mtu_probing: MtuProbing::Off, ..Scene::config() }, 1300);
    path.scene.write(10_000);
    path.talk();
    path.wait(secs(20));
    assert_eq!((path.next(), path.mss()), (0, 1460));
}

#[test]
fn a_black_hole_is_not_searched_below_512_octets() {
    let mut path = BehindPath::new(Scene::config(), 0);
    path.scene.write(10_000);
    path.talk();
    path.wait(secs(100));
    assert_eq!(path.mss(), 512);
}
