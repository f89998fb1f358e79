//! One part of the table, under one lock.
//!
//! Entries live in a slab; the table and the queues hold indices. An item of the done queue names an entry by
//! index and fence: fences never repeat, so an item whose entry has since moved on simply no longer matches.
//! A token that is given up again and again keeps one item in its queue, which goes to the end when its turn
//! comes too early: otherwise a few failing tokens would fill the queue for a whole retention.

use super::ledger::{Ledger, Step};
use crate::claim::{Claim, ClaimRequest, Fenced, Slot, State};
use crate::store::StoreError;
use hashbrown::HashTable;
use seawall_core::{Fence, Nanos, Token};
use std::collections::VecDeque;
use std::mem::{size_of, take};

/// Entries the hand looks at for each grant: at two, every entry is passed before the store doubles.
const LOOKS: usize = 2;
/// Entries the hand looks at when there is no room.
const LOOKS_WHEN_FULL: usize = 8;
/// Queue items settled for each request, so that no request pays for all.
const DUE_MAX: usize = 4;
/// What an entry costs besides its token and result: itself, its place in the table (index and tag, at the
/// lowest load factor), its queue item.
const ENTRY_BYTES: usize = size_of::<Option<Entry>>() + 10 + size_of::<Ended>();

#[derive(Debug)]
struct Entry {
    hash: u64,
    token: Box<[u8]>,
    slot: Slot,
    /// When it was last given up.
    given_up: Nanos,
    /// Whether it has an item in the queue of those given up.
    queued: bool,
}

impl Entry {
    fn bytes(&self) -> u64 {
        entry_bytes(self.token.len()) + result_bytes(&self.slot)
    }
}

fn entry_bytes(token: usize) -> u64 {
    (ENTRY_BYTES + token) as u64
}

fn result_bytes(slot: &Slot) -> u64 {
    match slot {
        Slot::Done { result, .. } => result.len() as u64,
        _ => 0,
    }
}

/// An entry that ended, and when it may be forgotten.
#[derive(Clone, Copy, Debug)]
struct Ended {
    index: u32,
    fence: Fence,
    until: Nanos,
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    table: HashTable<u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    done: VecDeque<Ended>,
    given_up: VecDeque<Ended>,
    hand: usize,
}

impl Shard {
    pub(super) fn claim(
        &mut self,
        hash: u64,
        request: &ClaimRequest,
        now: Nanos,
        ledger: &Ledger,
    ) -> Result<Claim, StoreError> {
        self.forget_due(now, DUE_MAX, ledger);
        let index = match self.find(hash, &request.token) {
            Some(index) => index,
            None => self.insert(hash, &request.token, ledger)?,
        };
        let Some(entry) = self.entries.get_mut(index as usize).and_then(Option::as_mut) else {
            return Err(StoreError::unavailable("an index of the table without its entry"));
        };
        let was = take(&mut entry.slot);
        let (was_claimed, was_done, old_bytes) =
            (matches!(was, Slot::Claimed { .. }), matches!(was, Slot::Done { .. }), result_bytes(&was));
        // Only a grant burns a fence.
        let offer = if was.is_free(now) { ledger.next_fence() } else { Fence(0) };
        let (slot, answer) = was.claim(request.owner, request.lease, offer, now);
        entry.slot = slot;
        match &answer {
            Claim::Granted { .. } => {
                ledger.granted();
                if was_done {
                    ledger.done(Step::Down);
                    ledger.drop_bytes(old_bytes);
                }
                if !was_claimed {
                    ledger.claimed(Step::Up);
                }
                self.sweep(LOOKS, now, ledger);
            }
            Claim::Held { .. } => ledger.answered_held(),
            Claim::Done { .. } => ledger.answered_done(),
        }
        Ok(answer)
    }

    /// Runs a completion, release or renewal of the claim under `ours`.
    pub(super) fn change(
        &mut self,
        hash: u64,
        token: &Token,
        ours: Fence,
        now: Nanos,
        ledger: &Ledger,
        rule: impl FnOnce(Slot) -> (Slot, Result<(), Fenced>),
    ) -> Result<(), StoreError> {
        self.forget_due(now, DUE_MAX, ledger);
        let index = self.find(hash, token);
        let entry = index.and_then(|index| self.entries.get_mut(index as usize)).and_then(Option::as_mut);
        let (Some(index), Some(entry)) = (index, entry) else {
            ledger.fenced();
            return Err(StoreError::Fenced { ours, current: Fence(0) });
        };
        let was_claimed = matches!(entry.slot, Slot::Claimed { .. });
        let (slot, answer) = rule(take(&mut entry.slot));
        if was_claimed {
            match &slot {
                Slot::Done { fence, until, result } => {
                    ledger.claimed(Step::Down);
                    ledger.done(Step::Up);
                    ledger.add_bytes(result.len() as u64);
                    self.done.push_back(Ended { index, fence: *fence, until: *until });
                }
                Slot::Absent { fence, .. } => {
                    ledger.claimed(Step::Down);
                    entry.given_up = now;
                    if !std::mem::replace(&mut entry.queued, true) {
                        let until = now.plus(ledger.retention());
                        self.given_up.push_back(Ended { index, fence: *fence, until });
                    }
                }
                Slot::Claimed { .. } => {}
            }
        }
        entry.slot = slot;
        answer.map_err(|Fenced { current }| {
            ledger.fenced();
            StoreError::Fenced { ours, current }
        })
    }

