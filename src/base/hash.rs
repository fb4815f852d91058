//! Hash tables with a key of this run, so that nobody outside can choose keys that collide.
//!
//! SipHash-1-3 with a 128-bit key from the stack's own randomness. The order of such a table depends on
//! the key; the core never iterates over one.

use crate::base::random::Random;
use siphasher::sip::SipHasher13;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

/// The key of a run.
#[derive(Clone, Copy, Debug)]
pub struct HashKey(u64, u64);

impl HashKey {
    /// Draws a key.
    pub fn random(random: &mut Random) -> Self {
        HashKey(random.next_u64(), random.next_u64())
    }
}

impl BuildHasher for HashKey {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

/// A hash map keyed for this run: `KeyedMap::with_hasher(key)`.
pub type KeyedMap<K, V> = HashMap<K, V, HashKey>;
/// A hash set keyed for this run: `KeyedSet::with_hasher(key)`.
pub type KeyedSet<K> = HashSet<K, HashKey>;
