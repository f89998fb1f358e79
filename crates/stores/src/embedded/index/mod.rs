//! What the store knows, in memory: the machine's slots, kept small.
//!
//! Live claims and the attempt counts of given-up ones are few and stand in a map; completions are many and stand
//! in a ring ([`done`]). All times here are uptime (see [`super::frame`]).

mod done;
mod live;

pub(super) use done::Remembered;

use super::frame::{Claimed, Done};
use super::key::Key;
use super::options::EmbeddedOptions;
use bytes::Bytes;
use done::DoneRing;
use live::LiveTable;
use seawall_core::{Fence, Nanos};
use seawall_idempotency::claim::{Fenced, Slot};
use seawall_idempotency::{Claim, OwnerId, State, StoreError, StoreStats};
use std::collections::BTreeSet;
use std::time::Duration;

/// Completions forgotten for each request when they are due, so that no request pays for all.
const DUE_MAX: usize = 64;
/// How long a claim that is just being completed is said to be held, at least.
const COMPLETING_HELD: Duration = Duration::from_millis(10);

/// The fences of the epoch in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fences {
    pub(super) epoch: u32,
    used: u32,
    max: u32,
}

impl Fences {
    pub(super) fn new(epoch: u32, max: u32) -> Self {
        Self { epoch, used: 0, max }
    }

    fn take(&mut self) -> Option<Fence> {
        if self.used >= self.max {
            return None;
        }
        self.used += 1;
        Some(Fence(u64::from(self.epoch) << 32 | u64::from(self.used)))
    }

    /// Whether it is time to make the next epoch durable.
    pub(super) fn run_low(&self) -> bool {
        self.used > self.max / 2
    }
}

/// Why no fence could be offered.
#[derive(Debug, thiserror::Error)]
#[error("the fences of this epoch are used up and the next epoch is not on disk yet")]
struct FencesUsed;

/// What a completion needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is durable already.
    Already,
    /// It is to be written, then finished.
    Write,
}

#[derive(Debug)]
pub(super) struct Index {
    live: LiveTable,
    done: DoneRing,
    pub(super) fences: Fences,
    retention: Duration,
    done_max: usize,
    result_bytes_total_max: u64,
    stats: StoreStats,
    /// Batches of completions that are on their way to the disk.
    pending: BTreeSet<u64>,
    next_batch: u64,
}

impl Index {
    pub(super) fn new(options: &EmbeddedOptions) -> Self {
        Self {
            live: LiveTable::new(options.claims_max as usize, options.retention),
            done: DoneRing::default(),
            fences: Fences::new(0, 0),
            retention: options.retention,
            done_max: options.done_max as usize,
            result_bytes_total_max: options.result_bytes_total_max,
            stats: StoreStats::default(),
            pending: BTreeSet::new(),
            next_batch: 0,
        }
    }

    pub(super) fn claim(
        &mut self,
        key: Key,
        owner: OwnerId,
        lease: Duration,
        now: Nanos,
    ) -> Result<Claim, StoreError> {
        self.forget_due(now);
        let slot = match self.live.get(key) {
            Some(live) if live.completing > 0 => {
                self.stats.held_total += 1;
                return Ok(Claim::Held { remaining: remaining(&live.slot, now).max(COMPLETING_HELD) });
            }
            Some(live) => live.slot.clone(),
            None => self.done_slot(key).unwrap_or_default(),
        };
        let free = slot.is_free(now);
        if free && !self.live.has_room(key) {
            return Err(self.live.full());
        }
        let offer = if free {
            self.fences.take().ok_or_else(|| StoreError::unavailable(FencesUsed))?
        } else {
            Fence(0)
        };
        let was_claimed = matches!(slot, Slot::Claimed { .. });
        let (slot, answer) = slot.claim(owner, lease, offer, now);
        match &answer {
            Claim::Granted { .. } => {
                self.done.remove(key);
                self.live.put(key, slot, now);
                self.stats.granted_total += 1;
                self.stats.claimed += u64::from(!was_claimed);
            }
            Claim::Held { .. } => self.stats.held_total += 1,
            Claim::Done { .. } => self.stats.done_total += 1,
        }
        Ok(answer)
    }

