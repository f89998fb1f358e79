//! The claims in force, and those that ended without a completion.
//!
//! A queue holds one item for each entry, due when the entry may be forgotten; an entry that is still needed when
//! its item comes up goes to the end of the queue again. Items of entries that became completions are
//! swept out when they outnumber the others, so the queue stays as long as the table is large.

use super::super::frame::Claimed;
use super::super::key::Key;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use seawall_core::Nanos;
use seawall_idempotency::StoreError;
use seawall_idempotency::claim::Slot;
use std::collections::VecDeque;
use std::time::Duration;

/// Queue items settled for each request.
const DUE_MAX: usize = 4;
/// Queue items looked at to make room for one claim.
const LOOKS_WHEN_FULL: usize = 64;
/// Items of entries that are gone, tolerated besides as many as there are entries.
const STALE_SLACK: usize = 1024;

/// One token that is not done.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) slot: Slot,
    /// Completions of it that are on their way to the disk.
    pub(super) completing: u32,
    /// When it was last given up.
    pub(super) idle_since: Nanos,
}

#[derive(Debug)]
pub(super) struct LiveTable {
    table: HashMap<Key, Live, FixedState>,
    queue: VecDeque<(Nanos, Key)>,
    max: usize,
    retention: Duration,
}

impl LiveTable {
    pub(super) fn new(max: usize, retention: Duration) -> Self {
        // Keys are a keyed hash already: nobody can aim them.
        let table = HashMap::with_hasher(FixedState::default());
        Self { table, queue: VecDeque::new(), max, retention }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Live> {
        self.table.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Live> {
        self.table.get_mut(&key)
    }

    pub(super) fn put(&mut self, key: Key, slot: Slot, now: Nanos) {
        if let Some(live) = self.table.get_mut(&key) {
            live.slot = slot;
            return;
        }
        self.table.insert(key, Live { slot, completing: 0, idle_since: now });
        self.queue.push_back((now.plus(self.retention), key));
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.table.remove(&key);
        if self.queue.len() > 2 * self.table.len() + STALE_SLACK {
            let table = &self.table;
            self.queue.retain(|(_, key)| table.contains_key(key));
        }
    }

    /// Whether `key` may be put; forgets a given-up claim for it where there is one near.
    pub(super) fn has_room(&mut self, key: Key) -> bool {
        if self.table.len() < self.max || self.table.contains_key(&key) {
            return true;
        }
        for _ in 0..LOOKS_WHEN_FULL.min(self.queue.len()) {
            let Some((due, key)) = self.queue.pop_front() else { break };
            match self.table.get(&key) {
                Some(Live { slot: Slot::Absent { .. }, completing: 0, .. }) => {
                    self.table.remove(&key);
                    return true;
                }
                Some(_) => self.queue.push_back((due, key)),
                None => {}
            }
        }
        false
    }

    pub(super) fn full(&self) -> StoreError {
        let (used, max) = (self.table.len() as u64, self.max as u64);
        StoreError::Full { unit: "entries", used, max, retry_after: None }
    }

    /// Forgets some of what has been idle for a retention; tells how many of those were claims whose owner
    /// never came back.
    pub(super) fn forget_due(&mut self, now: Nanos) -> u64 {
        let mut abandoned = 0;
        for _ in 0..DUE_MAX {
            let key = match self.queue.front() {
                Some((due, key)) if *due <= now => *key,
                _ => break,
            };
            self.queue.pop_front();
            let Some(live) = self.table.get(&key) else { continue };
            let idle_since = match live.slot {
                Slot::Claimed { expires, .. } => expires,
                _ => live.idle_since,
            };
            let due = idle_since.plus(self.retention);
            if due > now || live.completing > 0 {
                self.queue.push_back((due.max(now), key));
            } else {
                abandoned += u64::from(matches!(live.slot, Slot::Claimed { .. }));
                self.table.remove(&key);
            }
        }
        abandoned
    }

    /// All of them, as they are logged; ordered, so that the same history writes the same bytes.
    pub(super) fn entries(&self) -> Vec<Claimed> {
        let mut entries: Vec<_> = self
            .table
            .iter()
            .filter_map(|(key, live)| match live.slot {
                Slot::Claimed { fence, attempt, .. } => Some(Claimed { key: *key, fence, attempt }),
                Slot::Absent { fence, attempts } => Some(Claimed { key: *key, fence, attempt: attempts }),
                Slot::Done { .. } => None,
            })
            .collect();
        entries.sort_unstable_by_key(|entry| entry.key);
        entries
    }
}
