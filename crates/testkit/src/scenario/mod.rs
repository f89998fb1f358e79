//! Whole runs from one seed.
//!
//! Each has a phase of mishaps and then a calm one: what the first has done to the state, the second must be able
//! to finish from. Safety is judged throughout, liveness at the end.

mod cluster;
mod fabric;
mod plan;
mod produce;
mod spine;

pub use cluster::{cluster, cluster_with, members_with};
pub use spine::{spine, spine_with};

use crate::chance::Coverage;
use crate::truth::Truth;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The rule that was broken, if one was.
    pub violation: Option<String>,
    /// Differs when anything that happened differs.
    pub hash: u64,
    /// How many events there were.
    pub events: usize,
    /// What was met.
    pub coverage: Coverage,
    /// The last events, where a rule was broken or they were asked for.
    pub log: String,
}

/// Events printed for a violation; all of them on a replay.
const TAIL: usize = 60;

impl Outcome {
    fn of(seed: u64, truth: &Truth, whole: bool) -> Self {
        let facts = truth.facts();
        let violation = facts.violation().map(str::to_owned);
        let most = if whole { usize::MAX } else { TAIL };
        let log = if whole || violation.is_some() { facts.trace().tail(most) } else { String::new() };
        Self {
            seed,
            violation,
            hash: facts.trace().hash(),
            events: facts.trace().len(),
            coverage: facts.coverage.clone(),
            log,
        }
    }
}
