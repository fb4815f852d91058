//! Listeners, half-open connections and resets.

use super::super::*;
use super::harness::*;
use crate::base::drops::DropReason::*;
use crate::network::packet::protocol;
use crate::transport::tcp::connection::{Error, Read};
use crate::transport::tcp::state::State;
use bytes::Bytes;

const IRS: Seq = Seq(7000);
const REFUSED: Outcome = Outcome::Dropped(TcpNoConnection);

#[test]
fn a_syn_to_a_closed_port_is_answered_by_a_reset_that_acknowledges_it() {
    // RFC 9293 §3.10.7.1: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>.
    let mut host = Host::server();
    assert_eq!(host.receive(&syn(PEER, IRS).data(b"abc").packet()), REFUSED);
    let reset = host.reply();
    assert_eq!((reset.flags, reset.seq, reset.ack), (RA, Seq(0), IRS + 4));
    assert_eq!(host.counters.of(Counter::TcpOutRsts), 1);
}

#[test]
fn an_ack_to_a_closed_port_is_answered_by_a_reset_at_its_number() {
    // RFC 9293 §3.10.7.1: <SEQ=SEG.ACK><CTL=RST>.
    let mut host = Host::server();
    host.receive(&from(PEER, FA).seq(IRS).ack(Seq(555)).packet());
    let reset = host.reply();
    assert_eq!((reset.flags, reset.seq), (R, Seq(555)));
}

#[test]
fn a_reset_is_never_answered() {
    let mut host = Host::server();
    host.receive(&from(PEER, R).seq(IRS).packet());
    host.receive(&from(PEER, RA).seq(IRS).ack(Seq(1)).packet());
    host.listen(10);
    host.receive(&from(PEER, RA).seq(IRS).ack(Seq(1)).packet());
    assert!(host.sent().is_empty());
}

#[test]
fn nothing_to_or_from_a_group_or_broadcast_address_is_answered() {
    // RFC 9293 MUST-57, MUST-63.
    let mut host = Host::server();
    host.listen(10);
    let dropped = Outcome::Dropped(TcpNotUnicast);
    for cast in [Cast::Broadcast, Cast::Multicast] {
        assert_eq!(host.receive(&Packet { cast, ..syn(PEER, IRS).packet() }), dropped);
    }
    for source in [[224, 0, 0, 1], [255, 255, 255, 255], [0, 0, 0, 0]] {
        assert_eq!(host.receive(&syn((source, 4000).into(), IRS).packet()), dropped);
    }
    assert!(host.sent().is_empty());
}

#[test]
fn resets_are_limited_by_rate() {
    let mut host = Host::server();
    let limit = limits::TCP_RESETS_PER_SECOND as usize;
    let mut sent = 0;
    for _ in 0..limit + 100 {
        host.receive(&syn(PEER, IRS).packet());
        sent += host.sent().len();
    }
    assert_eq!(sent, limit);
    host.now += Duration::from_secs(1);
    host.receive(&syn(PEER, IRS).packet());
    host.reply();
}

#[test]
fn a_handshake_opens_a_connection_that_can_be_accepted_and_used() {
    // RFC 9293 MUST-41: a passive OPEN; §3.10.7.2 and .4.
    let mut host = Host::server();
    let listener = host.listen(10);
    assert_eq!(host.receive(&syn(PEER, IRS).packet()), Outcome::Answered);
    let syn_ack = host.reply();
    assert_eq!((syn_ack.flags, syn_ack.ack, syn_ack.options.mss), (SA, IRS + 1, Some(1460)));
    assert_eq!((host.tcp.embryos(), host.events()), (1, vec![]));
    host.receive(&from(PEER, A).seq(IRS + 1).ack(syn_ack.seq + 1).data(b"hello").packet());
    assert_eq!((host.tcp.embryos(), host.tcp.connections()), (0, 1));
    assert_eq!(host.events(), [Event::Acceptable(listener)]);
    let (id, peer) = host.tcp.accept(listener).unwrap();
    assert_eq!((peer, host.tcp.state(id)), (PEER, Ok(State::Established)));
    let read = host.call(|tcp, cx| tcp.read(id, 100, cx));
    assert_eq!(read, Ok(Read::Data(Bytes::from_static(b"hello"))));
    assert_eq!(host.tcp.accept(listener), None);
}

#[test]
fn an_ack_to_a_listener_is_reset() {
    // RFC 9293 §3.10.7.2, second.
    let mut host = Host::server();
    host.listen(10);
    assert_eq!(host.receive(&from(PEER, A).seq(IRS).ack(Seq(99)).packet()), REFUSED);
    let reset = host.reply();
    assert_eq!((reset.flags, reset.seq), (R, Seq(99)));
}

