//! The machine and the versions of what ran on it: a figure means nothing without them.

use crate::processor;
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// Facts about this machine, and how busy it is.
pub fn machine() -> Value {
    let busy = processor::busy_share();
    if busy > 0.1 {
        eprintln!("others use {:.0} % of the processors: the figures will tell of them too", busy * 100.0);
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let processor = read("/proc/cpuinfo");
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let memory = read("/proc/meminfo");
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    json!({
        "kernel": read("/proc/sys/kernel/osrelease"),
        "processor": model.trim_start_matches([' ', '\t', ':']),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": memory.trim(),
        "congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "busy_before": busy,
        "tapstack": first_line("git", &["describe", "--always", "--dirty"]),
        "nginx": first_line("nginx", &["-v"]),
        "iperf3": first_line("iperf3", &["--version"]),
        "wrk": first_line("wrk", &["-v"]),
        "curl": first_line("curl", &["--version"]),
        "smoltcp": smoltcp_version(),
    })
}

/// The first line that a program prints to either output.
fn first_line(program: &str, words: &[&str]) -> String {
    let output = Command::new(program)
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .map(|output| [output.stdout, output.stderr].concat())
        .unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().trim().to_owned()
}

fn smoltcp_version() -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let rest = lock.split("name = \"smoltcp\"\nversion = \"").nth(1).unwrap_or_default();
    rest.split('"').next().unwrap_or_default()
}
