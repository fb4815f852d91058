//! The behaviour of the table of UDP sockets, on packets built by hand.

use super::*;
use crate::base::checksum::Sum;
use crate::base::counters::Counters;
use crate::base::time::Instant;
use crate::network::packet::{Paths, protocol};
use crate::physical::frame::ReceivedChecksum;
use proptest::prelude::*;

const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const LAN: InterfaceId = InterfaceId(0);
const WAN: InterfaceId = InterfaceId(1);

struct OneLan;

impl Paths for OneLan {
    fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        (destination != IpAddr::from([198, 51, 100, 1])).then_some(OURS.into())
    }
    fn mtu_to(&self, _destination: IpAddr) -> u16 {
        1500
    }
    fn is_local(&self, address: IpAddr) -> bool {
        address == IpAddr::V4(OURS)
    }
}

struct World {
    udp: Udp,
    random: Random,
    counters: Counters,
}

impl World {
    fn new() -> Self {
        let mut random = Random::from_seed(1);
        World { udp: Udp::new(&mut random), random, counters: Counters::default() }
    }

    fn call<R>(&mut self, call: impl FnOnce(&mut Udp, &mut Context<'_>) -> R) -> R {
        let World { udp, random, counters } = self;
        call(udp, &mut Context { now: Instant::ZERO, random, counters, paths: &OneLan, may_refuse: true })
    }

    fn bind(&mut self, local: impl Into<SocketAddr>) -> UdpId {
        let local = local.into();
        self.call(|udp, cx| udp.bind(local, cx)).unwrap()
    }

    fn connected(&mut self) -> UdpId {
        let id = self.bind((OURS, 1000));
        self.call(|udp, cx| udp.connect(id, (PEER, 53).into(), cx)).unwrap();
        id
    }

    fn receive(&mut self, packet: &Packet) -> Outcome {
        self.call(|udp, cx| udp.receive(packet, cx))
    }

    fn send(&mut self, id: UdpId, data: &[u8]) -> Result<(), Error> {
        let data = Bytes::copy_from_slice(data);
        self.call(|udp, cx| udp.send(id, data, cx))
    }

    fn transmit(&mut self) -> Option<Datagram> {
        self.call(|udp, cx| udp.poll_transmit(cx))
    }

    fn path_error(&mut self, kind: PathErrorKind, ports: (u16, u16), length: u16) -> Outcome {
        let quote = [ports.0, ports.1, length, 0].map(u16::to_be_bytes).concat().into();
        let error = PathError {
            kind,
            local: OURS.into(),
            remote: PEER.into(),
            protocol: protocol::UDP,
            quote,
            reporter: PEER.into(),
        };
        self.call(|udp, cx| udp.handle_path_error(&error, cx))
    }

    fn read(&mut self, id: UdpId) -> Option<Received> {
        self.udp.recv_from(id).unwrap()
    }
}

/// What the device does on the way out.
fn complete(datagram: &Datagram) -> Bytes {
    let mut bytes = datagram.header.to_vec();
    datagram.body.iter().for_each(|part| bytes.extend_from_slice(part));
    let checksum = match Sum::ZERO.add_bytes(&bytes).checksum() {
        0 => 0xffff,
        checksum => checksum,
    };
    bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
    bytes.into()
}

fn packet(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), data: &[u8]) -> Packet {
    let datagram = datagram::emit(from.into(), to.into(), Bytes::copy_from_slice(data)).unwrap();
    let cast = match to.0 {
        address if address.is_multicast() => Cast::Multicast,
        address if address.octets()[3] == 255 => Cast::Broadcast,
        _ => Cast::Unicast,
    };
    Packet {
        source: datagram.source,
        destination: datagram.destination,
        protocol: protocol::UDP,
        hop_limit: 61,
        traffic_class: 0,
        cast,
        payload: complete(&datagram),
        datagram: Bytes::new(),
        checksum: ReceivedChecksum::Unverified,
        segment_size: None,
        interface: LAN,
    }
}

