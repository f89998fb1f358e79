//! What the shards share: the bounds, the fence counter, the counts.

use super::MemoryConfig;
use crate::store::{StoreError, StoreStats};
use seawall_core::Fence;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Relaxed throughout: the entries themselves are guarded by their shard's lock, these are only numbers.
#[derive(Debug)]
pub(super) struct Ledger {
    config: MemoryConfig,
    entries: AtomicU64,
    bytes: AtomicU64,
    fence: AtomicU64,
    claimed: AtomicU64,
    done: AtomicU64,
    granted_total: AtomicU64,
    held_total: AtomicU64,
    done_total: AtomicU64,
    fenced_total: AtomicU64,
    forgotten_early_total: AtomicU64,
}

impl Ledger {
    pub(super) fn new(config: MemoryConfig, epoch: u64) -> Self {
        Self {
            config,
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            fence: AtomicU64::new(epoch),
            claimed: AtomicU64::new(0),
            done: AtomicU64::new(0),
            granted_total: AtomicU64::new(0),
            held_total: AtomicU64::new(0),
            done_total: AtomicU64::new(0),
            fenced_total: AtomicU64::new(0),
            forgotten_early_total: AtomicU64::new(0),
        }
    }

    pub(super) fn retention(&self) -> Duration {
        self.config.retention
    }

    pub(super) fn next_fence(&self) -> Fence {
        Fence(self.fence.fetch_add(1, Relaxed) + 1)
    }

    /// Takes room for one entry of `bytes`.
    pub(super) fn reserve(&self, bytes: u64) -> Result<(), StoreError> {
        let entries = self.entries.fetch_add(1, Relaxed) + 1;
        let total = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        let (unit, used, max) = if entries > self.config.entries_max {
            ("entries", entries - 1, self.config.entries_max)
        } else if total > self.config.bytes_max {
            ("bytes", total - bytes, self.config.bytes_max)
        } else {
            return Ok(());
        };
        self.free(bytes);
        Err(StoreError::Full { unit, used, max, retry_after: None })
    }

    pub(super) fn free(&self, bytes: u64) {
        self.entries.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    /// A result was added: taken whatever the bound, since its effect has happened.
    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn drop_bytes(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn claimed(&self, by: Step) {
        by.apply(&self.claimed);
    }

    pub(super) fn done(&self, by: Step) {
        by.apply(&self.done);
    }

    pub(super) fn granted(&self) {
        self.granted_total.fetch_add(1, Relaxed);
    }

    pub(super) fn answered_held(&self) {
        self.held_total.fetch_add(1, Relaxed);
    }

    pub(super) fn answered_done(&self) {
        self.done_total.fetch_add(1, Relaxed);
    }

    pub(super) fn fenced(&self) {
        self.fenced_total.fetch_add(1, Relaxed);
    }

    pub(super) fn forgotten_early(&self) {
        self.forgotten_early_total.fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self) -> StoreStats {
        StoreStats {
            claimed: self.claimed.load(Relaxed),
            done: self.done.load(Relaxed),
            granted_total: self.granted_total.load(Relaxed),
            held_total: self.held_total.load(Relaxed),
            done_total: self.done_total.load(Relaxed),
            fenced_total: self.fenced_total.load(Relaxed),
            forgotten_early_total: self.forgotten_early_total.load(Relaxed),
        }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> (u64, u64) {
        (self.entries.load(Relaxed), self.bytes.load(Relaxed))
    }
}

/// One up or one down.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Up,
    Down,
}

impl Step {
    fn apply(self, level: &AtomicU64) {
        match self {
            Self::Up => level.fetch_add(1, Relaxed),
            Self::Down => level.fetch_sub(1, Relaxed),
        };
    }
}
