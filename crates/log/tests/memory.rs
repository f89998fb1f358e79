//! Unread records cost disk, not memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use bytes::Bytes;
use seawall_core::{Event, Limit, Outgoing, Record, Sink, Source, SystemClock};
use seawall_log::{Broker, BrokerOptions, Driver, SourceOptions, TopicOptions};
use seawall_wal::RealDisk;
use std::sync::Arc;
use std::time::Duration;

const RECORDS: usize = 1_000_000;
const BATCH: usize = 4_000;

/// Bytes of this process in memory that are its own, without the page cache.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_million_unread_records_hold_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let (broker, _) = Broker::open(RealDisk, BrokerOptions::new(dir.path()), clock, Driver::Thread).unwrap();
    broker.create_topic("t", TopicOptions::partitions(2)).unwrap();
    let mut source = broker.source("g", &["t"], SourceOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let topic: Arc<str> = "t".into();
    let one = |n: usize| Outgoing {
        topic: Arc::clone(&topic),
        partition: None,
        record: Record::new(Bytes::from(format!("{n}")), vec![b'x'; 100]),
    };
    let send = |from: usize| {
        let receipts = runtime.block_on(broker.send((from..from + BATCH).map(one).collect()));
        assert!(receipts.iter().all(Result::is_ok));
    };
    send(0);
    let before = resident_bytes();
    (1..RECORDS / BATCH).for_each(|batch| send(batch * BATCH));
    let grown = resident_bytes().saturating_sub(before);
    // The records are 120 MB; what may stay is the allocator's own and the buffers of one round.
    assert!(grown < 48 << 20, "{grown} bytes more for unread records");

    let (mut seen, mut worst) = (0, 0);
    while seen < RECORDS {
        let events = source.poll(Duration::from_secs(10), Limit { records: 4096, bytes: 1 << 20 }).unwrap();
        for event in events {
            if let Event::Records { batch, .. } = event {
                seen += batch.records.len();
            }
        }
        if seen % 64 == 0 {
            worst = worst.max(resident_bytes().saturating_sub(before));
        }
    }
    assert_eq!(seen, RECORDS);
    assert!(worst < 64 << 20, "{worst} bytes more while reading");
}