fn altered(packet: &Packet, change: impl FnOnce(&mut Vec<u8>)) -> Packet {
    let mut bytes = packet.payload.to_vec();
    change(&mut bytes);
    Packet { payload: bytes.into(), ..packet.clone() }
}

const MALFORMED: Outcome = Outcome::Dropped(DropReason::UdpMalformed);
const BAD_CHECKSUM: Outcome = Outcome::Dropped(DropReason::UdpChecksum);
const NO_PORT: Outcome = Outcome::Dropped(DropReason::UdpNoPort);
const NOT_IN_FLIGHT: Outcome = Outcome::Dropped(DropReason::IcmpNotInFlight);

#[test]
fn a_datagram_reaches_the_socket_with_all_that_is_known_of_it() {
    let mut world = World::new();
    let id = world.bind((Ipv4Addr::UNSPECIFIED, 53));
    assert_eq!(world.receive(&packet((PEER, 999), (OURS, 53), b"question")), Outcome::Delivered);
    let received = world.read(id).unwrap();
    assert_eq!(received.data, "question");
    // RFC 1122 §4.1.3.5: the application learns the source, and the address it was sent to.
    assert_eq!((received.source, received.destination), ((PEER, 999).into(), (OURS, 53).into()));
    assert_eq!((received.interface, received.hop_limit), (LAN, 61));
    assert_eq!(world.read(id), None);
}

#[test]
fn a_datagram_to_a_port_without_socket_is_dropped_for_that_reason() {
    let mut world = World::new();
    world.bind((OURS, 53));
    assert_eq!(world.receive(&packet((PEER, 999), (OURS, 54), b"x")), NO_PORT);
}

#[test]
fn lengths_that_disagree_with_the_packet_are_malformed() {
    let mut world = World::new();
    world.bind((OURS, 53));
    let good = packet((PEER, 999), (OURS, 53), b"abcd");
    assert_eq!(world.receive(&altered(&good, |bytes| bytes.truncate(7))), MALFORMED);
    assert_eq!(world.receive(&altered(&good, |bytes| bytes.truncate(11))), MALFORMED);
    assert_eq!(world.receive(&altered(&good, |bytes| bytes[5] = 7)), MALFORMED);
    assert_eq!(world.receive(&altered(&good, |bytes| bytes[5] = 13)), MALFORMED);
}

#[test]
fn padding_after_the_datagram_is_no_part_of_it() {
    let mut world = World::new();
    let id = world.bind((OURS, 53));
    let good = packet((PEER, 999), (OURS, 53), b"abc");
    assert_eq!(world.receive(&altered(&good, |bytes| bytes.extend([0xaa; 15]))), Outcome::Delivered);
    assert_eq!(world.read(id).unwrap().data, "abc");
}

#[test]
fn a_wrong_checksum_drops_and_no_checksum_is_accepted_over_ipv4() {
    let mut world = World::new();
    world.bind((OURS, 53));
    let good = packet((PEER, 999), (OURS, 53), b"abc");
    let wrong = altered(&good, |bytes| bytes[8] ^= 1);
    assert_eq!(world.receive(&wrong), BAD_CHECKSUM);
    // RFC 1122 §4.1.3.4: a received zero means that the sender made none.
    assert_eq!(world.receive(&altered(&wrong, |bytes| bytes[6..8].fill(0))), Outcome::Delivered);
    let vouched = Packet { checksum: ReceivedChecksum::Vouched, ..wrong };
    assert_eq!(world.receive(&vouched), Outcome::Delivered);
}

#[test]
fn a_checksum_that_comes_out_as_zero_is_sent_and_accepted_as_all_ones() {
    let mut world = World::new();
    let id = world.bind((OURS, 53));
    let all_ones = (0..=u16::MAX)
        .map(|word| packet((PEER, 999), (OURS, 53), &word.to_be_bytes()))
        .find(|packet| packet.payload[6..8] == [0xff, 0xff])
        .unwrap();
    assert_eq!(world.receive(&all_ones), Outcome::Delivered);
    assert!(world.read(id).is_some());
}

