//! The sink that writes outside transactions.

use super::call::{Call, Ticket};
use super::client::{Client, Clients, fatal};
use super::error::{SinkError, refused, undelivered};
use super::narrow::{Company, Narrow};
use super::options::SinkOptions;
use super::order;
use super::stale::Stale;
use crate::connection::Connection;
use crate::error::KafkaError;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use seawall_core::{Durability, Fault, Outgoing, Receipt, Sink, TopicPartition};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

pub(super) type Answer = Result<Receipt, Fault>;
/// A record on its way into the client, with the ticket that answers for it.
type Draft<'a> = BaseRecord<'a, [u8], [u8], Box<Ticket>>;

/// The client frees a record's room only after its report was handed out, so there is nothing to be woken by.
const ROOM_CHECK: Duration = Duration::from_millis(2);
/// After so many records a call lets others of its thread run: a record costs about 2 µs to hand over.
const YIELD_AFTER: usize = 256;

/// A [`Sink`] on a Kafka cluster with receipts of [`Durability::Replicated`]. The
/// [module's page](super) says what a receipt and an error promise.
///
/// Dropping it waits up to [`SinkOptions::close_within`] for what is queued, blocking the thread; what is left
/// then is thrown away, with a line in the log.
pub struct KafkaSink {
    clients: Clients,
    pub(super) narrow: Narrow,
    pub(super) batch_bytes: u64,
    record_bytes_max: u64,
    queue_wait: Duration,
    /// How long a call waits for its answers; a transaction's records have the client's own limit.
    pub(super) patience: Option<Duration>,
    stale: Stale,
    close_within: Duration,
    closed: AtomicBool,
}

impl KafkaSink {
    /// A producer for the cluster of `connection`. No broker is asked: one that is away is met by `send`.
    ///
    /// # Errors
    /// [`KafkaError::Setting`] and [`KafkaError::Client`] name what is wrong with the settings.
    pub fn open(connection: &Connection, options: &SinkOptions) -> Result<Self, KafkaError> {
        let clients = Clients::open(connection, options)?;
        let mut sink = Self::with(clients, options);
        sink.patience = Some(options.delivery_timeout);
        Ok(sink)
    }

    pub(super) fn with_settings(
        connection: &Connection,
        options: &SinkOptions,
        more: &[(&str, &str)],
    ) -> Result<Self, KafkaError> {
        Ok(Self::with(Clients::one(connection, options, more)?, options))
    }

    fn with(clients: Clients, options: &SinkOptions) -> Self {
        Self {
            clients,
            narrow: Narrow::default(),
            batch_bytes: options.batch_bytes,
            record_bytes_max: options.record_bytes_max,
            queue_wait: options.queue_wait,
            patience: None,
            stale: Stale::default(),
            close_within: options.close_within,
            closed: AtomicBool::new(false),
        }
    }

