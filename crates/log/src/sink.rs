//! The way in.

use crate::append::{Part, Submission};
use crate::broker::{Broker, Topic};
use crate::codec;
use crate::error::LogError;
use crate::partition::hash::partition_of;
use crate::partition::{Packed, Partition};
use seawall_core::{Durability, Fault, Outgoing, Receipt, Sink};
use seawall_wal::Disk;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

type Answer = Result<Receipt, Fault>;

/// Records on their way into the queue together.
struct Draft<D: Disk> {
    parts: Vec<Part<D>>,
    /// For each part, which of the caller's records it holds.
    places: Vec<Vec<usize>>,
    records: usize,
    bytes: usize,
}

impl<D: Disk> Draft<D> {
    fn new() -> Self {
        Self { parts: Vec::new(), places: Vec::new(), records: 0, bytes: 0 }
    }

    fn add(&mut self, partition: &Arc<Partition<D>>, place: usize, outgoing: &Outgoing) {
        let known = self.parts.iter().position(|part| part.partition.id == partition.id);
        let at = known.unwrap_or_else(|| {
            self.parts.push(Part { partition: Arc::clone(partition), packed: Packed::default() });
            self.places.push(Vec::new());
            self.parts.len() - 1
        });
        self.parts[at].packed.push(&outgoing.record);
        self.places[at].push(place);
        self.records += 1;
        self.bytes += codec::encoded_bytes(&outgoing.record);
    }
}

/// Where a record goes, once it is found fit.
fn route<D: Disk>(topic: &Topic<D>, outgoing: &Outgoing) -> Result<Arc<Partition<D>>, LogError> {
    outgoing.record.check()?;
    let partitions = topic.options.partitions;
    let number = match (outgoing.partition, &outgoing.record.key) {
        (Some(chosen), _) => chosen,
        (None, Some(key)) => partition_of(key, partitions),
        (None, None) => topic.sticky.next(outgoing.record.weight(), partitions),
    };
    topic.partition(number).cloned()
}

impl<D: Disk> Broker<D> {
    /// Queues a draft, waits for its round, and fills in the answers. Whether all of it was taken.
    async fn settle(&self, draft: Draft<D>, answers: &mut [Option<Answer>]) -> Result<(), Fault> {
        let partitions: Vec<_> = draft.parts.iter().map(|part| part.partition.tp.clone()).collect();
        let taken = async {
            let room = self.shared.budget.admit(draft.records, draft.bytes).await?;
            let (done, answer) = oneshot::channel();
            self.shared.submit(Submission { parts: draft.parts, room: Some(room), done })?;
            answer.await.map_err(|_| LogError::Unconfirmed)
        };
        let offsets = match taken.await {
            Ok(offsets) => offsets,
            Err(error) => {
                let fault = Fault::from(error);
                for place in draft.places.into_iter().flatten() {
                    answers[place] = Some(Err(fault.clone()));
                }
                return Err(fault);
            }
        };
        let mut all = Ok(());
        for ((places, partition), offset) in draft.places.into_iter().zip(partitions).zip(offsets) {
            let first = offset.map_err(Fault::from);
            if let Err(fault) = &first {
                all = Err(fault.clone());
            }
            for (place, nth) in places.into_iter().zip(0..) {
                answers[place] = Some(first.clone().map(|first| Receipt {
                    partition: partition.clone(),
                    offset: first + nth,
                    durability: Durability::Synced,
                }));
            }
        }
        all
    }
}

/// Appends with receipts of [`Durability::Synced`]. A large call is written in several rounds; after one that
/// was not taken whole, the rest of the call is refused with the same fault, so that no record overtakes an
/// earlier one of its key.
impl<D: Disk> Sink for Broker<D> {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        let mut answers: Vec<Option<Answer>> = vec![None; records.len()];
        let (records_max, bytes_max) = self.shared.budget.share();
        let mut draft = Draft::new();
        let mut stopped = None;
        let mut topic: Option<Arc<Topic<D>>> = None;
        for (place, outgoing) in records.iter().enumerate() {
            if topic.as_ref().is_none_or(|topic| topic.name != outgoing.topic) {
                topic = self.shared.topic(&outgoing.topic).ok();
            }
            let routed = match &topic {
                Some(topic) => route(topic, outgoing),
                None => self.shared.topic(&outgoing.topic).and_then(|topic| route(&topic, outgoing)),
            };
            match (routed, &stopped) {
                (Err(error), _) => answers[place] = Some(Err(error.into())),
                (Ok(_), Some(fault)) => answers[place] = Some(Err(Fault::clone(fault))),
                (Ok(partition), None) => draft.add(&partition, place, outgoing),
            }
            if draft.records >= records_max || draft.bytes >= bytes_max {
                let full = std::mem::replace(&mut draft, Draft::new());
                stopped = self.settle(full, &mut answers).await.err();
            }
        }
        if draft.records > 0 {
            // The outcome stands in the answers.
            let _ = self.settle(draft, &mut answers).await;
        }
        let unanswered = || Err(Fault::from(LogError::Unconfirmed));
        let answers: Vec<Answer> = answers.into_iter().map(|a| a.unwrap_or_else(unanswered)).collect();
        let taken = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
        self.shared.tally.records.fetch_add(taken, Ordering::Relaxed);
        self.shared.tally.refused.fetch_add(answers.len() as u64 - taken, Ordering::Relaxed);
        answers
    }
}