#[test]
fn a_segment_without_syn_or_ack_is_dropped_by_a_listener() {
    // RFC 9293 §3.10.7.2, fourth.
    let mut host = Host::server();
    host.listen(10);
    assert_eq!(host.receive(&from(PEER, F).seq(IRS).packet()), Outcome::Dropped(TcpNoAck));
    assert!(host.sent().is_empty());
}

#[test]
fn options_are_agreed_only_if_both_have_them() {
    let mut host = Host::server();
    host.listen(10);
    host.receive(&syn(PEER, IRS).packet());
    let plain = host.reply().options;
    assert_eq!((plain.window_scale, plain.sack_permitted, plain.timestamps), (None, false, None));
    let offered = crate::transport::tcp::options::Options {
        mss: Some(1400),
        window_scale: Some(7),
        sack_permitted: true,
        ..Default::default()
    };
    host.receive(&syn(peer(40_001), IRS).options(offered).stamp(77, 0).packet());
    let agreed = host.reply().options;
    assert_eq!((agreed.window_scale, agreed.sack_permitted), (Some(7), true));
    assert_eq!(agreed.timestamps.map(|timestamps| timestamps.echo), Some(77));
}

#[test]
fn the_most_specific_listener_gets_the_connection() {
    let mut host = Host::server();
    let any = host.call(|tcp, cx| tcp.listen((Ipv4Addr::UNSPECIFIED, 80).into(), 10, None, cx)).unwrap();
    let specific = host.listen(10);
    host.handshake(PEER, IRS);
    assert!(host.tcp.accept(specific).is_some());
    host.call(|tcp, cx| tcp.close_listener(specific, cx));
    host.handshake(peer(40_001), IRS);
    assert!(host.tcp.accept(any).is_some());
}

#[test]
fn a_socket_can_be_listened_on_once() {
    let mut host = Host::server();
    let listener = host.listen(10);
    let listen = |host: &mut Host| host.call(|tcp, cx| tcp.listen(WWW, 10, None, cx));
    assert_eq!(listen(&mut host), Err(ListenError::AddrInUse));
    host.call(|tcp, cx| tcp.close_listener(listener, cx));
    assert!(listen(&mut host).is_ok());
    let group = (Ipv4Addr::new(224, 0, 0, 1), 80).into();
    assert_eq!(host.call(|tcp, cx| tcp.listen(group, 10, None, cx)), Err(ListenError::BadAddress));
}

#[test]
fn a_lost_syn_ack_is_sent_again_and_a_dead_peer_given_up() {
    // RFC 9293 MUST-23, RFC 6298 (5.5).
    let mut host = Host::server();
    host.listen(10);
    host.receive(&syn(PEER, IRS).packet());
    let first = host.reply();
    let again = host.pass(Duration::from_secs(8));
    assert_eq!(again.iter().map(|segment| (segment.flags, segment.seq)).collect::<Vec<_>>(), [(SA, first.seq); 3]);
    assert_eq!(host.pass(Duration::from_secs(600)).len(), 4);
    assert!(host.is_empty());
}

#[test]
fn a_duplicate_syn_gets_the_same_syn_ack() {
    let mut host = Host::server();
    host.listen(10);
    host.receive(&syn(PEER, IRS).packet());
    let first = host.reply();
    host.now += Duration::from_millis(300);
    assert_eq!(host.receive(&syn(PEER, IRS).packet()), Outcome::Answered);
    assert_eq!(host.reply(), first);
    assert_eq!(host.tcp.embryos(), 1);
}

#[test]
fn a_reset_of_a_half_open_connection_returns_to_listen() {
    // RFC 9293 §3.10.7.4, second, SYN-RECEIVED.
    let mut host = Host::server();
    host.listen(10);
    host.receive(&syn(PEER, IRS).packet());
    host.reply();
    assert_eq!(host.receive(&from(PEER, R).seq(IRS + 1).packet()), Outcome::Consumed);
    assert!(host.is_empty() && host.sent().is_empty());
    host.handshake(PEER, IRS);
}

#[test]
fn a_bad_ack_of_a_half_open_connection_is_reset_and_changes_nothing() {
    let mut host = Host::server();
    let listener = host.listen(10);
    host.receive(&syn(PEER, IRS).packet());
    let iss = host.reply().seq;
    assert_eq!(host.receive(&from(PEER, A).seq(IRS + 1).ack(iss + 2).packet()), Outcome::Dropped(TcpBadAck));
    let reset = host.reply();
    assert_eq!((reset.flags, reset.seq), (R, iss + 2));
    host.receive(&from(PEER, A).seq(IRS + 1).ack(iss + 1).packet());
    assert!(host.tcp.accept(listener).is_some());
}

