//! Several queues: a stack and a thread each, one host.
//!
//! The kernel spreads flows by a hash with a key of its own; with as many as here no queue is left without.

use crate::lab::{DAEMON, Daemon, Lab, Namespace, eventually, noise, read_to_end, sha256};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

/// Flows of one test: that one of four queues gets none of them happens once in 10^8 runs.
const FLOWS: usize = 64;

/// The ordinary lab with so many queues.
fn lab(queues: u16) -> Lab {
    let namespace = Namespace::new();
    namespace.write("www/index.html", "<h1>the lab</h1>\n");
    let config = Lab::config().replace("[[interface]]", &format!("[[interface]]\nqueues = {queues}"));
    let daemon = Daemon::start(&namespace, "daemon", &format!("{config}[http]\nroot = \"www\"\n"), &[]);
    Lab { daemon, namespace }
}

/// How many connections each queue has.
fn connections_by_queue(daemon: &Daemon) -> BTreeMap<u64, usize> {
    let mut by_queue = BTreeMap::new();
    for connection in daemon.connections() {
        *by_queue.entry(connection["queue"].as_u64().unwrap()).or_default() += 1;
    }
    by_queue
}

fn echo(stream: &mut TcpStream, what: &[u8]) {
    stream.write_all(what).unwrap();
    let mut back = vec![0; what.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == what, "not what was sent");
}

fn passed(daemon: &Daemon) -> u64 {
    daemon.count("outcomes", "passed")
}

#[test]
fn flows_are_served_on_every_queue_and_one_daemon_shows_them_all() {
    for queues in [2, 4] {
        let lab = lab(queues);
        let mut streams: Vec<TcpStream> = (0..FLOWS).map(|_| lab.tcp(7)).collect();
        for (index, stream) in streams.iter_mut().enumerate() {
            echo(stream, format!("flow {index}").as_bytes());
        }
        let by_queue = connections_by_queue(&lab.daemon);
        assert_eq!(by_queue.values().sum::<usize>(), FLOWS);
        assert_eq!(by_queue.len(), usize::from(queues), "{by_queue:?}");
        let interfaces = lab.daemon.show("interfaces");
        let frames = |of: &Value| of["rx_frames"].as_u64().unwrap();
        let by_queue: Vec<u64> = interfaces[0]["queues"].as_array().unwrap().iter().map(frames).collect();
        assert_eq!(by_queue.len(), usize::from(queues));
        assert!(by_queue.iter().all(|frames| *frames > 0), "{by_queue:?}");
        assert_eq!(frames(&interfaces[0]), by_queue.iter().sum::<u64>());
        // A listener is shown once, however many threads listen.
        let sockets = lab.daemon.show("sockets");
        let echo_listeners = sockets
            .as_array()
            .unwrap()
            .iter()
            .filter(|socket| socket["state"] == "LISTEN" && socket["local"] == "0.0.0.0:7");
        assert_eq!(echo_listeners.count(), 1);
        assert_eq!(passed(&lab.daemon), 0, "a flow stays on its queue");
    }
}

#[test]
fn pages_uploads_and_datagrams_arrive_over_all_queues_at_once() {
    let lab = lab(4);
    let file = noise(4 << 20, 40);
    lab.write("www/file", &file);
    let digests =
        lab.run(&format!("for i in $(seq 16); do curl -s --max-time 30 http://{DAEMON}/file | sha256sum & done; wait"));
    let digests: Vec<&str> = digests.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(digests, vec![sha256(&file); 16]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let mut stream = lab.tcp(7);
            let mut writer = stream.try_clone().unwrap();
            let file = &file;
            scope.spawn(move || {
                writer.write_all(file).unwrap();
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            });
            scope.spawn(move || assert!(read_to_end(&mut stream) == *file));
        }
    });
    let sockets: Vec<UdpSocket> = (0..FLOWS).map(|_| lab.udp(7)).collect();
    for (index, socket) in sockets.iter().enumerate() {
        // Every second one in fragments.
        let sent = noise(if index % 2 == 0 { 100 } else { 5000 }, index as u64);
        let mut back = vec![0; 6000];
        socket.send(&sent).unwrap();
        let len = socket.recv(&mut back).unwrap();
        assert!(back[..len] == sent[..]);
    }
    lab.run(&format!("ping -n -c 20 -i 0.01 -W 2 {DAEMON}"));
}

#[test]
fn a_flow_goes_on_after_a_silence_in_which_the_kernel_forgot_its_queue() {
    let lab = lab(4);
    let mut streams: Vec<TcpStream> = (0..FLOWS).map(|_| lab.tcp(7)).collect();
    streams.iter_mut().for_each(|stream| echo(stream, b"before"));
    let before = connections_by_queue(&lab.daemon);
    // The kernel forgets a flow after three seconds, or a moment later when it looks.
    std::thread::sleep(Duration::from_millis(4500));
    streams.iter_mut().for_each(|stream| echo(stream, b"after"));
    assert_eq!(connections_by_queue(&lab.daemon), before);
    assert_eq!(lab.daemon.count("counters", "TcpOutRsts"), 0);
}

