//! One partition under one assignment: the book that the fetch loop and the workers keep together.
//!
//! The book is the only state they share, and every change of it is made in batches under one short lock: the
//! fetch loop enters what it hands out, a worker enters at the end of a turn what became of it. That is what
//! makes the ledger readable at one instant, and it costs a lock for some hundred records.
//!
//! A book belongs to one assignment. When that ends the book is closed: what is still entered afterwards is counted as
//! late and never committed. It is only remembered, for the case that this member gets the partition back.

use crate::stats::{Ledger, PartitionSnapshot};
use crate::track::{OffsetSet, Tracker};
use seawall_core::{Batch, Fetched, Generation, Nanos, Offset, TopicPartition};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Records and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) records: i64,
    pub(crate) bytes: i64,
}

impl Load {
    pub(crate) fn one(bytes: usize) -> Self {
        Self { records: 1, bytes: bytes as i64 }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }

    pub(crate) fn sub(&mut self, other: Self) {
        self.records -= other.records;
        self.bytes -= other.bytes;
    }
}

/// How a record was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Acked,
    DeadLettered,
    /// Waits in a retry topic.
    Deferred,
    Vanished,
}

/// What one worker did to one partition since it last said so.
#[derive(Debug, Default)]
#[expect(clippy::option_option, reason = "nothing to say, and nothing wanted, are two things")]
pub(crate) struct Delta {
    /// Settled offsets. Acknowledged, dead-lettered and deferred records leave `in_flight`, vanished ones `parked`.
    pub(crate) settled: Vec<(Offset, Settled)>,
    /// Records in memory that wait for a turn, are handled or settled.
    pub(crate) queue: Load,
    /// Records in memory behind a failure.
    pub(crate) parked: Load,
    /// Records left in the source behind a failure.
    pub(crate) unread: i64,
    /// Records that moved from in flight to parked (or back, when negative).
    pub(crate) to_parked: i64,
    /// Keys that became parked.
    pub(crate) parked_keys: i64,
    /// Handlers started and claims, completions and dead letters begun, less those that ended.
    pub(crate) busy: i64,
    /// Handlers that ended because they were cancelled.
    pub(crate) cancelled: u64,
    /// The lowest offset this worker would like to be read again; `Some(None)` for none.
    pub(crate) want: Option<Option<Offset>>,
    /// This worker has heard that the partition is being given up.
    pub(crate) revoke_heard: bool,
}

impl Delta {
    pub(crate) fn is_empty(&self) -> bool {
        self.settled.is_empty()
            && self.queue == Load::default()
            && self.parked == Load::default()
            && (self.unread, self.to_parked, self.parked_keys, self.busy, self.cancelled) == (0, 0, 0, 0, 0)
            && self.want.is_none()
            && !self.revoke_heard
    }
}

/// What the fetch loop wants to be woken for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Alarm {
    /// The partition is paused because it is full: wake when its queue is down to this.
    pub(crate) room_at: Option<Load>,
    /// It is being given up: wake when nothing is busy.
    pub(crate) idle: bool,
}

/// The state of a book.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each read by itself")]
pub(crate) struct Book {
    pub(crate) tracker: Tracker,
    pub(crate) ledger: Ledger,
    pub(crate) end: Offset,
    pub(crate) committed: Offset,
    /// Something was settled since the last commit was taken.
    pub(crate) dirty: bool,
    /// Records settled and not known to be committed, and how many of them the commit taken last covers.
    pub(crate) uncommitted: u64,
    pub(crate) committing: u64,
    /// Since when the lowest unsettled offset is that.
    head_since: Nanos,
    pub(crate) queue: Load,
    pub(crate) parked: Load,
    pub(crate) unread: i64,
    pub(crate) parked_keys: i64,
    pub(crate) busy: i64,
    pub(crate) cancelled: u64,
    /// By worker: the lowest offset it would like to be read again.
    pub(crate) wants: Vec<Option<Offset>>,
    /// Workers that have heard of the revocation.
    pub(crate) revoke_heard: usize,
    pub(crate) alarm: Alarm,
    pub(crate) paused: bool,
    pub(crate) paused_by_request: bool,
    pub(crate) revoking: bool,
    /// The assignment has ended.
    pub(crate) closed: bool,
}

