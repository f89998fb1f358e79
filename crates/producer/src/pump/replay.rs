//! From the disk to the sink: read ahead a little, sent in order, put aside where a sink refuses for good.

use super::disk::Backlog;
use super::lane::{Answers, Replayed, Stored};
use super::settle::in_order;
use super::{Done, Pump};
use crate::error::SendError;
use crate::spill::frame::Content;
use crate::spill::keys::Bucket;
use crate::spill::unpack::Unpacked;
use crate::stats::Path;
use seawall_core::{Class, Fault, Nanos};
use seawall_wal::{Disk, Frames, WalError};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// After a read that failed.
const READ_RETRY: Duration = Duration::from_secs(5);
/// After a read that found nothing.
const READ_AGAIN: Duration = Duration::from_millis(100);
/// Read at a time at most.
const READ_BYTES: usize = 1 << 20;
/// Read ahead while the sink is away: enough to ask it whether it is back.
const PROBE_BYTES: usize = 64 << 10;

/// Why what a sink refused is not put aside.
#[derive(Debug, thiserror::Error)]
#[error("what sinks refused for good has used up its room: `seawall wal export --which refused` prints it")]
pub(super) struct NoRoomAside;

/// Records that a sink refused for good, with what it said.
pub(super) type Refused = Vec<(Replayed, Fault)>;

impl<D: Disk> Backlog<D> {
    /// What calls that took long delivered is not read, and its segments may be gone.
    fn pass_delivered(&mut self) {
        let watermark = self.progress.watermark();
        if self.read_next < watermark {
            self.read_next = watermark;
            self.ahead.clear();
        }
    }
}

impl<D: Disk> Pump<D> {
    /// Reads on, as far as the window goes. While the sink is away a little is read all the same: what is read is what
    /// probes it. The rest stays where it is, so that writing to the disk does not share it with reading.
    pub(super) fn read_on(&mut self, now: Nanos) {
        let mut window = self.shared.options.replay.window_bytes;
        if !self.selector.is_up(now) {
            window = window.min(PROBE_BYTES);
        }
        let Some(backlog) = &mut self.backlog else { return };
        backlog.pass_delivered();
        if backlog.reading.is_some()
            || backlog.read_next >= backlog.next
            || backlog.window_bytes >= window
            || backlog.is_too_ragged()
        {
            return;
        }
        if now < backlog.read_retry_at {
            let at = backlog.read_retry_at;
            return self.wake(at);
        }
        if backlog.ahead.front().is_some_and(|frame| frame.seq == backlog.read_next) {
            return self.load(now);
        }
        backlog.ahead.clear();
        backlog.reading = Some(backlog.read_next);
        let read = backlog.spill.read(backlog.read_next, READ_BYTES.min(window));
        self.work.push(Box::pin(async move { Done::Read(read.await) }));
    }

    pub(super) fn read(&mut self, read: Result<Frames, WalError>, now: Nanos) {
        let Some(backlog) = &mut self.backlog else { return };
        backlog.pass_delivered();
        if backlog.reading.take() != Some(backlog.read_next) {
            // It goes on from elsewhere: further in front, or behind what was delivered meanwhile.
            return;
        }
        let frames = match read {
            Ok(frames) => frames,
            Err(error) => {
                backlog.read_retry_at = now.plus(READ_RETRY);
                return self.show_trouble(&error);
            }
        };
        if frames.frames.is_empty() {
            // What is not durable yet, or no longer there: asking at once again would spin.
            backlog.read_retry_at = now.plus(READ_AGAIN);
        }
        backlog.ahead = frames.frames.into();
        self.load(now);
    }

