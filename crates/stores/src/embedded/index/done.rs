//! The completions remembered: 48 bytes each, and some 5 to 12 for finding them.
//!
//! They stand in the order in which they came, in chunks that are given back as the oldest are forgotten; a
//! table of 32-bit places finds them by key. A forgotten key leaves its place behind until the places before it
//! are gone too.

use super::super::frame::Done;
use super::super::key::Key;
use hashbrown::HashTable;
use seawall_core::{Fence, Nanos};
use std::collections::VecDeque;

const CHUNK: u64 = 4096;

/// A completion. `at` is uptime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Remembered {
    pub(in super::super) key: Key,
    pub(in super::super) fence: Fence,
    pub(in super::super) at: Nanos,
    pub(in super::super) result: Box<[u8]>,
}

#[derive(Debug, Default)]
pub(super) struct DoneRing {
    /// Place `p` stands in chunk `p / CHUNK - base / CHUNK`.
    chunks: VecDeque<Vec<Remembered>>,
    /// The oldest place.
    base: u64,
    /// The place of the next one.
    next: u64,
    table: HashTable<u32>,
    result_bytes: u64,
}

/// Keys are a keyed hash already.
fn hash(key: Key) -> u64 {
    key as u64
}

impl DoneRing {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn result_bytes(&self) -> u64 {
        self.result_bytes
    }

    pub(super) fn get(&self, key: Key) -> Option<&Remembered> {
        let place = self.table.find(hash(key), |place| self.key_at(*place) == Some(key))?;
        self.at(self.widen(*place))
    }

    /// Adds a completion whose key is not remembered yet.
    pub(super) fn push(&mut self, entry: Remembered) {
        let key = entry.key;
        self.result_bytes += entry.result.len() as u64;
        if self.next.is_multiple_of(CHUNK) || self.chunks.is_empty() {
            self.chunks.push_back(Vec::with_capacity(CHUNK as usize));
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.push(entry);
        }
        let place = self.next as u32;
        self.next += 1;
        let (chunks, base) = (&self.chunks, self.base);
        let rehash = |place: &u32| place_in(chunks, base, widen(base, *place)).map_or(0, |e| hash(e.key));
        self.table.insert_unique(hash(key), place, rehash);
    }

    /// Forgets one key.
    pub(super) fn remove(&mut self, key: Key) {
        let (chunks, base) = (&self.chunks, self.base);
        let same = |place: &u32| place_in(chunks, base, widen(base, *place)).is_some_and(|e| e.key == key);
        let Ok(found) = self.table.find_entry(hash(key), same) else { return };
        let (place, _) = found.remove();
        let place = self.widen(place);
        let (chunk, index) = split(self.base, place);
        if let Some(entry) = self.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(index)) {
            self.result_bytes -= entry.result.len() as u64;
            entry.result = Box::default();
        }
    }

    /// Puts the places in the order in which the completions came, and drops those that are forgotten. A log
    /// whose snapshot was written while completions went on holds them in another one.
    pub(super) fn sort(&mut self) {
        let places = (self.base..self.next).filter_map(|place| self.at(place));
        if places.is_sorted_by_key(|entry| (entry.at, entry.fence)) {
            return;
        }
        let old = std::mem::take(self);
        let first = (old.base % CHUNK) as usize;
        let mut entries = Vec::with_capacity(old.table.len());
        for (place, entry) in (old.base..).zip(old.chunks.into_iter().flatten().skip(first)) {
            if old.table.find(hash(entry.key), |held| *held == place as u32).is_some() {
                entries.push(entry);
            }
        }
        entries.sort_unstable_by_key(|entry| (entry.at, entry.fence));
        self.table = old.table;
        self.table.clear();
        for entry in entries {
            self.push(entry);
        }
    }

    /// When the oldest came; that may be one whose key is forgotten already.
    pub(super) fn oldest(&self) -> Option<Nanos> {
        self.at(self.base).map(|entry| entry.at)
    }

    /// Forgets the oldest place; tells whether its key was still remembered by it.
    pub(super) fn pop(&mut self) -> bool {
        let Some(key) = self.at(self.base).map(|entry| entry.key) else { return false };
        let base = self.base as u32;
        let known = match self.table.find_entry(hash(key), |place| *place == base) {
            Ok(found) => {
                found.remove();
                true
            }
            Err(_) => false,
        };
        let (chunk, index) = split(self.base, self.base);
        if let Some(entry) = self.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(index)) {
            self.result_bytes -= entry.result.len() as u64;
            entry.result = Box::default();
        }
        self.base += 1;
        if self.base.is_multiple_of(CHUNK) {
            self.chunks.pop_front();
        }
        known
    }

    /// The places in use: the oldest, and one past the newest.
    pub(super) fn places(&self) -> (u64, u64) {
        (self.base, self.next)
    }

    /// What is remembered of the places from `from` up to `to`, as it is logged.
    pub(super) fn entries(&self, from: u64, to: u64) -> impl Iterator<Item = Done<Box<[u8]>>> {
        let places = from.max(self.base)..to.min(self.next);
        places.filter_map(|place| {
            let entry = self.at(place)?;
            let held = self.table.find(hash(entry.key), |held| *held == place as u32).is_some();
            let Remembered { key, fence, at, result } = entry;
            held.then(|| Done { key: *key, fence: *fence, at: *at, result: result.clone() })
        })
    }

    fn widen(&self, place: u32) -> u64 {
        widen(self.base, place)
    }

    fn at(&self, place: u64) -> Option<&Remembered> {
        place_in(&self.chunks, self.base, place)
    }

    fn key_at(&self, place: u32) -> Option<Key> {
        self.at(self.widen(place)).map(|entry| entry.key)
    }
}

