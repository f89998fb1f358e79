//! Batches on their way to the disk.
//!
//! The next batch is made, and waits at the log, while the one before is written: the log's thread goes from one sync to
//! the next. They are a [`Chain`], so when one is refused, so are those behind it, and all of them come back in order.

use super::disk::{Backlog, Waiting};
use super::lane::{Flight, Lane, Load, Sent, Stored};
use super::underway::{Batch, Checkpoint, Outcome};
use super::{Done, Pump};
use crate::answer::Settled;
use crate::grade::Safe;
use crate::inbox::{Duty, Entries, Entry, FEW};
use crate::spill::progress::Proof;
use crate::spill::{self, Records, frame};
use crate::stats::Path;
use seawall_core::{Durability, Nanos};
use seawall_wal::{Appended, Disk, WalError};
use std::collections::BTreeSet;
use std::sync::Arc;

/// After so many failed appends in a row keys go on though their progress is not on disk.
const UNPROVEN_AFTER: u32 = 3;

/// Records to be written together.
#[derive(Default)]
struct Draft {
    entries: Entries,
    bytes: usize,
}

/// Whose time is over first stands in front. Those with a key keep their order, and came from one lane, where it was so; those
/// without have none, and came from all.
fn by_deadline(keyed: Vec<Entry>, mut keyless: Vec<Entry>) -> Vec<Entry> {
    keyless.sort_by_key(|entry| entry.duty.deadline);
    let mut all = Vec::with_capacity(keyed.len() + keyless.len());
    let mut keyless = keyless.into_iter().peekable();
    for entry in keyed {
        while let Some(earlier) = keyless.next_if(|other| other.duty.deadline < entry.duty.deadline) {
            all.push(earlier);
        }
        all.push(entry);
    }
    all.extend(keyless);
    all
}

/// Why the disk takes nothing although the file system would.
#[derive(Debug, thiserror::Error)]
#[error("the spill's budget is used up: {max} bytes for records")]
struct BudgetUsedUp {
    max: u64,
}

impl<D: Disk> Backlog<D> {
    /// Whether these records of `bytes` together are a batch: nobody is before them, their keys are on disk already, and
    /// there is room.
    fn takes_whole(&self, entries: &Entries, bytes: usize, now: Nanos) -> bool {
        let first = entries.duties().first().map_or(0, |duty| duty.bytes as u64);
        let room = self.room.batch(first, self.appends.bytes()).unwrap_or(0);
        self.queue.is_empty()
            && self.takes(now)
            && !self.is_draining()
            && self.appends.is_open(self.spill.appends_max())
            && bytes <= self.batch_bytes.min(room as usize)
            && entries.duties().iter().all(|duty| self.keys.blocks(duty.bucket))
    }

    /// The next records to be written together; `Err`: there is no room even for one of them.
    fn next_batch(&mut self) -> Result<Draft, BudgetUsedUp> {
        let mut draft = Draft::default();
        let Some(first) = self.queue.front().map(|entry| entry.duty.bytes as u64) else {
            return Ok(draft);
        };
        let in_flight = self.appends.bytes();
        let Some(room) = self.room.batch(first, in_flight) else {
            let full = BudgetUsedUp { max: self.room.max };
            // How much there is will be known when those on their way are written.
            return if in_flight > 0 { Ok(draft) } else { Err(full) };
        };
        let most = self.batch_bytes.min(room as usize);
        let likely = self.queue.len().min(most / first.max(1) as usize + 1);
        draft.entries = Entries::with_capacity(likely);
        while let Some(bytes) = self.queue.front().map(|entry| entry.duty.bytes) {
            if !draft.entries.is_empty() && draft.bytes + bytes > most {
                break;
            }
            let Some(entry) = self.queue.pop_front() else { break };
            draft.bytes += bytes;
            draft.entries.push(entry);
        }
        Ok(draft)
    }
}

impl<D: Disk> Pump<D> {
    /// Has batches written, where there is something to write, as many as may be on their way.
    pub(super) fn append(&mut self, now: Nanos) {
        while self.append_one(now) {}
    }

    /// Has `entries` written as one batch, as they came, where that is where each of them would go: the usual case while a
    /// sink is away. Whether it did.
    pub(super) fn append_whole(&mut self, entries: &mut Entries, now: Nanos) -> bool {
        if entries.len() <= FEW || !self.lanes.iter().all(Lane::is_idle) {
            return false;
        }
        let Some(backlog) = &mut self.backlog else { return false };
        let bytes = entries.duties().iter().map(|duty| duty.bytes).sum();
        if !backlog.takes_whole(entries, bytes, now) {
            return false;
        }
        entries.duties().iter().for_each(|duty| backlog.keys.queue(duty.bucket));
        let checkpoint = backlog.checkpoint(now);
        self.write(Draft { entries: std::mem::take(entries), bytes }, checkpoint, now);
        true
    }

