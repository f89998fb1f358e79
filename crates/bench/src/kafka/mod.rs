//! Kafka: the source under the consumer runtime, the sink, and how long a failover takes, on one real broker.
//!
//! Every figure is taken from the first record on, so that joining a group costs nobody anything.

pub(crate) mod bare;
mod failover;
pub(crate) mod ground;
pub(crate) mod member;
mod noop;
mod paced;
mod pair;
pub(crate) mod process;
pub(crate) mod sink;

use crate::compare::{BenchError, Contest, Effort};
use ground::Ground;
use std::rc::Rc;

/// The Kafka contests; none where this machine cannot run a broker.
///
/// # Errors
/// When the broker cannot be started or filled.
pub(crate) fn contests(effort: &Effort) -> Result<Vec<Contest>, BenchError> {
    let Some(ground) = Ground::start()? else { return Ok(Vec::new()) };
    let ground = Rc::new(ground);
    let mut contests = noop::contests(effort, &ground);
    contests.extend(paced::contests(effort, &ground)?);
    contests.extend(failover::contests(&ground)?);
    contests.extend(sink::contests(effort, &ground)?);
    Ok(contests)
}