/// The place at or above `base` that ends in `place`: there are fewer than 2^32 of them.
fn widen(base: u64, place: u32) -> u64 {
    base + u64::from(place.wrapping_sub(base as u32))
}

fn split(base: u64, place: u64) -> (usize, usize) {
    ((place / CHUNK - base / CHUNK) as usize, (place % CHUNK) as usize)
}

fn place_in(chunks: &VecDeque<Vec<Remembered>>, base: u64, place: u64) -> Option<&Remembered> {
    if place < base {
        return None;
    }
    let (chunk, index) = split(base, place);
    chunks.get(chunk)?.get(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u64) -> Remembered {
        let key = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        Remembered { key, fence: Fence(n), at: Nanos(n), result: vec![0; (n % 3) as usize].into() }
    }

    /// The same steps on a plain list.
    #[test]
    fn behaves_as_a_list() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut ring = DoneRing::default();
        let mut list: VecDeque<(u64, bool)> = VecDeque::new();
        for n in 0..60_000 {
            ring.push(entry(n));
            list.push_back((n, true));
            if random.u8(..) < 40
                && let Some(at) = list.get_mut(random.usize(..list.len()))
            {
                ring.remove(entry(at.0).key);
                at.1 = false;
            }
            while list.len() > 9_000 {
                let known = list.pop_front().is_some_and(|(_, known)| known);
                assert_eq!(ring.pop(), known);
            }
            if n % 501 == 0 {
                let bytes: u64 = list.iter().filter(|(_, known)| *known).map(|(n, _)| n % 3).sum();
                assert_eq!(ring.result_bytes(), bytes);
                let known: Vec<u64> = list.iter().filter(|(_, known)| *known).map(|(n, _)| *n).collect();
                let (from, to) = ring.places();
                assert_eq!(ring.entries(from, to).map(|e| e.fence.0).collect::<Vec<_>>(), known);
                assert_eq!(ring.len(), known.len());
                for (n, known) in &list {
                    assert_eq!(ring.get(entry(*n).key).map(|e| e.fence.0), known.then_some(*n));
                }
            }
        }
        assert!(ring.chunks.len() <= 4, "forgotten chunks are given back");
    }

    #[test]
    fn sorting_keeps_what_is_remembered() {
        let mut random = fastrand::Rng::with_seed(12);
        let mut ring = DoneRing::default();
        let mut order: Vec<u64> = (0..20_000).collect();
        random.shuffle(&mut order);
        for n in &order {
            ring.push(entry(*n));
        }
        let gone: Vec<u64> = order[..5_000].iter().chain(&order[6_000..6_100]).copied().collect();
        (0..5_000).for_each(|_| assert!(ring.pop()));
        order[6_000..6_100].iter().for_each(|n| ring.remove(entry(*n).key));
        ring.sort();
        let (from, to) = ring.places();
        let left: Vec<u64> = ring.entries(from, to).map(|entry| entry.fence.0).collect();
        assert_eq!(left, (0..20_000).filter(|n| !gone.contains(n)).collect::<Vec<_>>());
        assert_eq!(ring.result_bytes(), left.iter().map(|n| n % 3).sum::<u64>());
        assert!(left.iter().all(|n| ring.get(entry(*n).key).is_some()));
    }

    #[test]
    fn an_entry_is_as_small_as_documented() {
        assert_eq!(size_of::<Remembered>(), 48);
    }
}
