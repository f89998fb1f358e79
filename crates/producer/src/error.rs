//! Why a producer does not start, and why a record is not taken.

use crate::spill::frame::FrameError;
use seawall_core::name::NameError;
use seawall_core::{Class, Classify, Durability, Fault, RecordError};
use seawall_guard::GuardError;
use seawall_wal::WalError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What is left of a record whose time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Left {
    /// Nothing: no sink ever saw it, and it will not be sent.
    Nothing,
    /// It may have been written, and may still be: a sink was called and did not answer, or it is on its way to a disk that does
    /// not. Whoever sends it again gives it the same id, else nobody can tell that it is a repeat.
    Unknown,
    /// It is on disk, and will be delivered.
    Spilled,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "it was not sent and will not be",
            Self::Unknown => "it may have been written, or may still be",
            Self::Spilled => "it is on disk and will be delivered",
        })
    }
}

/// Why a record got no receipt.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The record exceeds a bound that holds everywhere.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The topic's name.
    #[error(transparent)]
    Topic(#[from] NameError),
    /// The record is larger than this producer takes.
    #[error("a record of {bytes} bytes is larger than the {max} that `record_bytes_max` allows")]
    TooLarge {
        /// Key, value, headers and topic.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Nothing was taken: there was no room for as long as `max_block`.
    #[error("no room for {waited:?}: {bytes_max} bytes or {records_max} records wait in memory{}", because(.cause.as_ref()))]
    Full {
        /// `max_block`.
        waited: Duration,
        /// The memory's bound.
        bytes_max: usize,
        /// The memory's bound.
        records_max: usize,
        /// Why it did not drain, where that is known: the sink, or the spill.
        cause: Option<Fault>,
    },
    /// The record's time ran out.
    #[error("no receipt within {after:?}; {left}{}", because(.cause.as_ref()))]
    TimedOut {
        /// The record's timeout.
        after: Duration,
        /// What is left of it.
        left: Left,
        /// What stood in the way last, where that is known.
        cause: Option<Fault>,
    },
    /// The sink refused the record for good.
    #[error("sink {sink} refused it: {fault}")]
    Refused {
        /// The sink.
        sink: Arc<str>,
        /// What it said.
        fault: Fault,
    },
    /// The record is written, but less safely than was asked.
    #[error("sink {sink} wrote it {}, where {} was asked", given.as_str(), asked.as_str())]
    Weaker {
        /// The sink.
        sink: Arc<str>,
        /// What the caller asked for.
        asked: Durability,
        /// What the sink's receipt says.
        given: Durability,
    },
    /// No sink of this producer, nor a spill, can give what was asked. Nothing was written.
    #[error("{} was asked; the best that this producer's sinks and spill give is {}", asked.as_str(), best.as_str())]
    Unreachable {
        /// What the caller asked for.
        asked: Durability,
        /// The best there is.
        best: Durability,
    },
    /// The producer is closed.
    #[error("the producer is closed")]
    Closed,
    /// The producer ended without a word on this record: it may have been written.
    #[error("the producer ended before it could say what became of the record")]
    Lost,
}

fn because(cause: Option<&Fault>) -> String {
    cause.map(|fault| format!("; last: {fault}")).unwrap_or_default()
}

impl Classify for SendError {
    fn class(&self) -> Class {
        match self {
            Self::Full { .. } => Class::Overload,
            Self::TimedOut { .. } | Self::Lost => Class::Transient,
            Self::Refused { fault, .. } => fault.class(),
            Self::Record(_)
            | Self::Topic(_)
            | Self::TooLarge { .. }
            | Self::Weaker { .. }
            | Self::Unreachable { .. }
            | Self::Closed => Class::Permanent,
        }
    }
}

/// Why a producer does not start, or a spill cannot be looked at. Nothing in the spill was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// An option is out of its bounds, or contradicts another.
    #[error("option {option} is {value}: it must be {want}")]
    Options {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        want: String,
    },
    /// The breaker's or the backoff's options.
    #[error(transparent)]
    Guard(Arc<GuardError>),
    /// There is no tokio runtime to run on.
    #[error("a producer must be opened within a tokio runtime")]
    NoRuntime,
    /// Another process (or another producer of this one) has the spill.
    #[error("the spill {} is in use by another process", dir.display())]
    Locked {
        /// The spill's directory.
        dir: PathBuf,
    },
    /// The spill is somebody else's.
    #[error("the spill {} belongs to {found:?}, not to {want:?}", dir.display())]
    Owner {
        /// The spill's directory.
        dir: PathBuf,
        /// Who made it.
        found: String,
        /// Who opens it.
        want: String,
    },
    /// The spill was written by another version.
    #[error("the spill {} has format version {found}; this build reads versions up to {reads}", dir.display())]
    Version {
        /// The spill's directory.
        dir: PathBuf,
        /// What the manifest says.
        found: u32,
        /// The newest that this build reads.
        reads: u32,
    },
    /// The manifest is damaged, or missing where there is a spill.
    #[error("{}: {why}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The log under the spill.
    #[error("the spill's log")]
    Wal(#[from] WalError),
    /// A frame that is not what this build writes, under a checksum that fits.
    #[error("frame {seq} of the spill")]
    Frame {
        /// Its number.
        seq: u64,
        /// What is wrong.
        #[source]
        source: FrameError,
    },
    /// The file system, outside of any log.
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

impl OpenError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn option(option: &'static str, value: impl ToString, want: impl Into<String>) -> Self {
        Self::Options { option, value: value.to_string(), want: want.into() }
    }
}

impl From<GuardError> for OpenError {
    fn from(error: GuardError) -> Self {
        Self::Guard(Arc::new(error))
    }
}

impl Classify for OpenError {
    fn class(&self) -> Class {
        match self {
            Self::Locked { .. } | Self::Io { .. } => Class::Transient,
            Self::Wal(source) => source.class(),
            _ => Class::Permanent,
        }
    }
}
