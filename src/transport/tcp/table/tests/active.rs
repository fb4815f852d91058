//! Active opens.

use super::super::*;
use super::harness::*;
use crate::transport::ports::DYNAMIC;
use crate::transport::tcp::config::Recall;
use crate::transport::tcp::connection::Error;
use crate::transport::tcp::state::State;
use std::collections::BTreeSet;

fn connect(host: &mut Host, local: Option<SocketAddr>, remote: SocketAddr) -> Result<ConnectionId, ConnectError> {
    host.call(|tcp, cx| tcp.connect(local, remote, None, cx))
}

#[test]
fn an_active_open_takes_the_networks_address_and_an_unused_port() {
    // RFC 9293 MUST-44; RFC 6056.
    let mut host = Host::new(CLIENT, 2);
    let ids: Vec<_> = (0..300).map(|_| connect(&mut host, None, WWW).unwrap()).collect();
    let locals: Vec<_> = ids.iter().map(|id| host.tcp.local_addr(*id).unwrap()).collect();
    assert!(locals.iter().all(|local| local.ip() == CLIENT && DYNAMIC.contains(&local.port())));
    assert_eq!(locals.iter().collect::<BTreeSet<_>>().len(), 300);
    let sent = host.sent();
    assert!(sent.len() == 300 && sent.iter().all(|segment| segment.flags.without(ECN) == S));
    assert_eq!(sent.iter().map(|segment| segment.seq.0).collect::<BTreeSet<_>>().len(), 300);
}

const ECN: crate::transport::tcp::segment::Flags =
    crate::transport::tcp::segment::Flags::ECE.with(crate::transport::tcp::segment::Flags::CWR);

#[test]
fn one_pair_of_sockets_has_one_connection() {
    // RFC 9293 §3.10.1.
    let mut host = Host::new(CLIENT, 2);
    let local = Some((CLIENT, 5000).into());
    let id = connect(&mut host, local, WWW).unwrap();
    assert_eq!(connect(&mut host, local, WWW), Err(ConnectError::AddrInUse));
    assert!(connect(&mut host, local, (SERVER, 81).into()).is_ok());
    host.call(|tcp, cx| tcp.close(id, cx));
    assert!(connect(&mut host, local, WWW).is_ok());
}

#[test]
fn an_open_to_what_nobody_can_be_is_an_error() {
    // RFC 9293 MUST-46.
    let mut host = Host::new(CLIENT, 2);
    let bad = |address: [u8; 4], port: u16| connect(&mut Host::new(CLIENT, 2), None, (address, port).into()).err();
    assert_eq!(bad([224, 0, 0, 1], 80), Some(ConnectError::BadDestination));
    assert_eq!(bad([255, 255, 255, 255], 80), Some(ConnectError::BadDestination));
    assert_eq!(bad([0, 0, 0, 0], 80), Some(ConnectError::BadDestination));
    assert_eq!(bad([192, 0, 2, 2], 0), Some(ConnectError::BadDestination));
    assert_eq!(bad([198, 51, 100, 1], 80), Some(ConnectError::NoRoute));
    let foreign = Some((SERVER, 0).into());
    assert_eq!(connect(&mut host, foreign, WWW), Err(ConnectError::AddrNotAvailable));
    assert!(host.is_empty());
}

#[test]
fn ports_with_a_listener_are_not_taken() {
    let mut host = Host::new(CLIENT, 2);
    host.tcp.ephemeral = Ephemeral::within(50_000..=50_001, &mut Random::from_seed(1));
    host.call(|tcp, cx| tcp.listen((CLIENT, 50_000).into(), 1, None, cx)).unwrap();
    let id = connect(&mut host, None, WWW).unwrap();
    assert_eq!(host.tcp.local_addr(id), Ok((CLIENT, 50_001).into()));
    assert_eq!(connect(&mut host, None, WWW), Err(ConnectError::NoneLeft));
    // Another destination may have the same port.
    assert!(connect(&mut host, None, (SERVER, 81).into()).is_ok());
}

#[test]
fn a_port_can_be_listened_on_while_an_open_from_it_is_under_way() {
    // RFC 9293 MUST-42, MUST-41.
    let mut host = Host::new(SERVER, 2);
    let opening = connect(&mut host, Some(WWW), (CLIENT, 6000).into()).unwrap();
    host.reply();
    let listener = host.listen(10);
    assert_eq!(host.tcp.state(opening), Ok(State::SynSent));
    host.accepted(listener, PEER, Seq(1));
    assert_eq!(host.tcp.state(opening), Ok(State::SynSent));
}

