//! The services on the stack: two hosts on one cable, in virtual time.

use crate::application::mailbox::Mailboxes;
use crate::application::secure::{Secured, Upgradable};
use crate::application::server::{Bounds, Shutdown};
use crate::application::small::{self, Small};
use crate::application::{http, pop3};
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use crate::datalink::Mac;
use crate::physical::frame::{DeviceId, Frame};
use crate::physical::segmentation::Segments;
use crate::presentation::tls::ServerTls;
use crate::presentation::tls::tests::fixtures::{client_config, made, settings};
use crate::session::accounts::tests::cheap;
use crate::session::clock::Clock;
use crate::session::entrance::Entrance;
use crate::session::errands::Errands;
use crate::session::host::Host;
use crate::session::net::Net;
use crate::session::tcp::{TcpListener, TcpStream};
use crate::session::throttle::SharedThrottle;
use crate::session::udp::UdpSocket;
use crate::session::verifier::Verifier;
use crate::stack::Stack;
use crate::stack::config::{Config, InterfaceConfig};
use bytes::Bytes;
use rustls::{ClientConfig, ClientConnection};
use std::cell::RefCell;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;

fn host(last: u8) -> Host {
    let interface = InterfaceConfig {
        name: "eth0".into(),
        device: DeviceId(0),
        vlan: None,
        mac: Mac([2, 0, 0, 0, 0, last]),
        addresses: vec![format!("192.0.2.{last}/24").parse().unwrap()],
        mtu: 1_500,
        probe: false,
    };
    let config = Config { interfaces: vec![interface], ..Config::default() };
    Host::new(Stack::new(config, Random::from_seed(u64::from(last))), Duration::from_secs(1_795_348_800))
}

fn carry(from: &mut Host, to: &mut Host, now: Instant) -> bool {
    let mut moved = false;
    while let Some((_, frame)) = from.poll_transmit(now) {
        for segment in Segments::of(&frame).unwrap() {
            let mut octets = Vec::new();
            segment.write_into(&mut octets);
            to.receive(now, DeviceId(0), Frame::plain(Bytes::from(octets)));
        }
        moved = true;
    }
    moved
}

struct Cable {
    client: Host,
    server: Host,
    now: Instant,
}

impl Cable {
    fn new() -> Self {
        Cable { client: host(1), server: host(2), now: Instant::from_secs(1) }
    }

    fn listener(&self, port: u16) -> TcpListener {
        TcpListener::bind(self.server.net(), any(port)).unwrap()
    }

    fn clock(&self) -> Rc<dyn Clock> {
        Rc::new(self.server.net().clone())
    }

    /// Runs both hosts until the client's task is done, for at most ten minutes of their time.
    fn run<T: 'static, F: Future<Output = T> + 'static>(&mut self, task: impl FnOnce(Net) -> F) -> T {
        let done = Rc::new(RefCell::new(None));
        let (place, task) = (done.clone(), task(self.client.net().clone()));
        self.client.net().spawn(async move {
            let output = task.await;
            *place.borrow_mut() = Some(output);
        });
        let end = self.now + Duration::from_secs(600);
        loop {
            self.client.run(self.now);
            self.server.run(self.now);
            let moved = carry(&mut self.client, &mut self.server, self.now)
                | carry(&mut self.server, &mut self.client, self.now);
            if let Some(output) = done.borrow_mut().take() {
                return output;
            }
            if !moved {
                let next = [self.client.deadline(), self.server.deadline()].into_iter().flatten().min();
                self.now = next.unwrap_or(Instant::FAR_FUTURE).max(self.now + Duration::from_micros(1));
                assert!(self.now < end, "nothing more will happen");
            }
        }
    }
}

fn any(port: u16) -> SocketAddr {
    ([0, 0, 0, 0], port).into()
}

/// Sends `question`, closes our side, and gives everything that comes back.
async fn talk(net: Net, port: u16, question: impl Into<Bytes>) -> Vec<u8> {
    let mut stream = TcpStream::connect(&net, ([192, 0, 2, 2], port).into()).await.unwrap();
    let mut question = question.into();
    let mut answer = Vec::new();
    std::future::poll_fn(|cx| {
        while !question.is_empty() && stream.poll_write_bytes(cx, &mut question).is_ready() {}
        if question.is_empty() {
            stream.shutdown_write();
        }
        loop {
            match stream.poll_read_bytes(cx, usize::MAX) {
                std::task::Poll::Ready(read) if !read.as_ref().unwrap().is_empty() => answer.extend(read.unwrap()),
                other => return other.map(drop),
            }
        }
    })
    .await;
    answer
}

