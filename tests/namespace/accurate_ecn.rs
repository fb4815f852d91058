//! ECN with the kernel's TCP, and accurate ECN (RFC 9768) through the kernel's cutting of super-segments.
//!
//! ```text
//!   host of the test -- tap9 -- bridge -- line1 ==cable that marks== line0 -- bridge -- tap0 -- tapstack run
//! ```
//!
//! A kernel that can be told to ask for accurate ECN (Linux 7, `tcp_ecn=3`) does it here with us; an older one, that
//! takes our SYN for one of RFC 3168 as it should, does that.

use crate::lab::{BadLine, DAEMON, Namespace, SOON, eventually, noise, offloads, open_tap, sha256};
use bytes::Bytes;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant as Clock};
use tapstack::base::random::Random;
use tapstack::base::time::Instant;
use tapstack::datalink::Mac;
use tapstack::physical::frame::{Device, DeviceId};
use tapstack::session::host::Host;
use tapstack::session::net::Net;
use tapstack::session::tcp::TcpStream;
use tapstack::stack::Stack;
use tapstack::stack::config::{Config, InterfaceConfig};
use tapstack::transport::tcp::config::Ecn;
use tapstack::transport::tcp::info::Info;

/// A line that marks long before its queue is full.
const MARKING: &str = "--rate 60mbit --delay 5ms --queue 2MiB --mark 3KiB";

/// Sets `tcp_ecn` of a namespace's kernel; false if it does not know the value.
fn takes_ecn(namespace: &Namespace, value: u8) -> bool {
    namespace.attempt(&format!("echo {value} >/proc/sys/net/ipv4/tcp_ecn")).status == 0
}

