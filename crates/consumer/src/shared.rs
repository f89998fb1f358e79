//! What the fetch loop, the workers and the handle all see.

use crate::options::{ConsumerOptions, Limits};
use crate::partition::Partition;
use crate::stats::{Latency, Snapshot, State, Totals, Usage};
use crate::watch::Stall;
use crate::watch::board::Board;
use crate::worker::panics::Reporter;
use seawall_core::{Clock, Nanos, TopicPartition, Waker};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        /// [`Totals`] as they grow.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64),* }

        impl Counters {
            fn read(&self) -> Totals {
                Totals { $($name: self.$name.load(Relaxed)),* }
            }
        }
    };
}

counters!(
    fetched,
    acked,
    retried,
    dead_lettered,
    deferred,
    refused,
    panics,
    timeouts,
    duplicates,
    late,
    voided,
    fenced,
    skipped,
    commits,
    commit_failures,
    commits_truncated,
    vanished,
);

/// Adds to a counter, without touching it for nothing.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    if by > 0 {
        counter.fetch_add(by, Relaxed);
    }
}

/// What one worker shows of itself.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) ready: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) parked: AtomicU64,
    pub(crate) overflowed: AtomicU64,
    pub(crate) handlers: AtomicU64,
}

/// Wakes the fetch loop, whichever way it waits.
#[derive(Debug)]
pub(crate) struct Bell {
    waker: Waker,
    pub(crate) notify: Notify,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.waker.wake();
        self.notify.notify_one();
    }
}

/// Lets workers that share a concurrency limit take turns: one that was refused while it had work says so,
/// and until it has got something, those that hold more than their part of the limit take no more.
#[derive(Debug)]
pub(crate) struct Turns {
    hungry: AtomicU64,
    limit: AtomicU64,
    pub(crate) bells: Vec<Notify>,
}

impl Turns {
    fn new(workers: usize) -> Self {
        let bells = (0..workers).map(|_| Notify::new()).collect();
        Self { hungry: AtomicU64::new(0), limit: AtomicU64::new(u64::MAX), bells }
    }

    /// `worker` has work and was refused by a limit of `limit`. Workers above 64 take no part.
    pub(crate) fn starve(&self, worker: usize, limit: f64) {
        if worker < 64 && self.bells.len() > 1 {
            self.limit.store(limit.max(1.0) as u64, Relaxed);
            self.hungry.fetch_or(1 << worker, Relaxed);
        }
    }

    /// `worker` got something, or has nothing to do.
    pub(crate) fn sated(&self, worker: usize) {
        if worker < 64 && self.hungry.load(Relaxed) & (1 << worker) != 0 {
            self.hungry.fetch_and(!(1 << worker), Relaxed);
        }
    }

    /// Whether `worker`, which runs `running` handlers, should leave the next permits to others.
    pub(crate) fn must_yield(&self, worker: usize, running: u64) -> bool {
        let hungry = self.hungry.load(Relaxed);
        if hungry == 0 {
            return false;
        }
        let others = if worker < 64 { hungry & !(1 << worker) } else { hungry };
        others != 0 && running > self.limit.load(Relaxed).div_ceil(self.bells.len() as u64)
    }

    /// `worker` gave permits back: those who starve may try again.
    pub(crate) fn freed(&self, worker: usize) {
        let mut hungry = self.hungry.load(Relaxed);
        while hungry != 0 {
            let at = hungry.trailing_zeros() as usize;
            hungry &= hungry - 1;
            if at != worker {
                self.bells[at].notify_one();
            }
        }
    }
}

