//! Topics that take no batch as large as the client makes them.
//!
//! A broker measures batches against the topic's `max.message.bytes`, refuses one as a whole, and says so of each of its
//! records; the client fills a batch with whatever waits for the partition, and neither splits it nor sends it again. So
//! that something is too large is believed of a record that was sent alone, and of no other. To a topic that has refused
//! a batch one call at a time writes, in pieces of a bounded size, each answered before the next.

use super::error::SinkError;
use super::send::Answer;
use seawall_core::Outgoing;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By so much the pieces get smaller each time one is refused: few rounds down to the smallest limits, and no more than
/// this below what would fit.
const SMALLER: u64 = 4;
/// What a batch holds of a record besides its bytes, at most (the record format of KIP-98), rounded up.
const OVERHEAD: u64 = 64;

/// What is known of topics with a small bound, as long as the sink is open.
#[derive(Debug, Default)]
pub(super) struct Narrow {
    any: AtomicBool,
    topics: Mutex<HashMap<Arc<str>, Arc<Way>>>,
    wide: Mutex<Wide>,
}

/// The calls that write without pieces, numbered as they begin.
#[derive(Debug, Default)]
struct Wide {
    next: u64,
    open: BTreeSet<u64>,
}

/// How a narrow topic is written to.
#[derive(Debug)]
pub(super) struct Way {
    bytes: Mutex<u64>,
    /// Calls below this number may have records of the topic on the way.
    since: u64,
    /// Held by the call that writes.
    pub(super) one: tokio::sync::Mutex<()>,
}

/// A call that writes without pieces.
pub(super) struct WideCall<'a> {
    narrow: &'a Narrow,
    number: u64,
}

impl Drop for WideCall<'_> {
    fn drop(&mut self) {
        lock(&self.narrow.wide).open.remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Narrow {
    /// A call that is about to look for narrow topics, and writes to all others until it is dropped.
    pub(super) fn wide_call(&self) -> WideCall<'_> {
        let mut wide = lock(&self.wide);
        let number = wide.next;
        wide.next += 1;
        wide.open.insert(number);
        WideCall { narrow: self, number }
    }

    /// The way of each narrow topic among `records`.
    pub(super) fn among(&self, records: &[Outgoing]) -> Vec<(Arc<str>, Arc<Way>)> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let topics = lock(&self.topics);
        let mut ways: Vec<(Arc<str>, Arc<Way>)> = Vec::new();
        for outgoing in records {
            if let Some(way) = topics.get(&outgoing.topic)
                && !ways.iter().any(|(topic, _)| *topic == outgoing.topic)
            {
                ways.push((outgoing.topic.clone(), Arc::clone(way)));
            }
        }
        ways
    }

    /// Notes the topics of which a batch of at most `bytes` was refused. True where there is any.
    pub(super) fn heed(&self, records: &[Outgoing], answers: &[Answer], bytes: u64) -> bool {
        let mut heeded = BTreeSet::new();
        for (outgoing, answer) in records.iter().zip(answers) {
            if is_of_batch(answer) && heeded.insert(&outgoing.topic) {
                self.refuse(&outgoing.topic, bytes);
            }
        }
        !heeded.is_empty()
    }

    fn refuse(&self, topic: &Arc<str>, bytes: u64) {
        let smaller = (bytes / SMALLER).max(1);
        let mut topics = lock(&self.topics);
        if let Some(way) = topics.get(topic) {
            let mut bytes = lock(&way.bytes);
            *bytes = smaller.min(*bytes);
            return;
        }
        tracing::warn!(%topic, smaller, "the topic refused a batch as too large; it is written to in smaller ones");
        // What begins from here on finds the topic.
        self.any.store(true, Ordering::Release);
        let since = lock(&self.wide).next;
        let way = Way { bytes: Mutex::new(smaller), since, one: tokio::sync::Mutex::default() };
        topics.insert(topic.clone(), Arc::new(way));
    }

    /// Whether a record that a call has sent by itself over `way` was alone in its batch.
    pub(super) fn is_alone(&self, way: &Way) -> bool {
        lock(&self.wide).open.first().is_none_or(|first| *first >= way.since)
    }
}

