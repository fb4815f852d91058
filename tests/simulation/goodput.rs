//! How much gets through lines that delay, lose and reorder, and how the window moves, for each congestion control.

use crate::lines::{pair, transfer};
use crate::snapshots::{assert_kept, assert_snapshot};
use std::fmt::Write;
use tapstack::base::counters::Counter;
use tapstack::base::time::Duration;
use tapstack::cli::plot;
use tapstack::physical::cable::Faults;
use tapstack::transport::tcp::config::{Algorithm, Config};

const RATE: u64 = 20_000_000;
const TOTAL: u64 = 4 << 20;

const ALL: [(Algorithm, &str); 4] =
    [(Algorithm::Cubic, "cubic"), (Algorithm::NewReno, "newreno"), (Algorithm::Bbr, "bbr"), (Algorithm::Bbr1, "bbr1")];

/// Megabits a second, the segments sent again for each hundred, and timeouts.
fn goodput(congestion: Algorithm, line: &Faults) -> (f64, f64, u64) {
    let (mut world, client, server) = pair(line, &Config { congestion, ..Config::default() });
    let start = world.now();
    let seen = transfer(&world, (client, server), TOTAL, Duration::ZERO);
    assert!(world.run_until(Duration::from_secs(3600), |_| seen.borrow().end_at.is_some()), "{seen:?}");
    let took = seen.borrow().end_at.unwrap().since(start).as_secs_f64();
    let again = world.count_of(client, Counter::TcpRetransSegs) as f64;
    let sent = world.count_of(client, Counter::TcpOutSegs) as f64;
    (TOTAL as f64 * 8.0 / took / 1e6, again / sent * 100.0, world.count_of(client, Counter::TcpTimeouts))
}

#[test]
fn bad_lines_carry_what_the_table_has() {
    let mut table = String::from(
        "4 MiB over a line of 20 Mbit/s whose queue holds 100 frames: megabits a second, segments sent again for each\n\
         hundred, timeouts.\n\n\
         loss %  reorder %  rtt ms       cubic               newreno               bbr                 bbr1\n",
    );
    for rtt in [10, 100] {
        for (loss, reorder) in [(0.0, 0.0), (0.001, 0.0), (0.01, 0.0), (0.03, 0.0), (0.0, 0.05)] {
            write!(table, "{:>6.1}  {:>9.0}  {rtt:>6}", loss * 100.0, reorder * 100.0).unwrap();
            let delay = Duration::from_millis(rtt) / 2;
            let line = Faults { loss, reorder, delay, rate: Some(RATE), ..Faults::default() };
            for (congestion, _) in ALL {
                let (rate, again, timeouts) = goodput(congestion, &line);
                write!(table, "   {rate:>5.1} {again:>6.2} {timeouts:>3}").unwrap();
            }
            table += "\n";
        }
    }
    assert_snapshot("goodput", &table);
}

#[test]
fn the_window_moves_round_by_round_as_the_table_has_it() {
    let mut table = String::from(
        "The congestion window in segments at the end of each round trip of 50 ms: a line of 20 Mbit/s (86 segments) whose\n\
         queue holds 43 more.\n\n round  cubic  newreno   bbr  bbr1\n",
    );
    let line = Faults { delay: Duration::from_millis(25), rate: Some(RATE), queue: 43 * 1514, ..Faults::default() };
    let windows = ALL.map(|(congestion, _)| {
        let (mut world, client, server) = pair(&line, &Config { congestion, ..Config::default() });
        let _seen = transfer(&world, (client, server), 64 << 20, Duration::ZERO);
        // ARP and the handshake take a round trip each.
        world.run_for(Duration::from_millis(100));
        (0..120)
            .map(|_| {
                world.run_for(Duration::from_millis(50));
                let rows = world.stack(client, |stack| stack.show_sockets());
                let details = rows.iter().find(|row| row.details.get("cwnd_bytes").is_some()).unwrap();
                details.details["cwnd_bytes"].as_u64().unwrap() / 1448
            })
            .collect::<Vec<u64>>()
    });
    let [cubic, reno, bbr, bbr1] = &windows;
    for ((((round, cubic), reno), bbr), bbr1) in (1..).zip(cubic).zip(reno).zip(bbr).zip(bbr1) {
        writeln!(table, "{round:>6}  {cubic:>5}  {reno:>7}  {bbr:>4}  {bbr1:>4}").unwrap();
    }
    assert_snapshot("windows", &table);
}

#[test]
fn the_picture_of_the_windows_is_what_the_trace_has() {
    let line = Faults { delay: Duration::from_millis(25), rate: Some(RATE), queue: 86 * 1514, ..Faults::default() };
    let mut points = Vec::new();
    for (congestion, _) in ALL {
        let (mut world, client, server) = pair(&line, &Config { congestion, trace: true, ..Config::default() });
        let _seen = transfer(&world, (client, server), 64 << 20, Duration::ZERO);
        world.run_for(Duration::from_secs(12));
        let mut trace = world.stack(client, |stack| stack.show_trace());
        assert!(trace.len() > 1000, "a point for each acknowledgment");
        assert!(trace.windows(2).all(|pair| pair[0].at_us <= pair[1].at_us));
        // A panel of its own.
        trace.iter_mut().for_each(|point| point.local.set_port(points.len() as u16));
        points.extend(trace);
    }
    assert_kept("docs/windows.svg", &plot::svg(&points));
}

#[test]
fn bbr_learns_the_rate_of_a_line_also_where_the_send_buffer_is_the_limit() {
    // Twice the window does not fit into the buffer: nothing waits to be sent, and the application is not at fault.
    let rate = 1_000_000_000;
    let line = Faults {
        loss: 0.01,
        delay: Duration::from_millis(10),
        rate: Some(rate),
        queue: 2_500_000,
        ..Faults::default()
    };
    for congestion in [Algorithm::Bbr, Algorithm::Bbr1] {
        let (mut world, client, server) = pair(&line, &Config { congestion, trace: true, ..Config::default() });
        let _seen = transfer(&world, (client, server), rate, Duration::ZERO);
        world.run_for(Duration::from_secs(3));
        let trace = world.stack(client, |stack| stack.show_trace());
        let pacing = trace.last().and_then(|point| point.pacing_rate_bytes).unwrap() * 8;
        assert!(pacing <= rate * 5 / 4, "{congestion:?}: {pacing} bits a second, as if it had just begun");
    }
}
