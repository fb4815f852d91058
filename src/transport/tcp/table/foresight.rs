//! What the segments of a batch will need, read before it is needed.
//!
//! Among a million connections nearly everything about the one that a segment is for is in no cache, and finding it is
//! one wait for memory after the other: the owner, its place, its record. For one segment nothing can be done about
//! that. For a batch, each step is done for all segments before the next: reads that do not depend on each other wait
//! together.

use super::slot::{Owner, Slot};
use super::{ConnectionId, Tcp};
use crate::transport::tcp::ends::Ends;
use smallvec::SmallVec;
use std::hint::black_box;

/// So many segments at once: what they read should still be in the cache when they are processed.
const AT_ONCE: usize = 64;
/// With fewer connections nearly everything is in a cache anyway.
const WORTHWHILE: usize = 2_048;

/// Connections that segments will be for.
pub type Foreseen = SmallVec<[ConnectionId; AT_ONCE]>;

impl Tcp {
    /// True if there are so many connections that [`Tcp::foresee`] is worth its while.
    pub fn is_foresight_worthwhile(&self) -> bool {
        self.connections.len() >= WORTHWHILE
    }

    /// Reads what segments between these ends will need, and says which connections those are.
    pub fn foresee(&self, ends: &[Ends]) -> Foreseen {
        let owners: SmallVec<[Owner; AT_ONCE]> = ends.iter().filter_map(|ends| self.owners.guess(ends)).collect();
        let is_connection = |owner: &Owner| match owner {
            Owner::Connection(id) => Some(*id),
            _ => None,
        };
        let ids: Foreseen = owners.iter().filter_map(is_connection).collect();
        let slots: SmallVec<[&Slot; AT_ONCE]> =
            ids.iter().filter_map(|id| self.connections.get(*id)).map(Box::as_ref).collect();
        black_box(slots.iter().fold(0, |read, slot| read ^ slot.connection.read_all_over()));
        ids
    }
}
