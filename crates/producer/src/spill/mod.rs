//! The disk behind the producer: a directory with a manifest, a lock, and two logs.
//!
//! | name | what |
//! | --- | --- |
//! | `manifest.json` | format, version and owner; written once, before anything else |
//! | `lock` | one process at a time |
//! | `log/` | the records that were spilled, in order, and how far they were delivered ([`frame`]) |
//! | `refused/` | records that a sink refused for good after they had a receipt: kept for a person |

pub mod frame;
pub mod look;
pub mod manifest;

pub(crate) mod keys;
pub(crate) mod progress;
pub(crate) mod scan;
mod store;
mod write;

pub(crate) use store::{Spill, encode};
