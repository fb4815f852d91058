//! Work for the client's kernel sockets: read as much as comes, write as much as goes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// What was moved, and how long it took.
#[derive(Clone, Copy)]
pub struct Moved {
    pub bytes: u64,
    pub time: Duration,
}

impl Moved {
    pub fn bits_per_second(self) -> f64 {
        self.bytes as f64 * 8.0 / self.time.as_secs_f64()
    }
}

/// Reads for so long from a peer that sends without end. The time begins with its first bytes.
pub fn read(mut stream: TcpStream, run: Duration) -> Moved {
    let mut buffer = vec![0; 1 << 20];
    assert!(stream.read(&mut buffer).expect("the peer sends") > 0, "the peer has nothing to send");
    let (start, mut bytes) = (Instant::now(), 0);
    loop {
        let read = stream.read(&mut buffer).expect("the peer goes on sending");
        assert!(read > 0, "the peer ended after {bytes} bytes");
        bytes += read as u64;
        if start.elapsed() >= run {
            return Moved { bytes, time: start.elapsed() };
        }
    }
}

/// Writes pieces of `piece` bytes for so long to a peer that throws them away. The time ends when the peer has taken
/// all of it: it closes after us.
pub fn write(mut stream: TcpStream, piece: usize, run: Duration) -> Moved {
    let buffer = vec![b'x'; piece];
    let (start, mut bytes) = (Instant::now(), 0);
    while start.elapsed() < run {
        stream.write_all(&buffer).expect("the peer goes on reading");
        bytes += piece as u64;
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the peer closes when it has everything");
    assert!(rest.is_empty(), "a peer that throws everything away says nothing");
    Moved { bytes, time: start.elapsed() }
}
