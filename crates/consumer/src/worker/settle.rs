//! The one place that settles.
//!
//! Whatever ends an attempt ends here, and only here is an offset handed to the book as settled:
//!
//! | the attempt ended with | the record | settled |
//! | --- | --- | --- |
//! | `Ack`, no claims kept | is done | at once |
//! | `Ack`, under a claim | is done | when the claim's completion is durable |
//! | a claim that was done before | is a repeat | at once, the handler is not called |
//! | `Retry`, a timeout, a panic | is parked, its claim released | not yet |
//! | `DeadLetter`, or too many of those above | is sent to the dead letters | when their sink has confirmed it |
//! | a failure whose wait is a retry topic's | is sent there | when the sink has confirmed it |
//! | cancelled | is parked, or left to the next owner | not by this attempt |
//!
//! After an `Ack` the lane goes on at once, without waiting for the completion to be durable: the next record
//! of the key may start, since the effect has happened. The record itself is kept until then, because a
//! completion can still be refused: another owner may have taken the claim over. Such a record is not ours to
//! acknowledge; it is parked alone and claimed again, and the store then says that it is done, or held, or
//! free again.

use super::attempt::{Attempted, Ended};
use super::away::Away;
use super::lane::{Item, LaneKey};
use super::silence::bounded;
use super::start::Run;
use super::{Operation, Worker};
use crate::partition::{Load, Settled};
use crate::retry::{self, Next, judge};
use crate::shared::count;
use seawall_core::{Cancel, Class, Delivery, Fault, Fence, Nanos, Outcome, Receipt, Token};
use seawall_guard::{Permits, Sample, Verdict};
use seawall_idempotency::{Claim, Completion, Release, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// A claim we hold.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) token: Token,
    pub(super) fence: Fence,
    /// When it was asked for: its lease counts from no earlier.
    pub(super) asked: Nanos,
}

/// A record whose claim was asked for.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) key: LaneKey,
    pub(super) item: Item,
    pub(super) token: Token,
}

/// A record whose effect has happened and whose completion is not durable yet.
#[derive(Debug)]
pub(super) struct Acked {
    slot: u32,
    item: Item,
    held: Held,
}

/// What a store or a sink answered.
pub(super) enum Answer {
    Claimed { batch: Vec<Claimed>, permits: Permits, asked: Nanos, results: Vec<Result<Claim, StoreError>> },
    Completed { batch: Vec<Acked>, tries: u32, results: Vec<Result<(), StoreError>> },
    Sent { batch: Vec<Away>, results: Vec<Result<Receipt, Fault>> },
    Released(Vec<Result<(), StoreError>>),
}

/// What the attempt says of the service behind the guard; nothing when it was cancelled.
fn verdict_of(ended: &Ended) -> Option<Verdict> {
    match ended {
        Ended::Outcome(Outcome::Retry(fault)) if fault.class() == Class::Overload => {
            Some(Verdict::Overloaded)
        }
        // A record that is itself at fault says that the service is well.
        Ended::Outcome(Outcome::Ack | Outcome::DeadLetter(_)) => Some(Verdict::Ok),
        Ended::Outcome(Outcome::Retry(_)) | Ended::Panicked(_) | Ended::TimedOut(_) => Some(Verdict::Failed),
        Ended::Cancelled => None,
    }
}

