//! What can be set about the recoverable producer.

use super::pipeline::Breaker;
use super::units::{Period, Size};
use schemars::JsonSchema;
use seawall_core::Durability;
use seawall_producer::Compression;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The recoverable producer: with this section, records for a Kafka cluster (from ingest, and dead letters) that the
/// cluster cannot take wait in memory, then on disk, and are delivered in key order when it is back, after a crash
/// too. Without it they go to the cluster or are refused with 503.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Producer {
    /// Where spills lie, each in a directory of its own: `ingest.CLUSTER` and `letters.CLUSTER`. Without it,
    /// `spill` in `data.dir`. Relative to the working directory.
    pub dir: Option<PathBuf>,
    /// Bytes that each spill may take on disk. When it is full, records wait for `max_block` and are refused.
    pub disk: Size,
    /// How what is put on disk from now on is compressed. What lies there is read either way; but once there is
    /// something compressed, a Seawall that does not know of compression refuses the spill.
    pub disk_compression: DiskCompression,
    /// Bytes of records that each producer may hold in memory, waiting or on their way.
    pub memory: Size,
    /// Records that each producer may hold in memory.
    pub memory_records: usize,
    /// The largest record, with its headers: at most a quarter of `memory` and an eighth of `disk`. Without it, the
    /// smallest of 20MiB, a quarter of `memory` and a thirty-second part of `disk`.
    pub record_max: Option<Size>,
    /// How safe a record is to be before ingest gives its receipt, where the request does not choose with the header
    /// `Seawall-Durability`. Dead letters are always `"synced"`.
    pub durability: Asked,
    /// Clusters that take the records of ingest when `ingest.sink` is gone, the most preferred first. Each must have
    /// the topics; those that a `[[topic]]` describes for `ingest.sink` are made there, too.
    pub fail_over: Vec<String>,
    /// How long a more preferred cluster is left alone after it failed, before one call probes it.
    pub failback_after: Period,
    /// How long a record waits for room in memory before it is refused with 503.
    pub max_block: Period,
    /// How long a caller waits for its receipt once its record was taken.
    pub timeout: Period,
    /// How long a batch waits to become larger; at most half of `timeout`. `"0s"`: what gathers while the batch
    /// before is on its way goes together.
    pub linger: Period,
    /// After so long without the cluster's answer records are put on disk, too, and get their receipt from there.
    pub patience: Period,
    /// How long a cluster has to take a record, the client's own retries included, before it counts as failed; at
    /// least `patience`. Shorter: other clusters and the disk take over sooner, and more records are written twice.
    pub delivery_timeout: Period,
    /// How long the end of the process waits for the cluster; what is left then is put on disk.
    pub close_within: Period,
    /// When a cluster counts as gone.
    pub breaker: ClusterBreaker,
    /// The waits before a cluster that failed is asked again.
    pub backoff: ClusterBackoff,
    /// The way back from the disk.
    pub replay: Replay,
}

/// How what is on disk is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiskCompression {
    /// Not at all.
    #[default]
    None,
    /// LZ4, in blocks of up to 64 KiB of records that are written together.
    Lz4,
}

impl From<DiskCompression> for Compression {
    fn from(compression: DiskCompression) -> Self {
        match compression {
            DiskCompression::None => Self::None,
            DiskCompression::Lz4 => Self::Lz4,
        }
    }
}

/// When a cluster counts as gone: further clusters and the disk take over at once, and it is probed. Calls are counted,
/// not records.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterBreaker {
    /// Opens when this part of the calls in the window failed: above 0, at most 1.
    pub failure_ratio: f64,
    /// The window that is looked at. Without it, five times `delivery_timeout`, at least 10s.
    pub window: Option<Period>,
    /// Calls in the window before the ratio means anything.
    pub min_calls: u32,
    /// How long it stays open before it probes.
    pub open_for: Period,
    /// Probes that must succeed before it closes.
    pub probes: u32,
}

impl ClusterBreaker {
    /// As any breaker, with `window` where none is given.
    pub fn over(self, window: Period) -> Breaker {
        let Self { failure_ratio, window: given, min_calls, open_for, probes } = self;
        Breaker { failure_ratio, window: given.unwrap_or(window), min_calls, open_for, probes }
    }
}

impl Default for ClusterBreaker {
    fn default() -> Self {
        Self { failure_ratio: 0.5, window: None, min_calls: 3, open_for: Period::from_secs(1), probes: 2 }
    }
}

/// The waits before a cluster that failed is asked again: `base`, then twice as long each time, with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterBackoff {
    /// The first.
    pub base: Period,
    /// The longest: about so late is it noticed that the cluster is back.
    pub max: Period,
}

impl Default for ClusterBackoff {
    fn default() -> Self {
        Self { base: Period::from_millis(100), max: Period::from_secs(5) }
    }
}

/// How safe a record is to be before its receipt is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// All in-sync replicas of a cluster have it.
    Replicated,
    /// They have it, or this machine's disk has: no crash loses it.
    #[default]
    Synced,
    /// It is in memory: a crash loses it, and what becomes of it shows in the metrics and the log alone.
    Buffered,
}

impl From<Asked> for Durability {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Replicated => Self::Replicated,
            Asked::Synced => Self::Synced,
            Asked::Buffered => Self::Buffered,
        }
    }
}

/// The way back from the disk.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Replay {
    /// The part of the bytes sent that the replay gets while live records wait, above 0 and at most 0.99. Alone it
    /// gets everything.
    pub share: f64,
    /// The most bytes replayed a second. Without it, as the cluster takes them.
    pub rate: Option<Size>,
}

impl Default for Replay {
    fn default() -> Self {
        Self { share: 0.5, rate: None }
    }
}

impl Default for Producer {
    fn default() -> Self {
        Self {
            dir: None,
            disk: Size(1 << 30),
            disk_compression: DiskCompression::default(),
            memory: Size::mib(64),
            memory_records: 65_536,
            record_max: None,
            durability: Asked::default(),
            fail_over: Vec::new(),
            failback_after: Period::from_secs(30),
            max_block: Period::from_secs(5),
            timeout: Period::from_secs(30),
            linger: Period::from_secs(0),
            patience: Period::from_millis(500),
            delivery_timeout: Period::from_secs(10),
            close_within: Period::from_secs(10),
            breaker: ClusterBreaker::default(),
            backoff: ClusterBackoff::default(),
            replay: Replay::default(),
        }
    }
}
