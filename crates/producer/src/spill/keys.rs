//! Which keys have records on disk, or on their way to it, in fixed memory.
//!
//! Keys are counted by hash in buckets: two keys that share one only wait for each other without need.

use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

/// 1 MiB of counts.
const BUCKETS: usize = 1 << 17;

/// A key's bucket; records without a key have none and wait for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket(u32);

impl Bucket {
    const NONE: Self = Self(u32::MAX);

    pub(crate) fn of(topic: &str, key: Option<&[u8]>) -> Self {
        let Some(key) = key else { return Self::NONE };
        let mut hasher = FixedState::with_seed(0x5ea_0a11).build_hasher();
        hasher.write(topic.as_bytes());
        hasher.write_u8(0xff);
        hasher.write(key);
        Self((hasher.finish() % BUCKETS as u64) as u32)
    }

    /// The lane that serves this key; `None`: any.
    pub(crate) fn lane(self, lanes: usize) -> Option<usize> {
        (self != Self::NONE).then_some(self.0 as usize % lanes)
    }
}

#[derive(Debug)]
pub(crate) struct Keys {
    disk: Box<[u32]>,
    queued: Box<[u32]>,
}

fn add(counts: &mut [u32], bucket: Bucket) {
    if let Some(count) = counts.get_mut(bucket.0 as usize) {
        *count += 1;
    }
}

fn take(counts: &mut [u32], bucket: Bucket) {
    if let Some(count) = counts.get_mut(bucket.0 as usize) {
        debug_assert!(*count > 0, "a record left that never came");
        *count = count.saturating_sub(1);
    }
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { disk: vec![0; BUCKETS].into(), queued: vec![0; BUCKETS].into() }
    }

    /// Whether a record of this key must go behind others of it.
    pub(crate) fn blocks(&self, bucket: Bucket) -> bool {
        let at = bucket.0 as usize;
        self.on_disk(bucket) || self.queued.get(at).is_some_and(|count| *count > 0)
    }

    pub(crate) fn on_disk(&self, bucket: Bucket) -> bool {
        self.disk.get(bucket.0 as usize).is_some_and(|count| *count > 0)
    }

    pub(crate) fn queue(&mut self, bucket: Bucket) {
        add(&mut self.queued, bucket);
    }

    pub(crate) fn unqueue(&mut self, bucket: Bucket) {
        take(&mut self.queued, bucket);
    }

    pub(crate) fn spill(&mut self, bucket: Bucket) {
        add(&mut self.disk, bucket);
    }

    pub(crate) fn deliver(&mut self, bucket: Bucket) {
        take(&mut self.disk, bucket);
    }
}
