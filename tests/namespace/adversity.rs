//! Peers that stop, die or vanish, and a link that goes away.

use crate::lab::{DAEMON, Lab, eventually, noise, sha256};
use std::io::{Read, Write};
use std::time::Duration;

/// A lab with a file to download that takes a while.
fn with_big_file(len: usize) -> (Lab, Vec<u8>) {
    let lab = Lab::new();
    let file = noise(len, 11);
    lab.write("www/big", &file);
    (lab, file)
}

#[test]
fn a_peer_that_stops_reading_is_probed_and_resumes() {
    let (lab, file) = with_big_file(16 << 20);
    let mut stream = lab.tcp(80);
    let request = format!("GET /big HTTP/1.1\r\nHost: {DAEMON}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 20];
    stream.read_exact(&mut head).unwrap();
    assert!(head.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&head));
    // With a window of nothing the probes come after the RTO, then twice as late each time.
    std::thread::sleep(Duration::from_secs(15));
    let probes = lab.daemon.count("counters", "TcpWinProbe");
    assert!((3..=12).contains(&probes), "{probes} probes in 15 seconds");
    assert_eq!(lab.daemon.states(), ["ESTAB"]);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let body = rest.len() - file.len();
    assert_eq!(sha256(&rest[body..]), sha256(&file));
}

#[test]
fn a_peer_that_writes_to_a_server_that_cannot_answer_is_held_back_and_resumes() {
    let lab = Lab::new();
    let sent = noise(16 << 20, 12);
    let mut stream = lab.tcp(7);
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    // Nobody reads the echo, so that at last nothing more is taken.
    let mut written = 0;
    while written < sent.len() {
        match stream.write(&sent[written..]) {
            Ok(count) => written += count,
            Err(_) => break,
        }
    }
    assert!(written < sent.len(), "16 MiB of echo that nobody reads were taken: nothing holds back");
    stream.set_write_timeout(None).unwrap();
    let mut echoed = vec![0; sent.len()];
    std::thread::scope(|scope| {
        let (mut writer, rest) = (stream.try_clone().unwrap(), &sent[written..]);
        scope.spawn(move || writer.write_all(rest).unwrap());
        stream.read_exact(&mut echoed).unwrap();
    });
    assert!(echoed == sent, "the echo differs");
}

#[test]
fn the_socket_of_a_downloader_that_is_killed_is_freed() {
    let (lab, _) = with_big_file(64 << 20);
    let curl = lab.start(&format!("exec curl -sS --limit-rate 2M -o /dev/null http://{DAEMON}/big"));
    eventually("a download", || lab.daemon.states() == ["ESTAB"]);
    std::thread::sleep(Duration::from_millis(300));
    curl.signal("KILL");
    eventually("the socket freed", || lab.daemon.connections().is_empty());
    lab.run(&format!("curl -sSf http://{DAEMON}/"));
}

#[test]
fn the_socket_of_an_uploader_that_is_killed_is_freed() {
    let lab = Lab::new();
    let curl = lab.start(&format!("exec curl -sS --limit-rate 2M -X POST -T /dev/zero http://{DAEMON}/-/sink"));
    eventually("an upload", || lab.daemon.states() == ["ESTAB"]);
    std::thread::sleep(Duration::from_millis(300));
    curl.signal("KILL");
    eventually("the socket freed", || {
        let states = lab.daemon.states();
        states.iter().all(|state| state == "TIME-WAIT")
    });
    lab.run(&format!("curl -sSf http://{DAEMON}/"));
}

#[test]
fn a_download_goes_on_after_the_tap_was_down() {
    let (lab, file) = with_big_file(16 << 20);
    let mut curl = lab.start(&format!("exec curl -sS -m 50 --limit-rate 8M -o got http://{DAEMON}/big"));
    eventually("a download", || lab.folder().join("got").exists());
    std::thread::sleep(Duration::from_millis(300));
    lab.run("ip link set tap0 down; sleep 2; ip link set tap0 up");
    let status = curl.wait(Duration::from_secs(50));
    assert!(status.success(), "{}", curl.stderr());
    assert_eq!(sha256(&lab.read("got")), sha256(&file));
}

#[test]
fn a_peer_that_vanishes_is_given_up_after_the_user_timeout() {
    let lab = Lab::with("[http]\nroot = \"www\"\n[tcp]\nuser_timeout = \"3s\"\n");
    lab.write("www/big", noise(32 << 20, 13));
    let mut stream = lab.tcp(80);
    let request = format!("GET /big HTTP/1.1\r\nHost: {DAEMON}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    // The kernel's address goes; whatever is still sent to it is not answered.
    lab.run("ip address flush dev tap0");
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while stream.read(&mut [0; 65_536]).is_ok_and(|read| read > 0) {}
    eventually("the connection given up", || lab.daemon.connections().is_empty());
}
