//! The positions of a group that has no members: kept by hand, in the form in which members keep theirs.

use crate::admin::{Quiet, group_client};
use crate::connection::Connection;
use crate::error::{KafkaError, heed};
use crate::position::overflow::{OVERFLOW_TOPIC, Overflow};
use crate::source::{Rereader, commit_positions};
use rdkafka::Offset as ClientOffset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;
use seawall_core::{Commit, Generation, Offset, Position, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Reads and writes the positions of one group. The coordinator refuses to write while the group has members.
pub struct Bookmark {
    group: Arc<str>,
    client: BaseConsumer<Quiet>,
    overflow: Overflow,
    rereader: Rereader,
    timeout: Duration,
}

impl Bookmark {
    /// The positions of `group` on the cluster of `connection`; each question takes at most `timeout`. No broker
    /// is asked yet.
    ///
    /// # Errors
    /// [`KafkaError::Setting`] and [`KafkaError::Client`] name what is wrong with the settings.
    pub fn open(connection: &Connection, group: &str, timeout: Duration) -> Result<Self, KafkaError> {
        let name: Arc<str> = Arc::from(group);
        Ok(Self {
            client: group_client(connection, group)?,
            overflow: Overflow::new(connection.clone(), OVERFLOW_TOPIC.to_owned(), timeout),
            rereader: Rereader::of_ranges(connection.clone(), Arc::clone(&name), timeout),
            group: name,
            timeout,
        })
    }

    /// Where the group stands in each of `partitions`; missing are those it has no position in. What is settled
    /// beyond a watermark and cannot be read is empty, with a warning.
    ///
    /// # Errors
    /// [`KafkaError::Refused`].
    pub fn read(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Position>, KafkaError> {
        let doing = format!("reading the positions of group {}", self.group);
        let committed = self.committed(partitions.iter(), &doing)?;
        let mut positions = BTreeMap::new();
        for element in committed.elements() {
            element.error().map_err(|source| KafkaError::refused(&*doing, source))?;
            let ClientOffset::Offset(at) = element.offset() else { continue };
            let (Ok(watermark), Ok(number)) = (u64::try_from(at), u32::try_from(element.partition())) else {
                continue;
            };
            let tp = TopicPartition::new(element.topic(), number);
            let beyond = self.rereader.beyond(&tp, watermark, &element, self.rereader.deadline())?;
            positions.insert(tp, Position { watermark, beyond });
        }
        Ok(positions)
    }

    /// What the cluster has of the group in each of `partitions`.
    fn committed<'a>(
        &self,
        partitions: impl Iterator<Item = &'a TopicPartition>,
        doing: &str,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for tp in partitions {
            list.add_partition(&tp.topic, tp.partition as i32);
        }
        heed(&self.client)?;
        let committed = self.client.committed_offsets(list, self.timeout);
        committed.map_err(|source| KafkaError::refused(doing, source))
    }

    /// Writes again what is written of `partitions`, as it is: a cluster forgets the positions of a group without members after
    /// `offsets.retention.minutes`. Each comes with the end of its partition; a position beyond that is of other records, and
    /// left to be forgotten.
    ///
    /// # Errors
    /// [`KafkaError::Refused`].
    pub fn renew(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), KafkaError> {
        let doing = format!("renewing the positions of group {}", self.group);
        let refused = |source| KafkaError::refused(&*doing, source);
        let committed = self.committed(partitions.iter().map(|(tp, _)| tp), &doing)?;
        let mut again = TopicPartitionList::new();
        for (tp, end) in partitions {
            let Some(element) = committed.find_partition(&tp.topic, tp.partition as i32) else { continue };
            element.error().map_err(refused)?;
            let ClientOffset::Offset(at) = element.offset() else { continue };
            if u64::try_from(at).is_ok_and(|at| at <= *end) {
                let mut same = again.add_partition(&tp.topic, tp.partition as i32);
                same.set_offset(element.offset()).map_err(refused)?;
                same.set_metadata(element.metadata());
            }
        }
        if again.count() == 0 {
            return Ok(());
        }
        self.client.commit(&again, CommitMode::Sync).map_err(refused)
    }

    /// Makes `positions` durable before it returns.
    ///
    /// # Errors
    /// [`KafkaError::Refused`]; among others where the group has members.
    pub fn write(&mut self, positions: &[(TopicPartition, Position)]) -> Result<(), KafkaError> {
        if positions.is_empty() {
            return Ok(());
        }
        let commit = |(partition, position): &(TopicPartition, Position)| Commit {
            partition: partition.clone(),
            generation: Generation(0),
            position: position.clone(),
        };
        let commits: Vec<Commit> = positions.iter().map(commit).collect();
        heed(&self.client)?;
        commit_positions(&self.client, &self.group, &mut self.overflow, &commits)
    }
}

impl std::fmt::Debug for Bookmark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bookmark").field("group", &self.group).finish_non_exhaustive()
    }
}
