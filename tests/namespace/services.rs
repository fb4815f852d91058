//! The small services and half-closed connections, with nc and plain sockets.

use crate::lab::{DAEMON, Lab, eventually, noise, read_to_end, sha256};
use std::io::{Read, Write};
use std::net::Shutdown;

#[test]
fn nc_hears_its_echo_after_it_has_closed_its_side() {
    let lab = Lab::new();
    assert_eq!(lab.run(&format!("printf 'one\\ntwo\\n' | nc -N -w 5 {DAEMON} 7")), "one\ntwo\n");
    lab.write("file", noise(1 << 20, 1));
    lab.run(&format!("nc -N -w 5 {DAEMON} 7 <file >back && cmp file back"));
}

#[test]
fn all_that_was_sent_before_a_half_close_comes_back_after_it() {
    let lab = Lab::new();
    let sent = noise(64 << 20, 2);
    let mut stream = lab.tcp(7);
    let received = std::thread::scope(|scope| {
        let mut writer = stream.try_clone().unwrap();
        let sent = &sent;
        scope.spawn(move || {
            writer.write_all(sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        read_to_end(&mut stream)
    });
    assert_eq!(sha256(&received), sha256(&sent));
    drop(stream);
    eventually("its socket gone", || lab.daemon.connections().is_empty());
}

#[test]
fn a_connection_that_the_server_closed_first_waits_for_us_and_then_for_its_time() {
    let lab = Lab::new();
    let mut stream = lab.tcp(13);
    let date = String::from_utf8(read_to_end(&mut stream)).unwrap();
    assert!(date.contains("20") && date.ends_with("\r\n"), "{date:?}");
    eventually("FIN-WAIT-2", || lab.daemon.states() == ["FIN-WAIT-2"]);
    drop(stream);
    eventually("TIME-WAIT", || lab.daemon.states() == ["TIME-WAIT"]);
    eventually("nothing", || lab.daemon.states().is_empty());
}

#[test]
fn a_connection_that_the_client_closes_first_is_gone_at_once() {
    let lab = Lab::new();
    let mut stream = lab.tcp(7);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    assert_eq!(lab.daemon.states(), ["ESTAB"]);
    drop(stream);
    eventually("nothing", || lab.daemon.states().is_empty());
}

#[test]
fn what_is_discarded_is_acknowledged_and_never_answered() {
    let lab = Lab::new();
    let mut stream = lab.tcp(9);
    stream.write_all(&noise(4 << 20, 3)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), b"");
}

#[test]
fn characters_come_for_as_long_as_somebody_reads() {
    let lab = Lab::new();
    let said = lab.run(&format!("nc -d -w 5 {DAEMON} 19 | head -c 740000 || true"));
    let lines: Vec<&str> = said.split("\r\n").collect();
    assert_eq!(lines.len(), 10_001);
    // RFC 864: 72 of the 95 printing characters, each line one further.
    let ring: String = (0..2).flat_map(|_| ' '..='~').collect();
    for (number, line) in lines[..10_000].iter().enumerate() {
        let first = ring.find(line.chars().next().unwrap()).unwrap();
        assert_eq!(*line, &ring[first..first + 72], "line {number}");
        if number > 0 {
            assert_eq!(&line[..71], &lines[number - 1][1..], "line {number} is not one further");
        }
    }
    eventually("its socket gone", || lab.daemon.connections().is_empty());
}

#[test]
fn datagrams_of_every_size_are_echoed() {
    let lab = Lab::new();
    assert_eq!(lab.run(&format!("printf hello | nc -u -w 1 {DAEMON} 7")), "hello");
    let socket = lab.udp(7);
    let mut back = vec![0; 70_000];
    for size in [0, 1, 1472, 1473, 9000, 65_507] {
        let datagram = noise(size, size as u64);
        socket.send(&datagram).unwrap();
        let len = socket.recv(&mut back).unwrap_or_else(|error| panic!("{size} bytes: {error}"));
        assert!(back[..len] == datagram, "{size} bytes came back as {len}");
    }
}

#[test]
fn datagrams_are_answered_with_the_date_and_with_characters_and_not_at_all() {
    let lab = Lab::new();
    let mut answer = [0; 1000];
    let daytime = lab.udp(13);
    daytime.send(b"").unwrap();
    assert!(daytime.recv(&mut answer).unwrap() > 10);
    let chargen = lab.udp(19);
    chargen.send(b"x").unwrap();
    // RFC 864: "a random number of characters (between 0 and 512)".
    assert!(chargen.recv(&mut answer).unwrap() <= 512);
    let discard = lab.udp(9);
    discard.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    discard.send(b"x").unwrap();
    assert!(discard.recv(&mut answer).is_err(), "discard has answered");
}
