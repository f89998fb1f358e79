//! Why a recoverable producer does not start.

use seawall_core::{Class, Classify};
use seawall_producer::OpenError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a recoverable producer does not start. Nothing in any spill was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecoverableError {
    /// It cannot be opened.
    #[error("the producer {name:?} cannot start")]
    Open {
        /// Its name, `ingest.CLUSTER` or `letters.CLUSTER`.
        name: String,
        /// Why not.
        #[source]
        source: OpenError,
    },
    /// Records with a receipt wait in a spill that this configuration has no producer for.
    #[error(
        "{records} acknowledged records wait in the spill {}, and no producer of this configuration would deliver them; \
         keep the [producer] section and the cluster they are for, or deliver them with `seawall wal replay`", dir.display()
    )]
    Orphan {
        /// The spill.
        dir: PathBuf,
        /// How many.
        records: u64,
    },
    /// The directory of all spills cannot be read: nobody knows whether records wait in it.
    #[error("the directory of spills {} cannot be read: acknowledged records may wait in it", dir.display())]
    Spills {
        /// The directory.
        dir: PathBuf,
        /// What the system answered.
        #[source]
        source: Arc<io::Error>,
    },
    /// A spill that no producer of this configuration uses cannot be looked at.
    #[error(
        "the spill {}, which no producer of this configuration uses, cannot be looked at; `seawall wal verify` says \
         more", dir.display()
    )]
    Unread {
        /// The spill.
        dir: PathBuf,
        /// Why not.
        #[source]
        source: OpenError,
    },
}

impl RecoverableError {
    /// Whether the config is at fault, rather than what it meets.
    pub fn is_config(&self) -> bool {
        match self {
            Self::Open { source, .. } => matches!(source, OpenError::Options { .. } | OpenError::Guard(_)),
            Self::Orphan { .. } => true,
            Self::Unread { .. } | Self::Spills { .. } => false,
        }
    }
}

impl Classify for RecoverableError {
    fn class(&self) -> Class {
        match self {
            Self::Open { source, .. } | Self::Unread { source, .. } => source.class(),
            Self::Orphan { .. } => Class::Permanent,
            Self::Spills { .. } => Class::Transient,
        }
    }
}