#[test]
fn over_ipv6_a_datagram_without_checksum_is_dropped() {
    // RFC 8200 §8.1.
    let mut world = World::new();
    world.bind((OURS, 53));
    let mut without = altered(&packet((PEER, 999), (OURS, 53), b"abc"), |bytes| bytes[6..8].fill(0));
    without.source = "2001:db8::1".parse().unwrap();
    without.destination = "2001:db8::2".parse().unwrap();
    assert_eq!(world.receive(&without), BAD_CHECKSUM);
}

#[test]
fn a_source_that_is_a_group_is_dropped() {
    // RFC 1122 §4.1.3.6.
    let mut world = World::new();
    world.bind((OURS, 53));
    let outcome = world.receive(&packet((GROUP, 999), (OURS, 53), b"x"));
    assert_eq!(outcome, Outcome::Dropped(DropReason::MartianSource));
}

#[test]
fn a_port_can_be_bound_once_an_address() {
    let mut world = World::new();
    let id = world.bind((OURS, 53));
    let bind = |world: &mut World, local: (Ipv4Addr, u16)| world.call(|udp, cx| udp.bind(local.into(), cx));
    assert_eq!(bind(&mut world, (OURS, 53)), Err(BindError::AddrInUse));
    assert_eq!(bind(&mut world, (Ipv4Addr::UNSPECIFIED, 53)), Err(BindError::AddrInUse));
    assert_eq!(bind(&mut world, (PEER, 54)), Err(BindError::AddrNotAvailable));
    assert!(bind(&mut world, (OURS, 54)).is_ok());
    world.udp.close(id);
    assert!(bind(&mut world, (Ipv4Addr::UNSPECIFIED, 53)).is_ok());
}

#[test]
fn port_zero_gets_a_free_dynamic_port() {
    let mut world = World::new();
    let ids: Vec<_> = (0..500).map(|_| world.bind((OURS, 0))).collect();
    let ports: std::collections::BTreeSet<_> = ids.iter().map(|id| world.udp.local_addr(*id).unwrap().port()).collect();
    assert_eq!(ports.len(), 500);
    assert!(ports.iter().all(|port| crate::transport::ports::DYNAMIC.contains(port)));
}

#[test]
fn a_closed_socket_is_an_error_everywhere_and_hears_nothing() {
    let mut world = World::new();
    let id = world.connected();
    world.send(id, b"farewell").unwrap();
    world.udp.close(id);
    assert_eq!(world.udp.recv_from(id), Err(Error::Closed));
    assert_eq!(world.send(id, b"x"), Err(Error::Closed));
    assert_eq!(world.udp.local_addr(id), Err(Error::Closed));
    // What was sent before still leaves.
    assert_eq!(world.transmit().unwrap().body[0], "farewell");
    assert!(world.transmit().is_none());
    let newer = world.bind((OURS, 1000));
    assert_ne!(newer, id);
    assert_eq!(world.udp.recv_from(id), Err(Error::Closed));
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    let mut world = World::new();
    let id = world.connected();
    assert_eq!(world.receive(&packet((PEER, 54), (OURS, 1000), b"x")), NO_PORT);
    assert_eq!(world.receive(&packet((PEER, 53), (OURS, 1000), b"x")), Outcome::Delivered);
    world.udp.disconnect(id).unwrap();
    assert_eq!(world.receive(&packet((PEER, 54), (OURS, 1000), b"x")), Outcome::Delivered);
}

