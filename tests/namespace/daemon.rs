//! The daemon as a process: signals, control socket, `show`, capture, and what it leaves behind.

use crate::lab::{DAEMON, Daemon, Lab, Namespace, SOON, eventually, noise, sha256};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::time::{Duration, Instant};

const HTTP: &str = "[http]\nroot = \"www\"\n";

#[test]
fn without_a_configuration_it_is_a_host_that_answers() {
    let namespace = Namespace::new();
    let mut daemon = namespace.start("exec tapstack run --control $PWD/control.sock --state $PWD/state");
    daemon.wait_for_line("ready");
    assert_eq!(daemon.stdout(), "ready\n");
    namespace.run(&format!("ping -n -c 1 -W 2 {DAEMON} && curl -sSfL http://{DAEMON}/ | grep tapstack"));
    assert_eq!(namespace.run(&format!("printf x | nc -N -w 5 {DAEMON} 7")), "x");
    namespace.run(&format!("nc -d -w 5 {DAEMON} 13 | grep :"));
    daemon.signal("TERM");
    assert!(daemon.wait(SOON).success(), "{}", daemon.stderr());
    assert_eq!(namespace.attempt("ip link show tap0").status, 1, "tap0 is left over");
}

#[test]
fn an_idle_daemon_stops_at_once() {
    let mut lab = Lab::with(HTTP);
    let mut idle = lab.tcp(80);
    let start = Instant::now();
    assert!(lab.daemon.stop().success());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    // The idle client is told in order.
    assert_eq!(idle.read(&mut [0; 10]).unwrap(), 0, "not closed in order");
    assert!(!lab.daemon.control().exists(), "the control socket is left over");
}

#[test]
fn a_second_signal_stops_it_at_once() {
    let namespace = Namespace::new();
    let config = Lab::config().replace("grace = \"1s\"", "grace = \"60s\"");
    namespace.write("www/big", noise(64 << 20, 1));
    let mut lab = Lab { daemon: Daemon::start(&namespace, "daemon", &format!("{config}{HTTP}"), &[]), namespace };
    let mut download = lab.tcp(80);
    download.write_all(format!("GET /big HTTP/1.1\r\nHost: {DAEMON}\r\n\r\n").as_bytes()).unwrap();
    download.read_exact(&mut [0; 1000]).unwrap();
    lab.daemon.process().signal("TERM");
    std::thread::sleep(Duration::from_millis(500));
    assert!(lab.daemon.process().is_running(), "it did not wait for the download");
    let refused = lab.try_connect(&format!("{DAEMON}:80")).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "still listening: {refused}");
    lab.daemon.process().signal("INT");
    assert!(lab.daemon.process().wait(Duration::from_secs(3)).success());
}

#[test]
fn an_open_download_may_finish_within_the_grace_period() {
    let namespace = Namespace::new();
    let config = Lab::config().replace("grace = \"1s\"", "grace = \"20s\"");
    let file = noise(8 << 20, 2);
    namespace.write("www/big", &file);
    let daemon = Daemon::start(&namespace, "daemon", &format!("{config}{HTTP}"), &[]);
    let mut lab = Lab { daemon, namespace };
    let mut curl = lab.start(&format!("exec curl -sS --limit-rate 4M -o got http://{DAEMON}/big"));
    eventually("a download", || lab.folder().join("got").exists());
    assert!(lab.daemon.stop().success());
    assert!(curl.wait(SOON).success(), "{}", curl.stderr());
    assert_eq!(sha256(&lab.read("got")), sha256(&file));
}

#[test]
fn a_reload_keeps_the_connections() {
    let mut lab = Lab::with(HTTP);
    let mut stream = lab.tcp(7);
    stream.write_all(b"before").unwrap();
    stream.read_exact(&mut [0; 6]).unwrap();
    lab.daemon.process().signal("HUP");
    std::thread::sleep(Duration::from_millis(200));
    stream.write_all(b"after").unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"after");
    assert!(lab.daemon.process().is_running());
}

