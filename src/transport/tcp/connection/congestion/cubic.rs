//! CUBIC (RFC 9438): the window is a cubic function of the time since the last congestion, so that it grows fast
//! far from where that was, and slowly near it, whatever the round-trip time.
//!
//! ```text
//!   cwnd                                          ,
//!                                                ,'   convex: looking for more
//!   W_max ......................__,,--''''--,,,-'
//!                         _,--''    ^ K seconds
//!                      ,-'   concave: fast, then slow
//!            ssthresh '
//!                     +---------------------------- t
//! ```
//!
//! Sizes are octets in floating point, with nothing but the four operations, so that every machine computes the
//! same. The time stands still while the application, not the window, is the limit (RFC 9438 §5.8).

use super::hystart::HyStart;
use super::loss_based::{Before, LossBased};
use super::{AckSample, CongestionControl, Phase, Window};
use crate::base::time::{Duration, Instant};

/// β_cubic: what is left of the window after a loss (RFC 9438 §4.6).
const BETA: f64 = 0.7;
/// And after a mark of a router that drops nothing yet (RFC 8511 §3.1).
const BETA_ECN: f64 = 0.85;
/// C: how steep the function is, in segments per cubed second (RFC 9438 §4.1.1).
const C: f64 = 0.4;
/// α_cubic: segments a round trip that make up for β_cubic as one makes up for a half (RFC 9438 §4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// The controller.
#[derive(Clone, Debug)]
pub(in super::super) struct Cubic {
    base: LossBased,
    memory: Option<Box<Memory>>,
}

/// What only a connection needs that fills its window.
#[derive(Clone, Debug, Default)]
struct Memory {
    hystart: HyStart,
    curve: Curve,
    /// What to go back to if the last loss was none.
    undo: Option<(Before, Curve)>,
}

/// Where the last congestion was, and the stage of congestion avoidance since.
#[derive(Clone, Copy, Debug, Default)]
struct Curve {
    /// W_max: the window just before it, or less for the sake of others.
    w_max: f64,
    /// cwnd_prior: the window just before it.
    cwnd_prior: f64,
    epoch: Option<Epoch>,
}

/// One stage of congestion avoidance.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// t_epoch: when it began, moved on by the time that the application was the limit.
    start: Instant,
    /// When the last acknowledgment came.
    last_ack: Instant,
    /// K: seconds until the function is back at `w_max`.
    k: f64,
    /// Where the plateau of this stage is.
    w_max: f64,
    /// W_est: the window that Reno would have.
    w_est: f64,
    /// The fraction of an octet by which the window is too small.
    rest: f64,
}

impl Epoch {
    /// RFC 9438 §4.2: where the last congestion lies below the window, or is not known, the curve begins at its
    /// plateau.
    fn begin(w_max: f64, cwnd: f64, mss: f64, now: Instant) -> Self {
        let k = if w_max > cwnd { cube_root((w_max - cwnd) / mss / C) } else { 0.0 };
        Epoch { start: now, last_ack: now, k, w_max: w_max.max(cwnd), w_est: cwnd, rest: 0.0 }
    }

    /// W_cubic(t), equation (1).
    fn w_cubic(&self, t: Duration, mss: f64) -> f64 {
        let x = t.as_secs_f64() - self.k;
        C * x * x * x * mss + self.w_max
    }

    /// The time until `now` does not count.
    fn stand_still(&mut self, now: Instant) {
        self.start += now.since(self.last_ack);
        self.last_ack = now;
    }
}

impl Cubic {
    pub(super) fn new(base: LossBased) -> Self {
        Cubic { base, memory: None }
    }

    /// Congestion avoidance: RFC 9438 §4.2 to §4.5.
    fn avoid(&mut self, sample: &AckSample, acked: u32) {
        let (cwnd, mss) = (f64::from(self.base.cwnd), f64::from(self.base.mss));
        let curve = &mut self.memory.get_or_insert_default().curve;
        let (w_max, cwnd_prior) = (curve.w_max, curve.cwnd_prior);
        let epoch = curve.epoch.get_or_insert_with(|| Epoch::begin(w_max, cwnd, mss, sample.now));
        epoch.last_ack = sample.now;
        let windows_acked = f64::from(acked) / cwnd;
        // §4.3, equation (4): as fast as Reno once it is where Reno would have been.
        let alpha = if epoch.w_est >= cwnd_prior { 1.0 } else { ALPHA };
        epoch.w_est += alpha * windows_acked * mss;
        let t = sample.now.since(epoch.start);
        let wanted = if epoch.w_cubic(t, mss) < epoch.w_est {
            epoch.w_est
        } else {
            // §4.4, §4.5.
            let target = epoch.w_cubic(t + sample.srtt.unwrap_or_default(), mss).clamp(cwnd, 1.5 * cwnd);
            cwnd + epoch.rest + (target - cwnd) * windows_acked.min(1.0)
        };
        if wanted > cwnd {
            self.base.cwnd = wanted.min(f64::from(u32::MAX / 2)) as u32;
            epoch.rest = wanted - wanted.trunc();
        }
    }

