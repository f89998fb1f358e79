//! What can go wrong with a log, by name.

use seawall_core::{Class, Classify};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a log refuses or fails. Cheap to clone: one failed sync is told to every writer of its group.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The file system said no, in a way that no other variant names.
    #[error("could not {op} {}", path.display())]
    Io {
        /// What was tried, as a verb: `open`, `read`, `rename`.
        op: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: Arc<io::Error>,
    },
    /// Another process (or another `Log` of this one) owns the directory.
    #[error("{} is locked by another process", dir.display())]
    Locked {
        /// The log's directory.
        dir: PathBuf,
    },
    /// The disk (or its quota) is full. Nothing of this append was taken; what was appended before stands.
    #[error("no space left to write {}", path.display())]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: Arc<io::Error>,
    },
    /// The file system is mounted read-only, or the directory may not be written.
    #[error("{} cannot be written", path.display())]
    ReadOnly {
        /// The file or directory.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: Arc<io::Error>,
    },
    /// An option is out of its bounds.
    #[error("option {option} is {value}: it must be {want}")]
    Options {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: u64,
        /// What would be right.
        want: &'static str,
    },
    /// A frame is larger than the log takes.
    #[error("a frame of {bytes} bytes is larger than the {max} this log takes")]
    FrameTooLarge {
        /// The frame's size.
        bytes: u64,
        /// The bound: `Options::frame_bytes_max`.
        max: u64,
    },
    /// Too much was appended without a sync. Nothing of this append was taken: sync, then append again.
    #[error("{bytes} bytes would await their sync where {max} may: sync first")]
    UnsyncedFull {
        /// What would await a sync, in bytes.
        bytes: u64,
        /// The bound: `Options::unsynced_bytes_max`.
        max: u64,
    },
    /// A read from a place that was deleted already, or that was never written.
    #[error("frame {from} is not in the log, which holds {first} up to {next} (exclusive)")]
    OutOfRange {
        /// Where the read was to begin.
        from: u64,
        /// The oldest frame still held.
        first: u64,
        /// One past the newest durable frame.
        next: u64,
    },
    /// Bytes that were once durable are not what was written. Never skipped: see `repair`.
    #[error("{} is damaged at byte {offset}, at frame {seq}: {damage}", segment.display())]
    Damaged {
        /// The segment's file.
        segment: PathBuf,
        /// Where the damage begins, in bytes from the start of the file.
        offset: u64,
        /// The frame that should stand there.
        seq: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// A write or a sync failed, and the unsynced frames could not be brought to safety in a new segment
    /// either. Every frame at or above `durable` is dropped: none was acknowledged, and their numbers go to
    /// later frames. The next append tries a new segment; the failed file is never touched again.
    #[error("{} failed and its unsynced frames could not be rewritten: frames from {durable} on are dropped", segment.display())]
    Poisoned {
        /// The segment whose write or sync failed.
        segment: PathBuf,
        /// One past the last frame that is safe.
        durable: u64,
        /// What the system answered last.
        #[source]
        source: Arc<io::Error>,
    },
    /// The group commit's queue is full, and its policy is to say so.
    #[error("the log's queue is full: {bytes} bytes wait where {max} may")]
    QueueFull {
        /// Bytes waiting.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// A batch that this one was to follow was refused.
    #[error("a batch before it in its chain was refused")]
    Behind,
    /// The group commit was closed before this append was taken.
    #[error("the log is closed")]
    Closed,
}

/// What is wrong with a place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Damage {
    /// The segment's header is not one of this format, or its checksum does not match.
    Header,
    /// The header speaks of another segment than the file's name.
    WrongSegment,
    /// A format version this build does not know.
    Version(u32),
    /// No valid frame where one was durable.
    Frame,
    /// The segment ends before the next one begins: frames are missing.
    Missing,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("its header is damaged"),
            Self::WrongSegment => f.write_str("its header names another segment"),
            Self::Version(version) => write!(f, "its format version {version} is unknown to this build"),
            Self::Frame => f.write_str("a frame that was durable is damaged"),
            Self::Missing => f.write_str("frames are missing before the next segment"),
        }
    }
}

impl WalError {
    /// Names what `op` on `path` met.
    pub(crate) fn io(op: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { path, source: Arc::new(source) }
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path, source: Arc::new(source) }
            }
            _ => Self::Io { op, path, source: Arc::new(source) },
        }
    }
}

impl Classify for WalError {
    fn class(&self) -> Class {
        match self {
            Self::QueueFull { .. } | Self::UnsyncedFull { .. } | Self::NoSpace { .. } => Class::Overload,
            Self::Io { .. } | Self::Locked { .. } | Self::Poisoned { .. } | Self::Behind => Class::Transient,
            Self::ReadOnly { .. }
            | Self::Options { .. }
            | Self::FrameTooLarge { .. }
            | Self::OutOfRange { .. }
            | Self::Damaged { .. }
            | Self::Closed => Class::Permanent,
        }
    }
}
