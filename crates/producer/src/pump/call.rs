//! Calls of a sink: begun, taking long, ended.

use super::lane::{Answers, Flight, Load, Replayed, Sent};
use super::{Done, Pump};
use crate::answer::Settled;
use crate::error::{Left, SendError};
use crate::grade::Safe;
use crate::inbox::Entry;
use crate::route::{Grant, Reported};
use crate::sink::BoxFuture;
use crate::spill::keys::Bucket;
use crate::stats::Path;
use futures_util::FutureExt;
use seawall_core::{Class, Classify, Durability, Fault, Nanos, Outgoing, Receipt};
use seawall_wal::Disk;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// Calls in a row of which a part failed, before that part goes to the disk.
const PARTLY_MAX: u32 = 2;

/// What a sink did instead of answering.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the sink gave no answer for {0:?}")]
    Late(Duration),
    #[error("the sink answered for fewer records than it was given")]
    Short,
    #[error("the sink panicked")]
    Panicked,
}

impl Classify for NoAnswer {
    fn class(&self) -> Class {
        match self {
            Self::Late(_) => Class::Transient,
            Self::Short | Self::Panicked => Class::Bug,
        }
    }
}

/// Takes back the receipts of records that overtook an earlier one of their key in the same call, which is sent again:
/// they follow it again.
pub(super) fn in_order(buckets: impl Iterator<Item = Option<Bucket>>, mut answers: Answers) -> Answers {
    let mut failed: Vec<(Bucket, Fault)> = Vec::new();
    for (bucket, answer) in buckets.zip(&mut answers) {
        let Some(bucket) = bucket.filter(|bucket| bucket.lane(1).is_some()) else { continue };
        let earlier = failed.iter().find(|(other, _)| *other == bucket).map(|(_, fault)| fault.clone());
        match (&answer, earlier) {
            (Ok(_), Some(fault)) => *answer = Err(fault),
            (Err(fault), None) if fault.class() != Class::Permanent => failed.push((bucket, fault.clone())),
            _ => {}
        }
    }
    answers
}

impl<D: Disk> Pump<D> {
    /// Begins a lane's next call, where there is something to send and a sink to send it to.
    pub(super) fn dispatch(&mut self, at: usize, now: Nanos) {
        let lane = &self.lanes[at];
        if let Some(flight) = &lane.flight {
            let patience = flight.grant.started.plus(self.shared.options.patience);
            if flight.answers.is_some() {
                return;
            }
            if now < patience {
                self.wake(patience);
            } else {
                self.stall(at);
                self.spill_lane_stalled(at, now);
            }
            return;
        }
        if !lane.parking.is_empty() || (lane.live.is_empty() && lane.replay.is_empty()) {
            return;
        }
        if now < lane.retry_at {
            let retry_at = lane.retry_at;
            self.wake(retry_at);
            return self.settle_waiting(at, now);
        }
        let live = self.is_live_due(at, now);
        let replay = self.is_replay_due(at, now);
        if !live && !replay {
            return;
        }
        match self.selector.pick(now) {
            Ok((grant, switch)) => {
                if let Some(switch) = switch {
                    self.show_switch(switch);
                }
                self.begin(at, grant, live, replay);
            }
            Err(again) => {
                self.wake(again);
                self.settle_waiting(at, now);
            }
        }
    }

    /// Whether live records wait, and long enough.
    fn is_live_due(&mut self, at: usize, now: Nanos) -> bool {
        let options = &self.shared.options;
        let lane = &self.lanes[at];
        let Some(first) = lane.live.front() else { return false };
        let due = first.duty.taken.plus(options.linger);
        let full = lane.live_bytes >= options.batch_bytes.min(lane.live_stride.bytes())
            || lane.live.len() >= options.batch_records;
        if full || first.duty.attempted || now >= due || self.closing.is_some() {
            return true;
        }
        self.wake(due);
        false
    }

