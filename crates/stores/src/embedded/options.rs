//! How an embedded store is opened.

use super::error::OpenError;
use std::path::PathBuf;
use std::time::Duration;

/// Who brings frames to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// A thread that syncs for many writers at once, and another one that compacts: for production.
    #[default]
    Thread,
    /// The caller itself, inside of the call: every step follows from the calls made, as a simulation needs it.
    /// `complete` then blocks on the disk, and each syncs for itself.
    Inline,
}

/// Bounds and choices of an [`EmbeddedStore`](super::EmbeddedStore).
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The store's own directory; made where it is missing.
    pub dir: PathBuf,
    /// How long a completion is remembered, in time during which the store was open. Should exceed the time
    /// over which a record can come again (default 24 h).
    pub retention: Duration,
    /// Completions remembered at most; beyond, the oldest is forgotten before its time, and counted in
    /// [`StoreStats::forgotten_early_total`](super::StoreStats) (default 5,000,000).
    pub done_max: u32,
    /// Bytes of results remembered at most; beyond, as `done_max` (default 256 MiB).
    pub result_bytes_total_max: u64,
    /// The largest result in bytes (default 64 KiB).
    pub result_bytes_max: usize,
    /// Live claims and given-up claims remembered at most. Beyond, given-up ones are forgotten (it costs their
    /// attempt count); then claims are refused as `Full` (default 1,000,000).
    pub claims_max: u32,
    /// The log is compacted when what was written since the last time exceeds this, and twice what a
    /// snapshot takes (default 64 MiB).
    pub compact_bytes_min: u64,
    /// Size of a segment of the log in bytes (default 16 MiB).
    pub segment_bytes: u64,
    /// Who brings frames to the disk.
    pub driver: Driver,
    /// Fences given out before another epoch is made durable (default all that 32 bits hold; a simulation
    /// lowers it to see epochs change).
    pub epoch_fences: u32,
}

impl EmbeddedOptions {
    /// The defaults for a store in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            retention: Duration::from_hours(24),
            done_max: 5_000_000,
            result_bytes_total_max: 256 << 20,
            result_bytes_max: 64 << 10,
            claims_max: 1_000_000,
            compact_bytes_min: 64 << 20,
            segment_bytes: 16 << 20,
            driver: Driver::Thread,
            epoch_fences: u32::MAX,
        }
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let least = [
            ("done_max", u64::from(self.done_max)),
            ("claims_max", u64::from(self.claims_max)),
            ("compact_bytes_min", self.compact_bytes_min),
            ("epoch_fences", u64::from(self.epoch_fences)),
        ];
        for (option, value) in least {
            if value == 0 {
                return Err(OpenError::Options { option, value, want: "at least 1" });
            }
        }
        if self.done_max > 1 << 31 {
            let value = u64::from(self.done_max);
            return Err(OpenError::Options { option: "done_max", value, want: "at most 2,147,483,648" });
        }
        if self.result_bytes_max > 8 << 20 {
            let value = self.result_bytes_max as u64;
            return Err(OpenError::Options { option: "result_bytes_max", value, want: "at most 8 MiB" });
        }
        Ok(())
    }
}
