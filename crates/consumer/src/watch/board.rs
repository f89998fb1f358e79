//! What a worker's handlers are at, for whoever looks from outside while the worker itself is stuck.
//!
//! A handler that answers on its first poll, as most do, costs a few plain stores to a cache line that no other
//! worker writes. One that stays out for longer costs an entry in a map, under a lock that only a look contends.

use crate::partition::Partition;
use crate::shared::lock;
use crate::worker::LaneKey;
use seawall_core::{Cancel, Nanos, Offset, Token};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A handler that did not answer on its first poll.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    pub(crate) partition: Arc<Partition>,
    pub(crate) offset: Offset,
    pub(crate) key: u64,
    /// Where the pipeline claims.
    pub(crate) token: Option<Token>,
    pub(crate) since: Nanos,
    pub(crate) cancel: Cancel,
}

/// The record whose handler is being polled at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Polled {
    pub(crate) slot: u32,
    pub(crate) offset: Offset,
    pub(crate) key: u64,
    /// Since when its handler runs.
    pub(crate) since: Nanos,
    /// Grows with each poll of any handler of this worker.
    pub(crate) polls: u64,
}

/// See the module. The worker writes, others read.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Board {
    polls: AtomicU64,
    slot: AtomicU32,
    offset: AtomicU64,
    key: AtomicU64,
    /// Zero between polls; a moment before the clock's second nanosecond is shown as that.
    since: AtomicU64,
    out: Mutex<BTreeMap<u64, Out>>,
}

impl Board {
    /// A handler is about to be polled.
    pub(crate) fn enter(&self, key: LaneKey, offset: Offset, since: Nanos) {
        self.slot.store(key.slot, Relaxed);
        self.offset.store(offset, Relaxed);
        self.key.store(key.hash, Relaxed);
        // One writer, so no read-modify-write.
        self.polls.store(self.polls.load(Relaxed) + 1, Relaxed);
        self.since.store(since.0.max(1), Relaxed);
    }

    /// It has been.
    pub(crate) fn leave(&self) {
        self.since.store(0, Relaxed);
    }

    /// What is being polled. Read while it changes the parts may not belong together; what stands still, and
    /// nothing else matters here, is read whole.
    pub(crate) fn polled(&self) -> Option<Polled> {
        let since = self.since.load(Relaxed);
        (since > 0).then(|| Polled {
            slot: self.slot.load(Relaxed),
            offset: self.offset.load(Relaxed),
            key: self.key.load(Relaxed),
            since: Nanos(since),
            polls: self.polls.load(Relaxed),
        })
    }

    /// A handler stays out. Numbers grow with time.
    pub(crate) fn begin(&self, number: u64, out: Out) {
        lock(&self.out).insert(number, out);
    }

    pub(crate) fn end(&self, number: u64) {
        lock(&self.out).remove(&number);
    }

    /// Cancels every handler of an assignment.
    pub(crate) fn cancel(&self, slot: u32) {
        for out in lock(&self.out).values().filter(|out| out.partition.slot == slot) {
            out.cancel.cancel();
        }
    }

    /// Up to `most` handlers that run since `before` or longer, oldest first.
    pub(crate) fn since(&self, before: Nanos, most: usize) -> Vec<Out> {
        let out = lock(&self.out);
        out.values().take_while(|out| out.since <= before).take(most).cloned().collect()
    }
}
