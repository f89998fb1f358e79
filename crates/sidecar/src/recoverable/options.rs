//! From the configuration to the producer's own options.

use crate::{config, pipeline};
use seawall_guard::Backoff;
use seawall_producer::{ProducerOptions, ReplayOptions, SpillOptions};
use std::path::PathBuf;
use std::time::Duration;

/// Above every record that Seawall takes, with the headers that a dead letter gets.
pub const RECORD_BYTES_MAX: u64 = 20 << 20;
/// Over the time that a cluster's client has for itself, so that it is the one to end a call.
const CALL_SLACK: Duration = Duration::from_secs(30);
/// The breaker's window, in times a call of a cluster that is gone takes: one lane alone must fill it with enough.
const WINDOW_CALLS: u32 = 5;

/// The largest record that `config` means.
pub(crate) fn record_max(config: &config::Producer) -> u64 {
    let derived = RECORD_BYTES_MAX.min(config.memory.0 / 4).min(config.disk.0 / 32);
    config.record_max.map_or(derived, |size| size.0)
}

/// What `config` says, with a spill in `dir` that belongs to `owner`.
pub(crate) fn options(config: &config::Producer, dir: PathBuf, owner: &str) -> ProducerOptions {
    let record_bytes_max = config::Size(record_max(config)).as_usize();
    let defaults = ProducerOptions::default();
    let delivery = config.delivery_timeout.0;
    let derived =
        delivery.saturating_mul(WINDOW_CALLS).clamp(defaults.breaker.window, Duration::from_hours(1));
    let spill = SpillOptions {
        disk_bytes_max: config.disk.0,
        compression: config.disk_compression.into(),
        ..SpillOptions::new(dir, owner)
    };
    ProducerOptions {
        memory_bytes_max: config.memory.as_usize(),
        memory_records_max: config.memory_records,
        record_bytes_max,
        max_block: config.max_block.0,
        timeout: config.timeout.0,
        linger: config.linger.0,
        batch_bytes: defaults.batch_bytes.min(config.memory.as_usize() / 4).max(record_bytes_max),
        patience: config.patience.0,
        call_timeout: delivery.saturating_add(CALL_SLACK),
        breaker: pipeline::options::breaker(config.breaker.over(config::Period(derived))),
        backoff: Backoff { base: config.backoff.base.0, max: config.backoff.max.0, ..defaults.backoff },
        failback_after: config.failback_after.0,
        replay: ReplayOptions {
            window_bytes: defaults.replay.window_bytes.max(record_bytes_max),
            share: config.replay.share,
            bytes_per_second: config.replay.rate.map(|size| size.0),
            ..defaults.replay
        },
        spill: Some(spill),
        ..defaults
    }
}
