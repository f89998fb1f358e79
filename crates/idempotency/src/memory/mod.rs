//! The store that lives as long as its process.
//!
//! Right for tests, for handlers that are idempotent by themselves, and in front of an effect that dies with
//! the process too. After a restart every token is unknown again.
//!
//! # Bounds and what happens at them
//!
//! Entries and bytes are bounded. Nothing is scanned: results and given-up claims queue in the order in which
//! they ended, which with one retention for all is the order in which they may be forgotten, so that each
//! request forgets what is due at the head. Claims whose owner never came back are found by a hand that looks
//! at two entries for every grant and so passes every entry while the store doubles at most.
//!
//! When a bound is reached, in this order: what is past its retention goes; then the memory of given-up claims
//! (which costs an attempt count, nothing else); then the oldest results, before their time, each counted in
//! [`StoreStats::forgotten_early_total`]: a repeat of one of them runs once more, which is less than a pipeline
//! that stands until the retention ends. A live claim is never evicted: where there is nothing but those, a new
//! one is refused with [`StoreError::Full`]. A completion is always taken, since its effect has already
//! happened: the byte bound can therefore be overrun by the results of the claims that were live when it was
//! reached, each at most [`MemoryConfig::result_bytes_max`].
//!
//! # Fences
//!
//! One counter for the whole store, started at the wall clock's milliseconds × 2^20, so that a restarted process
//! offers greater fences than its predecessor, provided that the wall clock did not jump back over the
//! restart and fewer than 2^20 claims a millisecond were granted. The embedded store keeps an epoch on
//! disk instead and needs no such proviso.

mod ledger;
mod shard;

use crate::claim::{Claim, ClaimRequest, Completion, Release, Renewal, State};
use crate::store::{Store, StoreError, StoreStats};
use bytes::Bytes;
use foldhash::fast::FixedState;
use ledger::Ledger;
use seawall_core::{Clock, Nanos, Token};
use shard::Shard;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Locks held apart, so that threads rarely meet. A power of two.
const SHARDS: usize = 16;

/// Results forgotten early at a time, as a part of the entries that fit: looking for the oldest takes all locks
/// once for each, and passing all shards before it costs more, so that it should not be done for every claim.
const EARLY_PART: u64 = 16_384;

/// Bounds of a [`MemoryStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Tokens remembered at most: claimed, done, and given up. Beyond, the oldest result is forgotten before its
    /// time.
    pub entries_max: u64,
    /// Bytes of tokens, results and their bookkeeping at most.
    pub bytes_max: u64,
    /// The largest result, in bytes.
    pub result_bytes_max: usize,
    /// How long a result, or the attempt count of a given-up claim, is remembered, where the bounds let it.
    /// Should exceed the time over which a record can come again.
    pub retention: Duration,
    /// Seed of the table's hash. `None` draws one, so that no sender can aim tokens at one bucket; a
    /// simulation sets it.
    pub hash_seed: Option<u64>,
}

/// 1,000,000 entries, 256 MiB, results of 64 KiB, remembered for an hour.
impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            entries_max: 1_000_000,
            bytes_max: 256 << 20,
            result_bytes_max: 64 << 10,
            retention: Duration::from_hours(1),
            hash_seed: None,
        }
    }
}

/// Claims in memory. See the [module](self).
pub struct MemoryStore {
    shards: [Mutex<Shard>; SHARDS],
    ledger: Ledger,
    hasher: FixedState,
    clock: Arc<dyn Clock>,
    config: MemoryConfig,
}

impl MemoryStore {
    /// An empty store that judges leases by `clock`.
    pub fn new(config: MemoryConfig, clock: Arc<dyn Clock>) -> Self {
        let seed =
            config.hash_seed.unwrap_or_else(|| std::hash::RandomState::new().hash_one("seawall claims"));
        let epoch = u64::try_from(clock.wall().0).unwrap_or(0) << 20;
        Self {
            shards: std::array::from_fn(|_| Mutex::new(Shard::default())),
            ledger: Ledger::new(config, epoch),
            hasher: FixedState::with_seed(seed),
            clock,
            config,
        }
    }

    /// As [`Store::claim`], for callers that are not async: this store never waits.
    pub fn claim_now(&self, requests: Vec<ClaimRequest>) -> Vec<Result<Claim, StoreError>> {
        let now = self.clock.now();
        requests.into_iter().map(|request| self.claim_one(&request, now)).collect()
    }

