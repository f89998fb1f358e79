//! A pipeline's dead letters: listed, read, redriven, purged.
//!
//! A dead letter is never taken out of its topic; instead, what was redriven or purged is remembered exactly, as
//! the position of a consumer group of its own (watermark and the set beyond it). So a redrive that was cut off
//! goes on where it stood, a letter that is done is not listed again after a restart either, and the front of
//! the topic can be given back to the disk. A crash between a redrive's append and its commit may redrive a
//! letter twice: under the same token, which the claim store recognises.

mod filter;
mod redrive;

pub use filter::{Choice, LetterId, Page, Search};
pub use redrive::{Progress, RedriveError};

use seawall_consumer::dead_letter::Provenance;
use seawall_consumer::track::{OffsetSet, codec};
use seawall_core::{
    Commit, Event, Fault, Fetched, Generation, Limit, Offset, Position, Record, Source, TopicPartition,
};
use seawall_log::{Broker, LogError, LogSource, SourceOptions};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most bytes of the set beyond the watermark, in one commit.
const BEYOND_BYTES_MAX: usize = 256 << 10;
/// What is read from the disk at a time.
const CHUNK: Limit = Limit { records: 256, bytes: 1 << 20 };

/// The dead letters of one pipeline.
pub struct Letters {
    broker: Broker,
    topic: Arc<str>,
    done: Mutex<Done>,
    redrive: Mutex<Progress>,
}

/// What was redriven or purged, by partition.
struct Done {
    source: LogSource,
    partitions: BTreeMap<u32, Settled>,
}

struct Settled {
    generation: Generation,
    /// The lowest offset not done with.
    watermark: Offset,
    /// What is done with at or above it.
    beyond: OffsetSet,
}

impl Settled {
    /// A position as it was committed; a set that does not read is forgotten, which only lists letters again.
    fn new(generation: Generation, position: &Position) -> Self {
        Self {
            generation,
            watermark: position.watermark,
            beyond: codec::decode(position).unwrap_or_default(),
        }
    }

    fn holds(&self, offset: Offset) -> bool {
        offset < self.watermark || self.beyond.contains(offset)
    }

    fn add(&mut self, offset: Offset) -> bool {
        if offset < self.watermark || !self.beyond.insert(offset) {
            return false;
        }
        self.watermark = self.beyond.first_absent(self.watermark);
        self.beyond.forget_below(self.watermark);
        true
    }

    fn position(&self) -> Position {
        let beyond = self.beyond.count_from(self.watermark);
        codec::encode(self.watermark, &self.beyond, beyond, BEYOND_BYTES_MAX).position
    }
}

/// One dead letter.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Where it lies.
    pub id: LetterId,
    /// The record, with its story in its headers.
    pub record: Record,
    /// The story; `None` where the record tells none.
    pub story: Option<Provenance>,
}

impl Letters {
    /// The letters of `pipeline` in `topic`, which exists.
    ///
    /// # Errors
    /// What the log says.
    pub fn open(broker: &Broker, pipeline: &str, topic: &str) -> Result<Self, LogError> {
        let group = format!("{pipeline}.redriven");
        let mut source = broker.source(&group, &[topic], SourceOptions::default())?;
        let wanted = broker.describe(topic)?.partitions.len();
        let mut partitions = BTreeMap::new();
        // The only member is told all of its partitions by its first polls; the bound is against a defect.
        for _ in 0..=wanted * 2 {
            if partitions.len() == wanted {
                break;
            }
            let events = source.poll(Duration::from_millis(50), Limit { records: 1, bytes: 1 });
            for event in events.map_err(|_| LogError::Closed)? {
                if let Event::Assigned { partition, generation, position, .. } = event {
                    source.pause(&partition);
                    partitions.insert(partition.partition, Settled::new(generation, &position));
                }
            }
        }
        let done = Mutex::new(Done { source, partitions });
        let redrive = Mutex::new(Progress::default());
        Ok(Self { broker: broker.clone(), topic: Arc::from(topic), done, redrive })
    }

    /// Their topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        let Ok(topic) = self.broker.describe(&self.topic) else { return 0 };
        let done = self.done();
        let left = topic.partitions.iter().map(|partition| {
            let Some(settled) = done.partitions.get(&partition.partition) else {
                return partition.end - partition.start;
            };
            let from = settled.watermark.max(partition.start);
            partition.end.saturating_sub(from).saturating_sub(settled.beyond.count_from(from))
        });
        left.sum()
    }

    /// The letter at `id`, unless it is done with or was never there. Blocks for the disk.
    ///
    /// # Errors
    /// What the log says.
    pub fn get(&self, id: LetterId) -> Result<Option<Letter>, LogError> {
        if self.is_done(id) {
            return Ok(None);
        }
        let batch =
            self.broker.fetch(&self.topic, id.partition, id.offset, Limit { records: 1, bytes: 1 })?;
        let found = batch.records.into_iter().find(|fetched| fetched.offset == id.offset);
        Ok(found.map(|fetched| letter(id.partition, fetched)))
    }

    /// A page of letters. Blocks for the disk.
    ///
    /// # Errors
    /// What the log says.
    pub fn page(&self, search: &Search) -> Result<Page, LogError> {
        filter::page(self, search)
    }

    /// Marks the letters that `choice` means as done with, and frees what space that frees. How many. Blocks for
    /// the disk.
    ///
    /// # Errors
    /// What the log says.
    pub fn purge(&self, choice: &Choice) -> Result<u64, Fault> {
        let mut purged = 0;
        filter::each(self, choice, |letter| {
            purged += u64::from(self.settle(letter.id));
            Ok(true)
        })?;
        self.commit()?;
        for (partition, watermark) in self.watermarks() {
            self.broker.purge(&self.topic, partition, watermark).map_err(Fault::from)?;
        }
        Ok(purged)
    }

    fn is_done(&self, id: LetterId) -> bool {
        let done = self.done();
        done.partitions.get(&id.partition).is_none_or(|settled| settled.holds(id.offset))
    }

    /// Remembers that `id` is done with, in memory. False when it was already.
    fn settle(&self, id: LetterId) -> bool {
        let mut done = self.done();
        done.partitions.get_mut(&id.partition).is_some_and(|settled| settled.add(id.offset))
    }

    /// Makes what was settled durable. Blocks for the disk.
    fn commit(&self) -> Result<(), Fault> {
        let mut done = self.done();
        let commits: Vec<Commit> = done
            .partitions
            .iter()
            .map(|(partition, settled)| Commit {
                partition: TopicPartition::new(self.topic.clone(), *partition),
                generation: settled.generation,
                position: settled.position(),
            })
            .collect();
        done.source.commit(&commits)
    }

    fn watermarks(&self) -> Vec<(u32, Offset)> {
        self.done().partitions.iter().map(|(p, settled)| (*p, settled.watermark)).collect()
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Letters({})", self.topic)
    }
}

fn letter(partition: u32, fetched: Fetched) -> Letter {
    let story = Provenance::from_record(&fetched.record).ok();
    Letter { id: LetterId { partition, offset: fetched.offset }, record: fetched.record, story }
}
