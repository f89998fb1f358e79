//! The broker, its filled topics, and the runtime that reads them with our consumer.

use super::process::cpu;
use crate::compare::BenchError;
use seawall_consumer::{Consumer, ConsumerOptions, Driver, NoSink, NoStore, Ordering, Running};
use seawall_core::{Clock, Fault, Handler, Nanos, Outgoing, Record, Sink, SystemClock};
use seawall_guard::{ConcurrencyOptions, Guard, GuardOptions, TscClock};
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::{Admin, Connection, KafkaSink, KafkaSource, SinkOptions, SourceOptions};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

const SEND_BATCH: u64 = 4_096;
/// Batches on the way at once while a topic is filled.
const SENDERS: u64 = 8;
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is looked whether all is done.
const LOOK: Duration = Duration::from_millis(2);

/// What lies in a topic.
#[derive(Clone, Copy)]
pub(super) struct Stock {
    pub(super) topic: &'static str,
    pub(super) partitions: u32,
    pub(super) records: u64,
    pub(super) value_bytes: usize,
    /// Which key the record of a number has.
    pub(super) key: fn(u64) -> u64,
}

/// How a topic is read: until all of its records are handled, or for so long.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) ordering: Ordering,
    /// Permits of the guard.
    pub(super) limit: u32,
    /// From the first record on.
    pub(super) window: Duration,
}

/// What a reading led to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Records a second.
    pub(super) rate: f64,
    /// Processor time of the whole process, in microseconds a record.
    pub(super) cpu: f64,
}

impl Pace {
    pub(super) fn new(records: u64, took: Duration, cpu: Duration) -> Self {
        let records = records as f64;
        Self { rate: records / took.as_secs_f64(), cpu: cpu.as_secs_f64() * 1e6 / records }
    }
}

pub(crate) struct Ground {
    pub(crate) runtime: Runtime,
    pub(super) cluster: KafkaCluster,
    admin: Admin,
    groups: Cell<u64>,
    filled: RefCell<BTreeSet<&'static str>>,
}

impl Ground {
    /// A broker with a compiler that knows all its tricks and room for its page cache to matter, not its heap.
    pub(crate) fn start() -> Result<Option<Self>, BenchError> {
        let options = KafkaOptions {
            jvm: ["-XX:TieredStopAtLevel=4", "-Xmx1g"].map(str::to_owned).to_vec(),
            settings: [("log.retention.check.interval.ms", "1000"), ("log.segment.delete.delay.ms", "0")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            ..KafkaOptions::default()
        };
        let Some(cluster) = kafka_or_skip("kafka", options) else { return Ok(None) };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(BenchError::io("a tokio runtime"))?;
        let admin = Admin::open(&Connection::new([cluster.bootstrap()]), PATIENCE)
            .map_err(BenchError::of("admin"))?;
        Ok(Some(Self { runtime, cluster, admin, groups: Cell::new(0), filled: RefCell::default() }))
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection::new([self.cluster.bootstrap()])
    }

    /// The name of a group that was never used.
    pub(super) fn new_group(&self) -> String {
        self.groups.set(self.groups.get() + 1);
        format!("bench-{}", self.groups.get())
    }

    pub(super) fn create(
        &self,
        topic: &str,
        partitions: u32,
        configs: &[(&str, &str)],
    ) -> Result<(), BenchError> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let new = NewTopic { configs: configs.iter().map(own).collect(), ..NewTopic::new(topic, partitions) };
        self.runtime.block_on(self.admin.create_topic(&new)).map_err(BenchError::of("create topic"))
    }

