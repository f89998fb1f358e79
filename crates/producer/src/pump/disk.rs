//! What is on disk, and what is on its way there.

use super::hold::Held;
use super::lane::{Load, Sent};
use super::replay::NoRoomAside;
use super::{Done, Pump};
use crate::answer::{Answer, Settled};
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
use crate::spill::{Spill, encode};
use crate::stats::Path;
use bytes::BytesMut;
use seawall_core::{Durability, Nanos, Outgoing, Receipt};
use seawall_wal::{Appended, Disk, Frame, WalError};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Progress is made durable after so long at the latest.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(1);

/// Below this the rest of a backlog is waited for in memory.
const DRAINING_BYTES: u64 = 1 << 20;

/// After so many failed appends in a row keys go on though their progress is not on disk.
const UNPROVEN_AFTER: u32 = 3;

/// A batch on its way to the disk.
pub(super) struct Appending {
    entries: Vec<Entry>,
    /// Bytes of each one's frame.
    bytes: Vec<usize>,
    /// It ends with the progress up to here, which proves the delivery of records of these keys.
    checkpoint: Option<(Proof, Vec<(u64, Bucket)>)>,
}

/// A caller that waits for a record on disk to be delivered.
struct Waiting {
    answer: Answer,
    asked: Durability,
    deadline: Nanos,
}

pub(super) struct Backlog<D: Disk> {
    pub(super) spill: Spill<D>,
    pub(super) keys: Keys,
    pub(super) progress: Progress,
    queue: VecDeque<Entry>,
    appending: Option<Appending>,
    /// One past the last frame that is on disk.
    pub(super) next: u64,
    /// Records on disk that are not delivered, and bytes of them.
    pub(super) records: u64,
    pub(super) bytes: u64,
    waiting: BTreeMap<u64, Waiting>,
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
    /// What was delivered beyond the progress on disk. Until that covers it a crash would deliver it again, so no later
    /// record of its key may go another way. Bounded by the window.
    unproven: Vec<(u64, Bucket)>,
    /// Delivered since the last checkpoint: records, bytes, and since when.
    fresh: (u64, u64),
    fresh_since: Nanos,
    checkpoint_bytes: u64,
    /// Runs that a checkpoint may tell of.
    pub(super) runs_max: usize,
    truncating: bool,
    /// Appends that failed in a row.
    failures: u32,
    retry_at: Nanos,
    pub(super) trouble: Option<String>,
    /// Records that a sink refused for good, and for which there was no room aside.
    pub(super) not_aside: BTreeSet<u64>,
    pub(super) room: Room,
    batch_bytes: usize,
    /// Frames are encoded into it.
    buffer: BytesMut,
}

/// Why the disk takes nothing although the file system would.
#[derive(Debug, thiserror::Error)]
#[error("the spill's budget is used up: {used} of {max} bytes for records")]
struct BudgetUsedUp {
    used: u64,
    max: u64,
}

impl<D: Disk> Backlog<D> {
    pub(super) fn new(spill: Spill<D>, found: Found, replay: &ReplayOptions, now: Nanos) -> Self {
        let (room, options) = (spill.room(), spill.options());
        Self {
            batch_bytes: options.batch_bytes,
            runs_max: runs_max(options.segment_bytes()),
            read_next: found.progress.watermark(),
            keys: found.keys,
            progress: found.progress,
            next: found.next,
            records: found.records,
            bytes: found.bytes,
            spill,
            queue: VecDeque::new(),
            appending: None,
            waiting: BTreeMap::new(),
            unpacker: Unpacker::default(),
            ahead: VecDeque::new(),
            pacer: Pacer::new(replay.bytes_per_second),
            reading: None,
            read_high: 0,
            skip: BTreeSet::new(),
            held: Held::default(),
            read_retry_at: now,
            window_bytes: 0,
            unproven: Vec::new(),
            fresh: (0, 0),
            fresh_since: now,
            checkpoint_bytes: replay.checkpoint_bytes,
            truncating: false,
            failures: 0,
            retry_at: now,
            trouble: None,
            not_aside: BTreeSet::new(),
            room,
            buffer: BytesMut::new(),
        }
    }

    pub(super) fn state(&self, now: Nanos) -> DiskState {
        if self.is_usable(now) { DiskState::Usable } else { DiskState::Trouble }
    }