#[test]
fn of_shared_sockets_the_one_that_fits_best_gets_a_unicast_datagram() {
    let mut world = World::new();
    let shared =
        |world: &mut World, local: (Ipv4Addr, u16)| world.call(|udp, cx| udp.bind_shared(local.into(), cx)).unwrap();
    let any = shared(&mut world, (Ipv4Addr::UNSPECIFIED, 67));
    let specific = shared(&mut world, (OURS, 67));
    let connected = shared(&mut world, (OURS, 67));
    world.call(|udp, cx| udp.connect(connected, (PEER, 68).into(), cx)).unwrap();
    world.receive(&packet((PEER, 68), (OURS, 67), b"for the connected"));
    world.receive(&packet((PEER, 69), (OURS, 67), b"for the specific"));
    assert_eq!(world.read(connected).unwrap().data, "for the connected");
    assert_eq!(world.read(specific).unwrap().data, "for the specific");
    assert_eq!(world.read(any), None);
    assert_eq!(world.call(|udp, cx| udp.bind((OURS, 67).into(), cx)), Err(BindError::AddrInUse));
}

#[test]
fn a_broadcast_reaches_every_socket_on_all_addresses() {
    let mut world = World::new();
    let local = (Ipv4Addr::UNSPECIFIED, 67).into();
    let first = world.call(|udp, cx| udp.bind_shared(local, cx)).unwrap();
    let second = world.call(|udp, cx| udp.bind_shared(local, cx)).unwrap();
    let elsewhere = world.call(|udp, cx| udp.bind_shared(local, cx)).unwrap();
    world.udp.set_interface(elsewhere, Some(WAN)).unwrap();
    assert_eq!(world.receive(&packet((PEER, 68), (Ipv4Addr::BROADCAST, 67), b"discover")), Outcome::Delivered);
    assert_eq!(world.read(first).unwrap().data, "discover");
    assert_eq!(world.read(second).unwrap().destination, (Ipv4Addr::BROADCAST, 67).into());
    assert_eq!(world.read(elsewhere), None);
    assert_eq!(world.receive(&packet((PEER, 68), (Ipv4Addr::BROADCAST, 69), b"x")), NO_PORT);
}

#[test]
fn a_group_reaches_the_sockets_that_joined_it_on_that_interface() {
    let mut world = World::new();
    let local = (Ipv4Addr::UNSPECIFIED, 5353).into();
    let [joined, other, stranger] = [(); 3].map(|()| world.call(|udp, cx| udp.bind_shared(local, cx)).unwrap());
    world.udp.join_group(joined, GROUP.into(), None).unwrap();
    world.udp.join_group(other, GROUP.into(), Some(WAN)).unwrap();
    assert_eq!(world.receive(&packet((PEER, 5353), (GROUP, 5353), b"hello")), Outcome::Delivered);
    assert!(world.read(joined).is_some());
    assert!(world.read(other).is_none() && world.read(stranger).is_none());
    world.udp.leave_group(joined, GROUP.into(), None).unwrap();
    assert_eq!(world.receive(&packet((PEER, 5353), (GROUP, 5353), b"hello")), NO_PORT);
}

#[test]
fn the_receive_queue_is_bounded_also_for_empty_datagrams() {
    let mut world = World::new();
    let id = world.bind((OURS, 9));
    let big = packet((PEER, 1), (OURS, 9), &[0; 10_000]);
    let empty = packet((PEER, 1), (OURS, 9), b"");
    for datagram in [big, empty] {
        let delivered = (0..5_000).filter(|_| world.receive(&datagram) == Outcome::Delivered).count();
        assert!(delivered > 50 && delivered <= limits::UDP_QUEUE_DATAGRAMS, "{delivered}");
        assert_eq!(world.receive(&datagram), Outcome::Dropped(DropReason::UdpQueueFull));
        assert_eq!(std::iter::from_fn(|| world.read(id)).count(), delivered);
    }
    assert_eq!(world.udp.sockets().map(|row| (row.receive_queue, row.drops > 0)).collect::<Vec<_>>(), [(0, true)]);
}

#[test]
fn a_train_is_delivered_as_its_datagrams() {
    let mut world = World::new();
    let id = world.bind((OURS, 9));
    let train = Packet { segment_size: Some(4), ..packet((PEER, 1), (OURS, 9), b"aaaabbbbcc") };
    world.receive(&train);
    let read: Vec<_> = std::iter::from_fn(|| world.read(id)).map(|received| received.data).collect();
    assert_eq!(read, ["aaaa", "bbbb", "cc"]);
}

