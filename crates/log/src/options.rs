//! How a broker is set up.

use crate::error::LogError;
use crate::topic::{PARTITIONS_MAX, TopicOptions};
use std::path::PathBuf;
use std::time::Duration;

/// Who does the writing and syncing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// One thread per data directory: it takes what all callers queued meanwhile, so one sync serves many.
    Thread,
    /// The call itself: an append or a commit is durable before it returns, and no thread exists. Nothing ever
    /// waits, neither for room nor for records: for simulation and for short-lived tools.
    Inline,
    /// Whoever calls [`Broker::turn`](crate::Broker::turn): between two turns appends queue up as they would
    /// for the thread. For simulation of what happens between queueing and syncing. A position's commit takes
    /// a turn by itself, since it may not return before it is durable.
    Turns,
}

/// How a broker is set up. Every bound is checked when it opens.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// The data directory; made where it is missing, with mode 0700.
    pub dir: PathBuf,
    /// Bytes of a segment: the unit of retention and of recycling.
    pub segment_bytes: u64,
    /// Partitions of a topic that is created without a word on it.
    pub default_partitions: u32,
    /// Retention by size of such a topic, in bytes per partition.
    pub default_retention_bytes: Option<u64>,
    /// Retention by age of such a topic.
    pub default_retention_age: Option<Duration>,
    /// Most records that wait to be written, over all callers.
    pub queue_records_max: usize,
    /// Most encoded bytes that wait to be written, over all callers.
    pub queue_bytes_max: usize,
    /// How long an append waits for room in the queue before it is refused with
    /// [`LogError::Overload`].
    pub queue_wait_max: Duration,
    /// How often retention is looked at.
    pub retention_every: Duration,
    /// Whether opening reads and checks every segment. Otherwise the last one of each partition is checked, and
    /// damage in an older one is met, as the same error, by who reads it.
    pub verify_all: bool,
    /// How long a member may take to release a revoked partition before it is taken from it.
    pub release_within: Duration,
}

impl BrokerOptions {
    /// The defaults, in `dir`: 64 MiB segments, 8 partitions, everything kept, a queue of 64 MiB and 65,536
    /// records that refuses after 5 s, retention every 30 s, 60 s to release.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 * 1024 * 1024,
            default_partitions: 8,
            default_retention_bytes: None,
            default_retention_age: None,
            queue_records_max: 65_536,
            queue_bytes_max: 64 * 1024 * 1024,
            queue_wait_max: Duration::from_secs(5),
            retention_every: Duration::from_secs(30),
            verify_all: false,
            release_within: Duration::from_mins(1),
        }
    }

    /// How a topic is set up that nobody said anything about.
    pub fn default_topic(&self) -> TopicOptions {
        TopicOptions {
            partitions: self.default_partitions,
            retention_bytes: self.default_retention_bytes,
            retention_age: self.default_retention_age,
        }
    }

    pub(crate) fn check(&self) -> Result<(), LogError> {
        let bound = |option, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(LogError::Options { option, value: value.to_string(), want: format!("{low} to {high}") })
        };
        bound("default_partitions", self.default_partitions.into(), 1, PARTITIONS_MAX.into())?;
        bound("queue_records_max", self.queue_records_max as u64, 1, 1 << 24)?;
        bound("queue_bytes_max", self.queue_bytes_max as u64, 64 * 1024, u32::MAX.into())?;
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        bound("retention_every (ms)", millis(self.retention_every), 1, 86_400_000)?;
        bound("release_within (ms)", millis(self.release_within), 1, 3_600_000)?;
        Ok(())
    }
}
