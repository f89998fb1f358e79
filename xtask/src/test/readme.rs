//! The `readme` part: every command that the README shows exists in the program it belongs to.
//!
//! What the commands *do* is tested where they live; this keeps the page from naming what is not there.

use super::tally::Tally;
use super::{Run, crates};
use crate::error::ChoreError;
use crate::process;
use crate::tidy::commands_shown;
use crate::workspace;
use std::process::Command;
use std::time::Duration;

pub(super) fn run(_: &Run) -> Result<Tally, ChoreError> {
    let mut tally = Tally::default();
    let readme = workspace::root().join("README.md");
    if !readme.is_file() {
        tally.fail("README.md is missing");
        return Ok(tally);
    }
    let Some(program) = crates::built_seawall()? else {
        tally.fail("readme: the program `seawall` is not built by `cargo test --workspace`");
        return Ok(tally);
    };
    for shown in commands_shown(&workspace::read(&readme)?) {
        let mut command = Command::new(&program);
        command.args(&shown.path).arg("--help");
        let captured = process::capture(command, Duration::from_mins(1))?;
        let missing: Vec<&String> =
            shown.flags.iter().filter(|flag| !captured.stdout.contains(flag.as_str())).collect();
        let path = shown.path.join(" ");
        if !captured.ok() {
            tally.fail(format!("README line {}: `seawall {path}` does not exist", shown.line));
        } else if let Some(flag) = missing.first() {
            tally.fail(format!("README line {}: `seawall {path}` has no {flag}", shown.line));
        } else {
            tally.pass();
        }
    }
    Ok(tally)
}