    /// Whether a batch went on its way.
    fn append_one(&mut self, now: Nanos) -> bool {
        let Some(backlog) = &mut self.backlog else { return false };
        if !backlog.appends.is_open(backlog.spill.appends_max()) || backlog.is_hanging(now) {
            return false;
        }
        let mut checkpoint = backlog.checkpoint(now);
        if backlog.queue.is_empty() && checkpoint.is_none() {
            if let Some(at) = backlog.checkpoint_at() {
                self.wake(at);
            }
            return false;
        }
        if !backlog.is_usable(now) {
            let at = backlog.retry_at;
            self.wake(at);
            return false;
        }
        let draft = match backlog.next_batch() {
            Ok(batch) => batch,
            Err(full) => {
                backlog.full = true;
                self.not_appended(Vec::new(), &full, now);
                self.finish_ended(now);
                Draft::default()
            }
        };
        if draft.entries.is_empty()
            && let Some(backlog) = &mut self.backlog
            && let Some(proof) = checkpoint.take_if(|proof| !backlog.takes_progress(proof))
        {
            backlog.leave_out(&proof, now);
        }
        if draft.entries.is_empty() && checkpoint.is_none() {
            return false;
        }
        self.write(draft, checkpoint, now);
        true
    }

    fn write(&mut self, draft: Draft, checkpoint: Option<Proof>, now: Nanos) {
        let Some(backlog) = &mut self.backlog else { return };
        let Draft { entries, bytes } = draft;
        let (records, duties) = entries.into_parts();
        let records = Arc::new(Records::new(records));
        let progress = checkpoint.as_ref().map(frame::progress);
        let checkpoint = checkpoint.map(|proof| {
            let proven = backlog.take_proven(&proof);
            Checkpoint { proof, proven }
        });
        let batch = spill::Batch::Records(Arc::clone(&records), progress);
        let appended = backlog.spill.append(batch, backlog.appends.chain());
        let number = backlog.appends.push(duties, records, bytes as u64, checkpoint, now);
        self.work.push(Box::pin(async move { Done::Appended(number, appended.await) }));
    }

    pub(super) fn appended(&mut self, number: u64, answer: Result<Appended, WalError>, now: Nanos) {
        if let Some(backlog) = &mut self.backlog {
            backlog.appends.answered(number, answer, now);
        }
        while let Some(outcome) = self.backlog.as_mut().and_then(|backlog| backlog.appends.next_outcome()) {
            match outcome {
                Outcome::Written(batch, appended) => self.written(batch, appended),
                Outcome::Refused(batches, error) => self.refused(batches, &error, now),
            }
        }
        self.finish_ended(now);
    }

    fn written(&mut self, batch: Batch, appended: Appended) {
        let Some(backlog) = &mut self.backlog else { return };
        let count = batch.duties.len() as u64;
        backlog.next = appended.next;
        // A progress has room where no record has.
        if count > 0 || !backlog.full || backlog.records == 0 {
            backlog.overcome();
        }
        if batch.checkpoint.is_some() {
            backlog.progress.done(appended.first + count);
        }
        backlog.room = backlog.spill.room();
        self.shared.stats.count(self.selector.active(), Path::Spill, count);
        let mut settled = Settled::default();
        for ((duty, bytes), seq) in batch.duties.into_iter().zip(&batch.records.bytes).zip(appended.first..) {
            self.on_disk(duty, seq, *bytes, &mut settled);
        }
        if count > FEW as u64 {
            // Freed behind the last caller, who is woken next: it takes as long as telling them all.
            tokio::spawn(async move { drop(batch.records) });
        }
        drop(settled);
        self.settle_checkpoint(batch.checkpoint, true);
    }

    fn refused(&mut self, batches: Vec<Batch>, error: &WalError, now: Nanos) {
        let (mut entries, mut checkpoints) = (Vec::<Entry>::new(), Vec::new());
        for mut batch in batches {
            checkpoints.push(batch.checkpoint.take());
            entries.extend(batch.into_entries());
        }
        // Whole records may lie behind the last durable one, and the next start would take them for new ones, behind what
        // followed them another way. Whatever is written next begins a segment that says where they end.
        let left = matches!(error, WalError::Poisoned { .. } | WalError::Io { .. });
        if let Some(backlog) = &mut self.backlog {
            backlog.full = false;
            if left || checkpoints.iter().any(Option::is_some) {
                backlog.owe_progress(now);
            }
        }
        if left {
            for entry in &mut entries {
                entry.duty.attempted = true;
            }
        }
        self.not_appended(entries, error, now);
        for checkpoint in checkpoints {
            self.settle_checkpoint(checkpoint, false);
        }
    }

    /// A batch ended, with or without success. Room comes back whether or not its progress could be written: it is room
    /// that a full disk needs.
    fn settle_checkpoint(&mut self, checkpoint: Option<Checkpoint>, durable: bool) {
        let (Some(Checkpoint { proof, proven }), Some(backlog)) = (checkpoint, &mut self.backlog) else {
            return;
        };
        // Nor do the keys wait for ever for a disk that takes nothing.
        if durable || backlog.failures >= UNPROVEN_AFTER {
            for (_, bucket) in proven {
                backlog.keys.deliver(bucket);
            }
        } else {
            backlog.unproven.extend(proven);
        }
        if durable {
            backlog.proven = backlog.proven.max(proof.watermark);
        }
        self.truncate(proof.watermark);
    }

