//! ARP, address conflicts, broadcast and multicast as they look on the wire.

use crate::sim::robot::Robot;
use crate::sim::wire::{self, Ip};
use crate::sim::{self, HostId, World};
use bytes::Bytes;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use tapstack::base::counters::Counter;
use tapstack::base::time::Duration;
use tapstack::datalink::{InterfaceId, Mac};
use tapstack::physical::cable::Faults;
use tapstack::session::udp::UdpSocket;
use tapstack::stack::config::RouteConfig;

const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ROBOT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);

fn host_mac() -> Mac {
    sim::mac("192.0.2.0", 0, 1)
}

/// A host with a robot beside it.
fn host_and_robot() -> (World, HostId, Robot) {
    let mut world = World::new(None);
    let host = world.add(sim::host(1), 1);
    let robot = Robot::new(&mut world, ROBOT, &[host.plug(0)]);
    (world, host, robot)
}

fn heard_by(world: &World, host: HostId, local: SocketAddr, group: Option<Ipv4Addr>) -> Rc<RefCell<Vec<Bytes>>> {
    let (socket, heard) = (UdpSocket::bind(&world.net(host), local).unwrap(), Rc::new(RefCell::new(Vec::new())));
    if let Some(group) = group {
        socket.join_group(IpAddr::V4(group), InterfaceId(0)).unwrap();
    }
    let into = heard.clone();
    world.net(host).spawn(async move {
        loop {
            let data = socket.recv().await.unwrap();
            into.borrow_mut().push(data);
        }
    });
    heard
}

#[test]
fn packets_wait_for_arp_even_if_questions_and_answers_get_lost() {
    // RFC 1122 §2.3.2.2, RFC 4861 §7.2.2: the queue keeps the latest, asked again each second.
    let mut world = World::new(None);
    let (from, to) = (world.add(sim::host(1), 1), world.add(sim::host(2), 2));
    let line = Faults { delay: Duration::from_millis(1), ..Faults::default() };
    world.connect(from.plug(0), to.plug(0), &line, 1);
    let heard = heard_by(&world, to, ([0, 0, 0, 0], 9).into(), None);
    let socket = UdpSocket::bind(&world.net(from), ([0, 0, 0, 0], 0).into()).unwrap();
    // The first question gets lost.
    world.run_for(Duration::from_secs(10));
    world.set_faults(&Faults { loss: 1.0, ..line.clone() });
    for number in 0..10u8 {
        socket.send_to(vec![number].into(), ([192, 0, 2, 2], 9).into()).unwrap();
    }
    world.run_for(Duration::from_millis(500));
    world.set_faults(&line);
    assert!(heard.borrow().is_empty());
    world.run_for(Duration::from_secs(2));
    assert_eq!(*heard.borrow(), (0..10u8).map(|number| Bytes::from(vec![number])).collect::<Vec<_>>());
    assert!(world.count_of(from, Counter::ArpRequestsSent) >= 2);
}

#[test]
fn an_address_is_announced_and_questions_for_it_are_answered() {
    // RFC 826, RFC 5227 §2.3.
    let (mut world, _, mut robot) = host_and_robot();
    robot.listen(&mut world, Duration::from_secs(5));
    let announced = wire::arp(1, (host_mac(), HOST), (Mac::default(), HOST));
    let announcements = robot.heard.iter().filter(|frame| frame[14..] == announced[..]).count();
    assert_eq!(announcements, 2);
    robot.heard.clear();
    robot.send_arp(&mut world, Mac::BROADCAST, &wire::arp(1, (robot.mac, ROBOT), (Mac::default(), HOST)));
    robot.listen(&mut world, Duration::from_millis(10));
    let answer = wire::arp(2, (host_mac(), HOST), (robot.mac, ROBOT));
    assert_eq!(robot.heard.len(), 1);
    assert_eq!(robot.heard[0][..6], robot.mac.0);
    assert_eq!(robot.heard[0][14..], answer[..]);
}

#[test]
fn two_hosts_with_one_address_find_out_before_they_use_it() {
    // RFC 5227 §2.1: the second one gets an answer to its probes.
    let mut world = World::new(None);
    let mut config = sim::host(1);
    config.interfaces[0].probe = true;
    let first = world.add(config.clone(), 1);
    world.run_for(Duration::from_secs(1));
    assert!(!world.stack(first, |stack| stack.has_address(IpAddr::V4(HOST))), "it asks first");
    world.run_for(Duration::from_secs(10));
    assert!(world.stack(first, |stack| stack.has_address(IpAddr::V4(HOST))));
    config.interfaces[0].mac = Mac([2, 0, 0, 0, 0, 99]);
    let second = world.add(config, 2);
    world.connect(first.plug(0), second.plug(0), &Faults::default(), 1);
    world.run_for(Duration::from_secs(20));
    assert!(world.stack(first, |stack| stack.has_address(IpAddr::V4(HOST))));
    assert!(!world.stack(second, |stack| stack.has_address(IpAddr::V4(HOST))), "it was taken");
    assert!(world.count_of(second, Counter::ArpConflicts) > 0);
}

