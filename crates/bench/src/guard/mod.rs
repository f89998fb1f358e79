//! The guard, both layers (permit, then token), against what people use for it.
//!
//! Nothing is ever refused here: limits are set so high that only the cost of asking is measured. A guard's
//! rate ends at ten million a second, which a batch passes many times over, so ours reads a clock that runs
//! 256 times too fast; it costs a shift.

mod batch;
mod record;

use crate::compare::{BenchError, Contest, Effort};
use seawall_core::{Clock, Nanos, WallMs};
use seawall_guard::concurrency::LIMIT_MAX;
use seawall_guard::rate::{BURST_MAX, PER_SECOND_MAX};
use seawall_guard::{ConcurrencyOptions, Guard, GuardOptions, RateOptions, TscClock};
use std::sync::Arc;

/// The guard's contests.
///
/// # Errors
/// When a guard or a peer cannot be made.
pub(crate) fn contests(effort: &Effort) -> Result<Vec<Contest>, BenchError> {
    let mut contests = batch::contests(effort)?;
    contests.extend(record::contests(effort)?);
    Ok(contests)
}

/// The guard under test: concurrency and rate, as a pipeline has them.
fn guard() -> Result<Guard, BenchError> {
    let options = GuardOptions {
        concurrency: ConcurrencyOptions { limit: LIMIT_MAX, waiting_max: LIMIT_MAX },
        rate: Some(RateOptions { per_second: PER_SECOND_MAX, burst: BURST_MAX }),
        ..GuardOptions::default()
    };
    Guard::new(options, Arc::new(Hurried(TscClock::new())), 1).map_err(BenchError::of("guard"))
}

/// The guard's own clock, 256 times too fast.
struct Hurried(TscClock);

impl Clock for Hurried {
    #[inline]
    fn now(&self) -> Nanos {
        Nanos(self.0.now().0 << 8)
    }

    fn wall(&self) -> WallMs {
        self.0.wall()
    }
}
