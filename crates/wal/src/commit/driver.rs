//! The log's own thread.

use super::queue::{Job, Pending, Shared};
use crate::disk::Disk;
use crate::error::WalError;
use crate::log::{Log, Spare};
use seawall_core::Clock;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Owns the log, and does what the queue says.
pub(super) struct Driver<D: Disk> {
    log: Log<D>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    made: (SyncSender<Spare>, Receiver<Spare>),
}

/// Tells the writers when the thread ends, by a panic too.
struct Ending {
    shared: Arc<Shared>,
    error: Option<WalError>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.shared.end(self.error.take());
    }
}

impl<D: Disk> Driver<D> {
    pub(super) fn new(log: Log<D>, shared: Arc<Shared>, clock: Arc<dyn Clock>) -> Self {
        Self { log, clock, shared, made: sync_channel(1) }
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
        ending.error = self.log.close(self.clock.wall()).err();
    }

    fn write(&mut self, pending: Pending) {
        let now = self.clock.wall();
        let appended = self.log.append(pending.frames, now);
        let answer = appended.and_then(|appended| self.log.sync(now).map(|_| appended.first));
        pending.promise.finish(answer);
        self.look_ahead();
    }

    /// Has the next segment made on a helper's thread, so that beginning it will cost no zeroing.
    fn look_ahead(&mut self) {
        if let Ok(spare) = self.made.1.try_recv() {
            self.log.add_spare(spare);
        }
        if let Some(job) = self.log.spare_job() {
            let done = self.made.0.clone();
            let helper = thread::Builder::new().name("seawall-wal-zero".to_owned());
            // Without a helper, or without a spare, the log zeroes as it goes: slower, nothing worse.
            let _ = helper.spawn(move || {
                if let Ok(spare) = job.run() {
                    let _ = done.try_send(spare);
                }
            });
        }
    }
}