    pub(super) fn view(&self, hash: u64, token: &Token, now: Nanos) -> State {
        let entry = self.find(hash, token).and_then(|index| self.entries.get(index as usize)?.as_ref());
        entry.map_or(State::Absent, |entry| entry.slot.view(now))
    }

    /// Forgets what may be forgotten, and of what is only good to have, one more.
    pub(super) fn make_room(&mut self, now: Nanos, ledger: &Ledger) {
        self.forget_due(now, usize::MAX, ledger);
        self.sweep(LOOKS_WHEN_FULL, now, ledger);
        while let Some(item) = self.given_up.pop_front() {
            if self.forget_given_up(item, Nanos(u64::MAX), ledger) {
                break;
            }
        }
    }

    /// When the result that may be forgotten first is due.
    pub(super) fn oldest_result(&self) -> Option<Nanos> {
        self.done.front().map(|item| item.until)
    }

    /// Forgets its oldest result before its time. Whether it had one.
    pub(super) fn forget_oldest_result(&mut self, ledger: &Ledger) -> bool {
        while let Some(item) = self.done.pop_front() {
            if self.forget_done(item, ledger) {
                ledger.forgotten_early();
                return true;
            }
        }
        false
    }

    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.given_up.len()
    }

    fn find(&self, hash: u64, token: &Token) -> Option<u32> {
        let same = |index: &u32| {
            let entry = self.entries.get(*index as usize).and_then(Option::as_ref);
            entry.is_some_and(|entry| *entry.token == token.as_bytes()[..])
        };
        self.table.find(hash, same).copied()
    }

    fn insert(&mut self, hash: u64, token: &Token, ledger: &Ledger) -> Result<u32, StoreError> {
        ledger.reserve(entry_bytes(token.as_bytes().len()))?;
        // A copy, lest a token hold the whole batch alive that it was read from.
        let entry = Some(Entry {
            hash,
            token: token.as_bytes()[..].into(),
            slot: Slot::default(),
            given_up: Nanos(0),
            queued: false,
        });
        let index = if let Some(index) = self.free.pop() {
            self.entries[index as usize] = entry;
            index
        } else {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        };
        let entries = &self.entries;
        let rehash =
            |index: &u32| entries.get(*index as usize).and_then(Option::as_ref).map_or(0, |entry| entry.hash);
        self.table.insert_unique(hash, index, rehash);
        Ok(index)
    }

    fn forget_due(&mut self, now: Nanos, mut most: usize, ledger: &Ledger) {
        while most > 0 {
            match self.done.front() {
                Some(item) if item.until <= now => {}
                _ => break,
            }
            if let Some(item) = self.done.pop_front() {
                self.forget_done(item, ledger);
            }
            most -= 1;
        }
        while most > 0 {
            match self.given_up.front() {
                Some(item) if item.until <= now => {}
                _ => break,
            }
            if let Some(item) = self.given_up.pop_front() {
                self.forget_given_up(item, now, ledger);
            }
            most -= 1;
        }
    }

    fn forget_done(&mut self, item: Ended, ledger: &Ledger) -> bool {
        let matches = |slot: &Slot| matches!(slot, Slot::Done { fence, .. } if *fence == item.fence);
        let gone = self.remove_if(item.index, matches, ledger);
        if gone {
            ledger.done(Step::Down);
        }
        gone
    }

    fn forget_given_up(&mut self, item: Ended, now: Nanos, ledger: &Ledger) -> bool {
        let Some(entry) = self.entries.get_mut(item.index as usize).and_then(Option::as_mut) else {
            return false;
        };
        let Slot::Absent { fence, .. } = entry.slot else {
            entry.queued = false;
            return false;
        };
        let until = entry.given_up.plus(ledger.retention());
        if now < until {
            self.given_up.push_back(Ended { index: item.index, fence, until });
            return false;
        }
        self.remove_if(item.index, |_| true, ledger)
    }

    /// Looks at the next few entries for claims whose owner never came back.
    fn sweep(&mut self, looks: usize, now: Nanos, ledger: &Ledger) {
        let retention = ledger.retention();
        for _ in 0..looks.min(self.entries.len()) {
            self.hand = (self.hand + 1) % self.entries.len();
            let abandoned =
                |slot: &Slot| matches!(slot, Slot::Claimed { expires, .. } if expires.plus(retention) <= now);
            if self.remove_if(self.hand as u32, abandoned, ledger) {
                ledger.claimed(Step::Down);
            }
        }
    }

    fn remove_if(&mut self, index: u32, holds: impl FnOnce(&Slot) -> bool, ledger: &Ledger) -> bool {
        let Some(place) = self.entries.get_mut(index as usize) else { return false };
        match place.as_ref() {
            Some(entry) if holds(&entry.slot) => {}
            _ => return false,
        }
        let Some(entry) = place.take() else { return false };
        if let Ok(found) = self.table.find_entry(entry.hash, |other| *other == index) {
            found.remove();
        }
        ledger.free(entry.bytes());
        self.free.push(index);
        true
    }
}
