//! Processor time: of the whole machine, and of a program, from what the kernel's scheduler says of each of its threads.

use std::fs;
use std::time::Duration;

/// The share of all processors that was at work in the last second: that of others, when nothing of ours runs.
pub fn busy_share() -> f64 {
    let (busy, all) = busy_and_all();
    std::thread::sleep(Duration::from_secs(1));
    let (busy_after, all_after) = busy_and_all();
    (busy_after - busy) / (all_after - all).max(1.0)
}

/// Ticks of all processors since the start: at work, and in all.
fn busy_and_all() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let ticks: Vec<f64> = stat.split_whitespace().skip(1).map_while(|word| word.parse().ok()).take(8).collect();
    let all: f64 = ticks.iter().sum();
    // The fourth and fifth are idle, and idle with a disk at work.
    (all - ticks[3] - ticks[4], all)
}

/// What all threads of all processes of a process group have used so far.
pub fn time_of_group(group: u32) -> Duration {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes.filter(|process| group_of(*process) == Some(group)).map(time_of).sum()
}

fn group_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything; behind it stand the state, the parent and the group.
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

fn time_of(process: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return Duration::ZERO };
    let times = threads.flatten().filter_map(|thread| {
        let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        schedstat.split_whitespace().next()?.parse().ok()
    });
    times.map(Duration::from_nanos).sum()
}
