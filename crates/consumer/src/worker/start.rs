//! Starting records: permit, then token, then claim, then the handler.
//!
//! The guard is asked for a batch at a time and before anything else, so that a refusal has no effect at all:
//! the records stay in their lanes, no attempt is counted, no claim is taken that would have to be given back.
//! What a record then turns out not to need (its effect has happened, somebody holds its claim) is given back
//! as a permit; its token is spent, which errs towards calling too rarely.
//!
//! The deadline is made here, per record and at its start, never inherited.

use super::LaneKey;
use super::attempt::Attempted;
use super::lane::Item;
use super::lanes::Part;
use super::settle::{Answer, Claimed, Held};
use super::silence::bounded;
use super::{ASK_AGAIN, Blocked, Late, Pending, Worker};
use crate::retry::{self, Story};
use crate::shared::count;
use crate::watch::board::Out;
use seawall_core::{Cancel, Classify, Context, Delivery, Fence, Nanos, Offset, Token};
use seawall_guard::{LimitKind, Permits, Refusal};
use seawall_idempotency::{Claim, ClaimRequest, Store, StoreError};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Permits asked for at a time.
const BATCH: usize = 64;
/// A claim that somebody holds is asked for again after this at the earliest.
const HELD_MIN: Duration = Duration::from_millis(5);
/// And after this at the latest, however long the lease still runs: the holder may be done long before. Often it
/// is this consumer itself, whose completion of the same token is on its way to the disk.
const HELD_MAX: Duration = Duration::from_millis(100);
/// A claim that a store turned away is asked for again after this at the latest, whatever the store said: it may
/// have been thinking of its oldest entry, hours from now, and room comes with any that ends before.
const TURNED_AWAY_MAX: Duration = Duration::from_secs(5);

/// What is remembered of a record while its handler has it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) key: LaneKey,
    pub(super) offset: Offset,
    pub(super) weight: usize,
    pub(super) story: Option<Box<Story>>,
    pub(super) claim: Option<Held>,
    pub(super) started: Nanos,
}