/// What entering a delta led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entered {
    pub(crate) acked: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) deferred: u64,
    pub(crate) vanished: u64,
    pub(crate) late: u64,
    /// The fetch loop has something to do now.
    pub(crate) wake: bool,
}

/// A partition under one assignment.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) id: TopicPartition,
    pub(crate) generation: Generation,
    /// Unique among all assignments of this consumer.
    pub(crate) slot: u32,
    /// Nothing of it is to be started any more: known here before a busy worker hears of it.
    leaving: AtomicBool,
    book: Mutex<Book>,
}

impl Partition {
    pub(crate) fn new(
        id: TopicPartition,
        generation: Generation,
        slot: u32,
        watermark: Offset,
        beyond: OffsetSet,
        end: Offset,
        workers: usize,
    ) -> Self {
        let book = Book {
            tracker: Tracker::new(watermark, beyond),
            ledger: Ledger::default(),
            end,
            committed: watermark,
            dirty: false,
            uncommitted: 0,
            committing: 0,
            head_since: Nanos(0),
            queue: Load::default(),
            parked: Load::default(),
            unread: 0,
            parked_keys: 0,
            busy: 0,
            cancelled: 0,
            wants: vec![None; workers],
            revoke_heard: 0,
            alarm: Alarm::default(),
            paused: false,
            paused_by_request: false,
            revoking: false,
            closed: false,
        };
        Self { id, generation, slot, leaving: AtomicBool::new(false), book: Mutex::new(book) }
    }

    /// It is given up or lost.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        // Entries are plain additions; a panic between two of them cannot happen short of a defect here.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a fetched batch: its records that are to be handled are kept and counted as in flight. Returns
    /// how many were skipped because they are settled.
    pub(crate) fn admit(&self, batch: &mut Batch, end: Offset, now: Nanos) -> u64 {
        let mut book = self.book();
        if book.head().is_none() {
            book.head_since = now;
        }
        let admitted = book.tracker.admit(&mut batch.records, batch.next);
        book.end = book.end.max(end).max(batch.next);
        book.ledger.fetched += admitted.fresh;
        book.ledger.in_flight += admitted.fresh;
        // Skipped records and gaps may have moved the watermark.
        book.dirty |= book.tracker.watermark() > book.committed;
        let bytes: usize = batch.records.iter().map(weight).sum();
        book.queue.add(Load { records: admitted.fresh as i64, bytes: bytes as i64 });
        admitted.skipped
    }

    /// Enters what `worker` did, and empties `delta`.
    pub(crate) fn enter(&self, worker: usize, delta: &mut Delta, now: Nanos) -> Entered {
        let mut book = self.book();
        let mut entered = Entered::default();
        if book.closed {
            entered.late = delta.settled.len() as u64;
            for (offset, _) in delta.settled.drain(..) {
                book.tracker.complete(offset);
            }
            book.busy += delta.busy;
            book.revoke_heard += usize::from(delta.revoke_heard);
            entered.wake = book.alarm_rings();
            *delta = Delta::default();
            return entered;
        }
        let head = book.tracker.watermark();
        for (offset, how) in delta.settled.drain(..) {
            book.settle(offset, how, &mut entered);
        }
        if book.tracker.watermark() != head {
            book.head_since = now;
        }
        book.move_between(delta);
        if let Some(want) = delta.want.take() {
            book.wants[worker] = want;
            entered.wake |= want.is_some();
        }
        book.revoke_heard += usize::from(std::mem::take(&mut delta.revoke_heard));
        entered.wake |= book.alarm_rings();
        entered
    }

