//! The seam between the pipeline and whatever remembers the claims.
//!
//! Everything goes in batches, because that is how consumers fetch and how networks and disks are fast: a
//! batch is one pipeline of Redis commands, one Postgres statement over arrays, one group commit. A batch is
//! not a transaction: each entry succeeds or fails by itself, in the order given, as if asked one by one.
//!
//! # What a store can promise
//!
//! | store | a completion survives | a claim excludes | so an effect happens |
//! | --- | --- | --- | --- |
//! | memory | nothing: it dies with its process | within the process | at least once; repeats after every restart |
//! | embedded | `kill -9` and power loss, once `complete` returned | within the one process that owns the directory | once, plus at most one for each crash or lease that ran out |
//! | Redis | as much as its persistence and its replication keep | all processes, until a failover forgets a claim | at least once; the repeats are bounded by what failovers lost and leases that ran out, not excluded |
//! | Postgres, own connection | commit | all processes | once, plus at most one for each crash or lease that ran out |
//! | Postgres, in the handler's own transaction | commit, together with the effect | all processes | exactly once, as long as the row is kept |
//!
//! No store can promise more than that while the effect lies outside of it: between the effect and `complete`
//! there is always an instant at which a crash leaves the effect done and the token not.
//!
//! # Unknown results
//!
//! A remote store may time out with its result unknown ([`StoreError::Unknown`]). Completions, releases and
//! renewals can simply be asked again: the machine gives the same answer. A claim whose answer was lost may have
//! been granted; asked again it answers `Held` until its lease ends, so nothing is lost but time.
//!
//! A dropped future leaves its whole batch unknown in the same sense.

mod erased;
mod error;

pub use erased::{BoxFuture, DynStore, ErasedStore};
pub use error::StoreError;

use crate::claim::{Claim, ClaimRequest, Completion, Release, Renewal, State};
use seawall_core::Token;
use std::sync::Arc;

/// What a store counts. The first two are levels, the others grow for the life of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Tokens claimed now; those whose lease has run out are counted until they are noticed.
    pub claimed: u64,
    /// Tokens remembered as done now; those past their retention are counted until they are noticed.
    pub done: u64,
    /// Claims granted.
    pub granted_total: u64,
    /// Claims answered `Held`.
    pub held_total: u64,
    /// Claims answered `Done`: repeats that were spared.
    pub done_total: u64,
    /// Completions, releases and renewals refused because of their fence.
    pub fenced_total: u64,
    /// Completions forgotten before their retention, because of a bound.
    pub forgotten_early_total: u64,
}

/// Remembers claims. Answers stand in the order of their requests, one for each.
///
/// A store judges leases by its own monotonic clock. Local stores answer claims at once (ready on the first
/// poll); nobody may rely on that of a `Store` in general.
pub trait Store: Send + Sync + 'static {
    /// Claims tokens. A token that stands twice in one batch is granted at most once.
    ///
    /// Errors of an entry: [`StoreError::Full`] when there is no room for another claim;
    /// [`StoreError::Unavailable`] and [`StoreError::Unknown`] of the medium.
    fn claim(
        &self,
        requests: Vec<ClaimRequest>,
    ) -> impl Future<Output = Vec<Result<Claim, StoreError>>> + Send;

    /// Marks claims as done; durable, as far as the store is, when it returns.
    ///
    /// Errors of an entry: [`StoreError::Fenced`] when another claim took its place;
    /// [`StoreError::ResultTooLarge`]; those of the medium.
    fn complete(
        &self,
        completions: Vec<Completion>,
    ) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send;

    /// Gives claims up, so that the next claim is granted at once.
    ///
    /// Errors of an entry: [`StoreError::Fenced`]; those of the medium. A release that fails costs only the
    /// rest of the lease.
    fn release(&self, releases: Vec<Release>) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send;

    /// Prolongs claims.
    ///
    /// Errors of an entry: [`StoreError::Fenced`] when the claim is lost: cancel its handler; those of the
    /// medium.
    fn renew(&self, renewals: Vec<Renewal>) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send;

    /// What is known of a token, without claiming it.
    ///
    /// # Errors
    /// Those of the medium.
    fn query(&self, token: Token) -> impl Future<Output = Result<State, StoreError>> + Send;

    /// The store's counts in this process.
    fn stats(&self) -> StoreStats;
}

impl<S: Store> Store for Arc<S> {
    fn claim(
        &self,
        requests: Vec<ClaimRequest>,
    ) -> impl Future<Output = Vec<Result<Claim, StoreError>>> + Send {
        S::claim(self, requests)
    }

    fn complete(
        &self,
        completions: Vec<Completion>,
    ) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send {
        S::complete(self, completions)
    }

    fn release(&self, releases: Vec<Release>) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send {
        S::release(self, releases)
    }

    fn renew(&self, renewals: Vec<Renewal>) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send {
        S::renew(self, renewals)
    }

    fn query(&self, token: Token) -> impl Future<Output = Result<State, StoreError>> + Send {
        S::query(self, token)
    }

    fn stats(&self) -> StoreStats {
        S::stats(self)
    }
}
