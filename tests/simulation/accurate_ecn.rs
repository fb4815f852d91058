//! Accurate ECN (RFC 9768) between two hosts whose bottleneck marks, and through boxes in the middle that wipe what they
//! do not know.
//!
//! ```text
//!   client --- cable --- station ) a box that changes frames ( station --- cable --- server
//! ```

use crate::lines::transfer;
use crate::sim::{self, HostId, World, stream, wire};
use std::cell::Cell;
use std::rc::Rc;
use tapstack::base::counters::Counter;
use tapstack::base::time::Duration;
use tapstack::physical::cable::{CableCounts, Faults};
use tapstack::session::tcp::{TcpListener, TcpStream};
use tapstack::transport::tcp::config::{Algorithm, Config, Ecn};

const TOTAL: u64 = 8 << 20;
/// Of an echo.
const ECHO: u64 = 2 << 20;
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 2], 80);

/// Where things stand in a frame without IP options.
const TRAFFIC_CLASS: usize = 15;
const TCP: usize = wire::ETHERNET + 20;
const FLAGS: usize = TCP + 13;

/// AE in the octet before the flags, ECE and CWR in theirs, and SYN.
const AE: u8 = 0x01;
const ECE_CWR: u8 = 0xc0;
const SYN: u8 = 0x02;

/// What a box in the middle does to a TCP segment.
type Change = fn(&mut [u8]);

fn nothing(_: &mut [u8]) {}

/// Makes NOPs of the AccECN options.
fn strip_options(frame: &mut [u8]) {
    let end = TCP + usize::from(frame[TCP + 12] >> 4) * 4;
    let mut at = TCP + 20;
    while at < end {
        let len = if frame[at] < 2 { 1 } else { usize::from(frame[at + 1]) };
        if matches!(frame[at], 172 | 174) {
            frame[at..at + len].fill(1);
        }
        at += len;
    }
}

fn bleach(frame: &mut [u8]) {
    frame[TRAFFIC_CLASS] &= !3;
}

fn mark_everything(frame: &mut [u8]) {
    frame[TRAFFIC_CLASS] |= 3;
}

/// As a box does that knows RFC 3168: the flag of RFC 9768 is reserved.
fn clear_reserved_flag(frame: &mut [u8]) {
    frame[FLAGS - 1] &= !AE;
}

/// All three flags are zero, but those of SYNs.
fn wipe_field(frame: &mut [u8]) {
    if frame[FLAGS] & SYN == 0 {
        frame[FLAGS - 1] &= !AE;
        frame[FLAGS] &= !ECE_CWR;
    }
}

/// A frame as the box passes it on, its checksums right again.
fn changed(frame: &[u8], change: Change) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame[12..14] != [8, 0] || frame[23] != wire::TCP {
        return frame;
    }
    change(&mut frame);
    frame[24..26].fill(0);
    let sum = wire::checksum(&[&frame[wire::ETHERNET..TCP]]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]])) + wire::ETHERNET;
    frame[TCP + 16..TCP + 18].fill(0);
    let len = ((total - TCP) as u16).to_be_bytes();
    let sum = wire::checksum(&[&frame[26..34], &[0, wire::TCP], &len, &frame[TCP..total]]);
    frame[TCP + 16..TCP + 18].copy_from_slice(&sum.to_be_bytes());
    frame
}

struct Figures {
    took: Duration,
    /// From the client.
    cable: CableCounts,
    retransmitted: u64,
    /// What the client was told of marks.
    told: u64,
    /// What both agreed on.
    modes: [String; 2],
}

/// What an open connection of the host has agreed on.
fn mode(world: &World, host: HostId) -> Option<String> {
    let sockets = world.stack(host, |stack| stack.show_sockets());
    let open = sockets.iter().find(|socket| socket.state == "ESTAB")?;
    Some(open.details.get("ecn")?.as_str()?.to_owned())
}

