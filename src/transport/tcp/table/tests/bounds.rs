//! What strangers can make the table keep, and send.

use super::super::*;
use super::harness::*;
use crate::transport::tcp::connection::TimeWaitFacts;

fn record(n: u32, now: Instant) -> TimeWait {
    let [_, a, b, c] = n.to_be_bytes();
    TimeWait::new(&TimeWaitFacts {
        local: WWW,
        remote: ([10, a, b, c], 4000).into(),
        snd_nxt: Seq(0),
        rcv_nxt: Seq(0),
        rcv_wnd: 1000,
        window: 1000,
        ace: 0,
        timestamps: None,
        deadline: now + Duration::from_secs(60),
        duration: Duration::from_secs(60),
    })
}

#[test]
fn a_hundred_thousand_time_waits_stay_within_their_bound_and_all_end() {
    let mut host = Host::with(SERVER, 1, Config::default(), 50_000);
    for n in 0..100_000 {
        let record = record(n, host.now);
        host.tcp.keep_time_wait(record);
        host.now += Duration::from_micros(100);
    }
    assert_eq!((host.tcp.time_waits(), host.tcp.owners.len()), (50_000, 50_000));
    // The oldest made room.
    assert!(!host.tcp.is_taken(WWW, ([10, 0, 0, 0], 4000).into()));
    assert!(host.tcp.is_taken(WWW, ([10, 1, 134, 159], 4000).into()));
    host.pass(Duration::from_secs(61));
    assert!(host.is_empty() && host.tcp.timers.is_empty());
}

#[test]
fn answers_to_strangers_wait_in_a_bounded_queue() {
    let mut host = Host::server();
    for n in 0..limits::TCP_REPLIES as u32 + 100 {
        host.receive(&syn(peer(n as u16), Seq(n)).packet());
    }
    assert_eq!(host.sent().len(), limits::TCP_REPLIES);
}

#[test]
fn challenges_are_limited_for_all_connections_together() {
    // RFC 5961 §7.
    let mut host = Host::server();
    let listener = host.listen(limits::TCP_BACKLOG);
    let limit = limits::TCP_CHALLENGE_ACKS_PER_SECOND as usize;
    let connections = limit as u16 / 10 + 50;
    for port in 1..=connections {
        host.accepted(listener, peer(port), Seq(0));
    }
    let mut challenges = 0;
    for port in 1..=connections {
        for _ in 0..20 {
            host.receive(&syn(peer(port), Seq(5)).packet());
            challenges += host.sent().len();
        }
    }
    assert_eq!(challenges, limit);
}

#[test]
fn challenges_of_half_open_connections_count_as_well() {
    // RFC 5961 §7.
    let mut host = Host::server();
    host.listen(10);
    host.receive(&syn(PEER, Seq(100)).packet());
    host.sent();
    let limit = limits::TCP_CHALLENGE_ACKS_PER_SECOND as usize;
    let mut challenges = 0;
    for _ in 0..limit + 50 {
        host.receive(&from(PEER, R).seq(Seq(200)).packet());
        challenges += host.sent().len();
    }
    assert_eq!(challenges, limit);
}

#[test]
fn a_connection_that_comes_and_goes_leaves_nothing_behind() {
    let mut host = Host::server();
    let listener = host.listen(10);
    for n in 0..1_000u32 {
        host.time_wait(listener, peer(n as u16), Seq(n));
    }
    assert_eq!((host.tcp.connections(), host.tcp.time_waits()), (0, 1_000));
    assert_eq!(host.events(), [Event::Acceptable(listener)]);
    host.pass(Duration::from_secs(3600));
    assert!(host.is_empty() && host.tcp.timers.is_empty());
    assert!(host.tcp.turns.is_empty() && host.tcp.events.is_empty());
}
