//! The consumer runtime: from a [`Source`](seawall_core::Source) through per-key lanes to a
//! [`Handler`](seawall_core::Handler), and back to an exact commit.
//!
//! ```text
//!  Source ──▶ fetch ──▶ dispatch ──▶ worker: lanes ▸ claim ▸ guard ▸ deadline ▸ panic ▸ Handler
//!    ▲  ▲     (one         (by key)     │   ▲                                          │
//!    │  │     thread)                   │   └── retry (parked) ◀── Retry ──────────────┤
//!    │  └── reread ◀── overflowed lanes ┘                                              │
//!    └───── commit ◀──────── track ◀──────── settle ◀── Ack │ DeadLetter, confirmed ◀──┘
//! ```
//!
//! What holds, whatever happens:
//!
//! - **One place settles** (`settle`). A record is settled after its handler succeeded and,
//!   where claims are kept, after the claim's completion is durable; or after the dead letters' sink has
//!   confirmed it. The watermark that is committed is derived from settled records alone, so it never passes
//!   an unfinished one.
//! - **The group member stays alive.** The `fetch` loop polls its source on a thread of its
//!   own and never waits for a handler, a lane or a store; what is full is paused, partition by partition.
//! - **One order per key.** A failed record is parked with its successors behind it; what memory has no room
//!   for stays in the source and is read again, in order (`retry`).
//! - **Conservation.** Per partition: fetched = acknowledged + dead-lettered + deferred + parked + in
//!   flight ([`stats::Ledger`]).
//! - **An ended assignment is void.** Completions of an older generation are counted and dropped.
//! - **What stands still has a name.** A watchdog tells which runtime, worker, handler, partition and record
//!   ([`Stall`]), and decides nothing.
//!
//! Stages hand over batches, never single records: the cost of a channel, a lock or a clock reading is paid
//! once for many.

pub mod dead_letter;
pub mod options;
pub mod stats;
pub mod track;

mod absent;
mod blocking;
mod fetch;
mod outlet;
mod partition;
pub mod retry;
mod running;
mod shared;
mod watch;
mod worker;

pub use absent::{NoSink, NoStore};
pub use blocking::BlockingHandler;
pub use options::{
    CommitOptions, ConsumerOptions, Driver, FetchOptions, Limits, OptionsError, Ordering, QueueOptions,
    RetryOptions,
};
pub use retry::RetryTopic;
pub use running::{Consumer, DrainReport, Left, NotAssigned, Running, Stop};
pub use stats::{Ledger, Percentiles, Snapshot, State, Totals};
pub use watch::{Stall, StallKind};
pub use worker::{Panicked, TimedOut};