impl<H, M, F> Worker<H, M, F>
where
    M: Fn(Arc<H>, Delivery, Option<Duration>) -> F,
    F: Future<Output = Attempted<H>>,
{
    /// An attempt has ended. Gives the delivery's cancellation back where nothing else needs it.
    pub(super) fn ended(
        &mut self,
        run: Run,
        attempted: Attempted<H>,
        permit: &mut Permits,
    ) -> Option<Cancel> {
        let Attempted { handler, delivery, ended } = attempted;
        self.spare.handler = Some(handler);
        let shared = &self.parts.shared;
        self.now = shared.now();
        let latency = self.now.since(run.started);
        match verdict_of(&ended) {
            Some(verdict) => {
                permit.settle_in_row(Sample { latency, verdict });
                self.tally.add(latency);
            }
            None => permit.release(1),
        }
        let fault = match ended {
            Ended::Outcome(Outcome::Ack) => return Some(self.ack(run, delivery)),
            Ended::Outcome(Outcome::Retry(fault)) => (fault, false),
            Ended::Outcome(Outcome::DeadLetter(fault)) => (fault, true),
            Ended::Panicked(caught) => {
                count(&shared.totals.panics, 1);
                let pipeline = &shared.options.pipeline;
                shared.reporter.report(pipeline, &delivery.origin, delivery.offset, &caught, self.now);
                (Fault::from(caught.panicked), false)
            }
            Ended::TimedOut(late) => {
                count(&shared.totals.timeouts, 1);
                (Fault::from(late), false)
            }
            Ended::Cancelled => {
                self.cancelled(run, delivery);
                return None;
            }
        };
        self.failed(run, delivery, fault.0, fault.1);
        None
    }

    fn ack(&mut self, run: Run, delivery: Delivery) -> Cancel {
        let Run { key, offset, weight, story, claim, .. } = run;
        let Delivery { origin, record, context, .. } = delivery;
        if let Some(budget) = &mut self.budget {
            budget.deposit(self.now);
        }
        match claim {
            None => self.settle(key.slot, offset, Settled::Acked, weight),
            Some(held) => {
                if let Some(part) = self.lanes.part(key.slot) {
                    part.delta.busy += 1;
                    part.out += 1;
                }
                let item = Item { offset, record, weight, story };
                self.acked.push(Acked { slot: key.slot, item, held });
            }
        }
        if let Some(part) = self.lanes.part(key.slot)
            && Arc::ptr_eq(&part.origin.topic, &origin.topic)
            && part.origin.partition == origin.partition
        {
            part.spare_origin = Some(origin);
        }
        self.lanes.advance(key);
        context.cancel
    }

    /// Hands an offset to the book. No other function does.
    pub(super) fn settle(&mut self, slot: u32, offset: u64, how: Settled, weight: usize) {
        if let Some(part) = self.lanes.part(slot) {
            part.delta.settled.push((offset, how));
            part.leave(Load::one(weight));
        }
    }

    /// The record's effect had happened before.
    pub(super) fn settle_duplicate(&mut self, key: LaneKey, item: &Item) {
        self.settle(key.slot, item.offset, Settled::Acked, item.weight);
        self.lanes.advance(key);
    }

    fn failed(&mut self, run: Run, delivery: Delivery, fault: Fault, final_verdict: bool) {
        let Run { key, offset, weight, mut story, claim, .. } = run;
        self.give_up(claim);
        let retry = self.limits.retry;
        let wall = self.parts.shared.clock.wall();
        let seed = self.rng.u64(..);
        let next = judge(&mut story, fault, final_verdict, &retry, self.now, wall, seed);
        let item = Item { offset, record: delivery.record, weight, story };
        match next {
            Next::Dead => self.bury(key, item),
            Next::Park(wait) => {
                self.retried += 1;
                self.wait_out(key, item, wait);
            }
        }
    }

    fn cancelled(&mut self, run: Run, delivery: Delivery) {
        let Run { key, offset, weight, story, claim, .. } = run;
        self.give_up(claim);
        let Some(part) = self.lanes.part(key.slot) else { return };
        if part.closed {
            part.delta.cancelled += 1;
            return;
        }
        // Its claim was lost while it ran: the store knows who has it, and is asked again soon.
        let item = Item { offset, record: delivery.record, weight, story };
        self.park(key, item, self.limits.retry.base);
    }

    /// Releases a claim without an effect.
    pub(super) fn give_up(&mut self, claim: Option<Held>) {
        if let Some((claims, held)) = self.parts.claims.as_ref().zip(claim) {
            self.releases.push(Release { token: held.token, owner: claims.owner, fence: held.fence });
        }
    }

    /// Hands on what this turn has gathered: completions, what goes to other topics, releases, a batch of each.
    pub(super) fn submit(&mut self) {
        if !self.acked.is_empty() {
            let batch = std::mem::take(&mut self.acked);
            self.complete(batch, 0);
        }
        if !self.away.is_empty() {
            self.submit_away();
        }
        if !self.releases.is_empty()
            && let Some(claims) = self.parts.claims.clone()
        {
            let releases = std::mem::take(&mut self.releases);
            let (lease, count) = (self.parts.shared.options.lease, releases.len());
            self.operations.push(Box::pin(async move {
                Answer::Released(bounded(lease, count, claims.store.release(releases)).await)
            }));
        }
    }

    fn complete(&mut self, batch: Vec<Acked>, tries: u32) {
        let Some(claims) = self.parts.claims.clone() else { return };
        let wait = (tries > 0).then(|| retry::backoff(&self.limits.retry).delay(tries, self.rng.u64(..)));
        let completion = |acked: &Acked| Completion {
            token: acked.held.token.clone(),
            owner: claims.owner,
            fence: acked.held.fence,
            result: bytes::Bytes::new(),
        };
        let completions = batch.iter().map(completion).collect();
        let lease = self.parts.shared.options.lease;
        let operation: Operation = Box::pin(async move {
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
            let results = bounded(lease, batch.len(), claims.store.complete(completions)).await;
            Answer::Completed { batch, tries, results }
        });
        self.operations.push(operation);
    }

    /// A store or a sink has answered.
    pub(super) fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Claimed { batch, permits, asked, results } => {
                self.claimed(batch, permits, asked, results);
            }
            Answer::Completed { batch, tries, results } => self.completed(batch, tries, results),
            Answer::Sent { batch, results } => self.sent(batch, results),
            Answer::Released(results) => {
                for error in results.into_iter().filter_map(Result::err).filter(|error| !error.is_fenced()) {
                    tracing::debug!(%error, "a claim could not be released; its lease ends it");
                }
            }
        }
    }

    fn completed(&mut self, batch: Vec<Acked>, tries: u32, results: Vec<Result<(), StoreError>>) {
        let mut again = Vec::new();
        let mut results = results.into_iter();
        for acked in batch {
            match results.next() {
                Some(Ok(())) => {
                    self.settle(acked.slot, acked.item.offset, Settled::Acked, acked.item.weight);
                    self.over(acked.slot, 1);
                }
                Some(Err(error)) if error.is_fenced() => self.fenced(acked, &error),
                Some(Err(error)) => {
                    if let Some(untold) = self.told.completions.tell(self.now) {
                        tracing::warn!(%error, untold, "a completion is not durable yet; it is asked for again");
                    }
                    again.push(acked);
                }
                None => again.push(acked),
            }
        }
        if !again.is_empty() {
            self.complete(again, tries + 1);
        }
    }

    fn fenced(&mut self, acked: Acked, error: &StoreError) {
        count(&self.parts.shared.totals.fenced, 1);
        if let Some(untold) = self.told.fences.tell(self.now) {
            tracing::warn!(%error, untold, token = %acked.held.token, "completion refused; the record is not acknowledged");
        }
        let until = self.now.plus(self.parts.shared.options.lease / 3);
        let share = self.share();
        if let Some(key) = self.lanes.park_alone(acked.slot, acked.item, until, &share) {
            self.timers.push(std::cmp::Reverse((until, key)));
        }
        self.over(acked.slot, 1);
    }
}
