//! What the runtime tests stand on: a broker, a clock, a sink, and a consumer put together from them.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod broker;
pub mod thief;

use broker::Broker;
use bytes::Bytes;
use seawall_consumer::{Consumer, ConsumerOptions, Driver, NoStore, Running, Snapshot};
use seawall_core::{
    Class, Clock, Durability, Fault, Handler, Nanos, Offset, Outgoing, Receipt, Record, Sink, TopicPartition,
    WallMs,
};
use seawall_guard::{ConcurrencyOptions, Guard, GuardOptions};
use seawall_idempotency::Store;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Reads tokio's clock, which a test may pause.
pub struct TokioClock(Instant);

impl TokioClock {
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.elapsed().as_nanos() as u64)
    }

    fn wall(&self) -> WallMs {
        WallMs(1_700_000_000_000 + self.0.elapsed().as_millis() as i64)
    }
}

/// A sink that keeps what it takes, refuses as often as it is told to, and takes so many milliseconds longer.
#[derive(Clone, Default)]
pub struct Letters {
    pub taken: Arc<Mutex<Vec<Outgoing>>>,
    pub refuse: Arc<AtomicU64>,
    pub delay: Arc<AtomicU64>,
}

impl Sink for Letters {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        tokio::time::sleep(Duration::from_millis(1 + self.delay.load(Relaxed))).await;
        let take = |record: Outgoing| {
            if self.refuse.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                return Err(Fault::new(Class::Transient, "the sink is down"));
            }
            let mut taken = self.taken.lock().expect("no panic under this lock");
            taken.push(record);
            Ok(Receipt {
                partition: TopicPartition::new("dlq", 0),
                offset: taken.len() as Offset,
                durability: Durability::Synced,
            })
        };
        records.into_iter().map(take).collect()
    }
}

pub fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

pub fn keyed(key: impl AsRef<str>, value: impl AsRef<str>) -> Record {
    Record::new(
        Some(Bytes::copy_from_slice(key.as_ref().as_bytes())),
        Bytes::copy_from_slice(value.as_ref().as_bytes()),
    )
}

pub fn guard_of(limit: u32, clock: &Arc<dyn Clock>) -> Arc<Guard> {
    let concurrency = ConcurrencyOptions { limit, ..ConcurrencyOptions::default() };
    let options = GuardOptions { concurrency, ..GuardOptions::default() };
    Arc::new(Guard::new(options, Arc::clone(clock), 1).expect("options are right"))
}

pub struct Stage {
    pub broker: Broker,
    pub letters: Letters,
    pub clock: Arc<dyn Clock>,
    pub guard: Arc<Guard>,
    pub running: Running,
}

/// Options for tests: two workers whatever the machine has.
pub fn options() -> ConsumerOptions {
    ConsumerOptions { workers: 2, ..ConsumerOptions::new("orders") }
}

impl Stage {
    pub fn start<H: Handler>(options: ConsumerOptions, broker: &Broker, handler: H) -> Self {
        Self::start_with(options, broker, handler, None::<Arc<NoStore>>, 100, 7)
    }

    pub fn start_with<H: Handler, St: Store>(
        options: ConsumerOptions,
        broker: &Broker,
        handler: H,
        store: Option<Arc<St>>,
        limit: u32,
        seed: u64,
    ) -> Self {
        let clock = TokioClock::shared();
        Self::start_at(options, broker, handler, store, limit, seed, clock)
    }

    pub fn start_at<H: Handler, St: Store>(
        options: ConsumerOptions,
        broker: &Broker,
        handler: H,
        store: Option<Arc<St>>,
        limit: u32,
        seed: u64,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let guard = guard_of(limit, &clock);
        let letters = Letters::default();
        let running = Consumer::start(
            options,
            broker.source(),
            handler,
            store,
            Arc::clone(&guard),
            letters.clone(),
            Arc::clone(&clock),
            seed,
            Driver::Inline,
        )
        .expect("options are right");
        Self { broker: broker.clone(), letters, clock, guard, running }
    }

    /// Waits until the snapshot satisfies `holds`, for ten minutes of the test's clock at most; the ledgers must
    /// balance at every look.
    pub async fn until(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Snapshot {
        for _ in 0..600_000 {
            let snapshot = self.running.snapshot();
            for partition in &snapshot.partitions {
                assert_eq!(partition.ledger.imbalance(), 0, "{:?}", partition.ledger);
            }
            if holds(&snapshot) {
                return snapshot;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("never {what}: {:#?}", self.running.snapshot());
    }

    /// Waits until everything fetched up to the broker's end is settled.
    pub async fn until_done(&self) -> Snapshot {
        self.until("done", |snapshot| {
            let state = self.broker.state();
            !snapshot.partitions.is_empty()
                && snapshot.partitions.iter().all(|p| p.watermark == state.topics[&p.partition].end)
        })
        .await
    }

    pub fn committed(&self, id: &TopicPartition) -> Offset {
        self.broker.state().topics[id].committed.watermark
    }
}
