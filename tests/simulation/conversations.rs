//! Many conversations over whatever network a seed makes.

use crate::plan;
use crate::sim::seeds::for_all_seeds;
use std::path::PathBuf;
use tapstack::base::time::Duration;

/// Longer than any conversation takes, user timeouts included.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

fn run(seed: u64, most_bytes: u64, capture: Option<PathBuf>) -> u64 {
    let (mut world, talks) = plan::draw(seed, most_bytes, capture);
    let outcomes: Vec<_> = talks.iter().map(|talk| talk.start(&world)).collect();
    let over = world.run_until(LIMIT, |_| outcomes.iter().all(|outcome| outcome.is_over()));
    for (talk, outcome) in talks.iter().zip(&outcomes) {
        assert!(over || outcome.is_over(), "it does not end: {outcome:#?}\n{talk:#?}");
        talk.check(outcome);
    }
    world.assert_all_freed();
    world.digest()
}

#[test]
fn every_byte_arrives_in_order_whatever_the_line_does() {
    for_all_seeds("simulation", "every_byte_arrives", 10_000, |seed, capture| {
        run(seed, 32 << 10, capture);
    });
}

#[test]
fn megabytes_arrive_whole_too() {
    for_all_seeds("simulation", "megabytes_arrive", 60, |seed, capture| {
        run(seed ^ 0x6d65_6761, 4 << 20, capture);
    });
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for_all_seeds("simulation", "the_same_seed", 50, |seed, _| {
        assert_eq!(run(seed, 16 << 10, None), run(seed, 16 << 10, None));
    });
}
