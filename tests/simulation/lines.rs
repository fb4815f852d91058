//! What becomes of a connection when the line or the peer goes away, and comes back or does not.

use crate::sim::{self, HostId, World, stream};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tapstack::base::counters::Counter;
use tapstack::base::time::{Duration, Instant};
use tapstack::datalink::InterfaceId;
use tapstack::physical::cable::Faults;
use tapstack::session::tcp::{ListenOptions, TcpListener, TcpStream};
use tapstack::transport::tcp::config::{Config, Keepalive};

const SERVER: ([u8; 4], u16) = ([192, 0, 2, 2], 80);
const KEY: u64 = 7;

pub fn cut() -> Faults {
    Faults { loss: 1.0, ..Faults::default() }
}

/// Two hosts with a cable between them.
pub fn pair(faults: &Faults, tcp: &Config) -> (World, HostId, HostId) {
    let mut world = World::new(None);
    let [client, server] = [1, 2].map(|last| {
        let mut config = sim::host(last);
        config.tcp = tcp.clone();
        world.add(config, u64::from(last))
    });
    world.connect(client.plug(0), server.plug(0), faults, 42);
    (world, client, server)
}

/// What a transfer has come to.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    pub read: u64,
    pub end_at: Option<Instant>,
    pub write_error: Option<(io::ErrorKind, Instant)>,
    pub read_error: Option<(io::ErrorKind, Instant)>,
}

/// The client sends `total` bytes and closes; the server starts to read after `rest`.
pub fn transfer(world: &World, ends: (HostId, HostId), total: u64, rest: Duration) -> Rc<RefCell<Transfer>> {
    let transfer = Rc::new(RefCell::new(Transfer::default()));
    let net = world.net(ends.1);
    let listener = TcpListener::bind(&net, SERVER.into()).unwrap();
    let seen = transfer.clone();
    net.clone().spawn(async move {
        let mut stream = listener.accept().await.unwrap();
        net.sleep(rest).await;
        loop {
            match stream.read_bytes(1 << 16).await {
                Ok(bytes) if bytes.is_empty() => {
                    seen.borrow_mut().end_at = Some(net.now());
                    return;
                }
                Ok(bytes) => {
                    let so_far = seen.borrow().read;
                    stream::check(KEY, so_far, &bytes);
                    seen.borrow_mut().read += bytes.len() as u64;
                }
                Err(error) => {
                    seen.borrow_mut().read_error = Some((error.kind(), net.now()));
                    return;
                }
            }
        }
    });
    let (net, seen) = (world.net(ends.0), transfer.clone());
    net.clone().spawn(async move {
        let mut stream = TcpStream::connect(&net, SERVER.into()).await.unwrap();
        let mut sent = 0;
        while sent < total {
            let len = (total - sent).min(10_000);
            if let Err(error) = stream.write_bytes(stream::bytes(KEY, sent, len as usize)).await {
                seen.borrow_mut().write_error = Some((error.kind(), net.now()));
                return;
            }
            sent += len;
        }
        stream.shutdown_write();
        if let Err(error) = stream.read_bytes(1).await {
            seen.borrow_mut().write_error = Some((error.kind(), net.now()));
        }
    });
    transfer
}

fn slow_line() -> Faults {
    Faults { delay: Duration::from_millis(10), rate: Some(10_000_000), ..Faults::default() }
}

#[test]
fn a_line_that_is_cut_for_a_minute_only_costs_time() {
    let (mut world, client, server) = pair(&slow_line(), &Config::default());
    let seen = transfer(&world, (client, server), 2 << 20, Duration::ZERO);
    world.run_for(Duration::from_millis(700));
    let before = seen.borrow().read;
    assert!(before > 100_000, "{before}");
    world.set_faults(&cut());
    world.run_for(Duration::from_secs(60));
    world.set_faults(&slow_line());
    let healed = world.now();
    assert!(world.run_until(Duration::from_secs(120), |_| seen.borrow().end_at.is_some()), "{seen:?}");
    assert_eq!(seen.borrow().read, 2 << 20);
    // RFC 6298 (5.5): the RTO has doubled to some 50 s, so the next try comes within about that.
    let took = seen.borrow().end_at.unwrap().since(healed);
    assert!(took < Duration::from_secs(70), "{took:?}");
    // It must not have been tried all the time either: ten doublings make a minute.
    let tries = world.count_of(client, Counter::TcpTimeouts);
    assert!((5..=12).contains(&tries), "{tries} timeouts in a minute");
    world.assert_all_freed();
}

