//! The binary `seawall`: one file per command.
//!
//! Data goes to stdout, everything else to stderr; the exit code says how it ended ([`exit::Kind`]).

mod client;
mod cluster;
mod command;
mod embedded;
mod exit;
mod input;
mod output;
mod sample;
mod serve;
mod shutdown;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Records are many small pieces that are made in one thread and freed in another: it takes a fifth less of a core than the
/// C library's for them (the bench `producer`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The reliability runtime for programs that produce and consume messages.
///
/// Exit codes: 0 fine; 1 a verdict that says no; 2 usage; 3 bad input or configuration; 4 environment
/// (broker, permission, port, disk); 70 a bug of Seawall.
///
/// `SEAWALL_LOG` in the environment says what is logged on stderr: `warn` by default, `info`, or parts by name
/// (`warn,seawall_consumer=debug`).
#[derive(Debug, Parser)]
#[command(name = "seawall", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(command::up::Arguments),
    Run(command::run::Arguments),
    Check(command::check::Arguments),
    Produce(command::produce::Arguments),
    Consume(command::consume::Arguments),
    Dlq(command::dlq::Arguments),
    Lag(command::lag::Arguments),
    Wal(command::wal::Arguments),
    Config(command::config::Arguments),
    Completions(command::completions::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    output::start_logging();
    let outcome = match arguments.command {
        Command::Up(arguments) => command::up::run(arguments),
        Command::Run(arguments) => command::run::run(arguments),
        Command::Check(arguments) => command::check::run(arguments),
        Command::Produce(arguments) => command::produce::run(arguments),
        Command::Consume(arguments) => command::consume::run(arguments),
        Command::Dlq(arguments) => command::dlq::run(arguments),
        Command::Lag(arguments) => command::lag::run(arguments),
        Command::Wal(arguments) => command::wal::run(arguments),
        Command::Config(arguments) => command::config::run(arguments),
        Command::Completions(arguments) => command::completions::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure.is_told() {
                output::note(format_args!("seawall: {failure}"));
            }
            failure.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
