//! What the kernel leaves to us and we to it: checksums and super-segments.
//!
//! A frame from a raw socket, or one that came over another link, is not vouched for: its checksum is checked.

use crate::lab::{DAEMON, Daemon, Lab, Namespace, eventually, noise, offloads, sha256};
use std::io::{Read, Write};

/// Sends Ethernet frames from a packet socket, as they are: the kernel knows nothing of their checksums. Arguments:
/// the protocol (6 or 17), the destination port, and what to add to the right checksum.
const RAW: &str = r#"
import socket, struct, sys
protocol, port, wrong = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
ours, theirs = socket.inet_aton("192.0.2.1"), socket.inet_aton("192.0.2.2")
def checksum(octets):
    octets += bytes(len(octets) % 2)
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def transport(sum_field):
    if protocol == 17:
        return struct.pack("!HHHH", 4000, port, 12, sum_field) + b"ping"
    return struct.pack("!HHIIBBHHH", 4000, port, 1, 0, 5 << 4, 2, 1000, sum_field, 0)
pseudo = ours + theirs + struct.pack("!BBH", 0, protocol, len(transport(0)))
right = checksum(pseudo + transport(0))
segment = transport((right + wrong) & 0xffff)
header = lambda field: struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, protocol, field) + ours + theirs
packet = header(checksum(header(0))) + segment
own = bytes.fromhex(open("/sys/class/net/tap0/address").read().strip().replace(":", ""))
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("tap0", 0))
raw.send(bytes.fromhex("020000000002") + own + b"\x08\x00" + packet)
"#;

#[track_caller]
fn send_raw(lab: &Lab, protocol: u8, port: u16, wrong: u16) {
    lab.write("raw.py", RAW);
    lab.run(&format!("python3 raw.py {protocol} {port} {wrong}"));
}

#[test]
fn a_tcp_segment_whose_checksum_nobody_vouches_for_is_checked() {
    let lab = Lab::new();
    lab.run(&format!("ping -n -c 1 -W 2 {DAEMON}"));
    send_raw(&lab, 6, 7, 1);
    eventually("a drop for the checksum", || lab.daemon.count("drops", "tcp-checksum") == 1);
    assert_eq!(lab.daemon.count("counters", "TcpOutRsts"), 0);
    // The same segment, right: a port where nobody listens answers it.
    send_raw(&lab, 6, 6, 0);
    eventually("an answer", || lab.daemon.count("counters", "TcpOutRsts") == 1);
    assert_eq!(lab.daemon.count("drops", "tcp-checksum"), 1);
}

#[test]
fn a_datagram_whose_checksum_nobody_vouches_for_is_checked() {
    let lab = Lab::new();
    lab.run(&format!("ping -n -c 1 -W 2 {DAEMON}"));
    send_raw(&lab, 17, 7, 1);
    eventually("a drop for the checksum", || lab.daemon.count("drops", "udp-checksum") == 1);
    assert_eq!(lab.daemon.count("counters", "UdpInDatagrams"), 0);
    send_raw(&lab, 17, 7, 0);
    eventually("a datagram", || lab.daemon.count("counters", "UdpInDatagrams") == 1);
}

/// Frames that the kernel received from us and sent to us.
fn frames(lab: &Lab) -> (u64, u64) {
    let of = |name: &str| lab.run(&format!("cat /sys/class/net/tap0/statistics/{name}")).trim().parse().unwrap();
    (of("rx_packets"), of("tx_packets"))
}

#[test]
fn super_segments_pass_whole_both_ways_if_and_only_if_the_device_offloads() {
    let lab = Lab::new();
    let sent = noise(16 << 20, 21);
    let mut echoed = vec![0; sent.len()];
    let mut stream = lab.tcp(7);
    std::thread::scope(|scope| {
        let mut writer = stream.try_clone().unwrap();
        let sent = &sent;
        scope.spawn(move || writer.write_all(sent).unwrap());
        stream.read_exact(&mut echoed).unwrap();
    });
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(sha256(&echoed), sha256(&sent));
    let segments = sent.len() as u64 / 1448;
    let (from_us, to_us) = frames(&lab);
    if offloads() {
        assert!(from_us < segments / 4 && to_us < segments / 4, "{from_us} and {to_us} frames for {segments} segments");
    } else {
        assert!(from_us >= segments && to_us >= segments, "{from_us} and {to_us} frames for {segments} segments");
    }
}

#[test]
fn the_kernel_has_a_thread_for_plain_frames_as_long_as_the_daemon_runs() {
    let namespace = Namespace::new();
    namespace.run("ip tuntap add tap0 mode tap");
    let threaded = || namespace.run("cat /sys/class/net/tap0/threaded").trim() == "1";
    assert!(!threaded());
    let config = Lab::config().replace("[[interface]]", "[[interface]]\nqueues = 1");
    let mut daemon = Daemon::start(&namespace, "daemon", &config, &[]);
    assert_eq!(threaded(), !offloads());
    namespace.run(&format!("ping -n -c 1 -W 2 {DAEMON}"));
    assert!(daemon.stop().success());
    assert!(!threaded());
}

/// Sends twenty datagrams with one call, for the kernel to cut (`UDP_SEGMENT`), and waits for their echoes.
const TRAIN: &str = r#"
import socket
SOL_UDP, UDP_SEGMENT = 17, 103
sent = [bytes([n]) * 1000 for n in range(19)] + [b"x" * 10]
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(5)
udp.connect(("192.0.2.2", 7))
udp.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
udp.send(b"".join(sent))
assert [udp.recv(2000) for _ in sent] == sent
"#;

#[test]
fn a_train_of_datagrams_is_cut_and_every_one_answered() {
    let lab = Lab::new();
    lab.write("train.py", TRAIN);
    lab.run("python3 train.py");
    assert_eq!(lab.daemon.count("counters", "UdpInDatagrams"), 20);
    assert_eq!(lab.daemon.count("counters", "UdpOutDatagrams"), 20);
    let (from_us, to_us) = frames(&lab);
    if offloads() {
        assert!(from_us < 15 && to_us < 15, "{from_us} and {to_us} frames for 20 datagrams");
    }
}
