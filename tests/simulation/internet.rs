//! UDP, ICMP and path MTU across routers.

use crate::plan::routed;
use crate::sim::robot::Robot;
use crate::sim::seeds::for_all_seeds;
use crate::sim::wire::{self, Ip};
use crate::sim::{self, HostId, World, stream};
use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use tapstack::base::counters::Counter;
use tapstack::base::time::Duration;
use tapstack::datalink::InterfaceId;
use tapstack::physical::cable::Faults;
use tapstack::session::clock::within;
use tapstack::session::tcp::{TcpListener, TcpStream};
use tapstack::session::udp::UdpSocket;
use tapstack::stack::config::RouteConfig;

const LEFT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// left - router - right.
fn three(left_mtu: u16, right_mtu: u16, faults: &Faults, seed: u64) -> (World, [HostId; 3]) {
    let mut world = World::new(None);
    let hosts = routed(left_mtu, right_mtu).map(|config| world.add(config, seed));
    let [left, router, right] = hosts;
    world.connect(left.plug(0), router.plug(0), faults, seed);
    world.connect(router.plug(1), right.plug(0), faults, seed + 1);
    (world, hosts)
}

fn echo_udp(world: &World, host: HostId) {
    let socket = UdpSocket::bind(&world.net(host), ([0, 0, 0, 0], 7).into()).unwrap();
    world.net(host).spawn(async move {
        loop {
            let received = socket.receive().await.unwrap();
            socket.reply(received.data.clone(), &received).unwrap();
        }
    });
}

#[test]
fn datagrams_of_every_size_are_echoed_through_a_router() {
    // RFC 768, RFC 791 §3.2: 65,507 bytes are the largest, in 45 fragments and then some more.
    let (mut world, [left, router, right]) = three(1500, 576, &Faults::default(), 1);
    echo_udp(&world, right);
    let sizes = [0, 1, 100, 548, 549, 1472, 1473, 8000, 32_000, 65_507];
    let (net, done) = (world.net(left), Rc::new(RefCell::new(false)));
    let end = done.clone();
    net.clone().spawn(async move {
        let socket = UdpSocket::bind(&net, ([0, 0, 0, 0], 0).into()).unwrap();
        for size in sizes {
            let sent = stream::bytes(size as u64, 0, size);
            socket.send_to(sent.clone(), SocketAddr::from((RIGHT, 7))).unwrap();
            let (heard, from) = within(&net, Duration::from_secs(5), socket.recv_from()).await.unwrap().unwrap();
            assert_eq!(from, SocketAddr::from((RIGHT, 7)));
            assert_eq!(heard, sent, "{size} bytes");
        }
        *end.borrow_mut() = true;
    });
    assert!(world.run_until(Duration::from_secs(100), |_| *done.borrow()));
    assert!(world.count_of(router, Counter::IpFragCreates) > 200, "the router cuts for the smaller link");
    assert!(world.count_of(right, Counter::IpReasmOKs) >= 6);
}

#[test]
fn what_is_lost_of_a_fragmented_datagram_is_asked_for_again_by_whoever_cares() {
    for_all_seeds("simulation", "what_is_lost_of", 200, |seed, _| {
        let line =
            Faults { loss: 0.05, duplicate: 0.03, reorder: 0.05, delay: Duration::from_millis(5), ..Faults::default() };
        let (mut world, [left, _, right]) = three(1500, 1006, &line, seed);
        echo_udp(&world, right);
        let (net, done) = (world.net(left), Rc::new(RefCell::new(0)));
        let end = done.clone();
        net.clone().spawn(async move {
            let socket = UdpSocket::bind(&net, ([0, 0, 0, 0], 0).into()).unwrap();
            socket.connect(SocketAddr::from((RIGHT, 7))).unwrap();
            for number in 0..20u64 {
                let sent = stream::bytes(seed ^ number, 0, (number * 211) as usize);
                let mut heard = None;
                while heard.as_ref() != Some(&sent) {
                    // Twice the same or an old one: what UDP promises is that nothing damaged arrives.
                    socket.send(sent.clone()).unwrap();
                    heard = within(&net, Duration::from_millis(200), socket.recv()).await.ok().and_then(Result::ok);
                    if let Some(heard) = &heard {
                        let known =
                            (0..=number).any(|old| *heard == stream::bytes(seed ^ old, 0, (old * 211) as usize));
                        assert!(known, "a datagram nobody sent");
                    }
                }
                *end.borrow_mut() += 1;
            }
        });
        assert!(world.run_until(Duration::from_secs(3600), |_| *done.borrow() == 20), "{done:?}");
    });
}

