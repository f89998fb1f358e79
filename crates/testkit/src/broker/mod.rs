//! A cluster of brokers as a group member sees it: partitions with gaps, one coordinator, and members that come,
//! go, stall and are thrown out.
//!
//! Rebalancing is cooperative, as in `group.protocol=consumer` and in the embedded log: a partition that shall
//! move is revoked from its owner, who finishes, commits and releases it; only then does the next one get it,
//! under a higher generation. A member that has not polled for the session's time is thrown out: its partitions
//! go to the others at once, its commits are refused from then on, and it hears of its loss when it polls
//! again. What a new owner gets is the committed position, so whatever the last one did not commit comes again.
//!
//! The broker keeps its own truth: it knows who owned what under which generation, and refuses what is not in
//! force whatever the member believes.

mod group;
mod source;

pub use source::SimSource;

use crate::clock::SimClock;
use group::{Group, MemberId};
use seawall_core::{
    Batch, Clock, Durability, Fault, Fetched, Limit, Offset, Outgoing, PartitionId, Position, Receipt,
    Record, Sink, TopicPartition,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One partition.
#[derive(Debug, Default)]
struct Partition {
    log: BTreeMap<Offset, Record>,
    end: Offset,
    committed: Position,
}

#[derive(Debug)]
struct State {
    topic: Arc<str>,
    partitions: Vec<Partition>,
    group: Group,
    /// Topics that are only written to.
    others: BTreeMap<Arc<str>, Vec<Record>>,
    rng: fastrand::Rng,
    gaps: u64,
}

/// The cluster. Clones share it.
#[derive(Clone, Debug)]
pub struct SimBroker {
    state: Arc<Mutex<State>>,
    clock: SimClock,
}

impl SimBroker {
    /// A cluster with one topic of `partitions` partitions, read by one group. A member that does not poll for
    /// `session` is thrown out, one that does not release a revoked partition within `release` loses it.
    pub fn new(
        topic: impl Into<Arc<str>>,
        partitions: u32,
        (session, release): (Duration, Duration),
        clock: SimClock,
        seed: u64,
    ) -> Self {
        let state = State {
            topic: topic.into(),
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            group: Group::new(partitions, session, release),
            others: BTreeMap::new(),
            rng: fastrand::Rng::with_seed(seed),
            gaps: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), clock }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new member of the group.
    pub fn join(&self) -> SimSource {
        let member = self.state().group.join(self.clock.now());
        SimSource::new(self.clone(), member)
    }

    /// From now on polls of `member` reach nobody, or do again: a member that stalls, seen from the cluster.
    /// Its commits reach the cluster all the same, to be refused there.
    pub fn stall(&self, member: MemberId, stalled: bool) {
        self.state().group.stall(member, stalled);
    }

    /// Writes a record, sometimes behind a gap, as compaction and transaction markers leave them.
    pub fn produce(&self, partition: PartitionId, record: Record) -> Offset {
        let mut state = self.state();
        let gap = if state.rng.u32(0..6) == 0 { state.rng.u64(1..40) } else { 0 };
        state.gaps += u64::from(gap > 0);
        let partition = &mut state.partitions[partition as usize];
        let offset = partition.end + gap;
        partition.log.insert(offset, record);
        partition.end = offset + 1;
        offset
    }

    /// One past the last record.
    pub fn end(&self, partition: PartitionId) -> Offset {
        self.state().partitions[partition as usize].end
    }

    /// What the group has committed.
    pub fn committed(&self, partition: PartitionId) -> Position {
        self.state().partitions[partition as usize].committed.clone()
    }

    /// What was written to another topic.
    pub fn written(&self, topic: &str) -> Vec<Record> {
        self.state().others.get(topic).cloned().unwrap_or_default()
    }

    /// Gaps left so far.
    pub fn gaps(&self) -> u64 {
        self.state().gaps
    }

    /// Lets the session of every member that does not poll come to its end.
    pub fn tick(&self) {
        let now = self.clock.now();
        self.state().group.tick(now);
    }
}

impl State {
    fn tp(&self, partition: PartitionId) -> TopicPartition {
        TopicPartition { topic: Arc::clone(&self.topic), partition }
    }

    fn read(&self, partition: PartitionId, from: Offset, to: Offset, limit: Limit) -> Batch {
        let log = &self.partitions[partition as usize].log;
        let mut batch = Batch { records: Vec::new(), next: from };
        let mut bytes = 0;
        for (offset, record) in log.range(from..to.max(from)) {
            bytes += record.weight();
            let full = batch.records.len() >= limit.records || bytes > limit.bytes;
            if full && !batch.records.is_empty() {
                return batch;
            }
            batch.records.push(Fetched { offset: *offset, record: record.clone() });
            batch.next = offset + 1;
        }
        batch.next = to.max(from);
        batch
    }
}

/// Writes to the topics that nobody reads: where dead letters go.
impl Sink for SimBroker {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        let mut state = self.state();
        let write = |outgoing: Outgoing| {
            let log = state.others.entry(Arc::clone(&outgoing.topic)).or_default();
            log.push(outgoing.record);
            let partition = TopicPartition { topic: outgoing.topic, partition: 0 };
            Ok(Receipt { partition, offset: log.len() as u64 - 1, durability: Durability::Replicated })
        };
        records.into_iter().map(write).collect()
    }
}

pub use group::MemberId as Member;
