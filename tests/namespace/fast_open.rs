//! TCP Fast Open (RFC 7413) with the kernel's TCP as client and as server.

use crate::lab::{DAEMON, Lab, Namespace, SOON, open_tap};
use bytes::Bytes;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant as Clock};
use tapstack::base::random::Random;
use tapstack::base::time::Instant;
use tapstack::datalink::Mac;
use tapstack::physical::frame::{Device, DeviceId};
use tapstack::physical::host_side::{HostSettings, HostSide};
use tapstack::session::host::Host;
use tapstack::session::tcp::TcpStream;
use tapstack::stack::Stack;
use tapstack::stack::config::{Config, InterfaceConfig};

const CLIENT: &str = r#"
import socket, sys
for n in range(3):
    with socket.socket() as s:
        s.sendto(b"number %d" % n, 0x20000000, (sys.argv[1], 7))
        s.shutdown(socket.SHUT_WR)
        got = b""
        while piece := s.recv(100):
            got += piece
        print(got.decode())
"#;

/// A counter of the kernel.
fn counted(namespace: &Namespace, name: &str) -> String {
    namespace.run(&format!("nstat -asz TcpExt{name} | awk '/TcpExt/ {{ printf $2 }}'"))
}

#[test]
fn the_kernel_opens_fast_towards_us() {
    let lab = Lab::with("fast_open = true\n");
    lab.run("echo 3 >/proc/sys/net/ipv4/tcp_fastopen");
    lab.write("client.py", CLIENT);
    assert_eq!(lab.run(&format!("python3 client.py {DAEMON}")), "number 0\nnumber 1\nnumber 2\n");
    // The first asks for a cookie, the others bring it.
    assert_eq!(lab.daemon.count("counters", "TcpFastOpenCookieReqd"), 1);
    assert_eq!(lab.daemon.count("counters", "TcpFastOpenPassive"), 2);
    assert_eq!(counted(&lab, "TCPFastOpenActive"), "2");
}

const SERVER: &str = r#"
import socket
with socket.socket() as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("192.0.2.1", 4000))
    s.setsockopt(socket.IPPROTO_TCP, 23, 16)
    s.listen()
    print("ready", flush=True)
    while True:
        with s.accept()[0] as c:
            while piece := c.recv(100):
                c.sendall(piece)
"#;

/// One connection after another: what is sent first comes back.
async fn ask_three_times(net: tapstack::session::net::Net, done: Rc<Cell<u32>>) {
    let server: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    for n in 0..3 {
        let said = Bytes::from(format!("number {n}"));
        let mut stream = TcpStream::connect_with_data(&net, None, server, None, said.clone()).await.unwrap();
        stream.shutdown_write();
        assert_eq!(stream.read_bytes(100).await.unwrap(), said);
        assert!(stream.read_bytes(100).await.unwrap().is_empty());
        done.set(n + 1);
    }
}

#[test]
fn we_open_fast_towards_the_kernel() {
    let namespace = Namespace::new();
    let interface = InterfaceConfig {
        name: "tap0".to_owned(),
        device: DeviceId(0),
        vlan: None,
        mac: Mac([2, 0, 0, 0, 0, 2]),
        addresses: vec!["192.0.2.2/24".parse().unwrap()],
        mtu: 1500,
        probe: false,
    };
    let done = namespace.inside(|| {
        let mut tap = open_tap("tap0", false);
        let settings = HostSettings { address: Some("192.0.2.1/24".parse().unwrap()), mtu: 1500 };
        let _kernel = HostSide::set_up("tap0", settings).unwrap();
        namespace.run("echo 3 >/proc/sys/net/ipv4/tcp_fastopen");
        namespace.write("server.py", SERVER);
        let server = namespace.start("exec python3 server.py");
        let start = Clock::now();
        while !server.stdout().contains("ready") {
            assert!(start.elapsed() < SOON, "the server does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        let config = Config { interfaces: vec![interface], ..Config::default() };
        let mut host = Host::new(Stack::new(config, Random::from_seed(1)), tapstack::base::time::Duration::ZERO);
        let done = Rc::new(Cell::new(0));
        host.net().spawn(ask_three_times(host.net().clone(), Rc::clone(&done)));
        while done.get() < 3 && start.elapsed() < SOON {
            let now = Instant::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap());
            while let Some(frame) = tap.receive().unwrap() {
                host.receive(now, DeviceId(0), frame);
            }
            host.run(now);
            while let Some((_, frame)) = host.poll_transmit(now) {
                assert!(tap.transmit(&frame).unwrap());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        done.get()
    });
    assert_eq!(done, 3);
    assert_eq!(counted(&namespace, "TCPFastOpenPassive"), "2");
    assert_eq!(counted(&namespace, "TCPFastOpenCookieReqd"), "1");
}