/// What is pulled: the segment size, if any, and the payload.
fn pulled(world: &mut World) -> Vec<(Option<u16>, String)> {
    let shown = |datagram: Datagram| {
        let body: Vec<u8> = datagram.body.iter().flat_map(|part| part.to_vec()).collect();
        (datagram.segment_size, String::from_utf8(body).unwrap())
    };
    std::iter::from_fn(|| world.transmit()).map(shown).collect()
}

#[test]
fn datagrams_of_one_length_to_one_destination_leave_as_a_train() {
    let mut world = World::new();
    let id = world.connected();
    for data in ["aaaa", "bbbb", "cc", "dd", "eeee"] {
        world.send(id, data.as_bytes()).unwrap();
    }
    let expected = [(Some(4), "aaaabbbbcc".to_owned()), (None, "dd".to_owned()), (None, "eeee".to_owned())];
    assert_eq!(pulled(&mut world), expected);
    assert_eq!(world.counters.of(Counter::UdpOutDatagrams), 5);
}

#[test]
fn an_empty_datagram_travels_alone() {
    let mut world = World::new();
    let id = world.connected();
    for data in ["", "aa", "", "bb"] {
        world.send(id, data.as_bytes()).unwrap();
    }
    assert!(pulled(&mut world).iter().all(|(size, _)| size.is_none()));
}

#[test]
fn what_differs_in_anything_but_its_payload_travels_alone() {
    let mut world = World::new();
    let id = world.bind((OURS, 9));
    let to = |address: Ipv4Addr, port: u16| SocketAddr::from((address, port));
    let class = SendOptions { traffic_class: 0x2e << 2, ..SendOptions::default() };
    for (destination, options) in [
        (to(PEER, 1), SendOptions::default()),
        (to(PEER, 2), SendOptions::default()),
        (to(PEER, 2), class),
        (to(PEER, 1), SendOptions::default()),
    ] {
        world.call(|udp, cx| udp.send_with(id, Bytes::from_static(b"abcd"), destination, options, cx)).unwrap();
    }
    assert_eq!(pulled(&mut world).len(), 4);
}

#[test]
fn a_train_is_not_longer_than_a_packet_and_has_no_datagram_that_must_be_cut() {
    let mut world = World::new();
    let id = world.connected();
    for len in [1400; 100].into_iter().chain([4000; 3]) {
        world.send(id, &vec![b'x'; len]).unwrap();
    }
    let pulled = pulled(&mut world);
    assert_eq!(pulled.iter().map(|(_, body)| body.len()).sum::<usize>(), 100 * 1400 + 3 * 4000);
    assert!(pulled.iter().all(|(_, body)| body.len() <= 65_507));
    assert_eq!(pulled.iter().filter(|(size, _)| *size == Some(1400)).count(), 3);
    assert_eq!(pulled.iter().filter(|(size, body)| size.is_none() && body.len() == 4000).count(), 3);
}

#[test]
fn what_is_sent_has_the_form_of_rfc_768_and_is_accepted_by_ourselves() {
    let mut world = World::new();
    let id = world.connected();
    world.send(id, b"query").unwrap();
    let sent = world.transmit().unwrap();
    assert_eq!(sent.header[..6], [0x03, 0xe8, 0, 53, 0, 13]);
    assert_eq!((sent.checksum_offset, sent.dont_fragment, sent.hop_limit), (Some(6), false, 64));
    let echoed = Packet { payload: complete(&sent), ..packet((OURS, 1000), (PEER, 53), b"") };
    assert_eq!(datagram::parse(&echoed).unwrap().payload, "query");
}