    pub(super) fn is_usable(&self, now: Nanos) -> bool {
        now >= self.retry_at
    }

    /// Whether there is room to put these records aside.
    pub(super) fn can_refuse(&self, records: &[(String, Outgoing)]) -> bool {
        let bytes =
            |appending: &Appending| appending.entries.iter().map(|entry| entry.weight as u64).sum::<u64>();
        self.spill.can_refuse(records, self.appending.as_ref().map_or(0, bytes))
    }

    /// What is wrong with the disk, as it is told.
    pub(super) fn trouble_shown(&self) -> Option<String> {
        self.trouble.clone().or_else(|| (!self.not_aside.is_empty()).then(|| NoRoomAside.to_string()))
    }

    /// Records on disk or on their way to it.
    pub(super) fn outstanding(&self) -> u64 {
        let appending = self.appending.as_ref().map_or(0, |appending| appending.entries.len());
        self.records + (self.queue.len() + appending) as u64
    }

    pub(super) fn has_queue(&self) -> bool {
        let appends = |appending: &Appending| !appending.entries.is_empty();
        !self.queue.is_empty() || self.appending.as_ref().is_some_and(appends)
    }

    /// What is on disk is little, and all of it on its way: what follows it may as well wait in memory, else a key that is
    /// never quiet would go by the disk for ever.
    pub(super) fn is_draining(&self) -> bool {
        self.bytes <= DRAINING_BYTES
            && self.read_next >= self.next
            && self.reading.is_none()
            && !self.has_queue()
            && self.held.is_empty()
    }

    /// `entry` goes to the disk, and later ones of its key behind it.
    pub(super) fn enqueue(&mut self, entry: Entry) {
        self.keys.queue(entry.bucket);
        self.queue.push_back(entry);
    }

