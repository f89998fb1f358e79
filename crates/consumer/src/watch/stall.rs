//! What stands still, by name.

use seawall_core::{Nanos, Offset, Token, TopicPartition};
use std::fmt;
use std::time::Duration;

/// Which part stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StallKind {
    /// The runtime runs no task: something blocks its threads.
    Runtime,
    /// The fetch loop has not taken a step: its source holds it.
    Fetch,
    /// A worker is inside one poll of a handler: the handler blocks, and every lane of that worker waits.
    /// [`BlockingHandler`](crate::BlockingHandler) is for handlers like that.
    Worker,
    /// A handler has not answered.
    Handler,
    /// The lowest unsettled record of a partition has not been settled.
    Partition,
}

impl StallKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Runtime, Self::Fetch, Self::Worker, Self::Handler, Self::Partition];

    /// The lower-case name used in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Fetch => "fetch",
            Self::Worker => "worker",
            Self::Handler => "handler",
            Self::Partition => "partition",
        }
    }
}

/// Something that stands still for longer than [`ConsumerOptions::stall_after`](crate::ConsumerOptions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// What.
    pub kind: StallKind,
    /// Since when, by the pipeline's clock.
    pub since: Nanos,
    /// For how long, when it was looked at.
    pub lasted: Duration,
    /// Which worker, where it is one or a handler of one.
    pub worker: Option<usize>,
    /// The partition, where there is one and it is still ours.
    pub partition: Option<TopicPartition>,
    /// The record.
    pub offset: Option<Offset>,
    /// The hash of its key under this run's seed: equal for records of one key, of no use to guess it.
    pub key: Option<u64>,
    /// Its token, where the pipeline claims.
    pub token: Option<Token>,
}

impl Stall {
    pub(super) fn of(kind: StallKind, since: Nanos, now: Nanos) -> Self {
        let lasted = now.since(since);
        Self { kind, since, lasted, worker: None, partition: None, offset: None, key: None, token: None }
    }

    /// Whether both are one stall, looked at twice.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let place = |stall: &Self| (stall.kind, stall.worker, stall.partition.clone(), stall.offset);
        place(self) == place(other)
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, lasted, worker, partition, offset, key, token, .. } = self;
        write!(f, "{}", kind.as_str())?;
        if let Some(worker) = worker {
            write!(f, ", worker {worker}")?;
        }
        if let Some(partition) = partition {
            write!(f, ", {partition}")?;
        }
        if let Some(offset) = offset {
            write!(f, " at offset {offset}")?;
        }
        if let Some(key) = key {
            write!(f, ", key {key:016x}")?;
        }
        if let Some(token) = token {
            write!(f, ", token {token}")?;
        }
        write!(f, ", for {lasted:.1?}")
    }
}
