//! Topics: which there are, and new ones.

use super::{Admin, Asking};
use crate::error::{KafkaError, explained};
use rdkafka::admin::{
    NewPartitions, NewTopic as ClientNewTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use std::collections::BTreeMap;

/// A topic and its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its partitions, by number.
    pub partitions: Vec<Partition>,
}

/// Where a partition lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub number: u32,
    /// The broker that serves it; `None` while there is none, and nothing can be read or written.
    pub leader: Option<i32>,
    /// The brokers that hold a copy.
    pub replicas: Vec<i32>,
    /// Those whose copy is up to date.
    pub in_sync: Vec<i32>,
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Letters, digits, `.`, `_` and `-`, at most 249.
    pub name: String,
    /// At least 1.
    pub partitions: u32,
    /// Copies of each partition; `None` takes the broker's default.
    pub replication: Option<u16>,
    /// The topic's own settings, by name.
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic of `partitions` partitions with the broker's defaults.
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        Self { name: name.into(), partitions, replication: None, configs: Vec::new() }
    }
}

impl Admin {
    /// All topics that may be seen, internal ones too, by name.
    ///
    /// # Errors
    /// [`KafkaError::Refused`], as by all methods here.
    pub async fn topics(&self) -> Result<Vec<Topic>, KafkaError> {
        self.blocking(Asking::topics).await
    }

    /// One topic; `None` where there is no such topic, or where it may not be seen.
    ///
    /// # Errors
    /// [`KafkaError::Refused`].
    pub async fn topic(&self, name: &str) -> Result<Option<Topic>, KafkaError> {
        let name = name.to_owned();
        self.blocking(move |asking| asking.topic(&name)).await
    }