#[test]
fn a_peer_that_vanishes_is_given_up_after_the_user_timeout() {
    // RFC 9293 MUST-20, §3.10.1: the user timeout.
    let tcp = Config { user_timeout: Some(Duration::from_secs(30)), ..Config::default() };
    let (mut world, client, server) = pair(&slow_line(), &tcp);
    let seen = transfer(&world, (client, server), 2 << 20, Duration::ZERO);
    world.run_for(Duration::from_millis(700));
    world.set_faults(&cut());
    let gone = world.now();
    world.run_for(Duration::from_secs(200));
    let (kind, at) = seen.borrow().write_error.unwrap();
    // ARP found out that nobody is there any more, which says more than a timeout.
    assert_eq!(kind, io::ErrorKind::HostUnreachable);
    let took = at.since(gone);
    assert!((Duration::from_secs(29)..Duration::from_secs(40)).contains(&took), "{took:?}");
    assert_eq!(world.count_of(client, Counter::TcpAbortOnTimeout), 1);
}

#[test]
fn an_idle_peer_that_vanishes_is_found_by_keepalives() {
    // RFC 9293 MUST-24 to MUST-29.
    let keepalive = Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), count: 5 };
    let tcp = Config { keepalive: Some(keepalive), ..Config::default() };
    let (mut world, client, server) = pair(&slow_line(), &tcp);
    let seen = Rc::new(RefCell::new(None));
    let listener = TcpListener::bind(&world.net(server), SERVER.into()).unwrap();
    world.net(server).spawn(async move {
        let mut stream = listener.accept().await.unwrap();
        let _ = stream.read_bytes(1).await;
    });
    let (net, end) = (world.net(client), seen.clone());
    net.clone().spawn(async move {
        let mut stream = TcpStream::connect(&net, SERVER.into()).await.unwrap();
        let error = stream.read_bytes(1).await.unwrap_err();
        *end.borrow_mut() = Some((error.kind(), net.now()));
    });
    // As long as the peer answers, nobody is given up.
    world.run_for(Duration::from_secs(3600));
    assert_eq!(*seen.borrow(), None);
    assert!(world.count_of(client, Counter::TcpKeepAlive) >= 20);
    world.set_faults(&cut());
    let gone = world.now();
    world.run_for(Duration::from_secs(300));
    let (kind, at) = seen.borrow().unwrap();
    assert_eq!(kind, io::ErrorKind::TimedOut);
    let took = at.since(gone);
    assert!((Duration::from_secs(45)..=Duration::from_secs(115)).contains(&took), "{took:?}");
}

#[test]
fn an_idle_connection_lives_for_days_without_a_frame() {
    // RFC 9293 MUST-25: no keepalives unless asked for.
    let (mut world, client, server) = pair(&slow_line(), &Config::default());
    let seen = Rc::new(RefCell::new(false));
    let listener = TcpListener::bind(&world.net(server), SERVER.into()).unwrap();
    let (net, heard) = (world.net(server), seen.clone());
    net.spawn(async move {
        let mut stream = listener.accept().await.unwrap();
        assert_eq!(stream.read_bytes(10).await.unwrap(), "hello"[..]);
        *heard.borrow_mut() = true;
    });
    let net = world.net(client);
    net.clone().spawn(async move {
        let mut stream = TcpStream::connect(&net, SERVER.into()).await.unwrap();
        net.sleep(Duration::from_secs(3 * 86_400)).await;
        stream.write_bytes("hello".into()).await.unwrap();
    });
    world.run_for(Duration::from_secs(60));
    let segments = world.count_of(client, Counter::TcpOutSegs) + world.count_of(server, Counter::TcpOutSegs);
    world.run_for(Duration::from_secs(2 * 86_400));
    let later = world.count_of(client, Counter::TcpOutSegs) + world.count_of(server, Counter::TcpOutSegs);
    assert_eq!(later, segments, "an idle connection is silent");
    world.run_for(Duration::from_secs(2 * 86_400));
    assert!(*seen.borrow());
}

