//! `seawall check FILE…`: says what is wrong with a configuration, without running it.

use crate::exit::{Failure, Kind, Outcome};
use crate::output::{self, Format};
use seawall_sidecar::config::{self, ConfigError};
use serde_json::json;
use std::path::PathBuf;

/// Check Seawall configurations. Exit code 1 where there are findings.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configurations, in TOML.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How findings are printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let mut findings = 0;
    for file in &arguments.files {
        let error = match config::load(file) {
            Ok(_) => continue,
            Err(error @ ConfigError::Read { .. }) => {
                return Err(Failure::input(seawall_core::Fault::from(error)));
            }
            Err(error) => error,
        };
        for finding in error.findings() {
            findings += 1;
            match arguments.format {
                Format::Text => output::data(format_args!("{finding}"))?,
                Format::Json => output::data(format_args!(
                    "{}",
                    json!({
                        "file": finding.file, "line": finding.line, "column": finding.column, "field": finding.field,
                        "value": finding.value, "problem": finding.problem, "fix": finding.fix,
                    })
                ))?,
            }
        }
    }
    match findings {
        0 => Ok(()),
        1 => Err(Failure::new(Kind::Verdict, "1 finding")),
        _ => Err(Failure::new(Kind::Verdict, format_args!("{findings} findings"))),
    }
}
