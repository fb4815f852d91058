//! Who answers for a pair of sockets: the table in which every segment that arrives is looked up.
//!
//! ```text
//!   hash of both ends ──► (owner, hash) 16 bytes ──► the owner's own record says whether it is the right one
//! ```
//!
//! The ends themselves are kept once, by their owner: an entry that repeated them would be five times as large, and
//! a look-up must read the owner's record anyway. The hash beside the owner spares all but one of those reads, also
//! when the table grows.

use super::slot::Owner;
use crate::base::hash::HashKey;
use crate::transport::tcp::ends::Ends;
use hashbrown::HashTable;
use std::hash::BuildHasher;

#[derive(Clone, Copy, Debug)]
struct Entry {
    owner: Owner,
    hash: u32,
}

impl Entry {
    /// The hash for the table, which looks at both ends of 64 bits.
    fn spread(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

/// The owners by the hash of their ends.
#[derive(Debug)]
pub(super) struct Owners {
    key: HashKey,
    table: HashTable<Entry>,
}

impl Owners {
    pub(super) fn new(key: HashKey) -> Self {
        Owners { key, table: HashTable::new() }
    }

    pub(super) fn hash(&self, ends: &Ends) -> u32 {
        self.key.hash_one(ends) as u32
    }

    /// The owner of `ends`, which is the one that `is_theirs` says so of.
    pub(super) fn find(&self, ends: &Ends, mut is_theirs: impl FnMut(Owner) -> bool) -> Option<Owner> {
        let hash = self.hash(ends);
        let found = self.table.find(Entry::spread(hash), |entry| entry.hash == hash && is_theirs(entry.owner));
        found.map(|entry| entry.owner)
    }

    /// The owner of ends with this hash, as far as it tells.
    pub(super) fn guess(&self, hash: u32) -> Option<Owner> {
        self.table.find(Entry::spread(hash), |entry| entry.hash == hash).map(|entry| entry.owner)
    }

    /// Adds the owner of `ends`; nobody else must have them.
    pub(super) fn insert(&mut self, ends: &Ends, owner: Owner) {
        let hash = self.hash(ends);
        self.table.insert_unique(Entry::spread(hash), Entry { owner, hash }, |entry| Entry::spread(entry.hash));
    }

    /// Takes `ends` from `owner`, if it has them.
    pub(super) fn remove(&mut self, ends: &Ends, owner: Owner) {
        let hash = Entry::spread(self.hash(ends));
        if let Ok(entry) = self.table.find_entry(hash, |entry| entry.owner == owner) {
            entry.remove();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Gives up the room for those who are gone.
    pub(super) fn shrink_to_fit(&mut self) {
        self.table.shrink_to_fit(|entry| Entry::spread(entry.hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_sixteen_bytes() {
        assert_eq!(size_of::<Entry>(), 16);
    }
}
