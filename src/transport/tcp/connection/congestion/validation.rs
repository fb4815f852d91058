//! Whether the congestion window is used, and what it is worth while it is not: RFC 7661.
//!
//! A window that was never filled says nothing of the path. It does not grow then (RFC 9293 §3.8.2); it is *validated*
//! while at least half of it was acknowledged in a round trip of late (pipeACK), and one that was not validated for
//! five minutes is given up by half. A pause within those costs nothing: what follows is paced.
//!
//! DEVIATION(RFC 7661 §4.4.1): what was sent again in a recovery is not subtracted from the window after it; the
//! recovery itself follows what is delivered.

use super::Window;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};

/// NVP: how long a window may go unused (RFC 7661 §4.4.3).
const NONVALIDATED_PERIOD: Duration = Duration::from_secs(300);
/// pipeACK Sampling Period: three round trips, at least this long (RFC 7661 §4.2).
const LEAST_SAMPLING_PERIOD: Duration = Duration::from_secs(1);
/// No silence counts for more: the window is at its least by then.
const MOST_PERIODS: u32 = 32;

/// How much of the window is used: nothing to speak of, until half of it was once. An idle connection, and one that
/// only ever sends a little, keep no more than that.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Validation(Option<Box<Usage>>);

/// The figures.
#[derive(Clone, Debug, Default)]
struct Usage {
    /// The most octets in the network since `round_end` was set.
    peak: u32,
    /// When SND.UNA passes this, a round trip is over, if one began.
    round_end: Seq,
    /// Octets acknowledged in this round trip.
    acked: u32,
    /// The most octets acknowledged in one round trip of this sampling period, and of the one before.
    pipe_ack: [u32; 2],
    /// Milliseconds at the start of the sampling period; 0 before the first round trip began.
    period_start: u32,
    /// Milliseconds at which the window was found not validated, if it is not.
    nonvalidated_since: u32,
}

impl Validation {
    /// Something was sent, with which `pipe` octets are in the network.
    pub(in super::super) fn on_sent(&mut self, pipe: u32, cwnd: u32) {
        match &mut self.0 {
            Some(usage) => usage.peak = usage.peak.max(pipe),
            None if pipe >= cwnd / 2 => self.0 = Some(Box::new(Usage { peak: pipe, ..Usage::default() })),
            None => {}
        }
    }

    /// `acked` octets were acknowledged, and `pipe` are in the network. Gives how many nonvalidated periods have
    /// passed.
    pub(in super::super) fn on_ack(
        &mut self,
        (una, nxt): (Seq, Seq),
        (acked, pipe): (u32, u32),
        cwnd: u32,
        srtt: Duration,
        now: Instant,
    ) -> u32 {
        let Some(usage) = &mut self.0 else { return 0 };
        usage.acked = usage.acked.saturating_add(acked);
        let has_begun = usage.period_start > 0;
        if has_begun && una.before(usage.round_end) {
            return 0;
        }
        if !has_begun || since(usage.period_start, now) >= (srtt * 3).max(LEAST_SAMPLING_PERIOD) {
            usage.pipe_ack = [0, usage.pipe_ack[0]];
            usage.period_start = millis(now);
        }
        if has_begun {
            usage.pipe_ack[0] = usage.pipe_ack[0].max(usage.acked);
        }
        (usage.round_end, usage.peak, usage.acked) = (nxt, pipe, 0);
        if usage.is_validated(cwnd) {
            usage.nonvalidated_since = 0;
            return 0;
        }
        if usage.nonvalidated_since == 0 {
            usage.nonvalidated_since = millis(now);
        }
        usage.periods_since(usage.nonvalidated_since, now)
    }

    /// Sending resumes after nothing was sent since `sent_at`: how many nonvalidated periods have passed.
    pub(in super::super) fn on_resumed(&mut self, sent_at: Instant, now: Instant) -> u32 {
        let Some(usage) = &mut self.0 else { return 0 };
        let start = if usage.nonvalidated_since == 0 { millis(sent_at) } else { usage.nonvalidated_since };
        usage.periods_since(start, now)
    }

    /// RFC 7661 §4.3: at least half of the window is in use.
    fn is_validated(&self, cwnd: u32) -> bool {
        self.0.as_ref().is_none_or(|usage| usage.is_validated(cwnd))
    }

    /// The sender has less to send than the window allows: it must not grow.
    pub(in super::super) fn is_app_limited(&self, window: Window, mss: u32) -> bool {
        let Some(usage) = &self.0 else { return true };
        if window.cwnd < window.ssthresh {
            // In slow start the window may be twice what was used, since it doubles in a round trip.
            window.cwnd / 2 > usage.peak
        } else {
            usage.peak + mss <= window.cwnd
        }
    }

