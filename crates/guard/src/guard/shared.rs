//! The state behind all clones of a guard, and the one path through it.

use super::options::{GuardError, GuardOptions, Mode};
use super::permit::{Sample, Verdict};
use super::refusal::{LimitKind, Refusal};
use super::snapshot::{
    AdaptiveSnapshot, BreakerSnapshot, ConcurrencySnapshot, GuardSnapshot, RateSnapshot, Refusals,
};
use crate::adaptive::Adaptive;
use crate::breaker::{Breaker, BreakerState, Pass};
use crate::concurrency::Gate;
use crate::rate::{Rate, Tokens};
use arc_swap::ArcSwap;
use seawall_core::{Clock, Nanos};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What can be replaced while running.
struct Plan {
    options: GuardOptions,
    rate: Option<Arc<Rate>>,
    /// Tokens that may lie ready in the gate's word. Without a rate they cost nothing, but the same few are
    /// laid out, so that little is left of them when a rate comes into force.
    ahead: u32,
}

const AHEAD_UNLIMITED: u32 = 63;

const LEARNS_NOTHING: u32 = 0;
/// A breaker.
const LEARNS_VERDICTS: u32 = 1;
/// An adaptive limit, and maybe a breaker.
const LEARNS_LATENCY: u32 = 2;

/// What learns from results.
#[derive(Debug, Default)]
struct Brain {
    adaptive: Option<Adaptive>,
    breaker: Option<Breaker>,
}

pub(crate) struct Shared {
    clock: Arc<dyn Clock>,
    seed: u64,
    plan: ArcSwap<Plan>,
    pub(super) gate: Gate,
    brain: Mutex<Brain>,
    /// The breaker's epoch times two, plus one where it is not closed; 0 without a breaker. Lets the usual
    /// call pass without the lock.
    breaker_word: AtomicU64,
    /// Which of the `LEARNS_` holds: what of a result is of interest to anyone.
    learns: AtomicU32,
    refusals: [AtomicU64; LimitKind::ALL.len()],
    /// Those who wait for a token wait in this line; the first of them sleeps until it comes.
    pub(super) token_turn: tokio::sync::Mutex<()>,
    pub(super) token_waiting: AtomicU32,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}

/// What was taken; `refusal` says why it is less than was wanted.
pub(super) struct Taken {
    pub(super) count: u32,
    pub(super) pass: Pass,
    pub(super) next_at: Option<Nanos>,
    pub(super) refusal: Option<Refusal>,
}

impl Shared {
    pub(super) fn new(options: GuardOptions, clock: Arc<dyn Clock>, seed: u64) -> Result<Self, GuardError> {
        options.check()?;
        let static_limit = options.concurrency.limit;
        let brain = Brain {
            adaptive: options.adaptive.map(|a| Adaptive::new(a, static_limit)).transpose()?,
            breaker: options.breaker.map(|b| Breaker::new(b, seed)).transpose()?,
        };
        let limit = brain.adaptive.as_ref().map_or(static_limit, Adaptive::limit);
        let ahead = options.rate.map_or(AHEAD_UNLIMITED, |rate| rate.ahead());
        let rate = options.rate.map(|rate| Rate::with_ahead(rate, ahead, Arc::clone(&clock))).transpose()?;
        let gate = Gate::new(limit);
        gate.add_tokens(ahead, ahead);
        let shared = Self {
            clock,
            seed,
            plan: ArcSwap::from_pointee(Plan { options, rate: rate.map(Arc::new), ahead }),
            gate,
            brain: Mutex::default(),
            breaker_word: AtomicU64::new(0),
            learns: AtomicU32::new(0),
            refusals: Default::default(),
            token_turn: tokio::sync::Mutex::default(),
            token_waiting: AtomicU32::new(0),
        };
        shared.publish(&brain);
        *shared.brain() = brain;
        Ok(shared)
    }

    /// Takes up to `wanted`: permit, breaker, token.
    #[inline]
    pub(super) fn take(&self, wanted: u32) -> Taken {
        match self.take_paid(wanted) {
            Some(pass) => Taken { count: wanted, pass, next_at: None, refusal: None },
            None => self.take_unpaid(wanted),
        }
    }

    /// Takes all of `wanted` permits with tokens that lie ready, or nothing. Never before those in line.
    #[inline]
    pub(super) fn take_paid(&self, wanted: u32) -> Option<Pass> {
        let pass = self.pass_closed()?;
        let taken = self.token_waiting.load(Ordering::Relaxed) == 0 && self.gate.try_take_paid(wanted);
        taken.then_some(pass)
    }