    /// Makes a topic and fills it, once.
    pub(super) fn fill(&self, stock: &Stock) -> Result<(), BenchError> {
        if !self.filled.borrow_mut().insert(stock.topic) {
            return Ok(());
        }
        self.create(stock.topic, stock.partitions, &[])?;
        let sink = KafkaSink::open(&self.connection(), &SinkOptions::default());
        let sink = Arc::new(sink.map_err(BenchError::of("sink"))?);
        let stock = *stock;
        let send = |first: u64| {
            let sink = Arc::clone(&sink);
            async move {
                let topic: Arc<str> = stock.topic.into();
                let value = bytes::Bytes::from(vec![b'x'; stock.value_bytes]);
                let mut next = first * SEND_BATCH;
                while next < stock.records {
                    let end = (next + SEND_BATCH).min(stock.records);
                    let batch = (next..end).map(|number| {
                        let key = format!("key-{:08}", (stock.key)(number));
                        let record = Record::new(bytes::Bytes::from(key), value.clone());
                        Outgoing { topic: Arc::clone(&topic), partition: None, record }
                    });
                    for receipt in sink.send(batch.collect()).await {
                        let _ = receipt?;
                    }
                    next += SEND_BATCH * SENDERS;
                }
                Ok::<_, Fault>(())
            }
        };
        self.runtime.block_on(async {
            let senders: Vec<_> = (0..SENDERS).map(|first| tokio::spawn(send(first))).collect();
            for sender in senders {
                let sent = sender.await.map_err(BenchError::of("fill"))?;
                sent.map_err(|fault| BenchError::of("fill")(fault.to_string()))?;
            }
            Ok(())
        })
    }

    /// Reads `stock` as a new group with our source and consumer, exact commits included.
    pub(super) fn read<H: Handler>(
        &self,
        stock: &Stock,
        reading: Reading,
        handler: H,
    ) -> Result<Pace, BenchError> {
        self.fill(stock)?;
        let group = self.new_group();
        self.runtime.block_on(async {
            let membership = Membership { group: &group, topic: stock.topic, session: None };
            let running = start(&self.connection(), membership, reading.ordering, reading.limit, handler)?;
            let pace = pace(&running, stock.records, reading.window).await;
            let report = running.drain(PATIENCE).await;
            if let Some(fault) = report.commit_failed {
                return Err(BenchError::of("consumer")(fault.to_string()));
            }
            pace.ok_or_else(|| {
                let done = running.snapshot().totals.acked;
                BenchError::Incomplete { who: "consumer".to_owned(), done, asked: stock.records }
            })
        })
    }
}

/// How our consumer takes part in a group.
#[derive(Clone, Copy)]
pub(super) struct Membership<'a> {
    pub(super) group: &'a str,
    pub(super) topic: &'a str,
    /// The session timeout, where it is not the default.
    pub(super) session: Option<Duration>,
}

/// Starts our source and consumer on the current runtime, with `limit` permits.
pub(super) fn start<H: Handler>(
    connection: &Connection,
    membership: Membership<'_>,
    ordering: Ordering,
    limit: u32,
    handler: H,
) -> Result<Running, BenchError> {
    let Membership { group, topic, session } = membership;
    let clock = Arc::new(TscClock::new());
    let concurrency = ConcurrencyOptions { limit, ..ConcurrencyOptions::default() };
    let guard = GuardOptions { concurrency, ..GuardOptions::default() };
    let guard = Arc::new(Guard::new(guard, clock.clone(), 1).map_err(BenchError::of("guard"))?);
    let defaults = SourceOptions::default();
    let options = SourceOptions { session_timeout: session.unwrap_or(defaults.session_timeout), ..defaults };
    let source = KafkaSource::join(connection, group, &[topic], options).map_err(BenchError::of("source"))?;
    let options = ConsumerOptions { ordering, dead_letter: None, ..ConsumerOptions::new(group) };
    let store = None::<Arc<NoStore>>;
    Consumer::start(options, source, handler, store, guard, NoSink, clock, 1, Driver::Thread)
        .map_err(BenchError::of("consumer"))
}

/// From the first settled records until `wanted` are or `window` is over.
async fn pace(running: &Running, wanted: u64, window: Duration) -> Option<Pace> {
    let clock = SystemClock::new();
    let acked = || running.snapshot().totals.acked;
    let mut first: Option<(u64, Nanos, Duration)> = None;
    let begun = clock.now();
    loop {
        let (done, now) = (acked(), clock.now());
        match first {
            None if done > 0 => first = Some((done, now, cpu())),
            Some((before, since, spent)) if done >= wanted || now.since(since) >= window => {
                return (done > before)
                    .then(|| Pace::new(done - before, now.since(since), cpu().saturating_sub(spent)));
            }
            None if now.since(begun) > PATIENCE => return None,
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}
