//! A million connections: what one costs in memory, and what a packet costs among so many.
//!
//! The host is the one that the daemon runs, with the echo service; the peers exist only as frames. A question of 64
//! octets goes to a connection picked at random, comes back, and is acknowledged, ten of them at a time. The three sizes
//! take turns in each round, so that whatever else the machine does meets all of them; the table gives the medians.
//!
//! `cargo bench --bench connections [-- ROUNDS]`

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark stops at the first thing that is wrong")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(missing_docs, unreachable_pub, reason = "a benchmark is no library")]

#[path = "common/counting.rs"]
mod counting;
#[path = "common/crowd.rs"]
mod crowd;

use crowd::Crowd;
use std::time::{Duration, Instant};
use tapstack::application::small::Small;

const SIZES: [usize; 3] = [10, 10_000, 1_000_000];
/// Questions in a batch, each to another connection: as many as the smallest size has.
const BATCH: usize = 10;
const BATCHES: usize = 3_000;
const ROUNDS: usize = 9;

/// Nanoseconds for one question, its answer, and the acknowledgment of that.
fn measure(crowd: &mut Crowd) -> f64 {
    let mut batches = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let mut elapsed = Duration::ZERO;
        let peers = crowd.pick(BATCH);
        for is_question in [true, false] {
            crowd.now += Duration::from_micros(20);
            let frames = if is_question { crowd.questions(&peers) } else { crowd.acknowledgments(&peers) };
            let start = Instant::now();
            crowd.receive_all(frames);
            let answers = crowd.turn();
            elapsed += start.elapsed();
            assert_eq!(answers.len(), if is_question { BATCH } else { 0 });
            answers.iter().for_each(|answer| crowd.take(answer));
        }
        batches.push(elapsed);
    }
    // The median is blind to what the machine does besides.
    batches.sort_unstable();
    batches[BATCHES / 2].as_nanos() as f64 / BATCH as f64
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let mut crowds = SIZES.map(|size| {
        let mut crowd = Crowd::new(Small::Echo, size);
        let (held, resident, start) = (counting::held(), resident(), Instant::now());
        crowd.grow(size);
        let per_connection = |bytes: usize| bytes as f64 / size as f64;
        if size >= 10_000 {
            println!(
                "{size:>9} connections: {:>6.0} bytes each, {:.0} resident, {:.1} us to open one",
                per_connection(counting::held().saturating_sub(held)),
                per_connection(self::resident().saturating_sub(resident)),
                start.elapsed().as_micros() as f64 / size as f64,
            );
        }
        assert_eq!(crowd.host.net().with_stack(|stack| stack.connections()), size);
        crowd
    });
    let mut figures = vec![Vec::new(); SIZES.len()];
    for _ in 0..rounds {
        for (crowd, figures) in crowds.iter_mut().zip(&mut figures) {
            figures.push(measure(crowd));
        }
    }
    let mut medians = Vec::new();
    for (size, figures) in SIZES.iter().zip(&mut figures) {
        figures.sort_by(f64::total_cmp);
        let median = figures[figures.len() / 2];
        medians.push(median);
        println!(
            "{size:>9} connections: {median:>6.0} ns for a question, its answer and the acknowledgment ({:.0} to {:.0}), {:.2} of that with {}",
            figures[0],
            figures[figures.len() - 1],
            median / medians[0],
            SIZES[0],
        );
    }
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}
