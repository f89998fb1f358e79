//! Stand-ins for the seams a pipeline does not use.

use seawall_core::{Class, Classify, Fault, Outgoing, Receipt, Sink, Token};
use seawall_idempotency::{
    Claim, ClaimRequest, Completion, Release, Renewal, State, Store, StoreError, StoreStats,
};

/// No claim store. Has no values: it only gives `None` a type.
#[derive(Clone, Copy, Debug)]
pub enum NoStore {}

impl Store for NoStore {
    async fn claim(&self, _: Vec<ClaimRequest>) -> Vec<Result<Claim, StoreError>> {
        match *self {}
    }

    async fn complete(&self, _: Vec<Completion>) -> Vec<Result<(), StoreError>> {
        match *self {}
    }

    async fn release(&self, _: Vec<Release>) -> Vec<Result<(), StoreError>> {
        match *self {}
    }

    async fn renew(&self, _: Vec<Renewal>) -> Vec<Result<(), StoreError>> {
        match *self {}
    }

    async fn query(&self, _: Token) -> Result<State, StoreError> {
        match *self {}
    }

    fn stats(&self) -> StoreStats {
        match *self {}
    }
}

/// No dead letters: refuses every record, permanently.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

/// A record was sent to a sink that does not exist.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this pipeline has no sink for dead letters")]
struct NoSuchSink;

impl Classify for NoSuchSink {
    fn class(&self) -> Class {
        Class::Permanent
    }
}

impl Sink for NoSink {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        records.iter().map(|_| Err(NoSuchSink.into())).collect()
    }
}
