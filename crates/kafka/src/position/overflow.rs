//! Where sets go that are too large for a commit's metadata: a compacted topic.
//!
//! Key: `group/topic/partition`. Value: the watermark (8 bytes, little-endian) and the bytes. The record is
//! acknowledged by all in-sync replicas before the commit that points to it is sent, so a pointer never
//! dangles. Compaction keeps the latest record of a key; `min.compaction.lag.ms` keeps an older one long enough
//! for the commit that points to it to be superseded.

use super::Pointer;
use crate::admin::Asking;
use crate::connection::Connection;
use crate::error::{KafkaError, Trouble};
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{DefaultClientContext, OAuthToken};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use seawall_core::{Class, Classify, Clock, Commit, Nanos, Offset, SystemClock};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The topic that overflowing positions are written to.
pub(crate) const OVERFLOW_TOPIC: &str = "__seawall_positions";
/// How long a superseded position is kept at least.
const KEEP: &str = "86400000";
/// How long nothing is written after a refusal for good. Rights may be granted meanwhile.
const AFTER_REFUSAL: Duration = Duration::from_mins(1);
/// And after an answer that did not come: the commits of all partitions would wait for each attempt.
const AFTER_SILENCE: Duration = Duration::from_secs(10);

/// Writes positions that do not fit into metadata.
pub(crate) struct Overflow {
    connection: Connection,
    topic: String,
    producer: Option<BaseProducer<Reports>>,
    timeout: Duration,
    clock: SystemClock,
    /// It could not be written: not tried again before this.
    not_before: Nanos,
}

type Report = (usize, Result<(i32, i64), ClientError>);

/// Collects what became of the records of one round.
struct Reports {
    told: Mutex<Vec<Report>>,
    trouble: Trouble,
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.trouble.token()
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, nth: Box<usize>) {
        let report = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push((*nth, report));
    }
}

/// The key of a partition's positions.
pub(crate) fn key(group: &str, topic: &str, partition: u32) -> String {
    format!("{group}/{topic}/{partition}")
}

/// The value of a position.
pub(crate) fn value(watermark: Offset, beyond: &[u8]) -> Vec<u8> {
    [&watermark.to_le_bytes()[..], beyond].concat()
}

/// Reads [`value`]: the watermark and the bytes.
pub(crate) fn parse_value(value: &[u8]) -> Option<(Offset, &[u8])> {
    let (watermark, beyond) = value.split_first_chunk::<8>()?;
    Some((Offset::from_le_bytes(*watermark), beyond))
}

impl Overflow {
    /// Nothing is connected before the first position overflows.
    pub(crate) fn new(connection: Connection, topic: String, timeout: Duration) -> Self {
        let clock = SystemClock::new();
        Self { connection, topic, producer: None, timeout, clock, not_before: Nanos(0) }
    }

    /// Writes the positions of `commits` and waits until they are acknowledged; the pointers are in the order given.
    /// There is none where the cluster takes a position not, or not now, which is told: what is settled beyond a
    /// watermark is worth less than the watermark, and must not hold up the commits of others.
    pub(crate) fn write(&mut self, group: &str, commits: &[&Commit]) -> Vec<Option<Pointer>> {
        if self.clock.now() < self.not_before {
            return vec![None; commits.len()];
        }
        let written = self.try_write(group, commits);
        let refused = written.as_ref().map_or_else(Some, |pointers| {
            pointers.iter().find_map(|pointer| pointer.as_ref().err().filter(|error| !error.is_too_large()))
        });
        if let Some(error) = refused {
            let permanent = error.class() == Class::Permanent;
            let rest = if permanent { AFTER_REFUSAL } else { AFTER_SILENCE };
            self.not_before = self.clock.now().plus(rest);
            self.tell(group, error);
            if permanent {
                // A client that is dead, or has seen the topic go, would say the same for ever.
                self.producer = None;
            }
        }
        let pointers = written.unwrap_or_default().into_iter().map(|pointer| {
            pointer
                .inspect_err(|error| {
                    if error.is_too_large() {
                        self.tell(group, error);
                    }
                })
                .ok()
        });
        let mut pointers: Vec<_> = pointers.collect();
        pointers.resize(commits.len(), None);
        pointers
    }

    fn tell(&self, group: &str, error: &KafkaError) {
        let topic = &*self.topic;
        tracing::warn!(
            group, %error,
            "what is settled beyond a committed offset is too much for its metadata and could not be written to \
             {topic}: it is not kept for now, and delivered again after a restart. The topic must be there, compacted, \
             and this user allowed to write to it"
        );
    }

