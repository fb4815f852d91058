//! Strangers on the same link who guess and forge, while two hosts talk.

use crate::sim::robot::Robot;
use crate::sim::wire::{self, Ip, Tcp};
use crate::sim::{self, HostId, World};
use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use tapstack::base::counters::Counter;
use tapstack::base::limits;
use tapstack::base::random::Random;
use tapstack::base::time::Duration;
use tapstack::datalink::Mac;
use tapstack::physical::cable::Faults;
use tapstack::session::tcp::{TcpListener, TcpStream};
use tapstack::session::udp::UdpSocket;

const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const ATTACKER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);
const PORT: u16 = 80;

fn mac_of(last: u8) -> Mac {
    sim::mac("192.0.2.0", 0, last)
}

/// What the two hosts have come to.
#[derive(Default)]
struct Talk {
    echoes: u64,
    error: Option<io::ErrorKind>,
}

/// Two hosts in an endless echo, and a robot that hears every word of it.
struct Scene {
    world: World,
    client: HostId,
    server: HostId,
    robot: Robot,
    talk: Rc<RefCell<Talk>>,
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new(None);
        let [client, server] = [1, 2].map(|last| {
            let mut config = sim::host(last);
            // What is forged has none, and must not fail for want of them.
            config.tcp.timestamps = false;
            world.add(config, u64::from(last))
        });
        let line = Faults { delay: Duration::from_millis(1), ..Faults::default() };
        world.connect(client.plug(0), server.plug(0), &line, 1);
        let robot = Robot::new(&mut world, ATTACKER, &[client.plug(0), server.plug(0)]);
        let listener = TcpListener::bind(&world.net(server), SocketAddr::from((SERVER, PORT))).unwrap();
        let net = world.net(server);
        net.clone().spawn(async move {
            while let Ok(mut stream) = listener.accept().await {
                net.spawn(async move {
                    while let Ok(bytes) = stream.read_bytes(100).await {
                        if bytes.is_empty() || stream.write_bytes(bytes).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let talk = Rc::new(RefCell::new(Talk::default()));
        let mut scene = Scene { world, client, server, robot, talk };
        scene.start_talk();
        scene.listen(Duration::from_secs(10));
        assert!(scene.talk.borrow().echoes > 50);
        scene
    }

    fn start_talk(&mut self) {
        let (net, talk) = (self.world.net(self.client), self.talk.clone());
        net.clone().spawn(async move {
            let mut stream = match TcpStream::connect(&net, SocketAddr::from((SERVER, PORT))).await {
                Ok(stream) => stream,
                Err(error) => {
                    talk.borrow_mut().error = Some(error.kind());
                    return;
                }
            };
            loop {
                let said = async {
                    stream.write_bytes("hello".into()).await?;
                    let heard = stream.read_bytes(5).await?;
                    assert_eq!(heard, "hello", "forged data");
                    io::Result::Ok(())
                };
                if let Err(error) = said.await {
                    talk.borrow_mut().error = Some(error.kind());
                    return;
                }
                talk.borrow_mut().echoes += 1;
                net.sleep(Duration::from_millis(100)).await;
            }
        });
    }

    fn listen(&mut self, duration: Duration) {
        self.robot.listen(&mut self.world, duration);
    }

    /// The latest segment that `from` sent in the talk.
    fn latest(&self, from: Ipv4Addr) -> Tcp<'static> {
        let heard = self.robot.heard.iter().rev().filter_map(|frame| wire::parse(frame));
        let (.., segment) = heard.clone().find(|found| found.0 == from && found.2 == wire::TCP).unwrap();
        let data = (segment.len() - usize::from(segment[12] >> 4) * 4) as u32;
        Tcp {
            source_port: wire::u16_at(segment, 0),
            destination_port: wire::u16_at(segment, 2),
            // What it would send next.
            seq: wire::u32_at(segment, 4).wrapping_add(data),
            ack: wire::u32_at(segment, 8),
            flags: wire::ACK,
            window: 1000,
            ..Tcp::default()
        }
    }

    /// Sends a segment to the server in the client's name.
    fn forge(&mut self, tcp: &Tcp<'_>, data: &[u8]) {
        let packet = Ip::new(CLIENT, SERVER, wire::TCP).packet(&tcp.segment(CLIENT, SERVER, data));
        self.robot.send(&mut self.world, mac_of(2), &packet);
    }

    /// The talk goes on.
    fn assert_alive(&mut self) {
        let before = self.talk.borrow().echoes;
        self.listen(Duration::from_secs(5));
        let talk = self.talk.borrow();
        assert_eq!(talk.error, None);
        assert!(talk.echoes > before + 20, "{} echoes in 5 s", talk.echoes - before);
    }
}

#[test]
fn a_reset_that_only_falls_into_the_window_is_challenged() {
    // RFC 5961 §3.2, RFC 9293 §3.10.7.4.
    let mut scene = Scene::new();
    for guess in 1..2000u32 {
        let mut tcp = scene.latest(CLIENT);
        (tcp.seq, tcp.flags) = (tcp.seq.wrapping_add(guess * 17 + 100), wire::RST);
        scene.forge(&tcp, &[]);
    }
    scene.assert_alive();
    let challenges = scene.world.count_of(scene.server, Counter::TcpChallengeAck);
    assert!(challenges > 0);
    // RFC 5961 §7: they are rationed.
    assert!(challenges < 1500, "{challenges} challenges");
}

#[test]
fn a_reset_with_the_exact_number_is_obeyed() {
    let mut scene = Scene::new();
    let mut tcp = scene.latest(CLIENT);
    tcp.flags = wire::RST;
    scene.forge(&tcp, &[]);
    scene.listen(Duration::from_secs(5));
    assert_eq!(scene.talk.borrow().error, Some(io::ErrorKind::ConnectionReset));
}

#[test]
fn a_syn_in_a_connection_is_challenged_and_changes_nothing() {
    // RFC 5961 §4.2.
    let mut scene = Scene::new();
    for guess in 0..500u32 {
        let mut tcp = scene.latest(CLIENT);
        (tcp.seq, tcp.flags) = (tcp.seq.wrapping_add(guess), wire::SYN);
        scene.forge(&tcp, &[]);
    }
    scene.assert_alive();
    assert!(scene.world.count_of(scene.server, Counter::TcpChallengeAck) > 0);
}

#[test]
fn data_with_an_acknowledgment_that_cannot_be_is_not_taken() {
    // RFC 5961 §5.2: an ACK of what was never sent, or is far too old.
    let mut scene = Scene::new();
    for away in [1_000u32, 1 << 20, 1 << 30, 0x8000_0000, 0u32.wrapping_sub(1 << 25)] {
        let mut tcp = scene.latest(CLIENT);
        (tcp.ack, tcp.flags) = (tcp.ack.wrapping_add(away), wire::ACK | wire::PSH);
        scene.forge(&tcp, b"forged");
    }
    scene.assert_alive();
}

#[test]
fn icmp_errors_about_nothing_in_flight_are_ignored() {
    // RFC 5927 §4.1, §7.2: hard errors do not abort, and a small MTU is not believed.
    let mut scene = Scene::new();
    for (kind, code, mtu) in [(3, 2, 0), (3, 3, 0), (3, 4, 68), (3, 4, 552), (3, 1, 0), (11, 0, 0)] {
        for away in [1_000_000u32, 0x4000_0000, 0u32.wrapping_sub(500_000)] {
            let mut quoted = scene.latest(SERVER);
            quoted.seq = quoted.seq.wrapping_add(away);
            // A full segment, or the small MTU would not be plausible anyway.
            let quote = Ip::new(SERVER, CLIENT, wire::TCP).packet(&quoted.segment(SERVER, CLIENT, &[0; 1460]));
            let [high, low] = u16::to_be_bytes(mtu);
            let message = wire::icmp(kind, code, [0, 0, high, low], &quote[..28]);
            let packet = Ip::new(ATTACKER, SERVER, wire::ICMP).packet(&message);
            scene.robot.send(&mut scene.world, mac_of(2), &packet);
        }
    }
    scene.assert_alive();
    let sockets = scene.world.stack(scene.server, |stack| stack.show_sockets());
    let open = sockets.iter().find(|row| row.state == "ESTAB").unwrap();
    assert_eq!(open.details["mss_bytes"], 1460);
}

#[test]
fn an_icmp_error_that_fits_is_still_no_reason_to_give_up_an_open_connection() {
    // RFC 5927 §4.2, RFC 9293 §3.9.2.2 (SHLD-25): hard errors are soft once the connection is synchronised.
    let mut scene = Scene::new();
    for _ in 0..50 {
        let quoted = scene.latest(CLIENT);
        let quote = Ip::new(CLIENT, SERVER, wire::TCP).packet(&quoted.segment(CLIENT, SERVER, &[]));
        let packet = Ip::new(ATTACKER, CLIENT, wire::ICMP).packet(&wire::icmp(3, 3, [0; 4], &quote[..28]));
        scene.robot.send(&mut scene.world, mac_of(1), &packet);
        scene.listen(Duration::from_millis(37));
    }
    scene.assert_alive();
}

#[test]
fn a_syn_flood_leaves_room_for_honest_clients() {
    // RFC 4987: small records, then cookies.
    let mut scene = Scene::new();
    let mut random = Random::from_seed(3);
    for _ in 0..5_000 {
        let source = Ipv4Addr::new(203, 0, 113, random.below(250) as u8 + 1);
        let tcp = Tcp {
            source_port: random.next_u16() | 1024,
            destination_port: PORT,
            seq: random.next_u32(),
            flags: wire::SYN,
            window: 1000,
            ..Tcp::default()
        };
        let packet = Ip::new(source, SERVER, wire::TCP).packet(&tcp.segment(source, SERVER, &[]));
        scene.robot.send(&mut scene.world, mac_of(2), &packet);
    }
    scene.world.run_for(Duration::from_millis(10));
    assert!(scene.world.count_of(scene.server, Counter::TcpSyncookiesSent) > 3_000);
    let half_open = scene.world.stack(scene.server, |stack| stack.show_sockets());
    let half_open = half_open.iter().filter(|row| row.state == "SYN-RECV").count();
    assert!(half_open <= limits::TCP_EMBRYOS, "{half_open} half-open");
    scene.start_talk();
    scene.listen(Duration::from_secs(1));
    assert!(
        scene.world.count_of(scene.server, Counter::TcpSyncookiesRecv) >= 1,
        "the honest client brought its cookie back"
    );
    let before = scene.talk.borrow().echoes;
    scene.assert_alive();
    assert!(scene.talk.borrow().echoes > before + 80, "two talks, not one");
}

#[test]
fn cookies_that_are_guessed_open_nothing() {
    let mut scene = Scene::new();
    let mut random = Random::from_seed(4);
    let opened = scene.world.count_of(scene.server, Counter::TcpPassiveOpens);
    for _ in 0..5_000 {
        let tcp = Tcp {
            source_port: random.next_u16() | 1024,
            destination_port: PORT,
            seq: random.next_u32(),
            ack: random.next_u32(),
            flags: wire::ACK,
            window: 1000,
            ..Tcp::default()
        };
        let packet = Ip::new(ATTACKER, SERVER, wire::TCP).packet(&tcp.segment(ATTACKER, SERVER, &[]));
        scene.robot.send(&mut scene.world, mac_of(2), &packet);
    }
    scene.assert_alive();
    assert_eq!(scene.world.count_of(scene.server, Counter::TcpPassiveOpens), opened);
}

#[test]
fn a_flood_of_fragments_does_not_stop_honest_ones_for_long() {
    // Bounds in `limits`, RFC 1858, RFC 3128 and the 30 s after which nothing of the flood is left.
    let mut scene = Scene::new();
    let mut random = Random::from_seed(5);
    for identification in 0..20_000u16 {
        let header = Ip { identification, fragment: 0x2000, ..Ip::new(ATTACKER, SERVER, wire::UDP) };
        let mut data = vec![0; 1400];
        random.fill(&mut data);
        scene.robot.send(&mut scene.world, mac_of(2), &header.packet(&data));
    }
    scene.assert_alive();
    let heard = Rc::new(RefCell::new(0));
    let socket = UdpSocket::bind(&scene.world.net(scene.server), ([0, 0, 0, 0], 9).into()).unwrap();
    let (count, client) =
        (heard.clone(), UdpSocket::bind(&scene.world.net(scene.client), ([0, 0, 0, 0], 0).into()).unwrap());
    scene.world.net(scene.server).spawn(async move {
        loop {
            assert_eq!(socket.recv().await.unwrap().len(), 4_000);
            *count.borrow_mut() += 1;
        }
    });
    scene.listen(Duration::from_secs(31));
    client.send_to(vec![1; 4_000].into(), SocketAddr::from((SERVER, 9))).unwrap();
    scene.listen(Duration::from_secs(1));
    assert_eq!(*heard.borrow(), 1);
}

#[test]
fn errors_about_a_flood_are_rationed() {
    // RFC 1812 §4.3.2.8.
    let mut scene = Scene::new();
    for port in 0..5_000 {
        let packet =
            Ip::new(ATTACKER, SERVER, wire::UDP).packet(&wire::udp((ATTACKER, 4), (SERVER, 10_000 + port), b"?"));
        scene.robot.send(&mut scene.world, mac_of(2), &packet);
    }
    scene.robot.heard.clear();
    scene.listen(Duration::from_millis(500));
    let told = scene.robot.take(wire::ICMP).len();
    assert!((1..=600).contains(&told), "{told} errors for 5,000 datagrams");
    assert!(scene.world.count_of(scene.server, Counter::IcmpOutRateLimited) > 4_000);
    scene.assert_alive();
}
