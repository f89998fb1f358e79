//! What is on disk, and what is on its way there.

use super::hold::Held;
use super::lane::Stored;
use super::park::NoRoomAside;
use super::underway::Appends;
use super::{Done, Pump};
use crate::answer::Answer;
use crate::error::SendError;
use crate::grade::Safe;
use crate::inbox::Entry;
use crate::options::ReplayOptions;
use crate::route::{Disk as DiskState, Pacer};
use crate::spill::frame;
use crate::spill::keys::{Bucket, Keys};
use crate::spill::progress::{Progress, Proof, runs_max};
use crate::spill::room::Room;
use crate::spill::scan::Found;
use crate::spill::unpack::Unpacker;
use crate::spill::{Batch, Spill};
use seawall_core::{Durability, Nanos, Outgoing, Receipt};
use seawall_wal::{Chain, Disk, Frame, WalError};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Progress is made durable after so long at the latest,
const CHECKPOINT_AFTER: Duration = Duration::from_secs(1);
/// or after as much for each of the runs that it tells of, each of which takes some bytes of the disk,
const CHECKPOINT_AFTER_RUN: Duration = Duration::from_millis(1);
/// and as many bytes delivered.
const CHECKPOINT_BYTES_RUN: u64 = 32;

/// Below this the rest of a backlog is waited for in memory,
const DRAINING_BYTES: u64 = 1 << 20;
/// where the replay's rate gives it no longer than this.
const DRAINING_TIME: Duration = Duration::from_secs(1);

/// A caller that waits for a record on disk to be delivered.
pub(super) struct Waiting {
    pub(super) answer: Answer,
    pub(super) asked: Durability,
    pub(super) deadline: Nanos,
}

pub(super) struct Backlog<D: Disk> {
    pub(super) spill: Spill<D>,
    pub(super) keys: Keys,
    pub(super) progress: Progress,
    pub(super) queue: VecDeque<Entry>,
    pub(super) appends: Appends,
    /// One past the last frame that is on disk.
    pub(super) next: u64,
    /// Records on disk that are not delivered, and bytes of them.
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) waiting: BTreeMap<u64, Waiting>,
    /// When the time of each of those is over.
    due: BTreeSet<(Nanos, u64)>,
    /// No entry of the queue has to be told before. (Those of several lanes stand in it one lane after the other.)
    queue_due: Nanos,
    /// The calls with which records without a key, which are on disk by now, are on their way: number, and lane.
    pub(super) in_call: BTreeMap<u64, usize>,
    pub(super) unpacker: Unpacker,
    /// Read, and waiting for the window to have room.
    pub(super) ahead: VecDeque<Frame>,
    pub(super) pacer: Pacer,
    pub(super) read_next: u64,
    /// Where the read under way began.
    pub(super) reading: Option<u64>,
    /// Read again below `read_high`, but for what was in memory when that began.
    pub(super) read_high: u64,
    pub(super) skip: BTreeSet<u64>,
    /// Records that failed while others were taken, and their keys.
    pub(super) held: Held,
    pub(super) read_retry_at: Nanos,
    /// Bytes read and not yet delivered.
    pub(super) window_bytes: usize,
    /// Bytes read since the sink is away.
    pub(super) away_bytes: usize,
    /// Records that are to be put aside, while the disk does not take them, and bytes of them.
    pub(super) passed: BTreeSet<u64>,
    pub(super) passed_bytes: usize,
    /// What was delivered beyond the progress on disk. Until that covers it a crash would deliver it again, so no later
    /// record of its key may go another way. Bounded by the window, and while the disk hangs by what is read on.
    pub(super) unproven: Vec<(u64, Bucket)>,
    /// Since when progress is owed to the disk, and bytes that were delivered meanwhile.
    fresh_since: Option<Nanos>,
    fresh_bytes: u64,
    checkpoint_bytes: u64,
    /// Up to where the progress on disk says that everything was delivered.
    pub(super) proven: u64,
    /// Runs that a checkpoint may tell of.
    pub(super) runs_max: usize,
    /// Up to where the log is being truncated.
    truncating: Option<u64>,
    /// Up to where it may be: what was proven meanwhile waits for that one to end.
    truncate_to: u64,
    /// Appends that failed in a row.
    pub(super) failures: u32,
    pub(super) retry_at: Nanos,
    pub(super) trouble: Option<String>,
    /// It is the budget that is used up.
    pub(super) full: bool,
    /// Records that a sink refused for good, and for which there was no room aside.
    pub(super) not_aside: BTreeSet<u64>,
    pub(super) room: Room,
    pub(super) batch_bytes: usize,
}