    fn try_write(
        &mut self,
        group: &str,
        commits: &[&Commit],
    ) -> Result<Vec<Result<Pointer, KafkaError>>, KafkaError> {
        if self.producer.is_none() {
            self.create_topic()?;
            let config = self.connection.client_config(&[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                ("linger.ms", "0"),
                ("message.timeout.ms", &self.timeout.as_millis().to_string()),
            ])?;
            let producer = config
                .create_with_context(Reports { told: Mutex::default(), trouble: self.connection.trouble()? })
                .map_err(|source| self.connection.unusable("writing positions that overflow", source))?;
            self.producer = Some(producer);
        }
        let Some(producer) = &self.producer else { return Err(KafkaError::Closed) };
        let refused = |source| KafkaError::refused(format!("writing a position to {}", self.topic), source);
        let reports = &producer.context().told;
        reports.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for (nth, commit) in commits.iter().enumerate() {
            let key = key(group, &commit.partition.topic, commit.partition.partition);
            let value = value(commit.position.watermark, &commit.position.beyond);
            let record: BaseRecord<'_, _, _, _> =
                BaseRecord::with_opaque_to(&self.topic, Box::new(nth)).key(&key).payload(&value);
            if let Err((error, record)) = producer.send(record) {
                let nth = *record.delivery_opaque;
                let mut told = reports.lock().unwrap_or_else(PoisonError::into_inner);
                told.push((nth, Err(error)));
            }
        }
        producer.flush(self.timeout).map_err(refused)?;
        let mut reports = std::mem::take(&mut *reports.lock().unwrap_or_else(PoisonError::into_inner));
        reports.sort_by_key(|(nth, _)| *nth);
        if reports.len() != commits.len() {
            return Err(refused(ClientError::MessageProduction(RDKafkaErrorCode::MessageTimedOut)));
        }
        let pointers = commits.iter().zip(reports).map(|(commit, (_, report))| {
            let (partition, offset) = report.map_err(refused)?;
            let watermark = commit.position.watermark;
            Ok(Pointer { watermark, topic: self.topic.clone(), partition, offset })
        });
        Ok(pointers.collect())
    }

    fn create_topic(&self) -> Result<(), KafkaError> {
        let doing = "creating the topic of overflowing positions";
        if Asking::open(&self.connection, self.timeout)?.topic(&self.topic)?.is_some() {
            return Ok(());
        }
        if self.connection.has_token() {
            return Err(KafkaError::ChangeWithToken { doing: format!("{doing} {}", self.topic) });
        }
        let admin: AdminClient<DefaultClientContext> = self
            .connection
            .client_config(&[])?
            .create()
            .map_err(|source| self.connection.unusable(doing, source))?;
        let refused = |source| KafkaError::refused(format!("{doing} {}", self.topic), source);
        let topic = NewTopic::new(&self.topic, 1, TopicReplication::Fixed(-1))
            .set("cleanup.policy", "compact")
            .set("min.compaction.lag.ms", KEEP);
        let options =
            AdminOptions::new().operation_timeout(Some(self.timeout)).request_timeout(Some(self.timeout));
        let runtime =
            tokio::runtime::Builder::new_current_thread().build().map_err(|_| KafkaError::Closed)?;
        let answers = runtime.block_on(admin.create_topics([&topic], &options)).map_err(refused)?;
        for answer in answers {
            match answer {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(refused(ClientError::Global(code))),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_core::{Generation, Position, TopicPartition};

    #[test]
    fn a_cluster_that_is_silent_costs_no_pointer_and_one_wait() {
        let timeout = Duration::from_millis(300);
        let mut overflow =
            Overflow::new(Connection::new(["127.0.0.1:1"]), OVERFLOW_TOPIC.to_owned(), timeout);
        let partition = TopicPartition::new("t", 0);
        let commit = Commit { partition, generation: Generation(1), position: Position::default() };
        assert_eq!(overflow.write("g", &[&commit, &commit]), [None, None]);
        assert!(overflow.not_before > overflow.clock.now().plus(AFTER_SILENCE / 2), "it would wait again");
        let since = overflow.clock.now();
        assert_eq!(overflow.write("g", &[&commit]), [None]);
        assert!(overflow.clock.now().since(since) < timeout, "asked again");
    }
}
