//! Producers: each has keys of its own, waits for its receipts, and may try again under the same token.

use crate::power::{Power, Site};
use crate::trace::Place;
use crate::truth::{Planned, TOPIC, Truth};
use seawall_core::{Outgoing, Sink};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a producer still has to send. Outlives its process, as an outbox does.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    ids: Arc<Vec<u32>>,
    next: Arc<Mutex<usize>>,
}

impl Outbox {
    /// One for each of `producers`, by key, so that no key has two producers.
    pub(super) fn split(planned: &[Planned], producers: u32) -> Vec<Self> {
        let of = |producer: u32| {
            let mine = |(id, planned): (usize, &Planned)| {
                (planned.key.unwrap_or(id as u32) % producers == producer).then_some(id as u32)
            };
            Self {
                ids: Arc::new(planned.iter().enumerate().filter_map(mine).collect()),
                next: Arc::default(),
            }
        };
        (0..producers).map(of).collect()
    }

    fn next(&self) -> std::sync::MutexGuard<'_, usize> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        *self.next() >= self.ids.len()
    }

    /// Sends until there is nothing left.
    pub(super) async fn send(self, sink: impl Sink, truth: Truth, power: Power) {
        while !self.is_empty() {
            let at = *self.next();
            let count = truth.facts().rng.usize(1..=4).min(self.ids.len() - at);
            let batch = &self.ids[at..at + count];
            let outgoing = batch.iter().filter_map(|id| {
                let record = truth.facts().planned(*id)?.record.clone();
                Some(Outgoing { topic: TOPIC.into(), partition: None, record })
            });
            let outgoing = outgoing.collect();
            power.alive(Site::BeforeSend).await;
            let answers = sink.send(outgoing).await;
            power.alive(Site::AfterSend).await;
            let mut done = true;
            for (id, answer) in batch.iter().zip(&answers) {
                let place =
                    answer.as_ref().ok().map(|receipt| Place(receipt.partition.partition, receipt.offset));
                done &= place.is_some();
                truth.enter(|facts| facts.sent(*id, place));
            }
            // Without a receipt it may stand in the log all the same: some try again, some give up.
            if done || truth.facts().rng.u32(0..3) == 0 {
                *self.next() += count;
            }
            let wait = if done { truth.pause(15) } else { Duration::from_millis(5) };
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
    }
}
