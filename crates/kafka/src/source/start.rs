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
use seawall_core::{Class, Classify, Clock, Nanos, Offset, Origin, Position, TopicPartition};
use std::time::Duration;

/// How long a partition waits for the set that is settled beyond its position. Then that is delivered again: standing
/// still would be worse.
const SET_WITHIN: Duration = Duration::from_mins(1);
/// How often it is told that partitions cannot be placed.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Where a partition starts.
#[derive(Clone)]
pub(super) struct Start {
    pub(super) tp: TopicPartition,
    pub(super) position: Position,
    pub(super) origin: Origin,
    pub(super) end: Offset,
}

impl KafkaSource {
    /// Where those of `partitions` start that can be placed now, which some have `waited` for that long.
    ///
    /// # Errors
    /// `Permanent`: it will not get better. `Transient`: nothing is known of any of them.
    pub(super) fn starts(
        &mut self,
        partitions: &[TopicPartition],
        waited: Duration,
    ) -> Result<Vec<Start>, KafkaError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let doing = format!("reading the committed positions of group {}", self.group);
        let committed = self
            .consumer
            .committed_offsets(list(partitions), self.options.request_timeout)
            .map_err(|source| KafkaError::refused(&*doing, source))?;
        // Brokers that do not answer are waited for once, not once each: nothing is polled meanwhile.
        let until = self.clock.now().plus(self.options.request_timeout);
        let mut starts = Vec::with_capacity(partitions.len());
        for element in committed.elements() {
            let tp =
                TopicPartition::new(element.topic(), u32::try_from(element.partition()).unwrap_or_default());
            let start = element
                .error()
                .map_err(|source| KafkaError::refused(&*doing, source))
                .and_then(|()| self.start_of(&tp, &element, waited, until));
            match start {
                Ok(start) => starts.push(start),
                Err(error) if error.class() == Class::Permanent => return Err(error),
                Err(error) => self.tell_not_placed(&tp, &error),
            }
        }
        Ok(starts)
    }

    fn start_of(
        &mut self,
        tp: &TopicPartition,
        element: &TopicPartitionListElem<'_>,
        waited: Duration,
        until: Nanos,
    ) -> Result<Start, KafkaError> {
        let range = if self.clock.now() < until { self.range(tp) } else { Err(unasked(tp)) };
        let ClientOffset::Offset(at) = element.offset() else {
            let (low, high) = range?;
            let position = Position { watermark: self.choose(tp, low, high), beyond: Bytes::new() };
            return Ok(Start { tp: tp.clone(), position, origin: Origin::Chosen, end: high });
        };
        self.chosen.remove(tp);
        let watermark = u64::try_from(at).unwrap_or_default();
        let end = match range {
            Ok((low, high)) if !(low..=high).contains(&watermark) => {
                let position = self.out_of_range(tp, at, low, high);
                return Ok(Start { tp: tp.clone(), position, origin: Origin::Chosen, end: high });
            }
            Ok((_, high)) => high,
            Err(error) if error.class() == Class::Permanent => return Err(error),
            Err(error) => {
                tracing::warn!(
                    group = %self.group, partition = %tp, watermark, %error,
                    "started at the group's position without knowing the partition's range"
                );
                self.consumer.context().end_of(tp).unwrap_or_default().max(watermark)
            }
        };
        let beyond = self.set_beyond(tp, watermark, element, waited, until)?;
        let position = Position { watermark, beyond };
        Ok(Start { tp: tp.clone(), position, origin: Origin::Committed, end })
    }

    fn set_beyond(
        &mut self,
        tp: &TopicPartition,
        watermark: Offset,
        element: &TopicPartitionListElem<'_>,
        waited: Duration,
        until: Nanos,
    ) -> Result<Bytes, KafkaError> {
        match self.rereader.beyond(tp, watermark, element, until) {
            Err(error) if error.class() != Class::Permanent && waited >= SET_WITHIN => {
                tracing::warn!(
                    group = %self.group, partition = %tp, watermark, %error,
                    "what was settled beyond the offset cannot be read, and is delivered again"
                );
                Ok(Bytes::new())
            }
            beyond => beyond,
        }
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

    /// Where a partition starts in which the group has no position: always the same until it has one. What came since, and
    /// this member has not finished, must not be passed because the commit of the first time failed.
    fn choose(&mut self, tp: &TopicPartition, low: Offset, high: Offset) -> Offset {
        let start = self.start(&tp.topic, low, high);
        (*self.chosen.entry(tp.clone()).or_insert(start)).clamp(low, high)
    }

    fn start(&self, topic: &str, low: Offset, high: Offset) -> Offset {
        match self.options.start_at {
            StartAt::Latest if !self.options.is_from_earliest(topic) => high,
            StartAt::Latest | StartAt::Earliest => low,
        }
    }

    pub(super) fn out_of_range(
        &self,
        tp: &TopicPartition,
        asked: i64,
        low: Offset,
        high: Offset,
    ) -> Position {
        let start = self.start(&tp.topic, low, high);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;
    use crate::source::SourceOptions;
    use rdkafka::topic_partition_list::TopicPartitionList;
    use seawall_core::{Commit, Generation};

    #[test]
    fn a_start_that_was_not_committed_is_the_same_the_next_time() {
        let options = SourceOptions { start_at: StartAt::Latest, ..SourceOptions::default() };
        let mut source = KafkaSource::open(&Connection::new(["127.0.0.1:1"]), "g", options).expect("offline");
        let tp = TopicPartition::new("t", 0);
        assert_eq!(source.choose(&tp, 0, 100), 100);
        assert_eq!(source.choose(&tp, 0, 111), 100, "its commit failed");
        assert_eq!(source.choose(&tp, 105, 120), 105, "retention has passed it");
        let commit =
            Commit { partition: tp.clone(), generation: Generation(1), position: Position::default() };
        source.stand_at(&[commit]);
        assert_eq!(source.choose(&tp, 0, 130), 130, "its position was taken from the group by hand");
    }

    #[test]
    fn a_set_that_cannot_be_read_is_waited_for_and_then_done_without() {
        let options =
            SourceOptions { request_timeout: Duration::from_millis(50), ..SourceOptions::default() };
        let connection = Connection::new(["127.0.0.1:1"]);
        let mut source = KafkaSource::open(&connection, "g", options).expect("offline");
        let mut list = TopicPartitionList::new();
        list.add_partition("t", 0).set_metadata("SW1p5:0:7:positions");
        let (tp, elements) = (TopicPartition::new("t", 0), list.elements());
        let (briefly, past) = (Duration::ZERO, Nanos(0));
        let set = source.set_beyond(&tp, 5, &elements[0], briefly, past);
        assert_eq!(set.map_err(|error| error.class()), Err(Class::Transient));
        assert!(source.rereader.consumer.is_none(), "the time of the round is over: nobody is asked");
        let soon = source.clock.now().plus(Duration::from_millis(50));
        let set = source.set_beyond(&tp, 5, &elements[0], briefly, soon);
        assert_eq!(set.map_err(|error| error.class()), Err(Class::Transient), "it may be read yet");
        let set = source.set_beyond(&tp, 5, &elements[0], SET_WITHIN, past);
        assert_eq!(set.map_err(|error| error.class()), Ok(Bytes::new()));
    }

    #[test]
    fn retry_topics_start_at_the_oldest_record_also_where_others_start_at_the_newest() {
        let from_earliest = vec!["retry".to_owned()];
        let options = SourceOptions { start_at: StartAt::Latest, from_earliest, ..SourceOptions::default() };
        let source = KafkaSource::open(&Connection::new(["127.0.0.1:1"]), "g", options).expect("offline");
        assert_eq!((source.start("t", 3, 9), source.start("retry", 3, 9)), (9, 3));
        let gone = source.out_of_range(&TopicPartition::new("retry", 0), 1, 3, 9);
        assert_eq!(gone.watermark, 3);
    }
}
