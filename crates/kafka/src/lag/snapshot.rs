//! What a sample tells.

use crate::error::KafkaError;
use seawall_core::{Offset, WallMs};
use std::sync::Arc;

/// All groups at one moment, by group, topic and partition.
#[derive(Clone, Debug, Default)]
pub struct LagSnapshot {
    /// When it was taken.
    pub at: WallMs,
    /// What was found.
    pub partitions: Vec<PartitionLag>,
    /// Groups that could not be asked; their partitions are missing.
    pub unread: Vec<Unread>,
}

/// One partition of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionLag {
    /// The group.
    pub group: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// The member that has it, by what it calls itself; empty where none has.
    pub client_id: Arc<str>,
    /// What the group committed, where it did.
    pub committed: Option<Offset>,
    /// The oldest offset that can be read. Above `committed`, the records between are gone unread.
    pub begin: Offset,
    /// One past the newest record.
    pub end: Offset,
    /// Records behind.
    pub lag: u64,
    /// The age of the first uncommitted record, zero where there is none; `None` where it was not read.
    pub seconds: Option<f64>,
    /// Whether the group does not get on; `None` at first sight, which cannot tell.
    pub stuck: Option<bool>,
}

/// A group that could not be asked.
#[derive(Clone, Debug)]
pub struct Unread {
    /// The group.
    pub group: String,
    /// Why.
    pub error: KafkaError,
}
