//! BBR on a path that the test computes.

use super::super::path::{MSS, Path};
use super::*;

fn path(rate: u64, rtt: Duration, queue: u64) -> Path<Bbr> {
    Path::new(rate, rtt, queue, |now| Bbr::new(MSS, 10 * MSS, Some(rtt), 7, now))
}

/// What it went through in `time`.
fn states(path: &mut Path<Bbr>, time: Duration) -> Vec<State> {
    let mut states = vec![path.controller.state];
    path.run_watched(time, |path| {
        if states.last() != Some(&path.controller.state) {
            states.push(path.controller.state);
        }
    });
    states
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn it_finds_the_bandwidth_and_the_round_trip_of_a_path() {
    // 10 Mbyte/s and 40 ms: 400,000 octets fill it.
    let mut path = path(10_000_000, ms(40), 4_000_000);
    let states = states(&mut path, Duration::from_secs(3));
    let bw = path.controller.model.max_bw();
    assert!((9_800_000..10_300_000).contains(&bw), "{bw}");
    assert_eq!(path.controller.model.min_rtt(), Some(ms(40)));
    // With so little in flight after Drain, DOWN is over in the acknowledgment that began it.
    assert_eq!(states[..3], [State::Startup, State::Drain, State::ProbeBwCruise]);
    assert_eq!(path.lost, 0);
}

#[test]
fn it_fills_the_path_without_filling_the_queue() {
    let mut path = path(10_000_000, ms(40), 4_000_000);
    path.run(Duration::from_secs(2));
    let share = path.share(Duration::from_secs(20));
    assert!(share > 0.93, "{share:.3} of the bandwidth");
    // A queue that holds 400 ms is never used for more than a round trip and a quarter.
    assert!(path.longest_queue < ms(50), "{:?}", path.longest_queue);
}

#[test]
fn every_five_seconds_it_measures_the_round_trip_without_its_own_queue() {
    let mut path = path(10_000_000, ms(40), 4_000_000);
    let states = states(&mut path, Duration::from_secs(21));
    let probes = states.iter().filter(|state| **state == State::ProbeRtt).count();
    assert!((2..=4).contains(&probes), "{probes} in {states:?}");
}

#[test]
fn the_cycle_goes_down_cruises_refills_and_goes_up() {
    let mut path = path(10_000_000, ms(40), 4_000_000);
    let states = states(&mut path, Duration::from_secs(4));
    use State::{ProbeBwCruise, ProbeBwDown, ProbeBwRefill, ProbeBwUp};
    let cycle = [ProbeBwCruise, ProbeBwRefill, ProbeBwUp, ProbeBwDown, ProbeBwCruise];
    assert!(states.windows(5).any(|states| states == cycle), "{states:?}");
}

#[test]
fn a_short_queue_bounds_what_is_in_flight_in_the_long_term() {
    // The queue holds a tenth of what the path does: probes lose more than 2 %.
    let mut path = path(10_000_000, ms(40), 40_000);
    path.run(Duration::from_secs(3));
    let longterm = path.controller.model.inflight_longterm;
    assert!((300_000..600_000).contains(&longterm), "{longterm}");
    let share = path.share(Duration::from_secs(20));
    assert!(share > 0.80, "{share:.3} of the bandwidth");
    let lost = path.lost as f64 * f64::from(MSS) / path.delivered as f64;
    assert!(lost < 0.02, "{lost:.4} lost");
}

#[test]
fn it_follows_a_bandwidth_that_changes() {
    // Of a queue of one bandwidth-delay product; losses tell first, and the filter of two cycles forgets after that.
    let mut path = path(10_000_000, ms(40), 400_000);
    path.run(Duration::from_secs(5));
    path.rate = 5_000_000;
    path.run(Duration::from_secs(20));
    let bw = path.controller.model.bw();
    assert!((4_500_000..5_500_000).contains(&bw), "down: {bw}");
    path.rate = 10_000_000;
    path.run(Duration::from_secs(20));
    let bw = path.controller.model.bw();
    assert!(bw > 9_000_000, "up: {bw}");
}

#[test]
fn the_flight_at_a_loss_is_where_two_percent_were_lost() {
    // 100 in flight, of which the last one was lost, and none before: 2 % of the prefix would be lost after all of it.
    let packet = LostPacket { size: 10, tx_in_flight: 100, lost: 10, ..lost() };
    assert_eq!(model::inflight_at_loss(&packet), 90 + 90 / 49);
    let packet = LostPacket { size: 10, tx_in_flight: 1000, lost: 30, ..lost() };
    assert_eq!(model::inflight_at_loss(&packet), 990);
    assert!(!model::is_inflight_too_high(2, 100));
    assert!(model::is_inflight_too_high(3, 100));
}

fn lost() -> LostPacket {
    LostPacket { size: 0, tx_in_flight: 0, lost: 0, delivered: Default::default(), is_app_limited: false }
}

#[test]
fn a_loss_that_was_none_lifts_the_bounds_it_set() {
    let mut path = path(10_000_000, ms(40), 4_000_000);
    path.run(Duration::from_secs(2));
    path.controller.on_loss(path.now, 0);
    path.controller.model.inflight_longterm = 100_000;
    path.controller.model.bw_shortterm = 1_000_000;
    path.controller.on_spurious_loss();
    assert_eq!((path.controller.model.inflight_longterm, path.controller.model.bw_shortterm), (u32::MAX, u64::MAX));
}
