//! How a producer is set up. Every bound is checked, each against the others, before anything is opened.

use crate::error::OpenError;
use crate::spill::manifest;
use seawall_guard::{Backoff, BreakerOptions};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Who writes to the spill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// A thread of its own.
    #[default]
    Thread,
    /// The producer's own task: no thread exists, for simulation.
    Inline,
}

/// How records are compressed on disk: up to 64 KiB of those written together, as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As LZ4 blocks: some 0.5 GB/s on one core of today; what does not become smaller stays as it is.
    Lz4,
}

impl Compression {
    /// The format of a spill that it is written to.
    pub(crate) fn version(self) -> u32 {
        match self {
            Self::None => manifest::PLAIN,
            Self::Lz4 => manifest::VERSION,
        }
    }
}

/// How a producer is set up.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// Bytes of records that may be in memory, waiting or on their way, with 256 for each of them and 64 for each of its
    /// headers; 64 KiB to 4 GiB (default 64 MiB).
    pub memory_bytes_max: usize,
    /// Records that may be in memory, and callers that may wait for one on disk; 1 to 2²⁴ (default 65,536).
    pub memory_records_max: usize,
    /// The largest record, in bytes of key, value, headers and topic; at most a quarter of
    /// `memory_bytes_max` and, with a spill, of its budget (default 1,000,000).
    pub record_bytes_max: usize,
    /// Records have to keep the bounds of [`Record::check`](seawall_core::Record::check) (default true). False: they were taken
    /// elsewhere before, like dead letters, and `record_bytes_max` is their only bound.
    pub record_bounds: bool,
    /// How long a send waits for room before it is refused (default 5 s).
    pub max_block: Duration,
    /// How long a caller waits for a receipt, from the moment its record was taken (default 30 s).
    pub timeout: Duration,
    /// How long a batch waits to become larger; shorter than `timeout`. 0: whatever gathers while the batch
    /// before is on its way goes together (default 0).
    pub linger: Duration,
    /// The most bytes in one call of a sink, at least `record_bytes_max` (default 4,000,000). Calls begin with at most
    /// 1,000,000 and grow beyond while they come back within a fifth of `patience`.
    pub batch_bytes: usize,
    /// The most records in one call of a sink (default 10,000).
    pub batch_records: usize,
    /// Calls that may be on their way at once, 1 to 64: each serves the keys of one lane (default 16).
    pub lanes: usize,
    /// After so long without an answer a call's records are put on disk too, and later ones of its lane do
    /// not wait for it (default 500 ms).
    pub patience: Duration,
    /// A call without an answer for so long is given up, its outcome unknown. A sink should end its calls
    /// itself, earlier (default 2 min).
    pub call_timeout: Duration,
    /// The share of the memory's budget from which on records are spilled though the breaker is closed, above 0
    /// and at most 1 (default 0.5).
    pub pressure: f64,
    /// The waits between attempts (default 100 ms, doubled up to 5 s, jittered).
    pub backoff: Backoff,
    /// When a sink counts as gone: calls, not records, are counted (default: half of at least 3 calls within
    /// 10 s; probed after 1 s; 2 good probes).
    pub breaker: BreakerOptions,
    /// How long a more preferred sink is left alone after it failed, before one call probes it (default 30 s).
    pub failback_after: Duration,
    /// The way back from the disk.
    pub replay: ReplayOptions,
    /// The disk; `None`: memory alone.
    pub spill: Option<SpillOptions>,
    /// Who writes to the spill.
    pub driver: Driver,
}

/// The way back from the disk.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// Bytes of memory for records read ahead of their acknowledgement, with 256 for each of them beside its own,
    /// and 64 for each of its headers (default 16 MiB).
    pub window_bytes: usize,
    /// The share of calls' bytes that replay gets while live records wait, above 0 and below 1 (default 0.5).
    /// Alone it gets everything.
    pub share: f64,
    /// The most bytes replayed a second; `None`: as the sink takes them.
    pub bytes_per_second: Option<u64>,
    /// After so many bytes the progress is made durable: about as many are sent again after a crash
    /// (default 1 MiB).
    pub checkpoint_bytes: u64,
}

