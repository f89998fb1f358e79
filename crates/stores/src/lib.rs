//! Claim stores that outlive their process.
//!
//! - [`embedded`]: on a log of this machine's disk, for the one process that owns the directory.
//!
//! What each kind of store can promise stands in [`seawall_idempotency::store`].

pub mod embedded;

pub use embedded::{Driver, EmbeddedOptions, EmbeddedStats, EmbeddedStore, OpenError};
