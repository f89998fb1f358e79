//! Which topics a cluster must have, and which it is known to have.

use super::fit::{Findings, Keeps};
use super::remember::Remembered;
use super::together::Together;
use super::{Cluster, ClusterError};
use crate::config;
use seawall_core::{Class, Classify, Clock, Fault};
use seawall_kafka::KafkaError;
use seawall_kafka::admin::{NewTopic, Topic};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How long a list of topics is believed about a topic that is not in it.
const BELIEVED: Duration = Duration::from_secs(1);

/// What a pipeline wants of its cluster.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// A topic that is there.
    Source(String),
    /// A topic for dead letters, made where it is missing: one partition, kept until it is purged.
    DeadLetters(String),
    /// A retry topic, made where it is missing; a record waits in it for `longest` at most.
    Retry { topic: String, partitions: u32, retention: config::Period, longest: config::Period },
}

/// The topics that `config` describes for `cluster`: its own, and, where it is failed over to, those of the cluster
/// that ingest prefers.
pub(super) fn described(config: &config::Config, cluster: &str) -> Vec<config::Topic> {
    let of = |name: &str| {
        let described = config.topic.iter().filter(|topic| topic.cluster.as_deref() == Some(name));
        described.cloned().collect::<Vec<_>>()
    };
    let mut topics = of(cluster);
    let stands_in = |producer: &config::Producer| producer.fail_over.iter().any(|name| name == cluster);
    if config.producer.as_ref().is_some_and(stands_in) {
        for topic in of(&config.ingest.sink) {
            if topics.iter().all(|own| own.name != topic.name) {
                topics.push(topic);
            }
        }
    }
    topics
}

/// The topics that a cluster is known to have.
pub(super) struct Known {
    names: RwLock<BTreeSet<String>>,
    /// Asks the cluster for all.
    asked: Together<KafkaError>,
    /// What an earlier life knew, where records are taken while the cluster is away.
    remembered: Option<Arc<Remembered>>,
}

impl Known {
    pub(super) fn new(clock: Arc<dyn Clock>, remembered: Option<Remembered>) -> Self {
        let names = remembered.as_ref().map(Remembered::names).unwrap_or_default();
        let asked = Together::new(clock, BELIEVED);
        Self { names: RwLock::new(names), asked, remembered: remembered.map(Arc::new) }
    }

    pub(super) fn remembered(&self) -> Option<&Arc<Remembered>> {
        self.remembered.as_ref()
    }

    fn holds(&self, name: &str) -> bool {
        self.names.read().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn add(&self, name: &str) {
        self.names.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }
}

impl Cluster {
    /// Makes the topics that the config describes for this cluster, where they are missing.
    pub(super) async fn make_described(&self) -> Result<(), ClusterError> {
        for described in &self.0.described {
            let mut new = NewTopic::new(&described.name, described.partitions);
            new.replication = described.replication;
            new.configs = retention(described);
            let topic = self.ensure(&new).await?;
            if topic.partitions.len() != described.partitions as usize {
                return Err(ClusterError::Partitions {
                    cluster: self.0.name.clone(),
                    topic: described.name.clone(),
                    there: topic.partitions.len(),
                    wanted: described.partitions,
                });
            }
        }
        // What an earlier life knew may be gone.
        if self.0.described.is_empty() || self.0.known.remembered.is_some() {
            self.refresh().await.map_err(|source| ClusterError::Topic {
                cluster: self.0.name.clone(),
                topic: "*".to_owned(),
                hint: "its topics cannot be listed",
                source: Box::new(source),
            })?;
        }
        Ok(())
    }

    /// Looks for `wanted`, and makes what may be made.
    pub(crate) async fn prepare(&self, wanted: &[Wanted]) -> Result<(), ClusterError> {
        for one in wanted {
            match one {
                Wanted::Source(topic) => {
                    let there = self.0.admin.existing_topic(topic).await;
                    let hint = "a pipeline reads it, so it must be there; describe it in a [[topic]] with this \
                                cluster's name, and Seawall makes it";
                    there.map_err(|source| self.refused(topic, hint, source))?;
                    self.0.known.add(topic);
                }
                Wanted::DeadLetters(topic) => {
                    let mut new = NewTopic::new(topic, 1);
                    // Dead letters wait for a person.
                    new.configs = kept("-1".to_owned());
                    self.ensure_fit(&new, Keeps::DeadLetters).await?;
                }
                Wanted::Retry { topic, partitions, retention, longest } => {
                    let mut new = NewTopic::new(topic, *partitions);
                    new.configs = kept(retention.0.as_millis().to_string());
                    self.ensure_fit(&new, Keeps::Retries { longest: longest.0, wanted: retention.0 }).await?;
                }
            }
        }
        Ok(())
    }