    /// Gives the lanes what was read, as far as the window goes: compressed, it is more than was read.
    fn load(&mut self, now: Nanos) {
        let (lanes, window) = (self.lanes.len(), self.shared.options.replay.window_bytes);
        let Some(backlog) = &mut self.backlog else { return };
        let mut found = Vec::new();
        // A batch may be readable before the pump has heard that it is written.
        while backlog.window_bytes < window
            && let Some(frame) = backlog.ahead.pop_front_if(|frame| frame.seq < backlog.next)
        {
            let (seq, progress, skip) = (frame.seq, &backlog.progress, &backlog.skip);
            let wanted = |seq| !progress.is_done(seq) && !skip.contains(&seq);
            if let Err(error) = backlog.unpacker.unpack(frame, wanted, &mut found) {
                // Its checksum fits, so a defect wrote it: nothing may pass it.
                backlog.read_retry_at = now.plus(READ_RETRY);
                backlog.ahead.clear();
                return self.show_trouble(&error);
            }
            for Unpacked { seq, bytes, content } in found.drain(..) {
                let Content::Record(outgoing) = content else {
                    backlog.progress.done(seq);
                    continue;
                };
                let bucket = Bucket::of(&outgoing.topic, outgoing.record.key.as_deref());
                if !backlog.held.has(bucket) {
                    // Behind the call that it is in, where it is in one: it is sent again only if that fails.
                    let call = || backlog.in_call.get(&seq).copied();
                    let lane = bucket.lane(lanes).or_else(call).unwrap_or(seq as usize % lanes);
                    backlog.window_bytes += bytes;
                    self.lanes[lane]
                        .replay
                        .push_back(Replayed { stored: Stored { seq, bytes, bucket }, outgoing });
                }
            }
            backlog.read_next = seq + 1;
        }
        if backlog.read_next >= backlog.read_high {
            backlog.skip.clear();
        }
    }

    pub(super) fn is_replay_due(&mut self, at: usize, now: Nanos) -> bool {
        let Some(backlog) = &mut self.backlog else { return false };
        let lane = &mut self.lanes[at];
        // Delivered by a call that took long, after they were read.
        while let Some(front) = lane.replay.front().filter(|front| backlog.progress.is_done(front.stored.seq))
        {
            backlog.window_bytes = backlog.window_bytes.saturating_sub(front.stored.bytes);
            lane.replay.pop_front();
        }
        if lane.replay.is_empty() || self.closing.is_some() {
            return false;
        }
        let next = backlog.pacer.next();
        if now < next {
            self.wake(next);
        }
        now >= next
    }

    /// Whether it left records that wait in the lane itself.
    pub(super) fn settle_replay(
        &mut self,
        at: usize,
        sink: usize,
        load: Vec<Replayed>,
        answers: Answers,
        hold: Option<Nanos>,
    ) -> bool {
        let room = self.note_refused(&load, &answers);
        let aside = |fault: &Fault| room && fault.class() == Class::Permanent;
        let buckets = load.iter().map(|replayed| Some(replayed.stored.bucket));
        let answers = in_order(buckets, answers, |fault| !aside(fault));
        let hold = hold.or_else(|| (!room).then(|| self.shared.clock.now()));
        let (mut again, mut refused, mut delivered) = (Vec::new(), Refused::new(), 0);
        for (replayed, answer) in load.into_iter().zip(answers) {
            match answer {
                Ok(receipt) => {
                    delivered += 1;
                    if let Some(backlog) = &mut self.backlog {
                        backlog.window_bytes = backlog.window_bytes.saturating_sub(replayed.stored.bytes);
                    }
                    self.delivered_from_disk(sink, replayed.stored, receipt);
                }
                Err(fault) if aside(&fault) => refused.push((replayed, fault)),
                Err(_) => again.push(replayed),
            }
        }
        self.shared.stats.count(sink, Path::Replay, delivered);
        self.shared.stats.gauges().replayed += delivered;
        if let Some(now) = hold {
            again = self.hold(at, again, now);
        }
        let left = !again.is_empty();
        for replayed in again.into_iter().rev() {
            self.lanes[at].replay.push_front(replayed);
        }
        if !refused.is_empty() {
            self.park(at, sink, refused);
        }
        left
    }