    fn begin(&mut self, at: usize, grant: Grant, live: bool, replay: bool) {
        let both = live && replay;
        let replays = replay && (!live || self.lanes[at].turn.is_replays(self.shared.options.replay.share));
        let mut begun = if replays { self.begin_replay(at, grant) } else { self.begin_live(at, grant) };
        if begun.is_none() && both && !replays {
            begun = self.begin_replay(at, grant);
        }
        match begun {
            Some((replays, bytes)) if both => self.lanes[at].turn.count(replays, bytes),
            Some(_) => {}
            // Everything that waited follows others of its key to the disk.
            None => self.selector.on_abandoned(grant),
        }
    }

    fn begin_live(&mut self, at: usize, grant: Grant) -> Option<(bool, usize)> {
        let (bytes_max, records_max) = (self.shared.options.batch_bytes, self.shared.options.batch_records);
        let bytes_max = bytes_max.min(self.lanes[at].live_stride.bytes());
        let most = self.lanes[at].live.len().min(records_max);
        let (mut bytes, mut sent, mut records) = (0, Vec::with_capacity(most), Vec::with_capacity(most));
        let mut deadline = Nanos(u64::MAX);
        while let Some(weight) = self.lanes[at].live.front().map(|entry| entry.duty.weight) {
            if !sent.is_empty() && (bytes + weight > bytes_max || sent.len() >= records_max) {
                break;
            }
            let Some(entry) = self.lanes[at].pop() else { break };
            if let Some(backlog) = &mut self.backlog
                && backlog.keys.blocks(entry.duty.bucket)
            {
                if backlog.is_draining() {
                    self.lanes[at].push_back_to_front(entry);
                    break;
                }
                backlog.enqueue(entry);
                continue;
            }
            bytes += weight;
            deadline = deadline.min(entry.duty.deadline);
            records.push(entry.outgoing.clone());
            sent.push(Sent::Mine(entry));
        }
        if sent.is_empty() {
            return None;
        }
        self.call(at, grant, Load::Live(sent), records, deadline);
        Some((false, bytes))
    }

    pub(super) fn call(
        &mut self,
        at: usize,
        grant: Grant,
        load: Load,
        records: Vec<Outgoing>,
        deadline: Nanos,
    ) {
        let answers = self.fly(grant, records);
        self.lanes[at].flight = Some(Flight { grant, load, stalled: false, answers: None, deadline });
        self.wake(grant.started.plus(self.shared.options.patience));
        self.work.push(Box::pin(async move { Done::Call { lane: at, answers: answers.await } }));
    }

    /// One call of a sink: as many answers as records, whatever it does.
    pub(super) fn fly(&self, grant: Grant, records: Vec<Outgoing>) -> BoxFuture<Answers> {
        let sink = Arc::clone(&self.shared.targets[grant.sink].sink);
        let (count, within) = (records.len(), self.shared.options.call_timeout);
        Box::pin(async move {
            let call = AssertUnwindSafe(async move { sink.send_boxed(records).await }).catch_unwind();
            let refused = |why: NoAnswer| vec![Err(Fault::from(why)); count];
            let mut answers = match tokio::time::timeout(within, call).await {
                Ok(Ok(answers)) => answers,
                Ok(Err(_)) => refused(NoAnswer::Panicked),
                Err(_) => refused(NoAnswer::Late(within)),
            };
            if answers.len() != count {
                answers.truncate(count);
                answers.resize_with(count, || Err(Fault::from(NoAnswer::Short)));
            }
            answers
        })
    }

    /// A call takes long: its records queue for the disk, too, and are sent from there only if it fails.
    pub(super) fn stall(&mut self, at: usize) {
        let Some(flight) = &mut self.lanes[at].flight else { return };
        flight.stalled = true;
        let (Some(backlog), Load::Live(sent)) = (&mut self.backlog, &mut flight.load) else { return };
        if flight.answers.is_some() {
            return;
        }
        for (place, sent) in sent.iter_mut().enumerate() {
            if matches!(sent, Sent::Mine(_))
                && let Sent::Mine(mut entry) = std::mem::replace(sent, Sent::Queued)
            {
                entry.duty.shadow = Some((at, place));
                backlog.enqueue(entry);
            }
        }
    }

