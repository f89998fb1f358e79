//! The broker: a handle that any number of callers share.

mod groups;
mod open;
mod read;
mod thread;
mod topics;
mod upkeep;

pub use open::{OpenReport, PartitionRecovery};
pub use upkeep::Retained;

use crate::append::budget::Budget;
use crate::append::queue::Queue;
use crate::append::{Statement, Submission, Work, round};
use crate::error::LogError;
use crate::group::Group;
use crate::group::store::Store;
use crate::health::{Failing, Health};
use crate::mutex::lock;
use crate::options::{BrokerOptions, Driver};
use crate::partition::Partition;
use crate::partition::hash::Sticky;
use crate::topic::TopicOptions;
use seawall_core::Clock;
use seawall_wal::{Disk, RealDisk};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, mpsc};

/// The embedded broker over one data directory. Cloning shares it. It is closed by [`Broker::close`] or when the
/// last clone (and the last [`LogSource`](crate::LogSource)) is dropped.
pub struct Broker<D: Disk = RealDisk> {
    pub(crate) shared: Arc<Shared<D>>,
    closer: Arc<thread::Closer<D>>,
}

impl<D: Disk> Clone for Broker<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), closer: Arc::clone(&self.closer) }
    }
}

impl<D: Disk> std::fmt::Debug for Broker<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("dir", &self.shared.options.dir).finish_non_exhaustive()
    }
}

/// A topic that is open.
pub(crate) struct Topic<D: Disk> {
    pub(crate) name: Arc<str>,
    pub(crate) options: TopicOptions,
    pub(crate) partitions: Vec<Arc<Partition<D>>>,
    pub(crate) sticky: Sticky,
}

/// What the commit thread and all handles share.
pub(crate) struct Shared<D: Disk> {
    pub(crate) disk: D,
    pub(crate) options: BrokerOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) driver: Driver,
    pub(crate) topics: RwLock<BTreeMap<Arc<str>, Arc<Topic<D>>>>,
    /// Held while a topic is made, so that the catalog is written by one at a time.
    pub(crate) creating: Mutex<()>,
    pub(crate) groups: Mutex<BTreeMap<Arc<str>, Arc<Group>>>,
    pub(crate) store: Store<D>,
    pub(crate) queue: Queue<D>,
    pub(crate) budget: Budget,
    pub(crate) failing: Failing,
    pub(crate) tally: Tally,
    pub(crate) next_partition_id: AtomicUsize,
    upkeep: Mutex<upkeep::Schedule>,
    /// Held while a turn is taken, so that rounds follow one another.
    turning: Mutex<()>,
    lock: Mutex<Option<D::Lock>>,
}

/// Running counts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) records: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) rounds: AtomicU64,
    pub(crate) retained_away: AtomicU64,
    pub(crate) unread_retained_away: AtomicU64,
}

/// What happened since the broker was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records that got a receipt.
    pub records: u64,
    /// Records that got an error.
    pub refused: u64,
    /// Rounds of writing and syncing.
    pub rounds: u64,
    /// Records deleted by retention.
    pub retained_away: u64,
    /// Of these, records that a group had not come to: counted once for each such group.
    pub unread_retained_away: u64,
}

impl<D: Disk> Broker<D> {
    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.shared.options.dir
    }

    /// How it was set up.
    pub fn options(&self) -> &BrokerOptions {
        &self.shared.options
    }

    /// The clock it was given.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// Whether writes are expected to work. After a failure the disk is tried again about every second, so the
    /// answer becomes good by itself once there is room.
    pub fn health(&self) -> Health {
        if self.shared.queue.is_closed() {
            return Health { writable: false, reason: Some(LogError::Closed.to_string()) };
        }
        self.shared.failing.health()
    }

    /// Running counts.
    pub fn counters(&self) -> Counters {
        let tally = &self.shared.tally;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            records: read(&tally.records),
            refused: read(&tally.refused),
            rounds: read(&tally.rounds),
            retained_away: read(&tally.retained_away),
            unread_retained_away: read(&tally.unread_retained_away),
        }
    }

    /// Does what the commit thread would do now: writes what is queued, and looks after retention, overdue
    /// releases and health where it is time. For [`Driver::Inline`] and [`Driver::Turns`]; harmless otherwise.
    /// Whether anything was queued.
    pub fn turn(&self) -> bool {
        self.shared.turn()
    }

    /// Refuses new work, finishes what is queued, syncs, and lets go of the directory. Calling it twice is fine.
    ///
    /// # Errors
    /// What a last sync said. The directory is let go all the same.
    pub fn close(&self) -> Result<(), LogError> {
        self.closer.close(&self.shared)
    }
}

impl<D: Disk> Shared<D> {
    pub(crate) fn topics(&self) -> RwLockReadGuard<'_, BTreeMap<Arc<str>, Arc<Topic<D>>>> {
        self.topics.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn turn(&self) -> bool {
        let _turning = lock(&self.turning);
        let work = self.queue.take();
        let any = !work.is_empty();
        if any {
            self.tally.rounds.fetch_add(1, Ordering::Relaxed);
            round::run(self, work);
        }
        self.upkeep_if_due();
        any
    }

    /// Queues an append; with [`Driver::Inline`] it is written before this returns.
    pub(crate) fn submit(&self, submission: Submission<D>) -> Result<(), LogError> {
        self.queue.push(Work::Append(submission)).map_err(|_| LogError::Closed)?;
        if self.driver == Driver::Inline {
            self.turn();
        }
        Ok(())
    }

    /// Makes facts durable before it returns.
    pub(crate) fn state(
        &self,
        facts: Vec<(Option<crate::append::Fence>, crate::group::state::Fact)>,
    ) -> Result<(), LogError> {
        let (done, answer) = mpsc::sync_channel(1);
        self.queue.push(Work::State(Statement { facts, done })).map_err(|_| LogError::Closed)?;
        match self.driver {
            Driver::Thread => answer.recv().map_err(|_| LogError::Unconfirmed)?,
            Driver::Inline | Driver::Turns => {
                // Another thread's turn may have taken it; then its answer is under way.
                self.turn();
                answer.recv().map_err(|_| LogError::Unconfirmed)?
            }
        }
    }
}