/// The disk behind the producer.
#[derive(Clone, Debug)]
pub struct SpillOptions {
    /// Its own directory; made where it is missing.
    pub dir: PathBuf,
    /// Who owns it: 1 to 200 characters. Another owner's spill is refused.
    pub owner: String,
    /// Bytes its files may take on disk, at least 1 MiB and eight of the largest records (default 1 GiB). Of 16 parts
    /// records get 12, less what sinks refused for good; one is for more of that, the rest for segments kept ready.
    pub disk_bytes_max: u64,
    /// The most bytes written with one sync (default 4 MiB).
    pub batch_bytes: usize,
    /// How what is written from now on is compressed; what lies there is read either way (default: not).
    pub compression: Compression,
}

impl SpillOptions {
    /// The defaults, in `dir` for `owner`.
    pub fn new(dir: impl Into<PathBuf>, owner: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            owner: owner.into(),
            disk_bytes_max: 1 << 30,
            batch_bytes: 4 << 20,
            compression: Compression::None,
        }
    }

    /// Bytes of a segment: the unit in which room comes back.
    pub(crate) fn segment_bytes(&self) -> u64 {
        (self.disk_bytes_max / 16).clamp(64 << 10, 64 << 20)
    }
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self { window_bytes: 16 << 20, share: 0.5, bytes_per_second: None, checkpoint_bytes: 1 << 20 }
    }
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            memory_bytes_max: 64 << 20,
            memory_records_max: 65_536,
            record_bytes_max: 1_000_000,
            record_bounds: true,
            max_block: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            linger: Duration::ZERO,
            batch_bytes: 4_000_000,
            batch_records: 10_000,
            lanes: 16,
            patience: Duration::from_millis(500),
            call_timeout: Duration::from_mins(2),
            pressure: 0.5,
            backoff: Backoff::default(),
            breaker: BreakerOptions {
                calls_min: 3,
                open_for: Duration::from_secs(1),
                probes: 2,
                ..BreakerOptions::default()
            },
            failback_after: Duration::from_secs(30),
            replay: ReplayOptions::default(),
            spill: None,
            driver: Driver::default(),
        }
    }
}

impl ProducerOptions {
    /// Checks every bound, and each against the others.
    ///
    /// # Errors
    /// [`OpenError::Options`] and [`OpenError::Guard`] name the option, its value and what would be right.
    pub fn check(&self) -> Result<(), OpenError> {
        within("memory_bytes_max", self.memory_bytes_max, 64 << 10..=4 << 30)?;
        within("memory_records_max", self.memory_records_max, 1..=1 << 24)?;
        within("record_bytes_max", self.record_bytes_max, 1..=self.memory_bytes_max / 4).map_err(|_| {
            let want = format!("1 to a quarter of memory_bytes_max, {}", self.memory_bytes_max / 4);
            OpenError::option("record_bytes_max", self.record_bytes_max, want)
        })?;
        within("batch_bytes", self.batch_bytes, self.record_bytes_max..=self.memory_bytes_max).map_err(
            |_| {
                let (low, high) = (self.record_bytes_max, self.memory_bytes_max);
                let want = format!("from record_bytes_max, {low}, to memory_bytes_max, {high}");
                OpenError::option("batch_bytes", self.batch_bytes, want)
            },
        )?;
        within("batch_records", self.batch_records, 1..=1 << 20)?;
        within("lanes", self.lanes, 1..=64)?;
        let hour = Duration::from_hours(1);
        within("max_block", Span(self.max_block), Span(Duration::ZERO)..=Span(hour))?;
        within("timeout", Span(self.timeout), Span(Duration::from_millis(1))..=Span(24 * hour))?;
        within("linger", Span(self.linger), Span(Duration::ZERO)..=Span(self.timeout / 2)).map_err(|_| {
            let want = format!("at most half of timeout, {:?}", self.timeout);
            OpenError::option("linger", format!("{:?}", self.linger), want)
        })?;
        within("patience", Span(self.patience), Span(Duration::from_millis(1))..=Span(hour))?;
        if self.spill.is_some() && self.patience >= self.timeout {
            let want = format!(
                "less than timeout, {:?}: a record's time would be over before it goes to the disk",
                self.timeout
            );
            return Err(OpenError::option("patience", format!("{:?}", self.patience), want));
        }
        within("call_timeout", Span(self.call_timeout), Span(self.patience)..=Span(24 * hour)).map_err(
            |_| {
                let want = format!("at least patience, {:?}, and at most 24 h", self.patience);
                OpenError::option("call_timeout", format!("{:?}", self.call_timeout), want)
            },
        )?;
        within("failback_after", Span(self.failback_after), Span(Duration::ZERO)..=Span(24 * hour))?;
        share("pressure", self.pressure, 1.0)?;
        share("replay.share", self.replay.share, 0.99)?;
        within("replay.window_bytes", self.replay.window_bytes, self.record_bytes_max..=1 << 30)?;
        within("replay.checkpoint_bytes", self.replay.checkpoint_bytes, 1..=1 << 30)?;
        if self.replay.bytes_per_second == Some(0) {
            return Err(OpenError::option("replay.bytes_per_second", 0, "at least 1"));
        }
        self.backoff.check()?;
        self.breaker.check()?;
        self.spill.as_ref().map_or(Ok(()), |spill| spill.check(self.record_bytes_max))
    }
}

