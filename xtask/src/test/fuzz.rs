//! The `fuzz` part: each target of each crate's `fuzz` folder for a bounded time.

use super::Run;
use super::tally::Tally;
use crate::error::ChoreError;
use crate::process;
use crate::workspace::{self, Member};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SECONDS: u64 = 60;
const SECONDS_SOAK: u64 = 600;
/// A target is built with its coverage first.
const BUILD_LIMIT: Duration = Duration::from_mins(30);
const INSTALL_LIMIT: Duration = Duration::from_mins(30);

pub(super) fn run(run: &Run) -> Result<Tally, ChoreError> {
    let mut tally = Tally::default();
    let folders = fuzzed(&workspace::members()?);
    if folders.is_empty() {
        tally.fail("fuzz: no crate has a fuzz/Cargo.toml");
        return Ok(tally);
    }
    if !available()? {
        tally.skip("fuzz", "unsupported: cargo-fuzz is neither installed nor installable here");
        return Ok(tally);
    }
    let seconds = if run.soak { SECONDS_SOAK } else { SECONDS };
    for folder in folders {
        for target in targets(&folder)? {
            let mut command = cargo_fuzz(&folder);
            // No crate that is fuzzed has any `unsafe`, and the C libraries of the clients do not link with a sanitizer.
            command.args(["run", "--sanitizer", "none", &target, "--"]);
            command.arg(format!("-max_total_time={seconds}"));
            let captured = process::capture(command, Duration::from_secs(seconds) + BUILD_LIMIT)?;
            if captured.ok() {
                println!("   {target}: {seconds} s, nothing found");
                tally.pass();
            } else {
                println!("{}\n{}", captured.stdout, captured.stderr);
                tally.fail(format!("fuzz {target}: {}", captured.how_it_ended()));
            }
        }
    }
    Ok(tally)
}

/// The crates that have a `fuzz` folder; cargo-fuzz looks for it from there.
fn fuzzed(members: &[Member]) -> Vec<PathBuf> {
    let fuzzed = members.iter().filter(|member| member.folder.join("fuzz/Cargo.toml").is_file());
    fuzzed.map(|member| member.folder.clone()).collect()
}

fn targets(folder: &Path) -> Result<Vec<String>, ChoreError> {
    let mut list = cargo_fuzz(folder);
    list.arg("list");
    let names = process::output(list)?;
    Ok(names.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn cargo_fuzz(folder: &Path) -> Command {
    let mut command = workspace::cargo();
    // The nightly switches that the coverage needs work on stable with this variable.
    command.current_dir(folder).env("RUSTC_BOOTSTRAP", "1").arg("fuzz");
    command
}

fn available() -> Result<bool, ChoreError> {
    let mut ask = workspace::cargo();
    ask.args(["fuzz", "--version"]);
    if process::capture(ask, Duration::from_mins(1))?.ok() {
        return Ok(true);
    }
    println!("   installing cargo-fuzz");
    let mut install = workspace::cargo();
    install.args(["install", "--locked", "--quiet", "cargo-fuzz"]);
    Ok(process::capture(install, INSTALL_LIMIT)?.ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_the_config_are_fuzzed() {
        let found = fuzzed(&workspace::members().unwrap());
        let names: Vec<_> = found.iter().filter_map(|folder| folder.file_name()?.to_str()).collect();
        assert_eq!(names, ["sidecar", "wal"]);
    }
}