#[test]
fn a_window_that_stays_shut_for_minutes_is_probed_and_opens_again() {
    // RFC 9293 MUST-34 to MUST-37, §3.8.6.1.
    let (mut world, client, server) = pair(&slow_line(), &Config { receive_buffer: 16 << 10, ..Config::default() });
    let rest = Duration::from_secs(20 * 60);
    let seen = transfer(&world, (client, server), 4 << 20, rest);
    world.run_for(rest - Duration::from_secs(5));
    assert_eq!(seen.borrow().read, 0);
    assert_eq!(seen.borrow().write_error, None, "probes that are answered keep a connection alive");
    let probes = world.count_of(client, Counter::TcpWinProbe);
    // Doubling from the RTO to its bound of two minutes makes some 20 in 20 minutes.
    assert!((8..=40).contains(&probes), "{probes} probes");
    assert!(world.run_until(Duration::from_secs(300), |_| seen.borrow().end_at.is_some()), "{seen:?}");
    assert_eq!(seen.borrow().read, 4 << 20);
    world.assert_all_freed();
}

#[test]
fn a_lost_window_update_does_not_stop_a_transfer() {
    // RFC 9293 §3.8.6.1: that is what probes are for.
    let (mut world, client, server) = pair(&slow_line(), &Config { receive_buffer: 16 << 10, ..Config::default() });
    let rest = Duration::from_secs(30);
    let seen = transfer(&world, (client, server), 1 << 20, rest);
    world.run_for(rest - Duration::from_secs(1));
    world.set_faults_from(server.plug(0), &cut());
    world.run_for(Duration::from_secs(3));
    assert!(seen.borrow().read > 0, "the reader has started");
    world.set_faults_from(server.plug(0), &slow_line());
    assert!(world.run_until(Duration::from_secs(130), |_| seen.borrow().end_at.is_some()), "{seen:?}");
}

#[test]
fn a_peer_that_forgot_the_connection_resets_it() {
    // RFC 9293 §3.5.1: half-open connections.
    let (mut world, client, server) = pair(&slow_line(), &Config::default());
    let listener = TcpListener::bind(&world.net(server), SERVER.into()).unwrap();
    let net = world.net(server);
    net.clone().spawn(async move {
        let mut stream = listener.accept().await.unwrap();
        net.sleep(Duration::from_secs(10)).await;
        stream.abort();
    });
    let (net, seen) = (world.net(client), Rc::new(RefCell::new(None)));
    let end = seen.clone();
    net.clone().spawn(async move {
        let mut stream = TcpStream::connect(&net, SERVER.into()).await.unwrap();
        net.sleep(Duration::from_secs(30)).await;
        stream.write_bytes("are you there?".into()).await.unwrap();
        *end.borrow_mut() = Some(stream.read_bytes(1).await.unwrap_err().kind());
    });
    world.run_for(Duration::from_secs(5));
    world.set_faults(&cut());
    world.run_for(Duration::from_secs(15));
    world.set_faults(&slow_line());
    world.run_for(Duration::from_secs(60));
    assert_eq!(*seen.borrow(), Some(io::ErrorKind::ConnectionReset));
    world.assert_all_freed();
}

/// How an open ends, and when.
fn opens(world: &mut World, client: HostId, remote: SocketAddr, limit: Duration) -> (io::Result<()>, Duration) {
    let (net, seen) = (world.net(client), Rc::new(RefCell::new(None)));
    let (end, start) = (seen.clone(), world.now());
    net.clone().spawn(async move {
        let opened = TcpStream::connect(&net, remote).await.map(|_| ());
        *end.borrow_mut() = Some((opened, net.now().since(start)));
    });
    world.run_for(limit);
    seen.take().unwrap()
}

#[test]
fn a_closed_port_refuses_at_once() {
    let (mut world, client, _) = pair(&slow_line(), &Config::default());
    let (opened, took) = opens(&mut world, client, SERVER.into(), Duration::from_secs(10));
    assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    assert!(took < Duration::from_secs(1), "{took:?}");
    world.assert_all_freed();
}

#[test]
fn a_host_that_is_not_there_is_given_up_in_time() {
    let (mut world, client, _) = pair(&slow_line(), &Config::default());
    let nobody = SocketAddr::from(([192, 0, 2, 99], 80));
    let (opened, took) = opens(&mut world, client, nobody, Duration::from_secs(400));
    let kind = opened.unwrap_err().kind();
    assert!(matches!(kind, io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable), "{kind}");
    // RFC 9293 MUST-23: at least three minutes, unless something says that it is hopeless.
    assert!(took < Duration::from_secs(260), "{took:?}");
    world.assert_all_freed();
}