fn site(cable: &Cable, root: Option<http::Root>) -> Rc<http::Site> {
    let net = cable.server.net().clone();
    let hosts = http::Hosts { default: http::Host { root, ..http::Host::default() }, ..http::Hosts::default() };
    let state = Rc::new(move || serde_json::to_value(net.with_stack(|stack| stack.snapshot())).unwrap());
    Rc::new(http::Site::new(http::Config::default(), cable.clock(), Random::from_seed(1), hosts, state))
}

/// Sends `question` over TLS, and gives everything that comes back until the server's close_notify.
async fn talk_over_tls(net: Net, port: u16, config: ClientConfig, question: Vec<u8>) -> Vec<u8> {
    let mut stream = TcpStream::connect(&net, ([192, 0, 2, 2], port).into()).await.unwrap();
    let mut tls = ClientConnection::new(config.into(), "host.example".try_into().unwrap()).unwrap();
    tls.set_buffer_limit(None);
    tls.writer().write_all(&question).unwrap();
    let mut answer = Vec::new();
    loop {
        let mut octets = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut octets).unwrap();
        }
        stream.write_bytes(octets.into()).await.unwrap();
        let octets = stream.read_bytes(usize::MAX).await.unwrap();
        let mut octets = octets.as_ref();
        while !octets.is_empty() {
            if tls.read_tls(&mut octets).unwrap() == 0 {
                return answer;
            }
            let state = tls.process_new_packets().unwrap();
            let read = tls.reader().read_to_end(&mut answer);
            assert!(read.is_ok() || read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
            if state.peer_has_closed() {
                return answer;
            }
        }
    }
}

