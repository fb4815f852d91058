//! A bounded table that forgets what was not used for the longest time: the shape of every table that
//! strangers can make grow.
//!
//! A keyed hash finds an entry; a doubly linked list through the entries keeps their order of use. All
//! operations are constant time, and iteration follows the list, so that it is the same in every run.

use crate::base::hash::{HashKey, KeyedMap};
use slotmap::{DefaultKey, SlotMap};
use std::hash::Hash;

#[derive(Clone, Debug)]
struct Node<K, V> {
    key: K,
    value: V,
    newer: Option<DefaultKey>,
    older: Option<DefaultKey>,
}

/// A map of at most `capacity` entries in order of use.
#[derive(Clone, Debug)]
pub struct LruMap<K, V> {
    index: KeyedMap<K, DefaultKey>,
    nodes: SlotMap<DefaultKey, Node<K, V>>,
    newest: Option<DefaultKey>,
    oldest: Option<DefaultKey>,
    capacity: usize,
}

impl<K: Hash + Eq + Clone, V> LruMap<K, V> {
    /// An empty map. A `capacity` of 0 counts as 1.
    pub fn new(capacity: usize, key: HashKey) -> Self {
        LruMap {
            index: KeyedMap::with_hasher(key),
            nodes: SlotMap::new(),
            newest: None,
            oldest: None,
            capacity: capacity.max(1),
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The value of `key`; its place in the order stays.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.index.get(key).and_then(|slot| self.nodes.get(*slot)).map(|node| &node.value)
    }

    /// The value of `key`; its place in the order stays.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.index.get(key).and_then(|slot| self.nodes.get_mut(*slot)).map(|node| &mut node.value)
    }

    /// The value of `key`, which counts as a use.
    pub fn touch(&mut self, key: &K) -> Option<&mut V> {
        let slot = *self.index.get(key)?;
        if self.newest != Some(slot) {
            self.unlink(slot);
            self.link_newest(slot);
        }
        self.nodes.get_mut(slot).map(|node| &mut node.value)
    }

    /// Puts in an entry as the one used last. Returns what had to go: the former value of the same key,
    /// or the entry that was not used for the longest time.
    pub fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        let gone = self.make_room(&key);
        let slot = self.nodes.insert(Node { key: key.clone(), value, newer: None, older: None });
        self.index.insert(key, slot);
        self.link_newest(slot);
        gone
    }

    /// Puts in an entry that is the first to go: it has yet to prove useful. Returns what had to go.
    pub fn insert_oldest(&mut self, key: K, value: V) -> Option<(K, V)> {
        let gone = self.make_room(&key);
        let slot = self.nodes.insert(Node { key: key.clone(), value, newer: self.oldest, older: None });
        self.index.insert(key, slot);
        match self.oldest.and_then(|oldest| self.nodes.get_mut(oldest)) {
            Some(next) => next.older = Some(slot),
            None => self.newest = Some(slot),
        }
        self.oldest = Some(slot);
        gone
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let slot = self.index.remove(key)?;
        self.unlink(slot);
        self.nodes.remove(slot).map(|node| node.value)
    }

    /// The entry that was not used for the longest time.
    pub fn oldest(&self) -> Option<(&K, &V)> {
        self.oldest.and_then(|slot| self.nodes.get(slot)).map(|node| (&node.key, &node.value))
    }

    /// Takes out the entry that was not used for the longest time.
    pub fn pop_oldest(&mut self) -> Option<(K, V)> {
        let slot = self.oldest?;
        self.unlink(slot);
        let node = self.nodes.remove(slot)?;
        self.index.remove(&node.key);
        Some((node.key, node.value))
    }

    /// All entries, the one used last first.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut next = self.newest;
        std::iter::from_fn(move || {
            let node = self.nodes.get(next?)?;
            next = node.older;
            Some((&node.key, &node.value))
        })
    }

    fn make_room(&mut self, key: &K) -> Option<(K, V)> {
        if let Some(value) = self.remove(key) {
            return Some((key.clone(), value));
        }
        if self.len() < self.capacity { None } else { self.pop_oldest() }
    }

    fn link_newest(&mut self, slot: DefaultKey) {
        let before = self.newest.replace(slot);
        if let Some(node) = self.nodes.get_mut(slot) {
            node.older = before;
            node.newer = None;
        }
        match before.and_then(|before| self.nodes.get_mut(before)) {
            Some(node) => node.newer = Some(slot),
            None => self.oldest = Some(slot),
        }
    }

    fn unlink(&mut self, slot: DefaultKey) {
        let Some((newer, older)) = self.nodes.get(slot).map(|node| (node.newer, node.older)) else { return };
        match newer.and_then(|newer| self.nodes.get_mut(newer)) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match older.and_then(|older| self.nodes.get_mut(older)) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use proptest::prelude::*;

    fn map(capacity: usize) -> LruMap<u8, u32> {
        LruMap::new(capacity, HashKey::random(&mut Random::from_seed(1)))
    }

    fn keys(map: &LruMap<u8, u32>) -> Vec<u8> {
        map.iter().map(|(key, _)| *key).collect()
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let mut map = map(3);
        for key in 1..=3 {
            assert_eq!(map.insert(key, 0), None);
        }
        map.touch(&1);
        assert_eq!(map.insert(4, 0), Some((2, 0)));
        assert_eq!(keys(&map), [4, 1, 3]);
    }

    #[test]
    fn an_entry_that_has_yet_to_prove_useful_goes_first() {
        let mut map = map(3);
        map.insert(1, 0);
        map.insert_oldest(2, 0);
        map.insert_oldest(3, 0);
        assert_eq!(map.insert(4, 0), Some((3, 0)));
        assert_eq!(map.insert_oldest(5, 0), Some((2, 0)));
        assert_eq!(map.oldest(), Some((&5, &0)));
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_list_ordered_by_use(steps in proptest::collection::vec((0u8..5, 0u8..12), 0..200)) {
            let mut map = map(6);
            let mut model: Vec<u8> = Vec::new();
            for (step, key) in steps {
                let place = model.iter().position(|other| *other == key);
                match step {
                    0 => {
                        map.insert(key, 7);
                        match place {
                            Some(place) => { model.remove(place); }
                            None if model.len() == 6 => { model.pop(); }
                            None => {}
                        }
                        model.insert(0, key);
                    }
                    1 => {
                        prop_assert_eq!(map.touch(&key).is_some(), place.is_some());
                        if let Some(place) = place {
                            model.remove(place);
                            model.insert(0, key);
                        }
                    }
                    2 => {
                        prop_assert_eq!(map.remove(&key).is_some(), place.is_some());
                        if let Some(place) = place { model.remove(place); }
                    }
                    3 => prop_assert_eq!(map.pop_oldest().map(|(key, _)| key), model.pop()),
                    _ => {
                        map.insert_oldest(key, 7);
                        match place {
                            Some(place) => { model.remove(place); }
                            None if model.len() == 6 => { model.pop(); }
                            None => {}
                        }
                        model.push(key);
                    }
                }
                prop_assert_eq!(&keys(&map), &model);
                prop_assert_eq!(map.oldest().map(|(key, _)| *key), model.last().copied());
            }
        }
    }
}
