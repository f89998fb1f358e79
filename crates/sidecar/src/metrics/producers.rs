//! The recoverable producers' part of the scrape.

use super::{count_of, counter, gauge, level};
use crate::recoverable::Recoverable;
use prometheus_client::encoding::DescriptorEncoder;
use seawall_guard::BreakerState;
use seawall_producer::{Path, Snapshot, State};
use std::fmt;

/// A producer at the moment of the scrape.
#[derive(Debug)]
pub(super) struct Shown {
    name: String,
    /// Its most preferred cluster.
    sink: String,
    snapshot: Snapshot,
    unkept: u64,
}

impl Shown {
    pub(super) fn take(producer: &Recoverable) -> Self {
        Self {
            name: producer.name().to_owned(),
            sink: producer.preferred().to_owned(),
            snapshot: producer.snapshot(),
            unkept: producer.unkept(),
        }
    }
}

/// A number of a producer.
type Number = (&'static str, &'static str, fn(&Shown) -> u64);

/// What a producer and its spill hold now. Their label `sink` is the most preferred one.
const LEVELS: [Number; 10] = [
    ("seawall_spill_bytes", "Bytes that the spill takes on disk", |p| p.snapshot.spill_bytes),
    ("seawall_spill_bytes_max", "Bytes at which it is full", |p| p.snapshot.spill_bytes_max),
    ("seawall_spill_waiting_records", "Records on disk that wait to be delivered", |p| {
        p.snapshot.backlog_records
    }),
    ("seawall_spill_waiting_bytes", "Bytes of them", |p| p.snapshot.backlog_bytes),
    ("seawall_spill_replayed_records", "Records delivered from disk since the backlog began", |p| {
        p.snapshot.replayed_records
    }),
    (
        "seawall_spill_refused_records",
        "Acknowledged records that a cluster refused for good, kept on disk",
        |p| p.snapshot.refused_kept,
    ),
    ("seawall_spill_in_trouble", "1 while the spill does not take records or give them back", |p| {
        u64::from(p.snapshot.spill_trouble.is_some())
    }),
    ("seawall_producer_memory_bytes", "Bytes of records in memory", |p| p.snapshot.memory_bytes),
    ("seawall_producer_memory_bytes_max", "Bytes that may be there", |p| p.snapshot.memory_bytes_max),
    ("seawall_producer_memory_records", "Records in memory, and callers that wait for one on disk", |p| {
        p.snapshot.memory_records
    }),
];

/// What happened since the start.
const COUNTS: [Number; 5] = [
    ("seawall_producer_switches", "Changes of the cluster that takes the records", |p| p.snapshot.switches),
    ("seawall_producer_full", "Records refused for want of room", |p| p.snapshot.full),
    ("seawall_producer_timed_out", "Records that got no receipt in time", |p| p.snapshot.timed_out),
    ("seawall_producer_refused", "Records that a cluster refused for good after their receipt", |p| {
        p.snapshot.refused_records
    }),
    ("seawall_producer_unkept", "Records with a `buffered` receipt that were not delivered", |p| p.unkept),
];

pub(super) fn encode(producers: &[Shown], out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    if producers.is_empty() {
        return Ok(());
    }
    for (name, help, of) in LEVELS {
        let mut metric = gauge(out, name, help)?;
        for producer in producers {
            level(&mut metric, [("producer", &*producer.name), ("sink", &*producer.sink)], of(producer))?;
        }
    }
    for (name, help, of) in COUNTS {
        let mut metric = counter(out, name, help)?;
        for producer in producers {
            count_of(&mut metric, [("producer", &*producer.name), ("sink", &*producer.sink)], of(producer))?;
        }
    }
    let mut state = gauge(out, "seawall_producer_state", "1 for the way that records go now")?;
    for producer in producers {
        for one in State::ALL {
            let labels = [("producer", &*producer.name), ("state", one.as_str())];
            level(&mut state, labels, u64::from(producer.snapshot.state == one))?;
        }
    }
    let mut left = gauge(
        out,
        "seawall_spill_replay_left_seconds",
        "Until the backlog is delivered, at the present pace",
    )?;
    for producer in producers {
        if let Some(replay_left) = producer.snapshot.replay_left {
            let labels = [("producer", &*producer.name), ("sink", &*producer.sink)];
            level(&mut left, labels, replay_left.as_secs_f64())?;
        }
    }
    sinks(producers, out)
}

/// What is told of each cluster of a producer.
fn sinks(producers: &[Shown], out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut records = counter(out, "seawall_producer_records", "Records by the way they took")?;
    for producer in producers {
        for sink in &producer.snapshot.sinks {
            for (path, count) in Path::ALL.into_iter().zip(sink.records) {
                let labels = [("producer", &*producer.name), ("sink", &*sink.name), ("path", path.as_str())];
                count_of(&mut records, labels, count)?;
            }
        }
    }
    let mut active = gauge(out, "seawall_producer_sink_active", "1 for the cluster that takes the records")?;
    for producer in producers {
        for (at, sink) in producer.snapshot.sinks.iter().enumerate() {
            let labels = [("producer", &*producer.name), ("sink", &*sink.name)];
            level(&mut active, labels, u64::from(at == producer.snapshot.active))?;
        }
    }
    let mut open =
        gauge(out, "seawall_producer_breaker_open", "1 while the cluster's breaker is not closed")?;
    for producer in producers {
        for sink in &producer.snapshot.sinks {
            let labels = [("producer", &*producer.name), ("sink", &*sink.name)];
            level(&mut open, labels, u64::from(sink.breaker != BreakerState::Closed))?;
        }
    }
    Ok(())
}
