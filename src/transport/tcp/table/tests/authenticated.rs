//! The TCP Authentication Option between two tables: RFC 5925.

use super::super::*;
use super::harness::*;
use crate::base::drops::DropReason::*;
use crate::transport::tcp::config::{Ecn, KeyAlgorithm, MasterKey};
use crate::transport::tcp::connection::Read;
use bytes::Bytes;

fn key(peer: Ipv4Addr, ids: (u8, u8), secret: &str) -> MasterKey {
    let (send_id, receive_id) = ids;
    let algorithm = if send_id.is_multiple_of(2) { KeyAlgorithm::HmacSha1 } else { KeyAlgorithm::Aes128Cmac };
    MasterKey {
        peer: IpAddr::V4(peer).into(),
        send_id,
        receive_id,
        algorithm,
        secret: secret.into(),
        covers_options: true,
    }
}

fn host(address: Ipv4Addr, seed: u64, keys: Vec<MasterKey>) -> Host {
    Host::with(address, seed, Config { keys: keys.into(), ..Config::default() }, 100)
}

/// Two hosts with two keys; the KeyIDs of one are the receive IDs of the other.
fn pair(secret: &str) -> (Host, Host, ListenerId) {
    let client = host(CLIENT, 2, vec![key(SERVER, (2, 4), "secret"), key(SERVER, (6, 8), "other")]);
    let mut server = host(SERVER, 1, vec![key(CLIENT, (4, 2), secret), key(CLIENT, (8, 6), "other")]);
    let listener = server.listen(10);
    (client, server, listener)
}

/// Until both are silent; gives the KeyIDs of what the client signed.
fn talk(client: &mut Host, server: &mut Host) -> Vec<u8> {
    let mut ids = Vec::new();
    loop {
        let sent: Vec<Datagram> = std::iter::from_fn(|| client.transmit()).collect();
        let answers: Vec<Datagram> = std::iter::from_fn(|| server.transmit()).collect();
        if sent.is_empty() && answers.is_empty() {
            return ids;
        }
        for datagram in &sent {
            assert_eq!(datagram.segment_size, None, "nobody else can sign its pieces");
            let at = datagram.header.len() - 16;
            assert_eq!(&datagram.header[at..at + 2], &[29, 16]);
            ids.push(datagram.header[at + 2]);
            server.receive(&carry(datagram));
        }
        for datagram in &answers {
            client.receive(&carry(datagram));
        }
    }
}

fn connect(client: &mut Host) -> ConnectionId {
    client.call(|tcp, cx| tcp.connect(None, WWW, None, cx)).unwrap()
}

fn read_all(host: &mut Host, id: ConnectionId) -> usize {
    let mut all = 0;
    while let Ok(Read::Data(bytes)) = host.call(|tcp, cx| tcp.read(id, usize::MAX, cx)) {
        all += bytes.len();
    }
    all
}

#[test]
fn what_is_signed_with_the_same_key_passes_from_syn_to_time_wait() {
    let (mut client, mut server, listener) = pair("secret");
    let id = connect(&mut client);
    talk(&mut client, &mut server);
    let (accepted, _) = server.tcp.accept(listener).unwrap();
    client.call(|tcp, cx| tcp.write(id, &mut Bytes::from(vec![7; 100_000]), cx)).unwrap();
    talk(&mut client, &mut server);
    // The MSS less timestamps and signature.
    assert_eq!(client.tcp.info(id).unwrap().mss_bytes, 1460 - 12 - 16);
    assert_eq!(read_all(&mut server, accepted), 100_000);
    client.call(|tcp, cx| tcp.close(id, cx));
    talk(&mut client, &mut server);
    server.call(|tcp, cx| tcp.close(accepted, cx));
    talk(&mut client, &mut server);
    assert_eq!((client.tcp.time_waits.len(), server.tcp.connections()), (1, 0));
}

#[test]
fn another_secret_or_none_opens_nothing() {
    // RFC 5925 §7.5: dropped, and no answer that anybody could use.
    let (mut client, mut server, listener) = pair("wrong");
    connect(&mut client);
    let syn = carry(&client.transmit().unwrap());
    assert_eq!(server.receive(&syn), Outcome::Dropped(TcpBadSignature));
    assert_eq!(server.receive(&super::harness::syn(PEER, Seq(7)).packet()), Outcome::Dropped(TcpUnsigned));
    assert!(server.sent().is_empty());
    assert_eq!(server.tcp.accept(listener), None);
}

