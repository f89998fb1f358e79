//! The producer's one task: it owns the lanes and the spill, and does what [`route`](crate::route) decides.
//!
//! A record waits in the lane of its key. A lane has one call on its way at a time, so a key's calls follow each
//! other. A record goes to the disk from the front of its lane, into one queue for all lanes. Batches of that queue follow
//! each other, or come back together, so the disk's order is each key's order. From then until it is delivered its key is
//! counted in [`Keys`](crate::spill::keys::Keys), and later records of the key follow it to the disk.

mod append;
mod call;
mod disk;
mod expire;
mod hang;
mod hold;
mod lane;
mod park;
mod replay;
mod settle;
mod show;
mod underway;

use crate::inbox::{Closing, Entry, Look};
use crate::producer::Shared;
use crate::route::{Disk as DiskState, Facts, Machine, Route, Selector};
use crate::sink::BoxFuture;
use crate::spill::Spill;
use crate::spill::scan::Found;
use disk::Backlog;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lane::{Answers, Lane};
use seawall_core::{Fault, Nanos};
use seawall_wal::{Appended, Disk, Frames, WalError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The longest the pump sleeps: what it shows is never older.
const TICK: Duration = Duration::from_secs(1);
/// The shortest: timers that are due together are done together.
const REST: Duration = Duration::from_millis(1);

/// Something that was under way has ended.
enum Done {
    Call { lane: usize, answers: Answers },
    Appended(u64, Result<Appended, WalError>),
    Read(Result<Frames, WalError>),
    Truncated(Result<u64, WalError>),
    Probed(hold::Probe, Answers),
    Parked(park::Parking, Result<(), Fault>),
    ParkAgain(park::Parking),
}

/// The producer is closing.
struct Ending {
    /// How long the sinks have.
    until: Nanos,
    /// Who waits for the end.
    told: Vec<oneshot::Sender<()>>,
}

/// However the pump ends, by a panic too, nobody waits for it any more.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.inbox.end();
    }
}

pub(crate) struct Pump<D: Disk> {
    shared: Arc<Shared>,
    selector: Selector,
    machine: Machine,
    lanes: Vec<Lane>,
    /// Where the next record without a key goes.
    keyless: usize,
    backlog: Option<Backlog<D>>,
    work: FuturesUnordered<BoxFuture<Done>>,
    /// Room to be given back: bytes, records.
    freed: (usize, usize),
    closing: Option<Ending>,
    _ended: Ended,
    /// When to look again, at the latest.
    wake_at: Nanos,
    shown: show::Shown,
    /// The lane that is looked at first.
    first: usize,
    /// Whole calls that failed in a row.
    failed: u32,
    /// When the first of them did.
    failed_since: Nanos,
}

impl<D: Disk> Pump<D> {
    pub(crate) fn new(shared: Arc<Shared>, selector: Selector, spill: Option<(Spill<D>, Found)>) -> Self {
        let now = shared.clock.now();
        let lane = || Lane::new(shared.options.patience);
        let lanes = std::iter::repeat_with(lane).take(shared.options.lanes).collect();
        let replay = &shared.options.replay;
        let backlog = spill.map(|(spill, found)| Backlog::new(spill, found, replay, now));
        let mut pump = Self {
            _ended: Ended(Arc::clone(&shared)),
            shared,
            selector,
            machine: Machine::new(now),
            lanes,
            keyless: 0,
            backlog,
            work: FuturesUnordered::new(),
            freed: (0, 0),
            closing: None,
            wake_at: now,
            shown: show::Shown::default(),
            first: 0,
            failed: 0,
            failed_since: now,
        };
        pump.show_found();
        pump.show(now);
        pump
    }

    pub(crate) async fn run(mut self) {
        let mut look = Look::default();
        loop {
            self.shared.inbox.take(&mut look);
            let now = self.shared.clock.now();
            self.wake_at = now.plus(TICK);
            if !self.append_whole(&mut look.entries, now) {
                for entry in look.entries.drain() {
                    self.take(entry);
                }
            }
            if look.closed {
                self.close(now, std::mem::take(&mut look.closing));
            }
            self.turn(now);
            if self.closing.is_some() && self.is_finished() {
                break;
            }
            self.give_back();
            self.show(now);
            let rest = self.wake_at.since(now).max(REST);
            tokio::select! {
                biased;
                Some(done) = self.work.next() => self.done(done),
                () = self.shared.inbox.filled(look.closed) => {}
                () = tokio::time::sleep(rest) => {}
            }
            // What ended together is dealt with together.
            while let Some(Some(done)) = futures_util::FutureExt::now_or_never(self.work.next()) {
                self.done(done);
            }
        }
        self.end().await;
    }

    /// One look at everything.
    fn turn(&mut self, now: Nanos) {
        self.expire(now);
        self.watch_disk(now);
        for nth in 0..self.lanes.len() {
            self.dispatch((self.first + nth) % self.lanes.len(), now);
        }
        self.probe_held(now);
        self.read_on(now);
        self.append(now);
        let facts = self.facts(now, false);
        if let Some(from) = self.machine.observe(now, &facts) {
            self.show_state(from);
        }
    }