    fn take_unpaid(&self, wanted: u32) -> Taken {
        if self.token_waiting.load(Ordering::Relaxed) > 0 {
            return self.nothing(wanted, self.no_token());
        }
        let got = self.gate.try_take(wanted);
        if got == 0 {
            return self.nothing(wanted, self.no_permit());
        }
        let mut taken = self.admit(got);
        if taken.count < got {
            self.gate.put(got - taken.count);
        }
        if taken.count < wanted {
            self.explain(&mut taken);
        }
        taken
    }

    #[cold]
    fn nothing(&self, wanted: u32, refusal: Refusal) -> Taken {
        let refusal = (wanted > 0).then_some(refusal);
        if let Some(refusal) = &refusal {
            self.count(refusal.limit);
        }
        Taken { count: 0, pass: Pass::default(), next_at: None, refusal }
    }

    #[cold]
    fn explain(&self, taken: &mut Taken) {
        let refusal = taken.refusal.get_or_insert_with(|| self.no_permit());
        if taken.count == 0 {
            self.count(refusal.limit);
        }
    }

    /// Asks breaker and rate for `got` permits already taken. The caller gives back the permits that were not
    /// admitted.
    #[inline]
    pub(super) fn admit(&self, got: u32) -> Taken {
        let (passed, pass, refusal) = self.pass(got);
        if passed == 0 {
            return Taken { count: 0, pass, next_at: None, refusal };
        }
        let plan = self.plan.load();
        let Some(rate) = &plan.rate else {
            self.gate.add_tokens(plan.ahead, plan.ahead);
            return Taken { count: passed, pass, next_at: None, refusal };
        };
        let Tokens { count, next_at } = self.tokens(rate, plan.ahead, passed);
        if count == passed {
            return Taken { count, pass, next_at, refusal };
        }
        self.abandon(pass, passed - count);
        let refusal = Refusal {
            limit: LimitKind::Rate,
            value: rate.options().per_second,
            retry_after: next_at.map(|at| at.since(self.clock.now())),
        };
        Taken { count, pass, next_at, refusal: Some(refusal) }
    }

    /// Takes up to `wanted` tokens: what lies ready, then the limiter's, and some of those ahead unless others
    /// wait in line for them.
    fn tokens(&self, rate: &Rate, ahead: u32, wanted: u32) -> Tokens {
        let ready = self.gate.take_tokens(wanted);
        if ready == wanted {
            return Tokens { count: ready, next_at: None };
        }
        let missing = wanted - ready;
        let ahead = if self.token_waiting.load(Ordering::Relaxed) > 0 { 0 } else { ahead };
        let taken = rate.take(missing + ahead);
        if taken.count < missing {
            return Tokens { count: ready + taken.count, next_at: taken.next_at };
        }
        self.gate.add_tokens(taken.count - missing, ahead);
        Tokens { count: wanted, next_at: None }
    }

    /// How many of `got` calls the breaker lets through.
    #[inline]
    fn pass(&self, got: u32) -> (u32, Pass, Option<Refusal>) {
        match self.pass_closed() {
            Some(pass) => (got, pass, None),
            None => self.pass_probes(got),
        }
    }

    /// The pass of a breaker that is closed (or absent).
    #[inline]
    fn pass_closed(&self) -> Option<Pass> {
        let word = self.breaker_word.load(Ordering::Acquire);
        (word & 1 == 0).then_some(Pass { epoch: word >> 1, probe: false })
    }

    #[cold]
    fn pass_probes(&self, got: u32) -> (u32, Pass, Option<Refusal>) {
        let now = self.clock.now();
        let mut brain = self.brain();
        let Some(breaker) = &mut brain.breaker else {
            return (got, Pass::default(), None);
        };
        let (mut passed, mut pass, mut refusal) = (0, Pass::default(), None);
        while passed < got {
            match breaker.allow(now) {
                // Closed by another thread since the look at the word.
                Ok(free) if !free.is_probe() => {
                    (passed, pass) = (got, free);
                }
                Ok(probe) => {
                    (passed, pass) = (passed + 1, probe);
                }
                Err(wait) => {
                    let value = breaker.failure_ratio(now);
                    // Half-open, it changes when the probes end: nobody knows when that is.
                    let retry_after = breaker.open_until().map(|_| wait);
                    refusal = Some(Refusal { limit: LimitKind::Breaker, value, retry_after });
                    break;
                }
            }
        }
        self.publish(&brain);
        (passed, pass, refusal)
    }