    /// Records handed over whose acknowledgement is still to come.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.producer().in_flight_count()).unwrap_or_default()
    }

    /// Takes no more records and waits up to [`SinkOptions::close_within`] for those taken. Blocks the thread.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] with the code `OperationTimedOut` where some are left.
    pub fn close(&self) -> Result<(), KafkaError> {
        self.closed.store(true, Ordering::Release);
        let left = |source| refused(format!("flush with {} records left", self.in_flight()), source);
        self.producer().flush(self.close_within).map_err(left)
    }

    pub(super) fn producer(&self) -> Client {
        self.clients.now()
    }

    /// Hands one record over, waiting for room.
    async fn hand_over(
        &self,
        client: &Client,
        outgoing: &Outgoing,
        ticket: Box<Ticket>,
    ) -> Result<(), Fault> {
        let mut until = None;
        let mut waiting = draft(outgoing, ticket);
        loop {
            let (error, back) = match client.send(waiting) {
                Ok(()) => return Ok(()),
                Err(refusal) => refusal,
            };
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            let until = *until.get_or_insert_with(|| Instant::now() + self.queue_wait);
            let over = Instant::now() >= until;
            if self.closed.load(Ordering::Acquire) {
                back.delivery_opaque.failed(KafkaError::Closed.into());
                return Err(KafkaError::Closed.into());
            }
            if !full || over {
                let topic = outgoing.topic.to_string();
                let source = refused(format!("a record for topic {topic}"), cause(client, error));
                if !full {
                    // A record that is refused by itself stops nobody else.
                    back.delivery_opaque.failed(source.into());
                    return Ok(());
                }
                let waited_ms = self.queue_wait.as_millis();
                let fault = Fault::from(SinkError::Full { topic, waited_ms, source });
                back.delivery_opaque.failed(fault.clone());
                return Err(fault);
            }
            waiting = back;
            tokio::time::sleep(ROOM_CHECK).await;
        }
    }

    /// Why the client failed for good, where it did.
    pub(super) fn fatal(&self) -> Option<ClientError> {
        fatal(&self.producer())
    }

    /// What the client does not see to. Seawall's own bounds are for new records, at ingest and in the producer: what was
    /// read from a cluster may be over them, and must find its way back, as a dead letter or to be tried again later.
    fn fit(&self, outgoing: &Outgoing) -> Result<(), KafkaError> {
        // The client measures key and value alone. A broker closes the connection on a request that is too large, and
        // the client would send it again for ever.
        if outgoing.record.headers.weight() as u64 > self.record_bytes_max {
            let source = ClientError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
            return Err(refused(format!("the headers of a record for topic {}", outgoing.topic), source));
        }
        match outgoing.partition {
            Some(partition) if i32::try_from(partition).is_err() => {
                Err(KafkaError::setting("partition", &partition.to_string(), "at most 2147483647"))
            }
            _ => Ok(()),
        }
    }

    /// Answers for the records that the client still holds. It goes on trying, in order.
    fn give_up(&self, records: &[Outgoing], call: &Arc<Call>) {
        let places = call.unanswered();
        self.stale.hold(places.iter().map(|place| &records[*place]), Arc::clone(call));
        for place in places {
            call.refuse(place, self.late(&records[place]));
        }
    }

    pub(super) fn late(&self, outgoing: &Outgoing) -> Fault {
        let source = ClientError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
        let partition = outgoing.partition.and_then(|partition| partition.try_into().ok()).unwrap_or(-1);
        let mut fault =
            undelivered(&outgoing.topic, partition, source, self.producer().context().trouble()).into();
        self.clients.soften(&mut fault);
        fault
    }

    /// The same without a look at what batches their topics take. The client may hold them for as long as `company` stands.
    pub(super) async fn write_at_once(&self, records: &[Outgoing], company: Company) -> Vec<Answer> {
        let client = self.clients.usable();
        let call = Call::new(records.len(), company);
        let stale = self.stale.among(records);
        let mut stopped = None;
        for (place, outgoing) in records.iter().enumerate() {
            if self.closed.load(Ordering::Acquire) {
                stopped = Some(KafkaError::Closed.into());
            }
            if let Err(error) = self.fit(outgoing) {
                call.refuse(place, error.into());
            } else if stale.contains(&place) {
                call.refuse(place, self.late(outgoing));
            } else if let Some(fault) = &stopped {
                call.refuse(place, Fault::clone(fault));
            } else {
                stopped = self.hand_over(&client, outgoing, Box::new(call.ticket(place))).await.err();
            }
            if place % YIELD_AFTER == YIELD_AFTER - 1 {
                tokio::task::yield_now().await;
            }
        }
        call.handed_over();
        match self.patience {
            None => call.answered().await,
            Some(patience) => {
                if tokio::time::timeout(patience, call.answered()).await.is_err() {
                    self.give_up(records, &call);
                }
            }
        }
        let mut answers = answers(records, &call);
        if let Some(fatal) = fatal(&client) {
            for (outgoing, answer) in records.iter().zip(&mut answers) {
                told_by_all(outgoing, answer, &fatal);
                if let Err(fault) = answer {
                    self.clients.soften(fault);
                }
            }
        }
        answers
    }
}

