//! A worker: one task that owns a part of the lanes and runs their handlers.
//!
//! A lane belongs to one worker, by the hash of its key, so no lane is ever locked. A worker runs its handlers
//! itself, as futures in one set: no task is spawned for a record, and a handler that answers on its first
//! poll never leaves the stack of the loop that started it. What a turn of the loop did is entered into the
//! partitions' books at its end, in one go.
//!
//! A turn: take what arrived, wake the lanes whose back-off has ended, start what the guard lets through
//! ([`start`]), settle what has finished ([`settle`]), say so. Between turns the worker waits for whichever of
//! these has something new.

mod attempt;
mod away;
mod lane;
mod lanes;
pub(crate) mod panics;
mod ready;
mod seldom;
mod settle;
mod silence;
mod start;
mod unread;

pub use attempt::TimedOut;
pub use panics::Panicked;

use crate::options::{Limits, Ordering};
use crate::outlet::Outlet;
use crate::partition::{Load, Partition};
use crate::shared::{Shared, count};
use crate::stats::latency::Tally;
use crate::watch::board::Board;
use attempt::Attempted;
use away::Away;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use lane::Item;
use lanes::{Lanes, Reread, Share};
use ready::Lone;
use seawall_core::{Cancel, Delivery, Fetched, Handler, Nanos, Offset};
use seawall_guard::{Guard, Permits, RetryBudget};
use seawall_idempotency::{DynStore, Keeper, Kept, OwnerId, Release};
use settle::Acked;
use start::Run;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

pub(crate) use lane::LaneKey;
pub(crate) use lanes::scatter;

/// Records started in one turn at most, so that what they did is entered soon.
const TURN: usize = 256;
/// Messages taken in one turn at most.
const MESSAGES: usize = 16;
/// How often a worker that was refused a permit asks again, should nobody tell it before.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// What the fetch loop tells a worker. The channel needs no bound of its own: the books bound what is in it.
#[derive(Debug)]
pub(crate) enum Message {
    /// Freshly fetched records of this worker's lanes, with the hashes of their keys, in order.
    Records { partition: Arc<Partition>, records: Vec<(u64, Fetched)> },
    /// Records read again, and from where to where nothing else is left.
    Reread { slot: u32, from: Offset, to: Offset, records: Vec<(u64, Fetched)> },
    /// The partition is being given up: start nothing more, finish what runs.
    Revoke(Arc<Partition>),
    /// Cancel what runs, too.
    Cancel(u32),
    /// Stop at once.
    Stop,
}

/// Why nothing more is started at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocked {
    No,
    /// Until a permit comes back, or this moment at the latest.
    ForPermit(Nanos),
    /// Until this moment.
    Until(Nanos),
}

/// What a worker is made of, besides its type parameters.
pub(crate) struct Parts {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: UnboundedReceiver<Message>,
    pub(crate) guard: Guard,
    pub(crate) claims: Option<Claims>,
    pub(crate) outlet: Outlet,
    pub(crate) seed: u64,
}

/// Where claims are kept, and who keeps them alive.
#[derive(Clone)]
pub(crate) struct Claims {
    pub(crate) store: DynStore,
    pub(crate) keeper: Keeper,
    pub(crate) owner: OwnerId,
}

/// An attempt that did not end on its first poll.
struct Pending<F> {
    attempt: Pin<Box<Option<F>>>,
    run: Option<Run>,
    permit: Permits,
    /// Keeps the claim renewed.
    _kept: Option<Kept>,
    id: u64,
    board: Arc<Board>,
}

/// A pending attempt that ended.
struct Late<H> {
    attempted: Attempted<H>,
    run: Run,
    permit: Permits,
    id: u64,
}

impl<H, F: Future<Output = Attempted<H>>> Future for Pending<F> {
    type Output = Late<H>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Late<H>> {
        let Self { attempt, run: Some(run), board, .. } = &mut *self else { return Poll::Pending };
        let Some(attempt) = attempt.as_mut().as_pin_mut() else { return Poll::Pending };
        board.enter(run.key, run.offset, run.started);
        let polled = attempt.poll(cx);
        board.leave();
        let Poll::Ready(attempted) = polled else { return Poll::Pending };
        self.attempt.set(None);
        let permit = self.permit.split(u32::MAX);
        match self.run.take() {
            Some(run) => Poll::Ready(Late { attempted, run, permit, id: self.id }),
            None => Poll::Pending,
        }
    }
}

/// Something that was asked of a store or a sink, and its answer.
type Operation = Pin<Box<dyn Future<Output = settle::Answer> + Send>>;

/// What the last attempt left for the next one. All of it is counted by reference, and counting costs more than
/// what else is done for a record whose handler answers at once.
struct Spare<H, F> {
    /// An empty place, so that an attempt that answers at once allocates nothing.
    place: Option<Pin<Box<Option<F>>>>,
    handler: Option<Arc<H>>,
    /// A cancellation that nobody looked at: for the delivery, and for whoever cancels it.
    cancel: Option<(Cancel, Cancel)>,
}

