//! From many callers to one writer.
//!
//! Callers encode their records, take room in the [`budget`], and put a [`Submission`] in the [`queue`]. The
//! [`round`] takes everything queued meanwhile, writes it partition by partition, syncs each dirty partition
//! once, and then completes all receipts: the longer a sync takes, the more callers the next one serves.

pub(crate) mod budget;
pub(crate) mod queue;
pub(crate) mod round;

use crate::error::LogError;
use crate::group::Group;
use crate::group::assign::MemberId;
use crate::group::state::Fact;
use crate::partition::{Packed, Partition};
use seawall_core::{Generation, Offset, TopicPartition};
use seawall_wal::Disk;
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;

/// Frames of one caller for one partition.
pub(crate) struct Part<D: Disk> {
    pub(crate) partition: Arc<Partition<D>>,
    pub(crate) packed: Packed,
}

/// The first offset of each part, or why it was not taken.
pub(crate) type Offsets = Vec<Result<Offset, LogError>>;

/// Records of one caller.
pub(crate) struct Submission<D: Disk> {
    pub(crate) parts: Vec<Part<D>>,
    pub(crate) room: Option<budget::Room>,
    pub(crate) done: oneshot::Sender<Offsets>,
}

/// A fact that holds only under an assignment.
pub(crate) struct Fence {
    pub(crate) group: Arc<Group>,
    pub(crate) member: MemberId,
    pub(crate) partition: TopicPartition,
    pub(crate) generation: Generation,
}

/// Facts to be made durable. Those whose fence is no longer in force are refused, the others are written.
pub(crate) struct Statement {
    pub(crate) facts: Vec<(Option<Fence>, Fact)>,
    pub(crate) done: mpsc::SyncSender<Result<(), LogError>>,
}

/// What the queue holds.
pub(crate) enum Work<D: Disk> {
    Append(Submission<D>),
    State(Statement),
}
