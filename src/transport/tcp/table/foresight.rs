//! What the segments and the timers of a batch will need, asked for before it is needed.
//!
//! Among a million connections nearly everything about the one that a segment is for is in no cache, and finding it is
//! one wait for memory after the other: the owner, its place, its record. For one segment nothing can be done about
//! that. For a batch, each step is done for all segments before the next: reads that do not depend on each other wait
//! together.

use super::slot::{Owner, Slot, TimerKey};
use super::{ConnectionId, Tcp};
use crate::base::prefetch::prefetch;
use crate::base::time::Instant;
use crate::transport::tcp::ends::Ends;
use smallvec::SmallVec;

/// So many segments at once: what they read should still be in the cache when they are processed.
pub(super) const AT_ONCE: usize = 64;
/// With fewer connections nearly everything is in a cache anyway.
const WORTHWHILE: usize = 2_048;

/// Timers that fire together.
pub(super) type Due = SmallVec<[TimerKey; AT_ONCE]>;

/// Connections that segments will be for.
pub type Foreseen = SmallVec<[ConnectionId; AT_ONCE]>;

impl Tcp {
    /// True if there are so many connections that [`Tcp::foresee`] is worth its while.
    pub fn is_foresight_worthwhile(&self) -> bool {
        self.connections.len() >= WORTHWHILE
    }

    /// Which connections segments between these ends will be for, as far as can be told beforehand.
    pub fn foresee(&self, ends: &[Ends]) -> Foreseen {
        let hashes: SmallVec<[u32; AT_ONCE]> = ends.iter().map(|ends| self.owners.hash(ends)).collect();
        let owners: SmallVec<[Owner; AT_ONCE]> = hashes.iter().filter_map(|hash| self.owners.guess(*hash)).collect();
        let is_connection = |owner: &Owner| match owner {
            Owner::Connection(id) => Some(*id),
            _ => None,
        };
        owners.iter().filter_map(is_connection).collect()
    }

    /// Asks for the records of these connections, and for what the timers that are due at `now` will be compared with.
    pub fn foresee_connections(&self, ids: &[ConnectionId], now: Instant) {
        let slots: SmallVec<[&Slot; AT_ONCE]> =
            ids.iter().filter_map(|id| self.connections.get(*id)).map(Box::as_ref).collect();
        slots.into_iter().for_each(prefetch);
        self.foresee_due(&self.timers.foresee(now, AT_ONCE));
    }

    /// Asks for what these timers will be compared with. Most are found to be set for what is over.
    pub(super) fn foresee_due(&self, due: &[TimerKey]) {
        if due.len() < 2 || !self.is_foresight_worthwhile() {
            return;
        }
        let is_connection = |key: &TimerKey| match key {
            TimerKey::Connection(id) => self.connections.get(*id).map(Box::as_ref),
            _ => None,
        };
        due.iter().filter_map(is_connection).for_each(|slot| {
            prefetch(&slot.alarms);
            slot.connection.foresee_deadline();
        });
    }
}