#[test]
fn an_address_somebody_else_claims_is_defended_and_kept() {
    // RFC 5227 §2.4 (c).
    let (mut world, host, mut robot) = host_and_robot();
    robot.listen(&mut world, Duration::from_secs(10));
    robot.heard.clear();
    for _ in 0..20 {
        robot.send_arp(&mut world, Mac::BROADCAST, &wire::arp(1, (robot.mac, HOST), (Mac::default(), HOST)));
        robot.listen(&mut world, Duration::from_secs(1));
    }
    let announced = wire::arp(1, (host_mac(), HOST), (Mac::default(), HOST));
    let defences = robot.heard.iter().filter(|frame| frame[14..] == announced[..]).count();
    assert!((1..=3).contains(&defences), "{defences} defences in 20 s: at most one in ten seconds");
    assert!(world.stack(host, |stack| stack.has_address(IpAddr::V4(HOST))));
}

#[test]
fn strangers_leave_no_trace_in_the_neighbour_table() {
    let (mut world, host, robot) = host_and_robot();
    for last in 60..200 {
        let stranger = (Mac([2, 9, 9, 9, 9, last]), Ipv4Addr::new(192, 0, 2, last));
        // Unsolicited replies, announcements, and questions for somebody else.
        for (operation, target) in [(2, HOST), (1, stranger.1), (2, stranger.1), (1, Ipv4Addr::new(192, 0, 2, 33))] {
            robot.send_arp(&mut world, Mac::BROADCAST, &wire::arp(operation, stranger, (Mac::default(), target)));
        }
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.stack(host, |stack| stack.show_neighbours().len()), 0);
}

/// The IGMP messages among what was heard: whole IP packets.
fn igmp(robot: &mut Robot) -> Vec<Bytes> {
    let heard = std::mem::take(&mut robot.heard);
    heard.into_iter().filter(|frame| wire::parse(frame).is_some_and(|found| found.2 == wire::IGMP)).collect()
}

#[test]
fn joining_answering_and_leaving_a_group_look_right_on_the_wire() {
    // RFC 3376 §4.2, §5.1, §5.2: version 3 reports to 224.0.0.22 with Router Alert and TTL 1.
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let (mut world, host, mut robot) = host_and_robot();
    robot.listen(&mut world, Duration::from_secs(5));
    robot.heard.clear();
    let socket = UdpSocket::bind(&world.net(host), ([0, 0, 0, 0], 5353).into()).unwrap();
    socket.join_group(IpAddr::V4(group), InterfaceId(0)).unwrap();
    robot.listen(&mut world, Duration::from_secs(5));
    let reports = igmp(&mut robot);
    assert!(!reports.is_empty());
    for report in &reports {
        assert_eq!(report[..6], [1, 0, 0x5e, 0, 0, 22]);
        assert_eq!(report[14], 0x46, "a header with one option");
        assert_eq!(report[22], 1, "TTL");
        assert_eq!(report[30..34], [224, 0, 0, 22]);
        assert_eq!(report[34..38], [0x94, 4, 0, 0], "Router Alert");
        assert_eq!(wire::checksum(&[&report[38..]]), 0);
        assert_eq!(report[38], 0x22, "a version 3 report");
        assert_eq!(report[46], 4, "a change to exclude mode");
        assert_eq!(report[50..54], group.octets());
    }
    // A general query is answered within its maximum response time: 10 s.
    let query = wire::icmp(0x11, 100, [0, 0, 0, 0], &[2, 20, 0, 0]);
    let all = Ipv4Addr::new(224, 0, 0, 1);
    let packet = Ip { ttl: 1, options: &[0x94, 4, 0, 0], ..Ip::new(ROBOT, all, wire::IGMP) }.packet(&query);
    robot.send(&mut world, Mac([1, 0, 0x5e, 0, 0, 1]), &packet);
    robot.listen(&mut world, Duration::from_secs(11));
    let answers = igmp(&mut robot);
    assert_eq!(answers.len(), 1, "one answer");
    assert_eq!(answers[0][46], 2, "current state: exclude mode");
    socket.leave_group(IpAddr::V4(group), InterfaceId(0)).unwrap();
    robot.listen(&mut world, Duration::from_secs(5));
    let leaves = igmp(&mut robot);
    assert!(!leaves.is_empty());
    assert_eq!(leaves[0][46], 3, "a change to include mode of nobody");
}

#[test]
fn groups_and_broadcasts_reach_their_members_only() {
    // RFC 1122 §4.1.3, RFC 1112 §7.2.
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let mut world = World::new(None);
    let [from, member, other] = [1, 2, 4].map(|last| {
        let mut config = sim::host(last);
        let groups = "224.0.0.0/4".parse().unwrap();
        config.routes = vec![RouteConfig { to: groups, via: None, interface: InterfaceId(0), metric: 1 }];
        world.add(config, u64::from(last))
    });
    for (a, b) in [(from, member), (from, other), (member, other)] {
        world.connect(a.plug(0), b.plug(0), &Faults::default(), 1);
    }
    let any = SocketAddr::from(([0, 0, 0, 0], 5353));
    let in_group = heard_by(&world, member, any, Some(group));
    let not_in_group = heard_by(&world, other, any, None);
    let socket = UdpSocket::bind(&world.net(from), any).unwrap();
    let _ = socket.join_group(IpAddr::V4(group), InterfaceId(0));
    world.run_for(Duration::from_secs(1));
    socket.send_to("to the group".into(), (group, 5353).into()).unwrap();
    socket.send_to("to all".into(), ([192, 0, 2, 255], 5353).into()).unwrap();
    world.run_for(Duration::from_secs(1));
    assert_eq!(*in_group.borrow(), ["to the group", "to all"]);
    assert_eq!(*not_in_group.borrow(), ["to all"]);
}
