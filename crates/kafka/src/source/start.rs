//! Where a partition starts: at the group's position, or as the options say where there is none.
//!
//! The brokers are asked for each partition's range, of which the leader alone knows. One that has no leader, or whose
//! leader does not answer, holds up no others: where the group has a position it is started there unasked, and the
//! client goes on by itself once there is a leader. Should that position not be held any more, the client tells
//! ([`astray`](super::astray)). Where the group has none it is asked again later.

use super::{KafkaSource, StartAt, list};
use crate::error::KafkaError;
use bytes::Bytes;
use rdkafka::Offset as ClientOffset;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use seawall_core::{Class, Classify, Clock, Nanos, Offset, Position, TopicPartition};
use std::time::Duration;

/// How long a partition that cannot be placed is not asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How often it is told that partitions cannot be placed.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Where a partition starts.
pub(super) struct Start {
    pub(super) tp: TopicPartition,
    pub(super) position: Position,
    pub(super) end: Offset,
}

impl KafkaSource {
    /// Where those of `partitions` start that can be placed now. The others are asked for again after a while.
    ///
    /// # Errors
    /// `Permanent`: it will not get better. `Transient`: nothing is known of any of them.
    pub(super) fn starts(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Start>, KafkaError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let doing = format!("reading the committed positions of group {}", self.group);
        let asked = self.consumer.committed_offsets(list(partitions), self.options.request_timeout);
        let committed = asked.map_err(|source| {
            self.wait_to_place();
            KafkaError::refused(&*doing, source)
        })?;
        // Leaders that do not answer are waited for once, not once each: nothing is polled meanwhile.
        let until = self.clock.now().plus(self.options.request_timeout);
        let mut starts = Vec::with_capacity(partitions.len());
        for element in committed.elements() {
            let tp =
                TopicPartition::new(element.topic(), u32::try_from(element.partition()).unwrap_or_default());
            match self.start_of(&tp, &element, &doing, until) {
                Ok(start) => starts.push(start),
                Err(error) if error.class() == Class::Permanent => return Err(error),
                Err(error) => self.tell_not_placed(&tp, &error),
            }
        }
        if starts.len() < partitions.len() {
            self.wait_to_place();
            // Another one is asked first the next time.
            let by = self.arriving.len().min(1);
            self.arriving.rotate_left(by);
        }
        Ok(starts)
    }

    /// Leaves the brokers alone for a while.
    pub(super) fn wait_to_place(&mut self) {
        self.place_after = self.clock.now().plus(AGAIN_AFTER);
    }

    fn start_of(
        &mut self,
        tp: &TopicPartition,
        element: &TopicPartitionListElem<'_>,
        doing: &str,
        until: Nanos,
    ) -> Result<Start, KafkaError> {
        element.error().map_err(|source| KafkaError::refused(doing, source))?;
        let range = if self.clock.now() < until { self.range(tp) } else { Err(unasked(tp)) };
        let (position, end) = match (element.offset(), range) {
            (ClientOffset::Offset(at), Ok((low, high))) if !(low as i64..=high as i64).contains(&at) => {
                (self.out_of_range(tp, at, low, high), high)
            }
            (ClientOffset::Offset(at), range) => {
                let watermark = u64::try_from(at).unwrap_or_default();
                let end = match range {
                    Ok((_, high)) => high,
                    Err(error) if error.class() == Class::Permanent => return Err(error),
                    Err(error) => {
                        tracing::warn!(
                            group = %self.group, partition = %tp, watermark, %error,
                            "started at the group's position without knowing the partition's range"
                        );
                        watermark
                    }
                };
                (Position { watermark, beyond: self.rereader.beyond(tp, watermark, element)? }, end)
            }
            (_, range) => {
                let (low, high) = range?;
                (Position { watermark: self.start(low, high), beyond: Bytes::new() }, high)
            }
        };
        Ok(Start { tp: tp.clone(), position, end })
    }

    pub(super) fn tell_not_placed(&mut self, tp: &TopicPartition, error: &KafkaError) {
        let now = self.clock.now();
        if now < self.tell_after {
            tracing::debug!(group = %self.group, partition = %tp, %error, "cannot be started yet");
            return;
        }
        self.tell_after = now.plus(TELL_EVERY);
        tracing::warn!(group = %self.group, partition = %tp, %error, "cannot be started yet; tried again");
    }

    /// The oldest offset that the partition holds, and one past the newest.
    ///
    /// # Errors
    /// `Transient` where there is no leader: the client does not tell that from a partition that does not exist.
    pub(super) fn range(&self, tp: &TopicPartition) -> Result<(Offset, Offset), KafkaError> {
        let (topic, timeout) = (&*tp.topic, self.options.request_timeout);
        let ask = || self.consumer.fetch_watermarks(topic, tp.partition as i32, timeout);
        let range = match ask() {
            Err(ClientError::MetadataFetch(Code::UnknownPartition | Code::LeaderNotAvailable)) => {
                // It answers from what it knows, which is asked anew once in minutes only.
                let _ = self.consumer.fetch_metadata(Some(topic), timeout);
                ask()
            }
            range => range,
        };
        let (low, high) = range.map_err(|source| {
            let source = match source {
                ClientError::MetadataFetch(Code::UnknownPartition) => {
                    ClientError::MetadataFetch(Code::LeaderNotAvailable)
                }
                source => source,
            };
            KafkaError::refused(format!("reading the range of {tp}"), source)
        })?;
        Ok((u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0)))
    }

    fn start(&self, low: Offset, high: Offset) -> Offset {
        match self.options.start_at {
            StartAt::Earliest => low,
            StartAt::Latest => high,
        }
    }

    pub(super) fn out_of_range(
        &self,
        tp: &TopicPartition,
        asked: i64,
        low: Offset,
        high: Offset,
    ) -> Position {
        let start = self.start(low, high);
        tracing::warn!(
            group = %self.group, partition = %tp, asked, earliest = low, latest = high, start,
            "the group's offset is not held by the partition (any more); going on at `start_at`"
        );
        Position { watermark: start, beyond: Bytes::new() }
    }
}

fn unasked(tp: &TopicPartition) -> KafkaError {
    let source = ClientError::MetadataFetch(Code::OperationTimedOut);
    KafkaError::refused(format!("reading the range of {tp}, after others that were not answered"), source)
}
