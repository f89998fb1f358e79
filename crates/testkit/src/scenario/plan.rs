//! What a seed chooses.

use crate::truth::{Planned, Terms, value_of};
use bytes::Bytes;
use fastrand::Rng;
use seawall_consumer::{ConsumerOptions, Ordering};
use seawall_core::token::TOKEN_HEADER;
use seawall_core::{Header, Record, WallMs};
use seawall_guard::{BreakerOptions, ConcurrencyOptions, GuardOptions, RateOptions};
use std::time::Duration;

/// The dead letters' topic.
pub(super) const LETTERS: &str = "orders.dlq";
pub(super) const PIPELINE: &str = "orders";

/// Everything but the mishaps.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) partitions: u32,
    pub(super) claims: bool,
    pub(super) options: ConsumerOptions,
    pub(super) guard: GuardOptions,
    pub(super) planned: Vec<Planned>,
    pub(super) producers: u32,
}

fn ms(rng: &mut Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.u64(from..=to))
}

impl Plan {
    pub(super) fn draw(rng: &mut Rng, claims_always: bool) -> Self {
        let claims = claims_always || rng.u32(0..4) > 0;
        let letters = rng.u32(0..8) > 0;
        let planned = records(rng, letters);
        Self {
            partitions: rng.u32(1..=3),
            claims,
            options: options(rng, letters),
            guard: guard(rng),
            producers: rng.u32(1..=3),
            planned,
        }
    }

    pub(super) fn terms(&self) -> Terms {
        Terms {
            ordering: self.options.ordering,
            claims: self.claims,
            lease: self.options.lease,
            timeout: self.options.timeout.unwrap_or_default(),
            pipeline: PIPELINE.to_owned(),
            handlers_max: self.guard.concurrency.limit.into(),
        }
    }
}

fn records(rng: &mut Rng, letters: bool) -> Vec<Planned> {
    let keys = rng.u32(1..=6);
    let keyless = if rng.bool() { 0 } else { rng.u32(1..4) };
    let rejects = if letters && rng.bool() { rng.u32(1..10) } else { 0 };
    let long = rng.usize(4..400);
    (0..rng.u32(15..=70))
        .map(|id| {
            let key = (rng.u32(0..10) >= keyless).then(|| rng.u32(0..keys));
            let bytes = key.map(|key| Bytes::from(format!("key-{key}")));
            let mut record = Record::new(bytes, value_of(id, rng.usize(0..long)));
            record.timestamp = WallMs(1_600_000_000_000 + i64::from(id));
            if rng.u32(0..8) > 0 {
                record.headers.push(Header::new(TOKEN_HEADER, format!("order-{id}")));
            }
            Planned { record, key, rejected: rng.u32(0..100) < rejects }
        })
        .collect()
}

fn options(rng: &mut Rng, letters: bool) -> ConsumerOptions {
    let mut options = ConsumerOptions::new(PIPELINE);
    options.dead_letter = letters.then(|| LETTERS.into());
    options.ordering = match rng.u32(0..8) {
        0 => Ordering::Partition,
        1 => Ordering::Unordered,
        _ => Ordering::Key,
    };
    options.workers = rng.usize(1..=3);
    options.fetch.records = rng.usize(1..=32);
    options.fetch.wait = ms(rng, 5, 20);
    options.queue.records = rng.usize(2..=48);
    options.retry.attempts_max = rng.u32(2..=6);
    options.retry.total_max = Some(ms(rng, 500, 5_000));
    options.retry.base = ms(rng, 2, 15);
    options.retry.max = ms(rng, 20, 100);
    options.retry.parked_records = rng.usize(0..=12);
    options.retry.parked_keys = rng.usize(1..=6);
    options.commit.interval = ms(rng, 3, 40);
    options.commit.beyond_bytes_max = if rng.u32(0..4) == 0 { 32 } else { 4_096 };
    options.timeout = Some(ms(rng, 40, 150));
    options.lease = ms(rng, 60, 400);
    options.revoke_bound = ms(rng, 0, 120);
    options
}

fn guard(rng: &mut Rng) -> GuardOptions {
    let concurrency = ConcurrencyOptions { limit: rng.u32(1..=8), ..ConcurrencyOptions::default() };
    let rate = (rng.u32(0..4) == 0)
        .then(|| RateOptions { per_second: f64::from(rng.u32(80..600)), burst: rng.u32(1..20) });
    let breaker = (rng.u32(0..4) == 0).then(|| BreakerOptions {
        calls_min: 4,
        window: Duration::from_millis(200),
        open_for: ms(rng, 10, 80),
        probes: 1,
        ..BreakerOptions::default()
    });
    GuardOptions { concurrency, rate, breaker, ..GuardOptions::default() }
}
