//! Why a directory cannot be opened as a claim store.

use seawall_core::{Class, Classify};
use seawall_wal::WalError;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a directory cannot be opened as a claim store.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The log beneath: locked by another process, damaged, or the disk said no.
    #[error("could not open the claim store in {}", dir.display())]
    Log {
        /// The store's directory.
        dir: PathBuf,
        /// What the log says.
        #[source]
        source: WalError,
    },
    /// The directory holds a log of something else.
    #[error(
        "{} holds a log, but not one of claims: frame {seq} begins with {found:#04x}, a claim store's with {want:#04x}; \
         give the claim store a directory of its own",
        dir.display()
    )]
    Foreign {
        /// The store's directory.
        dir: PathBuf,
        /// The first frame that is not ours.
        seq: u64,
        /// Its first byte.
        found: u8,
        /// What it should be.
        want: u8,
    },
    /// A frame that says it is ours, passed its checksum, and does not hold what it should.
    #[error("the claim store in {} is damaged: frame {seq} {what}", dir.display())]
    Damaged {
        /// The store's directory.
        dir: PathBuf,
        /// The frame.
        seq: u64,
        /// What is wrong with it.
        what: Flaw,
    },
    /// Frames, but none that says under which key and epoch they were written.
    #[error("the claim store in {} is damaged: its opening frame is missing", dir.display())]
    NoOpening {
        /// The store's directory.
        dir: PathBuf,
    },
    /// Every epoch was used: four billion restarts.
    #[error("the claim store in {} has used all of its epochs", dir.display())]
    EpochsUsed {
        /// The store's directory.
        dir: PathBuf,
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
    /// The thread that compacts could not be started.
    #[error("could not start the claim store's thread")]
    Thread(#[source] Arc<std::io::Error>),
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It ends early.
    #[error("is cut short")]
    Short,
    /// It goes on after its end.
    #[error("has bytes after its end")]
    Long,
    /// Its format version is unknown to this build.
    #[error("has the format version {0}, unknown to this build")]
    Version(u8),
    /// Its kind is unknown to this build.
    #[error("is of the unknown kind {0}")]
    Kind(u8),
    /// It opens with another key than the frames before.
    #[error("opens with another key than the frames before it: logs were mixed")]
    OtherKey,
}

impl Classify for OpenError {
    fn class(&self) -> Class {
        match self {
            Self::Log { source, .. } => source.class(),
            Self::Thread(_) => Class::Transient,
            _ => Class::Permanent,
        }
    }
}
