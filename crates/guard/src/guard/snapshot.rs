//! A guard in numbers, for the admin API, the dashboard and the metrics. Reading it decides nothing.

use super::refusal::LimitKind;
use crate::breaker::BreakerState;

/// A guard at one moment. The numbers are read one after the other, so they need not add up to the last unit.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardSnapshot {
    /// The rate limit, where there is one.
    pub rate: Option<RateSnapshot>,
    /// What is in flight.
    pub concurrency: ConcurrencySnapshot,
    /// The adaptive limit, where there is one.
    pub adaptive: Option<AdaptiveSnapshot>,
    /// The breaker, where there is one.
    pub breaker: Option<BreakerSnapshot>,
    /// Calls refused since the start.
    pub refusals: Refusals,
}

/// The rate limit in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateSnapshot {
    /// Admissions per second, as configured.
    pub per_second: f64,
    /// Admissions at once after a pause.
    pub burst: u32,
}

/// What is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcurrencySnapshot {
    /// The limit in force: the adaptive one where there is one, else the static one.
    pub limit: u32,
    /// Permits out. Above `limit` for a while after the limit was lowered.
    pub used: u32,
    /// Callers in line, for a permit or a token.
    pub waiting: u32,
}

/// The adaptive limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveSnapshot {
    /// The limit in force.
    pub limit: u32,
    /// Its lower bound.
    pub min: u32,
    /// Its upper bound.
    pub max: u32,
}

/// The breaker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSnapshot {
    /// Closed, open or half-open.
    pub state: BreakerState,
    /// Failed calls of all calls in the rolling window; while not closed, the ratio that opened it.
    pub failure_ratio: f64,
    /// How often it has opened.
    pub opens: u64,
}

/// Calls refused since the start, by limit. A batch that got nothing counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// By the rate.
    pub rate: u64,
    /// By the static concurrency limit or a full line.
    pub concurrency: u64,
    /// By the adaptive limit.
    pub adaptive: u64,
    /// By the breaker.
    pub breaker: u64,
}

impl Refusals {
    /// The count of one kind.
    pub fn of(&self, kind: LimitKind) -> u64 {
        match kind {
            LimitKind::Rate => self.rate,
            LimitKind::Concurrency => self.concurrency,
            LimitKind::Adaptive => self.adaptive,
            LimitKind::Breaker => self.breaker,
        }
    }
}