    /// What a loss is measured by, with `outstanding` octets sent and not acknowledged: of a window that is not
    /// validated, what the path was last seen to carry, if that is more (RFC 7661 §4.4.1).
    pub(in super::super) fn flight_at_loss(&self, outstanding: u32, cwnd: u32) -> u32 {
        let carried = self.0.as_ref().filter(|_| !self.is_validated(cwnd)).and_then(|usage| usage.pipe_ack());
        outstanding.max(carried.unwrap_or(0))
    }
}

impl Usage {
    /// pipeACK; `None` before it was measured.
    fn pipe_ack(&self) -> Option<u32> {
        Some(self.pipe_ack[0].max(self.pipe_ack[1])).filter(|most| *most > 0)
    }

    fn is_validated(&self, cwnd: u32) -> bool {
        self.pipe_ack().is_none_or(|pipe_ack| pipe_ack >= cwnd / 2)
    }

    fn periods_since(&mut self, start: u32, now: Instant) -> u32 {
        let periods = (since(start, now).as_secs() / NONVALIDATED_PERIOD.as_secs()) as u32;
        if periods > 0 {
            self.nonvalidated_since = millis(now);
        }
        periods.min(MOST_PERIODS)
    }
}

/// Milliseconds, never 0; they wrap after seven weeks, when no period is that long.
fn millis(now: Instant) -> u32 {
    (now.as_millis() as u32).max(1)
}

fn since(start: u32, now: Instant) -> Duration {
    Duration::from_millis(u64::from(millis(now).wrapping_sub(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;
    const CWND: u32 = 100 * MSS;

    /// One round trip after the other, in which so many octets are acknowledged.
    struct Rounds {
        validation: Validation,
        una: Seq,
        now: Instant,
    }

    impl Rounds {
        fn new() -> Self {
            let mut validation = Validation::default();
            assert!(validation.is_validated(CWND), "pipeACK is not known yet");
            validation.on_sent(CWND, CWND);
            Rounds { validation, una: Seq(0), now: Instant::from_secs(1) }
        }

        fn round(&mut self, octets: u32) -> u32 {
            self.now += Duration::from_millis(100);
            self.una += octets;
            self.validation.on_sent(octets, CWND);
            let (srtt, now) = (Duration::from_millis(100), self.now);
            self.validation.on_ack((self.una, self.una + 1), (octets, 0), CWND, srtt, now)
        }
    }

    #[test]
    fn a_window_of_which_half_is_used_is_validated() {
        // RFC 7661 §4.3.
        let mut rounds = Rounds::new();
        (0..30).for_each(|_| _ = rounds.round(CWND / 2));
        assert!(rounds.validation.is_validated(CWND));
        (0..30).for_each(|_| _ = rounds.round(CWND / 2 - 1));
        assert!(!rounds.validation.is_validated(CWND));
    }

    #[test]
    fn a_window_that_is_not_used_for_five_minutes_is_given_up() {
        // RFC 7661 §4.4.3.
        let mut rounds = Rounds::new();
        let mut given_up = Vec::new();
        for round in 0..6_100 {
            if rounds.round(MSS) > 0 {
                given_up.push(round);
            }
        }
        assert_eq!(given_up.len(), 2, "{given_up:?}");
        assert!((3_000..3_050).contains(&given_up[0]), "{given_up:?}");
    }

    #[test]
    fn nothing_is_kept_of_a_window_that_was_never_half_full() {
        let mut validation = Validation::default();
        validation.on_sent(CWND / 2 - 1, CWND);
        assert!(validation.0.is_none());
        assert!(validation.is_app_limited(Window { cwnd: CWND, ssthresh: u32::MAX, pacing_rate: None }, MSS));
        validation.on_sent(CWND / 2, CWND);
        assert!(!validation.is_app_limited(Window { cwnd: CWND, ssthresh: u32::MAX, pacing_rate: None }, MSS));
    }

    #[test]
    fn a_pause_costs_nothing_for_five_minutes() {
        let mut rounds = Rounds::new();
        (0..30).for_each(|_| _ = rounds.round(CWND));
        let sent_at = rounds.now;
        let after = |secs| sent_at + Duration::from_secs(secs);
        assert_eq!(rounds.validation.clone().on_resumed(sent_at, after(299)), 0);
        assert_eq!(rounds.validation.clone().on_resumed(sent_at, after(300)), 1);
        assert_eq!(rounds.validation.clone().on_resumed(sent_at, after(1000)), 3);
        assert_eq!(rounds.validation.on_resumed(sent_at, after(1_000_000)), 32);
    }

    #[test]
    fn a_loss_of_an_unused_window_is_measured_by_what_the_path_carried() {
        // RFC 7661 §4.4.1.
        let mut rounds = Rounds::new();
        (0..30).for_each(|_| _ = rounds.round(20 * MSS));
        assert_eq!(rounds.validation.flight_at_loss(5 * MSS, CWND), 20 * MSS);
        assert_eq!(rounds.validation.flight_at_loss(30 * MSS, CWND), 30 * MSS);
        assert_eq!(rounds.validation.flight_at_loss(5 * MSS, 30 * MSS), 5 * MSS);
    }
}
