//! What can go wrong with the broker, by name.

use crate::codec::CodecError;
use crate::topic::NameError;
use crate::topic::catalog::CatalogError;
use seawall_core::{Class, Classify, Generation, Offset, RecordError, TopicPartition};
use seawall_wal::WalError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Why the broker refuses or fails.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Another process owns the data directory.
    #[error("{} is locked by {}: one process owns a data directory", dir.display(), holder(*pid))]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The owner, where it has written its id.
        pid: Option<u32>,
    },
    /// No such topic.
    #[error("no topic {topic:?}{}", offer(nearest))]
    UnknownTopic {
        /// The name asked for.
        topic: String,
        /// Up to three existing names like it.
        nearest: Vec<String>,
    },
    /// The topic is there already, set up in another way.
    #[error("topic {topic:?} exists already with {partitions} partitions")]
    TopicExists {
        /// Its name.
        topic: String,
        /// What it has.
        partitions: u32,
    },
    /// A topic's or group's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An option out of its bounds.
    #[error("option {option} is {value}: it must be {want}")]
    Options {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        want: String,
    },
    /// A partition the topic does not have.
    #[error("topic {topic:?} has partitions 0 to {}, not {partition}", partitions.saturating_sub(1))]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// A record over its bounds.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The queue of appends stayed full.
    #[error(
        "the append queue stayed full for {} ms: at most {records_max} records and {bytes_max} bytes wait",
        waited.as_millis()
    )]
    Overload {
        /// The bound in records.
        records_max: usize,
        /// The bound in bytes.
        bytes_max: usize,
        /// How long the caller waited.
        waited: Duration,
    },
    /// The broker was closed; nothing of this call was taken.
    #[error("the broker is closed")]
    Closed,
    /// The commit thread ended before this append was made durable: whether it is on disk is not known.
    #[error("the broker ended before the append was confirmed")]
    Unconfirmed,
    /// A commit under an assignment that is no longer in force.
    #[error("group {group:?} gave {partition} to another: generation {} is no longer in force", given.0)]
    Fenced {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
        /// The generation the commit came with.
        given: Generation,
    },
    /// A position that cannot be: above the end of the partition, or too large to keep.
    #[error("position of group {group:?} in {partition}: {why}")]
    Position {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
        /// What is wrong with it.
        why: String,
    },
    /// The catalog of topics does not read.
    #[error("{}", path.display())]
    Catalog {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Arc<CatalogError>,
    },
    /// A frame that is not what this build writes, under a checksum that fits.
    #[error("{place} at offset {offset}")]
    Frame {
        /// The partition, or `group state`.
        place: String,
        /// The frame's offset.
        offset: Offset,
        /// What is wrong.
        #[source]
        source: CodecError,
    },
    /// The wal under a partition or under the groups' state.
    #[error("{place}")]
    Wal {
        /// The partition, or `group state`.
        place: String,
        /// What it said.
        #[source]
        source: WalError,
    },
    /// The file system, outside of any wal.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: Arc<io::Error>,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

fn offer(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; did you mean {}?", nearest.join(", ")) }
}

impl LogError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn wal(place: impl ToString, source: WalError) -> Self {
        Self::Wal { place: place.to_string(), source }
    }

    /// Whether the disk or its quota is full: what was accepted stands, and appends work again once there is
    /// room.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Wal { source, .. } => {
                matches!(source, WalError::NoSpace { .. })
                    || wal_io(source) == Some(io::ErrorKind::StorageFull)
            }
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }

    /// Whether the directory cannot be written.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Wal { source, .. } => {
                matches!(source, WalError::ReadOnly { .. })
                    || wal_io(source) == Some(io::ErrorKind::ReadOnlyFilesystem)
            }
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
            }
            _ => false,
        }
    }
}

fn wal_io(error: &WalError) -> Option<io::ErrorKind> {
    match error {
        WalError::Poisoned { source, .. } | WalError::Io { source, .. } => Some(source.kind()),
        _ => None,
    }
}

impl Classify for LogError {
    fn class(&self) -> Class {
        match self {
            Self::Overload { .. } => Class::Overload,
            Self::Wal { source, .. } => source.class(),
            Self::Io { .. } if self.is_disk_full() => Class::Overload,
            Self::Io { .. } if self.is_read_only() => Class::Permanent,
            Self::Io { .. } | Self::Locked { .. } | Self::Unconfirmed => Class::Transient,
            Self::UnknownTopic { .. }
            | Self::TopicExists { .. }
            | Self::Name(_)
            | Self::Options { .. }
            | Self::UnknownPartition { .. }
            | Self::Record(_)
            | Self::Closed
            | Self::Fenced { .. }
            | Self::Position { .. }
            | Self::Catalog { .. }
            | Self::Frame { .. } => Class::Permanent,
        }
    }
}
