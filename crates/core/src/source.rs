//! Where records come from: the embedded log, Kafka, a simulated broker.
//!
//! A source is polled by one thread that does nothing else, so the trait is synchronous. The consumer never
//! lets a handler, a full lane or a slow store hold that thread up: partitions that are full are paused.

use crate::fault::Fault;
use crate::record::Record;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A partition's number, from 0.
pub type PartitionId = u32;
/// A record's place in its partition; grows, may have gaps.
pub type Offset = u64;
/// The number of an assignment; grows with each rebalance. A completion of an older one is void.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// A partition of a topic. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: PartitionId) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A record with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its place.
    pub offset: Offset,
    /// The record.
    pub record: Record,
}

/// Records of one partition, in offset order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The records; offsets grow strictly.
    pub records: Vec<Fetched>,
    /// Where the next read starts: above the last offset, also above gaps that hold nothing to deliver.
    pub next: Offset,
}

/// How much to take at most. At least one record is returned where there is one, whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Records.
    pub records: usize,
    /// Bytes of keys, values and headers.
    pub bytes: usize,
}

/// What a partition's group has durably finished: everything below `watermark`, and what `beyond` encodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The lowest offset not known to be settled.
    pub watermark: Offset,
    /// The settled offsets above the watermark, as the consumer's tracker encodes them. Opaque to the source.
    pub beyond: Bytes,
}

/// A position to be made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Whose.
    pub partition: TopicPartition,
    /// Under which assignment; the source refuses one that is no longer in force.
    pub generation: Generation,
    /// What is finished.
    pub position: Position,
}

/// Where the position of an assignment comes from. Whatever is not committed yet is to be committed at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The group has committed it.
    #[default]
    Committed,
    /// The source has chosen it: the group has none there, or one that is not held. Until it is committed the next
    /// owner chooses anew, and may pass what this one has not finished.
    Chosen,
    /// The log was cut at this offset: from there on its offsets mean other records, and what was known of them counts
    /// for nothing. What the group has committed may still speak of the old ones.
    Cut(Offset),
}

/// What a poll tells.
#[derive(Clone, Debug)]
pub enum Event {
    /// A partition is now ours, to be read from this position.
    Assigned {
        /// Which.
        partition: TopicPartition,
        /// Under which assignment.
        generation: Generation,
        /// Where its group stood.
        position: Position,
        /// Where that comes from.
        origin: Origin,
        /// One past the last record at this moment, for lag.
        end: Offset,
    },
    /// A partition is to be given up. The consumer finishes within its bound, commits, then calls
    /// [`Source::release`].
    Revoked {
        /// Which.
        partition: TopicPartition,
        /// The assignment that ends.
        generation: Generation,
    },
    /// A partition is gone already: nothing may be committed for it any more.
    Lost {
        /// Which.
        partition: TopicPartition,
        /// The assignment that ended.
        generation: Generation,
    },
    /// Records.
    Records {
        /// Whose.
        partition: TopicPartition,
        /// Under which assignment.
        generation: Generation,
        /// What was read.
        batch: Batch,
        /// One past the last record of the partition at this moment, for lag.
        end: Offset,
    },
}

/// Wakes a thread that waits in [`Source::poll`].
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// For sources whose poll returns soon by itself.
    pub fn none() -> Self {
        Self::new(|| ())
    }

    /// Makes a waiting poll return at once; one that starts later returns at once too, a single time.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// Where records come from, for one consumer group member. Used by one thread at a time.
pub trait Source: Send + 'static {
    /// Waits at most `wait` for something to tell, and tells it. An empty answer is not the end, only quiet.
    ///
    /// # Errors
    /// `Transient`: try again. `Permanent`: the source cannot go on, the pipeline stops cleanly.
    fn poll(&mut self, wait: Duration, limit: Limit) -> Result<Vec<Event>, Fault>;

    /// No more records of `partition` until [`Source::resume`]; the assignment stays.
    fn pause(&mut self, partition: &TopicPartition);

    /// Records of `partition` again.
    fn resume(&mut self, partition: &TopicPartition);

    /// Makes positions durable before it returns.
    ///
    /// # Errors
    /// `Permanent` when a generation is no longer in force: drop the state, never retry. `Transient`: the
    /// next commit supersedes this one.
    fn commit(&mut self, commits: &[Commit]) -> Result<(), Fault>;

    /// Gives a revoked partition back; its fetching has stopped and its last commit was made.
    fn release(&mut self, partition: &TopicPartition, generation: Generation);

    /// Reads records from `from` on (below `to`) again, without moving the partition's own position: this is
    /// how the successors of a parked key come back that memory had no room for.
    ///
    /// # Errors
    /// As [`Source::poll`].
    fn reread(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, Fault>;

    /// Wakes a waiting [`Source::poll`] from another thread.
    fn waker(&self) -> Waker {
        Waker::none()
    }
}

/// A source chosen at run time: the cost is one indirect call a poll.
impl Source for Box<dyn Source> {
    fn poll(&mut self, wait: Duration, limit: Limit) -> Result<Vec<Event>, Fault> {
        (**self).poll(wait, limit)
    }

    fn pause(&mut self, partition: &TopicPartition) {
        (**self).pause(partition);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        (**self).resume(partition);
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), Fault> {
        (**self).commit(commits)
    }

    fn release(&mut self, partition: &TopicPartition, generation: Generation) {
        (**self).release(partition, generation);
    }

    fn reread(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, Fault> {
        (**self).reread(partition, from, to, limit)
    }

    fn waker(&self) -> Waker {
        (**self).waker()
    }
}
