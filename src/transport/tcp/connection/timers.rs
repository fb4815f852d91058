//! The timers of one connection: when each is due, kept in one small array.

use crate::base::time::Instant;

/// A reason to wake up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    /// Something out may be lost (RFC 6298).
    Retransmit,
    /// Something out may be lost, or may only be late: RACK's reordering timer, or the time for a tail loss probe
    /// (RFC 8985 §6.3, §7.2).
    LossDetection,
    /// The window is closed, or too small to use: probe it or send what fits (RFC 9293 §3.8.6.1, MUST-38).
    Persist,
    /// An ACK waited for company long enough (RFC 9293 §3.8.6.3).
    DelayedAck,
    /// Nothing was heard for long (RFC 9293 §3.8.4).
    Keepalive,
    /// Something is out or queued and the peer acknowledges nothing (RFC 9293 §3.8.3, R2).
    User,
    /// TIME-WAIT ends, or FIN-WAIT-2 lasted too long.
    Close,
    /// Data waits for its turn in the round trip.
    Pacing,
}

impl Timer {
    pub(super) const ALL: [Timer; 8] = [
        Timer::Retransmit,
        Timer::LossDetection,
        Timer::Persist,
        Timer::DelayedAck,
        Timer::Keepalive,
        Timer::User,
        Timer::Close,
        Timer::Pacing,
    ];

    pub(super) fn label(self) -> &'static str {
        match self {
            Timer::Retransmit => "retransmit",
            Timer::LossDetection => "loss-detection",
            Timer::Persist => "persist",
            Timer::DelayedAck => "delayed-ack",
            Timer::Keepalive => "keepalive",
            Timer::User => "user",
            Timer::Close => "close",
            Timer::Pacing => "pacing",
        }
    }
}

/// When each timer is due.
#[derive(Clone, Debug)]
pub(super) struct Timers([Instant; Timer::ALL.len()]);

impl Timers {
    pub(super) fn new() -> Self {
        Timers([Instant::FAR_FUTURE; Timer::ALL.len()])
    }

    /// Starts or restarts.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        if let Some(slot) = self.0.get_mut(timer as usize) {
            *slot = at;
        }
    }

    /// Starts unless it runs.
    pub(super) fn start(&mut self, timer: Timer, at: Instant) {
        if !self.is_set(timer) {
            self.set(timer, at);
        }
    }

    /// Stops.
    pub(super) fn stop(&mut self, timer: Timer) {
        self.set(timer, Instant::FAR_FUTURE);
    }

    /// Stops all.
    pub(super) fn stop_all(&mut self) {
        *self = Timers::new();
    }

    /// When it is due, if it runs.
    pub(super) fn due(&self, timer: Timer) -> Option<Instant> {
        self.0.get(timer as usize).copied().filter(|at| *at != Instant::FAR_FUTURE)
    }

    /// True if it runs.
    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.due(timer).is_some()
    }

    /// Stops the timer and gives `true` if it is due.
    pub(super) fn take_due(&mut self, timer: Timer, now: Instant) -> bool {
        let due = self.due(timer).is_some_and(|at| at <= now);
        if due {
            self.stop(timer);
        }
        due
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().copied().min().filter(|at| *at != Instant::FAR_FUTURE)
    }
}