/// A robot left of the router, which knows the router's station.
fn robot_and_router(left_mtu: u16, right_mtu: u16) -> (World, Robot, HostId, HostId) {
    let mut world = World::new(None);
    let [_, router, right] = routed(left_mtu, right_mtu);
    let (router, right) = (world.add(router, 1), world.add(right, 2));
    world.connect(router.plug(1), right.plug(0), &Faults::default(), 1);
    let mut robot = Robot::new(&mut world, LEFT, &[router.plug(0)]);
    robot.listen(&mut world, Duration::from_secs(5));
    robot.heard.clear();
    (world, robot, router, right)
}

fn router_mac() -> tapstack::datalink::Mac {
    sim::mac("192.0.2.0", 0, 7)
}

#[test]
fn pings_of_every_size_come_back_through_a_router() {
    // RFC 1122 §3.2.2.6 (what was sent is returned), RFC 1812 §5.
    let (mut world, mut robot, ..) = robot_and_router(1500, 576);
    for size in [0, 1, 56, 1472, 1473, 8000, 65_507] {
        let data = stream::bytes(9, 0, size);
        let message = wire::icmp(8, 0, [0, 77, 0, size as u8], &data);
        for (index, piece) in message.chunks(1480).enumerate() {
            let more = if (index + 1) * 1480 < message.len() { 0x2000 } else { 0 };
            let fragment = more | (index * 1480 / 8) as u16;
            let header = Ip { identification: size as u16, fragment, ..Ip::new(LEFT, RIGHT, wire::ICMP) };
            robot.send(&mut world, router_mac(), &header.packet(piece));
        }
        robot.listen(&mut world, Duration::from_secs(2));
        let replies = robot.take_joined(wire::ICMP);
        assert_eq!(replies.len(), 1, "{size} bytes");
        assert_eq!(replies[0][..2], [0, 0]);
        assert_eq!(wire::checksum(&[&replies[0]]), 0);
        assert_eq!(replies[0][4..8], message[4..8]);
        assert_eq!(replies[0][8..], data[..]);
    }
}

#[test]
fn a_hop_limit_that_runs_out_is_reported_by_the_router() {
    // RFC 1812 §5.3.1, §4.3.2.3: the near address of the router, quoting what was sent.
    let (mut world, mut robot, ..) = robot_and_router(1500, 1500);
    let packet = Ip { ttl: 1, ..Ip::new(LEFT, RIGHT, wire::UDP) }.packet(&wire::udp(
        (LEFT, 1),
        (RIGHT, 33_434),
        b"who is there?",
    ));
    robot.send(&mut world, router_mac(), &packet);
    robot.listen(&mut world, Duration::from_secs(1));
    let errors = robot.take(wire::ICMP);
    assert_eq!(errors.len(), 1);
    let (from, message) = &errors[0];
    assert_eq!(*from, ROUTER);
    assert_eq!(message[..2], [11, 0]);
    assert_eq!(message[8 + 12..8 + 20], packet[12..20]);
    assert_eq!(message[8 + 20..], packet[20..]);
}

#[test]
fn a_closed_udp_port_says_so_across_a_router() {
    let (mut world, [left, ..]) = three(1500, 1500, &Faults::default(), 1);
    let (net, seen) = (world.net(left), Rc::new(RefCell::new(None)));
    let end = seen.clone();
    net.clone().spawn(async move {
        let socket = UdpSocket::bind(&net, ([0, 0, 0, 0], 0).into()).unwrap();
        socket.connect(SocketAddr::from((RIGHT, 9))).unwrap();
        socket.send("hello?".into()).unwrap();
        *end.borrow_mut() = Some(socket.recv().await.unwrap_err().kind());
    });
    world.run_for(Duration::from_secs(5));
    assert_eq!(*seen.borrow(), Some(io::ErrorKind::ConnectionRefused));
}

