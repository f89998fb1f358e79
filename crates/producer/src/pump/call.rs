//! Calls of a sink: begun, taking long, ended.

use super::disk::Backlog;
use super::lane::{Answers, Flight, Load, Replayed, Sent, Stored};
use super::settle::for_disk_alone;
use super::{Done, Pump};
use crate::error::Left;
use crate::inbox::Entry;
use crate::route::{Grant, Reported};
use crate::sink::BoxFuture;
use futures_util::FutureExt;
use seawall_core::{Class, Classify, Fault, Nanos, Outgoing};
use seawall_wal::Disk;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// As many records that wait for others of their key are passed; each look at a lane moves them.
const PASSED_MAX: usize = 1_024;

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
                self.on_taking_long(at, now);
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
        // What is on disk is soon delivered, but while the producer closes: those that follow it wait here, and the others pass
        // them.
        let drains = self.closing.is_none() && self.backlog.as_ref().is_some_and(Backlog::is_draining);
        let mut waits = Vec::new();
        while let Some(more) = self.lanes[at].live.front().map(|entry| entry.duty.bytes) {
            if !sent.is_empty() && (bytes + more > bytes_max || sent.len() >= records_max) {
                break;
            }
            let Some(entry) = self.lanes[at].pop() else { break };
            if let Some(backlog) = &mut self.backlog
                && backlog.keys.blocks(entry.duty.bucket)
            {
                if !drains {
                    backlog.enqueue(entry);
                } else if waits.len() < PASSED_MAX {
                    waits.push(entry);
                } else {
                    self.lanes[at].push_back_to_front(entry);
                    break;
                }
                continue;
            }
            bytes += more;
            deadline = deadline.min(entry.duty.deadline);
            records.push(entry.outgoing);
            sent.push(Sent::Mine(entry.duty));
        }
        for entry in waits.into_iter().rev() {
            self.lanes[at].push_back_to_front(entry);
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
        let records = Arc::new(records);
        let answers = self.fly(grant, Arc::clone(&records));
        self.lanes[at].flight =
            Some(Flight { grant, records, load, stalled: false, answers: None, deadline });
        self.wake(grant.started.plus(self.shared.options.patience));
        self.work.push(Box::pin(async move { Done::Call { lane: at, answers: answers.await } }));
    }

    /// One call of a sink: as many answers as records, whatever it does.
    pub(super) fn fly(&self, grant: Grant, records: Arc<Vec<Outgoing>>) -> BoxFuture<Answers> {
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
        for (place, (sent, outgoing)) in sent.iter_mut().zip(flight.records.iter()).enumerate() {
            if matches!(sent, Sent::Mine(_))
                && let Sent::Mine(mut duty) = std::mem::replace(sent, Sent::Queued)
            {
                duty.shadow = Some((at, place));
                backlog.enqueue(Entry { outgoing: outgoing.clone(), duty });
            }
        }
    }

    /// A call takes long: its records queue for the disk, and so does what waits behind it. Not while the disk is known to
    /// take nothing, or hangs: the call's answers would wait for it, too.
    fn on_taking_long(&mut self, at: usize, now: Nanos) {
        match &self.backlog {
            Some(backlog) if !backlog.takes(now) => {
                // One that hangs is heard when it answers.
                let again = (!backlog.is_hanging(now)).then_some(backlog.retry_at);
                if let Some(flight) = &mut self.lanes[at].flight {
                    flight.stalled = true;
                }
                if let Some(again) = again {
                    self.wake(again);
                }
            }
            _ => {
                self.stall(at);
                self.spill_lane(at);
            }
        }
    }

    /// What became of a call, for the next choice of a sink.
    pub(super) fn report(&mut self, now: Nanos, grant: Grant, reported: Reported) {
        if let Some(switch) = self.selector.on_result(now, grant, reported) {
            self.show_switch(switch);
        }
    }

    pub(super) fn answered(&mut self, at: usize, mut answers: Answers, now: Nanos) {
        let Some(mut flight) = self.lanes[at].flight.take() else { return };
        if flight.has_queued() && !self.leave_to_disk(at, &flight, &mut answers, now) {
            // Each of them is either on disk or back here in a moment.
            flight.answers = Some(answers);
            self.lanes[at].flight = Some(flight);
            return;
        }
        for_disk_alone(&flight.load, &mut answers);
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
        let in_a_row = lane.partly.saturating_add(1);
        lane.partly = if partly { in_a_row } else { 0 };
        if ok {
            self.acquit();
        } else if !own {
            // It may be what this lane has that fails, and not the sink: another lane asks next.
            if self.failed == 0 {
                self.failed_since = now;
            }
            (self.failed, self.first) = (self.failed.saturating_add(1), (at + 1) % self.lanes.len());
        }
        if own {
            self.selector.on_unclear(flight.grant);
        } else {
            self.report(now, flight.grant, Reported { ok, retry_after });
        }
        let (took, whole) = (now.since(flight.grant.started), !faults().any(failed));
        let lane = &mut self.lanes[at];
        match &flight.load {
            Load::Replay(load) => {
                lane.stride.count(load.iter().map(|stored| stored.bytes).sum(), took, whole);
            }
            Load::Live(sent) => lane.live_stride.count(sent.iter().map(Sent::bytes).sum(), took, whole),
        }
        // The sink is done with them: they are moved, not copied.
        let records = Arc::unwrap_or_clone(flight.records);
        let left = match flight.load {
            Load::Live(sent) => self.settle_live(at, sink, (sent, records), answers, now) && partly,
            Load::Replay(load) => {
                let alone = !ok && self.is_all_there_is(&load);
                let replayed = |(stored, outgoing)| Replayed { stored, outgoing };
                let load = load.into_iter().zip(records).map(replayed).collect();
                self.settle_replay(at, sink, load, answers, (partly || alone).then_some(now))
            }
        };
        // What was refused for good, and has no room aside, is asked for again like what failed.
        if left && (partly || ok) {
            let lane = &mut self.lanes[at];
            lane.partly = in_a_row;
            let wait = self.shared.options.backoff.delay(lane.partly, at as u64);
            lane.retry_at = now.plus(wait.max(retry_after.unwrap_or_default()));
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
        let (mut bytes, mut load, mut records) = (0, Vec::<Stored>::new(), Vec::new());
        while let Some(next) = lane.replay.front() {
            // Delivered by a call that took long, after it was read: once more it would come behind its followers.
            if let Some(backlog) =
                self.backlog.as_mut().filter(|backlog| backlog.progress.is_done(next.stored.seq))
            {
                backlog.window_bytes = backlog.window_bytes.saturating_sub(next.weight());
                lane.replay.pop_front();
                continue;
            }
            if !load.is_empty() && (bytes + next.stored.bytes > bytes_max || load.len() >= records_max) {
                break;
            }
            bytes += next.stored.bytes;
            if let Some(Replayed { stored, outgoing }) = lane.replay.pop_front() {
                records.push(outgoing);
                load.push(stored);
            }
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
