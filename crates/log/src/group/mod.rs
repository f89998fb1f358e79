//! Consumer groups: who is in them, who owns which partition, how far they have come.
//!
//! Members are sources of this process. A second member of a group gets its share of the partitions by a
//! cooperative rebalance ([`coordinator`]); positions and generations survive a restart ([`state`]).

pub mod assign;
pub(crate) mod coordinator;
pub(crate) mod state;
pub(crate) mod store;

use crate::group::assign::MemberId;
use crate::group::coordinator::{Coordinator, Notice, Notices};
use crate::mutex::lock;
use crate::signal::Signal;
use seawall_core::{Generation, Nanos, Offset, TopicPartition};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many generations are set aside by one durable write. A process that gives out this many within one
/// run sets aside more; one that ends early leaves a gap, which is harmless.
pub(crate) const GENERATIONS_RESERVED: u64 = 1 << 20;

/// How far a group is behind in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    /// The partition.
    pub partition: TopicPartition,
    /// Its lowest offset that can be read.
    pub start: Offset,
    /// The group's watermark; `None` where it never committed.
    pub watermark: Option<Offset>,
    /// One past the last record.
    pub end: Offset,
    /// Records between; from the start where the group never committed. Completed records beyond the watermark
    /// count as behind.
    pub lag: u64,
}

/// A group of this process.
pub(crate) struct Group {
    pub(crate) name: Arc<str>,
    inner: Mutex<Inner>,
    /// Whether any partition waits for its release, to spare every poll the lock.
    moving: AtomicBool,
}

#[derive(Default)]
struct Inner {
    coordinator: Coordinator,
    inboxes: BTreeMap<MemberId, Arc<Inbox>>,
    /// Generations up to here are durably set aside.
    ceiling: u64,
}

/// What a member has not been told yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    notices: Mutex<VecDeque<Notice>>,
    filled: AtomicBool,
    pub(crate) signal: Arc<Signal>,
}

impl Inbox {
    pub(crate) fn take(&self) -> VecDeque<Notice> {
        if !self.filled.swap(false, Ordering::AcqRel) {
            return VecDeque::new();
        }
        std::mem::take(&mut *lock(&self.notices))
    }
}

impl Group {
    pub(crate) fn new(name: Arc<str>, ceiling: u64) -> Self {
        let mut inner = Inner { ceiling, ..Inner::default() };
        inner.coordinator.start_above(ceiling);
        Self { name, inner: Mutex::new(inner), moving: AtomicBool::new(false) }
    }

    /// The ceiling to be made durable before the next member joins, where one is needed.
    pub(crate) fn ceiling_needed(&self) -> Option<u64> {
        let inner = lock(&self.inner);
        let left = inner.ceiling.saturating_sub(inner.coordinator.generation());
        (left < GENERATIONS_RESERVED / 2).then(|| inner.coordinator.generation() + GENERATIONS_RESERVED)
    }

    /// `ceiling` is durable.
    pub(crate) fn reserved(&self, ceiling: u64) {
        let mut inner = lock(&self.inner);
        inner.ceiling = inner.ceiling.max(ceiling);
    }

    pub(crate) fn join(&self, topics: &[(Arc<str>, u32)], now: Nanos) -> (MemberId, Arc<Inbox>) {
        let mut inner = lock(&self.inner);
        let (member, notices) = inner.coordinator.join(topics, now);
        let inbox = Arc::new(Inbox::default());
        inner.inboxes.insert(member, Arc::clone(&inbox));
        self.deliver(&inner, notices);
        (member, inbox)
    }

    pub(crate) fn leave(&self, member: MemberId, now: Nanos) {
        let mut inner = lock(&self.inner);
        inner.inboxes.remove(&member);
        let notices = inner.coordinator.leave(member, now);
        self.deliver(&inner, notices);
    }

    pub(crate) fn release(
        &self,
        member: MemberId,
        partition: &TopicPartition,
        generation: Generation,
        now: Nanos,
    ) {
        let mut inner = lock(&self.inner);
        let notices = inner.coordinator.release(member, partition, generation, now);
        self.deliver(&inner, notices);
    }

    /// Takes what was not released in time.
    pub(crate) fn expire(&self, now: Nanos, within: Duration) {
        if !self.moving.load(Ordering::Acquire) {
            return;
        }
        let mut inner = lock(&self.inner);
        let notices = inner.coordinator.expire(now, within);
        for (_, notice) in &notices {
            if let Notice::Lost { partition, .. } = notice {
                tracing::warn!(group = %self.name, %partition, "not released in time: taken from its member");
            }
        }
        self.deliver(&inner, notices);
    }

    pub(crate) fn in_force(
        &self,
        member: MemberId,
        partition: &TopicPartition,
        generation: Generation,
    ) -> bool {
        lock(&self.inner).coordinator.in_force(member, partition, generation)
    }

    pub(crate) fn members(&self) -> usize {
        lock(&self.inner).coordinator.members()
    }

    fn deliver(&self, inner: &Inner, notices: Notices) {
        self.moving.store(inner.coordinator.is_moving(), Ordering::Release);
        for (member, notice) in notices {
            if let Some(inbox) = inner.inboxes.get(&member) {
                lock(&inbox.notices).push_back(notice);
                inbox.filled.store(true, Ordering::Release);
                inbox.signal.raise();
            }
        }
    }
}