#[test]
fn a_refused_open_is_told_and_freed_once_let_go() {
    let mut client = Host::new(CLIENT, 2);
    let mut server = Host::server();
    let id = connect(&mut client, None, WWW).unwrap();
    client.events();
    server.receive(&carry(&client.transmit().unwrap()));
    client.receive(&carry(&server.transmit().unwrap()));
    let events = client.events();
    assert!(
        matches!(events[..], [Event::Connection(told, readiness)] if told == id && readiness.has(Readiness::ERROR)),
        "{events:?}"
    );
    assert_eq!((client.tcp.error(id), client.tcp.state(id)), (Ok(Some(Error::Refused)), Ok(State::Closed)));
    assert!(!client.is_empty());
    client.call(|tcp, cx| tcp.close(id, cx));
    assert!(client.is_empty());
    assert_eq!(client.tcp.state(id), Err(Error::NotConnected));
}

#[test]
fn an_open_that_nobody_answers_fails_after_its_retries() {
    // RFC 9293 MUST-22, MUST-23.
    let mut client = Host::new(CLIENT, 2);
    let id = connect(&mut client, None, WWW).unwrap();
    client.reply();
    assert_eq!(client.pass(Duration::from_secs(180)).len(), 7);
    assert_eq!(client.tcp.state(id), Ok(State::SynSent));
    client.pass(Duration::from_secs(600));
    assert_eq!(client.tcp.error(id), Ok(Some(Error::TimedOut)));
    client.call(|tcp, cx| tcp.close(id, cx));
    assert!(client.is_empty() && client.tcp.deadline().is_none());
}

#[test]
fn letting_go_of_an_unanswered_open_frees_it() {
    let mut client = Host::new(CLIENT, 2);
    let id = connect(&mut client, None, WWW).unwrap();
    client.call(|tcp, cx| tcp.close(id, cx));
    assert!(client.is_empty());
    client.pass(Duration::from_secs(600));
    assert!(client.tcp.deadline().is_none());
}

#[test]
fn two_hosts_may_open_the_same_connection_at_once() {
    // RFC 9293 MUST-10, figure 7.
    let mut hosts = [Host::new(SERVER, 1), Host::new(CLIENT, 2)];
    let sockets: [SocketAddr; 2] = [(SERVER, 5000).into(), (CLIENT, 6000).into()];
    let ids = [0, 1].map(|n: usize| connect(&mut hosts[n], Some(sockets[n]), sockets[1 - n]).unwrap());
    for _ in 0..5 {
        let crossing: Vec<Vec<Packet>> = hosts
            .iter_mut()
            .map(|host| std::iter::from_fn(|| host.transmit()).map(|datagram| carry(&datagram)).collect())
            .collect();
        for (n, packets) in crossing.iter().enumerate() {
            packets.iter().for_each(|packet| _ = hosts[1 - n].receive(packet));
        }
    }
    for n in [0, 1] {
        assert_eq!(hosts[n].tcp.state(ids[n]), Ok(State::Established));
        assert!(hosts[n].sent().is_empty());
    }
}

#[test]
fn a_connection_begins_with_the_round_trip_that_an_earlier_one_to_the_same_host_knew() {
    // RFC 9040.
    let rto_of_second = |recall| {
        let mut server = Host::with(SERVER, 1, Config { recall, ..Config::default() }, 10);
        let listener = server.listen(8);
        server.receive(&syn(PEER, Seq(7)).packet());
        let iss = server.reply().seq;
        server.pass(Duration::from_millis(150));
        server.receive(&from(PEER, A).seq(Seq(8)).ack(iss + 1).packet());
        let (id, _) = server.tcp.accept(listener).unwrap();
        server.call(|tcp, cx| tcp.write(id, &mut bytes::Bytes::from_static(&[7; 100]), cx)).unwrap();
        server.sent();
        server.receive(&from(PEER, A).seq(Seq(8)).ack(iss + 101).packet());
        server.call(|tcp, cx| tcp.abort(id, cx));
        server.sent();
        let (id, _) = server.accepted(listener, (CLIENT, 40_001).into(), Seq(7));
        server.tcp.info(id).unwrap().rto_us
    };
    assert_eq!(rto_of_second(Recall::Off), 200_000);
    assert!(rto_of_second(Recall::Rtt) > 250_000, "{}", rto_of_second(Recall::Rtt));
}
