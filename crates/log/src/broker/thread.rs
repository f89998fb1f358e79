//! The commit thread, and how everything ends.

use crate::broker::Shared;
use crate::error::LogError;
use crate::mutex::lock;
use crate::options::Driver;
use seawall_wal::Disk;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The longest the thread sleeps: upkeep looks at its own times this often.
const TICK: Duration = Duration::from_millis(250);

/// Ends the broker when the last handle goes.
pub(crate) struct Closer<D: Disk> {
    shared: Arc<Shared<D>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<D: Disk> Closer<D> {
    /// Starts the commit thread where the driver wants one.
    pub(crate) fn start(shared: Arc<Shared<D>>) -> Result<Self, LogError> {
        let thread = match shared.driver {
            Driver::Inline | Driver::Turns => None,
            Driver::Thread => {
                let shared = Arc::clone(&shared);
                let named = std::thread::Builder::new().name("seawall-commit".into());
                let dir = shared.options.dir.clone();
                let spawned = named.spawn(move || serve(&shared));
                Some(spawned.map_err(|source| LogError::io("start the commit thread of", &dir, source))?)
            }
        };
        Ok(Self { shared, thread: Mutex::new(thread) })
    }

    pub(crate) fn close(&self, shared: &Shared<D>) -> Result<(), LogError> {
        shared.budget.close();
        shared.queue.close();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic in there was reported where it happened; its callers got `Unconfirmed`.
            let _ = thread.join();
        }
        shared.turn();
        let now = shared.clock.wall();
        let topics: Vec<_> = shared.topics().values().cloned().collect();
        let mut outcome = shared.store.close(now);
        for partition in topics.iter().flat_map(|topic| &topic.partitions) {
            let closed = partition.close(now);
            outcome = outcome.and(closed);
        }
        lock(&shared.lock).take();
        outcome
    }
}

impl<D: Disk> Drop for Closer<D> {
    fn drop(&mut self) {
        if let Err(error) = self.close(&self.shared) {
            tracing::error!(error = &error as &dyn std::error::Error, "the last sync failed");
        }
    }
}

/// Closes the queue should the thread panic, so that callers get an error instead of waiting for ever.
struct CloseOnExit<'a, D: Disk>(&'a Shared<D>);

impl<D: Disk> Drop for CloseOnExit<'_, D> {
    fn drop(&mut self) {
        self.0.budget.close();
        self.0.queue.close();
        if std::thread::panicking() {
            // What is queued is dropped: each waiting caller learns `Unconfirmed`.
            self.0.queue.take();
        }
    }
}

fn serve<D: Disk>(shared: &Shared<D>) {
    let _exit = CloseOnExit(shared);
    while shared.queue.wait(TICK) {
        shared.turn();
    }
}