    /// Takes grants back that could not be written down: as if they had never been asked for.
    pub(super) fn ungrant(&mut self, grants: &[Claimed], now: Nanos) {
        for grant in grants {
            let Some(live) = self.live.get_mut(grant.key) else { continue };
            if matches!(live.slot, Slot::Claimed { fence, .. } if fence == grant.fence)
                && live.completing == 0
            {
                live.slot = Slot::Absent { attempts: grant.attempt.saturating_sub(1), fence: grant.fence };
                live.idle_since = now;
                self.stats.claimed -= 1;
                self.stats.granted_total -= 1;
            }
        }
    }

    /// Checks a completion, and holds its claim until [`Index::finish`].
    pub(super) fn begin(
        &mut self,
        key: Key,
        owner: OwnerId,
        fence: Fence,
        now: Nanos,
    ) -> Result<Begun, StoreError> {
        let empty = Bytes::new();
        if let Some(live) = self.live.get_mut(key) {
            let (_, answer) = live.slot.clone().complete(owner, fence, empty, now, self.retention);
            if answer.is_ok() {
                live.completing += 1;
            }
            return self.answer(fence, answer).map(|()| Begun::Write);
        }
        let slot = self.done_slot(key).unwrap_or_default();
        let (_, answer) = slot.complete(owner, fence, empty, now, self.retention);
        self.answer(fence, answer).map(|()| Begun::Already)
    }

    /// Ends what [`Index::begin`] began: the entry is durable, or it is not known to be.
    pub(super) fn finish(&mut self, entry: Done<&[u8]>, durable: bool) {
        let Done { key, fence, at, result } = entry;
        let Some(live) = self.live.get_mut(key).filter(|live| live.slot.fence() == fence) else { return };
        live.completing = live.completing.saturating_sub(1);
        if durable {
            self.stats.claimed -= u64::from(matches!(live.slot, Slot::Claimed { .. }));
            self.live.remove(key);
            self.remember(Remembered { key, fence, at, result: result.into() });
        }
    }

    pub(super) fn release(
        &mut self,
        key: Key,
        owner: OwnerId,
        fence: Fence,
        now: Nanos,
    ) -> Result<(), StoreError> {
        self.change(key, fence, now, |slot| slot.release(owner, fence))
    }

    pub(super) fn renew(
        &mut self,
        key: Key,
        owner: OwnerId,
        fence: Fence,
        lease: Duration,
        now: Nanos,
    ) -> Result<(), StoreError> {
        self.change(key, fence, now, |slot| slot.renew(owner, fence, lease, now))
    }

    pub(super) fn view(&self, key: Key, now: Nanos) -> State {
        match self.live.get(key) {
            Some(live) => live.slot.view(now),
            None => self.done_slot(key).unwrap_or_default().view(now),
        }
    }

    /// Takes a claim over from an earlier process: void, but counted.
    pub(super) fn replay_claim(&mut self, claim: Claimed, now: Nanos) {
        let Claimed { key, fence, attempt } = claim;
        let known = self.live.get(key).map(|live| live.slot.fence());
        if known.or(self.done.get(key).map(|done| done.fence)).is_some_and(|known| known >= fence) {
            return;
        }
        self.done.remove(key);
        if self.live.has_room(key) {
            self.live.put(key, Slot::Absent { attempts: attempt, fence }, now);
        }
    }

    /// Takes a completion over from an earlier process, or from before a snapshot.
    pub(super) fn replay_done(&mut self, entry: Done<&[u8]>) {
        let Done { key, fence, at, result } = entry;
        if self.live.get(key).is_some_and(|live| live.slot.fence() > fence)
            || self.done.get(key).is_some_and(|done| done.fence >= fence)
        {
            return;
        }
        self.live.remove(key);
        self.done.remove(key);
        self.done.push(Remembered { key, fence, at, result: result.into() });
    }

