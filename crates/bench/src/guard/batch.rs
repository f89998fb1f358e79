//! Batch-wise: 32 records ask at once, as the consumer does.

use super::guard;
use crate::compare::{BenchError, Better, Contender, Contest, Effort, timed};
use crate::versions;
use governor::{Quota, RateLimiter};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::sync::Semaphore;

const BATCH: u32 = 32;
/// What the design allows, in nanoseconds a record.
const BUDGET_NS: f64 = 3.0;
const RECORDS: u64 = 32_000_000;

pub(super) fn contests(effort: &Effort) -> Result<Vec<Contest>, BenchError> {
    let records = effort.scaled(RECORDS);
    let guard = guard()?;
    let ours = Contender::new("guard", env!("CARGO_PKG_VERSION"), move || {
        let mut granted: u64 = 0;
        let ((), took) = timed(|| {
            for _ in 0..records / u64::from(BATCH) {
                let taken = guard.try_enter_many(BATCH);
                granted += u64::from(taken.permits.count());
                drop(black_box(taken));
            }
        });
        complete("guard", granted, records)?;
        Ok(took.as_nanos() as f64 / records as f64)
    });
    let peers =
        vec![Contender::limit("budget of the design", "3 ns", || Ok(BUDGET_NS)).goal(1.0), bare(records)];
    let name = format!("batch of {BATCH}, both layers");
    Ok(vec![Contest { name, unit: "ns/record", rounds: 11, better: Better::Lower, ours, peers }])
}

/// What the guard stands on, without what it adds (refusals that tell, permits that come back, reload).
fn bare(records: u64) -> Contender {
    let limiter = RateLimiter::direct(Quota::per_second(NonZeroU32::MAX).allow_burst(NonZeroU32::MAX));
    let permits = Arc::new(Semaphore::new(1_000_000));
    let version = format!("{} + {}", versions::of_crate("governor"), versions::of_crate("tokio"));
    Contender::new("governor + tokio Semaphore, bare", version, move || {
        let mut granted: u64 = 0;
        let batch = NonZeroU32::new(BATCH).unwrap_or(NonZeroU32::MIN);
        let ((), took) = timed(|| {
            for _ in 0..records / u64::from(BATCH) {
                let permit = permits.try_acquire_many(BATCH);
                let token = limiter.check_n(batch);
                granted += u64::from(permit.is_ok() && matches!(token, Ok(Ok(())))) * u64::from(BATCH);
                drop(black_box(permit));
            }
        });
        complete("governor + tokio Semaphore", granted, records)?;
        Ok(took.as_nanos() as f64 / records as f64)
    })
}

/// A refusal would be cheaper than a grant: the figure counts only when there was none.
pub(super) fn complete(who: &str, done: u64, asked: u64) -> Result<(), BenchError> {
    if done == asked {
        return Ok(());
    }
    Err(BenchError::Incomplete { who: who.to_owned(), done, asked })
}
