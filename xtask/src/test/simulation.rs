//! The `simulation` part: the testkit's seeds, optimised, because a million of them would take hours otherwise.
//!
//! The profile `soak` keeps the checks that only debug builds have. Without `--soak` the part runs by name, with the
//! seeds of an ordinary run or those of `SEAWALL_SEEDS`.

use super::tally::Tally;
use super::{Run, crates};
use crate::error::ChoreError;
use crate::workspace;

/// What this part runs in place of the crates' own run.
pub(super) const PROGRAM: &str = "testkit tests/simulation";

pub(super) fn run(run: &Run) -> Result<Tally, ChoreError> {
    let mut sum = Tally::default();
    for member in workspace::members()?.iter().filter(|member| member.part == "testkit") {
        sum.add(crates::run_tests(run, member, &["simulation".to_owned()], &["--profile", "soak"], &[])?);
    }
    Ok(sum)
}
