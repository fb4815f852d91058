//! BBR, version 1, on a path that the test computes.

use super::super::path::{MSS, Path};
use super::*;

fn path(rate: u64, rtt: Duration, queue: u64) -> Path<Bbr1> {
    Path::new(rate, rtt, queue, |now| Bbr1::new(MSS, 10 * MSS, Some(rtt), 7, now))
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const SECOND: Duration = Duration::from_secs(1);

/// A path of 10 Mbyte/s and 40 ms, which 400,000 octets fill, after Startup.
fn begun(queue: u64) -> Path<Bbr1> {
    let mut path = path(10_000_000, ms(40), queue);
    path.run(2 * SECOND);
    assert_eq!(path.controller.state, State::ProbeBw);
    path
}

#[test]
fn it_finds_the_bandwidth_and_the_round_trip_and_leaves_no_queue() {
    let mut path = path(10_000_000, ms(40), 4_000_000);
    let mut states = vec![State::Startup];
    path.run_watched(2 * SECOND, |path| {
        if states.last() != Some(&path.controller.state) {
            states.push(path.controller.state);
        }
    });
    assert_eq!(states, [State::Startup, State::Drain, State::ProbeBw]);
    let bw = path.controller.btl_bw.get();
    assert!((9_800_000..10_300_000).contains(&bw), "{bw}");
    assert_eq!(path.controller.rt_prop, Some(ms(40)));
    let share = path.share(7 * SECOND);
    assert!(share > 0.97, "{share:.3} of the bandwidth");
    // A queue that holds 400 ms is used for a quarter of a round trip, while a probe lasts.
    assert!(path.longest_queue < ms(25), "{:?}", path.longest_queue);
}

#[test]
fn losses_at_random_do_not_slow_it_down() {
    for lost_one_in in [1000, 100, 33, 10] {
        let mut path = begun(4_000_000);
        path.lost_one_in = lost_one_in;
        let share = path.share(7 * SECOND) / (1.0 - 1.0 / lost_one_in as f64);
        assert!(share > 0.9, "one in {lost_one_in} lost: {share:.3} of the bandwidth");
    }
}

#[test]
fn the_cycle_asks_for_a_quarter_more_drains_it_and_cruises() {
    let mut path = begun(4_000_000);
    let mut gains = Vec::new();
    path.run_watched(2 * SECOND, |path| {
        let gain = path.controller.pacing_gain();
        if gain != 100 && gains.last() != Some(&gain) || gain == 100 && gains.last() == Some(&75) {
            gains.push(gain);
        }
    });
    let cycle = [125, 75, 100, 125, 75, 100, 125, 75, 100];
    assert!(gains.windows(cycle.len()).any(|seen| seen == cycle), "{gains:?}");
}

#[test]
fn after_ten_seconds_it_measures_the_round_trip_with_four_segments_and_goes_on_as_before() {
    let mut path = begun(4_000_000);
    let before = path.controller.cwnd;
    // As if the path had just become longer: nothing confirms what was measured.
    path.controller.rt_prop = Some(ms(39));
    path.controller.rt_prop_at = path.now;
    let (mut least, mut probed) = (u32::MAX, Vec::new());
    path.run_watched(12 * SECOND, |path| {
        if path.controller.state == State::ProbeRtt {
            least = least.min(path.in_flight);
            probed.push(path.now);
        }
    });
    assert!(probed[0].since(path.now - 12 * SECOND) > 10 * SECOND);
    let took = probed.last().unwrap().since(probed[0]);
    assert!((ms(200)..ms(400)).contains(&took), "{took:?}");
    assert!(least <= 4 * MSS, "{least}");
    let rt_prop = path.controller.rt_prop.unwrap();
    assert!((ms(40)..ms(41)).contains(&rt_prop), "{rt_prop:?}");
    assert!(path.controller.cwnd >= before * 9 / 10, "{} after {before}", path.controller.cwnd);
}

#[test]
fn the_bandwidth_of_ten_rounds_ago_is_forgotten() {
    let mut filter = BtlBw::default();
    filter.update(500, 1);
    filter.update(900, 2);
    filter.update(400, 2);
    assert_eq!(filter.get(), 900);
    filter.update(300, 11);
    assert_eq!(filter.get(), 900);
    filter.update(200, 12);
    assert_eq!(filter.get(), 300);
    // Rounds without a sample: all are older.
    filter.update(100, 40);
    assert_eq!(filter.get(), 100);
}

#[test]
fn it_follows_a_bandwidth_that_changes() {
    let mut path = begun(400_000);
    path.rate = 5_000_000;
    path.run(5 * SECOND);
    let bw = path.controller.btl_bw.get();
    assert!((4_500_000..5_500_000).contains(&bw), "down: {bw}");
    path.rate = 10_000_000;
    path.run(5 * SECOND);
    let bw = path.controller.btl_bw.get();
    assert!(bw > 9_000_000, "up: {bw}");
}

/// Within two percent: the room for what is on its way through the ends changes.
fn is_about(cwnd: u32, before: u32) -> bool {
    cwnd.abs_diff(before) < before / 50
}

/// An acknowledgment of a segment, which leaves `in_flight` octets; it begins a round if `is_round_start`.
fn ack(bbr: &mut Bbr1, in_flight: u32, phase: Phase, is_round_start: bool) {
    let next = bbr.next_round_delivered;
    let rate = RateSample {
        newly_acked: MSS,
        delivered: MSS,
        prior_delivered: if is_round_start { next } else { next - 1 },
        total_delivered: next + MSS,
        ..RateSample::default()
    };
    let now = bbr.cycle_at;
    bbr.on_ack(&AckSample { now, in_flight_bytes: in_flight, phase, rate: Some(rate), ..AckSample::default() });
}

#[test]
fn in_the_first_round_of_recovery_as_much_leaves_as_arrives() {
    let mut path = begun(4_000_000);
    let (bbr, now) = (&mut path.controller, path.now);
    let before = bbr.cwnd;
    bbr.on_loss(now, before);
    ack(bbr, 100 * MSS, Phase::Fast, false);
    assert_eq!(bbr.cwnd, 101 * MSS);
    // Ten more are lost: the window shrinks with what is out, and does not grow.
    let lost = LostPacket { size: 10 * MSS, tx_in_flight: 0, lost: 0, delivered: Seq(0), is_app_limited: false };
    bbr.on_packet_lost(&lost, now);
    ack(bbr, 90 * MSS, Phase::Fast, false);
    assert_eq!(bbr.cwnd, 91 * MSS);
    // In the second it grows by what was delivered.
    ack(bbr, 90 * MSS, Phase::Fast, true);
    assert_eq!(bbr.cwnd, 92 * MSS);
    // And then is what it was.
    ack(bbr, 90 * MSS, Phase::Open, false);
    assert!(is_about(bbr.cwnd, before), "{} after {before}", bbr.cwnd);
}

#[test]
fn a_mark_is_answered_by_a_round_in_which_packets_are_conserved() {
    let mut path = begun(4_000_000);
    let (bbr, now) = (&mut path.controller, path.now);
    let before = bbr.cwnd;
    bbr.on_ecn(now, before);
    ack(bbr, 100 * MSS, Phase::Open, false);
    ack(bbr, 100 * MSS, Phase::Open, false);
    assert_eq!(bbr.cwnd, 101 * MSS);
    ack(bbr, 100 * MSS, Phase::Open, true);
    assert!(is_about(bbr.cwnd, before), "{} after {before}", bbr.cwnd);
}

#[test]
fn after_a_timeout_the_window_grows_from_a_segment_and_then_is_what_it_was() {
    let mut path = begun(4_000_000);
    let (bbr, now) = (&mut path.controller, path.now);
    let before = bbr.cwnd;
    bbr.on_timeout(now, before, false);
    bbr.on_timeout(now, before, true);
    assert_eq!(bbr.cwnd, MSS);
    ack(bbr, 0, Phase::Timeout, false);
    assert_eq!(bbr.cwnd, 4 * MSS);
    ack(bbr, 0, Phase::Timeout, true);
    assert_eq!(bbr.cwnd, 5 * MSS);
    ack(bbr, 0, Phase::Open, false);
    assert!(is_about(bbr.cwnd, before), "{} after {before}", bbr.cwnd);
    bbr.on_timeout(now, before, false);
    bbr.on_spurious_loss();
    assert!(is_about(bbr.cwnd, before), "{} after {before}", bbr.cwnd);
}
