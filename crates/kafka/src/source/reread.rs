//! Reads records again, and positions that overflowed, without touching the group: a second client that only
//! assigns. It stays open, and where the next read goes on from the last one nothing is fetched twice.

use super::convert::Copier;
use crate::connection::Connection;
use crate::error::KafkaError;
use crate::position::Pointer;
use crate::position::overflow;
use bytes::Bytes;
use rdkafka::Offset as ClientOffset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::TopicPartitionList;
use seawall_core::{Batch, Clock, Limit, Offset, SystemClock, TopicPartition};
use std::sync::Arc;
use std::time::Duration;

/// How long one read may hold up the poll loop; the next one goes on where it stopped.
const READ: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct Rereader {
    connection: Connection,
    group: Arc<str>,
    timeout: Duration,
    consumer: Option<BaseConsumer>,
    /// Where the client's next message is.
    at: Option<(TopicPartition, Offset)>,
    copier: Copier,
    clock: SystemClock,
}

impl Rereader {
    pub(crate) fn new(connection: Connection, group: Arc<str>, timeout: Duration) -> Self {
        let (copier, clock) = (Copier::default(), SystemClock::new());
        Self { connection, group, timeout, consumer: None, at: None, copier, clock }
    }

    /// Records of `tp` in `from..to`; none, with `next` at `from`, where the broker has not answered yet.
    pub(crate) fn read(
        &mut self,
        tp: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, KafkaError> {
        let mut batch = Batch { records: Vec::new(), next: from };
        if from >= to {
            return Ok(batch);
        }
        self.stand_at(tp, from)?;
        let result = self.fill(tp, to, limit, &mut batch);
        self.at = (result.is_ok() && batch.next < to).then(|| (tp.clone(), batch.next));
        result.map(|()| batch)
    }

    fn fill(
        &mut self,
        tp: &TopicPartition,
        to: Offset,
        limit: Limit,
        batch: &mut Batch,
    ) -> Result<(), KafkaError> {
        let Some(consumer) = &self.consumer else { return Err(KafkaError::Closed) };
        let until = self.clock.now().plus(READ);
        let mut bytes = 0;
        while batch.next < to && batch.records.len() < limit.records.max(1) && bytes < limit.bytes.max(1) {
            let left = until.since(self.clock.now());
            let wait = if batch.records.is_empty() { left } else { left.min(Duration::from_millis(5)) };
            match consumer.poll(wait) {
                // Still from the assignment before.
                Some(Ok(message))
                    if message.topic() != &*tp.topic || message.partition() != tp.partition as i32 => {}
                Some(Ok(message)) => {
                    let fetched = self.copier.record(&message);
                    if fetched.offset >= to {
                        batch.next = to;
                    } else if fetched.offset >= batch.next {
                        batch.next = fetched.offset + 1;
                        bytes += fetched.record.weight();
                        batch.records.push(fetched);
                    }
                }
                // Nothing but gaps up to the end.
                Some(Err(ClientError::PartitionEOF(_))) => batch.next = to,
                Some(Err(ClientError::MessageConsumption(
                    Code::AutoOffsetReset | Code::OffsetOutOfRange,
                ))) => {
                    batch.next = self.gone(tp, batch.next, to)?;
                    self.at = None;
                    return Ok(());
                }
                Some(Err(source)) => {
                    return Err(KafkaError::refused(
                        format!("reading {tp} from {} again", batch.next),
                        source,
                    ));
                }
                None if left.is_zero() || !batch.records.is_empty() => return Ok(()),
                None => {}
            }
        }
        Ok(())
    }

    /// The partition does not hold `from`: where what it still holds begins, or `to` where the log was cut below.
    fn gone(&self, tp: &TopicPartition, from: Offset, to: Offset) -> Result<Offset, KafkaError> {
        let Some(consumer) = &self.consumer else { return Err(KafkaError::Closed) };
        let (low, high) = consumer
            .fetch_watermarks(&tp.topic, tp.partition as i32, self.timeout)
            .map_err(|source| KafkaError::refused(format!("reading the range of {tp}"), source))?;
        let (low, high) = (u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0));
        tracing::warn!(group = %self.group, partition = %tp, asked = from, earliest = low, latest = high, "records to be read again are not held any more");
        Ok(if from >= high { to } else { low.clamp(from, to) })
    }

    fn stand_at(&mut self, tp: &TopicPartition, from: Offset) -> Result<(), KafkaError> {
        if self.consumer.is_none() {
            // The client assigns nothing without a group's name; it neither joins nor commits.
            let config = self.connection.reader_config(&[
                ("group.id", &self.group),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"),
                ("enable.partition.eof", "true"),
            ])?;
            let consumer = config
                .create()
                .map_err(|source| self.connection.unusable("reading parked records again", source))?;
            self.consumer = Some(consumer);
        }
        let Some(consumer) = &self.consumer else { return Err(KafkaError::Closed) };
        if self.at.as_ref().is_some_and(|(at, next)| at == tp && *next == from) {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&tp.topic, tp.partition as i32, ClientOffset::Offset(from as i64))
            .and_then(|()| consumer.assign(&list))
            .map_err(|source| KafkaError::refused(format!("reading {tp} from {from} again"), source))
    }

    /// A partition that does not exist would never answer.
    fn exists(&self, pointer: &Pointer) -> Result<bool, KafkaError> {
        let Some(consumer) = &self.consumer else { return Err(KafkaError::Closed) };
        let metadata = consumer
            .fetch_metadata(Some(&pointer.topic), self.timeout)
            .map_err(|source| KafkaError::refused(format!("looking for topic {}", pointer.topic), source))?;
        let topic = metadata.topics().first();
        Ok(topic.is_some_and(|topic| {
            topic.partitions().iter().any(|partition| partition.id() == pointer.partition)
        }))
    }

    /// The bytes that a pointer of `tp` points to; `None` where they are not there.
    pub(crate) fn position(
        &mut self,
        pointer: &Pointer,
        tp: &TopicPartition,
    ) -> Result<Option<Bytes>, KafkaError> {
        let place = TopicPartition::new(pointer.topic.as_str(), pointer.partition as u32);
        let from = pointer.offset as u64;
        let until = self.clock.now().plus(self.timeout);
        let limit = Limit { records: 1, bytes: 1 };
        self.stand_at(&place, from)?;
        self.at = Some((place.clone(), from));
        if !self.exists(pointer)? {
            return Ok(None);
        }
        loop {
            let batch = self.read(&place, from, from + 1, limit)?;
            if let Some(fetched) = batch.records.first() {
                let key = overflow::key(&self.group, &tp.topic, tp.partition);
                let whose = fetched.record.key.as_deref() == Some(key.as_bytes());
                let read = overflow::parse_value(&fetched.record.value);
                return Ok(read
                    .filter(|(watermark, _)| whose && *watermark == pointer.watermark)
                    .map(|(_, beyond)| Bytes::copy_from_slice(beyond)));
            }
            if batch.next > from {
                return Ok(None);
            }
            if until.since(self.clock.now()).is_zero() {
                let source = ClientError::MessageConsumption(Code::OperationTimedOut);
                return Err(KafkaError::refused(format!("reading the position at {place} {from}"), source));
            }
        }
    }
}