impl<D: Disk> Backlog<D> {
    pub(super) fn new(spill: Spill<D>, found: Found, replay: &ReplayOptions, now: Nanos) -> Self {
        let (room, options) = (spill.room(), spill.options());
        Self {
            batch_bytes: options.batch_bytes,
            runs_max: runs_max(options.segment_bytes()),
            read_next: found.progress.watermark(),
            proven: found.progress.watermark(),
            keys: found.keys,
            progress: found.progress,
            next: found.next,
            records: found.records,
            bytes: found.bytes,
            spill,
            queue: VecDeque::new(),
            appends: Appends::default(),
            waiting: BTreeMap::new(),
            due: BTreeSet::new(),
            queue_due: Nanos(u64::MAX),
            in_call: BTreeMap::new(),
            unpacker: Unpacker::default(),
            ahead: VecDeque::new(),
            pacer: Pacer::new(replay.bytes_per_second),
            reading: None,
            read_high: 0,
            skip: BTreeSet::new(),
            held: Held::default(),
            read_retry_at: now,
            window_bytes: 0,
            passed: BTreeSet::new(),
            passed_bytes: 0,
            away_bytes: 0,
            unproven: Vec::new(),
            fresh_since: None,
            fresh_bytes: 0,
            checkpoint_bytes: replay.checkpoint_bytes,
            truncating: None,
            truncate_to: 0,
            failures: 0,
            retry_at: now,
            trouble: None,
            full: false,
            not_aside: BTreeSet::new(),
            room,
        }
    }

    pub(super) fn state(&self, now: Nanos) -> DiskState {
        if self.takes(now) { DiskState::Usable } else { DiskState::Trouble }
    }

    /// Whether it is to be given more.
    pub(super) fn takes(&self, now: Nanos) -> bool {
        self.is_usable(now) && !self.is_hanging(now)
    }

    pub(super) fn is_usable(&self, now: Nanos) -> bool {
        now >= self.retry_at
    }

    /// The disk takes records again.
    pub(super) fn overcome(&mut self) {
        (self.failures, self.trouble, self.full) = (0, None, false);
    }

    /// Whether there is room to put these records aside.
    pub(super) fn can_refuse(&self, records: &[(String, Outgoing)]) -> bool {
        self.spill.can_refuse(records, self.appends.bytes())
    }

    /// What is wrong with the disk, as it is told.
    pub(super) fn trouble_shown(&self) -> Option<String> {
        self.trouble.clone().or_else(|| (!self.not_aside.is_empty()).then(|| NoRoomAside.to_string()))
    }

    /// Records on disk or on their way to it.
    pub(super) fn outstanding(&self) -> u64 {
        self.records + (self.queue.len() + self.appends.records()) as u64
    }

    pub(super) fn has_queue(&self) -> bool {
        !self.queue.is_empty() || self.appends.records() > 0
    }

    /// What is on disk is little, and all of it on its way: what follows it may as well wait in memory, else a key that is
    /// never quiet would go by the disk for ever.
    pub(super) fn is_draining(&self) -> bool {
        self.bytes <= DRAINING_BYTES
            && self.pacer.time(self.bytes) <= DRAINING_TIME
            && self.read_next >= self.next
            && self.reading.is_none()
            && !self.has_queue()
            && self.held.is_empty()
    }

