//! A sink without its type, so that the workers need not carry it: one allocation for each batch.

use seawall_core::{Fault, Outgoing, Receipt, Sink};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

type Sending<'a> = Pin<Box<dyn Future<Output = Vec<Result<Receipt, Fault>>> + Send + 'a>>;

trait ErasedSink: Send + Sync + 'static {
    fn send_boxed(&self, records: Vec<Outgoing>) -> Sending<'_>;
}

impl<S: Sink> ErasedSink for S {
    fn send_boxed(&self, records: Vec<Outgoing>) -> Sending<'_> {
        Box::pin(self.send(records))
    }
}

/// Where a consumer's records go that leave it for another topic.
#[derive(Clone)]
pub(crate) struct Outlet(Arc<dyn ErasedSink>);

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlet")
    }
}

impl Outlet {
    pub(crate) fn new(sink: impl Sink) -> Self {
        Self(Arc::new(sink))
    }

    pub(crate) async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        self.0.send_boxed(records).await
    }
}
