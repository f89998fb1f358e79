//! `seawall produce --durability …`: how safe a record is to be before it counts as written.

use seawall_core::Durability;

/// What `--durability` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Asked {
    /// All in-sync replicas of a cluster have it.
    Replicated,
    /// They have it, or a disk has.
    Synced,
    /// It is in a memory: a crash loses it.
    Buffered,
}

impl Asked {
    pub(super) fn durability(self) -> Durability {
        match self {
            Self::Replicated => Durability::Replicated,
            Self::Synced => Durability::Synced,
            Self::Buffered => Durability::Buffered,
        }
    }
}