    /// The end of one call that says something.
    #[inline]
    pub(super) fn settle(&self, pass: Pass, sample: Sample) {
        if self.learns() {
            self.learn(self.clock.now(), pass, Some(sample.latency), sample.verdict);
        }
        self.gate.put(1);
    }

    /// Whether the end of a call tells anybody anything.
    #[inline]
    pub(super) fn learns(&self) -> bool {
        self.learns.load(Ordering::Relaxed) != LEARNS_NOTHING
    }

    /// The permits of `n` calls that ended and told nobody anything.
    #[inline]
    pub(super) fn give_back(&self, n: u32) {
        self.gate.put(n);
    }

    /// The time of a start, where a latency is of interest.
    #[inline]
    pub(super) fn started_at(&self) -> Option<Nanos> {
        (self.learns.load(Ordering::Relaxed) == LEARNS_LATENCY).then(|| self.clock.now())
    }

    /// The end of one call begun `since`; without that it says nothing of the latency.
    #[inline]
    pub(super) fn settle_since(&self, pass: Pass, since: Option<Nanos>, verdict: Verdict) {
        if self.learns() {
            let now = self.clock.now();
            self.learn(now, pass, since.map(|since| now.since(since)), verdict);
        }
        self.gate.put(1);
    }

    fn learn(&self, now: Nanos, pass: Pass, latency: Option<Duration>, verdict: Verdict) {
        let mut brain = self.brain();
        if let Some(breaker) = &mut brain.breaker {
            match verdict {
                Verdict::Ok => breaker.on_result(now, pass, true),
                Verdict::Failed => breaker.on_result(now, pass, false),
                Verdict::Overloaded if pass.is_probe() => breaker.on_result(now, pass, false),
                Verdict::Overloaded => breaker.on_abandoned(pass),
            }
        }
        if let Some(adaptive) = &mut brain.adaptive
            && let Some(latency) = latency
            && verdict != Verdict::Failed
        {
            let overloaded = verdict == Verdict::Overloaded;
            adaptive.on_sample(now, latency, self.gate.used(), overloaded);
            let limit = adaptive.limit();
            if limit != self.gate.limit() {
                self.gate.resize(limit);
            }
        }
        self.publish(&brain);
    }

    /// The end of `n` calls that say nothing.
    #[inline]
    pub(super) fn release(&self, pass: Pass, n: u32) {
        self.abandon(pass, n);
        self.gate.put(n);
    }

    #[inline]
    fn abandon(&self, pass: Pass, n: u32) {
        if pass.is_probe()
            && let Some(breaker) = &mut self.brain().breaker
        {
            for _ in 0..n {
                breaker.on_abandoned(pass);
            }
        }
    }

    pub(super) fn reconfigure(&self, options: GuardOptions) -> Result<(), GuardError> {
        options.check()?;
        let static_limit = options.concurrency.limit;
        // The lock is held throughout: two callers reconfigure one after the other.
        let mut brain = self.brain();
        let old = self.plan.load_full();
        match (&mut brain.adaptive, options.adaptive) {
            (Some(adaptive), Some(new)) => adaptive.reconfigure(new, static_limit)?,
            (slot, new) => *slot = new.map(|new| Adaptive::new(new, static_limit)).transpose()?,
        }
        match (&mut brain.breaker, options.breaker) {
            (Some(breaker), Some(new)) => breaker.reconfigure(new)?,
            (slot, new) => *slot = new.map(|new| Breaker::new(new, self.seed)).transpose()?,
        }
        self.gate.resize(brain.adaptive.as_ref().map_or(static_limit, Adaptive::limit));
        if options.rate == old.options.rate {
            self.plan.store(Arc::new(Plan { options, rate: old.rate.clone(), ahead: old.ahead }));
        } else {
            self.change_rate(&old, options)?;
        }
        self.publish(&brain);
        Ok(())
    }

    /// The same tokens under a new rate: nobody gets a fresh burst by reloading the configuration. (A call
    /// that has just looked at the old plan may still lay out a few old tokens, `ahead` of them at most.)
    fn change_rate(&self, old: &Plan, options: GuardOptions) -> Result<(), GuardError> {
        let ahead = options.rate.map_or(AHEAD_UNLIMITED, |rate| rate.ahead());
        let clock = || Arc::clone(&self.clock);
        let rate = options.rate.map(|rate| Rate::with_ahead(rate, ahead, clock())).transpose()?;
        let ready = self.gate.take_tokens(u32::MAX);
        let mut laid_out = ahead;
        if let (Some(old), Some(new)) = (&old.rate, &rate) {
            let left = ready + old.drain();
            laid_out = left.min(ahead);
            new.start_with(left - laid_out);
        }
        self.plan.store(Arc::new(Plan { options, rate: rate.map(Arc::new), ahead }));
        self.gate.add_tokens(laid_out, ahead);
        Ok(())
    }