#[test]
fn megabytes_go_over_tls_over_the_stack_both_ways() {
    let mut cable = Cable::new();
    let folder = tempfile::TempDir::new().unwrap();
    let content: Vec<u8> = (0..2_000_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(folder.path().join("big"), &content).unwrap();
    let host = made(&["host.example"]);
    let acceptor = ServerTls::new(settings(&[&host])).unwrap().acceptor(&["http/1.1"], cable.clock());
    let site = site(&cable, Some(http::Root::open(folder.path()).unwrap()));
    let (listener, shutdown) = (Secured::new(cable.listener(8443), acceptor), Shutdown::new());
    cable.server.net().spawn(http::serve(listener, site, Bounds::default(), shutdown));
    let config = || client_config(&[&host], rustls::ALL_VERSIONS);
    let question = "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = cable.run(|net| talk_over_tls(net, 8443, config(), question.into()));
    assert!(answer.ends_with(&content));
    let mut upload =
        b"POST /-/sink HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2000000\r\n\r\n".to_vec();
    upload.extend_from_slice(&content);
    let answer = cable.run(|net| talk_over_tls(net, 8443, config(), upload));
    assert!(String::from_utf8(answer).unwrap().contains("{\"bytes\":2000000,"));
}

#[test]
fn a_megabyte_comes_over_http_and_the_state_page_shows_the_connection() {
    let mut cable = Cable::new();
    let folder = tempfile::TempDir::new().unwrap();
    let content: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(folder.path().join("big"), &content).unwrap();
    let site = site(&cable, Some(http::Root::open(folder.path()).unwrap()));
    let (listener, shutdown) = (cable.listener(8080), Shutdown::new());
    cable.server.net().spawn(http::serve(listener, site, Bounds::default(), shutdown));
    let answer = cable.run(|net| talk(net, 8080, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(answer.ends_with(&content));
    let answer = cable.run(|net| talk(net, 8080, "GET /-/sockets.json HTTP/1.1\r\nHost: a\r\n\r\n"));
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("192.0.2.2:8080"), "{answer}");
    let upload =
        format!("POST /-/sink HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n{}", "x".repeat(3_000_000));
    let answer = String::from_utf8(cable.run(|net| talk(net, 8080, upload))).unwrap();
    assert!(answer.contains("{\"bytes\":3000000,"), "{answer}");
}

#[test]
fn mail_is_fetched_over_the_stack() {
    let mut cable = Cable::new();
    let mail = tempfile::TempDir::new().unwrap();
    std::fs::create_dir_all(mail.path().join("alice/new")).unwrap();
    std::fs::write(mail.path().join("alice/new/1.a"), "Subject: x\n\nhello\n").unwrap();
    let verifier = Verifier::inline(cheap(&[("alice", "secret")]));
    let random = Random::from_seed(1);
    let service = Rc::new(pop3::Service {
        config: pop3::Config::default(),
        clock: cable.clock(),
        entrance: Entrance::new(
            cable.clock(),
            verifier,
            SharedThrottle::default(),
            random,
            crate::session::rights::Service::Pop3,
        ),
        mailboxes: Mailboxes::new(mail.path().join("{user}")),
        errands: Errands::inline(),
        delays: pop3::LoginDelays::default(),
        acceptor: None,
    });
    let listener = cable.listener(1110);
    cable.server.net().spawn(pop3::serve(Upgradable(listener), service, Bounds::default(), Shutdown::new()));
    let answer = cable.run(|net| talk(net, 1110, "USER alice\r\nPASS secret\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n"));
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.ends_with("hello\r\n.\r\n+OK marked for deletion\r\n+OK bye (0 messages left)\r\n"), "{answer}");
    assert!(!mail.path().join("alice/new/1.a").exists());
}

#[test]
fn echo_and_daytime_answer_over_tcp_and_udp() {
    let mut cable = Cable::new();
    for (service, port) in [(Small::Echo, 4007), (Small::Daytime, 4013)] {
        let listener = cable.listener(port);
        let socket = UdpSocket::bind(cable.server.net(), any(port)).unwrap();
        let clock = cable.clock();
        cable.server.net().spawn(small::serve(service, listener, clock.clone(), Bounds::default(), Shutdown::new()));
        cable.server.net().spawn(async move {
            small::serve_datagrams(service, &socket, &*clock, &Shutdown::new()).await;
        });
    }
    let sent: Vec<u8> = (0..2_000_000u32).map(|n| (n % 251) as u8).collect();
    let question = sent.clone();
    assert!(cable.run(|net| talk(net, 4007, question)) == sent);
    assert!(cable.run(|net| talk(net, 4013, "")).starts_with(b"Sun, 22 Nov 2026 12:00:"));
    let answers = cable.run(|net| async move {
        let socket = UdpSocket::bind(&net, any(0)).unwrap();
        let mut answers = Vec::new();
        for port in [4007, 4013] {
            socket.send_to("hello".into(), ([192, 0, 2, 2], port).into()).unwrap();
            answers.push(socket.recv_from().await.unwrap().0);
        }
        answers
    });
    assert_eq!(answers[0], "hello");
    assert!(answers[1].starts_with(b"Sun, 22 Nov 2026"));
}

#[test]
fn a_shutdown_ends_idle_connections_at_once() {
    let mut cable = Cable::new();
    let shutdown = Shutdown::new();
    let site = site(&cable, None);
    cable.server.net().spawn(http::serve(cable.listener(8080), site, Bounds::default(), shutdown.clone()));
    let began = cable.now;
    cable.run(|net| async move {
        let mut stream = TcpStream::connect(&net, ([192, 0, 2, 2], 8080).into()).await.unwrap();
        stream.write_bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n".into()).await.unwrap();
        stream.read_bytes(1).await.unwrap();
        shutdown.ask();
        while !stream.read_bytes(usize::MAX).await.unwrap().is_empty() {}
    });
    assert!(cable.now.since(began) < Duration::from_secs(1));
}

#[test]
fn a_task_learns_of_urgent_data_and_reads_it_in_its_place() {
    // RFC 9293 MUST-30, MUST-32, MUST-33; RFC 6093 §3.4.
    let mut cable = Cable::new();
    let listener = cable.listener(4_000);
    cable.server.net().spawn(async move {
        let mut stream = listener.accept().await.unwrap();
        let ahead = stream.urgent().await.unwrap();
        assert_eq!(stream.read_bytes(100).await.unwrap(), "ab!");
        stream.write_bytes(Bytes::from(ahead.to_string())).await.unwrap();
    });
    let answer = cable.run(|net| async move {
        let mut stream = TcpStream::connect(&net, ([192, 0, 2, 2], 4_000).into()).await.unwrap();
        stream.set_hop_limit(9);
        stream.write_bytes(Bytes::from_static(b"ab!")).await.unwrap();
        stream.mark_urgent();
        stream.read_bytes(100).await.unwrap()
    });
    assert_eq!(answer, "3");
}
