//! How far each group is behind, partition by partition, without joining any.
//!
//! **Lag** is the log's end minus the committed offset, as Kafka's own tool counts it, and never below zero. A
//! partition of a group that has no commit there counts from the log's beginning. A group that stopped
//! committing keeps its commit, so its lag grows with the log. **Lag in seconds** is the age of the first
//! uncommitted record by the timestamp written in it, read with a bounded fetch and remembered while the
//! commit stays; it is absent where the record could not be read in time. **Stuck** is a verdict over time
//! ([`StuckRule`]), so the first sample never gives it.

mod filter;
mod head;
mod monitor;
mod render;
mod snapshot;
mod track;

pub use filter::Filter;
pub use monitor::{LagMonitor, LagOptions};
pub use render::{CONTENT_TYPE, Scrape, render};
pub use snapshot::{LagSnapshot, PartitionLag, Unread};
pub use track::{Seen, StuckRule, Track, lag};
