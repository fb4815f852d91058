//! Rows 7 and 13: how long one byte takes there and back.

use crate::arguments::Plan;
use crate::lab::{DAEMON, Namespace, SOON};
use crate::row::Duel;
use crate::site::Site;
use crate::veth::{SERVER, Veth};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// One byte over TCP: the daemon's echo service against a thread that reads and writes.
pub fn set_up_tcp(plan: &Plan) -> Result<Duel, String> {
    let run = plan.run;
    let site = Site::new("", "");
    let ours = move || median_and_99th(over_tcp(site.client().connect(&format!("{DAEMON}:7")), run));
    let veth = Veth::new();
    let listener = veth.server().listen(&format!("{SERVER}:7"));
    let peer = move || {
        let listener = listener.try_clone().unwrap();
        let echo = thread::spawn(move || echo_tcp(&listener));
        let times = over_tcp(veth.client().connect(&format!("{SERVER}:7")), run);
        echo.join().unwrap();
        median_and_99th(times)
    };
    Ok(Duel { ours: Box::new(ours), peer: Some(Box::new(peer)) })
}

/// One byte over UDP, and ping.
pub fn set_up_datagrams(plan: &Plan) -> Result<Duel, String> {
    let run = plan.run;
    let site = Site::new("", "");
    let ours = move || {
        let times = over_udp(&site.client().udp(&format!("{DAEMON}:7")), run);
        vec![ping(site.client(), DAEMON, run), percentile(&times, 50)]
    };
    let veth = Veth::new();
    let server = veth.server().inside(|| UdpSocket::bind(format!("{SERVER}:7"))).unwrap();
    let peer = move || {
        let server = server.try_clone().unwrap();
        let echo = thread::spawn(move || echo_udp(&server));
        let client = veth.client().udp(&format!("{SERVER}:7"));
        let times = over_udp(&client, run);
        client.send(&[]).unwrap();
        echo.join().unwrap();
        vec![ping(veth.client(), SERVER, run), percentile(&times, 50)]
    };
    Ok(Duel { ours: Box::new(ours), peer: Some(Box::new(peer)) })
}

fn over_tcp(mut stream: TcpStream, run: Duration) -> Vec<Duration> {
    stream.set_nodelay(true).unwrap();
    repeat(run, |byte| {
        let mut answer = [0];
        stream.write_all(&[byte]).unwrap();
        stream.read_exact(&mut answer).unwrap();
        answer[0]
    })
}

fn over_udp(socket: &UdpSocket, run: Duration) -> Vec<Duration> {
    repeat(run, |byte| {
        let mut answer = [0];
        socket.send(&[byte]).unwrap();
        assert_eq!(socket.recv(&mut answer).expect("a datagram comes back"), 1);
        answer[0]
    })
}

/// Sends one byte after the other for so long; the times, sorted.
fn repeat(run: Duration, mut exchange: impl FnMut(u8) -> u8) -> Vec<Duration> {
    let (start, mut times) = (Instant::now(), Vec::with_capacity(1 << 20));
    for byte in (0..=u8::MAX).cycle() {
        let sent = Instant::now();
        assert_eq!(exchange(byte), byte, "another byte came back");
        times.push(sent.elapsed());
        if start.elapsed() >= run {
            break;
        }
    }
    times.sort_unstable();
    times
}

/// Serves one connection until its end.
fn echo_tcp(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 2048];
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return,
            read => stream.write_all(&buffer[..read]).unwrap(),
        }
    }
}

/// Sends each datagram back to where it came from, until an empty one.
fn echo_udp(socket: &UdpSocket) {
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut buffer = [0; 2048];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((0, _)) => return,
            Ok((read, from)) => assert_eq!(socket.send_to(&buffer[..read], from).unwrap(), read),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn median_and_99th(times: Vec<Duration>) -> Vec<f64> {
    vec![percentile(&times, 50), percentile(&times, 99)]
}

/// So many hundredths of the sorted times were this short, in seconds.
fn percentile(sorted: &[Duration], hundredths: usize) -> f64 {
    sorted[(sorted.len() - 1) * hundredths / 100].as_secs_f64()
}

/// The median of what ping says, a packet each millisecond.
fn ping(client: &Namespace, to: &str, run: Duration) -> f64 {
    let count = run.as_millis();
    let said = client.run(&format!("ping -n -c {count} -i 0.001 -W 2 {to}"));
    let time = |line: &str| line.split_once("time=")?.1.split(' ').next()?.parse::<f64>().ok();
    let mut times: Vec<Duration> =
        said.lines().filter_map(time).map(|millis| Duration::from_secs_f64(millis / 1e3)).collect();
    assert!(times.len() as u128 == count, "ping lost packets: {said}");
    times.sort_unstable();
    percentile(&times, 50)
}
