//! `cargo xtask test`: builds once, runs every part, and ends with one line that sums it up.
//!
//! A part is a crate's folder name (`wal`, `cli`, …, `xtask`) or one of [`EXTRA`]. A test that cannot run
//! where it stands prints `SKIP name: reason` and returns; it is counted as skipped, not as passed. With
//! `CI=true` a skip is a failure unless its reason says that no machine of this kind could run it
//! (`unsupported: …`) or that it belongs to the long run (`soak: …`, and `--soak` was not asked for).

mod crates;
mod dashboard;
mod fuzz;
mod kafka_tls;
mod looms;
mod mutants;
mod readme;
mod simulation;
mod tally;

use crate::error::ChoreError;
use crate::infra;
use crate::process::now;
use crate::workspace;
use tally::{Skip, Tally};

pub(crate) const HELP: &str = "cargo xtask test [PART…] [--soak]\n\
    runs all, or the named, tests with the real servers they need and ends with `N passed, N failed, N skipped`.\n\
    PART: a crate's folder name, or doc, loom, dashboard, readme, e2e (= cli); with --soak also simulation, kafka-tls, mutants, fuzz";

/// What is tested besides the crates' own tests.
const EXTRA: &[Extra] = &[
    Extra { name: "doc", soak_only: false, run: crates::run_doctests },
    Extra { name: "loom", soak_only: false, run: looms::run },
    Extra { name: "dashboard", soak_only: false, run: dashboard::run },
    Extra { name: "readme", soak_only: false, run: readme::run },
    Extra { name: "simulation", soak_only: true, run: simulation::run },
    Extra { name: "kafka-tls", soak_only: true, run: kafka_tls::run },
    Extra { name: "mutants", soak_only: true, run: mutants::run },
    Extra { name: "fuzz", soak_only: true, run: fuzz::run },
];

struct Extra {
    name: &'static str,
    /// Takes too long for every run: only by name or with `--soak`.
    soak_only: bool,
    run: fn(&Run) -> Result<Tally, ChoreError>,
}

/// How this run was asked for.
struct Run {
    soak: bool,
    /// Variables every test program gets: where the real servers and tools are.
    environment: Vec<(String, String)>,
    /// Tools that this machine has not and cannot get.
    missing: Vec<&'static str>,
}

/// What was chosen: crates by package, and extra parts.
struct Choice {
    members: Vec<workspace::Member>,
    extra: Vec<&'static Extra>,
    all_members: bool,
}

pub(crate) fn run(args: &[String]) -> Result<bool, ChoreError> {
    let soak = args.iter().any(|arg| arg == "--soak");
    if let Some(flag) = args.iter().find(|arg| arg.starts_with('-') && *arg != "--soak") {
        return Err(ChoreError::Usage(format!("no option `{flag}`\n{HELP}")));
    }
    let names: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with('-')).collect();
    let choice = choose(&names, soak, workspace::members()?)?;
    let infra::Found { environment, missing } =
        infra::for_tests_of(choice.members.iter().map(|member| &*member.part));
    let run = Run { soak, environment, missing };
    let mut sum = Tally::default();
    if !choice.members.is_empty() {
        sum.add(crates::run(&run, &choice.members, choice.all_members)?);
    }
    for extra in choice.extra {
        let started = now();
        println!("── {}", extra.name);
        let tally = (extra.run)(&run)?;
        println!("   {}: {}, {:.1} s", extra.name, tally.summary(), started.elapsed().as_secs_f64());
        sum.add(tally);
    }
    let (lines, well) = conclude(sum, &run, std::env::var("CI").is_ok_and(|ci| ci == "true"));
    println!("\n{}", lines.join("\n"));
    Ok(well)
}