#[test]
fn a_host_that_is_not_there_is_reported_by_the_last_router() {
    // RFC 1812 §5.2.7.1: host unreachable, when ARP gave up.
    let (mut world, mut robot, ..) = robot_and_router(1500, 1500);
    let nobody = Ipv4Addr::new(198, 51, 100, 99);
    let packet = Ip::new(LEFT, nobody, wire::UDP).packet(&wire::udp((LEFT, 1), (nobody, 9), b"hello?"));
    robot.send(&mut world, router_mac(), &packet);
    robot.listen(&mut world, Duration::from_secs(20));
    let errors = robot.take(wire::ICMP);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].0, ROUTER);
    assert_eq!(errors[0].1[..2], [3, 1]);
    assert_eq!(errors[0].1[8 + 20..], packet[20..]);
}

/// left (1500) - router - (`narrow`) - router - right (1500): neither end can know.
fn narrow_middle(narrow: u16) -> (World, [HostId; 4]) {
    let mut world = World::new(None);
    let any = "0.0.0.0/0".parse().unwrap();
    let route = |via: [u8; 4], interface| RouteConfig {
        to: any,
        via: Some(via.into()),
        interface: InterfaceId(interface),
        metric: 1,
    };
    let mut left = sim::host(1);
    left.routes = vec![route([192, 0, 2, 7], 0)];
    let mut near = sim::host(7);
    near.interfaces.push(sim::interface("eth1", 1, 1, "203.0.113.0"));
    near.interfaces[1].mtu = narrow;
    near.routes = vec![route([203, 0, 113, 2], 1)];
    near.forwarding = true;
    let mut far = sim::host(7);
    far.interfaces = vec![sim::interface("eth0", 0, 7, "198.51.100.0"), sim::interface("eth1", 1, 2, "203.0.113.0")];
    far.interfaces[1].mtu = narrow;
    far.routes = vec![route([203, 0, 113, 1], 1)];
    far.forwarding = true;
    let mut right = sim::host(1);
    right.interfaces = vec![sim::interface("eth0", 0, 1, "198.51.100.0")];
    right.routes = vec![route([198, 51, 100, 7], 0)];
    let hosts = [left, near, far, right].map(|config| world.add(config, 5));
    let [left, near, far, right] = hosts;
    let line = Faults { delay: Duration::from_millis(5), ..Faults::default() };
    world.connect(left.plug(0), near.plug(0), &line, 1);
    world.connect(near.plug(1), far.plug(1), &line, 2);
    world.connect(far.plug(0), right.plug(0), &line, 3);
    (world, hosts)
}

#[test]
fn tcp_finds_the_narrow_link_in_the_middle() {
    // RFC 1191, RFC 9293 MUST-69: both ends believe in 1500.
    for narrow in [1280, 576, 296] {
        let (mut world, [left, near, far, right]) = narrow_middle(narrow);
        let listener = TcpListener::bind(&world.net(right), SocketAddr::from((RIGHT, 80))).unwrap();
        world.net(right).spawn(async move {
            let mut stream = listener.accept().await.unwrap();
            loop {
                let bytes = stream.read_bytes(10_000).await.unwrap();
                if bytes.is_empty() {
                    break;
                }
                stream.write_bytes(bytes).await.unwrap();
            }
        });
        let (net, done) = (world.net(left), Rc::new(RefCell::new(None)));
        let end = done.clone();
        net.clone().spawn(async move {
            let stream = TcpStream::connect(&net, SocketAddr::from((RIGHT, 80))).await.unwrap();
            let (mut read, mut write) = stream.into_split();
            net.spawn(async move {
                write.write_bytes(stream::bytes(1, 0, 300_000)).await.unwrap();
                write.shutdown_write();
            });
            let mut so_far = 0;
            loop {
                let bytes = read.read_bytes(10_000).await.unwrap();
                if bytes.is_empty() {
                    break;
                }
                stream::check(1, so_far, &bytes);
                so_far += bytes.len() as u64;
            }
            *end.borrow_mut() = Some(so_far);
        });
        world.run_until(Duration::from_secs(60), |_| done.borrow().is_some());
        assert_eq!(*done.borrow(), Some(300_000), "{narrow}");
        for router in [near, far] {
            assert_eq!(world.count_of(router, Counter::IpFragCreates), 0, "TCP is never fragmented");
            let told = world.count_of(router, Counter::IcmpOutMsgs);
            assert!((1..=60).contains(&told), "{told} errors told by a router");
        }
        assert!(world.count_of(left, Counter::TcpTimeouts) <= 1, "what was too big is sent again at once");
        world.assert_all_freed();
    }
}
