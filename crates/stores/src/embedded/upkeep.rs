//! What must be done now and then besides answering: the next epoch of fences, and compaction.
//!
//! A compaction writes a snapshot, which is every entry still needed once more, behind whatever else is being
//! written, and then lets go of the log before it. Nothing waits for it. A crash in the middle leaves the old
//! log and part of a snapshot, which together still say the same.
//!
//! One thing must not slip between: a completion whose frame stands before the snapshot, but which reaches the
//! index only after the snapshot has looked there. So the snapshot's opening is written first, then
//! every batch of completions begun until then is waited for, and only then is the index read. A batch whose
//! task is not being polled holds the compaction up; it is then left for later.

use super::Inner;
use super::frame::{self, Opening};
use super::index::Fences;
use seawall_wal::{Disk, WalError};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Completions written at a time.
const STRETCH: u64 = 8192;
/// How often, and how many times, batches in flight are looked after.
const WAIT: Duration = Duration::from_millis(5);
const WAITS_MAX: u32 = 1000;

/// Wakes the thread that does the upkeep.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<Rung>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    due: bool,
    stop: bool,
}

impl Bell {
    fn state(&self) -> MutexGuard<'_, Rung> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ring(&self) {
        self.state().due = true;
        self.rung.notify_one();
    }

    pub(super) fn stop(&self) {
        self.state().stop = true;
        self.rung.notify_one();
    }

    fn stopped(&self) -> bool {
        self.state().stop
    }

    /// Waits to be rung; `false` when it is time to stop.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.state();
        while !state.due && !state.stop {
            state = self.rung.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.due = false;
        !state.stop
    }
}

impl<D: Disk> Inner<D> {
    /// Whether there is upkeep to do.
    pub(super) fn upkeep_due(&self) -> bool {
        let index = self.index();
        index.fences.run_low() || self.compaction_due(index.snapshot_bytes())
    }

    fn compaction_due(&self, snapshot_bytes: u64) -> bool {
        self.written.load(Relaxed) > self.options.compact_bytes_min.max(2 * snapshot_bytes)
    }

    /// Does what is due. A failure is logged and met again at the next occasion.
    pub(super) fn upkeep(&self) {
        // Only one at a time: two inline callers would write two snapshots.
        let Ok(_only) = self.upkeep.try_lock() else { return };
        let run_low = self.index().fences.run_low();
        if run_low && let Err(error) = self.next_epoch() {
            tracing::warn!(%error, "claim store: the next epoch of fences could not be made durable");
        }
        let snapshot_bytes = self.index().snapshot_bytes();
        if self.compaction_due(snapshot_bytes) {
            match self.compact() {
                Ok(true) => {
                    self.compactions.fetch_add(1, Relaxed);
                }
                Ok(false) => tracing::debug!("claim store: completions in flight, compaction put off"),
                Err(error) => {
                    tracing::warn!(%error, "claim store: compaction failed, the log stays as it is");
                }
            }
        }
    }

    fn next_epoch(&self) -> Result<(), WalError> {
        let fences = self.index().fences;
        let Some(epoch) = fences.epoch.checked_add(1) else { return Ok(()) };
        let opening = Opening { secret: self.secret, epoch, at: self.uptime() };
        let frames = vec![frame::opening(&opening)];
        self.commit.durable_blocking(frames).map_err(super::commit::Failure::into_error)?;
        self.index().fences = Fences::new(epoch, self.options.epoch_fences);
        Ok(())
    }

    /// Writes a snapshot and lets go of the log before it; `false` when completions in flight were in the way.
    fn compact(&self) -> Result<bool, WalError> {
        self.written.store(0, Relaxed);
        let epoch = self.index().fences.epoch;
        let opening = Opening { secret: self.secret, epoch, at: self.uptime() };
        let begun = self.write_snapshot(vec![frame::opening(&opening)])?;
        if !self.await_batches() {
            return Ok(false);
        }
        let (claims, (mut from, end)) = {
            let index = self.index();
            (index.claim_entries(), index.places())
        };
        self.write_snapshot(frame::claims(self.uptime(), &claims))?;
        while from < end {
            if self.bell.stopped() {
                return Ok(false);
            }
            let to = end.min(from + STRETCH);
            let entries = self.index().done_entries(from, to);
            self.write_snapshot(frame::done(&entries))?;
            from = to;
        }
        self.commit.truncate_front(begun)?;
        Ok(true)
    }

    fn await_batches(&self) -> bool {
        let last = self.index().last_batch();
        for _ in 0..WAITS_MAX {
            if self.index().ended(last) {
                return true;
            }
            if self.is_inline() || self.bell.stopped() {
                return false;
            }
            std::thread::sleep(WAIT);
        }
        false
    }

    fn write_snapshot(&self, frames: Vec<bytes::Bytes>) -> Result<u64, WalError> {
        if frames.is_empty() {
            return Ok(0);
        }
        let appended = self.commit.durable_blocking(frames);
        appended.map(|appended| appended.first).map_err(super::commit::Failure::into_error)
    }
}
