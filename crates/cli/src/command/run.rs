//! `seawall run FILE`: the sidecar.

use crate::exit::{Failure, Outcome};
use crate::serve::{self, Listeners};
use seawall_core::Fault;
use seawall_sidecar::config;
use std::path::PathBuf;

/// Run the pipelines of a configuration: records in over HTTP, out to services over HTTP.
///
/// SIGTERM or SIGINT drains and ends; SIGHUP reads the file again (limits change at once, a file with a mistake
/// changes nothing).
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration, in TOML; `seawall config schema` describes it.
    file: PathBuf,
    #[command(flatten)]
    listeners: Listeners,
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let config = config::load(&arguments.file).map_err(|e| Failure::input(Fault::from(e)))?;
    serve::to_the_end(async {
        let (sidecar, signals) = serve::start(config, arguments.listeners, Some(arguments.file)).await?;
        serve::until_stopped(sidecar, signals).await
    })
}
