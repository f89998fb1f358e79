//! A broker on a simulated disk, with a clock that stands until it is moved.
#![allow(dead_code, reason = "each test file uses its own part")]

use bytes::Bytes;
use seawall_core::{
    Clock, Commit, Event, Fault, Generation, Limit, Nanos, Outgoing, Position, Receipt, Record, Sink, Source,
    TopicPartition, WallMs,
};
use seawall_log::{Broker, BrokerOptions, Driver, LogError, LogSource, OpenReport};
use seawall_wal::Disk;
use seawall_wal::disk::SimDisk;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Everything there is.
pub(crate) const ALL: Limit = Limit { records: 1_000_000, bytes: 1 << 30 };

/// A clock that moves when told.
#[derive(Debug, Default)]
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> WallMs {
        WallMs(1_700_000_000_000 + (self.0.load(Ordering::Relaxed) / 1_000_000) as i64)
    }
}

pub(crate) fn small(dir: &str) -> BrokerOptions {
    BrokerOptions { segment_bytes: 64 * 1024, ..BrokerOptions::new(dir) }
}

pub(crate) fn open(disk: &SimDisk, clock: &Arc<HandClock>, driver: Driver) -> (Broker<SimDisk>, OpenReport) {
    let clock: Arc<dyn Clock> = Arc::<HandClock>::clone(clock);
    Broker::open(disk.clone(), small("/data"), clock, driver).unwrap()
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

pub(crate) fn outgoing(topic: &str, key: &str, value: impl Into<Bytes>) -> Outgoing {
    let key = Some(Bytes::copy_from_slice(key.as_bytes()));
    Outgoing { topic: topic.into(), partition: None, record: Record::new(key, value) }
}

pub(crate) fn send<D: Disk>(broker: &Broker<D>, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
    block_on(broker.send(records))
}

/// The broker's own error behind a fault.
pub(crate) fn log_error(fault: &Fault) -> &LogError {
    fault.error().downcast_ref().unwrap()
}

/// Everything of a partition, as (offset, value).
pub(crate) fn contents<D: Disk>(broker: &Broker<D>, topic: &str, partition: u32) -> Vec<(u64, Bytes)> {
    let mut all = Vec::new();
    let mut from = 0;
    while from < broker.end_offset(topic, partition).unwrap() {
        let batch = broker.fetch(topic, partition, from, Limit { records: 100, bytes: 1 << 20 }).unwrap();
        all.extend(batch.records.into_iter().map(|fetched| (fetched.offset, fetched.record.value)));
        assert!(batch.next > from);
        from = batch.next;
    }
    all
}

pub(crate) fn poll<D: Disk>(source: &mut LogSource<D>) -> Vec<Event> {
    source.poll(Duration::ZERO, ALL).unwrap()
}

/// The partitions assigned by `events`, with their generation and position.
pub(crate) fn assigned(events: &[Event]) -> Vec<(u32, Generation, Position)> {
    let of = |event: &Event| match event {
        Event::Assigned { partition, generation, position, .. } => {
            Some((partition.partition, *generation, position.clone()))
        }
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

pub(crate) fn revoked(events: &[Event]) -> Vec<(u32, Generation)> {
    let of = |event: &Event| match event {
        Event::Revoked { partition, generation } => Some((partition.partition, *generation)),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

pub(crate) fn lost(events: &[Event]) -> Vec<u32> {
    let of = |event: &Event| match event {
        Event::Lost { partition, .. } => Some(partition.partition),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

/// The records of `events`, as (partition, offset).
pub(crate) fn records(events: &[Event]) -> Vec<(u32, u64)> {
    let mut all = Vec::new();
    for event in events {
        if let Event::Records { partition, batch, .. } = event {
            all.extend(batch.records.iter().map(|fetched| (partition.partition, fetched.offset)));
        }
    }
    all
}

pub(crate) fn commit_of(partition: TopicPartition, generation: Generation, watermark: u64) -> Commit {
    Commit { partition, generation, position: Position { watermark, beyond: Bytes::new() } }
}