    pub(super) fn mode(&self) -> Mode {
        self.plan.load().options.mode
    }

    pub(super) fn options(&self) -> GuardOptions {
        self.plan.load().options.clone()
    }

    pub(super) fn waiting_max(&self) -> u32 {
        self.plan.load().options.concurrency.waiting_max
    }

    pub(super) fn now(&self) -> Nanos {
        self.clock.now()
    }

    pub(super) fn count(&self, kind: LimitKind) {
        self.refusals[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Refuses where a call would only wait for a service known to be broken.
    pub(super) fn broken(&self) -> Option<Refusal> {
        if self.breaker_word.load(Ordering::Acquire) & 1 == 0 {
            return None;
        }
        let now = self.clock.now();
        let brain = self.brain();
        let breaker = brain.breaker.as_ref()?;
        let value = breaker.failure_ratio(now);
        let retry_after = Some(breaker.open_until()?.since(now)).filter(|left| !left.is_zero())?;
        Some(Refusal { limit: LimitKind::Breaker, value, retry_after: Some(retry_after) })
    }

    pub(super) fn no_permit(&self) -> Refusal {
        let options = &self.plan.load().options;
        let limit = self.gate.limit();
        let limited = if options.adaptive.is_some() && limit < options.concurrency.limit {
            LimitKind::Adaptive
        } else {
            LimitKind::Concurrency
        };
        Refusal { limit: limited, value: f64::from(limit), retry_after: None }
    }

    /// The rate's refusal for one who finds others waiting for tokens: come back when they are through.
    pub(super) fn no_token(&self) -> Refusal {
        let per_second = self.plan.load().options.rate.map_or(f64::INFINITY, |rate| rate.per_second);
        let ahead = self.token_waiting.load(Ordering::Relaxed).saturating_add(1);
        let retry_after = Duration::from_secs_f64(f64::from(ahead) / per_second);
        Refusal { limit: LimitKind::Rate, value: per_second, retry_after: Some(retry_after) }
    }

    pub(super) fn snapshot(&self) -> GuardSnapshot {
        let plan = self.plan.load();
        let brain = self.brain();
        let now = self.clock.now();
        let count = |kind: LimitKind| self.refusals[kind as usize].load(Ordering::Relaxed);
        GuardSnapshot {
            rate: plan.options.rate.map(|r| RateSnapshot { per_second: r.per_second, burst: r.burst }),
            concurrency: ConcurrencySnapshot {
                limit: self.gate.limit(),
                used: self.gate.used(),
                waiting: self.gate.waiting() + self.token_waiting.load(Ordering::Relaxed),
            },
            adaptive: brain.adaptive.as_ref().map(|adaptive| AdaptiveSnapshot {
                limit: adaptive.limit(),
                min: adaptive.options().min,
                max: adaptive.options().max,
            }),
            breaker: brain.breaker.as_ref().map(|breaker| BreakerSnapshot {
                state: breaker.state(now),
                failure_ratio: breaker.failure_ratio(now),
                opens: breaker.opens(),
            }),
            refusals: Refusals {
                rate: count(LimitKind::Rate),
                concurrency: count(LimitKind::Concurrency),
                adaptive: count(LimitKind::Adaptive),
                breaker: count(LimitKind::Breaker),
            },
        }
    }

    /// A panic elsewhere while the lock was held leaves numbers that are at worst one sample old.
    fn brain(&self) -> MutexGuard<'_, Brain> {
        self.brain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, brain: &Brain) {
        let learns = match (&brain.adaptive, &brain.breaker) {
            (Some(_), _) => LEARNS_LATENCY,
            (None, Some(_)) => LEARNS_VERDICTS,
            (None, None) => LEARNS_NOTHING,
        };
        self.learns.store(learns, Ordering::Relaxed);
        let word = brain.breaker.as_ref().map_or(0, |breaker| {
            let shut = breaker.state(Nanos(0)) != BreakerState::Closed;
            breaker.epoch() << 1 | u64::from(shut)
        });
        self.breaker_word.store(word, Ordering::Release);
    }
}
