//! The loop that owns the source: it polls, hands out, rereads, commits and gives partitions up.
//!
//! # It never waits for anything but the source
//!
//! A member that stops polling is thrown out of its group. So this loop waits for no handler, no lane and no
//! store: what it hands out goes through channels that never fill (the books bound what is in them, [`room`]),
//! what it needs to know it reads from the books, and a partition that is being given up is looked at once a
//! step until it is idle or its time is over, while the others go on. Nothing is drained inside an event of
//! the source.
//!
//! # One step
//!
//! Requests, then each partition: give up, pause or resume, read again; then commits that are due; then one
//! poll. The step is synchronous and takes no decision by itself about time or threads, so that the same code
//! is run by a thread of its own in production and as a task under a simulated clock ([`drive`]).

mod begin;
mod commit;
pub(crate) mod drive;
mod give_up;
mod kept;
mod leave;
mod room;

use crate::options::Ordering;
use crate::partition::{Load, Partition};
use crate::running::{Left, Stop};
use crate::shared::{Shared, count, lock};
use crate::stats::State;
use crate::worker::{Message, scatter};
use foldhash::quality::FixedState;
use kept::Kept;
use leave::{Late, Leaving};
use seawall_core::{Batch, Class, Event, Fault, Fetched, Generation, Nanos, Offset, Source, TopicPartition};
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// How long a poll that failed is not repeated.
const AFTER_FAULT: Duration = Duration::from_millis(100);
/// How long a reread that failed is not repeated.
const AFTER_REREAD: Duration = Duration::from_millis(100);
/// How long a reread that brought nothing yet is not repeated.
const AFTER_NOTHING: Duration = Duration::from_millis(10);

/// What the handle asks of the loop.
#[derive(Debug)]
pub(crate) enum Request {
    /// Stop or start fetching; of all partitions, or of one.
    Pause { partition: Option<TopicPartition>, paused: bool },
    /// Stop within the time given.
    Drain(Duration),
    /// A part of the consumer died.
    Die(Fault),
}

/// One partition that is ours.
#[derive(Debug)]
struct Owned {
    partition: Arc<Partition>,
    /// What the source was told last.
    paused: bool,
    /// It had no room, and has not come down to half of its bound since.
    full: bool,
    /// No reread before this.
    reread_after: Nanos,
    /// It is being given up.
    leaving: Option<Leaving>,
}

/// A drain that was asked for.
#[derive(Debug)]
struct Drain {
    began: Nanos,
    deadline: Nanos,
    within_bound: bool,
    commit_failed: Option<Fault>,
    left: Vec<Left>,
}

/// What a step led to.
#[derive(Debug)]
pub(crate) enum Stepped {
    /// There may be more at once.
    Progress,
    /// Nothing new.
    Quiet,
    /// It is over.
    Over(Stop),
}

/// The loop's state.
pub(crate) struct Fetcher<S> {
    source: S,
    shared: Arc<Shared>,
    requests: UnboundedReceiver<Request>,
    workers: Vec<UnboundedSender<Message>>,
    owned: BTreeMap<TopicPartition, Owned>,
    kept: Kept,
    /// Dropped, and to be given back once nothing of them runs.
    late: Vec<Late>,
    next_slot: u32,
    next_commit: Nanos,
    /// No commit has been taken since the one that failed first.
    commits_fail_since: Option<Nanos>,
    poll_after: Nanos,
    paused: bool,
    drain: Option<Drain>,
    /// A handler ran for too long: why the pipeline ends once all is given back.
    gave_up: Option<Fault>,
    hasher: FixedState,
}

impl<S: Source> Fetcher<S> {
    pub(crate) fn new(
        source: S,
        shared: Arc<Shared>,
        requests: UnboundedReceiver<Request>,
        workers: Vec<UnboundedSender<Message>>,
        seed: u64,
    ) -> Self {
        let now = shared.now();
        Self {
            next_commit: now.plus(shared.options.commit.interval),
            commits_fail_since: None,
            poll_after: now,
            source,
            shared,
            requests,
            workers,
            owned: BTreeMap::new(),
            kept: Kept::default(),
            late: Vec::new(),
            next_slot: 0,
            paused: false,
            drain: None,
            gave_up: None,
            hasher: FixedState::with_seed(seed),
        }
    }