    /// One topic that must be there.
    ///
    /// # Errors
    /// [`KafkaError::Refused`], of the class `Permanent` where there is no such topic or it may not be seen.
    pub async fn existing_topic(&self, name: &str) -> Result<Topic, KafkaError> {
        let missing = || {
            let source = ClientError::Global(RDKafkaErrorCode::UnknownTopic);
            KafkaError::refused(format!("looking for topic {name}"), source)
        };
        self.topic(name).await?.ok_or_else(missing)
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// [`KafkaError::Refused`], with the code `TopicAlreadyExists` among others; [`KafkaError::Setting`] for a
    /// number that Kafka cannot hold.
    pub async fn create_topic(&self, new: &NewTopic) -> Result<(), KafkaError> {
        let doing = format!("creating topic {}", new.name);
        self.may_change(&doing)?;
        let replication = match new.replication {
            None => -1,
            Some(copies) => i32::from(copies),
        };
        let partitions = number("partitions", new.partitions as usize)?;
        let mut wanted = ClientNewTopic::new(&new.name, partitions, TopicReplication::Fixed(replication));
        for (name, value) in &new.configs {
            wanted = wanted.set(name, value);
        }
        let made = self.client.create_topics([&wanted], &self.options()).await;
        self.outcome(doing, made).await
    }

    /// The topic, made where it is missing. One that is there is left as it is: compare it where it matters.
    ///
    /// # Errors
    /// As [`Admin::create_topic`], without `TopicAlreadyExists`.
    pub async fn ensure_topic(&self, new: &NewTopic) -> Result<Topic, KafkaError> {
        if let Some(topic) = self.topic(&new.name).await? {
            return Ok(topic);
        }
        match self.create_topic(new).await {
            // Another was quicker.
            Err(KafkaError::Refused { code: RDKafkaErrorCode::TopicAlreadyExists, .. }) => {}
            other => other?,
        }
        // The broker asked next may not have heard of it yet, so what was asked for is the answer then.
        let partition = |number| Partition { number, leader: None, replicas: vec![], in_sync: vec![] };
        let wanted =
            || Topic { name: new.name.clone(), partitions: (0..new.partitions).map(partition).collect() };
        Ok(self.topic(&new.name).await?.unwrap_or_else(wanted))
    }

    /// The settings of a topic that hold, by name: its own, and the cluster's where it has none.
    ///
    /// # Errors
    /// [`KafkaError::Refused`], of the class `Permanent` without the ACL `DescribeConfigs` on the topic.
    pub async fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, String>, KafkaError> {
        let doing = format!("reading the settings of topic {topic}");
        self.may_change(&doing)?;
        let said = self.client.describe_configs(&[ResourceSpecifier::Topic(topic)], &self.options()).await;
        let entries = match said.and_then(|mut said| said.pop().transpose().map_err(ClientError::Global)) {
            Ok(found) => found.map_or_else(Vec::new, |found| found.entries),
            Err(source) => return Err(self.explain(doing, source).await),
        };
        if entries.is_empty() {
            // The client drops the code of a topic that the broker says nothing of; without the right it does that.
            let source = ClientError::Global(RDKafkaErrorCode::TopicAuthorizationFailed);
            return Err(KafkaError::refused(doing, source));
        }
        Ok(entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Raises a topic to `total` partitions. Keys are placed anew from then on: records of one key from before
    /// and after lie in different partitions.
    ///
    /// # Errors
    /// [`KafkaError::Refused`], with the code `InvalidPartitions` where it has as many or more.
    pub async fn add_partitions(&self, topic: &str, total: u32) -> Result<(), KafkaError> {
        let doing = format!("raising topic {topic} to {total} partitions");
        self.may_change(&doing)?;
        let total = usize::try_from(number("partitions", total as usize)?).unwrap_or_default();
        let wanted = NewPartitions::new(topic, total);
        let made = self.client.create_partitions([&wanted], &self.options()).await;
        self.outcome(doing, made).await
    }

    /// Deletes a topic with all that is in it.
    ///
    /// # Errors
    /// [`KafkaError::Refused`].
    pub async fn delete_topic(&self, topic: &str) -> Result<(), KafkaError> {
        let doing = format!("deleting topic {topic}");
        self.may_change(&doing)?;
        let gone = self.client.delete_topics(&[topic], &self.options()).await;
        self.outcome(doing, gone).await
    }
}

impl Admin {
    /// What became of an operation on one topic.
    async fn outcome(
        &self,
        doing: String,
        said: Result<Vec<TopicResult>, ClientError>,
    ) -> Result<(), KafkaError> {
        let code = match said {
            Ok(said) => said.into_iter().find_map(Result::err).map(|(_, code)| code),
            Err(ClientError::AdminOp(code)) => Some(code),
            Err(source) => return Err(self.explain(doing, source).await),
        };
        let Some(code) = code else { return Ok(()) };
        Err(self.explain(doing, ClientError::Global(code)).await)
    }
}

impl Asking {
    pub(crate) fn topics(&self) -> Result<Vec<Topic>, KafkaError> {
        let said = self.client()?.fetch_metadata(None, self.wait);
        let said = self.answered(|| "listing topics".to_owned(), said)?;
        // One that is being deleted is listed with an error, and without partitions.
        let mut topics: Vec<_> =
            said.topics().iter().filter(|topic| topic.error().is_none()).map(topic).collect();
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(topics)
    }

    pub(crate) fn topic(&self, name: &str) -> Result<Option<Topic>, KafkaError> {
        let doing = || format!("looking for topic {name}");
        let said = self.answered(doing, self.client()?.fetch_metadata(Some(name), self.wait))?;
        let Some(found) = said.topics().iter().find(|topic| topic.name() == name) else { return Ok(None) };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(Some(topic(found))),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
            Some(code) => Err(explained(&self.consumer, doing(), ClientError::Global(code))),
        }
    }
}

fn topic(said: &MetadataTopic) -> Topic {
    let partition = |said: &rdkafka::metadata::MetadataPartition| Partition {
        // Kafka numbers them from 0.
        number: u32::try_from(said.id()).unwrap_or_default(),
        leader: Some(said.leader()).filter(|broker| *broker >= 0),
        replicas: said.replicas().to_vec(),
        in_sync: said.isr().to_vec(),
    };
    let mut partitions: Vec<_> = said.partitions().iter().map(partition).collect();
    partitions.sort_by_key(|partition| partition.number);
    Topic { name: said.name().to_owned(), partitions }
}

fn number(name: &str, value: usize) -> Result<i32, KafkaError> {
    match i32::try_from(value) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(KafkaError::setting(name, &value.to_string(), "1 to 2147483647")),
    }
}
