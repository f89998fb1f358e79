//! Records that fail alone: set apart with their keys, so that they hold up nobody else.
//!
//! A record from the disk that fails while the sink takes others is **held**: it is asked for again by itself, with a
//! growing wait, and the later records of its key stay on disk, unread. Everything else is read, sent and told as
//! delivered past it. Once it is dealt with, the spill is read again from there, without what was delivered since.

use super::disk::Backlog;
use super::lane::{Answers, Load, Replayed, Stored};
use super::settle::for_disk;
use super::{Done, Pump};
use crate::route::{Grant, Reported};
use crate::spill::keys::Bucket;
use crate::stats::Path;
use seawall_core::{Class, Fault, Nanos};
use seawall_guard::BreakerState;
use seawall_wal::Disk;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Held records at most; further ones wait in their lane, which then waits with them.
const HELD_MAX: usize = 256;
/// Held records that are asked for at once.
const PROBES_MAX: usize = 4;
/// A held record that fails so often in a row at a sink that takes nothing else meanwhile may fail because of the sink.
const ALONE_MAX: u32 = 3;

/// A record that is held.
struct Hold {
    record: Replayed,
    failures: u32,
    failed_at: Nanos,
    retry_at: Nanos,
    /// How often in a row it failed at a sink that took nothing else meanwhile.
    alone: u32,
}

/// A held record in a call of its own.
pub(super) struct Probe {
    hold: Hold,
    grant: Grant,
}

/// Why a key stays on disk.
#[derive(Default)]
struct Behind {
    /// Records that it waits for: one that failed alone, and others that could not be put aside.
    records: usize,
    /// The first of those that are dealt with.
    dealt: Option<u64>,
}

/// What is held.
#[derive(Default)]
pub(super) struct Held {
    waiting: Vec<Hold>,
    keys: BTreeMap<Bucket, Behind>,
    bytes: usize,
    /// In a call of their own.
    probing: Vec<u64>,
    /// Sinks that count as gone because of them, since one last took something: what all of them fail says nothing of any.
    blamed: BTreeSet<usize>,
}

impl Held {
    /// Whether records of `bucket` stay on disk.
    pub(super) fn has(&self, bucket: Bucket) -> bool {
        self.keys.contains_key(&bucket)
    }

    /// Those of `bucket` stay on disk behind one more record.
    fn stay(&mut self, bucket: Bucket) {
        self.keys.entry(bucket).or_default().records += 1;
    }

    /// A record that others stayed behind is dealt with. Where they go on: the first of all records that they stayed behind.
    fn go_on(&mut self, stored: Stored) -> Option<u64> {
        let behind = self.keys.get_mut(&stored.bucket)?;
        let first = behind.dealt.map_or(stored.seq, |dealt| dealt.min(stored.seq));
        behind.dealt = Some(first);
        behind.records = behind.records.saturating_sub(1);
        if behind.records > 0 {
            return None;
        }
        self.keys.remove(&stored.bucket);
        Some(first)
    }

    /// Records that are held.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.probing.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.probing.is_empty() && self.keys.is_empty()
    }

    /// The earliest that waits.
    fn next(&self) -> Option<(usize, Nanos)> {
        let times = self.waiting.iter().enumerate().map(|(at, hold)| (at, hold.retry_at));
        times.min_by_key(|(_, retry_at)| *retry_at)
    }
}

impl<D: Disk> Backlog<D> {
    /// Records wait here and there between delivered ones, as many as the progress can tell apart.
    pub(super) fn is_too_ragged(&self) -> bool {
        !self.held.is_empty() && self.progress.runs() >= self.runs_max
    }

    /// Reads again from `seq` on, without what is in memory (`loaded`).
    pub(super) fn rewind(&mut self, seq: u64, loaded: impl Iterator<Item = u64>) {
        if seq >= self.read_next {
            return;
        }
        // What waits for its block was read, and is nowhere yet.
        let seq = self.unpacker.pending().map_or(seq, |pending| seq.min(pending));
        self.skip = loaded.filter(|loaded| *loaded >= seq).collect();
        self.read_high = self.read_high.max(self.read_next);
        self.read_next = seq;
    }
}

