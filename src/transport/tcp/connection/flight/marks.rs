//! Taking records for lost, and taking that back. Each of these is asked for by `recovery`, which knows why.

use super::delivery::Newest;
use super::{Fate, Flight};
use crate::base::time::{Duration, Instant};

impl Flight {
    /// RACK_detect_loss (RFC 8985 §6.2 step 5): what was sent before `newest`, which arrived, is lost once `patience`
    /// passed since it was sent. Gives the octets newly lost and when the last of the others will be.
    ///
    /// First transmissions stand in the order of their times: the first of them that was sent after `newest` ends
    /// the search. Without a hole that is the first record.
    pub(in super::super) fn mark_lost_by_time(
        &mut self,
        newest: Newest,
        patience: Duration,
        now: Instant,
    ) -> (u32, Option<Instant>) {
        let (mut newly_lost, mut wait) = (0, None);
        for index in 0..self.records.len() {
            let Some(record) = self.records.get(index).copied() else { break };
            if !record.fate.is_in_network() {
                continue;
            }
            if !newest.is_after(record.sent_at, record.range.end) {
                if record.transmissions == 1 {
                    break;
                }
                continue;
            }
            let due = record.sent_at + patience;
            if due <= now {
                newly_lost += record.range.len();
                self.set_fate(index, Fate::Lost);
            } else {
                wait = wait.max(Some(due));
            }
        }
        (newly_lost, wait)
    }

    /// Takes the first segment that is on the way for lost, if it was not sent again since.
    pub(in super::super) fn mark_first_lost(&mut self, mss: u32) {
        let first = self.records.front().filter(|record| matches!(record.fate, Fate::Out | Fate::Doubled));
        let Some(range) = first.map(|record| record.range) else { return };
        self.split(range.start + mss, usize::MAX);
        self.set_fate(0, Fate::Lost);
    }

    /// RACK_mark_losses_on_RTO (RFC 8985 §6.3): the first segment, and whatever was sent `patience` ago.
    pub(in super::super) fn mark_lost_on_timeout(&mut self, mss: u32, patience: Duration, now: Instant) {
        if let Some(first) = self.records.front().map(|record| record.range) {
            self.split(first.start + mss, usize::MAX);
        }
        for index in 0..self.records.len() {
            let Some(record) = self.records.get(index) else { break };
            if record.fate.is_in_network() && (index == 0 || record.sent_at + patience <= now) {
                self.set_fate(index, Fate::Lost);
            }
        }
    }

    /// Takes everything for lost, and forgets what the receiver said it has: it may have changed its mind
    /// (RFC 2018 §8).
    pub(in super::super) fn mark_all_lost(&mut self) {
        for index in 0..self.records.len() {
            self.set_fate(index, Fate::Lost);
        }
        self.forget_pieces();
    }

    /// Takes everything that is on the way for lost, and keeps what the receiver said it has.
    pub(in super::super) fn mark_in_network_lost(&mut self) {
        for index in 0..self.records.len() {
            if self.records.get(index).is_some_and(|record| record.fate.is_in_network()) {
                self.set_fate(index, Fate::Lost);
            }
        }
    }

    /// Nothing is lost after all: what was taken for lost is on the way.
    pub(in super::super) fn unmark_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        for index in 0..self.records.len() {
            let Some(record) = self.records.get(index).filter(|record| record.fate == Fate::Lost) else { continue };
            let fate = if record.transmissions == 1 { Fate::Out } else { Fate::Resent };
            self.set_fate(index, fate);
        }
    }
}