/// A host of ours on a TAP that asks for accurate ECN, and has `octets` echoed by `server`: what it knows of the connection
/// in the end. `line` makes the TAP's way into the world.
fn echoed(line: &str, server: &str, octets: &Bytes) -> Info {
    let mut tap = open_tap("tap9", offloads());
    assert!(Command::new("sh").args(["-ec", line]).status().unwrap().success());
    let interface = InterfaceConfig {
        name: "tap9".to_owned(),
        device: DeviceId(0),
        vlan: None,
        mac: Mac([2, 0, 0, 0, 0, 9]),
        addresses: vec!["192.0.2.9/24".parse().unwrap()],
        mtu: 1500,
        probe: false,
    };
    let mut config = Config { interfaces: vec![interface], ..Config::default() };
    config.tcp.ecn = Ecn::Accurate;
    let mut host = Host::new(Stack::new(config, Random::from_seed(1)), tapstack::base::time::Duration::ZERO);
    let told = Rc::new(RefCell::new(None));
    let (net, tell, server, octets) = (host.net().clone(), Rc::clone(&told), server.parse().unwrap(), octets.clone());
    host.net().spawn(async move {
        let stream = echo(&net, server, octets).await;
        // The last acknowledgments are on their way.
        net.sleep(tapstack::base::time::Duration::from_millis(300)).await;
        *tell.borrow_mut() = stream.info();
        // The other end is to be asked as well while it is open.
        std::future::pending::<()>().await;
    });
    let start = Clock::now();
    while told.borrow().is_none() {
        assert!(start.elapsed() < 4 * SOON, "the echo does not end");
        let now = Instant::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap());
        while let Some(frame) = tap.receive().unwrap() {
            host.receive(now, DeviceId(0), frame);
        }
        host.run(now);
        while let Some((_, frame)) = host.poll_transmit(now) {
            while !tap.transmit(&frame).unwrap() {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    told.take().unwrap()
}

/// Sends all of it and reads it back at the same time.
async fn echo(net: &Net, server: SocketAddr, octets: Bytes) -> TcpStream {
    let mut stream = TcpStream::connect(net, server).await.unwrap();
    let (mut unsent, mut received) = (octets.clone(), Vec::new());
    poll_fn(|cx| {
        while !unsent.is_empty()
            && let Poll::Ready(written) = stream.poll_write_bytes(cx, &mut unsent)
        {
            written.unwrap();
        }
        while received.len() < octets.len()
            && let Poll::Ready(read) = stream.poll_read_bytes(cx, 1 << 16)
        {
            let read = read.unwrap();
            assert!(!read.is_empty(), "the echo ends before its end");
            received.extend_from_slice(&read);
        }
        if received.len() < octets.len() { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    assert!(received == octets, "other octets came back");
    stream
}

/// What both ends know of an echo of eight mebibytes over a line that marks, and loses one frame of a hundred.
fn echoed_over_a_lossy_line(seed: u64) -> (Info, serde_json::Value) {
    let line = BadLine::new(&format!("{MARKING} --loss 1% --seed {seed}"));
    let way = "ip link add far type bridge; ip link set far up; ip address flush dev line1
               ip link set line1 master far; ip link set tap9 up master far";
    let octets = Bytes::from(noise(8 << 20, 1));
    let near = line.inside(|| echoed(way, &format!("{DAEMON}:7"), &octets));
    (near, line.daemon.connections()[0].clone())
}

#[test]
fn both_ends_count_the_same_marks_where_the_kernel_cuts_super_segments() {
    // RFC 9768 §3.3.4: it takes the bit that CWR is from all segments but the first, and where that is lost the next would
    // tell another count.
    let is_exact = (1..=3).any(|seed| {
        let (near, far) = echoed_over_a_lossy_line(seed);
        assert_eq!((near.ecn, far["ecn"].as_str()), ("accurate", Some("accurate")));
        assert!(near.retransmissions > 5 && far["retransmissions"].as_u64() > Some(5), "{near:?}\n{far}");
        let (near_told, near_counted) = (near.measured.delivered_ce_segments, near.measured.received_ce_segments);
        let of_far = |name: &str| far[name].as_u64().unwrap();
        let (far_told, far_counted) = (of_far("delivered_ce_segments"), of_far("received_ce_segments"));
        let ways: [(u64, u64); 2] =
            [(near_told.unwrap().into(), far_counted), (far_told, near_counted.unwrap().into())];
        eprintln!("seed {seed}: marks told and counted {ways:?}");
        for (told, counted) in ways {
            assert!(counted > 0 && told.abs_diff(counted) % 8 == 0, "{told} marks told, {counted} counted");
        }
        ways.iter().all(|(told, counted)| told == counted)
    });
    // Where the first segment with an option was lost none comes after it (§3.2.3.2.2), and rounds of the field are a guess,
    // which happens once in fifty times: not three times in a row.
    assert!(is_exact, "the counts differ each time");
}

/// What each value of `tcp_ecn` leads to: where the kernel asks, and where we ask.
const KERNELS: [(u8, &str, &str); 4] =
    [(3, "accurate", "accurate"), (2, "off", "classic"), (1, "classic", "classic"), (0, "off", "off")];

#[test]
fn the_kernel_asks_and_we_agree_to_what_it_knows() {
    let line = BadLine::new(MARKING);
    line.write("www/file", noise(16 << 20, 2));
    for (value, mode, _) in KERNELS.into_iter().filter(|(value, ..)| takes_ecn(&line, *value)) {
        let mut stream = line.connect(&format!("{DAEMON}:7"));
        stream.write_all(b"marked?").unwrap();
        stream.read_exact(&mut [0; 7]).unwrap();
        assert_eq!(line.daemon.connections()[0]["ecn"], mode, "tcp_ecn={value}");
        drop(stream);
        line.run(&format!("curl -sS -m 50 -o got http://{DAEMON}/file"));
        assert_eq!(sha256(&line.read("got")), sha256(&line.read("www/file")));
        eventually("its sockets gone", || line.daemon.connections().is_empty());
    }
    let mut line = line;
    let report = line.cable.take().unwrap().take_up();
    let marked: u64 = report.lines().skip(1).filter_map(|row| row.split_whitespace().nth(7)?.parse::<u64>().ok()).sum();
    assert!(report.contains("MARKED") && marked > 20, "{report}");
}

const SERVER: &str = r#"
import socket, threading
def serve(c):
    with c:
        while piece := c.recv(65536):
            c.sendall(piece)
with socket.create_server(("192.0.2.1", 4000)) as s:
    while True:
        threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"#;

#[test]
fn we_ask_and_the_kernel_agrees_to_what_it_knows() {
    // RFC 9768 table 2.
    let way = "ip address add 192.0.2.1/24 dev tap9; ip link set tap9 up
               until ss -ltn | grep -q 192.0.2.1:4000; do sleep 0.1; done";
    let octets = Bytes::from(noise(1 << 20, 3));
    for (value, _, mode) in KERNELS {
        let namespace = Namespace::new();
        if !takes_ecn(&namespace, value) {
            continue;
        }
        namespace.write("server.py", SERVER);
        let _server = namespace.start("until python3 server.py; do sleep 0.1; done");
        let info = namespace.inside(|| echoed(way, "192.0.2.1:4000", &octets));
        assert_eq!(info.ecn, mode, "tcp_ecn={value}");
        assert_eq!(info.ecn_seen, mode != "off", "tcp_ecn={value}");
    }
}
