//! A filled topic, to be read by one new group after the other.

use crate::compare::{BenchError, Effort, timed};
use seawall_consumer::{Consumer, ConsumerOptions, NoSink, NoStore, Ordering};
use seawall_core::{Handler, Outgoing, Record, Sink, SystemClock};
use seawall_guard::{ConcurrencyOptions, Guard, GuardOptions, TscClock};
use seawall_log::{Broker, BrokerOptions, SourceOptions, TopicOptions};
use seawall_wal::RealDisk;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Memory};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

const TOPIC: &str = "shelf";
const SEND_BATCH: u64 = 4_096;

/// What lies in the topic.
#[derive(Clone, Copy)]
pub(crate) struct Stock {
    pub(crate) records: u64,
    pub(crate) value_bytes: usize,
    pub(crate) keys: u64,
    pub(crate) partitions: u32,
}

/// How it is read.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) ordering: Ordering,
    /// Permits of the guard.
    pub(crate) limit: u32,
}

/// The broker with its filled topic, and the runtime that reads it.
pub(crate) struct Shelf {
    runtime: Runtime,
    broker: Broker<RealDisk>,
    stock: Stock,
    clock: Arc<TscClock>,
    rounds: u64,
}

/// Counts what handlers finished, and tells when all is done.
pub(crate) struct Done {
    count: AtomicU64,
    wanted: u64,
    all: Notify,
}

impl Done {
    /// One more.
    #[inline]
    pub(crate) fn one(&self) {
        if self.count.fetch_add(1, Memory::Relaxed) + 1 == self.wanted {
            self.all.notify_one();
        }
    }
}

impl Shelf {
    /// Opens a broker in `name` and fills it.
    pub(crate) fn fill(effort: &Effort, name: &str, stock: Stock) -> Result<Self, BenchError> {
        let dir = effort.dir.join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).map_err(BenchError::io(dir.display()))?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(BenchError::io("a tokio runtime"))?;
        let clock = Arc::new(SystemClock::new());
        let (broker, _) =
            Broker::open(RealDisk, BrokerOptions::new(&dir), clock, seawall_log::Driver::Thread)
                .map_err(BenchError::of("log"))?;
        broker
            .create_topic(TOPIC, TopicOptions::partitions(stock.partitions))
            .map_err(BenchError::of("log"))?;
        let shelf = Self { runtime, broker, stock, clock: Arc::new(TscClock::new()), rounds: 0 };
        shelf.runtime.block_on(shelf.send_all())?;
        Ok(shelf)
    }

    /// The clock by which its deliveries have their deadlines.
    pub(crate) fn clock(&self) -> Arc<TscClock> {
        Arc::clone(&self.clock)
    }

    async fn send_all(&self) -> Result<(), BenchError> {
        let topic: Arc<str> = TOPIC.into();
        let value = bytes::Bytes::from(vec![b'x'; self.stock.value_bytes]);
        let mut next = 0;
        while next < self.stock.records {
            let end = (next + SEND_BATCH).min(self.stock.records);
            let batch = (next..end).map(|number| {
                let key = format!("key-{:08}", number % self.stock.keys);
                let record = Record::new(bytes::Bytes::from(key), value.clone());
                Outgoing { topic: Arc::clone(&topic), partition: None, record }
            });
            for receipt in self.broker.send(batch.collect()).await {
                let _ = receipt.map_err(|fault| BenchError::of("log")(fault.to_string()))?;
            }
            next = end;
        }
        Ok(())
    }

    /// Reads everything once, as a new group; answers records per second.
    pub(crate) fn read<H: Handler>(
        &mut self,
        reading: Reading,
        handler: impl FnOnce(Arc<Done>) -> H,
    ) -> Result<f64, BenchError> {
        self.rounds += 1;
        let group = format!("round-{}", self.rounds);
        let wanted = self.stock.records;
        let done = Arc::new(Done { count: AtomicU64::new(0), wanted, all: Notify::new() });
        let handler = handler(Arc::clone(&done));
        let options = GuardOptions {
            concurrency: ConcurrencyOptions { limit: reading.limit, ..ConcurrencyOptions::default() },
            ..GuardOptions::default()
        };
        let clock = self.clock();
        let guard = Guard::new(options, clock.clone(), 1).map_err(BenchError::of("guard"))?;
        let source =
            self.broker.source(&group, &[TOPIC], SourceOptions::default()).map_err(BenchError::of("log"))?;
        let options = ConsumerOptions {
            ordering: reading.ordering,
            dead_letter: None,
            ..ConsumerOptions::new(group.as_str())
        };
        let (acked, took) = self.runtime.block_on(async {
            let (running, took) = timed_until(&done, || {
                let driver = seawall_consumer::Driver::Thread;
                let store = None::<Arc<NoStore>>;
                Consumer::start(options, source, handler, store, Arc::new(guard), NoSink, clock, 1, driver)
            })
            .await;
            let running = running.map_err(BenchError::of("consumer"))?;
            let _ = running.drain(Duration::from_secs(30)).await;
            Ok::<_, BenchError>((running.snapshot().totals.acked, took))
        })?;
        if acked != wanted {
            return Err(BenchError::Incomplete { who: "consumer".to_owned(), done: acked, asked: wanted });
        }
        Ok(wanted as f64 / took.as_secs_f64())
    }
}

/// From the start until the last record was handled.
async fn timed_until<T, E>(done: &Done, start: impl FnOnce() -> Result<T, E>) -> (Result<T, E>, Duration) {
    let (started, starting) = timed(start);
    if started.is_err() {
        return (started, starting);
    }
    let clock = SystemClock::new();
    done.all.notified().await;
    (started, starting + seawall_core::Clock::now(&clock).since(seawall_core::Nanos(0)))
}
