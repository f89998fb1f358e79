//! Handler time: how often which duration, in atomic buckets.
//!
//! The buckets are log-linear, as in HdrHistogram: each power of two of nanoseconds is cut into 8 equal
//! parts, so that a percentile errs by at most 12.5 % over the whole range from 1 ns to 18 minutes, with
//! 304 counters and no lock. Recent percentiles come from a second set of counters that two windows share in
//! turn: the one being filled and the last full one, which are read together, so what is shown covers between
//! one and two windows of 30 s.

use seawall_core::Nanos;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Parts in which each power of two is cut, as a power of two.
const SUB_BITS: u32 = 3;
const SUB: usize = 1 << SUB_BITS;
/// The highest power of two told apart: 2^40 ns is 18 minutes. What takes longer counts there.
const TOP_BIT: u32 = 40;
const BUCKETS: usize = (TOP_BIT - SUB_BITS + 1) as usize * SUB;
/// How long one window is filled.
const WINDOW: Duration = Duration::from_secs(30);

/// The bounds reported to Prometheus, in microseconds: fixed, so that dashboards can rely on them.
const BOUNDS_MICROS: [u64; 18] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000, 30_000_000,
];

/// Durations that were at most so long, counted since the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The upper bound in seconds; infinite for the last bucket.
    pub le_seconds: f64,
    /// How many were at most that long.
    pub count: u64,
}

/// Percentiles of recent handler times. Zero where nothing was handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// How many durations these come from.
    pub count: u64,
    /// Half took at most so long.
    pub p50: Duration,
    /// 90 of 100 took at most so long.
    pub p90: Duration,
    /// 99 of 100 took at most so long.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.min((1 << (TOP_BIT + 1)) - 1);
    if nanos < SUB as u64 {
        return nanos as usize;
    }
    let top = nanos.ilog2();
    let sub = (nanos >> (top - SUB_BITS)) as usize & (SUB - 1);
    ((top - SUB_BITS + 1) as usize * SUB + sub).min(BUCKETS - 1)
}

/// The largest duration that falls into `bucket`.
fn upper(bucket: usize) -> u64 {
    if bucket < SUB {
        return bucket as u64;
    }
    let shift = (bucket / SUB - 1) as u32;
    let sub = (bucket % SUB + SUB) as u64;
    ((sub + 1) << shift) - 1
}

struct Counts {
    buckets: Box<[AtomicU64]>,
    max: AtomicU64,
}

impl Counts {
    fn new() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), max: AtomicU64::new(0) }
    }

    fn add(&self, bucket: usize, count: u64, nanos_max: u64) {
        self.buckets[bucket].fetch_add(count, Relaxed);
        self.max.fetch_max(nanos_max, Relaxed);
    }

    fn clear(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Relaxed);
        }
        self.max.store(0, Relaxed);
    }
}

/// Durations gathered by one worker, to be added in one go: a worker that finishes a hundred records in a
/// turn touches the shared counters once for each bucket it hit, not once for each record.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: [u32; BUCKETS],
    touched: Vec<u16>,
    sum: u64,
    max: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { counts: [0; BUCKETS], touched: Vec::with_capacity(32), sum: 0, max: 0 }
    }

    pub(crate) fn add(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket_of(nanos);
        if self.counts[bucket] == 0 {
            self.touched.push(bucket as u16);
        }
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(nanos);
        self.max = self.max.max(nanos);
    }
}

/// The shared histogram.
pub struct Latency {
    total: Counts,
    windows: [Counts; 2],
    /// Index of the window being filled, as the number of windows since the start.
    turn: AtomicU64,
    sum_nanos: AtomicU64,
}

