//! Hostile frames by the million into the whole stack, on every kind of socket state.
//!
//! A victim talks to a puppet, whose frames are recorded, mutated and sent along with the true ones, so that
//! the mutants fit the connections they hit; others are made up from what the protocols offer, or are noise.
//! Nothing may panic, every frame must be counted exactly once, memory must stay under a bound and not
//! grow, and an innocent bystander's connection must go on working.
//!
//! `TAPSTACK_FRAMES=n` sends n frames, `TAPSTACK_SEED=n` chooses the seed.

#![allow(unreachable_pub, missing_docs, reason = "a test is no library")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first thing that is wrong")]
#![expect(clippy::indexing_slicing, reason = "a test stops at the first thing that is wrong")]

mod sim;

#[path = "hostile/forge.rs"]
mod forge;
#[path = "hostile/memory.rs"]
mod memory;
#[path = "hostile/mutation.rs"]
mod mutation;
#[path = "hostile/scene.rs"]
mod scene;

use crate::scene::Scene;
use crate::sim::seeds::from_env;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Frames of a run unless `TAPSTACK_FRAMES` says otherwise.
const FRAMES: u64 = 10_000_000;
/// What one scene (three hosts, their tasks and the recordings) may have allocated at any time.
const MOST_BYTES: usize = 32 << 20;
/// What may be allocated more in the calm after the last frames than in the calm after the first.
const MOST_GROWTH: usize = 512 << 10;
/// Times that a scene comes to rest to be measured.
const CALMS: u64 = 5;

fn attack(seed: u64, frames: u64) -> String {
    let mut scene = Scene::new(seed);
    let mut calm_bytes = Vec::new();
    for _ in 0..CALMS {
        for _ in 0..frames / CALMS {
            scene.attack();
        }
        scene.calm_down();
        scene.check();
        calm_bytes.push(memory::allocated());
    }
    let peak = memory::peak();
    assert!(peak <= MOST_BYTES, "{peak} bytes at the peak");
    let (first, last) = (calm_bytes[0], calm_bytes[calm_bytes.len() - 1]);
    assert!(last <= first + MOST_GROWTH, "memory grows: {calm_bytes:?}");
    format!(
        "{} frames in, peak {} KiB, calm {:?} KiB\n{}",
        scene.handed_in(),
        peak >> 10,
        calm_bytes.iter().map(|bytes| bytes >> 10).collect::<Vec<_>>(),
        scene.ledger()
    )
}

#[test]
fn hostile_frames_neither_panic_nor_leak_nor_hurt_a_bystander() {
    let frames = from_env("TAPSTACK_FRAMES").unwrap_or(FRAMES);
    let seed = from_env("TAPSTACK_SEED").unwrap_or(1);
    let workers = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        let scenes: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    catch_unwind(AssertUnwindSafe(|| attack(seed.wrapping_mul(1_000) + worker, frames / workers)))
                })
            })
            .collect();
        for scene in scenes {
            match scene.join().unwrap() {
                Ok(report) => println!("{report}"),
                Err(_) => panic!(
                    "repeat: TAPSTACK_SEED={seed} TAPSTACK_FRAMES={frames} cargo test --test hostile -- --nocapture (with {workers} cores)"
                ),
            }
        }
    });
}
