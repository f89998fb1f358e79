//! Consume, transform, produce: records and the group's offsets become visible together, or not at all.

use super::error::{SinkError, refused};
use super::options::SinkOptions;
use super::send::KafkaSink;
use crate::connection::Connection;
use crate::error::KafkaError;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::Offset as ClientOffset;
use seawall_core::{Fault, Offset, Outgoing, Receipt, TopicPartition};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The coordinator ends a transaction that is open for longer; above the longest wait of a record in it.
const TIMEOUT_ABOVE_DELIVERY: Duration = Duration::from_secs(30);
/// A decision is asked for so often: the client goes on where the attempt before it stopped.
const DECISION_ATTEMPTS: usize = 3;

/// Who commits: the group's id, generation and member, so that a member that lost its partitions is refused.
#[derive(Clone)]
pub struct GroupMetadata(Arc<ConsumerGroupMetadata>);

impl fmt::Debug for GroupMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupMetadata")
    }
}

impl From<ConsumerGroupMetadata> for GroupMetadata {
    fn from(metadata: ConsumerGroupMetadata) -> Self {
        Self(Arc::new(metadata))
    }
}

/// A producer whose records become visible by transaction. One process at a time may hold a transactional id:
/// opening it elsewhere fences this one, whose next call fails with [`SinkError::Fenced`].
#[derive(Debug)]
pub struct TransactionalSink {
    sink: Arc<KafkaSink>,
    id: Arc<str>,
    timeout: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    /// A transaction was dropped undecided, or failed: it is aborted before the next begins.
    Open,
    /// Nothing more can be done with this client.
    Over,
}

impl TransactionalSink {
    /// Takes over the transactional id `id`: fences whoever held it and settles what it left open. Waits at
    /// most [`SinkOptions::delivery_timeout`].
    ///
    /// # Errors
    /// As [`KafkaSink::open`]; [`SinkError::Fenced`] and [`KafkaError::Refused`] as the coordinator answers.
    pub async fn open(connection: &Connection, options: &SinkOptions, id: &str) -> Result<Self, Fault> {
        let timeout_ms = (options.delivery_timeout + TIMEOUT_ABOVE_DELIVERY).as_millis().to_string();
        let more = [("transactional.id", id), ("transaction.timeout.ms", timeout_ms.as_str())];
        let sink = Arc::new(KafkaSink::with_settings(connection, options, &more)?);
        let mut opened = Self { sink, id: id.into(), timeout: options.delivery_timeout, state: State::Ready };
        opened.ask("init", |sink, timeout| sink.producer().init_transactions(timeout)).await?;
        Ok(opened)
    }

    /// Begins a transaction; one that was left undecided is aborted first.
    ///
    /// # Errors
    /// [`SinkError::Fenced`] once another holds the id; [`SinkError::Undecided`] where the one before may or
    /// may not have been committed.
    pub async fn begin(&mut self) -> Result<Transaction<'_>, Fault> {
        match self.state {
            State::Ready => {}
            State::Open => self.abort().await?,
            State::Over => return Err(KafkaError::Closed.into()),
        }
        self.ask("begin", |sink, _| sink.producer().begin_transaction()).await?;
        self.state = State::Open;
        Ok(Transaction { sink: self, receipts: Vec::new(), failed: None })
    }

    async fn abort(&mut self) -> Result<(), Fault> {
        self.ask("abort", |sink, timeout| sink.producer().abort_transaction(timeout)).await?;
        self.state = State::Ready;
        Ok(())
    }

    /// Asks the client on a thread that may block.
    async fn ask(
        &mut self,
        doing: &'static str,
        what: impl Fn(&KafkaSink, Duration) -> Result<(), ClientError> + Send + 'static,
    ) -> Result<(), Fault> {
        let (sink, timeout) = (Arc::clone(&self.sink), self.timeout);
        let asked = tokio::task::spawn_blocking(move || {
            let mut answer = what(&sink, timeout);
            for _ in 1..DECISION_ATTEMPTS {
                match &answer {
                    Err(ClientError::Transaction(error)) if error.is_retriable() => {
                        answer = what(&sink, timeout);
                    }
                    _ => break,
                }
            }
            answer
        });
        match asked.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.failure(doing, error)),
            // The runtime shuts down.
            Err(_) => Err(KafkaError::Closed.into()),
        }
    }

    fn failure(&mut self, doing: &'static str, error: ClientError) -> Fault {
        let id = self.id.to_string();
        let (fatal, must_abort, retriable) = match &error {
            ClientError::Transaction(said) => {
                (said.is_fatal(), said.txn_requires_abort(), said.is_retriable())
            }
            // Told by the client as a whole, which then can do nothing more.
            ClientError::Global(_) => (true, false, false),
            _ => (false, false, false),
        };
        let fenced = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::Fenced
                    | RDKafkaErrorCode::ProducerFenced
                    | RDKafkaErrorCode::InvalidProducerEpoch
            )
        );
        let source = refused(format!("{doing} of a transaction of {id}"), error);
        if fenced || fatal {
            self.state = State::Over;
            return SinkError::Fenced { id, source }.into();
        }
        if must_abort {
            return SinkError::Aborted { id, source }.into();
        }
        if retriable && doing == "commit" {
            self.state = State::Over;
            return SinkError::Undecided { id, source }.into();
        }
        source.into()
    }
}