    /// One record on disk is dealt with; its caller, if one waits.
    pub(super) fn deliver(
        &mut self,
        seq: u64,
        bucket: Bucket,
        bytes: usize,
        now: Nanos,
    ) -> Option<(Answer, Durability)> {
        self.not_aside.remove(&seq);
        if self.progress.is_done(seq) {
            return None;
        }
        self.progress.done(seq);
        self.unproven.push((seq, bucket));
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes as u64);
        if self.fresh.0 == 0 {
            self.fresh_since = now;
        }
        self.fresh = (self.fresh.0 + 1, self.fresh.1 + bytes as u64);
        self.waiting.remove(&seq).map(|waiting| (waiting.answer, waiting.asked))
    }

    /// The progress that should be made durable now.
    fn checkpoint(&self, now: Nanos) -> Option<Proof> {
        let (records, bytes) = self.fresh;
        let due = bytes >= self.checkpoint_bytes
            || self.records == 0
            || now >= self.fresh_since.plus(CHECKPOINT_AFTER);
        (records > 0 && due).then(|| self.progress.proof(self.runs_max))
    }

    /// The queue's entries whose time is over, and when the next one's is.
    pub(super) fn expire_queue(&mut self, now: Nanos) -> (Vec<Entry>, Nanos) {
        let mut expired = Vec::new();
        while let Some(front) = self.queue.front() {
            // One that is in a call, too, goes back there.
            if now < front.deadline || front.shadow.is_some() {
                return (expired, if front.shadow.is_some() { Nanos(u64::MAX) } else { front.deadline });
            }
            if let Some(entry) = self.queue.pop_front() {
                self.keys.unqueue(entry.bucket);
                expired.push(entry);
            }
        }
        (expired, Nanos(u64::MAX))
    }

    /// The callers whose time is over while their records are on disk.
    pub(super) fn expire_waiting(&mut self, now: Nanos) -> Vec<Answer> {
        let mut expired = Vec::new();
        while self.next_waiting().is_some_and(|deadline| now >= deadline) {
            expired.extend(self.waiting.pop_first().map(|(_, waiting)| waiting.answer));
        }
        expired
    }

    pub(super) fn next_waiting(&self) -> Option<Nanos> {
        self.waiting.first_key_value().map(|(_, waiting)| waiting.deadline)
    }

    pub(super) fn abandon_queue(&mut self) -> Vec<Entry> {
        let appending = self.appending.take().map(|appending| appending.entries).unwrap_or_default();
        appending.into_iter().chain(self.queue.drain(..)).collect()
    }

    pub(super) fn abandon_waiting(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.waiting).into_values().map(|waiting| waiting.answer).collect()
    }

    /// The last progress, and the end of the logs.
    pub(super) async fn close(&mut self) {
        if self.fresh.0 > 0 {
            let progress = frame::progress(&self.progress.proof(self.runs_max));
            if let Err(error) = self.spill.append(vec![progress]).await {
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
    /// Has the next batch written, where there is one and none is on its way.
    pub(super) fn append(&mut self, now: Nanos) {
        let Some(backlog) = &mut self.backlog else { return };
        if backlog.appending.is_some() {
            return;
        }
        let checkpoint = backlog.checkpoint(now);
        if backlog.queue.is_empty() && checkpoint.is_none() {
            if backlog.fresh.0 > 0 {
                let at = backlog.fresh_since.plus(CHECKPOINT_AFTER);
                self.wake(at);
            }
            return;
        }
        if !backlog.is_usable(now) {
            let at = backlog.retry_at;
            return self.wake(at);
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let first = backlog.queue.front().map(|entry| entry.weight as u64);
        let room = first.and_then(|first| backlog.room.batch(first));
        let most = backlog.batch_bytes.min(room.map_or(usize::MAX, |room| room as usize));
        while let Some(weight) = backlog.queue.front().map(|entry| entry.weight) {
            if !entries.is_empty() && bytes + weight > most {
                break;
            }
            bytes += weight;
            entries.extend(backlog.queue.pop_front());
        }
        if room.is_none() && !entries.is_empty() {
            let error = BudgetUsedUp { used: backlog.room.used, max: backlog.room.max };
            let entries = std::mem::take(&mut entries);
            self.not_appended(entries, &error, now);
            self.finish_ended(now);
        }
        let Some(backlog) = &mut self.backlog else { return };
        if entries.is_empty() && checkpoint.is_none() {
            return;
        }
        let mut frames = encode(entries.iter().map(|entry| &entry.outgoing), bytes, &mut backlog.buffer);
        let bytes = frames.iter().map(bytes::Bytes::len).collect();
        frames.extend(checkpoint.as_ref().map(frame::progress));
        let checkpoint = checkpoint.map(|proof| {
            backlog.fresh = (0, 0);
            let proven = backlog.unproven.extract_if(.., |(seq, _)| proof.covers(*seq)).collect();
            (proof, proven)
        });
        let appended = backlog.spill.append(frames);
        backlog.appending = Some(Appending { entries, bytes, checkpoint });
        self.work.push(Box::pin(async move { Done::Appended(appended.await) }));
    }

    pub(super) fn appended(&mut self, appended: Result<Appended, WalError>, now: Nanos) {
        let Some(backlog) = &mut self.backlog else { return };
        let Some(Appending { entries, bytes, checkpoint }) = backlog.appending.take() else { return };
        match appended {
            Ok(appended) => {
                let count = entries.len() as u64;
                backlog.next = appended.next;
                (backlog.failures, backlog.trouble) = (0, None);
                if checkpoint.is_some() {
                    backlog.progress.done(appended.first + count);
                }
                backlog.room = backlog.spill.room();
                self.shared.stats.count(self.selector.active(), Path::Spill, count);
                let mut settled = Settled::default();
                for ((entry, bytes), seq) in entries.into_iter().zip(bytes).zip(appended.first..) {
                    self.on_disk(entry, seq, bytes, &mut settled);
                }
            }
            Err(error) => {
                if checkpoint.is_some() {
                    backlog.fresh = (backlog.fresh.0.max(1), backlog.fresh.1);
                }
                self.not_appended(entries, &error, now);
            }
        }
        // Room comes back whether or not the progress could be written: it is room that a full disk needs.
        if let Some((proof, proven)) = checkpoint {
            if let Some(backlog) = &mut self.backlog {
                // Nor do the keys wait for ever for a disk that takes nothing.
                if backlog.failures == 0 || backlog.failures >= UNPROVEN_AFTER {
                    for (_, bucket) in proven {
                        backlog.keys.deliver(bucket);
                    }
                } else {
                    backlog.unproven.extend(proven);
                }
            }
            self.truncate(proof.watermark);
        }
        self.finish_ended(now);
    }

    /// `entry` is on disk: its caller is told, or waits on.
    fn on_disk(&mut self, mut entry: Entry, seq: u64, bytes: usize, settled: &mut Settled) {
        let Some(backlog) = &mut self.backlog else { return };
        backlog.keys.unqueue(entry.bucket);
        backlog.keys.spill(entry.bucket);
        backlog.records += 1;
        backlog.bytes += bytes as u64;
        if let Some((lane, place)) = entry.shadow
            && let Some(Load::Live(sent)) = self.lanes[lane].flight.as_mut().map(|flight| &mut flight.load)
            && let Some(sent) = sent.get_mut(place)
        {
            *sent = Sent::OnDisk { seq, bucket: entry.bucket, bytes };
        }
        let (asked, deadline) = (entry.asked, entry.deadline);
        if asked <= Durability::Synced || entry.answer.is_settled() {
            settled.add(&mut entry.answer, Ok(Safe::Spilled { seq }));
            self.free(entry.weight, 1);
        } else {
            let answer = std::mem::replace(&mut entry.answer, Answer::nobody());
            backlog.waiting.insert(seq, Waiting { answer, asked, deadline });
            self.free(entry.weight, 0);
        }
    }

    /// The disk did not take `entries`: they wait in memory, and so does the disk.
    fn not_appended(&mut self, entries: Vec<Entry>, why: &(dyn std::error::Error + 'static), now: Nanos) {
        let Some(backlog) = &mut self.backlog else { return };
        backlog.failures += 1;
        backlog.retry_at = now.plus(self.shared.options.backoff.delay(backlog.failures, 0));
        let at = backlog.retry_at;
        for entry in entries.into_iter().rev() {
            backlog.queue.push_front(entry);
        }
        // Those whose key has nothing on disk may go to the sink, should it come back first.
        let queue = std::mem::take(&mut backlog.queue);
        let mut back = Vec::new();
        for entry in queue {
            if entry.shadow.is_none() && backlog.keys.on_disk(entry.bucket) {
                backlog.queue.push_back(entry);
            } else {
                backlog.keys.unqueue(entry.bucket);
                back.push(entry);
            }
        }
        let lanes = self.lanes.len();
        for mut entry in back.into_iter().rev() {
            if let Some((lane, place)) = entry.shadow.take() {
                let flight = self.lanes[lane].flight.as_mut();
                if let Some(Load::Live(sent)) = flight.map(|flight| &mut flight.load)
                    && let Some(sent) = sent.get_mut(place)
                {
                    *sent = Sent::Mine(entry);
                }
            } else {
                let lane = entry.bucket.lane(lanes).unwrap_or(0);
                self.lanes[lane].push_back_to_front(entry);
            }
        }
        self.wake(at);
        self.show_trouble(why);
    }

    /// Calls that ended while records of theirs were on their way to the disk.
    fn finish_ended(&mut self, now: Nanos) {
        for at in 0..self.lanes.len() {
            let ended = self.lanes[at].flight.as_mut().filter(|flight| !flight.has_queued());
            if let Some(answers) = ended.and_then(|flight| flight.answers.take()) {
                self.answered(at, answers, now);
            }
        }
    }

    fn truncate(&mut self, before: u64) {
        let Some(backlog) = &mut self.backlog else { return };
        if backlog.truncating {
            return;
        }
        backlog.truncating = true;
        let truncated = backlog.spill.truncate(before);
        self.work.push(Box::pin(async move { Done::Truncated(truncated.await) }));
    }

    pub(super) fn truncated(&mut self, truncated: Result<u64, WalError>) {
        let Some(backlog) = &mut self.backlog else { return };
        backlog.truncating = false;
        let room = backlog.spill.room();
        if room.used < backlog.room.used {
            // There is room again: nobody has to wait for the next attempt.
            backlog.retry_at = Nanos(0);
        }
        backlog.room = room;
        if let Err(error) = truncated {
            self.show_trouble(&error);
        }
    }

    /// A record that is on disk was delivered.
    pub(super) fn delivered_from_disk(
        &mut self,
        sink: usize,
        record: (u64, Bucket, usize),
        receipt: Receipt,
    ) {
        let (seq, bucket, bytes) = record;
        let now = self.shared.clock.now();
        let waited = self.backlog.as_mut().and_then(|backlog| backlog.deliver(seq, bucket, bytes, now));
        if let Some((mut answer, asked)) = waited {
            let outcome: Result<Safe, SendError> = self.delivered(sink, receipt, asked);
            answer.settle(outcome);
            self.free(0, 1);
        }
    }
}
