//! The seams around the shipped code: each hands on to the real thing, tells the truth, counts its steps at the
//! power switch, and lets mishaps strike.

mod sink;
mod source;
mod store;

pub use sink::WatchedSink;
pub use source::WatchedSource;
pub use store::WatchedStore;

use crate::power::Power;
use crate::trace::Process;
use crate::truth::Truth;

/// What every watched seam of one process holds.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The run's truth.
    pub truth: Truth,
    /// The process's power.
    pub power: Power,
    /// The process.
    pub process: Process,
}

/// What was injected.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("injected: {0}")]
pub(crate) struct Injected(pub(crate) &'static str);