#[test]
fn a_blind_reset_of_a_half_open_connection_is_challenged() {
    // RFC 5961 §3.2.
    let mut host = Host::server();
    host.listen(10);
    host.receive(&syn(PEER, IRS).packet());
    let iss = host.reply().seq;
    host.receive(&from(PEER, R).seq(IRS + 100).packet());
    let challenge = host.reply();
    assert_eq!((challenge.flags, challenge.seq, challenge.ack), (A, iss + 1, IRS + 1));
    assert_eq!(host.tcp.embryos(), 1);
}

#[test]
fn a_full_accept_queue_drops_syns_and_ignores_the_third_ack() {
    let mut host = Host::server();
    let listener = host.listen(2);
    for port in 1..=2 {
        host.handshake(peer(port), IRS);
    }
    let full = Outcome::Dropped(TcpBacklogFull);
    assert_eq!(host.receive(&syn(peer(9), IRS).packet()), full);
    assert!(host.sent().is_empty());
    assert_eq!(host.counters.of(Counter::TcpListenOverflows), 1);

    host.tcp.accept(listener).unwrap();
    host.receive(&syn(peer(3), IRS).packet());
    let third = host.reply().seq;
    host.handshake(peer(4), IRS);
    let ack = from(peer(3), A).seq(IRS + 1).ack(third + 1).packet();
    assert_eq!(host.receive(&ack), full);
    assert!(host.sent().is_empty());
    // Our SYN-ACK comes again, its ACK too, and by then there is room.
    host.tcp.accept(listener).unwrap();
    assert_eq!(host.pass(Duration::from_secs(1)).first().map(|again| again.seq), Some(third));
    host.receive(&ack);
    let accepted: Vec<_> = std::iter::from_fn(|| host.tcp.accept(listener)).map(|(_, from)| from.port()).collect();
    assert_eq!(accepted, [4, 3]);
}

#[test]
fn a_closed_listener_takes_its_half_open_and_unaccepted_connections_with_it() {
    let mut host = Host::server();
    let listener = host.listen(10);
    let (accepted, _) = host.accepted(listener, peer(1), IRS);
    let iss = host.handshake(peer(2), IRS);
    host.receive(&syn(peer(3), IRS).packet());
    let half_open = host.reply().seq;
    host.call(|tcp, cx| tcp.close_listener(listener, cx));
    // RFC 9293 §3.10.5: the unaccepted one is reset.
    let reset = host.reply();
    assert!(reset.flags.rst());
    assert_eq!(reset.seq, iss + 1);
    // The half-open one is reset when its ACK arrives.
    host.receive(&from(peer(3), A).seq(IRS + 1).ack(half_open + 1).packet());
    assert_eq!((host.reply().flags, host.tcp.embryos(), host.tcp.connections()), (R, 0, 1));
    assert_eq!(host.tcp.state(accepted), Ok(State::Established));
    assert_eq!(host.receive(&syn(peer(4), IRS).packet()), REFUSED);
}

#[test]
fn a_connection_reset_before_it_is_accepted_is_never_seen() {
    let mut host = Host::server();
    let listener = host.listen(10);
    host.handshake(PEER, IRS);
    host.receive(&from(PEER, R).seq(IRS + 1).packet());
    assert_eq!(host.tcp.accept(listener), None);
    assert!(host.is_empty());
}

#[test]
fn a_closed_connection_that_is_still_held_does_not_stand_in_the_way() {
    // RFC 9293 §3.3.2: CLOSED "represents the state when there is no TCB".
    let mut host = Host::server();
    let listener = host.listen(10);
    let (held, iss) = host.accepted(listener, PEER, IRS);
    host.receive(&from(PEER, R).seq(IRS + 1).packet());
    assert_eq!((host.tcp.state(held), host.tcp.error(held)), (Ok(State::Closed), Ok(Some(Error::Reset))));
    host.receive(&from(PEER, A).seq(IRS + 1).ack(iss + 1).packet());
    assert_eq!(host.reply().flags, R);
    let (newer, _) = host.accepted(listener, PEER, IRS + 100);
    host.call(|tcp, cx| tcp.close(held, cx));
    assert_eq!((host.tcp.connections(), host.tcp.state(newer)), (1, Ok(State::Established)));
    host.receive(&from(PEER, A).seq(IRS + 101).ack(iss).data(b"x").packet());
    assert_eq!(host.tcp.check_invariants(), Ok(()));
    assert!(host.tcp.is_taken(WWW, PEER));
}

