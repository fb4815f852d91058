//! Running a scenario for many seeds, and telling how to repeat the one that failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number from the environment.
pub fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Which seeds to run: the one of `TAPSTACK_SEED`, or the first `TAPSTACK_SEEDS`, or the first `default`.
pub fn seeds(default: u64) -> std::ops::Range<u64> {
    match from_env("TAPSTACK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_env("TAPSTACK_SEEDS").unwrap_or(default),
    }
}

/// Runs `scenario` for every seed on all cores. The first failure is repeated with a capture and reported
/// with the command that repeats it: `cargo test --test TARGET TEST`.
pub fn for_all_seeds(target: &str, test: &str, default: u64, scenario: impl Fn(u64, Option<PathBuf>) + Sync) {
    let range = seeds(default);
    let next = AtomicU64::new(range.start);
    let failed = Mutex::new(None);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(usize::try_from(range.end - range.start).unwrap()) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= range.end || failed.lock().unwrap().is_some() {
                        return;
                    }
                    if catch_unwind(AssertUnwindSafe(|| scenario(seed, None))).is_err() {
                        failed.lock().unwrap().get_or_insert(seed);
                    }
                }
            });
        }
    });
    if let Some(seed) = failed.into_inner().unwrap() {
        let path = std::env::temp_dir().join(format!("tapstack-{test}-{seed}.pcapng"));
        let _ = catch_unwind(AssertUnwindSafe(|| scenario(seed, Some(path.clone()))));
        panic!(
            "seed {seed} failed; the capture is {}\nrepeat: TAPSTACK_SEED={seed} cargo test --test {target} {test} -- --nocapture",
            path.display()
        );
    }
}
