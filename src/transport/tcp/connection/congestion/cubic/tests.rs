//! CUBIC against the formulas of RFC 9438, written out here a second time and in other units.

use super::super::loss_based::LossBased;
use super::*;

const MSS: u32 = 1000;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A connection that fills its window, one round trip after the other.
struct Flow {
    cubic: Cubic,
    now: Instant,
    rtt: Duration,
}

impl Flow {
    fn new(segments: u32, rtt: Duration) -> Self {
        Flow { cubic: Cubic::new(LossBased::new(MSS, segments * MSS, true)), now: Instant::from_secs(1), rtt }
    }

    fn segments(&self) -> f64 {
        f64::from(self.cubic.window().cwnd) / f64::from(MSS)
    }

    fn sample(&self, acked_bytes: u32) -> AckSample {
        AckSample { now: self.now, acked_bytes, srtt: Some(self.rtt), rtt: Some(self.rtt), ..AckSample::default() }
    }

    /// Every segment of a window is acknowledged, evenly over a round trip.
    fn round(&mut self) {
        let acks = self.cubic.window().cwnd / MSS;
        for _ in 0..acks {
            self.now += self.rtt / acks;
            let sample = self.sample(MSS);
            self.cubic.on_ack(&sample);
        }
    }

    /// A loss and its recovery, which leaves the window at ssthresh.
    fn lose(&mut self) {
        let cwnd = self.cubic.window().cwnd;
        self.cubic.on_loss(self.now, cwnd);
        let ssthresh = self.cubic.window().ssthresh;
        self.cubic.on_recovered(self.now, ssthresh);
    }
}

/// W_cubic(t) in segments, with the epoch's own window.
fn w_cubic(t: f64, w_max: f64, cwnd_epoch: f64) -> f64 {
    let k = ((w_max - cwnd_epoch) / 0.4).cbrt();
    0.4 * (t - k).powi(3) + w_max
}

#[test]
fn the_window_follows_the_cubic_function_round_by_round() {
    // RFC 9438 §4.2, §4.4, §4.5. A hundred milliseconds and a thousand segments: far from Reno's region.
    let mut flow = Flow::new(1000, ms(100));
    flow.lose();
    assert_eq!(flow.segments(), 700.0);
    let start = flow.now;
    for round in 1..150 {
        flow.round();
        let t = flow.now.since(start).as_secs_f64();
        let expected = w_cubic(t + 0.1, 1000.0, 700.0);
        // The window reaches in a round what the function has at its end; the rest is how far it moves meanwhile.
        let slope = w_cubic(t + 0.1, 1000.0, 700.0) - w_cubic(t - 0.1, 1000.0, 700.0);
        assert!((flow.segments() - expected).abs() <= 1.0 + slope, "round {round}: {} for {expected}", flow.segments());
    }
    assert!(flow.segments() > 1000.0, "it looks for more beyond the plateau: {}", flow.segments());
}

#[test]
fn k_is_the_time_to_the_plateau() {
    let mut flow = Flow::new(1000, ms(100));
    flow.lose();
    let start = flow.now;
    while flow.segments() < 999.0 {
        flow.round();
    }
    // K = cbrt(1000 * 0.3 / 0.4) = 9.09 s; one segment below the plateau is 1.36 s before it.
    let seconds = flow.now.since(start).as_secs_f64();
    assert!((7.6..9.1).contains(&seconds), "{seconds}");
}

#[test]
fn near_reno_the_window_grows_like_renos() {
    // RFC 9438 §4.3: W_est grows by α a round trip until it was where the loss was, then by one segment.
    let mut flow = Flow::new(20, ms(10));
    flow.lose();
    let mut w_est = 14.0;
    for round in 1..60 {
        // A window is acknowledged in whole segments: the last one belongs to the next round.
        let share = flow.segments().floor() / flow.segments();
        flow.round();
        w_est += share * if w_est >= 20.0 { 1.0 } else { 3.0 * 0.3 / 1.7 };
        assert!((flow.segments() - w_est).abs() <= 1.0, "round {round}: {} for {w_est}", flow.segments());
    }
}

