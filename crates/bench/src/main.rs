//! Seawall against its peers.
//!
//! Two cores of a shared machine say little about absolute speed, so every figure here is a ratio: ours and
//! the peer take turns in one run, each round gives one ratio, and the median of the rounds is told with the
//! smallest and the largest.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks on its streams")]

mod asked;
mod compare;
mod consumer;
mod go;
mod guard;
mod java;
mod kafka;
mod producer;
mod push;
mod report;
mod versions;
mod wal;

use compare::{BenchError, Contest, Effort};
use std::path::PathBuf;
use std::process::ExitCode;

/// That of the binary `seawall`, for everybody.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is measured under a name: what it has to compare. Those of one name are measured after each other.
struct Part {
    name: &'static str,
    contests: fn(&Effort) -> Result<Vec<Contest>, BenchError>,
}

const PARTS: &[Part] = &[
    Part { name: "guard", contests: guard::contests },
    Part { name: "wal", contests: wal::contests },
    Part { name: "consumer", contests: consumer::contests },
    Part { name: "push", contests: push::contests },
    Part { name: "kafka", contests: kafka::contests },
    Part { name: "producer", contests: producer::on_disk },
    Part { name: "producer", contests: producer::before_a_broker },
];

const USAGE: &str = "usage: seawall-bench [PART…] [--only TEXT] [--quick] [--json FILE] [--dir DIR]";

/// What was asked for.
struct Request {
    parts: Vec<&'static Part>,
    effort: Effort,
    json: Option<PathBuf>,
    /// Contests whose names hold this alone.
    only: Option<String>,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (command, target) = (args.next().unwrap_or_default(), args.next());
    if let Some(served) = push::serve::command(&command, target.as_deref()) {
        return conclude(served);
    }
    if let Some(member) = kafka::member::command(&std::env::args().skip(1).collect::<Vec<_>>()) {
        return conclude(member);
    }
    let request = match parse(std::env::args().skip(1)) {
        Ok(request) => request,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    conclude(run(&request))
}

fn conclude(outcome: Result<(), BenchError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("seawall-bench: {error}");
            ExitCode::from(4)
        }
    }
}

fn run(request: &Request) -> Result<(), BenchError> {
    let mut lines = Vec::new();
    for part in &request.parts {
        for contest in (part.contests)(&request.effort)? {
            if request.only.as_ref().is_some_and(|only| !contest.name.contains(only)) {
                continue;
            }
            println!("{} / {} ({})", part.name, contest.name, contest.unit);
            for line in contest.run(part.name, &request.effort)? {
                report::print(&line);
                lines.push(line);
            }
        }
    }
    if let Some(file) = &request.json {
        report::write_json(file, &lines)?;
    }
    Ok(())
}

fn parse(args: impl Iterator<Item = String>) -> Result<Request, String> {
    let mut args = args;
    let mut request = Request { parts: Vec::new(), effort: Effort::default(), json: None, only: None };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => request.effort.quick = true,
            "--json" => request.json = Some(args.next().ok_or("--json needs a file")?.into()),
            "--only" => request.only = Some(args.next().ok_or("--only needs a part of a name")?),
            "--dir" => request.effort.dir = args.next().ok_or("--dir needs a folder")?.into(),
            name => {
                let before = request.parts.len();
                request.parts.extend(PARTS.iter().filter(|part| part.name == name));
                if request.parts.len() == before {
                    let mut known: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
                    known.dedup();
                    return Err(format!("no part `{name}`; there are: {}", known.join(" ")));
                }
            }
        }
    }
    if request.parts.is_empty() {
        request.parts = PARTS.iter().collect();
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn no_part_means_all_and_an_unknown_one_is_named() {
        assert_eq!(parsed("--quick").unwrap().parts.len(), PARTS.len());
        assert_eq!(parsed("wal").unwrap().parts.len(), 1);
        assert!(parsed("wall").err().unwrap().contains("`wall`"));
        assert!(parsed("--json").is_err());
    }
}