impl Way {
    /// The size of a piece, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        *lock(&self.bytes)
    }

    /// How many of `records`, from the first on, make up the next piece.
    pub(super) fn piece<'a>(&self, records: impl Iterator<Item = &'a Outgoing>) -> usize {
        let bytes = self.bytes();
        let mut sum = 0;
        let fits = |outgoing: &&Outgoing| {
            sum += outgoing.record.weight() as u64 + OVERHEAD;
            sum <= bytes
        };
        records.take_while(fits).count().max(1)
    }
}

/// Whether a batch was refused that the record was in.
pub(super) fn is_of_batch(answer: &Answer) -> bool {
    answer.as_ref().is_err_and(|fault| {
        matches!(fault.error().downcast_ref::<SinkError>(), Some(SinkError::BatchRefused { .. }))
    })
}

/// The answer for a record that was alone in its batch.
pub(super) fn of_itself(answer: Answer) -> Answer {
    let Err(fault) = answer else { return answer };
    match fault.error().downcast_ref::<SinkError>() {
        Some(SinkError::BatchRefused { source, .. }) => Err(source.clone().into()),
        _ => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KafkaError;
    use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
    use seawall_core::{Class, Fault, Record};

    fn outgoing(topic: &str, bytes: usize) -> Outgoing {
        let record = Record::new(None, vec![b'x'; bytes]);
        Outgoing { topic: topic.into(), partition: None, record }
    }

    fn refused() -> Answer {
        let said = ClientError::MessageProduction(Code::MessageSizeTooLarge);
        let source = KafkaError::refused("a record".to_owned(), said);
        Err(SinkError::BatchRefused { topic: "t".to_owned(), source }.into())
    }

    #[test]
    fn pieces_get_smaller_until_they_hold_one_record() {
        let narrow = Narrow::default();
        let records = [outgoing("t", 100), outgoing("t", 100), outgoing("u", 100)];
        assert!(narrow.among(&records).is_empty());
        let lost = || Err(Fault::new(Class::Transient, "lost"));
        assert!(!narrow.heed(&records, &[lost(), lost(), lost()], 2_000));
        assert!(narrow.heed(&records, &[refused(), lost(), lost()], 2_000));
        let way = match &narrow.among(&records)[..] {
            [(topic, way)] if **topic == *"t" => Arc::clone(way),
            other => panic!("{other:?}"),
        };
        assert_eq!((way.bytes(), way.piece(records.iter())), (500, 3));
        narrow.heed(&records, &[refused(), lost(), lost()], 1_600);
        assert_eq!((way.bytes(), way.piece(records.iter())), (400, 2));
        narrow.heed(&records, &[refused(), lost(), lost()], 2_000);
        assert_eq!(way.bytes(), 400, "a late refusal makes nothing larger");
        narrow.heed(&records, &[refused(), lost(), lost()], 400);
        assert_eq!(way.piece(records.iter()), 1);
    }

    #[test]
    fn a_record_is_alone_once_the_calls_before_its_topic_was_narrow_are_over() {
        let narrow = Narrow::default();
        let before = narrow.wide_call();
        narrow.heed(&[outgoing("t", 1)], &[refused()], 2_000);
        let after = narrow.wide_call();
        let (_, way) = narrow.among(&[outgoing("t", 1)]).remove(0);
        assert!(!narrow.is_alone(&way));
        drop(before);
        assert!(narrow.is_alone(&way), "later calls know the topic");
        drop(after);
        assert!(narrow.is_alone(&way));
    }

    #[test]
    fn what_is_too_large_by_itself_is_refused_for_good() {
        let answer = refused();
        assert!(is_of_batch(&answer));
        assert_eq!(answer.clone().map_err(|fault| fault.class()).err(), Some(Class::Transient));
        let answer = of_itself(answer);
        assert!(!is_of_batch(&answer));
        assert_eq!(answer.map_err(|fault| fault.class()).err(), Some(Class::Permanent));
    }
}