#[test]
fn a_stale_name_is_an_error_also_when_its_place_is_used_again() {
    let mut host = Host::server();
    let listener = host.listen(10);
    let (id, _) = host.accepted(listener, PEER, IRS);
    host.call(|tcp, cx| tcp.abort(id, cx));
    assert!(host.reply().flags.rst());
    let (newer, _) = host.accepted(listener, peer(9), IRS);
    assert_ne!(id, newer);
    assert_eq!(host.call(|tcp, cx| tcp.read(id, 9, cx)), Err(Error::NotConnected));
    assert_eq!(host.call(|tcp, cx| tcp.write(id, &mut Bytes::from_static(b"x"), cx)), Err(Error::NotConnected));
    assert_eq!(host.tcp.info(id).err(), Some(Error::NotConnected));
    host.call(|tcp, cx| tcp.close(id, cx));
    host.call(|tcp, cx| tcp.abort(id, cx));
    assert_eq!(host.tcp.state(newer), Ok(State::Established));
}

#[test]
fn events_are_edges() {
    let mut host = Host::server();
    let listener = host.listen(10);
    host.handshake(peer(1), IRS);
    host.handshake(peer(2), IRS);
    assert_eq!(host.events(), [Event::Acceptable(listener)]);
    assert_eq!(host.events(), []);
    host.handshake(peer(3), IRS);
    assert_eq!(host.events(), [Event::Acceptable(listener)]);
}

#[test]
fn data_tells_once_that_there_is_something_to_read() {
    let mut host = Host::server();
    let listener = host.listen(10);
    let (id, iss) = host.accepted(listener, PEER, IRS);
    host.events();
    let data = |n: u32| from(PEER, A).seq(IRS + 1 + n).ack(iss + 1).data(b"x").packet();
    assert_eq!(host.receive(&data(0)), Outcome::Delivered);
    host.receive(&data(1));
    assert_eq!(host.events(), [Event::Connection(id, Readiness::READABLE)]);
    assert_eq!(host.events(), []);
}

#[test]
fn an_icmp_error_ends_a_half_open_connection_only_if_it_quotes_our_syn_ack() {
    // RFC 5927 §4.1.
    let mut host = Host::server();
    host.listen(10);
    host.receive(&syn(PEER, IRS).packet());
    let iss = host.reply().seq;
    let mut error = |seq: Seq, kind| {
        let quote = [80u16.to_be_bytes(), 40_000u16.to_be_bytes()].concat();
        let error = PathError {
            kind,
            local: SERVER.into(),
            remote: CLIENT.into(),
            protocol: protocol::TCP,
            quote: [quote, seq.0.to_be_bytes().to_vec()].concat().into(),
            reporter: CLIENT.into(),
        };
        let outcome = host.call(|tcp, cx| tcp.handle_path_error(&error, cx));
        (outcome, host.tcp.embryos())
    };
    let not_in_flight = Outcome::Dropped(IcmpNotInFlight);
    assert_eq!(error(iss + 1, PathErrorKind::PortUnreachable), (not_in_flight, 1));
    assert_eq!(error(iss, PathErrorKind::HostUnreachable), (Outcome::Consumed, 1));
    assert_eq!(error(iss, PathErrorKind::PortUnreachable), (Outcome::Consumed, 0));
    assert_eq!(error(iss, PathErrorKind::PortUnreachable), (not_in_flight, 0));
}

#[test]
fn all_sockets_are_listed_kind_by_kind() {
    let mut host = Host::server();
    let listener = host.listen(10);
    host.time_wait(listener, peer(1), IRS);
    host.receive(&syn(peer(2), IRS).packet());
    host.reply();
    host.handshake(peer(3), IRS);
    let rows: Vec<_> = host.tcp.sockets(host.now).map(|row| (row.state, row.remote.map(|peer| peer.port()))).collect();
    let expected = [
        (State::Listen, None),
        (State::Established, Some(3)),
        (State::SynReceived, Some(2)),
        (State::TimeWait, Some(1)),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_syn_that_comes_again_for_another_kind_of_ecn_resets() {
    // RFC 9768 §3.1.5.
    let mut host = Host::server();
    host.listen(10);
    host.receive(&from(PEER, S.with_ace(0b111)).seq(IRS).packet());
    assert_eq!(host.reply().flags, SA.with_ace(0b010));
    let outcome = host.receive(&from(PEER, S.with_ace(0b011)).seq(IRS).packet());
    assert_eq!((outcome, host.reply().flags), (Outcome::Dropped(TcpBadSyn), RA));
    let reset = host.receive(&from(PEER, A).seq(IRS + 1).ack(Seq(1)).packet());
    assert_eq!(reset, REFUSED, "nothing is left of it");
}

#[test]
fn a_half_open_connection_challenges_with_the_counter_at_its_beginning() {
    // RFC 9768 §3.2.2.
    let mut host = Host::server();
    host.listen(10);
    host.receive(&from(PEER, S.with_ace(0b111)).seq(IRS).packet());
    host.reply();
    host.receive(&from(PEER, R).seq(IRS + 100).packet());
    assert_eq!(host.reply().flags, A.with_ace(5));
}
