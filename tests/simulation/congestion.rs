//! What a bottleneck sees of a sender: that it is filled, not flooded, and that a lost segment is no
//! catastrophe.

use crate::lines::{pair, transfer};
use tapstack::base::counters::Counter;
use tapstack::base::time::Duration;
use tapstack::physical::cable::{CableCounts, Faults};
use tapstack::transport::tcp::config::{Config, Ecn};

struct Figures {
    took: Duration,
    /// The forward direction of the cable.
    cable: CableCounts,
    timeouts: u64,
    fast: u64,
    retransmitted: u64,
}

fn run(line: &Faults, tcp: &Config, total: u64) -> Figures {
    let (mut world, client, server) = pair(line, tcp);
    let start = world.now();
    let seen = transfer(&world, (client, server), total, Duration::ZERO);
    assert!(world.run_until(Duration::from_secs(3600), |_| seen.borrow().end_at.is_some()), "{seen:?}");
    let figures = Figures {
        took: seen.borrow().end_at.unwrap().since(start),
        cable: world.cable_counts(client.plug(0)),
        timeouts: world.count_of(client, Counter::TcpTimeouts),
        fast: world.count_of(client, Counter::TcpFastRetrans),
        retransmitted: world.count_of(client, Counter::TcpRetransSegs),
    };
    world.assert_all_freed();
    figures
}

/// 10 Mbit/s and 40 ms there and back: 50,000 bytes fill it.
fn bottleneck(queue: usize) -> Faults {
    Faults { delay: Duration::from_millis(20), rate: Some(10_000_000), queue, ..Faults::default() }
}

#[test]
fn a_bottleneck_is_filled() {
    // RFC 5681 §3.1: slow start and congestion avoidance.
    let figures = run(&bottleneck(50_000), &Config::default(), 8 << 20);
    let ideal = Duration::from_secs_f64((8 << 20) as f64 * 8.0 / 10e6);
    assert!(figures.took < ideal.mul_f64(1.35), "{:?}, ideal {ideal:?}", figures.took);
}

#[test]
fn a_bottleneck_is_not_flooded() {
    // RFC 5681 §3.1, §3.2: the window shrinks with what is lost.
    let figures = run(&bottleneck(30_000), &Config::default(), 8 << 20);
    assert!(figures.cable.queue_drops > 0, "the queue was full once at least");
    let share = figures.cable.queue_drops as f64 / figures.cable.sent as f64;
    assert!(share < 0.03, "{share:.3} of the frames did not fit the queue");
    assert!(figures.retransmitted as f64 <= figures.cable.queue_drops as f64 * 1.5 + 10.0, "{}", figures.retransmitted);
}

#[test]
fn a_lost_segment_is_repaired_without_a_timeout() {
    // RFC 5681 §3.2, RFC 6675: with and without SACK.
    for sack in [true, false] {
        let line = Faults { loss: 0.002, ..bottleneck(100_000) };
        let figures = run(&line, &Config { sack, ..Config::default() }, 4 << 20);
        assert!(figures.cable.lost > 3, "{:?}", figures.cable);
        assert!(figures.fast >= 3, "{} fast retransmissions for {} losses", figures.fast, figures.cable.lost);
        assert!(figures.timeouts <= 2, "{} timeouts, SACK {sack}", figures.timeouts);
    }
}

#[test]
fn reordering_alone_is_no_reason_to_slow_down_to_a_crawl() {
    // The send buffer is smaller than the queue: nothing is ever lost.
    let line = Faults { reorder: 0.01, ..bottleneck(400_000) };
    let figures = run(&line, &Config { send_buffer: 200_000, ..Config::default() }, 4 << 20);
    assert_eq!((figures.cable.queue_drops, figures.timeouts), (0, 0));
    let ideal = Duration::from_secs_f64((4 << 20) as f64 * 8.0 / 10e6);
    assert!(figures.took < ideal * 3, "{:?}, ideal {ideal:?}", figures.took);
}

#[test]
fn many_losses_of_one_window_are_repaired_with_sack() {
    // RFC 2018, RFC 6675: what arrived is not sent again.
    let line = Faults { loss: 0.05, delay: Duration::from_millis(20), ..Faults::default() };
    let figures = run(&line, &Config::default(), 2 << 20);
    let spurious = figures.retransmitted.saturating_sub(figures.cable.lost);
    assert!(
        spurious * 4 <= figures.cable.lost,
        "{} retransmitted for {} lost",
        figures.retransmitted,
        figures.cable.lost
    );
}

#[test]
fn the_initial_window_is_ten_segments() {
    // RFC 6928: 14,000 bytes arrive one round trip after the handshake.
    let line = Faults { delay: Duration::from_millis(100), ..Faults::default() };
    let quick = run(&line, &Config::default(), 14_000);
    let slow = run(&line, &Config { initial_window: 1, ..Config::default() }, 14_000);
    // ARP and the handshake take 200 ms each, and the data 100 ms.
    assert!(quick.took < Duration::from_millis(550), "{:?}", quick.took);
    assert!(slow.took > Duration::from_millis(800), "{:?}", slow.took);
}

#[test]
fn routers_that_mark_keep_the_queue_short_without_a_loss() {
    // RFC 3168: both ends do ECN, and the bottleneck marks from a fifth of its queue on.
    let line = Faults { mark: Some(20_000), ..bottleneck(100_000) };
    let with = |ecn| run(&line, &Config { ecn, ..Config::default() }, 8 << 20);
    let marked = with(Ecn::On);
    assert!(marked.cable.marked > 10, "{:?}", marked.cable);
    assert_eq!((marked.cable.queue_drops, marked.retransmitted), (0, 0));
    let dropped = with(Ecn::Passive);
    assert_eq!(dropped.cable.marked, 0, "nobody asked");
    assert!(marked.took < dropped.took.mul_f64(1.1), "{:?} and {:?}", marked.took, dropped.took);
}
