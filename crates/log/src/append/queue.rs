//! Where work waits for the next round.

use crate::append::Work;
use crate::mutex::lock;
use seawall_wal::Disk;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Work in the order it came. Its bound is the [`budget`](super::budget); statements of groups are bounded by
/// the number of callers, each of whom waits for its own.
pub(crate) struct Queue<D: Disk> {
    inner: Mutex<Inner<D>>,
    filled: Condvar,
}

struct Inner<D: Disk> {
    work: Vec<Work<D>>,
    closed: bool,
}

impl<D: Disk> Queue<D> {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::new(Inner { work: Vec::new(), closed: false }), filled: Condvar::new() }
    }

    /// Queues `work`, or gives it back where the queue is closed.
    pub(crate) fn push(&self, work: Work<D>) -> Result<(), Work<D>> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err(work);
        }
        let was_empty = inner.work.is_empty();
        inner.work.push(work);
        drop(inner);
        if was_empty {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Everything queued, at once.
    pub(crate) fn take(&self) -> Vec<Work<D>> {
        std::mem::take(&mut lock(&self.inner).work)
    }

    /// Waits for work, at most `wait`. False once the queue is closed and empty.
    pub(crate) fn wait(&self, wait: Duration) -> bool {
        let inner = lock(&self.inner);
        let (inner, _) = self
            .filled
            .wait_timeout_while(inner, wait, |inner| inner.work.is_empty() && !inner.closed)
            .unwrap_or_else(PoisonError::into_inner);
        !inner.closed || !inner.work.is_empty()
    }

    /// Takes nothing more; what is queued is still done.
    pub(crate) fn close(&self) {
        lock(&self.inner).closed = true;
        self.filled.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.inner).closed
    }
}