    /// `entry` goes to the disk, and later ones of its key behind it.
    pub(super) fn enqueue(&mut self, entry: Entry) {
        self.keys.queue(entry.duty.bucket);
        self.queue_due = self.queue_due.min(entry.duty.deadline);
        self.queue.push_back(entry);
    }

    /// In front of all others, where it was before.
    pub(super) fn enqueue_again(&mut self, entry: Entry) {
        self.queue_due = self.queue_due.min(entry.duty.deadline);
        self.queue.push_front(entry);
    }

    /// A caller waits for the record on disk to be delivered.
    pub(super) fn wait(&mut self, seq: u64, waiting: Waiting) {
        self.due.insert((waiting.deadline, seq));
        self.waiting.insert(seq, waiting);
    }

    /// One record on disk is dealt with; its caller, if one waits.
    pub(super) fn deliver(&mut self, stored: Stored, now: Nanos) -> Option<(Answer, Durability)> {
        let Stored { seq, bytes, bucket } = stored;
        self.not_aside.remove(&seq);
        if self.progress.is_done(seq) {
            return None;
        }
        self.progress.done(seq);
        self.unproven.push((seq, bucket));
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes as u64);
        self.owe_progress(now);
        self.fresh_bytes += bytes as u64;
        let waiting = self.waiting.remove(&seq)?;
        self.due.remove(&(waiting.deadline, seq));
        Some((waiting.answer, waiting.asked))
    }

    /// Progress is to be made durable, whether or not more is delivered.
    pub(super) fn owe_progress(&mut self, now: Nanos) {
        let _ = self.fresh_since.get_or_insert(now);
    }

    /// The progress that should be made durable now.
    pub(super) fn checkpoint(&self, now: Nanos) -> Option<Proof> {
        let bytes = self.checkpoint_bytes.max(CHECKPOINT_BYTES_RUN * self.told_runs() as u64);
        let due = self.fresh_bytes >= bytes || self.records == 0 || now >= self.checkpoint_at()?;
        (due && self.fresh_since.is_some()).then(|| self.progress.proof(self.runs_max))
    }

    /// When progress is to be written at the latest, where it is owed.
    pub(super) fn checkpoint_at(&self) -> Option<Nanos> {
        let runs = CHECKPOINT_AFTER_RUN * self.told_runs() as u32;
        Some(self.fresh_since?.plus(CHECKPOINT_AFTER.max(runs)))
    }

    /// Runs that a progress would tell of.
    fn told_runs(&self) -> usize {
        self.progress.runs().min(self.runs_max)
    }

    /// What `proof` proves: nothing is owed for it any more.
    pub(super) fn take_proven(&mut self, proof: &Proof) -> Vec<(u64, Bucket)> {
        (self.fresh_since, self.fresh_bytes) = (None, 0);
        self.unproven.extract_if(.., |(seq, _)| proof.covers(*seq)).collect()
    }

    /// Whether a progress is worth its room on the disk, or there is plenty.
    pub(super) fn takes_progress(&self, proof: &Proof) -> bool {
        let bytes = frame::progress(proof).len() as u64;
        proof.watermark > self.proven || self.room.takes_beside(bytes, self.appends.bytes())
    }

    /// A progress that has no room is left out: what it would have proven is delivered again by a life after a crash, and
    /// keeps nobody waiting.
    pub(super) fn leave_out(&mut self, proof: &Proof, now: Nanos) {
        for (_, bucket) in self.take_proven(proof) {
            self.keys.deliver(bucket);
        }
        self.owe_progress(now);
    }

    /// The queue's entries whose time is over, and when the next one's is. One that is in a call, too, stays: its caller
    /// alone is told.
    pub(super) fn expire_queue(&mut self, now: Nanos) -> (Vec<Entry>, Vec<Answer>, Nanos) {
        let (mut expired, mut late) = (Vec::new(), Vec::new());
        if now < self.queue_due {
            return (expired, late, self.queue_due);
        }
        self.queue_due = Nanos(u64::MAX);
        for mut entry in std::mem::take(&mut self.queue) {
            if now < entry.duty.deadline {
                self.queue_due = self.queue_due.min(entry.duty.deadline);
                self.queue.push_back(entry);
            } else if entry.duty.shadow.is_some() {
                late.extend(entry.duty.answer.take());
                self.queue.push_back(entry);
            } else {
                self.keys.unqueue(entry.duty.bucket);
                expired.push(entry);
            }
        }
        (expired, late, self.queue_due)
    }

    /// The callers whose time is over while their records are on disk.
    pub(super) fn expire_waiting(&mut self, now: Nanos) -> Vec<Answer> {
        let mut expired = Vec::new();
        while self.next_waiting().is_some_and(|deadline| now >= deadline)
            && let Some((_, seq)) = self.due.pop_first()
        {
            expired.extend(self.waiting.remove(&seq).map(|waiting| waiting.answer));
        }
        expired
    }

    pub(super) fn next_waiting(&self) -> Option<Nanos> {
        self.due.first().map(|(deadline, _)| *deadline)
    }

    pub(super) fn abandon_queue(&mut self) -> Vec<Entry> {
        self.appends.abandon().chain(self.queue.drain(..)).collect()
    }

    pub(super) fn abandon_waiting(&mut self) -> Vec<Answer> {
        self.due.clear();
        std::mem::take(&mut self.waiting).into_values().map(|waiting| waiting.answer).collect()
    }

    /// The last progress, and the end of the logs.
    pub(super) async fn close(&mut self) {
        if self.fresh_since.is_some() {
            let progress = frame::progress(&self.progress.proof(self.runs_max));
            if let Err(error) = self.spill.append(Batch::Frames(vec![progress]), &Chain::default()).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the replay's progress was not written"
                );
            }
        }
        for closed in self.spill.close() {
            if let Err(error) = closed.await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the spill was not closed");
            }
        }
    }
}