    /// One step, waiting at most `wait` for the source.
    pub(crate) fn step(&mut self, wait: Duration) -> Stepped {
        let mut now = self.shared.now();
        self.shared.step(now);
        while let Ok(request) = self.requests.try_recv() {
            if let Some(stop) = self.hear(request, now) {
                return Stepped::Over(stop);
            }
        }
        self.give_up_if_stuck(now);
        let mut busy = false;
        for id in self.owned.keys().cloned().collect::<Vec<_>>() {
            self.leave_if_idle(&id, now);
            self.pause_or_resume(&id, now);
            busy |= self.reread(&id, now);
        }
        self.release_late(now);
        if let Some(stop) = self.drained(now) {
            return Stepped::Over(stop);
        }
        if now >= self.next_commit {
            self.commit();
            now = self.shared.now();
            self.next_commit = now.plus(self.shared.options.commit.interval);
        }
        let wait = if busy { Duration::ZERO } else { self.patience(wait, now) };
        if now < self.poll_after {
            // The source failed just now. The thread has nothing else to do than wait; the task has a timer.
            return Stepped::Quiet;
        }
        match self.source.poll(wait, self.limit()) {
            Ok(events) => {
                busy |= !events.is_empty();
                for event in events {
                    self.take(event);
                }
            }
            Err(fault) if fault.class() == Class::Permanent => {
                tracing::error!(pipeline = %self.shared.options.pipeline, %fault, "the source cannot go on");
                return Stepped::Over(self.die(fault));
            }
            Err(fault) => {
                tracing::warn!(pipeline = %self.shared.options.pipeline, %fault, "the source failed; polling again");
                self.poll_after = self.shared.now().plus(AFTER_FAULT);
            }
        }
        if busy { Stepped::Progress } else { Stepped::Quiet }
    }

    /// How long the next step may wait without missing anything that is due by the clock.
    pub(crate) fn patience(&self, wait: Duration, now: Nanos) -> Duration {
        let mut due = now.plus(wait).min(self.next_commit);
        for owned in self.owned.values() {
            if let Some(leaving) = &owned.leaving {
                due = due.min(leaving.due());
            } else if owned.reread_after > now {
                due = due.min(owned.reread_after);
            }
        }
        for late in &self.late {
            due = due.min(late.until);
        }
        let broken = Nanos(self.shared.broken_until.load(Relaxed));
        if broken > now {
            due = due.min(broken);
        }
        if self.poll_after > now {
            due = due.min(self.poll_after);
        }
        due.since(now)
    }

