//! A sink that is there or not, as one likes.

use seawall_core::{Class, Durability, Fault, Outgoing, Receipt, Sink, TopicPartition};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Hands calls on to `to`, or takes them itself where there is none, while it is up.
#[derive(Clone)]
pub(super) struct Switch<S> {
    pub(super) up: Arc<AtomicBool>,
    pub(super) to: Option<Arc<S>>,
}

impl<S: Sink> Sink for Switch<S> {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        self.send_shared(Arc::new(records)).await
    }

    async fn send_shared(&self, records: Arc<Vec<Outgoing>>) -> Vec<Result<Receipt, Fault>> {
        if !self.up.load(Relaxed) {
            return records.iter().map(|_| Err(Fault::new(Class::Transient, "no broker"))).collect();
        }
        if let Some(to) = &self.to {
            return to.send_shared(records).await;
        }
        let receipt = |outgoing: &Outgoing| Receipt {
            partition: TopicPartition::new(outgoing.topic.clone(), 0),
            offset: 0,
            durability: Durability::Replicated,
        };
        records.iter().map(|outgoing| Ok(receipt(outgoing))).collect()
    }
}
