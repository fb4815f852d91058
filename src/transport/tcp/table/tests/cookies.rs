//! SYN floods and cookies (RFC 4987).

use super::super::*;
use super::harness::*;
use crate::base::drops::DropReason::*;
use crate::transport::tcp::connection::Read;
use crate::transport::tcp::options::Options;
use crate::transport::tcp::segment::Flags;
use bytes::Bytes;

const IRS: Seq = Seq(u32::MAX);

/// A server whose half-open connections are all taken; what it answered is gone.
fn flooded() -> (Host, ListenerId) {
    let mut host = Host::server();
    let listener = host.listen(100);
    for n in 0..limits::TCP_EMBRYOS as u32 {
        let [_, _, a, b] = n.to_be_bytes();
        assert_eq!(host.receive(&syn(([10, 0, a, b], 1).into(), Seq(n)).packet()), Outcome::Answered);
        host.sent();
    }
    (host, listener)
}

fn all_options() -> Options {
    Options { mss: Some(1452), window_scale: Some(9), sack_permitted: true, ..Options::default() }
}

#[test]
fn a_flood_of_syns_is_answered_and_keeps_a_bounded_number() {
    let (mut host, _) = flooded();
    let sent = host.counters.of(Counter::TcpOutSegs);
    for n in 0..20_000u32 {
        let [_, _, a, b] = n.to_be_bytes();
        host.now += Duration::from_micros(20);
        assert_eq!(host.receive(&syn(([10, 1, a, b], 1).into(), Seq(n)).packet()), Outcome::Answered);
        assert_eq!(host.reply().flags, SA);
    }
    assert_eq!((host.tcp.embryos(), host.tcp.owners.len()), (limits::TCP_EMBRYOS, limits::TCP_EMBRYOS));
    assert_eq!(host.tcp.timers.len(), limits::TCP_EMBRYOS);
    assert_eq!(host.counters.of(Counter::TcpSyncookiesSent), 20_000);
    assert_eq!(host.counters.of(Counter::TcpOutSegs) - sent, 20_000);
    host.pass(Duration::from_secs(600));
    assert!(host.is_empty() && host.tcp.timers.is_empty());
}

#[test]
fn in_a_flood_beyond_all_answering_a_client_is_answered_when_it_asks_again() {
    let (mut host, listener) = flooded();
    let strangers = |host: &mut Host| {
        for n in 0..20_000u32 {
            let [_, _, a, b] = n.to_be_bytes();
            host.receive(&syn(([10, 1, a, b], 2).into(), Seq(n)).packet());
            host.sent();
        }
    };
    strangers(&mut host);
    assert_eq!(host.receive(&syn(PEER, IRS).packet()), Outcome::Dropped(TcpFlood));
    host.now += Duration::from_secs(1);
    strangers(&mut host);
    assert_eq!(host.receive(&syn(PEER, IRS).packet()), Outcome::Answered);
    let syn_ack = host.reply();
    let ack = from(PEER, A).seq(IRS + 1).ack(syn_ack.seq + 1).data(b"GET /").packet();
    assert_eq!(host.receive(&ack), Outcome::Delivered);
    assert!(host.tcp.accept(listener).is_some());
}

#[test]
fn a_cookie_opens_a_connection_with_what_the_syn_offered() {
    let (mut host, listener) = flooded();
    host.receive(&syn(PEER, IRS).options(all_options()).stamp(500, 0).packet());
    let syn_ack = host.reply();
    assert_eq!((syn_ack.flags, syn_ack.ack), (SA, IRS + 1));
    let offered = (syn_ack.options.window_scale, syn_ack.options.sack_permitted);
    assert_eq!(offered, (Some(7), true));
    assert_eq!(host.tcp.connections(), 0);
    let echo = syn_ack.options.timestamps.unwrap().value;
    host.now += Duration::from_millis(80);
    let ack = from(PEER, A).seq(IRS + 1).ack(syn_ack.seq + 1).stamp(580, echo).data(b"GET /").packet();
    assert_eq!(host.receive(&ack), Outcome::Delivered);
    let (id, _) = host.tcp.accept(listener).unwrap();
    let info = host.tcp.info(id).unwrap();
    assert_eq!((info.send_window_scale, info.receive_window_scale), (Some(9), Some(7)));
    assert!(info.sack && info.timestamps);
    // 1452 counts as 1440, less the timestamps.
    assert_eq!(info.mss_bytes, 1440 - 12);
    assert_eq!(host.call(|tcp, cx| tcp.read(id, 100, cx)), Ok(Read::Data(Bytes::from_static(b"GET /"))));
    // The clock goes on from where the cookie's timestamp was.
    host.pass(Duration::from_millis(50));
    host.call(|tcp, cx| tcp.write(id, &mut Bytes::from_static(b"200"), cx)).unwrap();
    let answer = host.reply().options.timestamps.unwrap();
    assert!(Seq(answer.value).at_or_after(Seq(echo + 80)), "{answer:?} after {echo}");
    assert_eq!(answer.echo, 580);
}

#[test]
fn without_timestamps_a_cookie_promises_no_options() {
    let (mut host, listener) = flooded();
    host.receive(&syn(PEER, IRS).options(all_options()).packet());
    let syn_ack = host.reply();
    let options = (syn_ack.options.window_scale, syn_ack.options.sack_permitted, syn_ack.options.timestamps);
    assert_eq!(options, (None, false, None));
    host.receive(&from(PEER, A).seq(IRS + 1).ack(syn_ack.seq + 1).packet());
    let (id, _) = host.tcp.accept(listener).unwrap();
    let info = host.tcp.info(id).unwrap();
    assert_eq!((info.send_window_scale, info.sack, info.timestamps), (None, false, false));
}

