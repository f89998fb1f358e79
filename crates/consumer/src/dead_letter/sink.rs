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

/// Where a pipeline's dead letters go.
#[derive(Clone)]
pub(crate) struct DeadLetters {
    pub(crate) topic: Arc<str>,
    sink: Arc<dyn ErasedSink>,
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeadLetters({})", self.topic)
    }
}

impl DeadLetters {
    pub(crate) fn new(topic: Arc<str>, sink: impl Sink) -> Self {
        Self { topic, sink: Arc::new(sink) }
    }

    pub(crate) async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        self.sink.send_boxed(records).await
    }
}