    /// Makes a topic whose records only Seawall may throw away; one that is there is looked at instead.
    async fn ensure_fit(&self, new: &NewTopic, keeps: Keeps) -> Result<(), ClusterError> {
        let (cluster, topic) = (&self.0.name, &new.name);
        let hint = "it cannot be looked for";
        let there = self.0.admin.topic(topic).await.map_err(|source| self.refused(topic, hint, source))?;
        if there.is_none() {
            return self.ensure(new).await.map(|_| ());
        }
        self.0.known.add(topic);
        let settings = match self.0.admin.topic_settings(topic).await {
            Ok(settings) => settings,
            Err(error) if error.class() == Class::Permanent => {
                let why = Fault::from(error).to_string();
                tracing::warn!(
                    cluster,
                    topic,
                    why,
                    "whether its records are kept long enough cannot be seen"
                );
                return Ok(());
            }
            Err(source) => return Err(self.refused(topic, "its settings cannot be read", source)),
        };
        let Findings { unfit, doubts } = keeps.judge(&settings);
        for doubt in doubts {
            tracing::warn!(cluster, topic, %doubt, "records may be thrown away before anybody has read them");
        }
        unfit.map_or(Ok(()), |unfit| {
            Err(ClusterError::Unfit {
                cluster: cluster.clone(),
                topic: topic.clone(),
                unfit: Box::new(unfit),
            })
        })
    }

    async fn ensure(&self, new: &NewTopic) -> Result<Topic, ClusterError> {
        let hint = "it is missing and cannot be made; grant the ACL Create, or make it by hand";
        let made = self.0.admin.ensure_topic(new).await;
        let topic = made.map_err(|source| self.refused(&new.name, hint, source))?;
        self.0.known.add(&new.name);
        Ok(topic)
    }

    fn refused(&self, topic: &str, hint: &'static str, source: KafkaError) -> ClusterError {
        ClusterError::Topic {
            cluster: self.0.name.clone(),
            topic: topic.to_owned(),
            hint,
            source: Box::new(source),
        }
    }

    /// Whether there is a topic of that name: producers would make one of any name by the way.
    pub(crate) async fn has_topic(&self, name: &str) -> Result<bool, KafkaError> {
        if self.0.known.holds(name) {
            return Ok(true);
        }
        self.refresh().await?;
        Ok(self.0.known.holds(name))
    }

    /// Whether a topic of that name is known, or will be made once the cluster answers. Asks nobody.
    pub(crate) fn expects_topic(&self, name: &str) -> bool {
        self.0.known.holds(name) || self.is_described(name)
    }

    pub(super) fn is_described(&self, name: &str) -> bool {
        self.0.described.iter().any(|topic| topic.name == name)
    }

    /// The names of all topics that are known.
    pub(crate) fn known_topics(&self) -> Vec<String> {
        self.0.known.names.read().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Asks for all topics, unless that was just done.
    async fn refresh(&self) -> Result<(), KafkaError> {
        let known = &self.0.known;
        let ask = async {
            let topics = self.0.admin.topics().await?;
            let names: BTreeSet<String> = topics.into_iter().map(|topic| topic.name).collect();
            known.names.write().unwrap_or_else(PoisonError::into_inner).clone_from(&names);
            self.forget_others(names);
            Ok(())
        };
        known.asked.ask(ask).await
    }
}

/// The settings of a topic whose records are kept for so many milliseconds, whatever their size; each is a record of
/// another topic with its story added.
fn kept(ms: String) -> Vec<(String, String)> {
    let settings = [
        // Compaction would throw away all but the last of a key.
        ("cleanup.policy", "delete"),
        ("retention.ms", &*ms),
        ("retention.bytes", "-1"),
        ("max.message.bytes", "20971520"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// The settings by which a topic that Seawall makes is kept.
fn retention(topic: &config::Topic) -> Vec<(String, String)> {
    let bytes = topic.retention_bytes.map(|size| ("retention.bytes".to_owned(), size.0.to_string()));
    let age = topic.retention_age.map(|age| ("retention.ms".to_owned(), age.0.as_millis().to_string()));
    bytes.into_iter().chain(age).collect()
}
