//! Letters in a topic of a Kafka cluster. Other processes of the same pipeline look at the same letters, so what
//! they wrote down is read again before anything is decided by it.

use super::{Found, Span};
use crate::cluster::{ANSWER_WITHIN, Cluster};
use seawall_core::{Batch, Fault, Limit, Offset, Position, TopicPartition};
use seawall_kafka::{Bookmark, Reader};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module.
pub(in super::super) struct KafkaShelf {
    cluster: Cluster,
    topic: Arc<str>,
    done: Mutex<Bookmark>,
    reader: Mutex<Reader>,
    seen: Mutex<Vec<Span>>,
    runtime: tokio::runtime::Handle,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KafkaShelf {
    pub(super) fn open(cluster: &Cluster, group: &str, topic: &str) -> Result<Self, Fault> {
        Ok(Self {
            cluster: cluster.clone(),
            topic: Arc::from(topic),
            done: Mutex::new(Bookmark::open(cluster.connection(), group, ANSWER_WITHIN)?),
            reader: Mutex::new(Reader::open(cluster.connection(), ANSWER_WITHIN)),
            seen: Mutex::default(),
            runtime: tokio::runtime::Handle::current(),
        })
    }

    fn at(&self, partition: u32) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), partition)
    }

    pub(super) fn seen(&self) -> Vec<Span> {
        lock(&self.seen).clone()
    }

    pub(super) fn look(&self) -> Result<Found, Fault> {
        let admin = self.cluster.admin();
        let topic = self.runtime.block_on(admin.existing_topic(&self.topic))?;
        let partitions: Vec<_> = topic.partitions.iter().map(|p| self.at(p.number)).collect();
        let written = lock(&self.done).read(&partitions)?;
        let spans = self.runtime.block_on(admin.spans_of_all(&partitions))?;
        let span = |(at, span): (TopicPartition, seawall_kafka::admin::Span)| Span {
            partition: at.partition,
            start: span.begin,
            end: span.end,
        };
        let spans: Vec<Span> = spans.into_iter().map(span).collect();
        lock(&self.seen).clone_from(&spans);
        let written = written.into_iter().map(|(at, position)| (at.partition, position)).collect();
        Ok(Found { written, spans })
    }

    pub(super) fn fetch(&self, span: Span, from: Offset, limit: Limit) -> Result<Batch, Fault> {
        Ok(lock(&self.reader).read(&self.at(span.partition), from, span.end, limit)?)
    }

    /// Keeps the cluster from forgetting what is written down.
    pub(super) fn renew(&self) -> Result<(), Fault> {
        let ends: Vec<_> = self.seen().iter().map(|span| (self.at(span.partition), span.end)).collect();
        Ok(lock(&self.done).renew(&ends)?)
    }

    pub(super) fn commit(&self, positions: &[(u32, Position)]) -> Result<(), Fault> {
        let positions: Vec<_> =
            positions.iter().map(|(number, position)| (self.at(*number), position.clone())).collect();
        Ok(lock(&self.done).write(&positions)?)
    }

    pub(super) fn free(&self, below: &[(u32, Offset)]) -> Result<(), Fault> {
        let begins = self.seen();
        let begins =
            |number| begins.iter().find(|span| span.partition == number).map_or(0, |span| span.start);
        let below: Vec<_> = below
            .iter()
            .filter(|(number, offset)| *offset > begins(*number))
            .map(|(number, offset)| (self.at(*number), *offset))
            .collect();
        if below.is_empty() {
            return Ok(());
        }
        Ok(self.runtime.block_on(self.cluster.admin().delete_records(&below))?)
    }
}
