//! What was granted, and how it comes back.

use super::Guard;
use super::refusal::Refusal;
use crate::breaker::Pass;
use seawall_core::Nanos;
use std::borrow::Borrow;
use std::time::Duration;

/// How many permits of settled calls come back together at most.
const TOGETHER: u32 = 16;
/// A call that is shorter keeps nobody waiting whose permit comes back with the next one's.
const QUICK: Duration = Duration::from_micros(20);

/// What a call said of the service behind the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It worked. A record that is itself at fault (a 4xx) counts here: the service is well.
    Ok,
    /// It failed: counts for the breaker; its latency says nothing.
    Failed,
    /// It said that it has too much to do: cuts the adaptive limit; for the breaker it counts only against a
    /// probe.
    Overloaded,
}

/// The end of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// From the admission to the answer.
    pub latency: Duration,
    /// What it said.
    pub verdict: Verdict,
}

/// What a request for several permits got.
#[derive(Debug)]
#[must_use = "dropping this gives the permits back"]
pub struct Granted<G: Borrow<Guard> = Guard> {
    /// The permits, maybe none.
    pub permits: Permits<G>,
    /// When more tokens come, where the rate granted less than was wanted.
    pub next_at: Option<Nanos>,
    /// Why it is less than was wanted. Counted as refused only when there are no permits at all.
    pub refusal: Option<Refusal>,
}

/// Some permits of one guard. A batch holds its permits until each of its records is done: settle or release
/// them one by one or in bulk, or split single ones off; what is left comes back on drop.
#[derive(Debug)]
#[must_use = "dropping this gives the permits back"]
pub struct Permits<G: Borrow<Guard> = Guard> {
    guard: G,
    count: u32,
    /// Settled, and not given back yet.
    done: u32,
    pass: Pass,
}

impl<G: Borrow<Guard>> Permits<G> {
    pub(super) fn new(guard: G, count: u32, pass: Pass) -> Self {
        Self { guard, count, done: 0, pass }
    }

    /// How many are left.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether these are the breaker's probes, whose results decide whether it closes.
    pub fn is_probe(&self) -> bool {
        self.pass.is_probe()
    }

    /// One call is done: gives its permit back and feeds the adaptive limit and the breaker. Nothing happens
    /// when none is left.
    #[inline]
    pub fn settle(&mut self, sample: Sample) {
        if self.count > 0 {
            self.count -= 1;
            self.guard.borrow().shared().settle(self.pass, sample);
        }
    }

    /// As [`Permits::settle`], for one of many calls that follow each other at once: where nobody learns from it, the
    /// permit of a quick call comes back together with those of the next ones, since all threads write to the word
    /// that counts them. A call that took [`QUICK`] or longer gives everything back that is due.
    #[inline]
    pub fn settle_in_row(&mut self, sample: Sample) {
        if self.guard.borrow().shared().learns() {
            return self.settle(sample);
        }
        if self.count > 0 {
            self.count -= 1;
            self.done += 1;
            if self.done >= TOGETHER || sample.latency >= QUICK {
                self.give_back();
            }
        }
    }

    /// Gives back what [`Permits::settle_in_row`] has kept.
    #[inline]
    fn give_back(&mut self) {
        let done = std::mem::take(&mut self.done);
        if done > 0 {
            self.guard.borrow().shared().give_back(done);
        }
    }

    /// The time, if someone learns from the latency of what starts now: a clock costs more than the admission.
    #[inline]
    pub(crate) fn started_at(&self) -> Option<Nanos> {
        self.guard.borrow().shared().started_at()
    }

    /// As [`Permits::settle`], for a call begun at [`Permits::started_at`].
    #[inline]
    pub(crate) fn settle_since(&mut self, since: Option<Nanos>, verdict: Verdict) {
        if self.count > 0 {
            self.count -= 1;
            self.guard.borrow().shared().settle_since(self.pass, since, verdict);
        }
    }

    /// Gives up to `n` permits back that say nothing of the service: cancelled, or never used.
    pub fn release(&mut self, n: u32) {
        let n = n.min(self.count);
        if n > 0 {
            self.count -= n;
            self.guard.borrow().shared().release(self.pass, n);
        }
    }

    /// Splits up to `n` permits off.
    pub fn split(&mut self, n: u32) -> Self
    where
        G: Clone,
    {
        let n = n.min(self.count);
        self.count -= n;
        Self { guard: self.guard.clone(), count: n, done: 0, pass: self.pass }
    }

    /// The guard they belong to.
    pub fn guard(&self) -> &Guard {
        self.guard.borrow()
    }
}

impl<G: Borrow<Guard>> Drop for Permits<G> {
    #[inline]
    fn drop(&mut self) {
        self.give_back();
        self.release(self.count);
    }
}
