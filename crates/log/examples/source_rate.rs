//! Measures the broker once: produce (batches of 256, several callers), then one group source on one thread.
//! Run it with `--release`; the directory to use is the only argument (default: a temporary one).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, run by hand")]

use bytes::Bytes;
use seawall_core::{Clock, Event, Limit, Outgoing, Record, Sink, Source, SystemClock};
use seawall_log::{Broker, BrokerOptions, Driver, SourceOptions, TopicOptions};
use seawall_wal::RealDisk;
use std::sync::Arc;
use std::time::Duration;

const BATCH: usize = 256;
const PARTITIONS: u32 = 8;

fn main() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = std::env::args().nth(1).map_or_else(|| temporary.path().to_owned(), Into::into);
    for (name, value_bytes, records, callers) in [
        ("100 B", 100, 2_000_000, 1),
        ("100 B", 100, 2_000_000, 8),
        ("1 KiB", 1024, 500_000, 1),
        ("1 KiB", 1024, 500_000, 8),
    ] {
        let dir = dir.join(format!("{value_bytes}-{callers}"));
        let clock = Arc::new(SystemClock::new());
        let (broker, _) = Broker::open(
            RealDisk,
            BrokerOptions::new(&dir),
            Arc::<SystemClock>::clone(&clock),
            Driver::Thread,
        )
        .unwrap();
        broker.create_topic("t", TopicOptions::partitions(PARTITIONS)).unwrap();
        let from = clock.now();
        produce(&broker, value_bytes, records, callers);
        let took = clock.now().since(from);
        let rounds = broker.counters().rounds;
        println!("produce {name}, {callers} callers: {} records/s, {rounds} rounds", rate(records, took));

        let mut source = broker.source("g", &["t"], SourceOptions::default()).unwrap();
        for pass in ["first", "second"] {
            let (from, cpu) = (clock.now(), cpu_time());
            let seen = drain(&mut source, records);
            let (took, cpu) = (clock.now().since(from), cpu_time().saturating_sub(cpu));
            let (wall, cpu) = (rate(seen, took), rate(seen, cpu));
            println!("source {name}, {pass} pass: {wall} records/s, {cpu} to a second of its thread's CPU");
            drop(source);
            source = broker.source("g", &["t"], SourceOptions::default()).unwrap();
        }
    }
}

fn rate(records: usize, took: Duration) -> u64 {
    (records as f64 / took.as_secs_f64()) as u64
}

/// What this thread has used of a CPU: on a machine that others share, the honest divisor.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn produce(broker: &Broker, value_bytes: usize, records: usize, callers: usize) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let value = Bytes::from(vec![b'x'; value_bytes]);
    runtime.block_on(async {
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let (broker, value) = (broker.clone(), value.clone());
                tokio::spawn(async move {
                    let topic: Arc<str> = "t".into();
                    for batch in 0..records / BATCH / callers {
                        let one = |n: usize| Outgoing {
                            topic: Arc::clone(&topic),
                            partition: None,
                            record: Record::new(
                                Bytes::from(format!("key-{caller}-{}", (batch * BATCH + n) % 10_000)),
                                value.clone(),
                            ),
                        };
                        let receipts = broker.send((0..BATCH).map(one).collect()).await;
                        assert!(receipts.iter().all(Result::is_ok));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn drain(source: &mut impl Source, records: usize) -> usize {
    let mut seen = 0;
    let mut quiet = false;
    while seen < records && !quiet {
        let events = source.poll(Duration::ZERO, Limit { records: 4096, bytes: 4 << 20 }).unwrap();
        quiet = events.is_empty();
        for event in events {
            if let Event::Records { batch, .. } = event {
                seen += batch.records.len();
            }
        }
    }
    seen
}
