//! What a group has settled beyond a committed offset: in the commit's metadata, or in the record it points to.

use super::reread::Rereader;
use crate::error::{KafkaError, answered, heed};
use crate::position::{self, Metadata, Pointer, overflow};
use bytes::Bytes;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use seawall_core::{Class, Classify, Clock, Limit, Nanos, Offset, TopicPartition};
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Rereader {
    /// A partition that does not exist would never answer.
    fn exists(&self, pointer: &Pointer) -> Result<bool, KafkaError> {
        let Some(consumer) = &self.consumer else { return Err(KafkaError::Closed) };
        heed(consumer)?;
        let said = consumer.fetch_metadata(Some(&pointer.topic), self.timeout);
        let metadata = answered(consumer, || format!("looking for topic {}", pointer.topic), said)?;
        let topic = metadata.topics().first();
        Ok(topic.is_some_and(|topic| {
            topic.partitions().iter().any(|partition| partition.id() == pointer.partition)
        }))
    }

    /// What is settled beyond a committed offset. Metadata that cannot be read is empty; a broker that does not
    /// answer by `until` is an error, to be asked again.
    pub(crate) fn beyond(
        &mut self,
        tp: &TopicPartition,
        watermark: Offset,
        element: &TopicPartitionListElem<'_>,
        until: Nanos,
    ) -> Result<Bytes, KafkaError> {
        // The client panics on metadata that is not UTF-8.
        let text = catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned()));
        let parsed = text.map_err(|_| position::Unreadable::Foreign).and_then(|text| position::parse(&text));
        let why = match parsed {
            Ok(Metadata::Inline(bytes)) => return Ok(Bytes::from(bytes)),
            Ok(Metadata::Pointer(pointer)) if pointer.watermark == watermark => {
                match self.position(&pointer, tp, until) {
                    Ok(Some(bytes)) => return Ok(bytes),
                    Ok(None) => "the record it points to is gone or another's".to_owned(),
                    Err(error) if error.class() == Class::Permanent => {
                        format!("the record it points to cannot be read: {error}")
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(Metadata::Pointer(_)) => "it was written for another offset".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            group = %self.group, partition = %tp, watermark, why,
            "the commit's metadata is unreadable; what was settled beyond the offset is delivered again"
        );
        Ok(Bytes::new())
    }

    /// The bytes that a pointer of `tp` points to; `None` where they are not there.
    fn position(
        &mut self,
        pointer: &Pointer,
        tp: &TopicPartition,
        until: Nanos,
    ) -> Result<Option<Bytes>, KafkaError> {
        let place = TopicPartition::new(pointer.topic.as_str(), pointer.partition as u32);
        let from = pointer.offset as u64;
        let late = || {
            let source = ClientError::MessageConsumption(Code::OperationTimedOut);
            KafkaError::refused(format!("reading the position at {place} {from}"), source)
        };
        if self.clock.now() >= until {
            return Err(late());
        }
        let limit = Limit { records: 1, bytes: 1 };
        self.open()?;
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
            if self.clock.now() >= until {
                return Err(late());
            }
        }
    }
}