#[test]
fn a_flow_that_shrinks_leaves_room_for_others() {
    // RFC 9438 §4.7: the second loss comes below the first, and the plateau is set lower still.
    let mut flow = Flow::new(1000, ms(100));
    flow.lose();
    flow.lose();
    let curve = flow.cubic.memory.as_ref().unwrap().curve;
    assert_eq!((curve.w_max, curve.cwnd_prior), (700_000.0 * 0.85, 700_000.0));
    assert_eq!(flow.segments(), 490.0);
}

#[test]
fn after_a_timeout_the_curve_begins_at_its_plateau() {
    // RFC 9438 §4.8.
    let mut flow = Flow::new(1000, ms(100));
    flow.cubic.on_timeout(flow.now, 1000 * MSS, false);
    assert_eq!((flow.segments(), flow.cubic.window().ssthresh), (1.0, 700 * MSS));
    while flow.segments() < 700.0 {
        flow.round();
    }
    flow.round();
    let epoch = flow.cubic.memory.as_ref().unwrap().curve.epoch.unwrap();
    assert_eq!(epoch.k, 0.0);
    assert!((700_000.0..702_000.0).contains(&epoch.w_max), "{}", epoch.w_max);
}

#[test]
fn time_stands_still_while_the_application_is_the_limit() {
    // RFC 9438 §5.8: otherwise the window would jump when the application has something to send again.
    let mut busy = Flow::new(1000, ms(100));
    busy.lose();
    let mut idle = Flow::new(1000, ms(100));
    idle.lose();
    for flow in [&mut busy, &mut idle] {
        (0..20).for_each(|_| flow.round());
    }
    // Ten seconds with a little to send, then ten without anything.
    for _ in 0..100 {
        idle.now += ms(100);
        let sample = AckSample { app_limited: true, ..idle.sample(MSS) };
        idle.cubic.on_ack(&sample);
    }
    idle.now += Duration::from_secs(10);
    idle.cubic.on_sent(idle.now, 0);
    for flow in [&mut busy, &mut idle] {
        (0..20).for_each(|_| flow.round());
    }
    assert!((busy.segments() - idle.segments()).abs() <= 2.0, "{} and {}", busy.segments(), idle.segments());
}

#[test]
fn a_loss_that_was_none_gives_window_and_curve_back() {
    // RFC 9438 §4.9.
    let mut flow = Flow::new(1000, ms(100));
    flow.lose();
    (0..20).for_each(|_| flow.round());
    let (window, curve) = (flow.cubic.window(), flow.cubic.memory.as_ref().unwrap().curve);
    flow.lose();
    flow.cubic.on_spurious_loss();
    let after = flow.cubic.memory.as_ref().unwrap().curve;
    assert_eq!(flow.cubic.window(), window);
    assert_eq!((after.w_max, after.cwnd_prior), (curve.w_max, curve.cwnd_prior));
    assert_eq!(after.epoch.unwrap().start, curve.epoch.unwrap().start);
    flow.cubic.on_timeout(flow.now, 700 * MSS, false);
    flow.cubic.on_timeout(flow.now, 700 * MSS, true);
    flow.cubic.on_spurious_loss();
    assert_eq!(flow.cubic.window(), window);
}

#[test]
fn a_mark_leaves_more_than_a_loss() {
    // RFC 8511 §3.1.
    let mut flow = Flow::new(1000, ms(100));
    flow.cubic.on_ecn(flow.now, 1000 * MSS);
    assert_eq!(flow.segments(), 850.0);
}

#[test]
fn the_window_grows_by_half_a_round_trip_at_most() {
    // RFC 9438 §4.2: target is 1.5 * cwnd where the function is far above.
    let mut flow = Flow::new(100, Duration::from_secs(20));
    flow.lose();
    flow.now += Duration::from_secs(1);
    for _ in 0..5 {
        let before = flow.segments();
        flow.round();
        assert!(flow.segments() <= before * 1.66, "{before} -> {}", flow.segments());
    }
}

#[test]
fn roots_are_cubic() {
    for x in [0.0, 1e-9, 0.3, 1.0, 750.0, 1e9, 1e15] {
        let root = cube_root(x);
        assert!((root * root * root - x).abs() <= x.max(1e-6) * 1e-9, "{x}: {root}");
    }
}