/// A client in a namespace of its own, at 198.51.100.2 behind the kernel of the lab.
struct Far {
    namespace: Namespace,
}

impl Far {
    fn beyond(lab: &Lab, mtu: u16) -> Far {
        let namespace = Namespace::new();
        lab.run(&format!(
            "ip link add far type veth peer name eth0 netns {} && ip link set far mtu {mtu} up && \
             ip addr add 198.51.100.1/24 dev far && sysctl -qw net.ipv4.ip_forward=1",
            namespace.name()
        ));
        namespace.run(
            "ip addr add 198.51.100.2/24 dev eth0 && ip link set eth0 up && ip route add default via 198.51.100.1",
        );
        Far { namespace }
    }
}

/// A daemon of two queues for whom the kernel of the lab is the way to everybody else.
fn lab_with_route() -> Lab {
    let namespace = Namespace::new();
    namespace.write("www/file", noise(2 << 20, 41));
    let config = Lab::config().replace("[[interface]]", "[[interface]]\nqueues = 2");
    let tables = "[[route]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\n[http]\nroot = \"www\"\n";
    let daemon = Daemon::start(&namespace, "daemon", &format!("{config}{tables}"), &[]);
    Lab { daemon, namespace }
}

#[test]
fn segments_in_fragments_come_to_one_queue_and_reach_the_connections_of_both() {
    let lab = lab_with_route();
    let far = Far::beyond(&lab, 1500);
    // The kernel of the client lets routers fragment, and the one on the way has to.
    far.namespace.run("sysctl -qw net.ipv4.ip_no_pmtu_disc=1");
    lab.run("ip link set tap0 mtu 700");
    let sent = noise(1 << 20, 42);
    let mut streams: Vec<TcpStream> = (0..16).map(|_| far.namespace.connect(&format!("{DAEMON}:7"))).collect();
    let queues: BTreeSet<u64> = connections_by_queue(&lab.daemon).into_keys().collect();
    assert_eq!(queues, BTreeSet::from([0, 1]));
    for stream in &mut streams {
        let mut writer = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&sent).unwrap();
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            });
            assert!(read_to_end(stream) == sent);
        });
    }
    assert!(passed(&lab.daemon) > 0, "nothing had to be passed on");
    assert!(lab.daemon.count("counters", "IpReasmOKs") > 0);
    assert_eq!(lab.daemon.count("counters", "TcpOutRsts"), 0);
}

#[test]
fn a_path_mtu_that_one_connection_learns_is_known_on_every_queue() {
    let lab = lab_with_route();
    let far = Far::beyond(&lab, 900);
    let known = || {
        let limits = lab.daemon.show("limits");
        let path_mtus = limits.as_array().unwrap().iter().find(|limit| limit["name"] == "path MTUs").unwrap().clone();
        path_mtus["used"].as_u64().unwrap()
    };
    assert_eq!(known(), 0);
    let digest = far.namespace.run(&format!("curl -s --max-time 30 http://{DAEMON}/file | sha256sum"));
    assert!(digest.starts_with(&sha256(&lab.namespace.read("www/file"))), "{digest}");
    // One connection, one error, two stacks.
    eventually("the path MTU on both queues", || known() == 2);
}

#[test]
fn a_neighbour_is_asked_for_once_for_all_queues() {
    let lab = lab(4);
    let mut streams: Vec<TcpStream> = (0..FLOWS).map(|_| lab.tcp(7)).collect();
    streams.iter_mut().for_each(|stream| echo(stream, b"hello"));
    assert_eq!(connections_by_queue(&lab.daemon).len(), 4);
    // The kernel asked for us before its first SYN: every stack could answer without asking back.
    assert_eq!(lab.daemon.count("counters", "ArpRequestsSent"), 0);
    let neighbours = lab.daemon.show("neighbours");
    assert_eq!(neighbours.as_array().unwrap().len(), 1, "{neighbours}");
}

#[test]
fn what_belongs_to_no_queue_is_refused() {
    let lab = lab(4);
    let refused = lab.namespace.try_connect(&format!("{DAEMON}:4444")).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let socket = lab.udp(4444);
    socket.send(b"anybody?").unwrap();
    let refused = socket.recv(&mut [0; 16]).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(passed(&lab.daemon), 6, "each of the other three was asked");
}

#[test]
fn a_maildrop_is_open_once_whichever_queues_the_sessions_are_on() {
    let lab = lab(4);
    lab.run("mkdir -p mail/alice/{new,cur,tmp} && printf 'Subject: x\\r\\n\\r\\nhello\\r\\n' > mail/alice/new/1");
    let mut line = String::new();
    let mut sessions = Vec::new();
    let mut entered = 0;
    for _ in 0..8 {
        let stream = lab.tcp(110);
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut say = |words: &str| {
            (&stream).write_all(words.as_bytes()).unwrap();
            line.clear();
            reader.read_line(&mut line).unwrap();
            line.clone()
        };
        let greeting = say("");
        assert!(greeting.starts_with("+OK"), "{greeting}");
        assert!(say("USER alice\r\n").starts_with("+OK"));
        let answer = say("PASS wonderland\r\n");
        entered += usize::from(answer.starts_with("+OK"));
        assert!(answer.starts_with("+OK") || answer.contains("[IN-USE]"), "{answer}");
        sessions.push(stream);
    }
    assert!(connections_by_queue(&lab.daemon).len() > 1);
    assert_eq!(entered, 1);
}

