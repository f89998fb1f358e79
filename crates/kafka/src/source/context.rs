//! What librdkafka tells from inside a poll: only written down here, acted upon by the poll loop.
//!
//! The callback runs inside the poll. Draining, committing or unassigning there would hold up or deadlock the
//! loop that serves it.

use crate::error::{Trouble, Troubled};
use rdkafka::ClientContext;
use rdkafka::Statistics;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use seawall_core::{Offset, TopicPartition};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A change of the assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Assign(Vec<TopicPartition>),
    Revoke { partitions: Vec<TopicPartition>, lost: bool },
}

/// What the group client writes down.
#[derive(Default)]
pub(super) struct GroupContext {
    changes: Mutex<VecDeque<Change>>,
    ends: Mutex<HashMap<TopicPartition, Offset>>,
    closing: AtomicBool,
    trouble: Trouble,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let place = |topic: &str, partition: i32| {
        TopicPartition::new(topic, u32::try_from(partition).unwrap_or_default())
    };
    list.elements().iter().map(|element| place(element.topic(), element.partition())).collect()
}

impl GroupContext {
    pub(super) fn new(trouble: Trouble) -> Self {
        Self { trouble, ..Self::default() }
    }

    pub(super) fn take_change(&self) -> Option<Change> {
        lock(&self.changes).pop_front()
    }

    /// From now on every change is answered at once: nobody is left to do it.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// The end of a partition as the last statistics told it.
    pub(super) fn end_of(&self, partition: &TopicPartition) -> Option<Offset> {
        lock(&self.ends).get(partition).copied()
    }
}

impl ClientContext for GroupContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(facility, "{message}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, "{message}"),
            RDKafkaLogLevel::Debug => tracing::debug!(facility, "{message}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = lock(&self.ends);
        for (name, topic) in &statistics.topics {
            for partition in topic.partitions.values() {
                if let (Ok(number), Ok(end)) =
                    (u32::try_from(partition.partition), u64::try_from(partition.ls_offset))
                {
                    ends.insert(TopicPartition::new(name.as_str(), number), end);
                }
            }
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::warn!(%error, "{reason}");
        self.trouble.note(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.trouble.token()
    }
}

impl Troubled for GroupContext {
    fn trouble(&self) -> &Trouble {
        &self.trouble
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.closing.load(Ordering::SeqCst) {
            // A member that closes treats every call as giving everything up; what was to be committed was.
            if let Err(error) = consumer.unassign() {
                tracing::warn!(%error, "the last partitions could not be given back");
            }
            return;
        }
        let partitions = partitions_of(list);
        let change = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            Change::Assign(partitions)
        } else {
            Change::Revoke { partitions, lost: consumer.assignment_lost() }
        };
        lock(&self.changes).push_back(change);
    }
}
