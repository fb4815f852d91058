//! Row 8: what an idle connection costs the daemon in memory.
//!
//! The connections belong to client processes of their own, because a process may have only so many files open.

use crate::arguments::Plan;
use crate::download::http;
use crate::lab::{Running, eventually};
use crate::row::Duel;
use crate::site::{ADDRESSES, Site};
use clap::ValueEnum;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Connections of one client process.
const MEMBERS: usize = 10_000;

/// What a connection has done before it is idle.
#[derive(Clone, Copy, ValueEnum)]
pub enum Past {
    /// Had a byte echoed.
    Echo,
    /// Had a page.
    Http,
}

impl Past {
    fn name(self) -> &'static str {
        match self {
            Past::Echo => "echo",
            Past::Http => "http",
        }
    }

    fn port(self) -> u16 {
        match self {
            Past::Echo => 7,
            Past::Http => 80,
        }
    }

    fn request(self) -> &'static [u8] {
        match self {
            Past::Echo => b"x",
            Past::Http => b"GET /index.html HTTP/1.1\r\nHost: 192.0.2.2\r\n\r\n",
        }
    }

    fn is_answered(self, answer: &[u8]) -> bool {
        match self {
            Past::Echo => answer == b"x",
            Past::Http => answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(&[b'x'; 612]),
        }
    }
}

/// Echo, then HTTP, each with a daemon of its own.
pub fn set_up(plan: &Plan) -> Result<Duel, String> {
    let connections = plan.crowd;
    let http = http(plan.documents().path())
        + &format!("connections = {}\nidle_timeout = \"1h\"\n", connections.next_power_of_two());
    // A small service has 16,384 connections for each entry.
    let listen: Vec<String> = ADDRESSES.iter().map(|[a, b, c, d]| format!("\"{a}.{b}.{c}.{d}:7\"")).collect();
    let echo = format!("echo = [{}]\n", listen.join(", "));
    let ours = move || vec![bytes_each(Past::Echo, &echo, connections), bytes_each(Past::Http, &http, connections)];
    Ok(Duel { ours: Box::new(ours), peer: None })
}

/// Resident memory that each of so many connections adds once it is idle.
fn bytes_each(past: Past, tables: &str, connections: usize) -> f64 {
    let site = Site::new("", tables);
    // The first ones make what all of them share.
    let mut crowd = vec![gather(&site, past, 16)];
    let before = site.daemon().memory();
    for _ in 0..connections / MEMBERS {
        crowd.push(gather(&site, past, MEMBERS));
    }
    let all = connections / MEMBERS * MEMBERS;
    eventually("all connections are open", || site.daemon().open_connections() >= all as u64);
    // What it gives back, it gives back when it has nothing else to do.
    std::thread::sleep(Duration::from_secs(1));
    let after = site.daemon().memory();
    (after as f64 - before as f64) / all as f64
}

/// A client process with so many connections.
fn gather(site: &Site, past: Past, members: usize) -> Running {
    let this = std::env::current_exe().unwrap();
    let line = format!("ulimit -n {} && exec {} crowd {} {members}", MEMBERS + 100, this.display(), past.name());
    let mut running = site.client().start(&line);
    running.wait_for_line("ready");
    running
}

/// The client: opens its connections and holds them for ever.
pub fn hold(past: Past, members: usize) -> ! {
    let crowd: Vec<TcpStream> = (0..members).map(|number| open(past, number)).collect();
    println!("ready");
    loop {
        std::thread::park();
        assert!(crowd.len() == members);
    }
}

/// Connects, asks, and reads until the answer is whole.
fn open(past: Past, number: usize) -> TcpStream {
    let to = SocketAddr::from((ADDRESSES[number % ADDRESSES.len()], past.port()));
    let limit = Duration::from_secs(5);
    let mut stream =
        TcpStream::connect_timeout(&to, limit).unwrap_or_else(|error| panic!("connection {number} to {to}: {error}"));
    stream.set_read_timeout(Some(limit)).unwrap();
    stream.write_all(past.request()).unwrap();
    let (mut answer, mut read) = ([0; 4096], 0);
    while !past.is_answered(&answer[..read]) {
        let more = stream.read(&mut answer[read..]).unwrap_or_else(|error| panic!("connection {number}: {error}"));
        assert!(more > 0, "connection {number} ended: {}", String::from_utf8_lossy(&answer[..read]));
        read += more;
    }
    stream
}