    /// §4.6 and §4.7, in whose words a flow that has less than before leaves room for one that came new.
    fn reduce(&mut self, outstanding: u32, beta: f64) {
        let cwnd = f64::from(self.base.cwnd);
        let curve = &mut self.memory.get_or_insert_default().curve;
        let w_max = if cwnd < curve.w_max { cwnd * (1.0 + beta) / 2.0 } else { cwnd };
        *curve = Curve { w_max, cwnd_prior: cwnd, epoch: None };
        self.base.reduce(outstanding.min(self.base.cwnd), beta);
        self.base.cwnd = self.base.ssthresh;
    }

    fn remember(&mut self) {
        let before = self.base.remember();
        let memory = self.memory.get_or_insert_default();
        memory.undo = Some((before, memory.curve));
    }

    fn epoch(&mut self) -> Option<&mut Epoch> {
        self.memory.as_mut()?.curve.epoch.as_mut()
    }
}

impl CongestionControl for Cubic {
    fn name(&self) -> &'static str {
        "cubic"
    }

    fn window(&self) -> Window {
        self.base.window()
    }

    fn on_sent(&mut self, now: Instant, in_flight_bytes: u32) {
        if in_flight_bytes == 0
            && let Some(epoch) = self.epoch()
        {
            epoch.stand_still(now);
        }
    }

    fn on_ack(&mut self, sample: &AckSample) {
        if sample.phase == Phase::Fast || sample.acked_bytes == 0 {
            return;
        }
        if sample.app_limited {
            if let Some(epoch) = self.epoch() {
                epoch.stand_still(sample.now);
            }
            return;
        }
        let mut acked = sample.acked_bytes;
        if self.base.is_in_slow_start() {
            let hystart = self.base.is_watched().then(|| &mut self.memory.get_or_insert_default().hystart);
            acked = self.base.slow_start(sample, hystart);
        }
        if acked > 0 {
            self.avoid(sample, acked);
        }
    }

    fn on_loss(&mut self, _now: Instant, outstanding_bytes: u32) {
        self.remember();
        self.reduce(outstanding_bytes, BETA);
    }

    fn on_recovered(&mut self, _now: Instant, _in_flight_bytes: u32) {
        self.base.recovered();
    }

    fn on_timeout(&mut self, _now: Instant, outstanding_bytes: u32, again: bool) {
        if !again {
            self.remember();
            self.reduce(outstanding_bytes, BETA);
            // §4.8: the next stage begins at its own plateau.
            self.memory.get_or_insert_default().curve = Curve::default();
        }
        self.base.cwnd = self.base.mss;
    }

    fn on_spurious_loss(&mut self) {
        // §4.9.
        if let Some(memory) = &mut self.memory
            && let Some((before, curve)) = memory.undo.take()
            && self.base.restore(before)
        {
            memory.curve = curve;
        }
    }

    fn on_ecn(&mut self, _now: Instant, outstanding_bytes: u32) {
        self.reduce(outstanding_bytes, BETA_ECN);
    }

    fn on_unused(&mut self) {
        self.base.unused();
        if let Some(memory) = &mut self.memory {
            memory.curve.epoch = None;
        }
    }

    fn on_mss(&mut self, mss: u32) {
        self.base.on_mss(mss);
    }
}

/// The root of a number that is not negative, by Newton's method.
fn cube_root(x: f64) -> f64 {
    let mut root = x.max(1.0);
    // From above, each step leaves at most two thirds of the root, and at the end doubles the digits.
    for _ in 0..200 {
        let next = (2.0 * root + x / (root * root)) / 3.0;
        if next >= root {
            break;
        }
        root = next;
    }
    root
}

#[cfg(test)]
mod tests;