impl<D: Disk> Pump<D> {
    pub(super) fn truncate(&mut self, before: u64) {
        let Some(backlog) = &mut self.backlog else { return };
        backlog.truncate_to = backlog.truncate_to.max(before);
        if backlog.truncating.is_some() {
            return;
        }
        backlog.truncating = Some(backlog.truncate_to);
        let truncated = backlog.spill.truncate(backlog.truncate_to);
        self.work.push(Box::pin(async move { Done::Truncated(truncated.await) }));
    }

    pub(super) fn truncated(&mut self, truncated: Result<u64, WalError>) {
        let Some(backlog) = &mut self.backlog else { return };
        let (done, to) = (backlog.truncating.take(), backlog.truncate_to);
        let room = backlog.spill.room();
        if room.used < backlog.room.used {
            // There is room again: nobody has to wait for the next attempt.
            backlog.retry_at = Nanos(0);
            if backlog.full {
                backlog.overcome();
            }
        }
        backlog.room = room;
        match truncated {
            Ok(_) if done < Some(to) => self.truncate(to),
            Ok(_) => {}
            // The next progress tries again.
            Err(error) => self.show_trouble(&error),
        }
    }

    /// A record that is on disk was delivered.
    pub(super) fn delivered_from_disk(&mut self, sink: usize, stored: Stored, receipt: Receipt) {
        let now = self.shared.clock.now();
        let waited = self.backlog.as_mut().and_then(|backlog| backlog.deliver(stored, now));
        if let Some((mut answer, asked)) = waited {
            let outcome: Result<Safe, SendError> = self.delivered(sink, receipt, asked);
            answer.settle(outcome);
            self.free(0, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::Duty;
    use crate::options::{Driver, SpillOptions};
    use bytes::Bytes;
    use seawall_core::Record;
    use seawall_testkit::SimClock;
    use seawall_wal::disk::SimDisk;
    use std::sync::Arc;

    fn backlog() -> Backlog<SimDisk> {
        let (options, clock) = (SpillOptions::new("/spill", "tests"), Arc::new(SimClock::new()));
        let (spill, found) = Spill::open(SimDisk::new(1), options, clock, Driver::Inline).unwrap();
        Backlog::new(spill, found, &ReplayOptions::default(), Nanos(0))
    }

    fn entry(deadline: u64) -> Entry {
        let outgoing = Outgoing {
            topic: "orders".into(),
            partition: None,
            record: Record::new(None::<Bytes>, Bytes::new()),
        };
        let duty = Duty {
            weight: 1,
            bytes: 1,
            bucket: Bucket::of("orders", None),
            asked: Durability::Replicated,
            answer: Answer::callback(|_| {}),
            taken: Nanos(0),
            deadline: Nanos(deadline),
            attempted: false,
            shadow: None,
            dealt: false,
        };
        Entry { outgoing, duty }
    }

    #[test]
    fn each_hears_at_its_own_time_whatever_the_order_on_disk() {
        let mut backlog = backlog();
        for (seq, deadline) in [(0, 45), (1, 30), (2, 60)] {
            let waiting = Waiting {
                answer: Answer::callback(|_| {}),
                asked: Durability::Replicated,
                deadline: Nanos(deadline),
            };
            backlog.wait(seq, waiting);
        }
        assert_eq!(backlog.next_waiting(), Some(Nanos(30)));
        assert_eq!(backlog.expire_waiting(Nanos(29)).len(), 0);
        assert_eq!(backlog.expire_waiting(Nanos(30)).len(), 1);
        assert_eq!(backlog.expire_waiting(Nanos(50)).len(), 1);
        assert_eq!((backlog.next_waiting(), backlog.waiting.len()), (Some(Nanos(60)), 1));
        // And in the queue for it, where one lane's records stand behind another's.
        for deadline in [45, 30, 60] {
            backlog.enqueue(entry(deadline));
        }
        let expire = |backlog: &mut Backlog<SimDisk>, now| {
            let (expired, _, next) = backlog.expire_queue(Nanos(now));
            (expired.len(), next)
        };
        assert_eq!(expire(&mut backlog, 29), (0, Nanos(30)));
        assert_eq!(expire(&mut backlog, 30), (1, Nanos(45)));
        assert_eq!(expire(&mut backlog, 100), (2, Nanos(u64::MAX)));
    }

    #[test]
    fn a_progress_that_tells_much_is_written_more_seldom() {
        let mut backlog = backlog();
        for (runs, after) in [(10, 1), (5_000, 5)] {
            // None of them touches another, and the first of all is not delivered.
            (0..runs).for_each(|run| backlog.progress.done(1 + 2 * run));
            backlog.fresh_since = None;
            backlog.owe_progress(Nanos(0));
            backlog.records = 1;
            let at = Nanos(after * 1_000_000_000);
            assert_eq!(backlog.checkpoint_at(), Some(at));
            assert!(backlog.checkpoint(Nanos(at.0 - 1)).is_none() && backlog.checkpoint(at).is_some());
        }
        assert_eq!(CHECKPOINT_BYTES_RUN * 5_000, 160_000, "less than a checkpoint's own");
        backlog.fresh_bytes = 1 << 20;
        assert!(backlog.checkpoint(Nanos(0)).is_some());
        backlog.fresh_since = None;
        assert!(backlog.checkpoint(Nanos(0)).is_none(), "nothing is owed");
    }

    #[test]
    fn a_read_that_begins_again_passes_no_record_that_waits_for_its_block() {
        let mut backlog = backlog();
        let frames = (10..14).map(|seq| Frame { seq, payload: Bytes::from_static(&[frame::INSIDE]) });
        for frame in frames {
            backlog.unpacker.unpack(frame, |_| true, &mut Vec::new()).unwrap();
        }
        backlog.read_next = 14;
        backlog.rewind(12, std::iter::empty());
        assert_eq!(backlog.read_next, 10);
    }
}
