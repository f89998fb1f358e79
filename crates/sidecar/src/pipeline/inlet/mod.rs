//! Where a pipeline's records come from.

mod member;

pub use member::Joining;
pub(super) use member::{Member, Plan};

use seawall_core::{Batch, Commit, Event, Fault, Generation, Limit, Offset, Source, TopicPartition, Waker};
use seawall_log::LogSource;
use std::time::Duration;

/// The source of a pipeline: chosen once, looked at once a poll.
pub(super) enum Inlet {
    /// The embedded log.
    Log(Box<LogSource>),
    /// A Kafka cluster.
    Kafka(Box<Member>),
}

impl Source for Inlet {
    fn poll(&mut self, wait: Duration, limit: Limit) -> Result<Vec<Event>, Fault> {
        match self {
            Self::Log(source) => source.poll(wait, limit),
            Self::Kafka(source) => source.poll(wait, limit),
        }
    }

    fn pause(&mut self, partition: &TopicPartition) {
        match self {
            Self::Log(source) => source.pause(partition),
            Self::Kafka(source) => source.pause(partition),
        }
    }

    fn resume(&mut self, partition: &TopicPartition) {
        match self {
            Self::Log(source) => source.resume(partition),
            Self::Kafka(source) => source.resume(partition),
        }
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), Fault> {
        match self {
            Self::Log(source) => source.commit(commits),
            Self::Kafka(source) => source.commit(commits),
        }
    }

    fn release(&mut self, partition: &TopicPartition, generation: Generation) {
        match self {
            Self::Log(source) => source.release(partition, generation),
            Self::Kafka(source) => source.release(partition, generation),
        }
    }

    fn reread(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, Fault> {
        match self {
            Self::Log(source) => source.reread(partition, from, to, limit),
            Self::Kafka(source) => source.reread(partition, from, to, limit),
        }
    }

    fn waker(&self) -> Waker {
        match self {
            Self::Log(source) => source.waker(),
            Self::Kafka(source) => source.waker(),
        }
    }
}