#[test]
fn an_unsigned_or_changed_segment_does_nothing_to_an_open_connection() {
    let (mut client, mut server, _) = pair("secret");
    let id = connect(&mut client);
    talk(&mut client, &mut server);
    let port = client.tcp.local_addr(id).unwrap().port();
    let info = client.tcp.info(id).unwrap();
    let reset = from((CLIENT, port).into(), R).packet();
    assert_eq!(server.receive(&reset), Outcome::Dropped(TcpUnsigned));
    client.call(|tcp, cx| tcp.write(id, &mut Bytes::from_static(b"data"), cx)).unwrap();
    let mut packet = carry(&client.transmit().unwrap());
    let mut octets = packet.payload.to_vec();
    *octets.last_mut().unwrap() ^= 1;
    packet.payload = octets.into();
    assert_eq!(server.receive(&packet), Outcome::Dropped(TcpBadSignature));
    assert_eq!(client.tcp.info(id).unwrap().state, info.state);
    assert_eq!(server.tcp.connections(), 1);
}

#[test]
fn keys_change_while_the_connection_goes_on() {
    // RFC 5925 §3.3: RNextKeyID.
    let (mut client, mut server, listener) = pair("secret");
    let id = connect(&mut client);
    assert!(talk(&mut client, &mut server).iter().all(|id| *id == 2));
    let (accepted, _) = server.tcp.accept(listener).unwrap();
    server.tcp.prefer_key(6);
    server.call(|tcp, cx| tcp.write(accepted, &mut Bytes::from_static(b"roll"), cx)).unwrap();
    assert_eq!(read_all(&mut client, id), 0);
    talk(&mut client, &mut server);
    client.call(|tcp, cx| tcp.write(id, &mut Bytes::from_static(b"over"), cx)).unwrap();
    assert!(talk(&mut client, &mut server).iter().all(|id| *id == 6));
    assert_eq!((read_all(&mut client, id), read_all(&mut server, accepted)), (4, 4));
}

#[test]
fn what_cannot_be_signed_is_not_sent() {
    // RFC 5925 §7.7: a reset about a connection that nobody knows any more.
    let (mut client, mut server, _) = pair("secret");
    connect(&mut client);
    talk(&mut client, &mut server);
    let mut again = host(SERVER, 5, vec![key(CLIENT, (4, 2), "secret")]);
    let id = connect(&mut client);
    talk(&mut client, &mut server);
    client.call(|tcp, cx| tcp.write(id, &mut Bytes::from_static(b"data"), cx)).unwrap();
    let packet = carry(&client.transmit().unwrap());
    assert_eq!(again.receive(&packet), Outcome::Dropped(TcpBadSignature));
    assert!(again.sent().is_empty());
}

#[test]
fn strangers_need_no_signature() {
    let mut server = host(SERVER, 1, vec![key(Ipv4Addr::new(192, 0, 2, 77), (4, 2), "secret")]);
    let listener = server.listen(10);
    server.accepted(listener, PEER, Seq(7));
}

#[test]
fn accurate_ecn_has_room_beside_a_signature() {
    // RFC 9768 §3.2.3.2.1: an option is left out where there is no space for it.
    let config = |keys: Vec<MasterKey>| Config { keys: keys.into(), ecn: Ecn::Accurate, ..Config::default() };
    let mut client = Host::with(CLIENT, 2, config(vec![key(SERVER, (2, 4), "secret")]), 100);
    let mut server = Host::with(SERVER, 1, config(vec![key(CLIENT, (4, 2), "secret")]), 100);
    let listener = server.listen(10);
    let id = connect(&mut client);
    talk(&mut client, &mut server);
    let (accepted, _) = server.tcp.accept(listener).unwrap();
    client.call(|tcp, cx| tcp.write(id, &mut Bytes::from_static(&[7; 5000]), cx)).unwrap();
    talk(&mut client, &mut server);
    assert_eq!(client.tcp.info(id).unwrap().ecn, "accurate");
    assert_eq!(server.tcp.info(accepted).unwrap().receive_queue_bytes, 5000);
}