    /// The lowest unsettled offset, and since when it is that; nothing where nothing is unsettled.
    pub(crate) fn head(&self) -> Option<(Offset, Nanos)> {
        let book = self.book();
        book.head().map(|offset| (offset, book.head_since))
    }

    pub(crate) fn snapshot(&self) -> PartitionSnapshot {
        let book = self.book();
        let tracker = &book.tracker;
        let below_end = tracker.settled_beyond().min(book.end.saturating_sub(tracker.watermark()));
        PartitionSnapshot {
            partition: self.id.clone(),
            generation: self.generation,
            paused: book.paused,
            paused_by_request: book.paused_by_request,
            revoking: book.revoking,
            watermark: tracker.watermark(),
            committed: book.committed,
            next: tracker.next(),
            end: book.end,
            lag: book.end.saturating_sub(tracker.watermark()) - below_end,
            in_flight: book.ledger.in_flight,
            parked: book.ledger.parked,
            unread: book.unread.max(0) as u64,
            parked_keys: book.parked_keys.max(0) as u64,
            ledger: book.ledger,
        }
    }
}

impl Book {
    fn head(&self) -> Option<Offset> {
        let watermark = self.tracker.watermark();
        (watermark < self.tracker.next()).then_some(watermark)
    }

    fn settle(&mut self, offset: Offset, how: Settled, entered: &mut Entered) {
        let fresh = self.tracker.complete(offset);
        let (left, ended) = match how {
            Settled::Acked => (&mut self.ledger.in_flight, &mut self.ledger.acked),
            Settled::DeadLettered => (&mut self.ledger.in_flight, &mut self.ledger.dead_lettered),
            Settled::Deferred => (&mut self.ledger.in_flight, &mut self.ledger.deferred),
            Settled::Vanished => (&mut self.ledger.parked, &mut self.ledger.vanished),
        };
        *left = left.wrapping_sub(1);
        // What the tracker did not know is not counted as settled, so that it shows as an imbalance.
        *ended += u64::from(fresh);
        self.dirty |= fresh;
        self.uncommitted += u64::from(fresh);
        match how {
            Settled::Acked => entered.acked += u64::from(fresh),
            Settled::DeadLettered => entered.dead_lettered += u64::from(fresh),
            Settled::Deferred => entered.deferred += u64::from(fresh),
            Settled::Vanished => entered.vanished += u64::from(fresh),
        }
    }

    fn move_between(&mut self, delta: &mut Delta) {
        self.queue.add(std::mem::take(&mut delta.queue));
        self.parked.add(std::mem::take(&mut delta.parked));
        self.unread += std::mem::take(&mut delta.unread);
        self.parked_keys += std::mem::take(&mut delta.parked_keys);
        self.busy += std::mem::take(&mut delta.busy);
        self.cancelled += std::mem::take(&mut delta.cancelled);
        let moved = std::mem::take(&mut delta.to_parked);
        self.ledger.parked = self.ledger.parked.wrapping_add_signed(moved);
        self.ledger.in_flight = self.ledger.in_flight.wrapping_add_signed(-moved);
    }

    fn alarm_rings(&mut self) -> bool {
        let room = self
            .alarm
            .room_at
            .is_some_and(|low| self.queue.records <= low.records && self.queue.bytes <= low.bytes);
        if room {
            self.alarm.room_at = None;
        }
        room || (self.alarm.idle && self.busy <= 0)
    }

    /// Whether every one of `workers` knows of the revocation and nothing is busy any more.
    pub(crate) fn is_idle(&self, workers: usize) -> bool {
        self.revoke_heard >= workers && self.busy <= 0
    }
}

/// What a record weighs in the budgets. At least one byte, so that empty records are not free.
pub(crate) fn weight(fetched: &Fetched) -> usize {
    fetched.record.weight().max(1)
}