#[test]
fn a_reload_lets_a_new_account_in() {
    let lab = Lab::with(HTTP);
    std::fs::create_dir_all(lab.folder().join("mail/bob/new")).unwrap();
    std::fs::create_dir_all(lab.folder().join("mail/bob/cur")).unwrap();
    let login = format!("curl -sS -m 20 --user bob:wonderland pop3://{DAEMON}/");
    assert_eq!(lab.attempt(&login).status, 67, "bob has no account yet");
    let config = String::from_utf8(lab.read("daemon.toml")).unwrap();
    lab.write("daemon.toml", config.replace("\"alice\"", "\"bob\""));
    lab.run(&format!("kill -HUP {}", lab.daemon.pid()));
    eventually("bob logged in", || lab.attempt(&login).status == 0);
    // A file that is wrong changes nothing.
    lab.write("daemon.toml", "nonsense");
    lab.run(&format!("kill -HUP {}", lab.daemon.pid()));
    eventually("the mistake in the log", || lab.daemon.log().contains("daemon.toml:1"));
    assert_eq!(lab.attempt(&login).status, 0);
}

#[test]
fn the_control_socket_is_for_its_owner_and_group() {
    let lab = Lab::with(HTTP);
    let socket = std::fs::metadata(lab.daemon.control()).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.mode() & 0o777, 0o660);
}

#[test]
fn the_control_socket_is_named_after_the_first_tap() {
    let namespace = Namespace::new();
    // A name of its own: /run is not part of the namespace.
    let tap = format!("t{}", namespace.name().trim_start_matches("ts-"));
    let mut daemon = namespace.start(&format!("exec tapstack run --tap {tap} --state $PWD/state"));
    daemon.wait_for_line("ready");
    let said = namespace.run(&format!("tapstack show interfaces --tap {tap}"));
    assert!(said.contains(&tap) && said.contains("192.0.2.2/24"), "{said}");
    daemon.signal("INT");
    assert!(daemon.wait(SOON).success());
    assert!(!std::path::Path::new(&format!("/run/tapstack/{tap}.sock")).exists(), "its control socket is left over");
}

#[test]
fn everything_can_be_shown_to_people_and_to_programs() {
    let lab = Lab::with(HTTP);
    let mut stream = lab.tcp(7);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let control = lab.daemon.control().display();
    for (what, wanted) in [
        ("sockets", "ESTAB"),
        ("interfaces", "tap0"),
        ("neighbours", "192.0.2.1"),
        ("routes", "192.0.2.0/24"),
        ("counters", "TcpPassiveOpens"),
        ("drops", ""),
        ("limits", "TCP connections"),
    ] {
        let text = lab.run(&format!("tapstack show {what} --control {control}"));
        assert!(text.contains(wanted), "show {what}: {text}");
        assert!(lab.daemon.show(what).is_array(), "show {what} --json");
    }
    let info = lab.run(&format!("tapstack show sockets --info --control {control}"));
    for fact in ["cwnd", "rtt", "rto"] {
        assert!(info.contains(fact), "{fact} is missing: {info}");
    }
}

#[test]
fn nobody_to_ask_is_said_plainly() {
    let namespace = Namespace::new();
    let finished = namespace.attempt("tapstack show sockets --control $PWD/nobody.sock");
    assert_eq!(finished.status, 1);
    assert!(finished.stderr.contains("nobody.sock"), "{}", finished.stderr);
}

#[test]
fn a_daemon_that_was_killed_hinders_nobody() {
    let namespace = Namespace::new();
    let config = Lab::config();
    let mut first = Daemon::start(&namespace, "daemon", &config, &[]);
    first.process().signal("KILL");
    first.process().wait(SOON);
    assert!(first.control().exists(), "a killed process cannot remove its socket");
    let second = Daemon::start(&namespace, "daemon", &config, &[]);
    namespace.run(&format!("ping -n -c 1 -W 2 {DAEMON}"));
    assert!(second.show("interfaces").is_array());
}