impl std::fmt::Debug for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Latency").field("sum_nanos", &self.sum_nanos).finish_non_exhaustive()
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// An empty histogram.
    pub fn new() -> Self {
        Self {
            total: Counts::new(),
            windows: [Counts::new(), Counts::new()],
            turn: AtomicU64::new(0),
            sum_nanos: AtomicU64::new(0),
        }
    }

    /// Moves on to the window that `now` lies in. Two workers may do so at the same time; what one adds
    /// between may then be cleared by the other, which costs a few samples of a display, never of the totals.
    fn turn_to(&self, now: Nanos) -> u64 {
        let turn = now.0 / WINDOW.as_nanos() as u64;
        let before = self.turn.load(Relaxed);
        if turn > before && self.turn.compare_exchange(before, turn, Relaxed, Relaxed).is_ok() {
            self.windows[(turn % 2) as usize].clear();
            if turn > before + 1 {
                self.windows[((turn + 1) % 2) as usize].clear();
            }
        }
        turn.max(before)
    }

    pub(crate) fn drain(&self, tally: &mut Tally, now: Nanos) {
        if tally.touched.is_empty() {
            return;
        }
        let window = &self.windows[(self.turn_to(now) % 2) as usize];
        for bucket in tally.touched.drain(..) {
            let bucket = usize::from(bucket);
            let count = u64::from(std::mem::take(&mut tally.counts[bucket]));
            self.total.add(bucket, count, tally.max);
            window.add(bucket, count, tally.max);
        }
        self.sum_nanos.fetch_add(std::mem::take(&mut tally.sum), Relaxed);
        tally.max = 0;
    }

    /// Percentiles of the last one to two windows before `now`.
    pub fn recent(&self, now: Nanos) -> Percentiles {
        self.turn_to(now);
        let counts: Vec<u64> =
            (0..BUCKETS).map(|at| self.windows.iter().map(|w| w.buckets[at].load(Relaxed)).sum()).collect();
        let max = self.windows.iter().map(|w| w.max.load(Relaxed)).max().unwrap_or(0);
        let count: u64 = counts.iter().sum();
        let at = |share: f64| {
            let rank = ((count as f64 * share).ceil() as u64).max(1);
            let mut seen = 0;
            let bucket = counts.iter().position(|n| {
                seen += n;
                seen >= rank
            });
            Duration::from_nanos(bucket.map_or(0, |b| upper(b).min(max)))
        };
        Percentiles { count, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: Duration::from_nanos(max) }
    }

    /// Cumulative buckets since the start, the last one infinite.
    pub fn cumulative(&self) -> Vec<Bucket> {
        let counts: Vec<u64> = self.total.buckets.iter().map(|n| n.load(Relaxed)).collect();
        let mut out = Vec::with_capacity(BOUNDS_MICROS.len() + 1);
        let (mut seen, mut at) = (0, 0);
        for micros in BOUNDS_MICROS {
            while at < BUCKETS && upper(at) <= micros * 1_000 {
                seen += counts[at];
                at += 1;
            }
            out.push(Bucket { le_seconds: micros as f64 / 1e6, count: seen });
        }
        out.push(Bucket { le_seconds: f64::INFINITY, count: counts.iter().sum() });
        out
    }

    /// Sum of all durations since the start, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_nanos.load(Relaxed) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_lies_in_its_bucket_and_the_buckets_touch() {
        for bucket in 1..BUCKETS {
            assert_eq!(bucket_of(upper(bucket)), bucket);
            assert_eq!(bucket_of(upper(bucket - 1) + 1), bucket);
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_err_by_an_eighth_at_most() {
        let (latency, mut tally) = (Latency::new(), Tally::new());
        for micros in 1..=1_000 {
            tally.add(Duration::from_micros(micros));
        }
        latency.drain(&mut tally, Nanos(0));
        let seen = latency.recent(Nanos(0));
        for (is, should) in [(seen.p50, 500), (seen.p90, 900), (seen.p99, 990), (seen.max, 1_000)] {
            let (is, should) = (is.as_micros() as f64, f64::from(should));
            assert!(is >= should * 0.99 && is <= should * 1.125, "{is} for {should}");
        }
        assert_eq!(seen.count, 1_000);
        let buckets = latency.cumulative();
        assert_eq!(buckets.last().map(|b| b.count), Some(1_000));
        assert!(buckets.windows(2).all(|pair| pair[0].count <= pair[1].count));
    }

    #[test]
    fn old_windows_are_forgotten_and_the_total_is_not() {
        let (latency, mut tally) = (Latency::new(), Tally::new());
        tally.add(Duration::from_millis(7));
        latency.drain(&mut tally, Nanos(0));
        assert_eq!(latency.recent(Nanos(0).plus(WINDOW)).count, 1, "the last window still shows");
        assert_eq!(latency.recent(Nanos(0).plus(WINDOW * 2)).count, 0);
        assert_eq!(latency.cumulative().last().map(|b| b.count), Some(1));
    }
}
