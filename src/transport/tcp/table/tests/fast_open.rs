//! TCP Fast Open, both sides: RFC 7413.

use super::super::*;
use super::harness::*;
use crate::transport::tcp::connection::{Error, Read};
use crate::transport::tcp::options::{FastOpenCookie, Options};
use crate::transport::tcp::state::State;
use bytes::Bytes;

fn server() -> (Host, ListenerId) {
    let config = Config { fast_open: true, ..Config::default() };
    let mut host = Host::with(SERVER, 1, config, 100);
    let listener = host.listen(1000);
    (host, listener)
}

fn client() -> Host {
    Host::new(CLIENT, 2)
}

fn connect(client: &mut Host, data: &'static [u8]) -> ConnectionId {
    let mut data = Bytes::from_static(data);
    client.call(|tcp, cx| tcp.connect_with_data(None, WWW, None, &mut data, cx)).unwrap()
}

/// What each has to say goes to the other until both are silent.
fn talk(client: &mut Host, server: &mut Host) {
    loop {
        let sent: Vec<Packet> = std::iter::from_fn(|| client.transmit()).flat_map(|datagram| cut(&datagram)).collect();
        let answers: Vec<Packet> =
            std::iter::from_fn(|| server.transmit()).flat_map(|datagram| cut(&datagram)).collect();
        if sent.is_empty() && answers.is_empty() {
            return;
        }
        for packet in sent {
            server.receive(&packet);
        }
        for packet in answers {
            client.receive(&packet);
        }
    }
}

fn read(host: &mut Host, id: ConnectionId) -> Result<Read, Error> {
    host.call(|tcp, cx| tcp.read(id, 10_000, cx))
}

fn data(data: &'static [u8]) -> Result<Read, Error> {
    Ok(Read::Data(Bytes::from_static(data)))
}

/// A client that has the server's cookie, and the server.
fn acquainted() -> (Host, Host, ListenerId) {
    let (mut client, (mut server, listener)) = (client(), server());
    let id = connect(&mut client, b"one");
    talk(&mut client, &mut server);
    client.call(|tcp, cx| tcp.close(id, cx));
    let (accepted, _) = server.tcp.accept(listener).unwrap();
    assert_eq!(read(&mut server, accepted), data(b"one"));
    server.call(|tcp, cx| tcp.close(accepted, cx));
    talk(&mut client, &mut server);
    (client, server, listener)
}

#[test]
fn the_first_connection_asks_for_a_cookie_and_the_second_brings_it_with_data() {
    // RFC 7413 §4.2.
    let (mut client, (mut server, listener)) = (client(), server());
    connect(&mut client, b"one");
    let syn = client.transmit().unwrap();
    assert_eq!(super::harness::read(&syn).options.fast_open, Some(FastOpenCookie::default()));
    server.receive(&carry(&syn));
    let syn_ack = server.transmit().unwrap();
    assert_eq!(super::harness::read(&syn_ack).options.fast_open.unwrap().octets().len(), 8);
    client.receive(&carry(&syn_ack));
    talk(&mut client, &mut server);
    let (accepted, _) = server.tcp.accept(listener).unwrap();
    assert_eq!(read(&mut server, accepted), data(b"one"), "what could not go with the SYN follows");

    let id = connect(&mut client, b"two");
    let syn = client.transmit().unwrap();
    assert_eq!(&super::harness::read(&syn).payload[..], b"two");
    assert!(client.transmit().is_none());
    assert_eq!(server.receive(&carry(&syn)), Outcome::Answered);
    let (accepted, _) = server.tcp.accept(listener).unwrap();
    assert_eq!(server.tcp.state(accepted), Ok(State::SynReceived));
    assert_eq!(read(&mut server, accepted), data(b"two"), "before the handshake is over");
    assert_eq!(server.counters.of(Counter::TcpFastOpenPassive), 1);
    // The answer leaves behind the SYN-ACK, without waiting for the client's ACK.
    server.call(|tcp, cx| tcp.write(accepted, &mut Bytes::from_static(b"three"), cx)).unwrap();
    server.call(|tcp, cx| tcp.shutdown_write(accepted, cx)).unwrap();
    let answers: Vec<Datagram> = std::iter::from_fn(|| server.transmit()).collect();
    let shown: Vec<_> =
        answers.iter().map(super::harness::read).map(|seg| (seg.flags.syn(), seg.flags.fin(), seg.len())).collect();
    assert_eq!(shown, [(true, false, 1), (false, false, 5)]);
    for answer in &answers {
        client.receive(&carry(answer));
    }
    assert_eq!(read(&mut client, id), data(b"three"));
    talk(&mut client, &mut server);
    assert_eq!(read(&mut client, id), Ok(Read::End), "the FIN waited for the handshake");
    let info = client.tcp.info(id).unwrap();
    assert_eq!((info.retransmissions, info.bytes_acked), (0, 3));
    client.tcp.check_invariants().unwrap();
    server.tcp.check_invariants().unwrap();
}

#[test]
fn data_on_a_syn_with_a_wrong_cookie_is_not_taken_and_a_good_one_is_given() {
    // RFC 7413 §4.2.2.
    let (mut host, listener) = server();
    let options = Options { fast_open: FastOpenCookie::new(&[1; 8]), ..Options::default() };
    host.receive(&syn(PEER, Seq(7)).options(options).data(b"data").packet());
    let syn_ack = host.reply();
    assert_eq!(syn_ack.ack, Seq(8));
    let cookie = syn_ack.options.fast_open.unwrap();
    assert!(cookie.octets().len() == 8 && cookie.octets() != [1; 8]);
    assert_eq!((host.tcp.accept(listener), host.counters.of(Counter::TcpFastOpenPassiveFail)), (None, 1));
}

