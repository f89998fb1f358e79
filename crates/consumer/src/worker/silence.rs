//! A store that says nothing: after a bound its silence is an error, as if it had failed.
//!
//! The bound is where a lease counts as lost ([`LeaseTimes::lost_after`], five sixths of it): an answer that comes later
//! is of no use, since the claim in it would run out under its handler. Without a bound a store that hangs would
//! hold records, permits and the drain for as long as it pleases, and nobody would be told.

use seawall_idempotency::StoreError;
use seawall_idempotency::renew::LeaseTimes;
use std::time::Duration;

/// The claim store did not answer in time. What it was asked for may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the claim store did not answer within {0:?}")]
pub(super) struct Silent(pub Duration);

/// The answers of a store to `count` requests, or as many errors once `lease` says that it is too late for any.
pub(super) async fn bounded<T>(
    lease: Duration,
    count: usize,
    call: impl Future<Output = Vec<Result<T, StoreError>>>,
) -> Vec<Result<T, StoreError>> {
    let within = LeaseTimes::of(lease).lost_after;
    match tokio::time::timeout(within, call).await {
        Ok(answers) => answers,
        Err(_) => (0..count).map(|_| Err(StoreError::unknown(Silent(within)))).collect(),
    }
}