    fn take(&mut self, entry: Entry) {
        let lanes = self.lanes.len();
        let lane = entry.duty.bucket.lane(lanes).unwrap_or_else(|| {
            self.keyless = (self.keyless + 1) % lanes;
            self.keyless
        });
        self.lanes[lane].push(entry);
    }

    fn done(&mut self, done: Done) {
        let now = self.shared.clock.now();
        match done {
            Done::Call { lane, answers } => self.answered(lane, answers, now),
            Done::Appended(number, appended) => self.appended(number, appended, now),
            Done::Read(read) => self.read(read, now),
            Done::Truncated(truncated) => self.truncated(truncated),
            Done::Probed(probe, answers) => self.probed(probe, answers, now),
            Done::Parked(parking, done) => self.parked(parking, done, now),
            Done::ParkAgain(parking) => self.park_again(parking),
        }
    }

    fn facts(&self, now: Nanos, demand: bool) -> Facts {
        let (used, _) = self.shared.budget.used();
        let options = &self.shared.options;
        Facts {
            up: self.selector.is_up(now)
                && !self.lanes.iter().any(|lane| lane.flight.as_ref().is_some_and(|flight| flight.stalled)),
            gone: self.selector.is_gone(now),
            pressure: used.saturating_sub(self.freed.0) as f64
                >= options.pressure * options.memory_bytes_max as f64,
            demand,
            disk: self.backlog.as_ref().map_or(DiskState::None, |backlog| backlog.state(now)),
            backlog: self.backlog.as_ref().map_or(0, Backlog::outstanding),
        }
    }

    /// Looks again at `at`, or earlier.
    fn wake(&mut self, at: Nanos) {
        self.wake_at = self.wake_at.min(at);
    }

    /// Where a lane's live records go that cannot be sent now.
    fn settle_waiting(&mut self, lane: usize, now: Nanos) {
        if self.lanes[lane].live.is_empty() {
            return;
        }
        let synced = |entry: &Entry| entry.duty.asked == seawall_core::Durability::Synced;
        let demand = self.lanes[lane].live.iter().any(synced);
        if self.facts(now, demand).route() == Route::Spill {
            self.spill_lane(lane);
        }
    }

    /// All of a lane's live records go to the disk, in order.
    fn spill_lane(&mut self, lane: usize) {
        let Some(backlog) = &mut self.backlog else { return };
        while let Some(entry) = self.lanes[lane].pop() {
            backlog.enqueue(entry);
        }
    }

    fn free(&mut self, bytes: usize, records: usize) {
        self.freed.0 += bytes;
        self.freed.1 += records;
    }

    fn give_back(&mut self) {
        let (bytes, records) = std::mem::take(&mut self.freed);
        self.shared.budget.free(bytes, records);
    }

    /// Closes within what the most impatient of `wishes` gives, all of whom are told at the end; where the producer was
    /// only dropped, within the records' timeout.
    fn close(&mut self, now: Nanos, wishes: Vec<Closing>) {
        if self.closing.is_some() && wishes.is_empty() {
            return;
        }
        let within = wishes.iter().map(|wish| wish.within).min().unwrap_or(self.shared.options.timeout);
        let ending = self.closing.get_or_insert(Ending { until: Nanos(u64::MAX), told: Vec::new() });
        ending.until = ending.until.min(now.plus(within));
        ending.told.extend(wishes.into_iter().map(|wish| wish.done));
    }

    /// Whether nothing is left to do, or nothing more can be done.
    fn is_finished(&mut self) -> bool {
        let now = self.shared.clock.now();
        let waiting = self.backlog.as_ref().is_some_and(Backlog::has_queue);
        if !waiting && self.lanes.iter().all(Lane::is_idle) {
            return true;
        }
        let Some(Ending { until, .. }) = self.closing else { return false };
        if now < until {
            self.wake(until);
            return false;
        }
        // The sinks had their time: the rest goes to the disk.
        for lane in 0..self.lanes.len() {
            self.stall(lane);
            self.spill_lane(lane);
        }
        let disk_until = self.disk_until(until);
        let Some(backlog) = self.backlog.as_ref().filter(|backlog| backlog.has_queue() && now < disk_until)
        else {
            return true;
        };
        if backlog.is_usable(now) {
            self.append(now);
            self.wake(disk_until);
        } else {
            // A disk that refused once may take the rest the next time.
            let again = backlog.retry_at.min(disk_until);
            self.wake(again);
        }
        false
    }

    /// How long the disk has, where the sinks had until `until`: every caller's time is over by then.
    fn disk_until(&self, until: Nanos) -> Nanos {
        until.plus(self.shared.options.timeout)
    }

    /// Answers what is left, closes the spill, and tells whoever waits.
    async fn end(mut self) {
        self.work.clear();
        self.abandon_all();
        self.give_back();
        if let Some(mut backlog) = self.backlog.take() {
            let now = self.shared.clock.now();
            let until = self.closing.as_ref().map_or(now, |ending| self.disk_until(ending.until));
            if tokio::time::timeout(until.since(now), backlog.close()).await.is_err() {
                tracing::warn!(
                    "the spill's disk answers nothing: the spill is not closed, and locked until it does"
                );
            }
        }
        for told in self.closing.take().into_iter().flat_map(|ending| ending.told) {
            let _ = told.send(());
        }
    }
}
