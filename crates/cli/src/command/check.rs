//! `seawall check FILE…`: says what is wrong with a configuration, without running it.

use crate::exit::{Failure, Kind, Outcome};
use crate::output::{self, Format};
use seawall_check::CheckError;
use seawall_core::Fault;
use seawall_sidecar::config::{self, ConfigError};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Check configurations: Seawall's own (TOML), Kafka client settings (.properties, .conf, YAML), Prometheus rules
/// and Grafana dashboards. Exit code 1 where there are findings, 3 where a file cannot be read.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How findings are printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A finding of either checker, for both formats.
struct Told {
    text: String,
    json: Value,
}

/// Runs the command. A file or a query that cannot be read keeps none of the others from being checked.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let (mut findings, mut unread) = (0, Vec::new());
    for file in &arguments.files {
        let seawalls = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
        let (found, mut faults) = if seawalls { own(file) } else { others(file) };
        findings += found.len();
        for Told { text, json } in found {
            match arguments.format {
                Format::Text => output::data(format_args!("{text}"))?,
                Format::Json => output::data(format_args!("{json}"))?,
            }
        }
        unread.append(&mut faults);
    }
    let count = match findings {
        0 => "no findings".to_owned(),
        1 => "1 finding".to_owned(),
        _ => format!("{findings} findings"),
    };
    if !unread.is_empty() {
        let others = if findings == 0 { String::new() } else { format!("\nseawall: {count} in the rest") };
        return Err(Failure::input(format_args!("{}{others}", unread.join("\nseawall: "))));
    }
    if findings == 0 { Ok(()) } else { Err(Failure::new(Kind::Verdict, count)) }
}

/// What is wrong with a file, and why some or all of it could not be read.
type Found = (Vec<Told>, Vec<String>);

fn own(file: &Path) -> Found {
    let error = match config::load(file) {
        Ok(_) => return (Vec::new(), Vec::new()),
        Err(error @ ConfigError::Read { .. }) => return (Vec::new(), vec![Fault::from(error).to_string()]),
        Err(error) => error,
    };
    let told = |finding: &config::Finding| Told {
        text: finding.to_string(),
        json: json!({
            "rule": "seawall/config", "file": finding.file, "line": finding.line, "column": finding.column,
            "field": finding.field, "value": finding.value, "problem": finding.problem, "fix": finding.fix,
        }),
    };
    (error.findings().iter().map(told).collect(), Vec::new())
}

fn others(file: &Path) -> Found {
    let told = |finding: seawall_check::Finding| Told {
        json: json!({
            "rule": finding.rule, "file": finding.file, "line": finding.line, "problem": finding.what,
            "why": finding.why, "fix": finding.fix,
        }),
        text: finding.to_string(),
    };
    let (found, problems) = match seawall_check::check(file) {
        Ok(found) => (found, Vec::new()),
        Err(CheckError::Partly { findings, problems }) => (findings, problems),
        Err(error) => (Vec::new(), vec![error]),
    };
    (found.into_iter().map(told).collect(), problems.iter().map(ToString::to_string).collect())
}