fn choose(names: &[&str], soak: bool, members: Vec<workspace::Member>) -> Result<Choice, ChoreError> {
    if names.is_empty() {
        let extra = EXTRA.iter().filter(|extra| soak || !extra.soak_only).collect();
        return Ok(Choice { members, extra, all_members: true });
    }
    let mut choice = Choice { members: Vec::new(), extra: Vec::new(), all_members: false };
    for name in names {
        let part = if *name == "e2e" { "cli" } else { name };
        let part = part.strip_prefix("seawall-").unwrap_or(part);
        if let Some(extra) = EXTRA.iter().find(|extra| extra.name == part) {
            choice.extra.push(extra);
        } else if let Some(member) = members.iter().find(|member| member.part == part) {
            choice.members.push(member.clone());
        } else {
            let mut known: Vec<&str> = members.iter().map(|member| member.part.as_str()).collect();
            known.extend(EXTRA.iter().map(|extra| extra.name));
            return Err(ChoreError::Usage(format!("no part `{name}`; there are: e2e {}", known.join(" "))));
        }
    }
    Ok(choice)
}

/// The last lines: failures, skips, each on its line, and the sum; and whether all is well.
fn conclude(mut sum: Tally, run: &Run, ci: bool) -> (Vec<String>, bool) {
    if ci {
        let (skips, unexcused) = sum.skips.into_iter().partition(|skip| skip.excused(run));
        sum.skips = skips;
        for Skip { name, reason } in unexcused {
            sum.failed += 1;
            sum.failures.push(format!("{name}: must not be skipped under CI=true; it said: {reason}"));
        }
    }
    let mut lines: Vec<String> = sum.failures.iter().map(|failure| format!("FAIL {failure}")).collect();
    lines.extend(sum.skips.iter().map(|skip| format!("SKIP {}: {}", skip.name, skip.reason)));
    lines.push(sum.summary());
    (lines, sum.failed == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(soak: bool) -> Run {
        Run { soak, environment: Vec::new(), missing: vec!["go"] }
    }

    fn tally(skips: &[(&str, &str)]) -> Tally {
        let skips = skips.iter().map(|(name, reason)| Skip::new(*name, *reason)).collect();
        Tally { passed: 3, skips, ..Tally::default() }
    }

    #[test]
    fn the_sum_stands_alone_on_the_last_line() {
        let (lines, well) = conclude(tally(&[("a", "chromium is absent")]), &asked(false), false);
        assert_eq!(lines, ["SKIP a: chromium is absent", "3 passed, 0 failed, 1 skipped"]);
        assert!(well);
    }

    #[test]
    fn a_skip_that_the_machine_could_run_fails_under_ci() {
        let (lines, well) = conclude(tally(&[("a", "chromium is absent")]), &asked(false), true);
        assert_eq!(lines.last().map(String::as_str), Some("3 passed, 1 failed, 0 skipped"));
        assert!(!well);
        assert!(conclude(tally(&[("a", "unsupported: no ext4 here")]), &asked(false), true).1);
    }

    #[test]
    fn a_skip_for_a_tool_that_could_not_be_had_is_excused_and_one_for_another_is_not() {
        let well = |reason| conclude(tally(&[("a", reason)]), &asked(false), true).1;
        assert!(well("no Go toolchain to build the service with (install golang)"));
        assert!(!well("strace: not found"));
        assert!(!well("golang is absent"));
    }

    #[test]
    fn a_long_test_may_be_skipped_unless_the_long_run_was_asked_for() {
        assert!(conclude(tally(&[("a", "soak: 1,000,000 seeds")]), &asked(false), true).1);
        assert!(!conclude(tally(&[("a", "soak: 1,000,000 seeds")]), &asked(true), true).1);
    }

    #[test]
    fn parts_are_chosen_by_folder_and_by_package_name() {
        let members = workspace::members().unwrap();
        let choice = choose(&["wal", "seawall-core", "e2e", "loom"], false, members.clone()).unwrap();
        let parts: Vec<&str> = choice.members.iter().map(|member| member.part.as_str()).collect();
        assert_eq!(parts, ["wal", "core", "cli"]);
        assert_eq!(choice.extra.iter().map(|extra| extra.name).collect::<Vec<_>>(), ["loom"]);
        assert!(choose(&["wall"], false, members).is_err());
    }

    #[test]
    fn long_parts_run_by_name_or_with_soak() {
        let names = |soak| {
            let choice = choose(&[], soak, Vec::new()).unwrap();
            choice.extra.iter().map(|extra| extra.name).collect::<Vec<_>>()
        };
        assert!(!names(false).contains(&"mutants"));
        assert!(names(true).contains(&"mutants"));
    }
}