/// Everything that is shared.
pub(crate) struct Shared {
    pub(crate) options: ConsumerOptions,
    limits: Mutex<Limits>,
    limits_version: AtomicU64,
    pub(crate) totals: Counters,
    pub(crate) latency: Latency,
    pub(crate) gauges: Vec<Gauges>,
    pub(crate) turns: Turns,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) bell: Bell,
    pub(crate) reporter: Reporter,
    pub(crate) state: Mutex<State>,
    pub(crate) partitions: Mutex<BTreeMap<TopicPartition, Arc<Partition>>>,
    /// Until when the guard's breaker lets nothing through, as far as the workers have heard.
    pub(crate) broken_until: AtomicU64,
    /// What each worker's handlers are at.
    pub(crate) boards: Vec<Arc<Board>>,
    /// When the fetch loop last began a step.
    stepped: AtomicU64,
    /// What the watchdog saw last.
    pub(crate) stalls: Mutex<Vec<Stall>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("pipeline", &self.options.pipeline).finish_non_exhaustive()
    }
}

/// The values behind these locks are whole after every statement, so a panic elsewhere leaves them usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(options: ConsumerOptions, clock: Arc<dyn Clock>, waker: Waker) -> Self {
        Self {
            limits: Mutex::new(options.limits()),
            limits_version: AtomicU64::new(0),
            totals: Counters::default(),
            latency: Latency::new(),
            gauges: (0..options.workers).map(|_| Gauges::default()).collect(),
            turns: Turns::new(options.workers),
            bell: Bell { waker, notify: Notify::new() },
            reporter: Reporter::default(),
            state: Mutex::new(State::Running),
            partitions: Mutex::default(),
            broken_until: AtomicU64::new(0),
            boards: (0..options.workers).map(|_| Arc::default()).collect(),
            stepped: AtomicU64::new(clock.now().0),
            stalls: Mutex::default(),
            options,
            clock,
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        *lock(&self.limits)
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        *lock(&self.limits) = limits;
        self.limits_version.fetch_add(1, Relaxed);
        self.bell.ring();
        self.turns.bells.iter().for_each(Notify::notify_one);
    }

    /// Changes whenever the limits do.
    pub(crate) fn limits_version(&self) -> u64 {
        self.limits_version.load(Relaxed)
    }

    pub(crate) fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// The fetch loop begins a step.
    pub(crate) fn step(&self, now: Nanos) {
        self.stepped.store(now.0, Relaxed);
    }

    pub(crate) fn stepped(&self) -> Nanos {
        Nanos(self.stepped.load(Relaxed))
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let held: Vec<Arc<Partition>> = lock(&self.partitions).values().cloned().collect();
        let limits = self.limits();
        let bound = |records: usize, bytes: usize| Usage {
            records_max: (records * held.len()) as u64,
            bytes_max: (bytes * held.len()) as u64,
            ..Usage::default()
        };
        let mut queue = bound(limits.queue.records, limits.queue.bytes);
        let mut parked = bound(limits.retry.parked_records, limits.retry.parked_bytes);
        for partition in &held {
            let book = partition.book();
            queue.records += book.queue.records.max(0) as u64;
            queue.bytes += book.queue.bytes.max(0) as u64;
            parked.records += book.parked.records.max(0) as u64;
            parked.bytes += book.parked.bytes.max(0) as u64;
        }
        let partitions: Vec<_> = held.iter().map(|partition| partition.snapshot()).collect();
        let sum = |gauge: fn(&Gauges) -> &AtomicU64| self.gauges.iter().map(|g| gauge(g).load(Relaxed)).sum();
        let lanes = crate::stats::Lanes {
            ready: sum(|g| &g.ready),
            busy: sum(|g| &g.busy),
            parked: sum(|g| &g.parked),
            overflowed: sum(|g| &g.overflowed),
        };
        Snapshot {
            state: lock(&self.state).clone(),
            totals: self.totals.read(),
            in_flight: partitions.iter().map(|partition| partition.in_flight).sum(),
            handlers: sum(|g| &g.handlers),
            lanes,
            queue,
            parked,
            latency: self.latency.recent(self.now()),
            latency_buckets: self.latency.cumulative(),
            latency_sum_seconds: self.latency.sum_seconds(),
            stalls: lock(&self.stalls).clone(),
            partitions,
        }
    }
}