/// A transfer from the first to the second over a bottleneck, with a box in between.
fn run(line: &Faults, configs: [&Config; 2], change: Change) -> Figures {
    let mut world = World::new(None);
    let [client, server] = [1, 2].map(|last: u8| {
        let mut config = sim::host(last);
        config.tcp = configs[usize::from(last) - 1].clone();
        world.add(config, u64::from(last))
    });
    let (near, far) = (world.add_station(), world.add_station());
    world.connect(client.plug(0), sim::Plug::Station(near), line, 42);
    world.connect(sim::Plug::Station(far), server.plug(0), &Faults::default(), 43);
    let start = world.now();
    let seen = transfer(&world, (client, server), TOTAL, Duration::ZERO);
    let mut modes = [None, None];
    let mut step = |world: &mut World| {
        for (from, to) in [(near, far), (far, near)] {
            while let Some(frame) = world.receive(from) {
                world.send(to, &changed(&frame, change));
            }
        }
        for (known, host) in modes.iter_mut().zip([client, server]) {
            *known = known.take().or_else(|| mode(world, host));
        }
        seen.borrow().end_at.is_some()
    };
    assert!(world.run_until(Duration::from_secs(600), &mut step), "{seen:?}");
    // The last acknowledgments are on their way.
    world.run_until(Duration::from_secs(1), |world| {
        step(world);
        false
    });
    assert_eq!(seen.borrow().read, TOTAL);
    let took = seen.borrow().end_at.unwrap().since(start);
    Figures {
        took,
        cable: world.cable_counts(client.plug(0)),
        retransmitted: world.count_of(client, Counter::TcpRetransSegs),
        told: world.count_of(client, Counter::TcpDeliveredCE),
        modes: modes.map(Option::unwrap_or_default),
    }
}

/// 10 Mbit/s and 20 ms there and back, marking from a fifth of its queue on.
fn bottleneck() -> Faults {
    Faults {
        delay: Duration::from_millis(10),
        rate: Some(10_000_000),
        queue: 100_000,
        mark: Some(20_000),
        ..Faults::default()
    }
}

fn asking() -> Config {
    Config { ecn: Ecn::Accurate, ..Config::default() }
}

fn ideal() -> Duration {
    Duration::from_secs_f64(TOTAL as f64 * 8.0 / 10e6)
}

#[test]
fn every_mark_is_told_of_and_none_twice() {
    // RFC 9768 §3.2: by routers that mark and a line that loses nothing, for each congestion control.
    for congestion in [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr, Algorithm::Bbr1] {
        let config = Config { congestion, ..asking() };
        let figures = run(&bottleneck(), [&config, &Config::default()], nothing);
        assert_eq!(figures.modes, ["accurate"; 2]);
        assert!(figures.cable.marked > 10, "{:?}", figures.cable);
        assert_eq!((figures.cable.queue_drops, figures.retransmitted), (0, 0), "{congestion:?}");
        assert_eq!(figures.told, figures.cable.marked, "{congestion:?}");
        assert!(figures.took < ideal().mul_f64(1.25), "{congestion:?} took {:?}", figures.took);
    }
}

#[test]
fn the_counts_hold_where_segments_and_acks_are_lost() {
    // RFC 9768 §3.2.2.5, §3.2.3: what was marked and then lost is no mark.
    let line = Faults { loss: 0.003, mark: Some(8_000), ..bottleneck() };
    let figures = run(&line, [&asking(), &asking()], nothing);
    assert!(figures.cable.marked > 10 && figures.cable.lost > 10, "{:?}", figures.cable);
    let (told, marked) = (figures.told as f64, figures.cable.marked as f64);
    assert!(told <= marked && told > marked * 0.9, "{told} of {marked}");
}

#[test]
fn a_box_that_knows_rfc_3168_leaves_the_ecn_of_rfc_3168() {
    // RFC 9768 table 2: the SYN that arrives asks for no more.
    let figures = run(&bottleneck(), [&asking(), &Config::default()], clear_reserved_flag);
    assert_eq!(figures.modes, ["classic"; 2]);
    assert_eq!(figures.told, 0);
    assert!(figures.cable.marked > 10, "{:?}", figures.cable);
    assert_eq!((figures.cable.queue_drops, figures.retransmitted), (0, 0));
}

#[test]
fn a_peer_without_ecn_is_sent_nothing_that_could_be_marked() {
    // RFC 9768 table 2.
    let off = Config { ecn: Ecn::Off, ..Config::default() };
    let figures = run(&bottleneck(), [&asking(), &off], nothing);
    assert_eq!(figures.modes, ["off"; 2]);
    assert_eq!(figures.cable.marked, 0);
}

#[test]
fn without_options_the_field_alone_tells_of_every_mark() {
    // RFC 9768 §3.2.3.2.3, §3.2.2.5.2: rather too many than too few.
    let figures = run(&bottleneck(), [&asking(), &Config::default()], strip_options);
    assert_eq!(figures.modes, ["accurate"; 2]);
    assert_eq!((figures.cable.queue_drops, figures.retransmitted), (0, 0));
    let (told, marked) = (figures.told, figures.cable.marked);
    assert!(marked > 10 && told >= marked && told <= marked + marked / 4, "{told} of {marked}");
    assert_eq!(told % 8, marked % 8);
}

