//! BBR on a path that the test computes: one bottleneck, a queue, and losses by a rule.

use super::super::super::delivery::DeliveryRate;
use super::*;
use std::collections::VecDeque;

const MSS: u32 = 1000;

/// A bottleneck of `rate` octets a second with a round trip of `rtt`, and a queue of `queue` octets.
struct Path {
    rate: u64,
    rtt: Duration,
    queue: u64,
    now: Instant,
    free_at: Instant,
    bbr: Bbr,
    delivery: DeliveryRate,
    in_flight: u32,
    /// When each segment is acknowledged, or found lost; when it was sent, and its stamp.
    out: VecDeque<(Instant, bool, Instant, super::super::super::delivery::Stamp)>,
    delivered: u64,
    lost: u64,
    next_send: Instant,
    states: Vec<State>,
    longest_queue: Duration,
}

impl Path {
    fn new(rate: u64, rtt: Duration, queue: u64) -> Self {
        let now = Instant::from_secs(1);
        Path {
            rate,
            rtt,
            queue,
            now,
            free_at: now,
            bbr: Bbr::new(MSS, 10 * MSS, Some(rtt), 7, now),
            delivery: DeliveryRate::default(),
            in_flight: 0,
            out: VecDeque::new(),
            delivered: 0,
            lost: 0,
            next_send: now,
            states: vec![State::Startup],
            longest_queue: Duration::ZERO,
        }
    }

    fn send(&mut self) {
        self.bbr.on_sent(self.now, self.in_flight);
        let stamp = self.delivery.on_sent(self.in_flight == 0, self.in_flight + MSS, self.now);
        self.in_flight += MSS;
        let waits = self.free_at.since(self.now);
        let queued = waits.as_nanos() as u64 * self.rate / 1_000_000_000;
        let is_lost = queued > self.queue;
        if !is_lost {
            self.free_at =
                self.free_at.max(self.now) + Duration::from_nanos(u64::from(MSS) * 1_000_000_000 / self.rate);
            self.longest_queue = self.longest_queue.max(waits);
        }
        // A loss is found when what was sent after it arrives.
        let at = self.free_at.max(self.now) + self.rtt;
        self.out.push_back((at, is_lost, self.now, stamp));
        let pacing_rate = self.bbr.window().pacing_rate.unwrap();
        self.next_send =
            self.next_send.max(self.now) + Duration::from_nanos(u64::from(MSS) * 1_000_000_000 / pacing_rate);
    }

