//! What a pipeline's consumer is told, and the check that refuses what contradicts itself.
//!
//! Every number here is a bound with a named policy for when it is reached:
//!
//! | bound | when it is reached |
//! | --- | --- |
//! | [`QueueOptions`] | the partition is paused at its source; the others go on |
//! | [`RetryOptions::parked_records`], [`RetryOptions::parked_bytes`] | the lane overflows: its successors stay in the source and are read again later |
//! | [`RetryOptions::parked_keys`] | the partition is paused |
//! | [`CommitOptions::span_max`] | the partition is paused |
//! | [`CommitOptions::beyond_bytes_max`] | the highest settled offsets are left out and redelivered after a restart |
//!
//! Nothing is ever dropped by a bound.

mod check;

pub use check::OptionsError;

use crate::retry::RetryTopic;
use seawall_guard::RetryBudgetOptions;
use std::sync::Arc;
use std::time::Duration;

/// Which records wait for which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ordering {
    /// One record of a partition at a time.
    Partition,
    /// One record of a key at a time; records without a key wait for none.
    #[default]
    Key,
    /// No record waits for another.
    Unordered,
}

impl Ordering {
    /// The lower-case name used in configuration and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Key => "key",
            Self::Unordered => "unordered",
        }
    }
}

/// How the fetch loop is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Driver {
    /// On an operating-system thread of its own, so that polling never waits for a handler.
    #[default]
    Thread,
    /// As a task of the runtime that calls `start`, stepping the same loop; for simulation under paused time.
    Inline,
}

/// How much is read at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchOptions {
    /// Records in one poll, at least 1.
    pub records: usize,
    /// Bytes in one poll, at least 1; a single larger record is still taken.
    pub bytes: usize,
    /// How long a poll waits for something to tell, at least 1 ms.
    pub wait: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self { records: 2_048, bytes: 4 << 20, wait: Duration::from_millis(100) }
    }
}

/// How much of one partition may be in memory: waiting in lanes or being handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    /// Records, at least 1.
    pub records: usize,
    /// Bytes of keys, values and headers, at least 1; exceeded by at most one record.
    pub bytes: usize,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { records: 16_384, bytes: 32 << 20 }
    }
}

/// What happens to a record whose handling failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryOptions {
    /// Attempts in all, the first included; then dead letter. At least 1. `Overload` counts none.
    pub attempts_max: u32,
    /// Time from the first failure after which the next failure is the last; `None` for no bound.
    pub total_max: Option<Duration>,
    /// The first back-off. A wait that a fault asks for counts unless it is shorter than this.
    pub base: Duration,
    /// Each further back-off is this times the one before, at least 1.
    pub factor: f64,
    /// The longest back-off.
    pub max: Duration,
    /// Bounds the share of retries in all attempts; each worker keeps its part of it. A retry that it does not allow waits on, without
    /// counting an attempt. `None` by default, since a parked key makes at most one attempt for each back-off
    /// and a budget delays recovery after an outage.
    pub budget: Option<RetryBudgetOptions>,
    /// Records of one partition that may wait in memory behind failed ones.
    pub parked_records: usize,
    /// Their bytes.
    pub parked_bytes: usize,
    /// Keys of one partition that may be parked at once, at least 1.
    pub parked_keys: usize,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            attempts_max: 16,
            total_max: Some(Duration::from_mins(10)),
            base: Duration::from_millis(100),
            factor: 2.0,
            max: Duration::from_secs(5),
            budget: None,
            parked_records: 16_384,
            parked_bytes: 32 << 20,
            parked_keys: 8_192,
        }
    }
}

/// How often and how exactly progress is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitOptions {
    /// Time between two commits. What was settled since the last one is delivered again after a crash.
    pub interval: Duration,
    /// Bytes that the set of settled offsets beyond the watermark may take. When it takes more, its highest
    /// part is left out: those records are delivered again after a restart, none is lost.
    /// A source may have a place of its own for what its commits cannot hold (Kafka: 4,096 bytes). At least 32.
    pub beyond_bytes_max: usize,
    /// Offsets between the watermark and the next record to be fetched; bounds the tracker's memory to
    /// about a byte for every 8 offsets. At least 1.
    pub span_max: u64,
}

impl Default for CommitOptions {
    fn default() -> Self {
        Self { interval: Duration::from_millis(100), beyond_bytes_max: 256 << 10, span_max: 100_000_000 }
    }
}

/// Everything a consumer is told.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerOptions {
    /// The pipeline's name, for logs, metrics and the headers of dead letters.
    pub pipeline: Arc<str>,
    /// The consumer group, for logs.
    pub group: Arc<str>,
    /// Which records wait for which.
    pub ordering: Ordering,
    /// Worker tasks; a lane belongs to one of them. 1 to 256.
    pub workers: usize,
    /// How much is read at a time.
    pub fetch: FetchOptions,
    /// How much of a partition may be in memory.
    pub queue: QueueOptions,
    /// What happens after a failure.
    pub retry: RetryOptions,
    /// How progress is made durable.
    pub commit: CommitOptions,
    /// How long one attempt may take; `None` for no bound.
    pub timeout: Option<Duration>,
    /// How long a claim holds without renewal; renewed at a third of it. At least 30 ms.
    pub lease: Duration,
    /// How long a revoked partition may take to finish what is being handled.
    pub revoke_bound: Duration,
    /// What stands still for longer than this is named in the snapshot and the log ([`Stall`](crate::Stall)); nothing
    /// else comes of it. At least 100 ms.
    pub stall_after: Duration,
    /// A handler that runs for longer than this ends the pipeline: it commits what is settled, gives its partitions
    /// to others and stops with a fault that names the record. What runs on in a blocked thread is a zombie, whose
    /// acknowledgement is refused. `None`, the default, keeps the partition however long a handler takes.
    pub give_up_after: Option<Duration>,
    /// Where records go that will never work. `None`: they stay parked and are tried again at the longest
    /// back-off, for ever.
    pub dead_letter: Option<Arc<str>>,
    /// Where long waits after a failure are spent; the source must read these topics, too. Only with
    /// [`Ordering::Unordered`], and none by default: then all waits are spent here.
    pub retry_topics: Vec<RetryTopic>,
}

impl ConsumerOptions {
    /// The defaults for `pipeline`, which is also the group's name, with dead letters to
    /// `<pipeline>.dlq`.
    pub fn new(pipeline: impl Into<Arc<str>>) -> Self {
        let pipeline = pipeline.into();
        Self {
            group: Arc::clone(&pipeline),
            dead_letter: Some(Arc::from(format!("{pipeline}.dlq"))),
            ordering: Ordering::default(),
            workers: std::thread::available_parallelism().map_or(2, usize::from).min(256),
            fetch: FetchOptions::default(),
            queue: QueueOptions::default(),
            retry: RetryOptions::default(),
            commit: CommitOptions::default(),
            timeout: Some(Duration::from_secs(30)),
            lease: Duration::from_secs(30),
            revoke_bound: Duration::from_secs(30),
            stall_after: Duration::from_secs(10),
            give_up_after: None,
            retry_topics: Vec::new(),
            pipeline,
        }
    }

    /// The part that [`Running::set_limits`](crate::Running::set_limits) may change later.
    pub fn limits(&self) -> Limits {
        Limits { queue: self.queue, retry: self.retry }
    }
}

/// What can be changed while the consumer runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// How much of a partition may be in memory.
    pub queue: QueueOptions,
    /// What happens after a failure.
    pub retry: RetryOptions,
}
