//! The disk behind the producer: a directory with a manifest, a lock, and two logs.
//!
//! | name | what |
//! | --- | --- |
//! | `manifest.json` | format, version and owner; written before anything else |
//! | `lock` | one process at a time |
//! | `log/` | the records that were spilled, in order, and how far they were delivered ([`frame`]) |
//! | `refused/` | records that a sink refused for good after they had a receipt: kept for a person |
//!
//! What lies in `refused/` counts against [`disk_bytes_max`](crate::SpillOptions::disk_bytes_max). It grows while
//! there is room, of which records always leave a sixteenth of the whole. At its end a refused record stays in `log/`, and is
//! asked for again with the usual backoff; its key waits on disk behind it, and
//! [`Snapshot::spill_trouble`](crate::Snapshot::spill_trouble) says so. It goes on by itself when the sink takes the record or
//! there is room. The room of those kept comes back with `seawall wal replay --which refused`, once a sink takes them, or, after
//! `seawall wal export --which refused`, with `seawall wal purge`; both while nobody has the spill open.
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
pub mod by_hand;
pub mod frame;
pub mod look;
pub mod manifest;

mod aside;
mod batch;
pub(crate) mod keys;
pub(crate) mod progress;
pub(crate) mod room;
pub(crate) mod scan;
mod store;
pub(crate) mod unpack;
mod write;

pub(crate) use batch::{Batch, Records};
pub(crate) use store::Spill;
