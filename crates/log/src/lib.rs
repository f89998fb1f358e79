//! The embedded broker: partitioned topics, consumer groups and their positions, in one data directory.
//!
//! A [`Broker`] owns a directory. Each partition is a log of frames ([`seawall_wal`]) with one [record](codec)
//! to a frame, so a record's offset is its frame's number: dense, from 0. What groups have finished is a log of
//! facts beside them, and which topics there are is one small file.
//!
//! ```text
//! DIR/lock               who owns the directory
//! DIR/catalog            which topics there are (topic::catalog)
//! DIR/state/             positions, generations, purges (group::state)
//! DIR/t-HASH/00000000/   partition 0 of the topic whose name hashes so
//! ```
//!
//! **The way in.** [`Sink::send`](seawall_core::Sink::send) encodes, chooses partitions ([`partition::hash`]),
//! takes room in the append queue (bounded in records and bytes; policy: wait, then
//! [`LogError::Overload`]) and waits for its receipt. One commit thread writes what all callers queued, syncs
//! each dirty partition once, and answers. A receipt says [`Synced`](seawall_core::Durability::Synced), and no
//! other is ever given.
//!
//! **The way out.** [`LogSource`] is a member of a group: it is told its partitions, reads them in turn without
//! copying, and commits positions through the same commit thread. Readers never wait for the writer. Nothing is
//! cached: unread records cost disk, not memory.
//!
//! **What may be lost.** Nothing that has a receipt, and no position whose commit returned, by a crash or a
//! power cut. Retention and purge delete by rule, and say so ([`Counters::unread_retained_away`]).
//!
//! ```
//! use seawall_core::{Outgoing, Record, Sink, SystemClock};
//! use seawall_log::{Broker, BrokerOptions, Driver, TopicOptions};
//! use seawall_wal::RealDisk;
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
//! let options = BrokerOptions::new(dir.path());
//! let (broker, report) = Broker::open(RealDisk, options, Arc::new(SystemClock::new()), Driver::Thread)?;
//! assert!(report.losses().next().is_none());
//! broker.create_topic("orders", TopicOptions::partitions(4))?;
//! let order = Outgoing {
//!     topic: "orders".into(),
//!     partition: None,
//!     record: Record::new(bytes::Bytes::from_static(b"customer-7"), "one anchor"),
//! };
//! let receipts = runtime.block_on(broker.send(vec![order]));
//! assert_eq!(receipts[0].as_ref().map(|receipt| receipt.offset).ok(), Some(0));
//! broker.close()?;
//! # Ok(())
//! # }
//! ```

pub mod group;
pub mod partition;
pub mod topic;

mod append;
mod broker;
mod error;
mod health;
mod lock;
mod mutex;
mod options;
mod signal;
mod sink;
mod source;

pub use broker::{Broker, Counters, OpenReport, PartitionRecovery, Retained};
pub use error::LogError;
pub use group::PartitionLag;
pub use health::Health;
pub use lock::LOCK_FILE;
pub use options::{BrokerOptions, Driver};
pub use seawall_core::codec;
pub use source::{LogSource, SourceOptions, StartAt};
pub use topic::{PartitionDescription, TopicDescription, TopicOptions};
