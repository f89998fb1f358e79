//! The `loom` part: `tests/loom*.rs` of each crate, every interleaving explored.
//!
//! `--cfg loom` changes the atomics of the crates under test, so these builds have a target folder of their
//! own; nothing else is rebuilt because of them.

use super::tally::Tally;
use super::{Run, crates};
use crate::error::ChoreError;
use crate::workspace::{self, Member};
use std::fs;

pub(super) fn run(run: &Run) -> Result<Tally, ChoreError> {
    let target = workspace::root().join("target").join("loom");
    let target = target.to_string_lossy();
    // The models are small: compiling them fast matters more than running them fast.
    let environment = [
        ("RUSTFLAGS", "--cfg loom"),
        ("CARGO_TARGET_DIR", &*target),
        ("CARGO_PROFILE_DEV_OPT_LEVEL", "0"),
        ("CARGO_PROFILE_DEV_DEBUG", "0"),
    ];
    let mut sum = Tally::default();
    for member in workspace::members()? {
        let tests = loom_tests(&member)?;
        if !tests.is_empty() {
            sum.add(crates::run_tests(run, &member, &tests, &[], &environment)?);
        }
    }
    Ok(sum)
}

fn loom_tests(member: &Member) -> Result<Vec<String>, ChoreError> {
    let folder = member.folder.join("tests");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names: Vec<String> = fs::read_dir(&folder)
        .map_err(ChoreError::io(folder.display().to_string()))?
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| name.starts_with("loom"))
        .collect();
    names.sort();
    Ok(names)
}
