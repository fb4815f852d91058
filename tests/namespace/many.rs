//! Many connections at once.

use crate::lab::{DAEMON, Lab, eventually, within};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many, unless `TAPSTACK_CONNECTIONS` says otherwise.
const CONNECTIONS: usize = 10_000;

fn connections() -> usize {
    std::env::var("TAPSTACK_CONNECTIONS").ok().and_then(|number| number.parse().ok()).unwrap_or(CONNECTIONS)
}

/// Lets this process have enough files open for a crowd, of which there is one at a time: two are more than many a
/// machine lets one process have.
fn allow_files() -> MutexGuard<'static, ()> {
    static CROWD: Mutex<()> = Mutex::new(());
    let crowd = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = std::process::id().to_string();
    let limit = format!("--nofile={}", connections() + 4_000);
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(status.is_ok_and(|status| status.success()), "prlimit {limit} (package util-linux)");
    crowd
}

/// One request on a connection that stays open, and its answer.
fn ask(stream: &mut TcpStream, buffer: &mut [u8]) {
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {DAEMON}\r\n\r\n").as_bytes()).unwrap();
    let mut filled = 0;
    while !buffer[..filled].ends_with(b"<h1>the lab</h1>\n") {
        let read = stream.read(&mut buffer[filled..]).unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&buffer[..filled]));
        filled += read;
    }
}

/// Opens `number` connections, asks on each twice, looks at them, and lets them go; the daemon's memory while they
/// were all open.
fn crowd(lab: &Lab, number: usize) -> u64 {
    let mut buffer = vec![0; 4096];
    let to = format!("{DAEMON}:80").parse().unwrap();
    let mut streams: Vec<TcpStream> =
        lab.inside(|| (0..number).map(|_| TcpStream::connect_timeout(&to, Duration::from_secs(10)).unwrap()).collect());
    for stream in &mut streams {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        ask(stream, &mut buffer);
    }
    let memory = lab.daemon.memory();
    let open = lab.daemon.states();
    assert_eq!(open.len(), number);
    assert!(open.iter().all(|state| state == "ESTAB"), "not all of them are still open");
    // A second question to each, now that all are open.
    for stream in &mut streams {
        ask(stream, &mut buffer);
    }
    drop(streams);
    assert!(within(Duration::from_secs(30), || lab.daemon.open_connections() == 0), "some do not end");
    assert!(lab.daemon.connections().is_empty(), "still there: {:?}", lab.daemon.connections().first());
    memory
}

#[test]
fn ten_thousand_open_connections_answer_and_leave_nothing() {
    let number = connections();
    let _crowd = allow_files();
    let lab = Lab::new();
    lab.run("sysctl -qw net.ipv4.ip_local_port_range='10000 60999'");
    // What the first connections bring into memory for good, program code for the most, is not looked for.
    crowd(&lab, 100);
    std::thread::sleep(Duration::from_millis(1500));
    let before = lab.daemon.memory();
    let at_the_top = crowd(&lab, number);
    // What is free is given back a moment after the crowd has gone.
    let is_back = within(Duration::from_secs(5), || lab.daemon.memory() <= before + before / 10);
    let after = lab.daemon.memory();
    println!("{number} connections: {before} bytes before, {at_the_top} with them, {after} after");
    assert!(is_back, "{before} bytes before, {at_the_top} with them, {after} after");
}

/// Connections that are open and idle after a word each way, and what each has added to the daemon's memory.
fn idle(lab: &Lab, ports: &[u16], number: usize) -> (Vec<TcpStream>, u64) {
    let before = lab.daemon.memory();
    let to = |n: usize| format!("{DAEMON}:{}", ports[n % ports.len()]).parse().unwrap();
    let open = |n| TcpStream::connect_timeout(&to(n), Duration::from_secs(10)).unwrap();
    let mut streams: Vec<TcpStream> = lab.inside(|| (0..number).map(open).collect());
    for stream in &mut streams {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"?").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    let each = lab.daemon.memory().saturating_sub(before) / number as u64;
    (streams, each)
}

#[test]
fn an_idle_connection_costs_no_more_than_a_kibibyte() {
    let number = connections();
    let _crowd = allow_files();
    // One address of the kernel's side has fewer ports than a hundred thousand connections need.
    let ports = [7, 2007, 2008, 2009];
    let lab = Lab::with(&format!("echo = {ports:?}\n"));
    lab.run("sysctl -qw net.ipv4.ip_local_port_range='10000 60999'");
    // What the first connections bring into memory for good is not looked for.
    drop(idle(&lab, &ports, 200));
    assert!(within(Duration::from_secs(30), || lab.daemon.open_connections() == 0), "some do not end");
    let (streams, each) = idle(&lab, &ports, number);
    println!("{number} idle connections: {each} bytes each");
    assert_eq!(lab.daemon.states().len(), number);
    // Queues that found their size in the rush do not grow with the number of connections.
    let queues = (512 << 10) / number as u64;
    assert!(each <= 1024 + queues, "{each} bytes each");
    drop(streams);
}

#[test]
fn a_thousand_connections_that_the_server_closes_pass_through_time_wait() {
    let lab = Lab::new();
    let _crowd = allow_files();
    let to = format!("{DAEMON}:13").parse().unwrap();
    let streams: Vec<TcpStream> =
        lab.inside(|| (0..1_000).map(|_| TcpStream::connect_timeout(&to, Duration::from_secs(10)).unwrap()).collect());
    for mut stream in streams {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut date = String::new();
        stream.read_to_string(&mut date).unwrap();
        assert!(date.ends_with("\r\n"), "{date:?}");
    }
    eventually("TIME-WAIT over", || lab.daemon.connections().is_empty());
}