impl<D: Disk> Pump<D> {
    /// Holds the first of each key of `failed`, which stand in order; gives back those for which there is no room.
    pub(super) fn hold(&mut self, at: usize, failed: Vec<Replayed>, now: Nanos) -> Vec<Replayed> {
        let options = &self.shared.options;
        let Some(backlog) = &mut self.backlog else { return failed };
        let (mut left, mut left_keys) = (Vec::new(), BTreeSet::new());
        for mut record in failed {
            let keyed = record.stored.bucket.lane(1).is_some();
            if keyed && backlog.held.has(record.stored.bucket) {
                // It stays on disk, behind the one that is held.
                backlog.skip.remove(&record.stored.seq);
                backlog.window_bytes = backlog.window_bytes.saturating_sub(record.weight());
                continue;
            }
            let (bytes, held) = (backlog.held.bytes, backlog.held.len());
            // The largest record may be as large as the window.
            let fits = bytes == 0 || bytes + record.weight() <= options.replay.window_bytes;
            let room = held < HELD_MAX && fits;
            if !room || (keyed && left_keys.contains(&record.stored.bucket)) {
                let _ = left_keys.insert(record.stored.bucket);
                left.push(record);
                continue;
            }
            backlog.window_bytes = backlog.window_bytes.saturating_sub(record.weight());
            backlog.held.bytes += record.weight();
            record.outgoing.record.detach();
            if keyed {
                backlog.held.stay(record.stored.bucket);
            }
            let retry_at = now.plus(options.backoff.delay(1, record.stored.seq));
            backlog.held.waiting.push(Hold { record, failures: 1, failed_at: now, retry_at, alone: 0 });
        }
        self.leave_on_disk(at);
        left
    }

    /// The keys stay on disk, but for what of them is in memory elsewhere, until [`Pump::read_behind`].
    pub(super) fn hold_keys(&mut self, at: usize, buckets: impl Iterator<Item = Bucket>) {
        if let Some(backlog) = &mut self.backlog {
            buckets.filter(|bucket| bucket.lane(1).is_some()).for_each(|bucket| backlog.held.stay(bucket));
            self.leave_on_disk(at);
        }
    }

    /// What a lane has of held keys is read again once they go on.
    fn leave_on_disk(&mut self, at: usize) {
        let Some(backlog) = &mut self.backlog else { return };
        let held = &backlog.held;
        let (skip, mut dropped) = (&mut backlog.skip, 0);
        self.lanes[at].replay.retain(|record| {
            let stays = !held.has(record.stored.bucket);
            if !stays {
                skip.remove(&record.stored.seq);
                dropped += record.weight();
            }
            stays
        });
        backlog.window_bytes = backlog.window_bytes.saturating_sub(dropped);
    }

    /// Asks for held records whose wait is over.
    pub(super) fn probe_held(&mut self, now: Nanos) {
        while let Some(backlog) = self.backlog.as_mut().filter(|_| self.closing.is_none()) {
            let Some((at, retry_at)) = backlog.held.next() else { return };
            if backlog.held.probing.len() >= PROBES_MAX {
                return;
            }
            if now < retry_at {
                return self.wake(retry_at);
            }
            let (grant, switch) = match self.selector.pick(now) {
                Ok(picked) => picked,
                Err(again) => return self.wake(again),
            };
            let hold = backlog.held.waiting.swap_remove(at);
            backlog.held.probing.push(hold.record.stored.seq);
            if let Some(switch) = switch {
                self.show_switch(switch);
            }
            let call = self.fly(grant, Arc::new(vec![hold.record.outgoing.clone()]));
            let probe = Probe { hold, grant };
            self.work.push(Box::pin(async move { Done::Probed(probe, call.await) }));
        }
    }

