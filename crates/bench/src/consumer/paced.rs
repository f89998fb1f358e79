//! A handler that waits 10 ms: by Little's law nobody can do more than limit ÷ latency; how near do we come?

use super::shelf::{Done, Reading, Shelf, Stock};
use crate::compare::{BenchError, Better, Contender, Contest, Effort};
use seawall_consumer::Ordering;
use seawall_core::{Clock, Delivery, Handler, Nanos, Outcome, SystemClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Memory};
use std::time::Duration;

const RECORDS: u64 = 200_000;
const LIMIT: u32 = 500;
const LATENCY: Duration = Duration::from_millis(10);

pub(super) fn contest(effort: &Effort) -> Result<Contest, BenchError> {
    let stock = Stock { records: effort.scaled(RECORDS), value_bytes: 100, keys: 10_000, partitions: 1 };
    let mut shelf = Shelf::fill(effort, "consumer-paced", stock)?;
    let reading = Reading { ordering: Ordering::Key, limit: LIMIT };
    let spent = Arc::new(AtomicU64::new(0));
    let ceiling = Arc::clone(&spent);
    Ok(Contest {
        name: "10 ms handler, 1 partition, 10,000 keys, 500 in flight".to_owned(),
        unit: "records/s",
        rounds: 5,
        better: Better::Higher,
        ours: Contender::new("consumer over the log", env!("CARGO_PKG_VERSION"), move || {
            spent.store(0, Memory::Relaxed);
            shelf.read(reading, |done| Waits { done, spent: Arc::clone(&spent), clock: SystemClock::new() })
        }),
        peers: vec![
            Contender::limit("limit / measured latency", "Little's law", move || {
                let mean = ceiling.load(Memory::Relaxed) as f64 / 1e9 / stock.records as f64;
                Ok(f64::from(LIMIT) / mean)
            })
            .goal(0.95),
        ],
    })
}

struct Waits {
    done: Arc<Done>,
    /// Nanoseconds over all records: timers are late by up to a millisecond, which is not the consumer's doing.
    spent: Arc<AtomicU64>,
    clock: SystemClock,
}

impl Handler for Waits {
    async fn handle(&self, _: &Delivery) -> Outcome {
        let started: Nanos = self.clock.now();
        tokio::time::sleep(LATENCY).await;
        let took = self.clock.now().since(started);
        self.spent.fetch_add(took.as_nanos() as u64, Memory::Relaxed);
        self.done.one();
        Outcome::Ack
    }
}