#[test]
fn where_the_ecn_field_is_bleached_losses_are_what_is_left() {
    // RFC 9768 §3.2.2.3: ECT that turns to not-ECT is seen by nobody but the counts of octets.
    let figures = run(&Faults { queue: 30_000, ..bottleneck() }, [&asking(), &Config::default()], bleach);
    assert_eq!(figures.modes, ["accurate"; 2]);
    assert_eq!(figures.told, 0);
    assert!(figures.took < ideal().mul_f64(1.35), "{:?}", figures.took);
}

#[test]
fn where_everything_is_marked_marks_are_not_believed() {
    // RFC 9768 §3.2.2.3: the SYN arrives marked, so nothing is sent that could be; and a mark on everything for four
    // rounds is not heeded.
    let figures = run(&bottleneck(), [&asking(), &Config::default()], mark_everything);
    assert_eq!(figures.modes, ["accurate"; 2]);
    assert_eq!(figures.cable.marked, 0);
    assert!(figures.told < 200, "{} marks heeded", figures.told);
    assert!(figures.took < ideal().mul_f64(1.35), "{:?}", figures.took);
}

#[test]
fn where_the_field_is_wiped_nothing_is_sent_that_could_be_marked() {
    // RFC 9768 table 4 note 1 for the server, §3.2.2.4 for the client.
    let figures = run(&bottleneck(), [&asking(), &Config::default()], wipe_field);
    assert_eq!(figures.modes, ["accurate"; 2]);
    assert!(figures.cable.marked < 20 && figures.told == 0, "{:?}, {} told", figures.cable, figures.told);
    assert!(figures.took < ideal().mul_f64(1.35), "{:?}", figures.took);
}

/// What both ends of an echo counted in the end, of marks they were told and of marks that came: the first's and the
/// second's.
fn echo(line: &Faults, seed: u64) -> [(u64, u64); 2] {
    let mut world = World::new(None);
    let [client, server] = [1, 2].map(|last: u8| {
        let mut config = sim::host(last);
        config.tcp = asking();
        world.add(config, u64::from(last))
    });
    world.connect(client.plug(0), server.plug(0), line, seed);
    let net = world.net(server);
    let listener = TcpListener::bind(&net, SERVER.into()).unwrap();
    net.spawn(async move {
        let (mut reader, mut writer) = listener.accept().await.unwrap().into_split();
        while let Ok(bytes) = reader.read_bytes(1 << 16).await
            && !bytes.is_empty()
        {
            writer.write_bytes(bytes).await.unwrap();
        }
    });
    let net = world.net(client);
    let received = Rc::new(Cell::new(0));
    let seen = Rc::clone(&received);
    net.clone().spawn(async move {
        let (mut reader, mut writer) = TcpStream::connect(&net, SERVER.into()).await.unwrap().into_split();
        net.spawn(async move {
            for n in 0..ECHO / 8192 {
                writer.write_bytes(stream::bytes(1, n * 8192, 8192)).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        loop {
            seen.set(seen.get() + reader.read_bytes(1 << 16).await.unwrap().len() as u64);
        }
    });
    assert!(world.run_until(Duration::from_secs(600), |_| received.get() == ECHO), "{}", received.get());
    world.run_for(Duration::from_secs(1));
    [client, server].map(|host| {
        let sockets = world.stack(host, |stack| stack.show_sockets());
        let open = sockets.iter().find(|socket| socket.state == "ESTAB").unwrap();
        let count = |name: &str| open.details[name].as_u64().unwrap();
        (count("delivered_ce_segments"), count("received_ce_segments"))
    })
}

#[test]
fn data_both_ways_tells_of_every_mark() {
    // RFC 9768 §3.2.2, §3.3.4: on data too, also where what was cut from a super-segment is lost in part. Rather more than
    // there were only where the first segment with an option was lost, and none came after it (§3.2.3.2.2).
    let line = Faults { loss: 0.01, mark: Some(15_000), ..bottleneck() };
    let (mut marks, mut exact) = (0, 0);
    for seed in 0..100 {
        let [client, server] = echo(&line, seed);
        for (told, counted) in [(client.0, server.1), (server.0, client.1)] {
            assert!(told >= counted && (told - counted) % 8 == 0, "seed {seed}: {told} told of {counted}");
            exact += u32::from(told == counted);
            marks += counted;
        }
    }
    assert!(marks > 1000 && exact > 190, "{marks} marks, exact in {exact} of 200 directions");
}
