//! Letters in the embedded log.

use super::Span;
use seawall_core::{
    Batch, Commit, Event, Fault, Generation, Limit, Offset, Position, Source, TopicPartition,
};
use seawall_log::{Broker, LogError, LogSource, SourceOptions};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// See the module.
pub(in super::super) struct LogShelf {
    broker: Broker,
    topic: Arc<str>,
    source: Mutex<LogSource>,
    held: BTreeMap<u32, (Generation, Position)>,
}

impl LogShelf {
    pub(super) fn open(broker: &Broker, group: &str, topic: &str) -> Result<Self, Fault> {
        let mut source = broker.source(group, &[topic], SourceOptions::default())?;
        let wanted = broker.describe(topic)?.partitions.len();
        let mut held = BTreeMap::new();
        // The only member is told all of its partitions by its first polls; the bound is against a defect.
        for _ in 0..=wanted * 2 {
            if held.len() == wanted {
                break;
            }
            let events = source.poll(Duration::from_millis(50), Limit { records: 1, bytes: 1 });
            for event in events.map_err(|_| LogError::Closed)? {
                if let Event::Assigned { partition, generation, position, .. } = event {
                    source.pause(&partition);
                    held.insert(partition.partition, (generation, position));
                }
            }
        }
        Ok(Self { broker: broker.clone(), topic: Arc::from(topic), source: Mutex::new(source), held })
    }

    pub(super) fn spans(&self) -> Result<Vec<Span>, Fault> {
        let topic = self.broker.describe(&self.topic)?;
        let span = |p: &seawall_log::PartitionDescription| Span {
            partition: p.partition,
            start: p.start,
            end: p.end,
        };
        Ok(topic.partitions.iter().map(span).collect())
    }

    pub(super) fn fetch(&self, partition: u32, from: Offset, limit: Limit) -> Result<Batch, Fault> {
        Ok(self.broker.fetch(&self.topic, partition, from, limit)?)
    }

    pub(super) fn positions(&self) -> Vec<(u32, Position)> {
        self.held.iter().map(|(partition, (_, position))| (*partition, position.clone())).collect()
    }

    pub(super) fn commit(&self, positions: &[(u32, Position)]) -> Result<(), Fault> {
        let commit = |(partition, position): &(u32, Position)| {
            let (generation, _) = self.held.get(partition)?;
            let partition = TopicPartition::new(self.topic.clone(), *partition);
            Some(Commit { partition, generation: *generation, position: position.clone() })
        };
        let commits: Vec<Commit> = positions.iter().filter_map(commit).collect();
        self.source.lock().unwrap_or_else(PoisonError::into_inner).commit(&commits)
    }

    pub(super) fn free(&self, below: &[(u32, Offset)]) -> Result<(), Fault> {
        for (partition, offset) in below {
            self.broker.purge(&self.topic, *partition, *offset)?;
        }
        Ok(())
    }
}
