//! The disk behind the producer: a directory with a manifest, a lock, and two logs.
//!
//! | name | what |
//! | --- | --- |
//! | `manifest.json` | format, version and owner; written before anything else |
//! | `lock` | one process at a time |
//! | `log/` | the records that were spilled, in order, and how far they were delivered ([`frame`]) |
//! | `refused/` | records that a sink refused for good after they had a receipt: kept for a person |
//!
//! # Versions
//!
//! | version | what it has | written by |
//! | --- | --- | --- |
//! | 1 | records one by one | a spill that was never compressed |
//! | 2 | blocks of compressed records, too | from the first start with [`Compression::Lz4`](crate::Compression) on |
//!
//! This build reads both, and in both records stand one by one and in blocks beside each other: compression may be turned on
//! and off at any start. A build that knows version 1 alone refuses version 2 by name.

pub mod block;
pub mod frame;
pub mod look;
pub mod manifest;

pub(crate) mod keys;
pub(crate) mod progress;
pub(crate) mod room;
pub(crate) mod scan;
mod store;
pub(crate) mod unpack;
mod write;

pub(crate) use store::{Spill, encode};
