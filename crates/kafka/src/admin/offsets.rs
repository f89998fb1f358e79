//! Offsets of many partitions at once: where logs begin and end, and where groups stand.

use super::{Admin, Asking, Quiet, consumer};
use crate::error::{KafkaError, answered, heed};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as ClientOffset, TopicPartitionListElem};
use seawall_core::{Offset, TopicPartition};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The oldest offset that can be read.
    pub begin: Offset,
    /// One past the newest record.
    pub end: Offset,
}

/// Where a group stands in the partitions it has committed for; the others are missing.
pub type Committed = BTreeMap<TopicPartition, Offset>;

impl Admin {
    /// Begin and end of each partition, two requests to each broker however many partitions there are. Missing
    /// in the answer is a partition that its broker has no answer for.
    ///
    /// # Errors
    /// [`KafkaError::Refused`]. A partition without a leader makes the call fail by its time limit: leave out
    /// those whose [`Partition::leader`](super::Partition::leader) is `None`.
    pub async fn spans(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Span>, KafkaError> {
        let partitions = partitions.to_vec();
        self.blocking(move |asking| asking.spans(&partitions)).await
    }

    /// Begin and end of each partition, of none less than asked for.
    ///
    /// # Errors
    /// [`KafkaError::Refused`], as of [`Admin::spans`], and of the class `Transient` where the broker of one has no
    /// answer.
    pub async fn spans_of_all(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Span>, KafkaError> {
        let spans = self.spans(partitions).await?;
        match partitions.iter().find(|at| !spans.contains_key(at)) {
            None => Ok(spans),
            Some(at) => {
                let source = ClientError::OffsetFetch(RDKafkaErrorCode::LeaderNotAvailable);
                Err(KafkaError::refused(format!("the begin and end of {at}"), source))
            }
        }
    }

    /// What `group` has committed for `partitions`. The group is not joined and need not have members.
    ///
    /// # Errors
    /// [`KafkaError::Refused`], with the group's name.
    pub async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Committed, KafkaError> {
        let (group, partitions) = (group.to_owned(), partitions.to_vec());
        let connection = self.connection.clone();
        self.blocking(move |asking| {
            committed(&group_client(&connection, &group)?, &group, &partitions, asking.wait)
        })
        .await
    }

    /// Deletes the records of each partition below its offset.
    ///
    /// # Errors
    /// [`KafkaError::Refused`].
    pub async fn delete_records(&self, before: &[(TopicPartition, Offset)]) -> Result<(), KafkaError> {
        let doing = || "deleting records".to_owned();
        self.may_change(&doing())?;
        let mut list = TopicPartitionList::with_capacity(before.len());
        for (at, offset) in before {
            add(&mut list, at, ClientOffset::Offset((*offset).try_into().unwrap_or(i64::MAX)))?;
        }
        let done = self.client.delete_records(&list, &self.options()).await;
        let done = done.map_err(|source| KafkaError::refused(doing(), code_kept(source)))?;
        for each in done.elements() {
            each.error().map_err(|source| KafkaError::refused(named(&each), source))?;
        }
        Ok(())
    }
}

impl Asking {
    pub(crate) fn spans(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Span>, KafkaError> {
        let begins = self.edge(partitions, ClientOffset::Beginning)?;
        // Asked for after the beginnings, so that no span is reversed.
        let ends = self.edge(partitions, ClientOffset::End)?;
        let span = |(at, begin): (TopicPartition, Offset)| {
            let end = *ends.get(&at)?;
            Some((at, Span { begin: begin.min(end), end }))
        };
        Ok(begins.into_iter().filter_map(span).collect())
    }

    /// One edge of each partition. `edge` travels as the timestamp to look for: -1 is the end, -2 the beginning
    /// (Kafka protocol, ListOffsets).
    fn edge(
        &self,
        partitions: &[TopicPartition],
        edge: ClientOffset,
    ) -> Result<BTreeMap<TopicPartition, Offset>, KafkaError> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let said = self.client()?.offsets_for_times(list(partitions, edge)?, self.wait);
        let doing = || format!("the {edge:?} of {} partitions", partitions.len());
        Ok(known(&self.answered(doing, said)?))
    }
}

/// A client that may ask for the offsets of `group`.
pub(crate) fn group_client(
    connection: &crate::Connection,
    group: &str,
) -> Result<BaseConsumer<Quiet>, KafkaError> {
    consumer(connection, &[("group.id", group)])
}

/// What `group`, whose client is `client`, has committed.
pub(crate) fn committed(
    client: &BaseConsumer<Quiet>,
    group: &str,
    partitions: &[TopicPartition],
    wait: Duration,
) -> Result<Committed, KafkaError> {
    if partitions.is_empty() {
        return Ok(Committed::new());
    }
    heed(client)?;
    let said = client.committed_offsets(list(partitions, ClientOffset::Invalid)?, wait);
    Ok(known(&answered(client, || format!("the committed offsets of group {group}"), said)?))
}

fn list(partitions: &[TopicPartition], offset: ClientOffset) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    let mut all: Vec<&TopicPartition> = partitions.iter().collect();
    // The client answers a list that names a partition twice with an error.
    all.sort_unstable();
    all.dedup();
    for at in all {
        add(&mut list, at, offset)?;
    }
    Ok(list)
}

fn add(list: &mut TopicPartitionList, at: &TopicPartition, offset: ClientOffset) -> Result<(), KafkaError> {
    let refused = |_| KafkaError::setting("partition", &at.partition.to_string(), "at most 2147483647");
    let number = i32::try_from(at.partition).map_err(refused)?;
    list.add_partition_offset(&at.topic, number, offset)
        .map_err(|source| KafkaError::refused(format!("an offset of {at}"), source))
}

/// The entries that have an offset. Their metadata is not read: it may be anything.
fn known(said: &TopicPartitionList) -> BTreeMap<TopicPartition, Offset> {
    let known = |each: &TopicPartitionListElem<'_>| {
        if each.error().is_err() {
            return None;
        }
        let ClientOffset::Offset(offset) = each.offset() else { return None };
        let partition = u32::try_from(each.partition()).ok()?;
        Some((TopicPartition::new(each.topic(), partition), u64::try_from(offset).ok()?))
    };
    said.elements().iter().filter_map(known).collect()
}

fn named(each: &TopicPartitionListElem<'_>) -> String {
    format!("deleting records of {}/{}", each.topic(), each.partition())
}

/// The client hides the code of an admin operation from its own accessor.
fn code_kept(source: ClientError) -> ClientError {
    match source {
        ClientError::AdminOp(code) => ClientError::Global(code),
        source => source,
    }
}