#[test]
fn a_host_that_never_answers_a_syn_is_tried_for_three_minutes() {
    // RFC 9293 MUST-23; RFC 6298 (5.5): the retransmissions of a SYN back off. ARP has no say in it.
    let mut world = World::new(None);
    let mut config = sim::host(1);
    let silent = SocketAddr::from(SERVER);
    config.neighbours = vec![(InterfaceId(0), silent.ip(), sim::mac("192.0.2.0", 0, 2))];
    let client = world.add(config, 1);
    let (opened, took) = opens(&mut world, client, silent, Duration::from_secs(400));
    assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!((Duration::from_secs(180)..Duration::from_secs(300)).contains(&took), "{took:?}");
    assert_eq!(world.count_of(client, Counter::TcpRetransSegs), 7);
    world.assert_all_freed();
}

#[test]
fn both_sides_may_open_at_once() {
    // RFC 9293 MUST-10, figure 8.
    let (mut world, left, right) = pair(&slow_line(), &Config::default());
    let ends: [SocketAddr; 2] = [([192, 0, 2, 1], 4000).into(), ([192, 0, 2, 2], 5000).into()];
    let heard = Rc::new(RefCell::new(Vec::new()));
    for (host, own, peer) in [(left, ends[0], ends[1]), (right, ends[1], ends[0])] {
        let (net, heard) = (world.net(host), heard.clone());
        net.clone().spawn(async move {
            // The neighbours get to know each other first, or the SYNs would not cross.
            let _ = TcpStream::connect(&net, (peer.ip(), 9).into()).await;
            net.sleep_until(Instant::from_secs(5)).await;
            let mut stream = TcpStream::connect_with(&net, Some(own), peer, None).await.unwrap();
            stream.write_bytes("hello".into()).await.unwrap();
            stream.shutdown_write();
            let data = stream.read_bytes(100).await.unwrap();
            heard.borrow_mut().push(data);
            assert!(stream.read_bytes(100).await.unwrap().is_empty());
        });
    }
    world.run_for(Duration::from_secs(20));
    assert_eq!(*heard.borrow(), ["hello", "hello"]);
    world.assert_all_freed();
}

#[test]
fn hundreds_of_connections_open_at_once_and_are_all_freed() {
    let line = Faults { loss: 0.02, delay: Duration::from_millis(5), ..Faults::default() };
    let (mut world, client, server) = pair(&line, &Config::default());
    let options = ListenOptions { backlog: Some(64), config: None };
    let listener = TcpListener::bind_with(&world.net(server), SERVER.into(), options).unwrap();
    let net = world.net(server);
    net.clone().spawn(async move {
        loop {
            let mut stream = listener.accept().await.unwrap();
            net.spawn(async move {
                while let Ok(bytes) = stream.read_bytes(1000).await {
                    if bytes.is_empty() || stream.write_bytes(bytes).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let echoed = Rc::new(RefCell::new(0));
    for id in 0..400u64 {
        let (net, echoed) = (world.net(client), echoed.clone());
        net.clone().spawn(async move {
            let mut stream = TcpStream::connect(&net, SERVER.into()).await.unwrap();
            stream.write_bytes(stream::bytes(id, 0, 500)).await.unwrap();
            stream.shutdown_write();
            let mut so_far = 0;
            loop {
                let bytes = stream.read_bytes(1000).await.unwrap();
                if bytes.is_empty() {
                    break;
                }
                stream::check(id, so_far, &bytes);
                so_far += bytes.len() as u64;
            }
            assert_eq!(so_far, 500);
            *echoed.borrow_mut() += 1;
        });
    }
    assert!(world.run_until(Duration::from_secs(400), |_| *echoed.borrow() == 400), "{echoed:?}");
    world.run_for(Duration::from_secs(300));
    let left = world.stack(client, |stack| stack.show_sockets());
    assert!(left.iter().all(|row| row.protocol != "tcp"), "{left:#?}");
    let left = world.stack(server, |stack| stack.show_sockets());
    assert!(left.iter().all(|row| row.state == "LISTEN"), "{left:#?}");
}
