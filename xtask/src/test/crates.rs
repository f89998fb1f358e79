//! The crates' own tests: built in one go, then each test program run by itself.

use super::tally::Tally;
use super::{Run, simulation};
use crate::error::ChoreError;
use crate::process::{self, now};
use crate::workspace::{self, Member};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longer than any test program may take, so that a hang becomes a failure with a name.
const PROGRAM_LIMIT: Duration = Duration::from_mins(15);
const PROGRAM_LIMIT_SOAK: Duration = Duration::from_hours(12);

/// A built test program.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    part: String,
    /// `wal lib`, `wal tests/power_cut`.
    name: String,
    path: PathBuf,
    folder: PathBuf,
    package: String,
}

pub(super) fn run(run: &Run, members: &[Member], all: bool) -> Result<Tally, ChoreError> {
    let started = now();
    let mut select: Vec<String> = Vec::new();
    if all {
        select.push("--workspace".to_owned());
    } else {
        for member in members {
            select.extend(["--package".to_owned(), member.package.clone()]);
        }
    }
    println!("── build of the tests");
    let Some(programs) = build(&select, members, &[])? else {
        let mut tally = Tally::default();
        tally.fail("the tests do not build");
        return Ok(tally);
    };
    println!("   {} programs, {:.1} s", programs.len(), started.elapsed().as_secs_f64());
    let mut sum = Tally::default();
    for member in members {
        let started = now();
        println!("── {}", member.part);
        let mut tally = Tally::default();
        let elsewhere = |program: &Program| run.soak && program.name == simulation::PROGRAM;
        for program in programs.iter().filter(|p| p.part == member.part && !elsewhere(p)) {
            tally.add(run_program(run, program, &[])?);
        }
        println!("   {}: {}, {:.1} s", member.part, tally.summary(), started.elapsed().as_secs_f64());
        sum.add(tally);
    }
    Ok(sum)
}

/// Documentation examples, all crates in one cargo call.
pub(super) fn run_doctests(run: &Run) -> Result<Tally, ChoreError> {
    let mut command = workspace::cargo();
    command.args(["test", "--quiet", "--workspace", "--doc", "--no-fail-fast", "--", "--show-output"]);
    let captured = process::capture(command, limit(run))?;
    Ok(judge("doc", &captured))
}

/// Builds what `select` names; `None` when it does not compile (cargo has said why).
fn build(
    select: &[String],
    members: &[Member],
    environment: &[(&str, &str)],
) -> Result<Option<Vec<Program>>, ChoreError> {
    let messages = messages(select, environment)?;
    Ok(messages.map(|messages| messages.lines().filter_map(|line| program(line, members)).collect()))
}

/// The program of the product as the tests' build made it: asking cargo for it alone would choose other
/// features and compile most of the graph a second time.
pub(super) fn built_seawall() -> Result<Option<PathBuf>, ChoreError> {
    let messages = messages(&["--workspace".to_owned()], &[])?;
    Ok(messages.and_then(|messages| messages.lines().find_map(|line| product(line, "seawall"))))
}

/// What cargo says, a line of JSON each, while it builds tests.
fn messages(select: &[String], environment: &[(&str, &str)]) -> Result<Option<String>, ChoreError> {
    let mut command = workspace::cargo();
    command.args(["test", "--no-run", "--message-format=json-render-diagnostics"]).args(select);
    command.envs(environment.iter().copied());
    let what = process::describe(&command);
    let out = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(ChoreError::io(what))?;
    Ok(out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned()))
}

/// The path of the program `name` (not its unit tests) out of one line of cargo's JSON.
fn product(line: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let wanted = message["target"]["kind"][0] == "bin"
        && message["target"]["name"] == name
        && message["profile"]["test"] == false;
    wanted.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
}

/// Builds and runs `--test NAME` programs of one crate with arguments and variables of their own (loom, TLS).
pub(super) fn run_tests(
    run: &Run,
    member: &Member,
    tests: &[String],
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<Tally, ChoreError> {
    let mut select = vec!["--package".to_owned(), member.package.clone()];
    for test in tests {
        select.extend(["--test".to_owned(), test.clone()]);
    }
    select.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let mut sum = Tally::default();
    match build(&select, std::slice::from_ref(member), environment)? {
        None => sum.fail(format!("{} {} does not build", member.part, tests.join(" "))),
        Some(programs) => {
            for program in &programs {
                sum.add(run_program(run, program, environment)?);
            }
        }
    }
    Ok(sum)
}

/// A test program out of one line of cargo's JSON.
fn program(line: &str, members: &[Member]) -> Option<Program> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let path = PathBuf::from(message["executable"].as_str()?);
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let member = members.iter().find(|member| Some(member.folder.as_path()) == manifest.parent())?;
    let kind = message["target"]["kind"][0].as_str()?;
    let target = message["target"]["name"].as_str()?;
    let name = match kind {
        "test" => format!("{} tests/{target}", member.part),
        "bin" => format!("{} bin {target}", member.part),
        _ => format!("{} {kind}", member.part),
    };
    Some(Program {
        part: member.part.clone(),
        name,
        path,
        folder: member.folder.clone(),
        package: member.package.clone(),
    })
}

fn run_program(run: &Run, program: &Program, environment: &[(&str, &str)]) -> Result<Tally, ChoreError> {
    let mut command = Command::new(&program.path);
    command
        .arg("--show-output")
        .current_dir(&program.folder)
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .env("CARGO_PKG_NAME", &program.package)
        .env("RUST_BACKTRACE", "1")
        .envs(run.environment.iter().map(|(name, value)| (name, value)))
        .envs(environment.iter().copied());
    if run.soak {
        command.env("SEAWALL_SOAK", "1");
    }
    let captured = process::capture(command, limit(run))?;
    Ok(judge(&program.name, &captured))
}

/// Counts, and shows the whole output of what failed.
fn judge(name: &str, captured: &process::Captured) -> Tally {
    let tally = Tally::of_output(name, &captured.stdout, captured.ok());
    if tally.failed > 0 {
        println!("{}\n{}", captured.stdout, captured.stderr);
        println!("   {name}: {}", captured.how_it_ended());
    }
    if tally.passed + tally.failed > 0 || !tally.skips.is_empty() {
        println!("   {name}: {}, {:.1} s", tally.summary(), captured.elapsed.as_secs_f64());
    }
    tally
}

fn limit(run: &Run) -> Duration {
    if run.soak { PROGRAM_LIMIT_SOAK } else { PROGRAM_LIMIT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_program_is_read_from_cargos_message() {
        let member = Member {
            part: "wal".to_owned(),
            package: "seawall-wal".to_owned(),
            folder: PathBuf::from("/x/crates/wal"),
            manifest: toml::Table::new(),
        };
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/x/crates/wal/Cargo.toml",
            "target":{"kind":["test"],"name":"power_cut"},"profile":{"test":true},"executable":"/x/target/p-1"}"#;
        let read = program(line, std::slice::from_ref(&member)).unwrap();
        assert_eq!(
            (read.name.as_str(), read.path.as_path()),
            ("wal tests/power_cut", Path::new("/x/target/p-1"))
        );
        let library = line.replace("\"test\":true", "\"test\":false");
        assert_eq!(program(&library, &[member]), None);
    }
}
