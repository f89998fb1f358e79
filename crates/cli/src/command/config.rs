//! `seawall config schema|show|check`

use crate::exit::{Failure, Outcome};
use crate::output;
use clap::Subcommand;
use seawall_sidecar::config;
use std::path::PathBuf;

/// The configuration: its JSON Schema, and what a file comes to.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the JSON Schema of the configuration, every field with its meaning.
    Schema,
    /// Print the configuration that a file comes to, with every default filled in.
    Show {
        /// The configuration, in TOML.
        file: PathBuf,
    },
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    match arguments.action {
        Action::Schema => output::data(format_args!("{:#}", config::schema())),
        Action::Show { file } => {
            let config = config::load(&file).map_err(|e| Failure::input(seawall_core::Fault::from(e)))?;
            let shown = serde_json::to_value(&config).map_err(Failure::input)?;
            output::data(format_args!("{shown:#}"))
        }
    }
}