    fn hear(&mut self, request: Request, now: Nanos) -> Option<Stop> {
        match request {
            Request::Pause { partition: None, paused } => {
                self.paused = paused;
                if self.drain.is_none() {
                    *lock(&self.shared.state) = if paused { State::Paused } else { State::Running };
                }
                if !paused {
                    self.owned.values().for_each(|owned| owned.partition.book().paused_by_request = false);
                }
            }
            Request::Pause { partition: Some(id), paused } => {
                if let Some(owned) = self.owned.get(&id) {
                    owned.partition.book().paused_by_request = paused;
                }
            }
            Request::Drain(bound) => self.begin_drain(now.plus(bound), now),
            Request::Die(fault) => return Some(self.die(fault)),
        }
        None
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Assigned { partition, generation, position, origin, end } => {
                self.begin(partition, generation, &position, origin, end);
            }
            Event::Revoked { partition, generation } => {
                let deadline = self.shared.now().plus(self.shared.options.revoke_bound);
                if self.is_current(&partition, generation) {
                    self.begin_leaving(&partition, deadline);
                } else {
                    self.begin_late_release(partition, generation);
                }
            }
            Event::Lost { partition, generation } => {
                self.forget_late(&partition);
                if self.is_current(&partition, generation) {
                    self.lose(&partition);
                }
            }
            Event::Records { partition, generation, batch, end } => {
                self.hand_out(&partition, generation, batch, end);
            }
        }
    }

    fn is_current(&self, id: &TopicPartition, generation: Generation) -> bool {
        self.owned.get(id).is_some_and(|owned| owned.partition.generation == generation)
    }

    /// Hands fetched records to the workers of their lanes.
    fn hand_out(&mut self, id: &TopicPartition, generation: Generation, mut batch: Batch, end: Offset) {
        let Some(owned) = self.owned.get(id).filter(|owned| owned.partition.generation == generation) else {
            return;
        };
        if owned.leaving.is_some() {
            return;
        }
        let partition = Arc::clone(&owned.partition);
        let skipped = partition.admit(&mut batch, end, self.shared.now());
        count(&self.shared.totals.skipped, skipped);
        count(&self.shared.totals.fetched, batch.records.len() as u64);
        for (worker, records) in self.by_worker(&partition, batch.records).into_iter().enumerate() {
            if !records.is_empty() {
                let partition = Arc::clone(&partition);
                // A worker that is gone has died; the watch over the workers stops the loop.
                let _ = self.workers[worker].send(Message::Records { partition, records });
            }
        }
    }

    fn by_worker(&self, partition: &Partition, records: Vec<Fetched>) -> Vec<Vec<(u64, Fetched)>> {
        let workers = self.workers.len();
        let room = records.len() / workers + records.len() / (workers * 4) + 1;
        let mut split: Vec<Vec<(u64, Fetched)>> = (0..workers).map(|_| Vec::with_capacity(room)).collect();
        for fetched in records {
            let hash = self.lane_hash(partition, &fetched);
            // The upper bits choose the worker, the lower ones the place in its map.
            let worker = ((u128::from(hash) * workers as u128) >> 64) as usize;
            split[worker].push((hash, fetched));
        }
        split
    }

    /// Which lane a record belongs to. The same under every assignment of its partition: a partition that was lost
    /// and has come back goes to the worker that ends what is left of it, and not beside that one.
    fn lane_hash(&self, partition: &Partition, fetched: &Fetched) -> u64 {
        match (self.shared.options.ordering, &fetched.record.key) {
            (Ordering::Partition, _) => self.hasher.hash_one(&partition.id),
            (Ordering::Key, Some(key)) => self.hasher.hash_one(&key[..]),
            (Ordering::Key, None) | (Ordering::Unordered, _) => scatter(fetched.offset),
        }
    }

    /// Reads again what overflowed lanes are hungry for. True when something was handed out.
    fn reread(&mut self, id: &TopicPartition, now: Nanos) -> bool {
        let Some(owned) = self.owned.get(id) else { return false };
        if owned.leaving.is_some() || now < owned.reread_after {
            return false;
        }
        let partition = Arc::clone(&owned.partition);
        let (from, to, hungry) = {
            let mut book = partition.book();
            let Some(from) = book.wants.iter().flatten().min().copied() else { return false };
            let hungry: Vec<bool> = book.wants.iter_mut().map(|want| want.take().is_some()).collect();
            (from, book.tracker.next(), hungry)
        };
        let result = self.source.reread(id, from, to, self.limit());
        let batch = match result {
            Ok(batch) if batch.next > from => batch,
            other => {
                let mut after = AFTER_NOTHING;
                if let Err(fault) = other {
                    tracing::warn!(partition = %id, %fault, from, "parked records could not be read again yet");
                    after = AFTER_REREAD;
                }
                // Ask the workers for nothing; they are still hungry for the same.
                let mut book = partition.book();
                for (want, was) in book.wants.iter_mut().zip(hungry) {
                    if was && want.is_none() {
                        *want = Some(from);
                    }
                }
                if let Some(owned) = self.owned.get_mut(id) {
                    owned.reread_after = self.shared.now().plus(after);
                }
                return false;
            }
        };
        let to = batch.next.min(to);
        let mut records = batch.records;
        records.retain(|fetched| fetched.offset >= from && fetched.offset < to);
        let split = self.by_worker(&partition, records);
        for (worker, (records, hungry)) in split.into_iter().zip(hungry).enumerate() {
            if hungry {
                let _ =
                    self.workers[worker].send(Message::Reread { slot: partition.slot, from, to, records });
            }
        }
        true
    }

    fn tell_all(&self, message: impl Fn() -> Message) {
        for worker in &self.workers {
            let _ = worker.send(message());
        }
    }

    /// Stops at once because of `fault`.
    fn die(&mut self, fault: Fault) -> Stop {
        for id in self.owned.keys().cloned().collect::<Vec<_>>() {
            self.lose(&id);
        }
        self.tell_all(|| Message::Stop);
        Stop::Failed(fault)
    }
}