#[test]
fn a_second_daemon_on_the_same_tap_is_refused() {
    let lab = Lab::with(HTTP);
    let control = lab.daemon.control().display();
    let busy = lab.attempt("tapstack run --config daemon.toml --control $PWD/other.sock");
    assert_eq!(busy.status, 1);
    assert!(busy.stderr.contains("tap0") && busy.stderr.contains("another process"), "{}", busy.stderr);
    let same_socket = lab.attempt(&format!("tapstack run --tap tap9 --control {control}"));
    assert_eq!(same_socket.status, 1);
    assert!(same_socket.stderr.contains("daemon.sock"), "{}", same_socket.stderr);
    // The first one is unharmed.
    assert!(lab.daemon.show("routes").is_array());
    lab.run(&format!("curl -sSf http://{DAEMON}/"));
}

#[test]
fn a_persistent_tap_stays_and_is_as_before() {
    let namespace = Namespace::new();
    namespace.run("ip tuntap add tap0 mode tap");
    let before = namespace.run("ip -br address show tap0");
    let config = Lab::config().replace("[[interface]]", "[[interface]]\nqueues = 1");
    let mut daemon = Daemon::start(&namespace, "daemon", &config, &[]);
    namespace.run(&format!("ping -n -c 1 -W 2 {DAEMON}"));
    assert!(daemon.stop().success());
    assert_eq!(namespace.run("ip -br address show tap0"), before);
}

#[test]
fn a_capture_holds_the_whole_conversation() {
    let mut lab = Lab::started(Namespace::new(), HTTP, &["--pcap", "frames.pcapng"]);
    lab.run(&format!("ping -n -c 1 -W 2 {DAEMON} && curl -sSf -H 'Connection: close' http://{DAEMON}/"));
    eventually("the connection over", || lab.daemon.states().iter().all(|state| state == "TIME-WAIT"));
    assert!(lab.daemon.stop().success());
    let fields = |filter: &str, field: &str| {
        lab.run(&format!("tshark -2 -n -r frames.pcapng -Y '{filter}' -T fields -e {field} 2>/dev/null"))
    };
    // SYN 1, SYN-ACK 2, ACK 4, data 8, FIN 16.
    let complete = fields("http.response.code == 200", "tcp.completeness");
    assert_eq!(complete.trim(), "31", "the conversation is not complete");
    assert_eq!(fields("icmp.type == 0", "ip.src").trim(), DAEMON);
    assert_eq!(fields("icmp.type == 8", "ip.src").trim(), "192.0.2.1");
    assert!(
        fields(&format!("arp.src.proto_ipv4 == {DAEMON} && arp.isannouncement"), "arp.opcode").starts_with('1'),
        "no announcement"
    );
    let wrong = lab.run(
        "tshark -n -r frames.pcapng -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE \
         -Y 'ip.src == 192.0.2.2 && (ip.checksum.status == 0 || tcp.checksum.status == 0 || icmp.checksum.status == 0)' 2>/dev/null",
    );
    assert_eq!(wrong, "", "sent with wrong checksums");
    let directions = fields("icmp", "frame.packet_flags_direction");
    assert_eq!(directions.split_whitespace().count(), 2, "{directions}");
}

#[test]
fn a_traced_connection_can_be_looked_at_step_by_step_and_as_a_picture() {
    let lab = Lab::with("[http]\nroot = \"www\"\n[tcp]\ntrace = true\n");
    lab.write("www/file", vec![b'x'; 1 << 20]);
    lab.run(&format!("curl -sSf -o /dev/null http://{DAEMON}/file"));
    let trace = lab.daemon.show("trace");
    let points = trace.as_array().unwrap();
    let is_of_http = |point: &&serde_json::Value| point["local"] == "192.0.2.2:80";
    let acked = points.iter().filter(is_of_http).map(|point| point["acked_bytes"].as_u64().unwrap()).max();
    assert!(acked >= Some(1 << 20), "{acked:?} of {} points", points.len());
    let picture = lab.run("tapstack show trace --svg --control daemon.sock");
    assert!(picture.starts_with("<svg ") && picture.contains("cubic: 192.0.2.2:80"), "{picture}");
    assert_eq!(lab.attempt("tapstack show routes --svg --control daemon.sock").status, 2);
}