impl SpillOptions {
    fn check(&self, record_bytes_max: usize) -> Result<(), OpenError> {
        let least = (1 << 20).max(8 * record_bytes_max as u64);
        if self.disk_bytes_max < least {
            let want = format!("at least 1 MiB and eight of the largest records, {least}");
            return Err(OpenError::option("spill.disk_bytes_max", self.disk_bytes_max, want));
        }
        within("spill.batch_bytes", self.batch_bytes, 1..=64 << 20)?;
        let characters = self.owner.chars().count();
        if !(1..=200).contains(&characters) || self.owner.chars().any(char::is_control) {
            let want = "1 to 200 characters, none of them a control character";
            return Err(OpenError::option("spill.owner", format!("{:?}", self.owner), want));
        }
        Ok(())
    }
}

/// A duration as people write it.
#[derive(PartialEq, PartialOrd)]
struct Span(Duration);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    option: &'static str,
    value: T,
    bounds: RangeInclusive<T>,
) -> Result<(), OpenError> {
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(OpenError::option(option, value, format!("{} to {}", bounds.start(), bounds.end())))
}

fn share(option: &'static str, value: f64, max: f64) -> Result<(), OpenError> {
    if value > 0.0 && value <= max {
        return Ok(());
    }
    Err(OpenError::option(option, value, format!("above 0, at most {max}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut ProducerOptions)) -> String {
        let spill = Some(SpillOptions::new("/spill", "orders"));
        let mut options = ProducerOptions { spill, ..ProducerOptions::default() };
        options.check().unwrap();
        change(&mut options);
        options.check().unwrap_err().to_string()
    }

    #[test]
    fn budgets_that_contradict_each_other_are_named() {
        assert!(refused(|o| o.memory_bytes_max = 1 << 20).contains("record_bytes_max is 1000000"));
        assert!(
            refused(|o| o.batch_bytes = 10).contains("batch_bytes is 10: it must be from record_bytes_max")
        );
        assert!(refused(|o| o.linger = Duration::from_mins(1)).contains("linger is 60s"));
        assert!(refused(|o| o.call_timeout = Duration::ZERO).contains("call_timeout is 0ns"));
        assert!(refused(|o| o.spill.as_mut().unwrap().disk_bytes_max = 1 << 20).contains("disk_bytes_max"));
        assert!(refused(|o| o.spill.as_mut().unwrap().owner = "a\nb".into()).contains("control character"));
        assert!(refused(|o| o.replay.share = 0.0).contains("replay.share is 0"));
        assert!(refused(|o| o.breaker.calls_min = 0).contains("calls_min"));
    }
}
