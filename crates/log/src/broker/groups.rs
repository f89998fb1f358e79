//! Groups: joining them and asking about them.

use crate::broker::{Broker, Shared};
use crate::error::LogError;
use crate::group::state::Fact;
use crate::group::{Group, PartitionLag};
use crate::mutex::lock;
use crate::source::{LogSource, SourceOptions};
use crate::topic::check_name;
use seawall_core::{Position, TopicPartition};
use seawall_wal::Disk;
use std::collections::BTreeMap;
use std::sync::Arc;

impl<D: Disk> Broker<D> {
    /// Joins `group` as a new member that reads `topics`. Its partitions are told by its first polls: all of
    /// them for the only member, its share once the others have released it for a further one. Dropping the
    /// source leaves the group.
    ///
    /// # Errors
    /// [`LogError::Name`], [`LogError::UnknownTopic`], [`LogError::Closed`], and what the disk answers: joining
    /// sets generations aside durably, so that none is used twice across restarts.
    pub fn source(
        &self,
        group: &str,
        topics: &[&str],
        options: SourceOptions,
    ) -> Result<LogSource<D>, LogError> {
        check_name("group", group)?;
        if topics.is_empty() {
            return Err(LogError::Options {
                option: "topics",
                value: "empty".into(),
                want: "at least one topic".into(),
            });
        }
        let mut partitions = Vec::with_capacity(topics.len());
        for name in topics {
            let topic = self.shared.topic(name)?;
            partitions.push((Arc::clone(&topic.name), topic.options.partitions));
        }
        let group = self.shared.group(group);
        if let Some(ceiling) = group.ceiling_needed() {
            self.shared.state(vec![(None, Fact::Generation { group: Arc::clone(&group.name), ceiling })])?;
            group.reserved(ceiling);
        }
        Ok(LogSource::join(self.clone(), group, &partitions, options))
    }

    /// The groups that have committed a position, sorted.
    pub fn groups(&self) -> Vec<Arc<str>> {
        self.shared.store.groups()
    }

    /// How many members the group has in this process now.
    pub fn members(&self, group: &str) -> usize {
        lock(&self.shared.groups).get(group).map_or(0, |group| group.members())
    }

    /// What the group has durably finished in a partition; `None` where it never committed.
    pub fn position(&self, group: &str, partition: &TopicPartition) -> Option<Position> {
        self.shared.store.position(group, partition)
    }

    /// How far the group is behind, for every partition of every topic that it has a position in or reads.
    pub fn lag(&self, group: &str) -> Vec<PartitionLag> {
        let positions = self.shared.store.positions(group);
        let mut topics: Vec<&Arc<str>> = positions.keys().map(|tp| &tp.topic).collect();
        topics.dedup();
        let mut lags = Vec::new();
        for name in topics {
            // A topic that is gone has no lag.
            let Ok(topic) = self.shared.topic(name) else { continue };
            for partition in &topic.partitions {
                let watermark = positions.get(&partition.tp).map(|position| position.watermark);
                let (start, end) = (partition.start(), partition.end());
                lags.push(PartitionLag {
                    partition: partition.tp.clone(),
                    start,
                    watermark,
                    end,
                    lag: end.saturating_sub(watermark.unwrap_or(0).max(start)),
                });
            }
        }
        lags
    }

    /// Forgets the positions of a group, durably: it starts anew as if it had never been.
    ///
    /// # Errors
    /// [`LogError::Options`] while it has members; [`LogError::Closed`]; what the disk answers.
    pub fn forget_group(&self, group: &str) -> Result<(), LogError> {
        if self.members(group) > 0 {
            return Err(LogError::Options {
                option: "group",
                value: group.to_owned(),
                want: "a group without members: stop them first".into(),
            });
        }
        self.shared.state(vec![(None, Fact::Forgotten { group: Arc::from(group) })])
    }

    /// Every group's positions, for tools that print them all.
    pub fn positions(&self) -> BTreeMap<Arc<str>, BTreeMap<TopicPartition, Position>> {
        let groups = self.groups().into_iter();
        groups.map(|group| (Arc::clone(&group), self.shared.store.positions(&group))).collect()
    }
}

impl<D: Disk> Shared<D> {
    fn group(&self, name: &str) -> Arc<Group> {
        let mut groups = lock(&self.groups);
        if let Some(group) = groups.get(name) {
            return Arc::clone(group);
        }
        let name: Arc<str> = Arc::from(name);
        let group = Arc::new(Group::new(Arc::clone(&name), self.store.ceiling(&name)));
        groups.insert(name, Arc::clone(&group));
        group
    }
}
