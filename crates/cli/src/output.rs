//! Where words go: data to stdout, everything for a person to stderr, logs by `SEAWALL_LOG`.

use crate::exit::{Failure, Kind};
use std::fmt;
use std::io::{self, IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Logs to stderr at `warn` and above, or as `SEAWALL_LOG` says (`info`, `seawall_consumer=debug`, …).
pub(crate) fn start_logging() {
    let filter = EnvFilter::try_from_env("SEAWALL_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    lines.with_ansi(colours).with_target(true).init();
}

/// A line for the person, on stderr.
pub(crate) fn note(line: fmt::Arguments<'_>) {
    // Nobody is left to be told where stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A line of data, on stdout.
///
/// # Errors
/// Where stdout is closed (`seawall … | head`), which ends the command.
pub(crate) fn data(line: fmt::Arguments<'_>) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{line}").map_err(closed)
}

/// What a failing stdout means.
pub(crate) fn closed(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::new(Kind::ReaderGone, "the reader of stdout has had enough");
    }
    Failure::environment(format_args!("stdout cannot be written: {error}"))
}
