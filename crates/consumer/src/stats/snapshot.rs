//! Plain values for the admin API, the dashboard and the metrics.

use super::{Bucket, Ledger, Percentiles};
use crate::watch::Stall;
use seawall_core::{Fault, Generation, Offset, TopicPartition};

/// What the consumer as a whole is doing.
#[derive(Clone, Debug)]
pub enum State {
    /// Fetching and handling.
    Running,
    /// Paused by request.
    Paused,
    /// Finishing what is in flight.
    Draining,
    /// Stopped as asked.
    Stopped,
    /// Stopped by a fault that no retry mends.
    Failed(Fault),
}

impl State {
    /// The lower-case name used in JSON and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records taken from the source.
    pub fetched: u64,
    /// Records acknowledged, repeats included.
    pub acked: u64,
    /// Failed attempts that will be tried again.
    pub retried: u64,
    /// Records confirmed by the dead letters' sink.
    pub dead_lettered: u64,
    /// Records confirmed by a retry topic, to be read from there when they are due.
    pub deferred: u64,
    /// Times the guard refused to let waiting records start. The records waited; no attempt was counted.
    pub refused: u64,
    /// Handlers that panicked; `log_panic_total`.
    pub panics: u64,
    /// Handlers that exceeded their deadline.
    pub timeouts: u64,
    /// Records whose effect had already happened, acknowledged without calling the handler.
    pub duplicates: u64,
    /// Completions of an assignment that had ended, dropped.
    pub late: u64,
    /// Records settled whose assignment ended before that was committed: a zombie's acknowledgements, refused by
    /// the group. They are delivered again, unless the same member gets the partition back.
    pub voided: u64,
    /// Completions that the claim store refused because another owner had taken over.
    pub fenced: u64,
    /// Records skipped after a restart because an earlier run had settled them.
    pub skipped: u64,
    /// Commits made durable.
    pub commits: u64,
    /// Commits that failed.
    pub commit_failures: u64,
    /// Commits whose exact set did not fit, so that a part of it was left out.
    pub commits_truncated: u64,
    /// Records gone from the source by retention while they waited there.
    pub vanished: u64,
}

/// Lanes by what they are doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lanes {
    /// With a record that could start now.
    pub ready: u64,
    /// With a record being handled or settled.
    pub busy: u64,
    /// Waiting for a back-off or another owner's lease to end.
    pub parked: u64,
    /// With successors left unread in the source; these are also counted above.
    pub overflowed: u64,
}

/// What is used of a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Records in memory.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The bound on records, over all partitions assigned.
    pub records_max: u64,
    /// The bound on bytes, over all partitions assigned.
    pub bytes_max: u64,
}

/// One partition under its present assignment.
#[derive(Clone, Debug)]
pub struct PartitionSnapshot {
    /// Which.
    pub partition: TopicPartition,
    /// Under which assignment.
    pub generation: Generation,
    /// Whether its fetching is stopped, for whatever reason.
    pub paused: bool,
    /// Whether somebody asked for that.
    pub paused_by_request: bool,
    /// Whether it is being given up.
    pub revoking: bool,
    /// The lowest unsettled offset.
    pub watermark: Offset,
    /// The watermark last made durable.
    pub committed: Offset,
    /// The next offset to be fetched.
    pub next: Offset,
    /// One past the last record of the partition, as last heard.
    pub end: Offset,
    /// Records not yet settled, counting offsets from the watermark to the end without those settled beyond
    /// it. Never negative.
    pub lag: u64,
    /// Records queued, being handled or being settled.
    pub in_flight: u64,
    /// Records waiting behind a failure, unread ones included.
    pub parked: u64,
    /// Those of them that are unread in the source.
    pub unread: u64,
    /// Keys that are parked.
    pub parked_keys: u64,
    /// The balance.
    pub ledger: Ledger,
}

/// Everything at one moment. Each partition's ledger is read at one instant; the rest may lie a few
/// microseconds apart.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What the consumer is doing.
    pub state: State,
    /// Counts since the start.
    pub totals: Totals,
    /// Records queued, being handled or being settled.
    pub in_flight: u64,
    /// Handlers running at this moment.
    pub handlers: u64,
    /// Lanes by what they are doing.
    pub lanes: Lanes,
    /// The queue against its bound.
    pub queue: Usage,
    /// Records parked in memory against their bound.
    pub parked: Usage,
    /// Handler time over the last minute or so, in which anything was handled.
    pub latency: Percentiles,
    /// Handler time since the start, cumulative, for Prometheus.
    pub latency_buckets: Vec<Bucket>,
    /// Sum of handler times since the start, in seconds.
    pub latency_sum_seconds: f64,
    /// Partitions in order of topic and number.
    pub partitions: Vec<PartitionSnapshot>,
    /// What stands still, as the watchdog last saw it.
    pub stalls: Vec<Stall>,
}
