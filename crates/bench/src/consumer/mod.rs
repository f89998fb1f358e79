//! The consumer runtime over the embedded log: how fast it is when the handler costs nothing, and how near it
//! comes to the limit when the handler is all that costs.

mod noop;
mod paced;
pub(crate) mod shelf;

use crate::compare::{BenchError, Contest, Effort};

/// The consumer's contests.
///
/// # Errors
/// When a log cannot be made.
pub(crate) fn contests(effort: &Effort) -> Result<Vec<Contest>, BenchError> {
    let mut contests = noop::contests(effort)?;
    contests.push(paced::contest(effort)?);
    Ok(contests)
}
