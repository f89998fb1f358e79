//! `seawall completions SHELL`

use crate::exit::Outcome;
use clap::CommandFactory;
use clap_complete::Shell;

/// Print the completion script of a shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

/// Runs the command.
#[expect(clippy::unnecessary_wraps, reason = "every command has one signature")]
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let mut command = crate::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "seawall", &mut std::io::stdout().lock());
    Ok(())
}
