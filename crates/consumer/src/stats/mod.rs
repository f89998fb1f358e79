//! What a consumer shows of itself. Observation only: nothing here decides anything.

pub mod latency;
mod ledger;
mod snapshot;

pub use latency::{Bucket, Latency, Percentiles};
pub use ledger::Ledger;
pub use snapshot::{Lanes, PartitionSnapshot, Snapshot, State, Totals, Usage};
