//! Batches that follow each other, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Batches of one writer whose order must hold although several are on their way: once one is refused, so is every
/// later one, with [`crate::WalError::Behind`]. A writer that has heard from all of them begins a new chain.
#[derive(Clone, Debug, Default)]
pub struct Chain(Arc<AtomicBool>);

impl Chain {
    /// Refuses what follows. Whoever calls it has the log's queue, or is the log's thread: the queue's lock orders it
    /// before every later look.
    pub fn cut(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether a batch of it was refused.
    pub fn is_cut(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
