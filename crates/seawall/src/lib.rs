//! The reliability runtime for programs that produce and consume messages: the paved path for a Rust program.
//!
//! A [`Log`] is the durable, embedded broker of this process; a [`Pipeline`] takes its records to a handler, in
//! per-key order, with claims, retry, dead letters and a guard. What is here is what most programs need; the
//! crates below (`seawall-consumer`, `seawall-guard`, …) have every seam.
//!
//! The README's example is this crate's first test.

mod error;
mod log;
mod pipeline;

pub use error::Error;
pub use log::Log;
pub use pipeline::Pipeline;

pub use seawall_consumer::{ConsumerOptions, DrainReport, Ordering, Running, Snapshot, Stop};
pub use seawall_core::{
    Class, Classify, Context, Delivery, Durability, Fault, Fence, Handler, HandlerFn, Header, Headers,
    Outcome, Receipt, Record, Token,
};
pub use seawall_guard::{Guard, GuardOptions};

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