    pub(super) fn probed(&mut self, probe: Probe, mut answers: Answers, now: Nanos) {
        let Probe { mut hold, grant } = probe;
        let Some(backlog) = &mut self.backlog else { return };
        backlog.held.probing.retain(|seq| *seq != hold.record.stored.seq);
        let stays = |fault: &Fault| {
            let kept = || [(fault.to_string(), hold.record.outgoing.clone())];
            fault.class() != Class::Permanent || !backlog.can_refuse(&kept())
        };
        match answers.pop().map(for_disk) {
            Some(Err(fault)) if stays(&fault) => {
                self.failed_alone(&mut hold, grant, &fault, now);
                hold.failures += 1;
                let Some(backlog) = &mut self.backlog else { return };
                let wait = self.shared.options.backoff.delay(hold.failures, hold.record.stored.seq);
                hold.retry_at = now.plus(wait.max(fault.retry_after().unwrap_or_default()));
                backlog.held.waiting.push(hold);
            }
            answer => {
                self.answers(grant, now);
                self.release(&hold.record);
                let record = hold.record;
                match answer {
                    Some(Err(fault)) => {
                        let lane = record.stored.bucket.lane(self.lanes.len());
                        let lane = lane.unwrap_or(record.stored.seq as usize % self.lanes.len());
                        // As if it were in the window: that is where it is taken from once it is put aside.
                        if let Some(backlog) = &mut self.backlog {
                            backlog.window_bytes += record.weight();
                        }
                        self.park(lane, grant.sink, vec![(record, fault)]);
                    }
                    Some(Ok(receipt)) => {
                        self.shared.stats.count(grant.sink, Path::Replay, 1);
                        self.shared.stats.gauges().replayed += 1;
                        self.delivered_from_disk(grant.sink, record.stored, receipt);
                    }
                    None => {}
                }
            }
        }
    }

    /// That it fails says nothing of the sink: that is why it is held. But where nothing else is asked for, a sink that is
    /// gone would be asked for ever, beside one that is there.
    fn failed_alone(&mut self, hold: &mut Hold, grant: Grant, fault: &Fault, now: Nanos) {
        if fault.class() == Class::Permanent {
            // It is there.
            (hold.alone, hold.failed_at) = (0, now);
            return self.answers(grant, now);
        }
        let (sink, sinks) = (grant.sink, self.shared.targets.len());
        let others = self.selector.answered_after(sink, hold.failed_at);
        hold.alone = if others { 0 } else { hold.alone + 1 };
        hold.failed_at = now;
        let blamed = self.backlog.as_ref().map_or(0, |backlog| backlog.held.blamed.len());
        if hold.alone < ALONE_MAX || sinks == 1 || blamed == sinks {
            return self.selector.on_unclear(grant);
        }
        self.show_fault(fault);
        self.report(now, grant, Reported { ok: false, retry_after: fault.retry_after() });
        if self.selector.breaker(sink, now) == BreakerState::Open
            && let Some(backlog) = &mut self.backlog
        {
            backlog.held.blamed.insert(sink);
        }
    }

    /// A sink took a held record, or refused it for good.
    fn answers(&mut self, grant: Grant, now: Nanos) {
        self.acquit();
        self.report(now, grant, Reported { ok: true, retry_after: None });
    }

    /// Some sink is there.
    pub(super) fn acquit(&mut self) {
        self.failed = 0;
        if let Some(backlog) = &mut self.backlog {
            backlog.held.blamed.clear();
        }
    }

    /// A held record is dealt with.
    fn release(&mut self, record: &Replayed) {
        if let Some(backlog) = &mut self.backlog {
            backlog.held.bytes = backlog.held.bytes.saturating_sub(record.weight());
            self.read_behind([record.stored].into_iter());
        }
    }

    /// Keys that were held go on: what stayed on disk behind the records that are dealt with is read.
    pub(super) fn read_behind(&mut self, dealt: impl Iterator<Item = Stored>) {
        let Some(backlog) = &mut self.backlog else { return };
        let (mut numbers, mut firsts) = (Vec::new(), Vec::new());
        for stored in dealt {
            numbers.push(stored.seq);
            firsts.extend(backlog.held.go_on(stored));
        }
        let Some(first) = firsts.iter().min() else { return };
        let lanes = self.lanes.iter().flat_map(|lane| {
            let sent = match lane.flight.as_ref().map(|flight| &flight.load) {
                Some(Load::Replay(sent)) => sent.as_slice(),
                _ => &[],
            };
            let sent = sent.iter().map(|stored| stored.seq);
            lane.replay.iter().map(|record| record.stored.seq).chain(sent).chain(lane.parking.iter().copied())
        });
        let waiting = backlog.held.waiting.iter().map(|hold| hold.record.stored.seq);
        let apart = waiting.chain(backlog.held.probing.iter().copied()).chain(backlog.passed.iter().copied());
        let apart = apart.collect::<Vec<_>>();
        // Those themselves may be on their way aside.
        backlog.rewind(first + 1, lanes.chain(apart).chain(numbers));
    }
}