#[test]
fn sockets_send_in_turn() {
    let mut world = World::new();
    let first = world.bind((OURS, 1));
    let second = world.bind((OURS, 2));
    // Each longer than the one before, so that they travel alone.
    for (id, data) in [(first, "x"), (first, "xx"), (first, "xxx"), (second, "x")] {
        world.call(|udp, cx| udp.send_to(id, Bytes::from_static(data.as_bytes()), (PEER, 9).into(), cx)).unwrap();
    }
    let ports: Vec<_> = std::iter::from_fn(|| world.transmit()).map(|sent| sent.header[1]).collect();
    assert_eq!(ports, [1, 2, 1, 1]);
}

#[test]
fn a_full_transmit_queue_blocks_and_room_is_an_event() {
    let mut world = World::new();
    let id = world.connected();
    let queued = (0..5_000).take_while(|_| world.send(id, b"x").is_ok()).count();
    assert!(queued <= limits::UDP_QUEUE_DATAGRAMS);
    assert_eq!(world.send(id, b"x"), Err(Error::WouldBlock));
    assert_eq!(world.udp.poll_event(), None);
    world.transmit().unwrap();
    assert_eq!(world.udp.poll_event(), Some(id));
    assert_eq!(world.send(id, b"x"), Ok(()));
}

#[test]
fn events_are_edges() {
    let mut world = World::new();
    let id = world.bind((OURS, 9));
    let datagram = packet((PEER, 1), (OURS, 9), b"x");
    world.receive(&datagram);
    world.receive(&datagram);
    assert_eq!((world.udp.poll_event(), world.udp.poll_event()), (Some(id), None));
    world.receive(&datagram);
    assert_eq!(world.udp.poll_event(), None);
    while world.read(id).is_some() {}
    world.receive(&datagram);
    assert_eq!(world.udp.poll_event(), Some(id));
}

#[test]
fn destinations_that_lead_nowhere_are_errors() {
    let mut world = World::new();
    let id = world.bind((Ipv4Addr::UNSPECIFIED, 1));
    let mut send = |to: ([u8; 4], u16), length: usize| {
        world.call(|udp, cx| udp.send_to(id, Bytes::from(vec![0; length]), to.into(), cx))
    };
    assert_eq!(send(([198, 51, 100, 1], 9), 1), Err(Error::NoRoute));
    assert_eq!(send(([0, 0, 0, 0], 9), 1), Err(Error::BadDestination));
    assert_eq!(send(([192, 0, 2, 9], 0), 1), Err(Error::BadDestination));
    assert_eq!(send(([255, 255, 255, 255], 9), 1), Err(Error::BroadcastNotAllowed));
    assert_eq!(send(([192, 0, 2, 9], 9), 65_508), Err(Error::MessageTooBig));
    assert_eq!(send(([192, 0, 2, 9], 9), 65_507), Ok(()));
    assert_eq!(world.send(id, b"x"), Err(Error::NotConnected));
}

#[test]
fn a_datagram_that_may_not_be_fragmented_must_fit_the_way() {
    let mut world = World::new();
    let id = world.connected();
    world.udp.set_dont_fragment(id, true).unwrap();
    assert_eq!(world.send(id, &[0; 1473]), Err(Error::MessageTooBig));
    assert_eq!(world.send(id, &[0; 1472]), Ok(()));
    assert!(world.transmit().unwrap().dont_fragment);
}

#[test]
fn a_host_without_address_can_broadcast_on_an_interface() {
    let mut world = World::new();
    let id = world.bind((Ipv4Addr::UNSPECIFIED, 68));
    world.udp.set_broadcast(id, true).unwrap();
    let options =
        SendOptions { source: Some(Ipv4Addr::UNSPECIFIED.into()), interface: Some(WAN), ..SendOptions::default() };
    let to = (Ipv4Addr::BROADCAST, 67).into();
    world.call(|udp, cx| udp.send_with(id, Bytes::new(), to, options, cx)).unwrap();
    let sent = world.transmit().unwrap();
    assert_eq!((sent.source, sent.interface), (Ipv4Addr::UNSPECIFIED.into(), Some(WAN)));
}

