//! A sink chosen at run time. [`Sink`] returns unnamed futures; this is its boxed twin: one allocation a call.

use seawall_core::{Durability, Fault, Outgoing, Receipt, Sink};
use std::pin::Pin;
use std::sync::Arc;

/// A future on the heap.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) trait ErasedSink: Send + Sync + 'static {
    fn send_boxed(self: Arc<Self>, records: Arc<Vec<Outgoing>>) -> BoxFuture<Vec<Result<Receipt, Fault>>>;
}

impl<S: Sink> ErasedSink for S {
    fn send_boxed(self: Arc<Self>, records: Arc<Vec<Outgoing>>) -> BoxFuture<Vec<Result<Receipt, Fault>>> {
        Box::pin(async move { self.send_shared(records).await })
    }
}

/// A sink with its name, for one place in the order of preference.
#[derive(Clone)]
pub struct Target {
    pub(crate) name: Arc<str>,
    pub(crate) sink: Arc<dyn ErasedSink>,
    pub(crate) gives: Durability,
}

impl Target {
    /// `sink` under `name`, which labels its metrics; its receipts are [`Durability::Replicated`].
    pub fn new(name: impl Into<Arc<str>>, sink: impl Sink) -> Self {
        Self { name: name.into(), sink: Arc::new(sink), gives: Durability::Replicated }
    }

    /// The same, for a sink whose receipts say `durability`: what no sink and no spill can give is refused
    /// before anything is written. What lies in a spill is [`Durability::Synced`]: it stays there, and is asked for again,
    /// until a receipt says at least that.
    #[must_use]
    pub fn giving(mut self, durability: Durability) -> Self {
        self.gives = durability;
        self
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("name", &self.name).field("gives", &self.gives).finish_non_exhaustive()
    }
}