    /// Whether there is room aside for what a sink refused for good. Where there is none, that stays like what failed, and is
    /// told.
    fn note_refused(&mut self, load: &[Replayed], answers: &Answers) -> bool {
        let Some(backlog) = &mut self.backlog else { return true };
        let refused = load.iter().zip(answers).filter_map(|(replayed, answer)| match answer {
            Err(fault) if fault.class() == Class::Permanent => Some((replayed, fault)),
            _ => None,
        });
        let kept: Vec<_> =
            refused.clone().map(|(replayed, fault)| (fault.to_string(), replayed.outgoing.clone())).collect();
        if kept.is_empty() || backlog.can_refuse(&kept) {
            return true;
        }
        let numbers = refused.map(|(replayed, _)| replayed.stored.seq).collect();
        self.not_aside(numbers);
        false
    }

    /// These were refused for good, and there is no room for them aside.
    fn not_aside(&mut self, numbers: Vec<u64>) {
        let Some(backlog) = &mut self.backlog else { return };
        let first = backlog.not_aside.is_empty();
        backlog.not_aside.extend(numbers);
        if first {
            self.show_trouble(&NoRoomAside);
        }
    }

    /// Puts aside what a sink refused for good. Its receipt was given, so it is kept, for a person.
    /// Where there is no room for it, it stays on disk and holds up its own key.
    pub(super) fn park(&mut self, at: usize, sink: usize, refused: Refused) {
        let Some(backlog) = &mut self.backlog else { return };
        let kept: Vec<_> =
            refused.iter().map(|(record, fault)| (fault.to_string(), record.outgoing.clone())).collect();
        if !backlog.can_refuse(&kept) {
            return self.not_parked(at, refused);
        }
        self.lanes[at].parking.extend(refused.iter().map(|(record, _)| record.stored.seq));
        let parked = backlog.spill.refuse(&kept);
        backlog.room = backlog.spill.room();
        self.work.push(Box::pin(async move {
            let done = parked.await.map_err(Fault::from);
            Done::Parked { lane: at, sink, refused, done }
        }));
    }

    fn not_parked(&mut self, at: usize, refused: Refused) {
        let now = self.shared.clock.now();
        self.not_aside(refused.iter().map(|(record, _)| record.stored.seq).collect());
        let left = self.hold(at, refused.into_iter().map(|(record, _)| record).collect(), now);
        if !left.is_empty() {
            self.back_to_lane(at, left, now);
        }
    }

    /// Records of the replay that are asked for again, and their lane waits for it.
    fn back_to_lane(&mut self, at: usize, records: Vec<Replayed>, now: Nanos) {
        let lane = &mut self.lanes[at];
        lane.replay.extend(records);
        lane.replay.make_contiguous().sort_by_key(|record| record.stored.seq);
        lane.partly += 1;
        lane.retry_at = now.plus(self.shared.options.backoff.delay(lane.partly, 0));
    }

    pub(super) fn parked(
        &mut self,
        at: usize,
        sink: usize,
        refused: Refused,
        done: Result<(), Fault>,
        now: Nanos,
    ) {
        self.lanes[at].parking.retain(|seq| !refused.iter().any(|(record, _)| record.stored.seq == *seq));
        let Some(backlog) = &mut self.backlog else { return };
        if let Err(fault) = done {
            self.back_to_lane(at, refused.into_iter().map(|(record, _)| record).collect(), now);
            return self.show_trouble(fault.error());
        }
        let mut answers = Vec::new();
        for (record, fault) in &refused {
            backlog.window_bytes = backlog.window_bytes.saturating_sub(record.stored.bytes);
            let waited = backlog.deliver(record.stored, now);
            answers.extend(waited.map(|(answer, _)| (answer, fault.clone())));
        }
        backlog.room = backlog.spill.room();
        self.shared.stats.refused.fetch_add(refused.len() as u64, Relaxed);
        for (mut answer, fault) in answers {
            let sink = Arc::clone(&self.shared.targets[sink].name);
            answer.settle(Err(SendError::Refused { sink, fault }));
            self.free(0, 1);
        }
        if let Some((_, fault)) = refused.first() {
            self.show_refused(refused.len() as u64, fault);
        }
    }
}
