//! A store chosen at run time, by configuration.
//!
//! [`Store`] returns unnamed futures and so cannot be a trait object. [`ErasedStore`] is its boxed twin, and
//! [`DynStore`] turns that back into a [`Store`]: one allocation for each batch, none for each record.

use super::{Store, StoreError, StoreStats};
use crate::claim::{Claim, ClaimRequest, Completion, Release, Renewal, State};
use seawall_core::Token;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`Store`] with boxed futures; implemented for every store.
pub trait ErasedStore: Send + Sync + 'static {
    /// As [`Store::claim`].
    fn claim_boxed(&self, requests: Vec<ClaimRequest>) -> BoxFuture<'_, Vec<Result<Claim, StoreError>>>;
    /// As [`Store::complete`].
    fn complete_boxed(&self, completions: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), StoreError>>>;
    /// As [`Store::release`].
    fn release_boxed(&self, releases: Vec<Release>) -> BoxFuture<'_, Vec<Result<(), StoreError>>>;
    /// As [`Store::renew`].
    fn renew_boxed(&self, renewals: Vec<Renewal>) -> BoxFuture<'_, Vec<Result<(), StoreError>>>;
    /// As [`Store::query`].
    fn query_boxed(&self, token: Token) -> BoxFuture<'_, Result<State, StoreError>>;
    /// As [`Store::stats`].
    fn stats_erased(&self) -> StoreStats;
}

impl<S: Store> ErasedStore for S {
    fn claim_boxed(&self, requests: Vec<ClaimRequest>) -> BoxFuture<'_, Vec<Result<Claim, StoreError>>> {
        Box::pin(self.claim(requests))
    }

    fn complete_boxed(&self, completions: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), StoreError>>> {
        Box::pin(self.complete(completions))
    }

    fn release_boxed(&self, releases: Vec<Release>) -> BoxFuture<'_, Vec<Result<(), StoreError>>> {
        Box::pin(self.release(releases))
    }

    fn renew_boxed(&self, renewals: Vec<Renewal>) -> BoxFuture<'_, Vec<Result<(), StoreError>>> {
        Box::pin(self.renew(renewals))
    }

    fn query_boxed(&self, token: Token) -> BoxFuture<'_, Result<State, StoreError>> {
        Box::pin(self.query(token))
    }

    fn stats_erased(&self) -> StoreStats {
        self.stats()
    }
}

/// Any store behind one type. Clones share it.
#[derive(Clone)]
pub struct DynStore(Arc<dyn ErasedStore>);

impl DynStore {
    /// Erases `store`.
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for DynStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynStore({:?})", self.stats())
    }
}

impl Store for DynStore {
    fn claim(
        &self,
        requests: Vec<ClaimRequest>,
    ) -> impl Future<Output = Vec<Result<Claim, StoreError>>> + Send {
        self.0.claim_boxed(requests)
    }

    fn complete(
        &self,
        completions: Vec<Completion>,
    ) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send {
        self.0.complete_boxed(completions)
    }

    fn release(&self, releases: Vec<Release>) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send {
        self.0.release_boxed(releases)
    }

    fn renew(&self, renewals: Vec<Renewal>) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send {
        self.0.renew_boxed(renewals)
    }

    fn query(&self, token: Token) -> impl Future<Output = Result<State, StoreError>> + Send {
        self.0.query_boxed(token)
    }

    fn stats(&self) -> StoreStats {
        self.0.stats_erased()
    }
}