impl<H, M, F> Worker<H, M, F>
where
    M: Fn(Arc<H>, Delivery, Option<Duration>) -> F,
    F: Future<Output = Attempted<H>>,
{
    /// Starts up to `most` records that are ready. How many lanes were taken up.
    pub(super) fn start(&mut self, most: usize) -> usize {
        match self.blocked {
            Blocked::ForPermit(at) | Blocked::Until(at) if at > self.now => return 0,
            _ => self.blocked = Blocked::No,
        }
        let turns = &self.parts.shared.turns;
        let wanted = self.lanes.ready_len().min(most).min(BATCH);
        if wanted == 0 {
            turns.sated(self.parts.index);
            return 0;
        }
        if turns.must_yield(self.parts.index, self.running.len() as u64) {
            self.blocked = Blocked::ForPermit(self.now.plus(ASK_AGAIN));
            return 0;
        }
        let granted = self.parts.guard.try_acquire_many(wanted as u32);
        let mut permits = granted.permits;
        let count = permits.count() as usize;
        if count > 0 {
            self.parts.shared.turns.sated(self.parts.index);
        }
        if count < wanted
            && let Some(refusal) = granted.refusal
        {
            self.refused(&refusal, count == 0);
        }
        if self.parts.claims.is_some() {
            return self.claim(count, permits);
        }
        let mut taken = 0;
        while taken < count
            && let Some((key, item)) = self.lanes.next_ready()
        {
            taken += 1;
            self.begin(key, item, &mut permits, None);
        }
        taken
    }

    /// The guard said no to some or all.
    fn refused(&mut self, refusal: &Refusal, to_all: bool) {
        let shared = &self.parts.shared;
        count(&shared.totals.refused, u64::from(to_all));
        if refusal.limit == LimitKind::Breaker
            && let Some(after) = refusal.retry_after
        {
            // The fetch loop pauses the partitions for so long.
            shared.broken_until.fetch_max(self.now.plus(after).0, Relaxed);
        }
        self.blocked = if let Some(after) = refusal.retry_after {
            Blocked::Until(self.now.plus(after))
        } else {
            // Probes that are out are nobody's to share.
            if refusal.limit != LimitKind::Breaker {
                shared.turns.starve(self.parts.index, refusal.value);
            }
            Blocked::ForPermit(self.now.plus(ASK_AGAIN))
        };
    }

    /// Asks the store for the claims of up to `most` records.
    fn claim(&mut self, most: usize, permits: Permits) -> usize {
        let Some(claims) = self.parts.claims.clone() else { return 0 };
        let mut batch = Vec::with_capacity(most);
        let mut taken = 0;
        while taken < most
            && let Some((key, item)) = self.lanes.next_ready()
        {
            taken += 1;
            if item.story.as_ref().is_some_and(|story| story.dead.is_some()) {
                self.bury(key, item);
                continue;
            }
            let Some(part) = self.lanes.part(key.slot) else { continue };
            part.delta.busy += 1;
            part.out += 1;
            let token = token_of(&part.origin, &item);
            self.lanes.occupy(key);
            batch.push(Claimed { key, item, token });
        }
        if batch.is_empty() {
            return taken;
        }
        let lease = self.parts.shared.options.lease;
        let request =
            |claimed: &Claimed| ClaimRequest { token: claimed.token.clone(), owner: claims.owner, lease };
        let requests = batch.iter().map(request).collect();
        let asked = self.now;
        self.operations.push(Box::pin(async move {
            let results = bounded(lease, batch.len(), claims.store.claim(requests)).await;
            Answer::Claimed { batch, permits, asked, results }
        }));
        taken
    }

    /// The store answered.
    pub(super) fn claimed(
        &mut self,
        batch: Vec<Claimed>,
        mut permits: Permits,
        asked: Nanos,
        results: Vec<Result<Claim, StoreError>>,
    ) {
        let mut results = results.into_iter();
        for Claimed { key, item, token } in batch {
            self.over(key.slot, 1);
            match results.next() {
                Some(Ok(Claim::Granted { fence, .. })) => {
                    self.begin(key, item, &mut permits, Some(Held { token, fence, asked }));
                    continue;
                }
                Some(Ok(Claim::Done { .. })) => {
                    count(&self.parts.shared.totals.duplicates, 1);
                    self.settle_duplicate(key, &item);
                }
                Some(Ok(Claim::Held { remaining })) => {
                    self.park(key, item, remaining.clamp(HELD_MIN, HELD_MAX));
                }
                Some(Err(error)) => self.claim_failed(key, item, &error),
                None => self.claim_failed(key, item, &StoreError::unavailable("it left an answer out")),
            }
            permits.release(1);
        }
    }

    /// The store could not say: the record waits, and no attempt is counted, since none was made.
    fn claim_failed(&mut self, key: LaneKey, mut item: Item, error: &StoreError) {
        if let Some(untold) = self.told.claims.tell(self.now) {
            tracing::warn!(%error, untold, "a claim could not be made; the record waits");
        }
        let told = error.retry_after().map(|after| after.min(TURNED_AWAY_MAX));
        let wait = told.unwrap_or_else(|| {
            let turned_away = item.story.as_mut().map_or(1, |story| {
                story.turned_away += 1;
                story.turned_away
            });
            retry::backoff(&self.limits.retry).delay(turned_away, self.rng.u64(..))
        });
        self.park(key, item, wait);
    }

    /// Calls the handler, with one of `permits`.
    fn begin(&mut self, key: LaneKey, item: Item, permits: &mut Permits, claim: Option<Held>) {
        if item.story.as_ref().is_some_and(|story| story.dead.is_some()) {
            return self.bury(key, item);
        }
        let within = self.parts.shared.options.timeout;
        let startable = |part: &&mut Part| !part.closed && !part.partition.is_leaving();
        let Some(part) = self.lanes.part(key.slot).filter(startable) else {
            return self.give_up(claim);
        };
        let (cancel, theirs) = self.spare.cancel.take().unwrap_or_else(|| {
            let cancel = Cancel::default();
            (cancel.clone(), cancel)
        });
        let context = Context { deadline: within.map(|within| self.now.plus(within)), cancel: theirs };
        let (origin, offset) = item.origin(&part.origin);
        let foreign = (!std::ptr::eq(origin, &raw const part.origin)).then(|| origin.clone());
        let origin = foreign.or_else(|| part.spare_origin.take()).unwrap_or_else(|| part.origin.clone());
        let delivery = Delivery {
            origin,
            offset,
            generation: part.partition.generation,
            attempt: item.story.as_ref().map_or(0, |story| story.attempts) + 1,
            fence: claim.as_ref().map_or(Fence(0), |held| held.fence),
            context,
            record: item.record,
        };
        let run = Run {
            key,
            offset: item.offset,
            weight: item.weight,
            story: item.story,
            claim,
            started: self.now,
        };
        let handler = self.spare.handler.take().unwrap_or_else(|| Arc::clone(&self.handler));
        let mut place = self.spare.place.take().unwrap_or_else(|| Box::pin(None));
        place.set(Some((self.make)(handler, delivery, within)));
        self.board.enter(key, run.offset, run.started);
        let polled = first_poll(&mut place);
        self.board.leave();
        match polled {
            Poll::Ready(attempted) => {
                place.set(None);
                self.spare.place = Some(place);
                // Uses up one of the permits; splitting one off would touch a count that all workers share.
                if let Some(theirs) = self.ended(run, attempted, permits)
                    && Cancel::are_new(&cancel, &theirs)
                {
                    self.spare.cancel = Some((cancel, theirs));
                }
            }
            Poll::Pending => {
                let kept = self.parts.claims.as_ref().zip(run.claim.as_ref()).map(|(claims, held)| {
                    claims.keeper.keep(held.token.clone(), held.fence, held.asked, cancel.deref().clone())
                });
                let id = self.runs;
                self.runs += 1;
                if let Some(part) = self.lanes.part(key.slot) {
                    self.board.begin(
                        id,
                        Out {
                            partition: Arc::clone(&part.partition),
                            offset: run.offset,
                            key: key.hash,
                            token: run.claim.as_ref().map(|held| held.token.clone()),
                            since: run.started,
                            cancel,
                        },
                    );
                    part.delta.busy += 1;
                    part.out += 1;
                }
                self.lanes.occupy(key);
                let permit = permits.split(1);
                self.running.push(Pending {
                    attempt: place,
                    run: Some(run),
                    permit,
                    _kept: kept,
                    id,
                    board: Arc::clone(&self.board),
                });
            }
        }
    }

    /// A pending attempt ended.
    pub(super) fn came_late(&mut self, late: Late<H>) {
        let Late { attempted, run, mut permit, id } = late;
        self.board.end(id);
        let slot = run.key.slot;
        let _ = self.ended(run, attempted, &mut permit);
        self.over(slot, 1);
        drop(permit);
        if matches!(self.blocked, Blocked::ForPermit(_)) {
            self.blocked = Blocked::No;
        }
        self.parts.shared.turns.freed(self.parts.index);
    }

    /// Something that was out has come back.
    pub(super) fn over(&mut self, slot: u32, count: i64) {
        if let Some(part) = self.lanes.part(slot) {
            part.delta.busy -= count;
            part.out -= count;
        }
    }
}

fn first_poll<F: Future>(place: &mut Pin<Box<Option<F>>>) -> Poll<F::Output> {
    // Nobody is woken by this poll: an attempt that is not ready joins the set, which polls it at once with
    // a waker of its own.
    let mut context = std::task::Context::from_waker(Waker::noop());
    match place.as_mut().as_pin_mut() {
        Some(future) => future.poll(&mut context),
        None => Poll::Pending,
    }
}

/// As [`Delivery::token`], before there is a delivery.
pub(super) fn token_of(read: &seawall_core::TopicPartition, item: &Item) -> Token {
    let (origin, offset) = item.origin(read);
    Token::of_record(&item.record, origin, offset)
}
