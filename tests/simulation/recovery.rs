//! What is lost in bursts, at the end, or not at all, and what it takes to repair it (RFC 8985, RFC 9937, RFC 4015).

use crate::lines::{pair, transfer};
use std::ops::Range;
use tapstack::base::counters::Counter;
use tapstack::base::time::Duration;
use tapstack::physical::cable::Faults;
use tapstack::transport::tcp::config::Config;

const MS: Duration = Duration::from_millis(1);
/// Full segments: 1500 octets less both headers and timestamps.
const SEGMENT: u64 = 1448;

/// What a transfer took, and what the sender counted meanwhile.
#[derive(Clone, Copy, Debug)]
struct Run {
    took: Duration,
    timeouts: u64,
    retransmitted: u64,
    undone: u64,
    lost: u64,
    /// Segments that the receiver took for old duplicates, since a retransmission overtook them (RFC 7323 §5.3).
    overtaken: u64,
}

/// `segments` full segments over `line`, of which those with the numbers in `vanish` do not arrive at first.
fn run(line: &Faults, tcp: &Config, segments: u64, vanish: Range<u64>) -> Run {
    let (mut world, client, server) = pair(line, tcp);
    world.lose(client.plug(0), vanish);
    let start = world.now();
    let seen = transfer(&world, (client, server), segments * SEGMENT, Duration::ZERO);
    assert!(world.run_until(Duration::from_secs(3600), |_| seen.borrow().end_at.is_some()), "{seen:?}");
    let took = seen.borrow().end_at.unwrap().since(start);
    let figures = Run {
        took,
        timeouts: world.count_of(client, Counter::TcpTimeouts),
        retransmitted: world.count_of(client, Counter::TcpRetransSegs),
        undone: world.count_of(client, Counter::TcpFullUndo),
        lost: world.cable_counts(client.plug(0)).lost,
        overtaken: world.count_of(server, Counter::TcpPawsEstab),
    };
    world.assert_all_freed();
    figures
}

/// 100 Mbit/s and 20 ms there and back; a queue for everything.
fn line() -> Faults {
    Faults { delay: 10 * MS, rate: Some(100_000_000), queue: 4 << 20, ..Faults::default() }
}

#[test]
fn a_burst_of_losses_is_repaired_without_a_timeout() {
    // RFC 8985 §3.2: whatever was sent before something that arrived is found lost in about a round trip.
    for lost in [1, 5, 20] {
        for first in [60, 75, 90, 137, 190] {
            let whole = run(&line(), &Config::default(), 600, 0..0);
            let run = run(&line(), &Config::default(), 600, first..first + lost);
            assert_eq!((run.timeouts, run.retransmitted), (0, lost), "{lost} from {first}: {run:?}");
            // The repair takes a round trip or a few; what remains goes at half the pace, faster by a segment each.
            assert!(run.took < whole.took * 3, "{lost} from {first}: {run:?}, unharmed {whole:?}");
        }
    }
}

#[test]
fn the_last_segments_of_a_flow_are_repaired_without_a_timeout() {
    // RFC 8985 §7: the probe goes two round trips after the last segment, and its ACK tells what is missing.
    for lost in [1, 5, 20] {
        let run = run(&line(), &Config::default(), 200, 200 - lost..200);
        assert_eq!(run.timeouts, 0, "the last {lost}: {run:?}");
        assert!(run.retransmitted <= lost + 1, "the last {lost}: {run:?}");
    }
}

#[test]
fn without_sack_one_lost_segment_is_repaired_without_a_timeout() {
    // RFC 6582 in the middle, a tail loss probe at the end.
    let tcp = Config { sack: false, ..Config::default() };
    for first in [60, 75, 137, 199] {
        let run = run(&line(), &tcp, 200, first..first + 1);
        assert_eq!((run.timeouts, run.retransmitted), (0, 1), "{first}: {run:?}");
    }
}

/// Goodput in Mbit/s of 4000 segments on a line whose jitter reorders.
fn goodput(line: &Faults, timestamps: bool) -> (f64, Run) {
    let run = run(line, &Config { timestamps, ..Config::default() }, 4000, 0..0);
    ((4000 * SEGMENT * 8) as f64 / run.took.as_secs_f64() / 1e6, run)
}

#[test]
fn jitter_alone_is_not_taken_for_loss() {
    // RFC 8985 §6.2 steps 3 and 4; what was taken for loss at first is taken back (RFC 4015).
    for timestamps in [true, false] {
        let jittery = Faults { delay: 5 * MS, jitter: 5 * MS, ..line() };
        let (mbit, run) = goodput(&jittery, timestamps);
        assert_eq!((run.lost, run.timeouts), (0, 0), "{run:?}");
        assert!(mbit > 30.0, "{mbit:.1} Mbit/s, timestamps {timestamps}: {run:?}");
        assert!(run.retransmitted < 80, "timestamps {timestamps}: {run:?}");
        assert!(run.undone > 0, "{run:?}");
    }
}

#[test]
fn on_a_jittery_line_with_losses_what_is_lost_is_sent_again_and_little_else() {
    // One run is luck: lines that differ by microseconds carry 8 to 11 Mbit/s.
    let lines =
        (0..20).map(|n| Faults { loss: 0.03, delay: 5 * MS + Duration::from_micros(7 * n), jitter: 5 * MS, ..line() });
    let runs: Vec<(f64, Run)> = lines.map(|line| goodput(&line, true)).collect();
    for (_, run) in &runs {
        assert!(run.retransmitted < (run.lost + run.overtaken) * 5 / 4, "{run:?}");
    }
    let mean = runs.iter().map(|(mbit, _)| mbit).sum::<f64>() / runs.len() as f64;
    assert!(mean > 9.7, "{mean:.2} Mbit/s: {runs:?}");
}
