//! Many writers, one sync.
//!
//! A sync costs the same for one frame as for thousands, so everything that arrives while one runs is written
//! together after it: one write, one sync, one answer that all of the group's tickets share. Nobody waits for a
//! timer: a lone writer is synced at once, and the busier the log, the larger its groups become by themselves.

mod batch;
mod chain;
mod driver;
mod group;
mod queue;

pub use batch::Batch;
pub use chain::Chain;
pub use group::Ticket;

use crate::disk::Disk;
use crate::error::WalError;
use crate::log::table::Table;
use crate::log::{Counters, Extent, Log, SegmentInfo};
use crate::reader::Reader;
use bytes::Bytes;
use queue::Shared;
use seawall_core::Clock;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// What a full queue does with the next append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The calling thread waits for room.
    Wait,
    /// The call fails with [`WalError::QueueFull`].
    Refuse,
}

/// The bounds of a group commit.
#[derive(Clone, Copy, Debug)]
pub struct GroupOptions {
    /// Bytes of frames, as they stand on disk, that may wait for their write (default 64 MiB). One batch larger than that is taken
    /// when the queue is empty.
    pub queue_bytes_max: u64,
    /// Frames that may wait (default 1,000,000).
    pub queue_frames_max: usize,
    /// What a full queue does (default [`Overflow::Wait`]).
    pub overflow: Overflow,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self { queue_bytes_max: 64 << 20, queue_frames_max: 1_000_000, overflow: Overflow::Wait }
    }
}

/// A log with a thread of its own, to which any number of writers append. Cloning shares it; the log is
/// closed when [`GroupCommit::close`] was called or the last clone is dropped.
pub struct GroupCommit<D: Disk, B: Batch = Vec<Bytes>> {
    handle: Arc<Handle<D, B>>,
}

/// Closes the queue when the last clone goes.
struct Handle<D: Disk, B: Batch> {
    shared: Arc<Shared<B>>,
    table: Arc<Table<D>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    frame_bytes_max: u32,
}

impl<D: Disk, B: Batch> Clone for GroupCommit<D, B> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<D: Disk, B: Batch> GroupCommit<D, B> {
    /// Moves `log` to a new thread.
    ///
    /// # Errors
    /// [`WalError::Io`] where no thread could be started.
    pub fn start(log: Log<D>, options: GroupOptions, clock: Arc<dyn Clock>) -> Result<Self, WalError> {
        let shared = Arc::new(Shared::new(options, log.options().unsynced_bytes_max));
        let (table, frame_bytes_max) = (Arc::clone(log.table()), log.options().frame_bytes_max);
        let dir = log.dir().to_owned();
        let driver = driver::Driver::new(log, Arc::clone(&shared), clock);
        let thread = thread::Builder::new().name("seawall-wal".to_owned()).spawn(move || driver.run());
        let thread = thread.map_err(|source| WalError::io("start a thread for", &dir, source))?;
        let handle = Handle { shared, table, thread: Mutex::new(Some(thread)), frame_bytes_max };
        Ok(Self { handle: Arc::new(handle) })
    }

    /// Queues a batch of frames; the ticket tells when they are durable. The batch stays together, in its order.
    ///
    /// # Errors
    /// [`WalError::QueueFull`] by policy, [`WalError::FrameTooLarge`], [`WalError::UnsyncedFull`] for a batch that the
    /// log could never take at once, [`WalError::Closed`].
    pub fn append(&self, frames: B) -> Result<Ticket, WalError> {
        self.push(frames, None)
    }

    /// As [`GroupCommit::append`], behind the batches of `chain`: refused if one of them was.
    ///
    /// # Errors
    /// As [`GroupCommit::append`], which cuts the chain; by the ticket, [`WalError::Behind`] too.
    pub fn append_behind(&self, chain: &Chain, frames: B) -> Result<Ticket, WalError> {
        self.push(frames, Some(chain)).inspect_err(|_| chain.cut())
    }

    fn push(&self, frames: B, chain: Option<&Chain>) -> Result<Ticket, WalError> {
        let max = self.handle.frame_bytes_max;
        let mut sizes = (0..frames.frames()).map(|at| frames.frame_bytes(at));
        if let Some(bytes) = sizes.find(|bytes| *bytes > max as usize) {
            return Err(WalError::FrameTooLarge { bytes: bytes as u64, max: u64::from(max) });
        }
        self.handle.shared.push(frames, chain)
    }

    /// A reader of the durable frames.
    pub fn reader(&self) -> Reader<D> {
        Reader::new(Arc::clone(&self.handle.table))
    }

    /// As [`Log::truncate_front`], done between two groups; waits for it.
    ///
    /// # Errors
    /// As [`Log::truncate_front`]; [`WalError::Closed`].
    pub fn truncate_front(&self, before: u64) -> Result<u64, WalError> {
        self.truncate_front_later(before)?.wait().map(|answer| answer.first)
    }

    /// As [`GroupCommit::truncate_front`], without waiting: the ticket's `first` is what it answers.
    ///
    /// # Errors
    /// [`WalError::Closed`]; by the ticket, as [`Log::truncate_front`].
    pub fn truncate_front_later(&self, before: u64) -> Result<Ticket, WalError> {
        self.handle.shared.truncate(before)
    }

    /// As [`Log::segments`].
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.handle.table.infos()
    }

    /// As [`Log::extent`].
    pub fn extent(&self) -> Extent {
        self.handle.table.extent()
    }

    /// As [`Log::counters`], as of the last group.
    pub fn counters(&self) -> Counters {
        self.handle.shared.counters()
    }

    /// Takes no more appends, makes durable what is queued, closes the log, and waits for all that. Later calls
    /// answer the same.
    ///
    /// # Errors
    /// As [`Log::close`].
    pub fn close(&self) -> Result<(), WalError> {
        self.handle.shared.close();
        let thread = self.handle.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // The driver's own guard has told everyone of a panic already.
            let _ = thread.join();
        }
        self.handle.shared.ended()
    }
}

impl<D: Disk, B: Batch> Drop for Handle<D, B> {
    fn drop(&mut self) {
        self.shared.close();
    }
}
