//! Topics: what they may be called, how they are set up, which there are.

pub mod catalog;
pub mod name;

pub use seawall_core::name::{NAME_BYTES_MAX, NameError, check_name};

use std::sync::Arc;
use std::time::Duration;

/// The most partitions a topic may have.
pub const PARTITIONS_MAX: u32 = 1024;

/// How a topic is set up. Fixed when it is created: another number of partitions would move the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOptions {
    /// 1 to [`PARTITIONS_MAX`].
    pub partitions: u32,
    /// Bytes each partition may hold before its oldest segments go. `None`: no bound by size.
    pub retention_bytes: Option<u64>,
    /// How old (by the broker's wall clock at append) the newest record of a segment may be before the segment
    /// goes. `None`: no bound by age.
    pub retention_age: Option<Duration>,
}

impl TopicOptions {
    /// `partitions` partitions that keep everything.
    pub fn partitions(partitions: u32) -> Self {
        Self { partitions, retention_bytes: None, retention_age: None }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.partitions == 0 || self.partitions > PARTITIONS_MAX {
            return Err(format!("{} partitions; 1 to {PARTITIONS_MAX} are accepted", self.partitions));
        }
        if self.retention_bytes == Some(0) {
            return Err("retention_bytes is 0; leave it out to keep everything, or give at least 1".into());
        }
        if self.retention_age == Some(Duration::ZERO) {
            return Err("retention_age is 0; leave it out to keep everything, or give at least 1 ms".into());
        }
        Ok(())
    }
}

/// A topic as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: Arc<str>,
    /// How it was set up.
    pub options: TopicOptions,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its number.
    pub partition: u32,
    /// The lowest offset that can be read.
    pub start: u64,
    /// One past the last durable record.
    pub end: u64,
    /// Bytes of its segments on disk.
    pub bytes: u64,
}
