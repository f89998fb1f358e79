//! Where records go: the embedded log, Kafka, HTTP.

use crate::fault::Fault;
use crate::record::Record;
use crate::source::{Offset, TopicPartition};
use std::sync::Arc;

/// How much a receipt promises. Ordered: a later variant promises more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// In memory only: a crash loses it.
    Buffered,
    /// On this machine's disk, fsync returned: a crash or a power cut does not lose it.
    Synced,
    /// Acknowledged by all in-sync replicas of a broker.
    Replicated,
}

impl Durability {
    /// The lower-case name used in HTTP answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Synced => "synced",
            Self::Replicated => "replicated",
        }
    }
}

/// What was written where, and how safe it is. Says what is true at the moment it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a receipt is the only proof that a record was taken"]
pub struct Receipt {
    /// Topic and partition.
    pub partition: TopicPartition,
    /// The record's place there.
    pub offset: Offset,
    /// What holds from now on.
    pub durability: Durability,
}

/// A record on its way to a topic.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The topic; the sink chooses the partition by the key unless `partition` is set.
    pub topic: Arc<str>,
    /// A partition chosen by the caller.
    pub partition: Option<u32>,
    /// The record.
    pub record: Record,
}

/// Where records go.
pub trait Sink: Send + Sync + 'static {
    /// Writes `records`; the answer has one entry for each, in the same order. Records of one key are written
    /// in the order given. A dropped future leaves it unknown whether the records were written.
    fn send(&self, records: Vec<Outgoing>) -> impl Future<Output = Vec<Result<Receipt, Fault>>> + Send;

    /// The same for records that the caller keeps, to send them again where that is needed. A sink that only reads
    /// its records spares a copy of each by an implementation of its own; this one copies them.
    fn send_shared(
        &self,
        records: Arc<Vec<Outgoing>>,
    ) -> impl Future<Output = Vec<Result<Receipt, Fault>>> + Send {
        self.send(Arc::unwrap_or_clone(records))
    }
}

impl<S: Sink> Sink for Arc<S> {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        S::send(self, records).await
    }

    async fn send_shared(&self, records: Arc<Vec<Outgoing>>) -> Vec<Result<Receipt, Fault>> {
        S::send_shared(self, records).await
    }
}
