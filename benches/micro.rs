//! What single steps cost: taking a frame apart, checksums, timers, and, among ten, ten thousand and a million
//! connections, finding one and taking in an acknowledgment.
//!
//! `cargo bench --bench micro`, in under two minutes. Connections are picked at random, ten at a time as in a batch from
//! a TAP; the figures are for ten.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark stops at the first thing that is wrong")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(missing_docs, unreachable_pub, reason = "a benchmark is no library")]

#[path = "common/crowd.rs"]
mod crowd;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crowd::Crowd;
use std::hint::black_box;
use std::time::{Duration, Instant};
use tapstack::application::small::Small;
use tapstack::base::checksum::Sum;
use tapstack::base::random::Random;
use tapstack::base::timers::Timers;
use tapstack::datalink::{InterfaceId, ethernet};
use tapstack::network::ipv4;
use tapstack::network::packet::{Cast, Packet};
use tapstack::physical::frame::{Frame, ReceivedChecksum};
use tapstack::transport::tcp::segment::Segment;

const SIZES: [usize; 3] = [10, 10_000, 1_000_000];
/// Frames at a time: as many as the smallest size has connections.
const BATCH: usize = 10;

/// Ethernet, IPv4 and TCP of one frame, its checksums verified.
fn take_apart(frame: &Frame) -> Segment {
    let ethernet = ethernet::parse(&frame.bytes).unwrap();
    let header = ipv4::parse(&ethernet.payload).unwrap();
    let packet = Packet {
        source: header.source.into(),
        destination: header.destination.into(),
        protocol: header.protocol,
        hop_limit: header.ttl,
        traffic_class: header.tos,
        cast: Cast::Unicast,
        payload: header.payload(),
        datagram: Bytes::new(),
        checksum: ReceivedChecksum::Unverified,
        segment_size: None,
        interface: InterfaceId(0),
    };
    Segment::parse(&packet).unwrap().2
}

fn parsing(criterion: &mut Criterion) {
    let mut crowd = Crowd::new(Small::Discard, 1);
    crowd.grow(1);
    let mut group = criterion.benchmark_group("parse");
    for payload in [0, 64, 1460] {
        let frame = crowd.stream(0, 1, &vec![7; payload], None).remove(0);
        group.bench_function(BenchmarkId::from_parameter(payload), |bencher| bencher.iter(|| take_apart(&frame)));
    }
}

fn checksums(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    for length in [64, 1500, 65_536] {
        let octets: Vec<u8> = (0..length).map(|n| n as u8).collect();
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::from_parameter(length), |bencher| {
            bencher.iter(|| Sum::ZERO.add_bytes(black_box(&octets)).checksum());
        });
    }
}

/// One timer set, up to two seconds ahead, and whatever is due fired, with so many waiting.
fn timers(criterion: &mut Criterion) {
    use tapstack::base::time::{Duration, Instant};
    let mut group = criterion.benchmark_group("timer");
    for size in SIZES {
        let (mut timers, mut random, mut now) = (Timers::new(), Random::from_seed(1), Instant::from_secs(1));
        let mut deadline = |now: Instant| now + Duration::from_nanos(random.below(2_000_000_000));
        (0..size).for_each(|key| timers.set(key, deadline(now)));
        // On average one becomes due with each that is set.
        let step = Duration::from_nanos(1_000_000_000 / size as u64);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                timers.set(0, deadline(now));
                now += step;
                while let Some(key) = timers.poll(now) {
                    black_box(key);
                }
            });
        });
    }
}

/// The time that `measured` takes, on what `prepared` makes for it, so many times.
fn only<T>(times: u64, crowd: &mut Crowd, prepared: fn(&mut Crowd) -> T, measured: fn(&mut Crowd, T)) -> Duration {
    let mut elapsed = Duration::ZERO;
    for _ in 0..times {
        crowd.now += Duration::from_micros(20);
        let given = prepared(crowd);
        let start = Instant::now();
        measured(crowd, given);
        elapsed += start.elapsed();
        crowd.turn().iter().for_each(|answer| crowd.take(answer));
    }
    elapsed
}

/// Acknowledgments of nothing new: each is taken apart, its connection found and the segment checked.
fn of_nothing(crowd: &mut Crowd) -> Vec<Frame> {
    let peers = crowd.pick(BATCH);
    crowd.acknowledgments(&peers)
}

/// Acknowledgments of the 64 octets that each of these connections has just sent.
fn of_answers(crowd: &mut Crowd) -> Vec<Frame> {
    let peers = crowd.pick(BATCH);
    let questions = crowd.questions(&peers);
    crowd.receive_all(questions);
    crowd.turn().iter().for_each(|answer| crowd.take(answer));
    crowd.acknowledgments(&peers)
}

fn connections(criterion: &mut Criterion) {
    for size in SIZES {
        let mut crowd = Crowd::new(Small::Echo, size);
        crowd.grow(size);
        let mut bench = |name: &str, prepared: fn(&mut Crowd) -> Vec<Frame>| {
            criterion.bench_function(&format!("{name}/{size}"), |bencher| {
                bencher.iter_custom(|times| only(times, &mut crowd, prepared, Crowd::receive_all));
            });
        };
        bench("demux", of_nothing);
        bench("acknowledgment", of_answers);
    }
}

fn settings() -> Criterion {
    let (warm_up, measured) = (Duration::from_millis(300), Duration::from_millis(1_500));
    Criterion::default().warm_up_time(warm_up).measurement_time(measured).sample_size(30).without_plots()
}

criterion_group! {
    name = benches;
    config = settings();
    targets = parsing, checksums, timers, connections
}
criterion_main!(benches);
