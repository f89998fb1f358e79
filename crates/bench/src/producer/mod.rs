//! The recoverable producer: what it adds to the client that it stands before, what its disk takes, and how fast that
//! comes back, beside what others would use as a spill.

mod direct;
mod spill;
mod switch;

use crate::compare::{BenchError, Contest, Effort};
use crate::kafka::ground::Ground;
use std::rc::Rc;

/// The contests of the disk.
///
/// # Errors
/// When a log or a spill cannot be opened.
pub(crate) fn on_disk(effort: &Effort) -> Result<Vec<Contest>, BenchError> {
    spill::contests(effort)
}

/// The contests before a real broker, where one can be run. It is started for them, and not before: its first minute
/// takes a core.
///
/// # Errors
/// When the broker or a spill cannot be opened.
pub(crate) fn before_a_broker(effort: &Effort) -> Result<Vec<Contest>, BenchError> {
    let Some(ground) = Ground::start()? else { return Ok(Vec::new()) };
    direct::contests(effort, &Rc::new(ground))
}