    fn claim_one(&self, request: &ClaimRequest, now: Nanos) -> Result<Claim, StoreError> {
        let hash = self.hash(&request.token);
        let first = self.shard(hash).claim(hash, request, now, &self.ledger);
        let Err(StoreError::Full { .. }) = first else { return first };
        // The other shards may hold what can be forgotten.
        for shard in &self.shards {
            lock(shard).make_room(now, &self.ledger);
        }
        loop {
            let again = self.shard(hash).claim(hash, request, now, &self.ledger);
            if !matches!(again, Err(StoreError::Full { .. })) || !self.forget_early() {
                return again;
            }
        }
    }

    /// Forgets the oldest results before their time, a few at once. Whether there was any.
    fn forget_early(&self) -> bool {
        let most = (self.config.entries_max / EARLY_PART).max(1);
        (0..most).take_while(|_| self.forget_oldest_result()).count() > 0
    }

    fn forget_oldest_result(&self) -> bool {
        let due = |shard: &Mutex<Shard>| lock(shard).oldest_result();
        // Other threads may be quicker: then what is oldest is asked again.
        loop {
            let oldest = self.shards.iter().filter_map(|shard| Some((due(shard)?, shard)));
            let Some((_, shard)) = oldest.min_by_key(|(due, _)| *due) else { return false };
            if lock(shard).forget_oldest_result(&self.ledger) {
                return true;
            }
        }
    }

    fn complete_one(&self, completion: Completion, now: Nanos) -> Result<(), StoreError> {
        let (bytes, max) = (completion.result.len(), self.config.result_bytes_max);
        if bytes > max {
            return Err(StoreError::ResultTooLarge { bytes, max });
        }
        let hash = self.hash(&completion.token);
        // A copy, lest a few kept bytes hold the whole buffer alive from which they were read.
        let result = Bytes::copy_from_slice(&completion.result);
        self.shard(hash).change(hash, &completion.token, completion.fence, now, &self.ledger, |slot| {
            slot.complete(completion.owner, completion.fence, result, now, self.config.retention)
        })
    }

    fn release_one(&self, release: &Release, now: Nanos) -> Result<(), StoreError> {
        let hash = self.hash(&release.token);
        self.shard(hash).change(hash, &release.token, release.fence, now, &self.ledger, |slot| {
            slot.release(release.owner, release.fence)
        })
    }

    fn renew_one(&self, renewal: &Renewal, now: Nanos) -> Result<(), StoreError> {
        let hash = self.hash(&renewal.token);
        self.shard(hash).change(hash, &renewal.token, renewal.fence, now, &self.ledger, |slot| {
            slot.renew(renewal.owner, renewal.fence, renewal.lease, now)
        })
    }

    fn hash(&self, token: &Token) -> u64 {
        self.hasher.hash_one(&token.as_bytes()[..])
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The table takes its tags from the top bits and its buckets from the bottom ones.
        lock(&self.shards[(hash >> 32) as usize % SHARDS])
    }
}

/// A shard changes only in steps that cannot unwind half-way, so a poisoned lock holds nothing broken.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("config", &self.config)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    async fn claim(&self, requests: Vec<ClaimRequest>) -> Vec<Result<Claim, StoreError>> {
        self.claim_now(requests)
    }

    async fn complete(&self, completions: Vec<Completion>) -> Vec<Result<(), StoreError>> {
        let now = self.clock.now();
        completions.into_iter().map(|completion| self.complete_one(completion, now)).collect()
    }

    async fn release(&self, releases: Vec<Release>) -> Vec<Result<(), StoreError>> {
        let now = self.clock.now();
        releases.iter().map(|release| self.release_one(release, now)).collect()
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Vec<Result<(), StoreError>> {
        let now = self.clock.now();
        renewals.iter().map(|renewal| self.renew_one(renewal, now)).collect()
    }

    async fn query(&self, token: Token) -> Result<State, StoreError> {
        let (hash, now) = (self.hash(&token), self.clock.now());
        Ok(self.shard(hash).view(hash, &token, now))
    }

    fn stats(&self) -> StoreStats {
        self.ledger.stats()
    }
}

#[cfg(test)]
mod tests;
