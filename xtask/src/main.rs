//! Seawall's own chores, one file (or folder) per command. `cargo xtask` alone lists them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks on its streams")]

mod bench;
mod error;
mod infra;
mod process;
mod test;
mod tidy;
mod workspace;

use error::ChoreError;
use std::process::ExitCode;

/// A command: its name, its line of help, and what runs it. `Ok(false)` is a verdict that says no.
struct Chore {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<bool, ChoreError>,
}

const CHORES: &[Chore] = &[
    Chore { name: "test", help: test::HELP, run: test::run },
    Chore { name: "tidy", help: tidy::HELP, run: tidy::run },
    Chore { name: "bench", help: bench::HELP, run: bench::run },
    Chore { name: "infra", help: infra::HELP, run: infra::run },
];

fn usage() -> String {
    let mut text = String::from("usage: cargo xtask COMMAND\n");
    for chore in CHORES {
        text.push_str("\n  ");
        text.push_str(&chore.help.replace('\n', "\n      "));
        text.push('\n');
    }
    text
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        eprint!("{}", usage());
        return ExitCode::from(2);
    };
    if name == "help" || name == "--help" || name == "-h" {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        eprintln!("no command `{name}`\n{}", usage());
        return ExitCode::from(2);
    };
    if rest.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{}", chore.help);
        return ExitCode::SUCCESS;
    }
    match (chore.run)(rest) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("xtask {name}: {error}");
            ExitCode::from(error.code())
        }
    }
}