#[test]
fn a_stop_lets_the_connections_of_every_queue_end() {
    let mut lab = lab(4);
    let mut streams: Vec<TcpStream> = (0..FLOWS).map(|_| lab.tcp(7)).collect();
    streams.iter_mut().for_each(|stream| echo(stream, b"hello"));
    lab.daemon.process().signal("TERM");
    for mut stream in streams {
        let mut rest = Vec::new();
        // In order or, when the time for it is up, by a reset; but not by silence.
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    }
    assert!(lab.daemon.process().wait(Duration::from_secs(10)).success(), "{}", lab.daemon.log());
}

#[test]
fn a_second_signal_resets_the_connections_of_every_queue() {
    let mut lab = lab(4);
    let mut streams: Vec<TcpStream> = (0..FLOWS).map(|_| lab.tcp(7)).collect();
    streams.iter_mut().for_each(|stream| echo(stream, b"hello"));
    lab.daemon.process().signal("TERM");
    std::thread::sleep(Duration::from_millis(50));
    lab.daemon.process().signal("TERM");
    assert!(lab.daemon.process().wait(Duration::from_secs(3)).success(), "{}", lab.daemon.log());
    for mut stream in streams {
        let ended = stream.read_to_end(&mut Vec::new());
        assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    }
}

#[test]
fn a_tap_that_is_deleted_ends_all_threads_with_the_reason() {
    let mut lab = lab(4);
    lab.run("ip link del tap0");
    let status = lab.daemon.process().wait(Duration::from_secs(5));
    assert_eq!(status.code(), Some(1));
    assert!(lab.daemon.log().contains("the TAP device can't be read: tap0"), "{}", lab.daemon.log());
}

#[test]
fn a_second_daemon_on_the_same_tap_is_refused_and_takes_no_flows() {
    let lab = lab(2);
    let busy = lab.attempt("tapstack run --config daemon.toml --control $PWD/other.sock");
    assert_eq!(busy.status, 1);
    assert!(busy.stderr.contains("tap0") && busy.stderr.contains("another process"), "{}", busy.stderr);
    let mut streams: Vec<TcpStream> = (0..FLOWS).map(|_| lab.tcp(7)).collect();
    streams.iter_mut().for_each(|stream| echo(stream, b"hello"));
}

#[test]
fn a_persistent_tap_of_one_queue_is_refused_in_plain_words() {
    let namespace = Namespace::new();
    namespace.run("ip tuntap add tap0 mode tap");
    let config = Lab::config().replace("[[interface]]", "[[interface]]\nqueues = 2");
    let mut daemon = Daemon::start_unready(&namespace, "daemon", &config, &[]);
    assert_eq!(daemon.process().wait(Duration::from_secs(5)).code(), Some(1));
    assert!(daemon.log().contains("multi_queue"), "{}", daemon.log());
    namespace.run("ip link del tap0 && ip tuntap add tap0 mode tap multi_queue");
    let daemon = Daemon::start(&namespace, "again", &config, &[]);
    namespace.run(&format!("ping -n -c 1 -W 2 {DAEMON}"));
    drop(daemon);
}

#[test]
fn a_capture_has_the_frames_of_every_queue_under_one_name() {
    let namespace = Namespace::new();
    let config = Lab::config().replace("[[interface]]", "[[interface]]\nqueues = 4");
    let daemon = Daemon::start(&namespace, "daemon", &config, &["--pcap", "all.pcapng"]);
    let lab = Lab { daemon, namespace };
    let mut streams: Vec<TcpStream> = (0..FLOWS).map(|_| lab.tcp(7)).collect();
    streams.iter_mut().for_each(|stream| echo(stream, b"hello"));
    drop(streams);
    let syns =
        lab.run("tshark -r all.pcapng -Y 'tcp.flags.syn == 1 && tcp.flags.ack == 0' -T fields -e frame.interface_name");
    let names: Vec<&str> = syns.lines().collect();
    assert_eq!(names, vec!["tap0"; FLOWS]);
}

#[test]
fn auto_is_one_for_each_core() {
    let namespace = Namespace::new();
    let config = Lab::config().replace("[[interface]]", "[[interface]]\nqueues = \"auto\"");
    let daemon = Daemon::start(&namespace, "daemon", &config, &[]);
    let cores: usize = namespace.run("nproc").trim().parse().unwrap();
    let interfaces = daemon.show("interfaces");
    // With one there is nothing to tell apart.
    let queues = interfaces[0]["queues"].as_array().map_or(1, Vec::len);
    assert_eq!(queues, cores.min(64));
}
