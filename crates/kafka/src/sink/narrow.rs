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
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    wide: Arc<Mutex<Wide>>,
}

/// The calls that write without pieces, numbered as they begin.
#[derive(Debug, Default)]
pub(super) struct Wide {
    next: u64,
    open: BTreeSet<u64>,
}

/// How a narrow topic is written to.
#[derive(Debug)]
pub(super) struct Way {
    bytes: Mutex<u64>,
    /// Calls below this number may have records of the topic on the way.
    since: u64,
    /// Pieces on the way, given up or not.
    pieces: AtomicUsize,
    /// Held by the call that writes.
    pub(super) one: tokio::sync::Mutex<()>,
}

/// Kept as long as the client may hold a record of a call, given up or not: others may be in a batch with it.
#[derive(Debug)]
pub(super) enum Company {
    Wide(Arc<Mutex<Wide>>, u64),
    Piece(Arc<Way>),
}

impl Company {
    /// Of the next piece on `way`.
    pub(super) fn on(way: &Arc<Way>) -> Self {
        way.pieces.fetch_add(1, Ordering::AcqRel);
        Self::Piece(Arc::clone(way))
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        match self {
            Self::Wide(wide, number) => {
                lock(wide).open.remove(number);
            }
            Self::Piece(way) => {
                way.pieces.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Narrow {
    /// Of a call that is about to look for narrow topics, and writes to all others.
    pub(super) fn wide_call(&self) -> Company {
        let mut wide = lock(&self.wide);
        let number = wide.next;
        wide.next += 1;
        wide.open.insert(number);
        Company::Wide(Arc::clone(&self.wide), number)
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

    /// A batch of at most `bytes` was refused, which held nothing of this topic but what was sent as one.
    pub(super) fn refuse(&self, topic: &Arc<str>, bytes: u64) {
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
        let (bytes, pieces, one) = (Mutex::new(smaller), AtomicUsize::new(0), tokio::sync::Mutex::default());
        topics.insert(topic.clone(), Arc::new(Way { bytes, since, pieces, one }));
    }

    /// Whether what is sent over `way` now shares its batches with nothing else.
    pub(super) fn is_alone(&self, way: &Way) -> bool {
        let before = lock(&self.wide).open.first().is_some_and(|first| *first < way.since);
        !before && way.pieces.load(Ordering::Acquire) == 0
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
    use seawall_core::{Class, Record};

    fn outgoing(topic: &str, bytes: usize) -> Outgoing {
        let record = Record::new(None, vec![b'x'; bytes]);
        Outgoing { topic: topic.into(), partition: None, record }
    }

    fn refused() -> Answer {
        let said = ClientError::MessageProduction(Code::MessageSizeTooLarge);
        let source = KafkaError::refused("a record".to_owned(), said);
        Err(SinkError::BatchRefused { topic: "t".to_owned(), source }.into())
    }

    fn way_of(narrow: &Narrow, topic: &str) -> Arc<Way> {
        narrow.among(&[outgoing(topic, 1)]).pop().expect("narrow").1
    }

    #[test]
    fn pieces_get_smaller_until_they_hold_one_record() {
        let narrow = Narrow::default();
        let records = [outgoing("t", 100), outgoing("t", 100), outgoing("t", 100)];
        assert!(narrow.among(&records).is_empty());
        narrow.refuse(&"t".into(), 2_000);
        assert!(narrow.among(&[outgoing("u", 1)]).is_empty() && narrow.among(&records).len() == 1);
        let way = way_of(&narrow, "t");
        assert_eq!((way.bytes(), way.piece(records.iter())), (500, 3));
        narrow.refuse(&"t".into(), 1_600);
        assert_eq!((way.bytes(), way.piece(records.iter())), (400, 2));
        narrow.refuse(&"t".into(), 2_000);
        assert_eq!(way.bytes(), 400, "a late refusal makes nothing larger");
        narrow.refuse(&"t".into(), 400);
        assert_eq!(way.piece(records.iter()), 1);
    }

    #[test]
    fn a_piece_is_alone_once_all_that_was_sent_before_is_answered() {
        let narrow = Narrow::default();
        let before = narrow.wide_call();
        narrow.refuse(&"t".into(), 2_000);
        let after = narrow.wide_call();
        let way = way_of(&narrow, "t");
        assert!(!narrow.is_alone(&way));
        drop(before);
        assert!(narrow.is_alone(&way), "later calls know the topic");
        let given_up = Company::on(&way);
        assert!(!narrow.is_alone(&way), "the client still has it");
        drop((given_up, after));
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