/// An open transaction. Dropped without [`commit`](Self::commit), it is aborted before the next one begins.
#[derive(Debug)]
#[must_use = "a transaction that is not committed is aborted"]
pub struct Transaction<'a> {
    sink: &'a mut TransactionalSink,
    receipts: Vec<Receipt>,
    failed: Option<Fault>,
}

impl Transaction<'_> {
    /// Writes `records` into the transaction, in order. No receipt is given before the commit.
    ///
    /// # Errors
    /// The first record's that could not be written; the transaction can then only be aborted.
    pub async fn send(&mut self, records: &[Outgoing]) -> Result<(), Fault> {
        for answer in self.sink.sink.write(records).await {
            match answer {
                Ok(receipt) => self.receipts.push(receipt),
                Err(fault) => {
                    self.failed.get_or_insert(fault);
                }
            }
        }
        // The records of a fenced producer are thrown out of its queue; the reason stands with the client.
        if self.failed.is_some()
            && let Some(fatal) = self.sink.sink.fatal()
        {
            self.failed = Some(self.sink.failure("write", fatal));
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Adds the group's positions: for each partition the offset to be read next.
    ///
    /// # Errors
    /// [`SinkError::Aborted`] where the member has lost its partitions (the transaction can then only be
    /// aborted); [`SinkError::Fenced`].
    pub async fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, Offset)],
        group: &GroupMetadata,
    ) -> Result<(), Fault> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (at, offset) in offsets {
            let next = i64::try_from(*offset).map(ClientOffset::Offset);
            let partition = i32::try_from(at.partition);
            let (Ok(next), Ok(partition)) = (next, partition) else {
                let value = format!("{at} at {offset}");
                return Err(
                    KafkaError::setting("offset", &value, "a partition and an offset of Kafka").into()
                );
            };
            list.add_partition_offset(&at.topic, partition, next)
                .map_err(|source| refused(format!("the offset {offset} of {at}"), source))?;
        }
        let group = group.clone();
        let sent = self
            .sink
            .ask("offsets", move |sink, timeout| {
                sink.producer().send_offsets_to_transaction(&list, &group.0, timeout)
            })
            .await;
        if let Err(fault) = &sent {
            self.failed.get_or_insert(fault.clone());
        }
        sent
    }

    /// Makes everything visible and returns the receipts, in the order of the records; or aborts.
    ///
    /// # Errors
    /// What failed before, after the abort; [`SinkError::Aborted`], after which the whole may be done again;
    /// [`SinkError::Fenced`]; [`SinkError::Undecided`], after which the group's committed offsets say what
    /// became of it.
    pub async fn commit(self) -> Result<Vec<Receipt>, Fault> {
        let committed = match self.failed {
            Some(fault) => Err(fault),
            None => {
                self.sink.ask("commit", |sink, timeout| sink.producer().commit_transaction(timeout)).await
            }
        };
        match committed {
            Ok(()) => {
                self.sink.state = State::Ready;
                Ok(self.receipts)
            }
            Err(fault) => {
                if self.sink.state == State::Open {
                    // A failed abort leaves the state open: the next `begin` tries it again and tells.
                    let _ = self.sink.abort().await;
                }
                Err(fault)
            }
        }
    }

    /// Throws everything away.
    ///
    /// # Errors
    /// [`SinkError::Fenced`]; [`KafkaError::Refused`] where the coordinator does not answer, which the next
    /// [`TransactionalSink::begin`] tries again.
    pub async fn abort(self) -> Result<(), Fault> {
        self.sink.abort().await
    }
}
