//! The recoverable producer: what it adds to the client that it stands before, what its disk takes, and how fast that
//! comes back, beside what others would use as a spill.

mod direct;
mod spill;
mod switch;

use crate::compare::{BenchError, Contest, Effort};
use crate::kafka::ground::Ground;
use std::rc::Rc;

/// The producer's contests: those of the disk everywhere, those of the direct path where a broker can be run.
///
/// # Errors
/// When a log, a spill or the broker cannot be opened.
pub(crate) fn contests(effort: &Effort) -> Result<Vec<Contest>, BenchError> {
    let mut contests = spill::contests(effort)?;
    if let Some(ground) = Ground::start()? {
        contests.extend(direct::contests(effort, &Rc::new(ground))?);
    }
    Ok(contests)
}
