//! A path for the tests of rate-based algorithms: one bottleneck and a queue, in time that the test computes.

use super::super::delivery::{DeliveryRate, Stamp};
use super::{AckSample, CongestionControl, Phase};
use crate::base::time::{Duration, Instant};
use std::collections::VecDeque;

/// Octets of each segment.
pub(super) const MSS: u32 = 1000;

/// A segment on its way.
struct Out {
    /// When it is acknowledged, or found lost.
    at: Instant,
    is_lost: bool,
    number: u64,
    sent_at: Instant,
    stamp: Stamp,
}

/// It is over when all is at the receiver that was out when it began.
struct Recovery {
    /// The last segment of that.
    point: u64,
    /// The last segment that was sent when the last loss of that was found, and repaired.
    repaired: u64,
}

/// A bottleneck of `rate` octets a second with a round trip of `rtt`, and a queue of `queue` octets.
pub(super) struct Path<C> {
    pub(super) rate: u64,
    rtt: Duration,
    queue: u64,
    /// One segment in so many is lost wherever the queue is; 0 is none.
    pub(super) lost_one_in: u64,
    pub(super) now: Instant,
    free_at: Instant,
    pub(super) controller: C,
    delivery: DeliveryRate,
    pub(super) in_flight: u32,
    out: VecDeque<Out>,
    sent: u64,
    recovery: Option<Recovery>,
    pub(super) delivered: u64,
    pub(super) lost: u64,
    next_send: Instant,
    pub(super) longest_queue: Duration,
}

impl<C: CongestionControl> Path<C> {
    pub(super) fn new(rate: u64, rtt: Duration, queue: u64, controller: impl FnOnce(Instant) -> C) -> Self {
        let now = Instant::from_secs(1);
        Path {
            rate,
            rtt,
            queue,
            lost_one_in: 0,
            now,
            free_at: now,
            controller: controller(now),
            delivery: DeliveryRate::default(),
            in_flight: 0,
            out: VecDeque::new(),
            sent: 0,
            recovery: None,
            delivered: 0,
            lost: 0,
            next_send: now,
            longest_queue: Duration::ZERO,
        }
    }

    fn send(&mut self) {
        self.controller.on_sent(self.now, self.in_flight);
        let stamp = self.delivery.on_sent(self.in_flight == 0, self.in_flight + MSS, self.now);
        self.in_flight += MSS;
        self.sent += 1;
        let waits = self.free_at.since(self.now);
        let queued = waits.as_nanos() as u64 * self.rate / 1_000_000_000;
        let is_unlucky = self.sent.is_multiple_of(self.lost_one_in);
        let is_lost = queued > self.queue || is_unlucky;
        if !is_lost {
            self.free_at =
                self.free_at.max(self.now) + Duration::from_nanos(u64::from(MSS) * 1_000_000_000 / self.rate);
            self.longest_queue = self.longest_queue.max(waits);
        }
        // A loss is found when what was sent after it arrives.
        let at = self.free_at.max(self.now) + self.rtt;
        self.out.push_back(Out { at, is_lost, number: self.sent, sent_at: self.now, stamp });
        let pacing_rate = self.controller.window().pacing_rate.unwrap();
        self.next_send =
            self.next_send.max(self.now) + Duration::from_nanos(u64::from(MSS) * 1_000_000_000 / pacing_rate);
    }

    fn acknowledge(&mut self) {
        let Out { is_lost, number, sent_at, stamp, .. } = self.out.pop_front().unwrap();
        let in_flight_before_bytes = self.in_flight;
        self.in_flight -= MSS;
        if is_lost {
            self.lost += 1;
            self.delivery.on_lost(MSS, stamp);
            for packet in self.delivery.take_losses() {
                self.controller.on_packet_lost(&packet, self.now);
            }
            match &mut self.recovery {
                Some(recovery) if number <= recovery.point => recovery.repaired = self.sent,
                Some(_) => {}
                None => {
                    self.recovery = Some(Recovery { point: self.sent, repaired: self.sent });
                    self.controller.on_loss(self.now, in_flight_before_bytes);
                }
            }
            return;
        }
        self.delivered += u64::from(MSS);
        self.delivery.on_delivered(MSS, sent_at, stamp, self.now);
        if self.recovery.as_ref().is_some_and(|recovery| number > recovery.repaired) {
            self.recovery = None;
            self.controller.on_recovered(self.now, self.in_flight);
        }
        let rate = self.delivery.take_sample(Some(self.rtt));
        self.controller.on_ack(&AckSample {
            now: self.now,
            acked_bytes: MSS,
            in_flight_before_bytes,
            in_flight_bytes: self.in_flight,
            rtt: Some(self.now.since(sent_at)),
            phase: if self.recovery.is_some() { Phase::Fast } else { Phase::Open },
            rate,
            ..AckSample::default()
        });
        if self.controller.is_holding_back() {
            self.delivery.on_app_limited(self.in_flight);
        }
    }

    /// Sends as fast as the algorithm lets for `time`, which `watch` follows acknowledgment by acknowledgment.
    pub(super) fn run_watched(&mut self, time: Duration, mut watch: impl FnMut(&Self)) {
        let end = self.now + time;
        while self.now < end {
            let may_send = self.in_flight + MSS <= self.controller.window().cwnd.max(MSS);
            let ack_at = self.out.front().map_or(Instant::FAR_FUTURE, |out| out.at);
            if may_send && self.next_send <= ack_at {
                self.now = self.now.max(self.next_send);
                self.send();
            } else {
                self.now = self.now.max(ack_at);
                self.acknowledge();
                watch(self);
            }
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        self.run_watched(time, |_| {});
    }

    /// The share of the bandwidth that is used in `time` from now on.
    pub(super) fn share(&mut self, time: Duration) -> f64 {
        (self.delivered, self.lost, self.longest_queue) = (0, 0, Duration::ZERO);
        self.run(time);
        self.delivered as f64 / (self.rate as f64 * time.as_secs_f64())
    }
}