#[test]
fn a_listener_without_fast_open_ignores_the_option() {
    let mut host = Host::server();
    host.listen(10);
    let options = Options { fast_open: Some(FastOpenCookie::default()), ..Options::default() };
    host.receive(&syn(PEER, Seq(7)).options(options).packet());
    assert_eq!(host.reply().options.fast_open, None);
}

#[test]
fn a_cookie_is_refused_while_too_many_connections_are_pending() {
    // RFC 7413 §5.1.
    let (mut host, _) = server();
    let now = host.now;
    let flood = |host: &mut Host, port: u16| {
        let cookie = host.tcp.fast_open_keys.get_or_insert_with(|| FastOpenKeys::new(&mut Random::from_seed(3))).make(
            SERVER.into(),
            CLIENT.into(),
            now,
        );
        let options = Options { fast_open: Some(cookie), ..Options::default() };
        host.receive(&syn(peer(port), Seq(7)).options(options).data(b"data").packet());
        host.reply()
    };
    for port in 1..=limits::TCP_FAST_OPEN_PENDING as u16 {
        assert_eq!(flood(&mut host, port).ack, Seq(12));
    }
    assert_eq!(flood(&mut host, 1000).ack, Seq(8), "an ordinary handshake");
    assert_eq!(host.counters.of(Counter::TcpFastOpenListenOverflow), 1);
    // The victim of forged SYNs resets them: they count for a minute all the same.
    host.receive(&from(peer(1), R).seq(Seq(12)).packet());
    assert_eq!(flood(&mut host, 1001).ack, Seq(8));
    host.tcp.check_invariants().unwrap();
}

#[test]
fn a_syn_with_data_that_comes_again_is_answered_again() {
    let (mut client, mut server, listener) = acquainted();
    connect(&mut client, b"two");
    let syn = carry(&client.transmit().unwrap());
    server.receive(&syn);
    let first = server.reply();
    server.receive(&syn);
    let again = server.reply();
    assert_eq!((first.seq, first.ack, first.flags), (again.seq, again.ack, again.flags));
    let (accepted, _) = server.tcp.accept(listener).unwrap();
    assert_eq!(read(&mut server, accepted), data(b"two"));
    assert_eq!(read(&mut server, accepted), Ok(Read::WouldBlock), "once");
}

#[test]
fn a_lost_syn_ack_is_sent_again_and_data_behind_it_follows() {
    let (mut client, mut server, listener) = acquainted();
    let id = connect(&mut client, b"two");
    server.receive(&carry(&client.transmit().unwrap()));
    let (accepted, _) = server.tcp.accept(listener).unwrap();
    server.call(|tcp, cx| tcp.write(accepted, &mut Bytes::from_static(b"three"), cx)).unwrap();
    while server.transmit().is_some() {}
    server.now += Duration::from_secs(1);
    server.call(|tcp, cx| tcp.handle_timeout(cx));
    let syn_ack = server.transmit().unwrap();
    assert!(super::harness::read(&syn_ack).flags.syn() && server.transmit().is_none());
    client.receive(&carry(&syn_ack));
    talk(&mut client, &mut server);
    assert_eq!(read(&mut client, id), data(b"three"));
    server.tcp.check_invariants().unwrap();
}

#[test]
fn a_lost_syn_is_sent_again_without_data_and_the_path_is_left_alone_for_a_while() {
    // RFC 7413 §4.1.3.1, §4.2.1.
    let (mut client, mut server, listener) = acquainted();
    let id = connect(&mut client, b"two");
    client.transmit().unwrap();
    client.now += Duration::from_secs(1);
    client.call(|tcp, cx| tcp.handle_timeout(cx));
    let again = client.transmit().unwrap();
    let seen = super::harness::read(&again);
    assert!(seen.flags.syn() && seen.payload.is_empty() && seen.options.fast_open.is_none());
    server.receive(&carry(&again));
    talk(&mut client, &mut server);
    let (accepted, _) = server.tcp.accept(listener).unwrap();
    assert_eq!(read(&mut server, accepted), data(b"two"));
    assert_eq!(client.counters.of(Counter::TcpFastOpenActiveFail), 1);
    client.tcp.check_invariants().unwrap();
    client.call(|tcp, cx| tcp.abort(id, cx));
    while client.transmit().is_some() {}
    connect(&mut client, b"four");
    assert_eq!(super::harness::read(&client.transmit().unwrap()).options.fast_open, None);
}

#[test]
fn data_that_the_syn_ack_does_not_acknowledge_is_sent_again_at_once() {
    let (mut client, mut server, listener) = acquainted();
    // The server has other secrets by now.
    server.tcp.fast_open_keys = Some(FastOpenKeys::new(&mut Random::from_seed(9)));
    connect(&mut client, b"two");
    talk(&mut client, &mut server);
    let (accepted, _) = server.tcp.accept(listener).unwrap();
    assert_eq!(read(&mut server, accepted), data(b"two"));
    // And has given a new cookie.
    connect(&mut client, b"three");
    talk(&mut client, &mut server);
    assert_eq!(server.counters.of(Counter::TcpFastOpenPassive), 1);
}

#[test]
fn more_data_than_a_segment_holds_follows_the_handshake() {
    let (mut client, server, listener) = acquainted();
    let long: &'static [u8] = &[7; 5000];
    connect(&mut client, long);
    let syn = super::harness::read(&client.transmit().unwrap());
    // The MSS less what the options take (RFC 7413 §4.2.1).
    assert_eq!(syn.payload.len() + syn.options.emit().len(), 1460);
    let _ = listener;
    server.tcp.check_invariants().unwrap();
}
