//! A member of a Kafka group that joins as soon as its cluster lets it, and counts as joined once the group has said
//! what it gets.

use crate::cluster::{AGAIN_AFTER, Cluster, ClusterError, Standing, Wanted};
use crate::config::Period;
use crate::pipeline::PipelineError;
use seawall_core::{
    Batch, Class, Classify, Clock, Commit, Event, Fault, Generation, Limit, Nanos, Offset, Source,
    TopicPartition, Waker,
};
use seawall_kafka::{KafkaError, KafkaSource, SourceOptions};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is needed to join.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) cluster: Cluster,
    pub(crate) group: String,
    pub(crate) topics: Vec<String>,
    /// Names, and partitions where they are made.
    pub(crate) retry_topics: Vec<(String, u32)>,
    pub(crate) longest_pause: Period,
    pub(crate) retry_retention: Period,
    pub(crate) dead_letters: String,
    pub(crate) options: SourceOptions,
}

/// What keeps a member from joining; shared with whoever shows it.
#[derive(Clone, Debug, Default)]
pub struct Joining(Arc<Mutex<Option<String>>>);

impl Joining {
    /// Why it is not a member yet; `None` once it is.
    pub fn reason(&self) -> Option<String> {
        lock(&self.0).clone()
    }

    fn waits(&self, reason: Option<String>) {
        *lock(&self.0) = reason;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes a poll, before and after joining.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    ringing: Condvar,
    joined: Mutex<Option<Waker>>,
}

impl Bell {
    fn ring(&self) {
        if let Some(waker) = &*lock(&self.joined) {
            waker.wake();
        } else {
            *lock(&self.rung) = true;
            self.ringing.notify_all();
        }
    }

    fn wait(&self, wait: Duration) {
        let rung = lock(&self.rung);
        let (mut rung, _) = self
            .ringing
            .wait_timeout_while(rung, wait, |rung| !*rung)
            .unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }
}

/// A broker does not know of a topic yet that was found, or made, a moment ago: a topic that is missing ends the start
/// before anybody joins.
fn is_unheard_of(error: &PipelineError) -> bool {
    matches!(error, PipelineError::Kafka { source, .. } if source.is_unknown_topic())
}

/// The source of a pipeline on Kafka.
pub(crate) struct Member {
    plan: Plan,
    source: Option<KafkaSource>,
    again_at: Nanos,
    clock: Arc<dyn Clock>,
    bell: Arc<Bell>,
    joining: Joining,
    /// It is known to be a member.
    told: bool,
    runtime: tokio::runtime::Handle,
}

impl Member {
    /// Joins, where the cluster answers; blocks for its answer. Otherwise it joins while it is polled.
    ///
    /// # Errors
    /// [`PipelineError`], where waiting would not help.
    pub(crate) fn start(plan: Plan, clock: Arc<dyn Clock>) -> Result<Self, PipelineError> {
        let mut member = Self {
            plan,
            source: None,
            again_at: clock.now(),
            clock,
            bell: Arc::default(),
            joining: Joining::default(),
            told: false,
            runtime: tokio::runtime::Handle::current(),
        };
        member.try_to_join()?;
        Ok(member)
    }

    /// What it waits for, to be shown.
    pub(crate) fn joining(&self) -> Joining {
        self.joining.clone()
    }

    /// Joins, or writes down why not yet.
    fn try_to_join(&mut self) -> Result<(), PipelineError> {
        let name = self.plan.cluster.name().to_owned();
        if let Standing::Waiting(why) = self.plan.cluster.standing() {
            self.again_at = self.clock.now().plus(AGAIN_AFTER);
            self.joining.waits(Some(format!("cluster {name:?} does not answer: {why}")));
            return Ok(());
        }
        let error = match self.join() {
            Ok(source) => {
                *lock(&self.bell.joined) = Some(source.waker());
                self.source = Some(source);
                let (group, name) = (&self.plan.group, name);
                self.joining
                    .waits(Some(format!("group {group:?} of cluster {name:?} has not taken it in yet")));
                return Ok(());
            }
            Err(error) if error.class() == Class::Permanent && !is_unheard_of(&error) => return Err(error),
            Err(error) => error,
        };
        let why = Fault::from(error).to_string();
        tracing::warn!(cluster = name, group = self.plan.group, why, "the group cannot be joined yet");
        self.again_at = self.clock.now().plus(AGAIN_AFTER);
        self.joining.waits(Some(why));
        Ok(())
    }

    fn join(&self) -> Result<KafkaSource, PipelineError> {
        let Plan { cluster, group, topics, retry_topics, dead_letters, options, .. } = &self.plan;
        let mut wanted: Vec<Wanted> = topics.iter().cloned().map(Wanted::Source).collect();
        wanted.push(Wanted::DeadLetters(dead_letters.clone()));
        let retry = |(name, partitions): &(String, u32)| Wanted::Retry {
            topic: name.clone(),
            partitions: *partitions,
            retention: self.plan.retry_retention,
            longest: self.plan.longest_pause,
        };
        wanted.extend(retry_topics.iter().map(retry));
        self.runtime.block_on(cluster.prepare(&wanted))?;
        let retry_topics = retry_topics.iter().map(|(name, _)| name);
        let topics: Vec<&str> = topics.iter().chain(retry_topics).map(String::as_str).collect();
        let joined = KafkaSource::join(cluster.connection(), group, &topics, options.clone());
        joined.map_err(|source| PipelineError::Kafka {
            cluster: cluster.name().to_owned(),
            source: Box::new(source),
        })
    }

    fn joined(&mut self) -> Result<&mut KafkaSource, Fault> {
        self.source.as_mut().ok_or_else(|| KafkaError::Closed.into())
    }
}

impl Source for Member {
    fn poll(&mut self, wait: Duration, limit: Limit) -> Result<Vec<Event>, Fault> {
        if let Some(source) = &mut self.source {
            let polled = source.poll(wait, limit);
            if !self.told && source.is_member() {
                self.told = true;
                self.joining.waits(None);
            }
            return polled;
        }
        let left = self.again_at.since(self.clock.now());
        if left.is_zero() {
            self.try_to_join()?;
        } else {
            self.bell.wait(left.min(wait));
        }
        Ok(Vec::new())
    }

    fn pause(&mut self, partition: &TopicPartition) {
        if let Some(source) = &mut self.source {
            source.pause(partition);
        }
    }

    fn resume(&mut self, partition: &TopicPartition) {
        if let Some(source) = &mut self.source {
            source.resume(partition);
        }
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), Fault> {
        if commits.is_empty() {
            return Ok(());
        }
        self.joined()?.commit(commits)
    }

    fn release(&mut self, partition: &TopicPartition, generation: Generation) {
        if let Some(source) = &mut self.source {
            source.release(partition, generation);
        }
    }

    fn reread(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, Fault> {
        self.joined()?.reread(partition, from, to, limit)
    }

    fn waker(&self) -> Waker {
        let bell = Arc::clone(&self.bell);
        Waker::new(move || bell.ring())
    }
}

impl From<ClusterError> for PipelineError {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}