    /// The log was read to its end: forgets what the process before had forgotten too.
    pub(super) fn replayed(&mut self, now: Nanos) {
        self.done.sort();
        while self.done.oldest().is_some_and(|at| at.plus(self.retention) <= now) {
            self.done.pop();
        }
        self.keep_bounds();
        self.stats.forgotten_early_total = 0;
    }

    pub(super) fn stats(&self) -> StoreStats {
        StoreStats { done: self.done.len() as u64, ..self.stats }
    }

    /// Begins a batch of completions.
    pub(super) fn batch_begins(&mut self) -> u64 {
        self.next_batch += 1;
        self.pending.insert(self.next_batch);
        self.next_batch
    }

    pub(super) fn batch_ends(&mut self, batch: u64) {
        self.pending.remove(&batch);
    }

    /// The number of the latest batch.
    pub(super) fn last_batch(&self) -> u64 {
        self.next_batch
    }

    /// Whether every batch up to `batch` has ended.
    pub(super) fn ended(&self, batch: u64) -> bool {
        self.pending.first().is_none_or(|first| *first > batch)
    }

    /// The places of the completions in the ring, for a snapshot.
    pub(super) fn places(&self) -> (u64, u64) {
        self.done.places()
    }

    /// A stretch of the completions, as it is logged.
    pub(super) fn done_entries(&self, from: u64, to: u64) -> Vec<Done<Box<[u8]>>> {
        self.done.entries(from, to).collect()
    }

    /// The claims, live and given up, as they are logged.
    pub(super) fn claim_entries(&self) -> Vec<Claimed> {
        self.live.entries()
    }

    /// What a snapshot would take in bytes, about.
    pub(super) fn snapshot_bytes(&self) -> u64 {
        self.done.len() as u64 * super::frame::DONE_BYTES
            + self.done.result_bytes()
            + self.live.len() as u64 * super::frame::CLAIM_BYTES
    }

    /// Forgets some of what is past its retention.
    pub(super) fn forget_due(&mut self, now: Nanos) {
        for _ in 0..DUE_MAX {
            match self.done.oldest() {
                Some(at) if at.plus(self.retention) <= now => self.done.pop(),
                _ => break,
            };
        }
        self.stats.claimed -= self.live.forget_due(now);
    }

    fn change(
        &mut self,
        key: Key,
        fence: Fence,
        now: Nanos,
        rule: impl FnOnce(Slot) -> (Slot, Result<(), Fenced>),
    ) -> Result<(), StoreError> {
        let answer = if let Some(live) = self.live.get_mut(key) {
            let was_claimed = matches!(live.slot, Slot::Claimed { .. });
            let (slot, answer) = rule(std::mem::take(&mut live.slot));
            live.slot = slot;
            if was_claimed && !matches!(live.slot, Slot::Claimed { .. }) {
                live.idle_since = now;
                self.stats.claimed -= 1;
            }
            answer
        } else {
            rule(self.done_slot(key).unwrap_or_default()).1
        };
        self.answer(fence, answer)
    }

    fn answer(&mut self, ours: Fence, answer: Result<(), Fenced>) -> Result<(), StoreError> {
        answer.map_err(|Fenced { current }| {
            self.stats.fenced_total += 1;
            StoreError::Fenced { ours, current }
        })
    }

    fn done_slot(&self, key: Key) -> Option<Slot> {
        let Remembered { fence, at, result, .. } = self.done.get(key)?;
        let until = at.plus(self.retention);
        Some(Slot::Done { fence: *fence, until, result: Bytes::copy_from_slice(result) })
    }

    fn remember(&mut self, entry: Remembered) {
        self.done.remove(entry.key);
        self.done.push(entry);
        self.keep_bounds();
    }

    fn keep_bounds(&mut self) {
        while self.done.len() > self.done_max || self.done.result_bytes() > self.result_bytes_total_max {
            self.stats.forgotten_early_total += u64::from(self.done.pop());
        }
    }
}

fn remaining(slot: &Slot, now: Nanos) -> Duration {
    match slot {
        Slot::Claimed { expires, .. } => expires.since(now),
        _ => Duration::ZERO,
    }
}
