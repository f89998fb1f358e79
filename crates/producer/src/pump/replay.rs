//! From the disk to the sink: read ahead a little, sent in order.

use super::disk::Backlog;
use super::lane::{Answers, Lane, Replayed, Stored};
use super::park::Refused;
use super::settle::in_order;
use super::{Done, Pump};
use crate::producer::ENTRY_BYTES;
use crate::spill::frame::Content;
use crate::spill::keys::Bucket;
use crate::spill::unpack::Unpacked;
use crate::stats::Path;
use seawall_core::{Class, Fault, Nanos};
use seawall_wal::{Disk, Frames, WalError};
use std::collections::BTreeSet;
use std::time::Duration;

/// After a read that failed.
const READ_RETRY: Duration = Duration::from_secs(5);
/// After a read that found nothing.
const READ_AGAIN: Duration = Duration::from_millis(100);
/// Read at a time at most.
const READ_BYTES: usize = 1 << 20;
/// Read while the sink is away: enough to ask it whether it is back. Each time it says no, so many times more, because
/// something else may be what it takes,
const PROBE_BYTES: usize = 64 << 10;
const PROBE_TIMES: usize = 4;
/// and after so many times what fills the window is set apart, to read on by a window at a time,
const PROBES_ALIKE: u32 = 4;
/// where it is no more keys than these: a sink that takes nothing of many is gone.
const KEYS_ALIKE: usize = 16;
const WINDOW_AFTER: Duration = Duration::from_secs(5);

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
        let may_read = self.may_read(now);
        let unproven_max = window / ENTRY_BYTES;
        let Some(backlog) = &mut self.backlog else { return };
        if backlog.is_hanging(now) && backlog.unproven.len() >= unproven_max {
            // What it delivers is remembered until the disk has heard of it.
            return;
        }
        if self.selector.is_up(now) {
            backlog.away_bytes = 0;
        } else if self.failed < PROBES_ALIKE {
            window = window.min(PROBE_BYTES * PROBE_TIMES.pow(self.failed));
        } else if backlog.away_bytes >= may_read {
            return;
        }
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
            self.load(now);
            // The lanes were looked at before.
            return self.wake(now);
        }
        backlog.ahead.clear();
        backlog.reading = Some(backlog.read_next);
        let read = backlog.spill.read(backlog.read_next, READ_BYTES.min(window));
        self.work.push(Box::pin(async move { Done::Read(read.await) }));
    }

    /// How much may be read while the sink is away: a window, and another each few seconds.
    fn may_read(&self, now: Nanos) -> usize {
        let windows = now.since(self.failed_since).as_secs() / WINDOW_AFTER.as_secs();
        self.shared.options.replay.window_bytes.saturating_mul(windows as usize + 1)
    }

    /// Whether the records of a call that failed (`load`), and those of other lanes that fail, are all that the window has room
    /// for: then nothing else can show whether it is they that fail, or the sink.
    pub(super) fn is_all_there_is(&self, load: &[Stored]) -> bool {
        if self.failed < PROBES_ALIKE {
            return false;
        }
        let fails =
            |lane: &Lane| lane.live.is_empty() && (lane.failed_at.is_some() || lane.replay.is_empty());
        let window = self.shared.options.replay.window_bytes;
        let full = |backlog: &Backlog<D>| {
            backlog.window_bytes >= window && backlog.reading.is_none() && backlog.read_next < backlog.next
        };
        if !self.lanes.iter().all(fails) || !self.backlog.as_ref().is_some_and(full) {
            return false;
        }
        let loaded = self.lanes.iter().flat_map(|lane| lane.replay.iter().map(|record| record.stored.bucket));
        loaded.chain(load.iter().map(|stored| stored.bucket)).collect::<BTreeSet<_>>().len() <= KEYS_ALIKE
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
        let weights = frames.frames.iter().map(|frame| frame.payload.len() + ENTRY_BYTES);
        backlog.away_bytes = backlog.away_bytes.saturating_add(weights.sum());
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
                let Content::Record(mut outgoing) = content else {
                    backlog.progress.done(seq);
                    continue;
                };
                let bucket = Bucket::of(&outgoing.topic, outgoing.record.key.as_deref());
                if !backlog.held.has(bucket) {
                    // Behind the call that it is in, where it is in one: it is sent again only if that fails.
                    let call = || backlog.in_call.get(&seq).copied();
                    let lane = bucket.lane(lanes).or_else(call).unwrap_or(seq as usize % lanes);
                    if self.lanes[lane].is_slow(now) {
                        outgoing.record.detach();
                    }
                    let replayed = Replayed { stored: Stored { seq, bytes, bucket }, outgoing };
                    backlog.window_bytes += replayed.weight();
                    self.lanes[lane].replay.push_back(replayed);
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
            backlog.window_bytes = backlog.window_bytes.saturating_sub(front.weight());
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
                        backlog.window_bytes = backlog.window_bytes.saturating_sub(replayed.weight());
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
}