#[test]
fn a_cookie_brings_ecn_back_too() {
    // RFC 3168 §6.1.1; Linux carries it in the same bit.
    let (mut host, listener) = flooded();
    let asks = Flags::SYN | Flags::ECE | Flags::CWR;
    host.receive(&from(PEER, asks).seq(IRS).options(all_options()).stamp(500, 0).packet());
    let syn_ack = host.reply();
    assert_eq!(syn_ack.flags, SA | Flags::ECE);
    let echo = syn_ack.options.timestamps.unwrap().value;
    host.receive(&from(PEER, A).seq(IRS + 1).ack(syn_ack.seq + 1).stamp(580, echo).packet());
    let (id, _) = host.tcp.accept(listener).unwrap();
    host.call(|tcp, cx| tcp.write(id, &mut Bytes::from_static(b"200"), cx)).unwrap();
    assert_eq!(host.transmit().unwrap().traffic_class & 0b11, 0b10, "data is ECN-capable");
}

#[test]
fn the_ack_field_tells_a_cookie_of_accurate_ecn_with_timestamps_and_without() {
    // RFC 9768 §5.1: the handshake encoding of the pure ACK, or the counter of data that comes first.
    for (ace, stamped) in [(0b010, true), (0b010, false), (5, false), (6, true)] {
        let (mut host, listener) = flooded();
        let syn = from(PEER, Flags::SYN.with_ace(0b111)).seq(IRS).options(all_options());
        host.receive(&if stamped { syn.stamp(500, 0) } else { syn }.packet());
        let syn_ack = host.reply();
        assert_eq!(syn_ack.flags, SA.with_ace(0b010));
        let ack = from(PEER, A.with_ace(ace)).seq(IRS + 1).ack(syn_ack.seq + 1);
        let echo = syn_ack.options.timestamps.map_or(0, |timestamps| timestamps.value);
        host.receive(&if stamped { ack.stamp(580, echo) } else { ack }.packet());
        let (id, _) = host.tcp.accept(listener).unwrap();
        assert_eq!(host.tcp.info(id).unwrap().ecn, "accurate", "{ace:03b}");
    }
}

#[test]
fn a_wrong_cookie_is_reset() {
    let (mut host, listener) = flooded();
    host.receive(&syn(PEER, IRS).packet());
    let iss = host.reply().seq;
    let bad = Outcome::Dropped(TcpBadCookie);
    // Eight numbers share the code; another code, another secret's, another peer's are wrong.
    assert_eq!(host.receive(&from(PEER, A).seq(IRS + 1).ack(iss + 9).packet()), bad);
    let reset = host.reply();
    assert_eq!((reset.flags, reset.seq), (R, iss + 9));
    assert_eq!(host.receive(&from(peer(1), A).seq(IRS + 1).ack(iss + 1).packet()), bad);
    assert_eq!(host.receive(&from(PEER, A).seq(IRS + 2).ack(iss + 1).packet()), bad);
    assert_eq!((host.tcp.accept(listener), host.counters.of(Counter::TcpSyncookiesFailed)), (None, 3));
}

#[test]
fn a_cookie_comes_back_in_time_or_not_at_all() {
    let (mut host, _) = flooded();
    host.receive(&syn(PEER, IRS).packet());
    let iss = host.reply().seq;
    host.pass(Duration::from_secs(129));
    let ack = from(PEER, A).seq(IRS + 1).ack(iss + 1).packet();
    assert!(matches!(host.receive(&ack), Outcome::Dropped(TcpBadCookie | TcpNoConnection)));
    assert_eq!(host.tcp.connections(), 0);
}

#[test]
fn while_no_cookie_was_sent_none_is_believed() {
    let mut host = Host::server();
    host.listen(10);
    let iss = host.tcp.cookies.make(WWW, PEER, IRS, 1460, host.now);
    let outcome = host.receive(&from(PEER, A).seq(IRS + 1).ack(iss + 1).packet());
    assert_eq!((outcome, host.tcp.connections()), (Outcome::Dropped(TcpNoConnection), 0));
    assert_eq!(host.reply().flags, R);
}

#[test]
fn some_time_after_the_last_cookie_was_sent_none_is_believed() {
    // A guess is then answered as any stray ACK is, and costs no look at a code.
    let (mut host, _) = flooded();
    host.receive(&syn(PEER, IRS).packet());
    host.sent();
    host.pass(Duration::from_secs(129));
    let iss = host.tcp.cookies.make(WWW, PEER, IRS, 1460, host.now);
    let outcome = host.receive(&from(PEER, A).seq(IRS + 1).ack(iss + 1).packet());
    assert_eq!((outcome, host.tcp.connections()), (Outcome::Dropped(TcpNoConnection), 0));
}

#[test]
fn a_cookie_for_a_full_accept_queue_waits_for_the_peer_to_try_again() {
    let (mut host, listener) = flooded();
    let mut isses = Vec::new();
    for port in 0..=100 {
        host.receive(&syn(peer(port), IRS).packet());
        isses.push(host.reply().seq);
    }
    let ack = |port: u16| from(peer(port), A).seq(IRS + 1).ack(isses[usize::from(port)] + 1).packet();
    let outcomes: Vec<_> = (0..=100).map(|port| host.receive(&ack(port))).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Dropped(TcpBacklogFull)).count(), 1);
    assert!(host.sent().is_empty());
    host.tcp.accept(listener).unwrap();
    host.receive(&ack(100));
    assert_eq!(std::iter::from_fn(|| host.tcp.accept(listener)).count(), 100);
}
