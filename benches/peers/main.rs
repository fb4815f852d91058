//! tapstack side by side with its peers: nginx, iperf3 and plain sockets over a veth, and smoltcp over a TAP.
//!
//! ```text
//!   round 1        round 2        ...      each row of the table by itself; both sides stay up for its rounds,
//!   ours  peer     ours  peer              and only one of them works at a time
//! ```
//!
//! `scripts/bench` is how people start it; docs/performance.md has the method and what the figures mean. A row is a
//! [`row::Row`]: how to set both sides up, and what one run of each yields. Every side proves that it did its work
//! (status, number of bytes), and a row that cannot is reported as failed, with the daemon's log.
//!
//! Everything runs in network namespaces of its own (`tests/lab`). Nothing is pinned to a core: the scheduler decides
//! for both sides alike.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a benchmark stops at the first thing that is not as it should be, and says what it saw"
)]
#![expect(clippy::disallowed_methods, reason = "time is what is measured")]
#![expect(unreachable_pub, reason = "what the lab offers its tests")]

mod arguments;
mod crowd;
mod download;
mod facts;
mod handshakes;
mod iperf;
mod load;
mod loss;
mod nginx;
mod processor;
mod report;
mod requests;
mod round_trip;
mod router;
mod row;
mod rows;
mod secure;
mod site;
mod smoltcp;
mod streams;
mod upload;
mod veth;

#[expect(dead_code, unused_imports, reason = "the lab serves the tests too")]
#[path = "../../tests/lab/mod.rs"]
mod lab;

use arguments::{Arguments, Part};
use clap::Parser;
use report::Report;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.part {
        Some(Part::Smoltcp { tap }) => smoltcp::serve(tap),
        Some(Part::Crowd { past, members }) => crowd::hold(*past, *members),
        None => {}
    }
    row::heed_interruptions();
    let plan = arguments.plan();
    if let Some(name) = &plan.congestion {
        site::set_congestion_control(name);
    }
    if let Some(algorithm) = arguments.loss {
        let algorithms = algorithm.names();
        let tables: Vec<_> =
            algorithms.iter().map(|names| loss::compete(&plan, *names, arguments.lines.as_deref())).collect();
        let all = serde_json::json!({"machine": facts::machine(), "tables": tables});
        std::fs::write(&arguments.json, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
        return if row::is_interrupted() { ExitCode::from(130) } else { ExitCode::SUCCESS };
    }
    let mut report = Report::new(&plan);
    for row in rows::ROWS.iter().filter(|row| arguments.wants(row.number)) {
        let against = if row.peer.is_empty() { "" } else { " against " };
        eprintln!("row {}: {}{against}{}", row.number, row.work, row.peer);
        // The lab panics where something is not as it should be; its drops have cleaned up by then.
        match catch_unwind(AssertUnwindSafe(|| row.compete(&plan))) {
            Ok(Ok(results)) => report.add(row, results),
            Ok(Err(why)) => report.skip(row, &why),
            Err(_) => report.fail(row),
        }
        if row::is_interrupted() {
            return ExitCode::from(130);
        }
    }
    print!("{}", report.table());
    report.write(&arguments.json);
    eprintln!("\nall figures are in {}", arguments.json.display());
    if report.has_failures() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