#[test]
fn multicast_leaves_with_a_hop_limit_of_one() {
    // RFC 1112 §6.1.
    let mut world = World::new();
    let id = world.bind((OURS, 5353));
    world.call(|udp, cx| udp.send_to(id, Bytes::new(), (GROUP, 5353).into(), cx)).unwrap();
    assert_eq!(world.transmit().unwrap().hop_limit, 1);
}

#[test]
fn port_unreachable_fails_the_next_call_of_a_connected_socket_once() {
    let mut world = World::new();
    let id = world.connected();
    world.send(id, b"12345").unwrap();
    assert_eq!(world.path_error(PathErrorKind::PortUnreachable, (1000, 53), 13), Outcome::Delivered);
    assert_eq!(world.udp.poll_event(), Some(id));
    assert_eq!(world.udp.recv_from(id), Err(Error::Refused));
    assert_eq!(world.udp.recv_from(id), Ok(None));
}

#[test]
fn an_error_about_something_never_sent_is_dropped() {
    let mut world = World::new();
    let id = world.connected();
    assert_eq!(world.path_error(PathErrorKind::PortUnreachable, (1000, 53), 13), NOT_IN_FLIGHT);
    world.send(id, b"12345").unwrap();
    assert_eq!(world.path_error(PathErrorKind::PortUnreachable, (1000, 53), 14), NOT_IN_FLIGHT);
    assert_eq!(world.path_error(PathErrorKind::PortUnreachable, (1000, 54), 13), NOT_IN_FLIGHT);
    assert_eq!(world.path_error(PathErrorKind::PortUnreachable, (1001, 53), 13), NOT_IN_FLIGHT);
    assert_eq!((world.udp.poll_event(), world.udp.take_error(id)), (None, None));
}

#[test]
fn an_unconnected_socket_hears_of_no_error() {
    let mut world = World::new();
    let id = world.bind((OURS, 1000));
    world.call(|udp, cx| udp.send_to(id, Bytes::from_static(b"12345"), (PEER, 53).into(), cx)).unwrap();
    assert_eq!(world.path_error(PathErrorKind::PortUnreachable, (1000, 53), 13), NOT_IN_FLIGHT);
    assert_eq!(world.udp.take_error(id), None);
}

#[test]
fn a_soft_error_informs_but_fails_nothing() {
    let mut world = World::new();
    let id = world.connected();
    world.send(id, b"12345").unwrap();
    assert_eq!(world.path_error(PathErrorKind::HostUnreachable, (1000, 53), 13), Outcome::Delivered);
    assert_eq!(world.send(id, b"more"), Ok(()));
    assert_eq!(world.udp.take_error(id), Some(Error::Unreachable));
    assert_eq!(world.udp.take_error(id), None);
}

#[test]
fn too_big_is_told_to_who_forbade_fragmentation_only() {
    let mut world = World::new();
    let id = world.connected();
    world.send(id, &[0; 1000]).unwrap();
    let too_big = PathErrorKind::PacketTooBig { mtu: 600 };
    assert_eq!(world.path_error(too_big, (1000, 53), 1008), Outcome::Consumed);
    assert_eq!(world.udp.take_error(id), None);
    world.udp.set_dont_fragment(id, true).unwrap();
    assert_eq!(world.path_error(too_big, (1000, 53), 1008), Outcome::Delivered);
    assert_eq!(world.udp.take_error(id), Some(Error::MessageTooBig));
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_dropped(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut world = World::new();
        world.bind((OURS, 53));
        let packet = altered(&packet((PEER, 1), (OURS, 53), b""), |payload| *payload = bytes);
        prop_assert!(matches!(world.receive(&packet), Outcome::Dropped(_) | Outcome::Delivered));
    }

    #[test]
    fn what_is_emitted_parses_as_itself(
        ports in any::<(u16, u16)>(),
        data in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let packet = packet((PEER, ports.0), (OURS, ports.1), &data);
        let parsed = datagram::parse(&packet).unwrap();
        prop_assert_eq!((parsed.source_port, parsed.destination_port), ports);
        prop_assert_eq!(parsed.payload, Bytes::from(data));
    }
}
