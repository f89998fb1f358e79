//! What the members of a cluster meet at: the simulated cluster of brokers, or the embedded log with its own
//! groups, whose coordinator and fence are shipped code.

use super::plan::{LETTERS, PIPELINE};
use crate::broker::{Member, SimBroker, SimSource};
use crate::truth::TOPIC;
use seawall_core::{
    Batch, Commit, Event, Fault, Generation, Limit, Offset, Outgoing, PartitionId, Record, Sink, Source,
    TopicPartition, Waker,
};
use seawall_log::{Broker, LogError, LogSource, SourceOptions};
use seawall_wal::disk::SimDisk;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// Where members join and producers write.
pub(super) trait Fabric: Clone + 'static {
    /// A member's way to its records.
    type Source: Source + 'static;
    /// Where dead letters go.
    type Letters: Sink + Clone + 'static;
    /// By what a member is stalled.
    type Seat;
    /// Whether a member can die and leave the others alive.
    const MEMBERS_DIE: bool;

    fn join(&self) -> Result<(Self::Source, Self::Seat), Fault>;
    /// Polls of the member reach nobody, or do again; its commits do all the same.
    fn stall(&self, seat: &Self::Seat, stalled: bool);
    async fn produce(&self, partition: PartitionId, record: Record) -> Result<Offset, Fault>;
    fn letters(&self) -> Self::Letters;
    fn end(&self, partition: PartitionId) -> Offset;
    /// The dead letters so far.
    fn written(&self) -> Result<Vec<Record>, Fault>;
    fn gaps(&self) -> u64 {
        0
    }
    /// Lets time limits of members pass that nobody's poll looks at.
    fn tick(&self);
}

impl Fabric for SimBroker {
    type Source = SimSource;
    type Letters = Self;
    type Seat = Member;
    const MEMBERS_DIE: bool = true;

    fn join(&self) -> Result<(SimSource, Member), Fault> {
        let source = Self::join(self);
        let member = source.member();
        Ok((source, member))
    }

    fn stall(&self, seat: &Member, stalled: bool) {
        Self::stall(self, *seat, stalled);
    }

    async fn produce(&self, partition: PartitionId, record: Record) -> Result<Offset, Fault> {
        Ok(Self::produce(self, partition, record))
    }

    fn letters(&self) -> Self {
        self.clone()
    }

    fn end(&self, partition: PartitionId) -> Offset {
        Self::end(self, partition)
    }

    fn written(&self) -> Result<Vec<Record>, Fault> {
        Ok(Self::written(self, LETTERS))
    }

    fn gaps(&self) -> u64 {
        Self::gaps(self)
    }

    fn tick(&self) {
        Self::tick(self);
    }
}

/// The embedded log in one process, which lives as long as all of its members.
pub(super) type Log = Broker<SimDisk>;

impl Fabric for Log {
    type Source = Stalling<LogSource<SimDisk>>;
    type Letters = Self;
    type Seat = Arc<AtomicBool>;
    const MEMBERS_DIE: bool = false;

    fn join(&self) -> Result<(Self::Source, Self::Seat), Fault> {
        let inner = self.source(PIPELINE, &[TOPIC], SourceOptions::default())?;
        let stalled = Arc::new(AtomicBool::new(false));
        Ok((Stalling { inner, stalled: Arc::clone(&stalled) }, stalled))
    }

    fn stall(&self, seat: &Self::Seat, stalled: bool) {
        seat.store(stalled, SeqCst);
    }

    async fn produce(&self, partition: PartitionId, record: Record) -> Result<Offset, Fault> {
        let outgoing = Outgoing { topic: TOPIC.into(), partition: Some(partition), record };
        let answer = self.send(vec![outgoing]).await.pop();
        answer.unwrap_or_else(|| Err(LogError::Unconfirmed.into())).map(|receipt| receipt.offset)
    }

    fn letters(&self) -> Self {
        self.clone()
    }

    fn end(&self, partition: PartitionId) -> Offset {
        self.end_offset(TOPIC, partition).unwrap_or(Offset::MAX)
    }

    fn written(&self) -> Result<Vec<Record>, Fault> {
        let mut letters = Vec::new();
        let (mut from, end) = (0, self.end_offset(LETTERS, 0)?);
        while from < end {
            let batch = self.fetch(LETTERS, 0, from, Limit { records: 1_000, bytes: 1 << 20 })?;
            from = batch.next;
            letters.extend(batch.records.into_iter().map(|fetched| fetched.record));
        }
        Ok(letters)
    }

    fn tick(&self) {
        self.turn();
    }
}

/// A member whose polls can be made to reach nobody: its fetch thread is stuck somewhere.
#[derive(Debug)]
pub(super) struct Stalling<S> {
    inner: S,
    stalled: Arc<AtomicBool>,
}

impl<S: Source> Source for Stalling<S> {
    fn poll(&mut self, wait: Duration, limit: Limit) -> Result<Vec<Event>, Fault> {
        if self.stalled.load(SeqCst) { Ok(Vec::new()) } else { self.inner.poll(wait, limit) }
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.inner.pause(partition);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.inner.resume(partition);
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), Fault> {
        self.inner.commit(commits)
    }

    fn release(&mut self, partition: &TopicPartition, generation: Generation) {
        self.inner.release(partition, generation);
    }

    fn reread(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, Fault> {
        self.inner.reread(partition, from, to, limit)
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }
}
