//! TIME-WAIT as the table keeps it: answered by a small record, ended by time, reopened by RFC 6191.

use super::super::slot::LONGEST_ALARM;
use super::super::*;
use super::harness::*;
use crate::base::drops::DropReason::*;
use crate::transport::tcp::connection::Read;
use crate::transport::tcp::state::State;

const IRS: Seq = Seq(7000);

fn closed() -> (Host, ListenerId, Seq) {
    let mut host = Host::server();
    let listener = host.listen(10);
    let iss = host.time_wait(listener, PEER, IRS);
    assert_eq!((host.tcp.connections(), host.tcp.time_waits()), (0, 1));
    (host, listener, iss)
}

#[test]
fn who_closed_first_waits_for_its_time_and_is_gone() {
    // RFC 9293 MUST-13.
    let (mut host, ..) = closed();
    host.pass(Duration::from_secs(59));
    assert_eq!(host.tcp.time_waits(), 1);
    host.pass(Duration::from_secs(2));
    assert!(host.is_empty());
    // Timers of the connection that was may still be set, but not for long.
    host.pass(LONGEST_ALARM);
    assert_eq!(host.tcp.deadline(), None);
}

#[test]
fn a_retransmitted_fin_is_acknowledged_and_the_wait_begins_anew() {
    let (mut host, _, iss) = closed();
    host.pass(Duration::from_secs(50));
    assert_eq!(host.receive(&from(PEER, FA).seq(IRS + 1).ack(iss + 2).packet()), Outcome::Answered);
    let ack = host.reply();
    assert_eq!((ack.flags, ack.seq, ack.ack), (A, iss + 2, IRS + 2));
    host.pass(Duration::from_secs(59));
    assert_eq!(host.tcp.time_waits(), 1);
    host.pass(Duration::from_secs(2));
    assert!(host.is_empty());
}

#[test]
fn a_reset_does_not_end_it() {
    // RFC 1337.
    let (mut host, ..) = closed();
    assert_eq!(host.receive(&from(PEER, R).seq(IRS + 2).packet()), Outcome::Dropped(TcpBadReset));
    assert_eq!(host.tcp.time_waits(), 1);
}

#[test]
fn a_later_syn_opens_the_connection_again_with_a_later_iss() {
    // RFC 6191, RFC 9293 MAY-2.
    let (mut host, listener, old) = closed();
    assert_eq!(host.receive(&syn(PEER, IRS + 2).packet()), Outcome::Answered);
    let syn_ack = host.reply();
    assert_eq!((syn_ack.flags, syn_ack.ack), (SA, IRS + 3));
    assert!(syn_ack.seq.after(old + 65_536));
    assert_eq!((host.tcp.time_waits(), host.tcp.embryos()), (0, 1));
    assert_eq!(host.counters.of(Counter::TcpTimeWaitRecycled), 1);
    host.receive(&from(PEER, A).seq(IRS + 3).ack(syn_ack.seq + 1).packet());
    let (id, _) = host.tcp.accept(listener).unwrap();
    // The timer of the record that is gone does nothing to the connection that took its place.
    host.pass(Duration::from_secs(120));
    assert_eq!(host.tcp.state(id), Ok(State::Established));
}

#[test]
fn an_earlier_syn_is_dropped_in_silence() {
    // RFC 6191 §2.
    let (mut host, ..) = closed();
    assert_eq!(host.receive(&syn(PEER, IRS).packet()), Outcome::Dropped(TcpBadSyn));
    assert!(host.sent().is_empty());
    assert_eq!(host.tcp.time_waits(), 1);
}

#[test]
fn without_a_listener_no_syn_reopens_it() {
    let (mut host, listener, _) = closed();
    host.call(|tcp, cx| tcp.close_listener(listener, cx));
    assert_eq!(host.receive(&syn(PEER, IRS + 2).packet()), Outcome::Dropped(TcpBadSyn));
    assert_eq!((host.sent().len(), host.tcp.time_waits()), (0, 1));
}

#[test]
fn a_full_listener_leaves_the_record_as_it_is() {
    let (mut host, ..) = closed();
    for port in 0..10 {
        host.handshake(peer(port), IRS);
    }
    assert_eq!(host.receive(&syn(PEER, IRS + 2).packet()), Outcome::Dropped(TcpBacklogFull));
    assert_eq!(host.tcp.time_waits(), 1);
}

#[test]
fn a_connection_with_unread_data_keeps_it_through_time_wait() {
    let mut host = Host::server();
    let listener = host.listen(10);
    let (id, iss) = host.accepted(listener, PEER, IRS);
    host.call(|tcp, cx| tcp.shutdown_write(id, cx)).unwrap();
    host.reply();
    host.receive(&from(PEER, FA).seq(IRS + 1).ack(iss + 2).data(b"last words").packet());
    host.sent();
    assert_eq!((host.tcp.state(id), host.tcp.time_waits()), (Ok(State::TimeWait), 0));
    let mut read = || host.call(|tcp, cx| tcp.read(id, 100, cx));
    assert_eq!(read(), Ok(Read::Data(bytes::Bytes::from_static(b"last words"))));
    assert_eq!(read(), Ok(Read::End));
    host.call(|tcp, cx| tcp.close(id, cx));
    assert_eq!((host.tcp.connections(), host.tcp.time_waits()), (0, 1));
}
