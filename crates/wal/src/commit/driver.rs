//! The log's own thread.

use super::batch::Batch;
use super::chain::Chain;
use super::queue::{Job, Pending, Shared};
use crate::disk::Disk;
use crate::error::WalError;
use crate::log::{Log, Spare, SpareJob};
use seawall_core::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

/// Owns the log, and does what the queue says.
pub(super) struct Driver<D: Disk, B: Batch> {
    /// Before the log, so that it has ended when the log lets go of its directory.
    helper: Helper,
    log: Log<D>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared<B>>,
}

/// The thread that makes the next segment ahead, one at a time.
#[derive(Default)]
struct Helper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<Spare>>>,
}

impl Helper {
    /// What it made, once.
    fn made(&mut self) -> Option<Spare> {
        // One that panicked made nothing.
        self.thread.take_if(|thread| thread.is_finished())?.join().ok().flatten()
    }

    fn make<D: Disk>(&mut self, job: SpareJob<D>) {
        let stop = Arc::clone(&self.stop);
        let thread = thread::Builder::new().name("seawall-wal-zero".to_owned());
        // Without a helper, or without a spare, the log zeroes as it goes: slower, nothing worse.
        self.thread = thread.spawn(move || job.run(&stop).ok()).ok();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Tells the writers when the thread ends, by a panic too.
struct Ending<B: Batch> {
    shared: Arc<Shared<B>>,
    error: Option<WalError>,
}

impl<B: Batch> Drop for Ending<B> {
    fn drop(&mut self) {
        self.shared.end(self.error.take());
    }
}

impl<D: Disk, B: Batch> Driver<D, B> {
    pub(super) fn new(log: Log<D>, shared: Arc<Shared<B>>, clock: Arc<dyn Clock>) -> Self {
        Self { helper: Helper::default(), log, clock, shared }
    }

    pub(super) fn run(mut self) {
        let mut ending = Ending { shared: Arc::clone(&self.shared), error: Some(WalError::Closed) };
        loop {
            match self.shared.next() {
                Job::Write(pending) => self.write(pending),
                Job::Truncate { before, promise } => promise.finish(self.log.truncate_front(before)),
                Job::Close => break,
            }
            self.shared.set_counters(self.log.counters());
        }
        drop(self.helper);
        ending.error = self.log.close(self.clock.wall()).err();
    }

    fn write(&mut self, pending: Pending<B>) {
        let chain = pending.chain.as_ref();
        if chain.is_some_and(Chain::is_cut) {
            return pending.promise.finish(Err(WalError::Behind));
        }
        let now = self.clock.wall();
        let appended = self.log.append(pending.batches.iter().flat_map(Batch::payloads), now);
        // Their writer may want them back, alone.
        drop(pending.batches);
        let answer = appended.and_then(|appended| self.log.sync(now).map(|_| appended.first));
        if let (Err(_), Some(chain)) = (&answer, chain) {
            chain.cut();
        }
        pending.promise.finish(answer);
        self.look_ahead();
    }

    /// Has the next segment made on a helper's thread, so that beginning it will cost no zeroing.
    fn look_ahead(&mut self) {
        if let Some(spare) = self.helper.made() {
            self.log.add_spare(spare);
        }
        if let Some(job) = self.log.spare_job() {
            self.helper.make(job);
        }
    }
}