impl Sink for KafkaSink {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        self.send_shared(Arc::new(records)).await
    }

    async fn send_shared(&self, records: Arc<Vec<Outgoing>>) -> Vec<Result<Receipt, Fault>> {
        let mut answers = self.write(&records).await;
        if answers.iter().any(Result::is_err) {
            order::withhold(&records, &mut answers);
        }
        answers
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(error = %Fault::from(error), "a Kafka producer was dropped with records in it");
        }
    }
}

impl std::fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSink").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

/// A client that failed for good says so of every record; the reason lies behind.
fn cause(client: &Client, error: ClientError) -> ClientError {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
        return fatal(client).unwrap_or(error);
    }
    error
}

/// A client that failed for good throws its queue out, and says of each record only that. The reason is the
/// client's own.
fn told_by_all(outgoing: &Outgoing, answer: &mut Result<Receipt, Fault>, fatal: &ClientError) {
    use RDKafkaErrorCode as Code;
    let Err(fault) = answer else { return };
    let purged = match fault.error().downcast_ref() {
        Some(KafkaError::Refused { code, .. }) => {
            matches!(code, Code::PurgeQueue | Code::PurgeInflight | Code::Fatal)
        }
        _ => false,
    };
    if purged {
        *fault = refused(format!("a record for topic {}", outgoing.topic), fatal.clone()).into();
    }
}

fn draft(outgoing: &Outgoing, ticket: Box<Ticket>) -> Draft<'_> {
    let Outgoing { topic, partition, record } = outgoing;
    let mut draft: Draft<'_> = BaseRecord::with_opaque_to(topic, ticket).payload(&record.value[..]);
    draft.key = record.key.as_deref();
    // Bounded by `fit`.
    draft.partition = partition.and_then(|partition| i32::try_from(partition).ok());
    // Zero makes the client write down its own time.
    draft.timestamp = Some(record.timestamp.0);
    if !record.headers.is_empty() {
        let empty = OwnedHeaders::new_with_capacity(record.headers.len());
        draft.headers = Some(record.headers.iter().fold(empty, |headers, header| {
            headers.insert(Header { key: header.name(), value: Some(&header.value[..]) })
        }));
    }
    draft
}

fn answers(records: &[Outgoing], call: &Call) -> Vec<Result<Receipt, Fault>> {
    let receipts = records.iter().zip(call.written());
    let mut answers: Vec<_> = receipts
        .map(|(Outgoing { topic, .. }, written)| match written {
            Some((partition, offset)) => Ok(Receipt {
                partition: TopicPartition::new(topic.clone(), partition),
                offset,
                durability: Durability::Replicated,
            }),
            None => Err(SinkError::Unanswered { topic: topic.to_string() }.into()),
        })
        .collect();
    for (place, fault) in call.take_failures() {
        answers[place] = Err(fault);
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_core::{Header as OurHeader, Record};

    #[test]
    fn what_a_cluster_took_once_is_handed_over_and_headers_have_a_bound() {
        let options = SinkOptions { record_bytes_max: 1_000_000, ..SinkOptions::default() };
        let sink = KafkaSink::open(&Connection::new(["127.0.0.1:1"]), &options).unwrap();
        let headers = |count: usize, bytes: usize| {
            let mut record = Record::new(bytes::Bytes::from(vec![b'k'; 20 << 10]), "v");
            record.headers =
                (0..count).map(|n| OurHeader::new(format!("h\0{n}"), vec![b'x'; bytes])).collect();
            Outgoing { topic: "t".into(), partition: None, record }
        };
        for fits in [headers(1, 40 << 10), headers(200, 0)] {
            assert!(fits.record.check().is_err() && sink.fit(&fits).is_ok());
            let call = Call::new(1, Narrow::default().wide_call());
            assert!(draft(&fits, Box::new(call.ticket(0))).headers.is_some());
        }
        assert!(sink.fit(&headers(20, 60_000)).unwrap_err().is_too_large());
    }
}