/// One worker. `M` makes the attempt at a delivery, `F` is that attempt, by the handler `H`.
pub(crate) struct Worker<H, M, F> {
    parts: Parts,
    handler: Arc<H>,
    make: M,
    limits: Limits,
    limits_version: u64,
    lanes: Lanes,
    running: FuturesUnordered<Pending<F>>,
    spare: Spare<H, F>,
    /// What runs, for those who look and for cancelling it.
    board: Arc<Board>,
    runs: u64,
    operations: FuturesUnordered<Operation>,
    timers: BinaryHeap<Reverse<(Nanos, LaneKey)>>,
    blocked: Blocked,
    acked: Vec<Acked>,
    away: Vec<Away>,
    releases: Vec<Release>,
    tally: Tally,
    told: seldom::Told,
    budget: Option<RetryBudget>,
    rng: fastrand::Rng,
    now: Nanos,
    retried: u64,
    stopped: bool,
}

impl<H, M, F> Worker<H, M, F>
where
    M: Fn(Arc<H>, Delivery, Option<Duration>) -> F,
    F: Future<Output = Attempted<H>>,
{
    pub(crate) fn new(parts: Parts, handler: Arc<H>, make: M) -> Self {
        let limits = parts.shared.limits();
        let rng = fastrand::Rng::with_seed(parts.seed.wrapping_add(parts.index as u64));
        Self {
            limits_version: parts.shared.limits_version(),
            now: parts.shared.now(),
            budget: budget(&limits, parts.shared.options.workers),
            board: Arc::clone(&parts.shared.boards[parts.index]),
            parts,
            handler,
            make,
            limits,
            lanes: Lanes::default(),
            running: FuturesUnordered::new(),
            spare: Spare { place: None, handler: None, cancel: None },
            runs: 0,
            operations: FuturesUnordered::new(),
            timers: BinaryHeap::new(),
            blocked: Blocked::No,
            acked: Vec::new(),
            away: Vec::new(),
            releases: Vec::new(),
            tally: Tally::new(),
            told: seldom::Told::default(),
            rng,
            retried: 0,
            stopped: false,
        }
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self) {
        let mut messages = Vec::with_capacity(MESSAGES);
        while !self.stopped {
            self.turn();
            if self.could_start() || !self.parts.inbox.is_empty() {
                tokio::task::yield_now().await;
                while messages.len() < MESSAGES
                    && let Ok(message) = self.parts.inbox.try_recv()
                {
                    messages.push(message);
                }
            } else {
                self.wait(&mut messages).await;
            }
            self.now = self.parts.shared.now();
            for message in messages.drain(..) {
                self.hear(message);
            }
        }
    }

    /// Waits for something to do.
    async fn wait(&mut self, messages: &mut Vec<Message>) {
        let due = self.next_due().map(|at| at.since(self.parts.shared.now()));
        let Self { parts, running, operations, .. } = self;
        let bell = &parts.shared.turns.bells[parts.index];
        let mut late = None;
        let mut answer = None;
        tokio::select! {
            biased;
            heard = parts.inbox.recv_many(messages, MESSAGES) => self.stopped |= heard == 0,
            done = running.next(), if !running.is_empty() => late = done,
            done = operations.next(), if !operations.is_empty() => answer = done,
            () = bell.notified() => {
                if matches!(self.blocked, Blocked::ForPermit(_)) {
                    self.blocked = Blocked::No;
                }
            }
            () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {}
        }
        self.now = self.parts.shared.now();
        if let Some(late) = late {
            self.came_late(late);
        }
        if let Some(answer) = answer {
            self.answered(answer);
        }
    }

    /// One turn, without waiting.
    fn turn(&mut self) {
        self.now = self.parts.shared.now();
        if self.limits_version != self.parts.shared.limits_version() {
            self.limits_version = self.parts.shared.limits_version();
            self.limits = self.parts.shared.limits();
            self.budget = budget(&self.limits, self.parts.shared.options.workers);
            self.ask_anew();
        }
        self.wake_parked();
        for _ in 0..TURN {
            let Some(Some(late)) = self.running.next().now_or_never() else { break };
            self.came_late(late);
        }
        let mut left = TURN;
        loop {
            while let Some(Some(answer)) = self.operations.next().now_or_never() {
                self.answered(answer);
            }
            let started = self.start(left);
            left = left.saturating_sub(started.max(1));
            self.submit();
            if started == 0 || left == 0 {
                break;
            }
        }
        self.enter();
    }

    /// What the guard said under other limits counts no more. Each worker forgets it for all: one may have been
    /// writing it down while the limits changed.
    fn ask_anew(&mut self) {
        self.blocked = Blocked::No;
        if self.parts.shared.broken_until.swap(0, Relaxed) > 0 {
            self.parts.shared.bell.ring();
        }
    }

    fn could_start(&self) -> bool {
        self.lanes.ready_len() > 0 && self.blocked == Blocked::No
    }

    /// When this worker has something to do by the clock alone.
    fn next_due(&self) -> Option<Nanos> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let blocked = match self.blocked {
            Blocked::ForPermit(at) | Blocked::Until(at) if self.lanes.ready_len() > 0 => Some(at),
            _ => None,
        };
        match (timer, blocked) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Records { partition, records } => {
                self.lanes.open(&partition);
                if self.is_retry_topic(&partition) {
                    return self.take_back(partition.slot, records);
                }
                let share = self.share();
                for (hash, Fetched { offset, record }) in records {
                    self.lanes.accept(partition.slot, hash, Item::new(offset, record), &share);
                }
            }
            Message::Reread { slot, from, to, records } => {
                let items =
                    records.into_iter().map(|(hash, f)| (hash, Item::new(f.offset, f.record))).collect();
                let share = self.share();
                self.lanes.reread(slot, Reread { from, to, items }, &share);
            }
            Message::Revoke(partition) => {
                self.lanes.open(&partition).delta.revoke_heard = true;
                self.lanes.close(partition.slot);
            }
            Message::Cancel(slot) => {
                self.lanes.close(slot);
                self.board.cancel(slot);
            }
            Message::Stop => self.stopped = true,
        }
    }

    /// This worker's part of a partition's memory.
    fn share(&self) -> Share {
        let workers = self.parts.shared.options.workers;
        let part = |records: usize, bytes: usize| Load {
            records: (records / workers) as i64,
            bytes: (bytes / workers) as i64,
        };
        let (queue, retry) = (&self.limits.queue, &self.limits.retry);
        Share {
            parked: part(retry.parked_records, retry.parked_bytes),
            queue: part(queue.records, queue.bytes),
            overflow: self.parts.shared.options.ordering == Ordering::Key,
            lone: match self.parts.shared.options.ordering {
                Ordering::Partition => Lone::Never,
                Ordering::Key => Lone::Keyless,
                Ordering::Unordered => Lone::Always,
            },
        }
    }

    /// Readies the lanes whose back-off has ended, as far as the retry budget allows.
    fn wake_parked(&mut self) {
        while let Some(Reverse((at, key))) = self.timers.peek().copied()
            && at <= self.now
        {
            self.timers.pop();
            let afford = |budget: &mut RetryBudget| budget.withdraw(self.now);
            if self.lanes.is_retry(key, at) && !self.budget.as_mut().is_none_or(afford) {
                let later = self.now.plus(self.limits.retry.base);
                if self.lanes.postpone(key, at, later) {
                    self.timers.push(Reverse((later, key)));
                }
                continue;
            }
            self.lanes.unpark(key, at);
        }
    }

    fn park(&mut self, key: LaneKey, item: Item, wait: Duration) {
        let until = self.now.plus(wait);
        let share = self.share();
        self.lanes.park(key, item, until, &share);
        self.timers.push(Reverse((until, key)));
    }

    /// Enters what was done into the books.
    fn enter(&mut self) {
        let shared = &self.parts.shared;
        let mut wake = false;
        for slot in self.lanes.slots() {
            self.lanes.refresh_want(slot);
            let Some(part) = self.lanes.part(slot) else { continue };
            if !part.delta.is_empty() {
                let entered = part.partition.enter(self.parts.index, &mut part.delta, self.now);
                count(&shared.totals.acked, entered.acked);
                count(&shared.totals.dead_lettered, entered.dead_lettered);
                count(&shared.totals.deferred, entered.deferred);
                count(&shared.totals.late, entered.late);
                count(&shared.totals.vanished, entered.vanished);
                if entered.vanished > 0 {
                    tracing::error!(
                        partition = %part.origin,
                        records = entered.vanished,
                        "records that waited behind a failed one are gone from the source: its retention is \
                         shorter than the retry lasts"
                    );
                }
                wake |= entered.wake;
            }
            if part.closed && part.out == 0 {
                self.lanes.forget(slot);
            }
        }
        count(&shared.totals.retried, std::mem::take(&mut self.retried));
        shared.latency.drain(&mut self.tally, self.now);
        let (parked, busy, overflowed) = self.lanes.counts();
        let gauges = &shared.gauges[self.parts.index];
        gauges.ready.store(self.lanes.ready_len() as u64, Relaxed);
        gauges.parked.store(parked, Relaxed);
        gauges.busy.store(busy, Relaxed);
        gauges.overflowed.store(overflowed, Relaxed);
        gauges.handlers.store(self.running.len() as u64, Relaxed);
        if wake {
            shared.bell.ring();
        }
    }
}

/// A worker's share of the pipeline's budget. What is allowed without any success rounds up, so that every worker
/// can retry at all.
fn budget(limits: &Limits, workers: usize) -> Option<RetryBudget> {
    let mut options = limits.retry.budget?;
    options.per_second_min =
        options.per_second_min.div_ceil(u32::try_from(workers).unwrap_or(u32::MAX).max(1));
    // The options were checked when they came in.
    RetryBudget::new(options).ok()
}

/// A worker that calls `handler`, as a future to be spawned.
pub(crate) fn work<H: Handler>(parts: Parts, handler: Arc<H>) -> impl Future<Output = ()> + Send {
    // One count of references for each worker: it changes with every record, and a count that two processors
    // change is slow for both.
    Worker::new(parts, Arc::new(handler), attempt::attempt).run()
}
