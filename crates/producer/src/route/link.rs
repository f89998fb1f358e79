//! One sink's standing: the breaker says whether it is gone, the backoff when to ask again.

use seawall_core::Nanos;
use seawall_guard::breaker::{Breaker, Pass};
use seawall_guard::{Backoff, BreakerOptions, BreakerState, GuardError};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Link {
    breaker: Breaker,
    backoff: Backoff,
    seed: u64,
    /// Failures in a row.
    failures: u32,
    failed_at: Option<Nanos>,
    answered_at: Option<Nanos>,
    retry_at: Nanos,
}

impl Link {
    pub(super) fn new(breaker: BreakerOptions, backoff: Backoff, seed: u64) -> Result<Self, GuardError> {
        let breaker = Breaker::new(breaker, seed)?;
        Ok(Self {
            breaker,
            backoff,
            seed,
            failures: 0,
            failed_at: None,
            answered_at: None,
            retry_at: Nanos(0),
        })
    }

    /// Leave for one call, or when to ask again.
    pub(super) fn allow(&mut self, now: Nanos) -> Result<Pass, Nanos> {
        if now < self.retry_at {
            return Err(self.retry_at);
        }
        self.breaker.allow(now).map_err(|wait| now.plus(wait))
    }

    /// What became of a call begun at `started`.
    pub(super) fn on_result(
        &mut self,
        now: Nanos,
        pass: Pass,
        started: Nanos,
        ok: bool,
        retry_after: Option<Duration>,
    ) {
        self.breaker.on_result(now, pass, ok);
        if ok {
            (self.failures, self.retry_at) = (0, Nanos(0));
            self.answered_at = Some(now);
            return;
        }
        // Calls that were on their way together fail together: that is one failure.
        if self.failed_at.is_none_or(|failed_at| started >= failed_at) {
            self.failures += 1;
            self.failed_at = Some(now);
            let wait = self.backoff.delay(self.failures, self.seed);
            self.retry_at = now.plus(wait.max(retry_after.unwrap_or_default()));
        }
    }

    pub(super) fn on_abandoned(&mut self, pass: Pass) {
        self.breaker.on_abandoned(pass);
    }

    /// It took something after `at`.
    pub(super) fn answered_after(&self, at: Nanos) -> bool {
        self.answered_at.is_some_and(|answered| answered > at)
    }

    /// Nothing failed since it last answered. A breaker that is half open and has seen nothing but good probes is no
    /// reason to say otherwise.
    pub(super) fn is_up(&self, now: Nanos) -> bool {
        self.failures == 0 && self.breaker.state(now) != BreakerState::Open
    }

    pub(super) fn state(&self, now: Nanos) -> BreakerState {
        self.breaker.state(now)
    }
}
