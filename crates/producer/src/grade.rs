//! What a caller asks for, and what it gets: one type each, so that none is taken for another.

use crate::error::SendError;
use seawall_core::{Durability, Receipt};
use std::sync::Arc;

mod sealed {
    pub trait Sealed {}
}

/// Where a record is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Safe {
    /// A sink acknowledged it.
    Delivered {
        /// The sink's name.
        sink: Arc<str>,
        /// What it said.
        receipt: Receipt,
    },
    /// The spill's fsync returned with the record in it; it is replayed from there.
    Spilled {
        /// The record's frame in the spill.
        seq: u64,
    },
}

/// What became of a record.
pub type Outcome = Result<Safe, SendError>;

/// A receipt that can be waited for: [`Replicated`] or [`Synced`].
pub trait Grade: sealed::Sealed + Sized + Send {
    /// What the caller asks for.
    const ASKED: Durability;
    #[doc(hidden)]
    fn of(outcome: Outcome) -> Result<Self, SendError>;
}

/// All in-sync replicas of a broker have the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicated {
    /// The sink's name.
    pub sink: Arc<str>,
    /// What it said.
    pub receipt: Receipt,
}

/// A disk has the record and its fsync returned: a sink's, or the spill's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Where.
    pub place: Safe,
}

/// The record is in memory: a crash loses it. The callback given with it hears what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffered {
    pub(crate) _private: (),
}

impl sealed::Sealed for Replicated {}
impl sealed::Sealed for Synced {}

impl Grade for Replicated {
    const ASKED: Durability = Durability::Replicated;

    fn of(outcome: Outcome) -> Result<Self, SendError> {
        match outcome? {
            Safe::Delivered { sink, receipt } => Ok(Self { sink, receipt }),
            // The pump settles such a record only once a sink has it.
            Safe::Spilled { .. } => Err(SendError::Lost),
        }
    }
}

impl Grade for Synced {
    const ASKED: Durability = Durability::Synced;

    fn of(outcome: Outcome) -> Result<Self, SendError> {
        outcome.map(|place| Self { place })
    }
}