    fn acknowledge(&mut self) {
        let (_, is_lost, sent_at, stamp) = self.out.pop_front().unwrap();
        self.in_flight -= MSS;
        if is_lost {
            self.lost += 1;
            self.delivery.on_lost(MSS, stamp);
            for packet in self.delivery.take_losses() {
                self.bbr.on_packet_lost(&packet, self.now);
            }
            return;
        }
        self.delivered += u64::from(MSS);
        self.delivery.on_delivered(MSS, sent_at, stamp, self.now);
        let rate = self.delivery.take_sample(Some(self.rtt));
        self.bbr.on_ack(&AckSample {
            now: self.now,
            acked_bytes: MSS,
            in_flight_bytes: self.in_flight,
            rtt: Some(self.now.since(sent_at)),
            rate,
            ..AckSample::default()
        });
        if self.bbr.is_holding_back() {
            self.delivery.on_app_limited(self.in_flight);
        }
        if self.states.last() != Some(&self.bbr.state) {
            self.states.push(self.bbr.state);
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let may_send = self.in_flight + MSS <= self.bbr.window().cwnd;
            let ack_at = self.out.front().map_or(Instant::FAR_FUTURE, |out| out.0);
            if may_send && self.next_send <= ack_at {
                self.now = self.now.max(self.next_send);
                self.send();
            } else {
                self.now = self.now.max(ack_at);
                self.acknowledge();
            }
        }
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn it_finds_the_bandwidth_and_the_round_trip_of_a_path() {
    // 10 Mbyte/s and 40 ms: 400,000 octets fill it.
    let mut path = Path::new(10_000_000, ms(40), 4_000_000);
    path.run(Duration::from_secs(3));
    let bw = path.bbr.model.max_bw();
    assert!((9_800_000..10_300_000).contains(&bw), "{bw}");
    assert_eq!(path.bbr.model.min_rtt(), Some(ms(40)));
    // With so little in flight after Drain, DOWN is over in the acknowledgment that began it.
    assert_eq!(path.states[..3], [State::Startup, State::Drain, State::ProbeBwCruise]);
    assert_eq!(path.lost, 0);
}

#[test]
fn it_fills_the_path_without_filling_the_queue() {
    let mut path = Path::new(10_000_000, ms(40), 4_000_000);
    path.run(Duration::from_secs(2));
    (path.delivered, path.longest_queue) = (0, Duration::ZERO);
    path.run(Duration::from_secs(20));
    let share = path.delivered as f64 / 200_000_000.0;
    assert!(share > 0.93, "{share:.3} of the bandwidth");
    // A queue that holds 400 ms is never used for more than a round trip and a quarter.
    assert!(path.longest_queue < ms(50), "{:?}", path.longest_queue);
}

#[test]
fn every_five_seconds_it_measures_the_round_trip_without_its_own_queue() {
    let mut path = Path::new(10_000_000, ms(40), 4_000_000);
    path.run(Duration::from_secs(21));
    let probes = path.states.iter().filter(|state| **state == State::ProbeRtt).count();
    assert!((2..=4).contains(&probes), "{probes} in {:?}", path.states);
}

#[test]
fn the_cycle_goes_down_cruises_refills_and_goes_up() {
    let mut path = Path::new(10_000_000, ms(40), 4_000_000);
    path.run(Duration::from_secs(4));
    use State::{ProbeBwCruise, ProbeBwDown, ProbeBwRefill, ProbeBwUp};
    let cycle = [ProbeBwCruise, ProbeBwRefill, ProbeBwUp, ProbeBwDown, ProbeBwCruise];
    assert!(path.states.windows(5).any(|states| states == cycle), "{:?}", path.states);
}

#[test]
fn a_short_queue_bounds_what_is_in_flight_in_the_long_term() {
    // The queue holds a tenth of what the path does: probes lose more than 2 %.
    let mut path = Path::new(10_000_000, ms(40), 40_000);
    path.run(Duration::from_secs(3));
    let longterm = path.bbr.model.inflight_longterm;
    assert!((300_000..600_000).contains(&longterm), "{longterm}");
    (path.delivered, path.lost) = (0, 0);
    path.run(Duration::from_secs(20));
    let share = path.delivered as f64 / 200_000_000.0;
    assert!(share > 0.80, "{share:.3} of the bandwidth");
    let lost = path.lost as f64 * f64::from(MSS) / path.delivered as f64;
    assert!(lost < 0.02, "{lost:.4} lost");
}

#[test]
fn it_follows_a_bandwidth_that_changes() {
    // Of a queue of one bandwidth-delay product; losses tell first, and the filter of two cycles forgets after that.
    let mut path = Path::new(10_000_000, ms(40), 400_000);
    path.run(Duration::from_secs(5));
    path.rate = 5_000_000;
    path.run(Duration::from_secs(20));
    let bw = path.bbr.model.bw();
    assert!((4_500_000..5_500_000).contains(&bw), "down: {bw}");
    path.rate = 10_000_000;
    path.run(Duration::from_secs(20));
    let bw = path.bbr.model.bw();
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
    let mut path = Path::new(10_000_000, ms(40), 4_000_000);
    path.run(Duration::from_secs(2));
    path.bbr.on_loss(path.now, 0);
    path.bbr.model.inflight_longterm = 100_000;
    path.bbr.model.bw_shortterm = 1_000_000;
    path.bbr.on_spurious_loss();
    assert_eq!((path.bbr.model.inflight_longterm, path.bbr.model.bw_shortterm), (u32::MAX, u64::MAX));
}
