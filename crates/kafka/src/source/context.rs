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
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use seawall_core::{Offset, TopicPartition};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// Where the log was cut of the partition whose queue is being read.
    cut: Mutex<Option<Offset>>,
    /// How often the client has said something.
    said: AtomicU64,
    trouble: Trouble,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of a log that was cut, as the client tells it (librdkafka 2.12, `rd_kafka_toppar_handle_OffsetForLeaderEpoch`):
/// in words alone. Where they change, the partition goes on where it is, as before there were epochs.
fn cut_at(reason: &str) -> Option<Offset> {
    let (_, end) = reason.split_once("truncation detected")?.1.split_once("broker end offset is ")?;
    end.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
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

    /// How often the client has said something: a poll gives nothing back after that, just as if there had been nothing.
    pub(super) fn said(&self) -> u64 {
        self.said.load(Ordering::Relaxed)
    }

    fn heard(&self) {
        self.said.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn has_change(&self) -> bool {
        !lock(&self.changes).is_empty()
    }

    /// Where the log was cut, if that was said since this was asked last.
    pub(super) fn take_cut(&self) -> Option<Offset> {
        lock(&self.cut).take()
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
        self.heard();
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
        self.heard();
        self.trouble.heed_statistics(&statistics);
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
        self.heard();
        if error.rdkafka_error_code() == Some(Code::AutoOffsetReset) {
            // Each is about another place.
            tracing::warn!(%error, "{reason}");
            *lock(&self.cut) = cut_at(reason);
        } else {
            self.trouble.report("consumer", &error, reason);
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.heard();
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
        self.heard();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_cut_log_is_read_out_of_the_words_of_the_client() {
        let said =
            "fetch failed due to requested offset not available on the broker: Broker: Offset out of range";
        assert_eq!(cut_at(said), None);
        let said = "Partition log truncation detected at offset 30 (leader epoch 1): broker end offset is 10 \
                    (offset leader epoch 0). Reset to INVALID.: Local: Partition log truncation detected (broker 2)";
        assert_eq!(cut_at(said), Some(10));
        let said =
            "No epoch found less or equal to offset 30: broker end offset is -1 (offset leader epoch -1)";
        assert_eq!(cut_at(said), None);
    }
}
