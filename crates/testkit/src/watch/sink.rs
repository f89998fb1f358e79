//! The dead letters' sink, watched.

use super::{Injected, Watch};
use crate::chance::Mishap;
use crate::power::Site;
use seawall_core::{Class, Fault, Outgoing, Receipt, Sink};

/// A watched sink of dead letters.
#[derive(Debug)]
pub struct WatchedSink<S> {
    inner: S,
    watch: Watch,
}

impl<S: Sink> WatchedSink<S> {
    /// Watches `inner`.
    pub fn new(inner: S, watch: Watch) -> Self {
        Self { inner, watch }
    }
}

fn failed(count: usize, what: &'static str) -> Vec<Result<Receipt, Fault>> {
    (0..count).map(|_| Err(Fault::new(Class::Transient, Injected(what)))).collect()
}

impl<S: Sink> Sink for WatchedSink<S> {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        let Watch { truth, power, process } = self.watch.clone();
        power.alive(Site::BeforeLetter).await;
        let places: Vec<_> = truth
            .enter(|facts| records.iter().map(|outgoing| facts.burying(process, &outgoing.record)).collect());
        if truth.strikes(Mishap::LetterRefused) {
            return failed(records.len(), "the sink refuses");
        }
        let answers = self.inner.send(records).await;
        power.alive(Site::AfterLetter).await;
        let lost = truth.strikes(Mishap::LetterAnswerLost);
        truth.enter(|facts| {
            for (place, answer) in places.iter().zip(&answers) {
                let answer = if lost {
                    "answer lost"
                } else if answer.is_ok() {
                    "ok"
                } else {
                    "refused"
                };
                if let Some(place) = place {
                    facts.buried(process, *place, answer);
                }
            }
        });
        if lost { failed(answers.len(), "the sink's answer is lost") } else { answers }
    }
}