    /// What waits behind a call that takes long does not wait for it.
    fn spill_lane_stalled(&mut self, at: usize, now: Nanos) {
        if self.backlog.as_ref().is_some_and(|backlog| backlog.is_usable(now)) {
            self.spill_lane(at);
        }
    }

    pub(super) fn answered(&mut self, at: usize, answers: Answers, now: Nanos) {
        let Some(mut flight) = self.lanes[at].flight.take() else { return };
        if flight.has_queued() {
            // Each of them is either on disk or back here in a moment.
            flight.answers = Some(answers);
            self.lanes[at].flight = Some(flight);
            return;
        }
        let failed = |fault: &Fault| fault.class() != Class::Permanent;
        let ok = answers.iter().any(|answer| !matches!(answer, Err(fault) if failed(fault)));
        let faults = || answers.iter().filter_map(|answer| answer.as_ref().err());
        let retry_after = faults().filter_map(Fault::retry_after).max();
        if let Some(fault) = faults().find(|fault| failed(fault)) {
            self.show_fault(fault);
        }
        let sink = flight.grant.sink;
        // A sink that took others' records since this lane's last whole failure is not what fails here.
        let lane = &mut self.lanes[at];
        let own =
            !ok && lane.failed_at.is_some_and(|failed_at| self.selector.answered_after(sink, failed_at));
        lane.failed_at = if ok { None } else { Some(now) };
        let partly = own || (ok && faults().any(failed));
        lane.partly = if partly { lane.partly + 1 } else { 0 };
        if own {
            self.selector.on_abandoned(flight.grant);
        } else if let Some(switch) = self.selector.on_result(now, flight.grant, Reported { ok, retry_after })
        {
            self.show_switch(switch);
        }
        let (took, whole) = (now.since(flight.grant.started), !faults().any(failed));
        let lane = &mut self.lanes[at];
        match &flight.load {
            Load::Replay(load) => {
                lane.stride.count(load.iter().map(|record| record.bytes).sum(), took, whole);
            }
            Load::Live(sent) => lane.live_stride.count(sent.iter().map(Sent::bytes).sum(), took, whole),
        }
        let left = match flight.load {
            Load::Live(sent) => self.settle_live(at, sink, sent, answers, now),
            Load::Replay(replayed) => self.settle_replay(at, sink, replayed, answers, partly.then_some(now)),
        };
        if partly && left {
            let lane = &mut self.lanes[at];
            let wait = self.shared.options.backoff.delay(lane.partly, at as u64);
            lane.retry_at = now.plus(wait.max(retry_after.unwrap_or_default()));
        }
    }