    /// A record is on disk: its caller is told, or waits on.
    fn on_disk(&mut self, mut duty: Duty, seq: u64, bytes: usize, settled: &mut Settled) {
        let Some(backlog) = &mut self.backlog else { return };
        backlog.keys.unqueue(duty.bucket);
        backlog.keys.spill(duty.bucket);
        backlog.records += 1;
        backlog.bytes += bytes as u64;
        if let Some((lane, place)) = duty.shadow
            && let Some(Load::Live(sent)) = self.lanes[lane].flight.as_mut().map(|flight| &mut flight.load)
            && let Some(sent) = sent.get_mut(place)
        {
            *sent = Sent::OnDisk(Stored { seq, bucket: duty.bucket, bytes });
            if duty.bucket.lane(1).is_none() {
                backlog.in_call.insert(seq, lane);
            }
        }
        if duty.dealt {
            let now = self.shared.clock.now();
            let _ = backlog.deliver(Stored { seq, bucket: duty.bucket, bytes }, now);
            return self.free(duty.weight, 1);
        }
        let (asked, deadline) = (duty.asked, duty.deadline);
        if asked <= Durability::Synced {
            settled.add(&mut duty.answer, Ok(Safe::Spilled { seq }));
            self.free(duty.weight, 1);
        } else if let Some(answer) = duty.answer.take() {
            backlog.wait(seq, Waiting { answer, asked, deadline });
            self.free(duty.weight, 0);
        } else {
            self.free(duty.weight, 1);
        }
    }

    /// The disk did not take `entries`: they wait in memory, and so does the disk.
    fn not_appended(&mut self, entries: Vec<Entry>, why: &(dyn std::error::Error + 'static), now: Nanos) {
        let Some(backlog) = &mut self.backlog else { return };
        backlog.failures += 1;
        backlog.retry_at = now.plus(self.shared.options.backoff.delay(backlog.failures, 0));
        let at = backlog.retry_at;
        for entry in entries.into_iter().rev() {
            backlog.enqueue_again(entry);
        }
        // Those whose key has nothing on disk may go to the sink, should it come back first.
        let queue = std::mem::take(&mut backlog.queue);
        let (mut back, mut calls, mut gone) = (Vec::new(), BTreeSet::new(), (0, 0));
        for entry in queue {
            let bucket = entry.duty.bucket;
            if entry.duty.dealt {
                backlog.keys.unqueue(bucket);
                gone = (gone.0 + entry.duty.weight, gone.1 + 1);
                continue;
            }
            // What goes back to its call will come here again: nothing that follows it may be here before.
            if entry.duty.shadow.is_some() && backlog.keys.on_disk(bucket) {
                calls.insert(bucket);
            }
            if backlog.keys.on_disk(bucket) && !calls.contains(&bucket) {
                backlog.queue.push_back(entry);
            } else {
                backlog.keys.unqueue(bucket);
                back.push(entry);
            }
        }
        self.free(gone.0, gone.1);
        self.back_to_lanes(back);
        self.wake(at);
        self.show_trouble(why);
    }

    /// Entries that the disk did not take, to their calls where they are in one, or in front of their lanes.
    fn back_to_lanes(&mut self, entries: Vec<Entry>) {
        let lanes = self.lanes.len();
        let mut back: Vec<(Vec<Entry>, Vec<Entry>)> = Vec::new();
        back.resize_with(lanes, Default::default);
        for mut entry in entries {
            if let Some((lane, place)) = entry.duty.shadow.take() {
                let flight = self.lanes[lane].flight.as_mut();
                if let Some(Flight { load: Load::Live(sent), deadline, .. }) = flight
                    && let Some(sent) = sent.get_mut(place)
                {
                    // The call may have been looked at when its time was over and this was not in it.
                    *deadline = (*deadline).min(entry.duty.deadline);
                    *sent = Sent::Mine(entry.duty);
                }
            } else if let Some(lane) = entry.duty.bucket.lane(lanes) {
                back[lane].0.push(entry);
            } else {
                self.keyless = (self.keyless + 1) % lanes;
                back[self.keyless].1.push(entry);
            }
        }
        for (lane, (keyed, keyless)) in self.lanes.iter_mut().zip(back) {
            for entry in by_deadline(keyed, keyless).into_iter().rev() {
                lane.push_back_to_front(entry);
            }
        }
    }

    /// Calls that ended while records of theirs were on their way to the disk.
    pub(super) fn finish_ended(&mut self, now: Nanos) {
        let hangs = self.backlog.as_ref().is_some_and(|backlog| backlog.is_hanging(now));
        for at in 0..self.lanes.len() {
            let ended = self.lanes[at].flight.as_mut().filter(|flight| hangs || !flight.has_queued());
            if let Some(answers) = ended.and_then(|flight| flight.answers.take()) {
                self.answered(at, answers, now);
            }
        }
    }
}
