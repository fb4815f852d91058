//! The stack inside a program of your own, with frames from wherever you have them: here from a Unix
//! datagram socket, as virtual machines (QEMU's `-netdev dgram`) and containers speak Ethernet.
//!
//! A thread plays the station at the other end with hand-made frames: it asks for our address by ARP and
//! pings us. The loop in `main` is all that an embedder writes.
//!
//! ```text
//! cargo run --example embedded
//! ```

#![expect(clippy::expect_used, reason = "an example ends where it cannot go on")]
#![expect(clippy::disallowed_methods, reason = "the embedder holds the clock")]

use bytes::Bytes;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant as Clock};
use tapstack::base::checksum::Sum;
use tapstack::base::random::Random;
use tapstack::base::time::Instant;
use tapstack::datalink::Mac;
use tapstack::physical::frame::{DeviceId, Frame, OutFrame};
use tapstack::physical::segmentation::Segments;
use tapstack::session::host::Host;
use tapstack::stack::Stack;
use tapstack::stack::config::{Config, InterfaceConfig};

const OURS: [u8; 6] = [2, 0, 0, 0, 0, 2];
const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn main() -> io::Result<()> {
    let (wire, other_end) = UnixDatagram::pair()?;
    let station = std::thread::spawn(move || station(&other_end));

    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the operating system has randomness");
    let interface = InterfaceConfig {
        name: "wire".to_owned(),
        device: DeviceId(0),
        vlan: None,
        mac: Mac(OURS),
        addresses: vec!["192.0.2.2/24".parse().expect("an address with its prefix length")],
        mtu: 1500,
        probe: false,
    };
    let config = Config { interfaces: vec![interface], ..Config::default() };
    let mut host = Host::new(Stack::new(config, Random::from_key(seed)), Duration::ZERO);

    let start = Clock::now();
    let mut buffer = vec![0; 65_536];
    while !station.is_finished() {
        let now = Instant::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        host.run(now);
        while let Some((_, frame)) = host.poll_transmit(now) {
            send(&wire, &frame)?;
        }
        // Sleep until a frame comes or the stack has something to do.
        let sleep = host.deadline().map_or(Duration::from_millis(50), |next| next.since(now));
        wire.set_read_timeout(Some(sleep.clamp(Duration::from_millis(1), Duration::from_millis(50))))?;
        match wire.recv(&mut buffer) {
            Ok(len) => {
                let frame = Frame::plain(Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default()));
                let outcome = host.receive(now, DeviceId(0), frame);
                println!("{len} bytes in: {outcome:?}");
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    station.join().expect("the station does not panic")
}

/// A datagram socket can't cut super-segments or complete checksums: `Segments` does.
fn send(wire: &UnixDatagram, frame: &OutFrame) -> io::Result<()> {
    let mut bytes = Vec::new();
    for segment in Segments::of(frame).expect("the stack's frames are well-formed") {
        bytes.clear();
        segment.write_into(&mut bytes);
        wire.send(&bytes)?;
    }
    Ok(())
}

/// The other end: who has 192.0.2.2? Then: are you there?
fn station(wire: &UnixDatagram) -> io::Result<()> {
    let mut answer = [0; 2048];
    let mut expect = |what: &str, is_it: fn(&[u8]) -> bool| -> io::Result<()> {
        loop {
            let len = wire.recv(&mut answer)?;
            let frame = answer.get(..len).unwrap_or_default();
            if is_it(frame) {
                println!("the other end got {what}, {len} bytes");
                return Ok(());
            }
        }
    };
    let mut arp = [[0xff; 6], THEIRS].concat();
    arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.extend([&THEIRS[..], &[192, 0, 2, 1], &[0; 6], &[192, 0, 2, 2]].concat());
    wire.send(&arp)?;
    expect("an ARP reply", |frame| frame.get(12..22) == Some(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]))?;

    let mut icmp = vec![8, 0, 0, 0, 0, 7, 0, 1];
    icmp.extend(b"are you there?");
    let checksum = Sum::ZERO.add_bytes(&icmp).checksum().to_be_bytes();
    icmp.splice(2..4, checksum);
    let mut ip = vec![0x45, 0, 0, 20 + icmp.len() as u8, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    let checksum = Sum::ZERO.add_bytes(&ip).checksum().to_be_bytes();
    ip.splice(10..12, checksum);
    wire.send(&[&OURS[..], &THEIRS, &[8, 0], &ip, &icmp].concat())?;
    expect("an echo reply", |frame| frame.get(12..14) == Some(&[8, 0]) && frame.get(34) == Some(&0))
}