    /// Whether it left records that wait in the lane itself.
    fn settle_live(&mut self, at: usize, sink: usize, sent: Vec<Sent>, answers: Answers, now: Nanos) -> bool {
        let bucket = |sent: &Sent| match sent {
            Sent::Mine(entry) => Some(entry.duty.bucket),
            Sent::OnDisk { bucket, .. } => Some(*bucket),
            Sent::Queued => None,
        };
        let answers = in_order(sent.iter().map(bucket), answers);
        // Until the progress says that these were delivered, a crash would have them delivered once more, behind what
        // follows them here: so that, too, follows them once more.
        let on_disk = |sent: &Sent| match sent {
            Sent::OnDisk { bucket, .. } if bucket.lane(1).is_some() => Some(*bucket),
            _ => None,
        };
        let on_disk: Vec<Bucket> = sent.iter().filter_map(on_disk).collect();
        let mut again = Vec::new();
        let mut paths = [0_u64; 4];
        let mut settled = Settled::of(sent.len());
        for (sent, answer) in sent.into_iter().zip(answers) {
            match (sent, answer) {
                (Sent::Mine(entry), Ok(_)) if on_disk.contains(&entry.duty.bucket) => again.push(entry),
                (Sent::Mine(mut entry), Ok(receipt)) => {
                    let path = if entry.duty.attempted { Path::Buffer } else { Path::Direct };
                    paths[path as usize] += 1;
                    let outcome = self.delivered(sink, receipt, entry.duty.asked);
                    settled.add(&mut entry.duty.answer, outcome);
                    self.free(entry.duty.weight, 1);
                }
                (Sent::Mine(mut entry), Err(fault)) if fault.class() == Class::Permanent => {
                    let sink = Arc::clone(&self.shared.targets[sink].name);
                    settled.add(&mut entry.duty.answer, Err(SendError::Refused { sink, fault }));
                    self.free(entry.duty.weight, 1);
                }
                (Sent::Mine(entry), Err(_)) => again.push(entry),
                (Sent::OnDisk { seq, bucket, bytes }, Ok(receipt)) => {
                    paths[Path::Direct as usize] += 1;
                    self.delivered_from_disk(sink, (seq, bucket, bytes), receipt);
                }
                // It is on disk: the replay brings it, and hears what the sink says then.
                (Sent::OnDisk { .. }, Err(_)) | (Sent::Queued, _) => {}
            }
        }
        drop(settled);
        for path in Path::ALL {
            self.shared.stats.count(sink, path, paths[path as usize]);
        }
        let mut left = Vec::new();
        for mut entry in again {
            entry.duty.attempted = true;
            if entry.duty.answer.is_settled() || now >= entry.duty.deadline {
                self.time_out(&mut entry);
                self.free(entry.duty.weight, 1);
            } else {
                left.push(entry);
            }
        }
        // What fails again and again while others are taken waits on disk, where it is in nobody's way.
        if self.lanes[at].partly >= PARTLY_MAX
            && let Some(backlog) = self.backlog.as_mut().filter(|backlog| backlog.is_usable(now))
        {
            left.drain(..).for_each(|entry| backlog.enqueue(entry));
        }
        let waits = !left.is_empty();
        for entry in left.into_iter().rev() {
            self.lanes[at].push_back_to_front(entry);
        }
        waits
    }

    /// What a sink's receipt is worth to the caller.
    pub(super) fn delivered(
        &self,
        sink: usize,
        receipt: Receipt,
        asked: Durability,
    ) -> Result<Safe, SendError> {
        let sink = Arc::clone(&self.shared.targets[sink].name);
        let given = receipt.durability;
        if given < asked {
            Err(SendError::Weaker { sink, asked, given })
        } else {
            Ok(Safe::Delivered { sink, receipt })
        }
    }

    /// Tells a caller whose time ran out what is left of its record in memory.
    pub(super) fn time_out(&self, entry: &mut Entry) {
        let left =
            if entry.duty.attempted || entry.duty.shadow.is_some() { Left::Unknown } else { Left::Nothing };
        if !entry.duty.answer.is_settled() {
            entry.duty.answer.settle(Err(self.timed_out(left)));
        }
    }

    pub(super) fn begin_replay(&mut self, at: usize, grant: Grant) -> Option<(bool, usize)> {
        let (bytes_max, records_max) = (self.shared.options.batch_bytes, self.shared.options.batch_records);
        let lane = &mut self.lanes[at];
        let bytes_max = bytes_max.min(lane.stride.bytes());
        let (mut bytes, mut load, mut records) = (0, Vec::<Replayed>::new(), Vec::new());
        while let Some(next) = lane.replay.front() {
            // Delivered by a call that took long, after it was read: once more it would come behind its followers.
            if let Some(backlog) = self.backlog.as_mut().filter(|backlog| backlog.progress.is_done(next.seq))
            {
                backlog.window_bytes = backlog.window_bytes.saturating_sub(next.bytes);
                lane.replay.pop_front();
                continue;
            }
            if !load.is_empty() && (bytes + next.bytes > bytes_max || load.len() >= records_max) {
                break;
            }
            bytes += next.bytes;
            records.push(next.outgoing.clone());
            load.extend(lane.replay.pop_front());
        }
        if load.is_empty() {
            return None;
        }
        if let Some(backlog) = &mut self.backlog {
            backlog.pacer.spend(grant.started, bytes);
        }
        self.call(at, grant, Load::Replay(load), records, Nanos(u64::MAX));
        Some((true, bytes))
    }
}
