//! Topics: making and describing them.

use crate::broker::{Broker, Shared, Topic};
use crate::error::LogError;
use crate::mutex::lock;
use crate::partition::Partition;
use crate::partition::hash::Sticky;
use crate::topic::name::nearest;
use crate::topic::{PartitionDescription, TopicDescription, TopicOptions, check_name};
use seawall_core::TopicPartition;
use seawall_wal::Disk;
use std::collections::BTreeMap;
use std::sync::Arc;

impl<D: Disk> Broker<D> {
    /// Makes a topic, durably. Blocks for as long as making a directory for each partition takes (milliseconds
    /// each). Making one that exists with the same options is fine; whether it is new.
    ///
    /// # Errors
    /// [`LogError::Name`], [`LogError::Options`]; [`LogError::TopicExists`] where it was set up otherwise;
    /// what the disk answers.
    pub fn create_topic(&self, name: &str, options: TopicOptions) -> Result<bool, LogError> {
        check(name, &options)?;
        let shared = &self.shared;
        if shared.queue.is_closed() {
            return Err(LogError::Closed);
        }
        let _creating = lock(&shared.creating);
        if let Some(topic) = shared.topics().get(name) {
            if topic.options == options {
                return Ok(false);
            }
            return Err(exists(topic));
        }
        let name: Arc<str> = Arc::from(name);
        // The data first: a crash in between leaves empty directories that the next attempt takes over.
        let topic = shared.open_topic(&name, &options, &mut Vec::new())?;
        shared.write_catalog_with(&name, &options)?;
        let mut topics = shared.topics.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        topics.insert(name, Arc::new(topic));
        Ok(true)
    }

    /// Gives a topic other bounds of retention, durably; they are looked at from the next pass on. False when it
    /// has them already.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::TopicExists`] when `options` has another number of partitions
    /// (keys would move), [`LogError::Options`], [`LogError::Closed`], what the disk answers.
    pub fn set_retention(&self, name: &str, options: TopicOptions) -> Result<bool, LogError> {
        check(name, &options)?;
        let shared = &self.shared;
        if shared.queue.is_closed() {
            return Err(LogError::Closed);
        }
        let _creating = lock(&shared.creating);
        let topic = shared.topic(name)?;
        if topic.options == options {
            return Ok(false);
        }
        if topic.options.partitions != options.partitions {
            return Err(exists(&topic));
        }
        let name = Arc::clone(&topic.name);
        shared.write_catalog_with(&name, &options)?;
        let altered = Topic {
            name: Arc::clone(&name),
            options,
            partitions: topic.partitions.clone(),
            sticky: Sticky::default(),
        };
        let mut topics = shared.topics.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        topics.insert(name, Arc::new(altered));
        Ok(true)
    }

    /// The names of all topics, sorted.
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.shared.topics().keys().cloned().collect()
    }

    /// Whether there is such a topic.
    pub fn topic_exists(&self, name: &str) -> bool {
        self.shared.topics().contains_key(name)
    }

    /// The partitions of a topic and how far each goes.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`].
    pub fn describe(&self, name: &str) -> Result<TopicDescription, LogError> {
        let topic = self.shared.topic(name)?;
        let of = |partition: &Arc<Partition<D>>| PartitionDescription {
            partition: partition.tp.partition,
            start: partition.start(),
            end: partition.end(),
            bytes: partition.bytes(),
        };
        Ok(TopicDescription {
            name: Arc::clone(&topic.name),
            options: topic.options.clone(),
            partitions: topic.partitions.iter().map(of).collect(),
        })
    }
}

fn check(name: &str, options: &TopicOptions) -> Result<(), LogError> {
    check_name("topic", name)?;
    options.check().map_err(|want| LogError::Options {
        option: "topic",
        value: name.to_owned(),
        want: format!("made otherwise: {want}"),
    })
}

fn exists<D: Disk>(topic: &Topic<D>) -> LogError {
    LogError::TopicExists { topic: topic.name.to_string(), partitions: topic.options.partitions }
}

impl<D: Disk> Shared<D> {
    /// The catalog as it stands, with `name` as `options` say.
    fn write_catalog_with(&self, name: &Arc<str>, options: &TopicOptions) -> Result<(), LogError> {
        let mut catalog: BTreeMap<Arc<str>, TopicOptions> =
            self.topics().values().map(|topic| (Arc::clone(&topic.name), topic.options.clone())).collect();
        catalog.insert(Arc::clone(name), options.clone());
        self.write_catalog(&catalog)
    }

    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic<D>>, LogError> {
        let topics = self.topics();
        topics.get(name).cloned().ok_or_else(|| LogError::UnknownTopic {
            topic: name.to_owned(),
            nearest: nearest(name, topics.keys().map(|name| &**name)),
        })
    }

    pub(crate) fn partition(&self, tp: &TopicPartition) -> Result<Arc<Partition<D>>, LogError> {
        let topic = self.topic(&tp.topic)?;
        topic.partition(tp.partition).cloned()
    }
}

impl<D: Disk> Topic<D> {
    pub(crate) fn partition(&self, number: u32) -> Result<&Arc<Partition<D>>, LogError> {
        self.partitions.get(number as usize).ok_or_else(|| LogError::UnknownPartition {
            topic: self.name.to_string(),
            partition: number,
            partitions: self.options.partitions,
        })
    }
}
