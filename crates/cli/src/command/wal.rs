//! `seawall wal inspect|verify|repair|replay|export|purge`: logs on disk that belong to no running process, explained;
//! spills of producers among them.

mod spill;

use crate::embedded;
use crate::exit::{Failure, Kind, Outcome};
use crate::output::{self, Format};
use clap::Subcommand;
use seawall_wal::{Inspection, RealDisk, Repair, inspect, repair};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Look at logs on disk. Nothing is ever changed without --write.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// How findings are printed.
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what each segment holds.
    Inspect {
        /// A log, or a directory that has logs somewhere below it (a data directory).
        dir: PathBuf,
    },
    /// Read everything; exit code 1 where anything is damaged.
    Verify {
        /// A log, or a directory that has logs somewhere below it (a data directory).
        dir: PathBuf,
    },
    /// Cut a damaged log where the damage begins. What is cut is moved aside, never deleted.
    Repair {
        /// A log, or a directory that has logs somewhere below it (a data directory).
        dir: PathBuf,
        /// Do it. Without this, only say what would be done.
        #[arg(long)]
        write: bool,
    },
    /// Deliver what waits in a producer's spill, in order, and write down how far it came.
    Replay(spill::Replay),
    /// Print the records in a producer's spill, one a line, as `produce --lines json` reads them.
    Export(spill::Export),
    /// Delete from a producer's spill what sinks refused for good.
    Purge(spill::Purge),
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let format = arguments.format;
    match arguments.action {
        Action::Inspect { dir } => each(&dir, |log| {
            let inspection = inspect(&RealDisk, log).map_err(embedded::failure)?;
            show(log, &inspection, format)?;
            if inspection.damage().is_none() {
                spill::explain(log, &inspection, format)?;
            }
            Ok(0)
        })
        .map(|_| ()),
        Action::Verify { dir } => {
            let damaged = each(&dir, |log| verify(log, format))?;
            verdict(damaged)
        }
        Action::Repair { dir, write } => {
            let left = each(&dir, |log| mend(log, write, format))?;
            verdict(left)
        }
        Action::Replay(replay) => spill::replay(&replay, format),
        Action::Export(export) => spill::export(&export),
        Action::Purge(purge) => spill::purge(&purge, format),
    }
}

fn verdict(damaged: u32) -> Outcome {
    match damaged {
        0 => Ok(()),
        n => Err(Failure::new(
            Kind::Verdict,
            format_args!("{n} damaged; `seawall wal repair` says what can be done"),
        )),
    }
}

/// Calls `act` for every log at or below `dir` and adds up what it gives.
fn each(dir: &Path, mut act: impl FnMut(&Path) -> Result<u32, Failure>) -> Result<u32, Failure> {
    let mut logs = Vec::new();
    find(dir, &mut logs)?;
    if logs.is_empty() {
        return Err(Failure::input(format_args!("{}: no log (no *.wal file) here or below", dir.display())));
    }
    logs.sort();
    logs.iter().try_fold(0, |sum, log| Ok(sum + act(log)?))
}

fn find(dir: &Path, logs: &mut Vec<PathBuf>) -> Outcome {
    let told = |e: std::io::Error| Failure::input(format_args!("{}: {e}", dir.display()));
    let mut is_log = false;
    for entry in std::fs::read_dir(dir).map_err(told)? {
        let entry = entry.map_err(told)?;
        // Links are not followed: a log lies where it lies.
        if entry.file_type().map_err(told)?.is_dir() {
            find(&entry.path(), logs)?;
        } else if entry.path().extension().is_some_and(|e| e == "wal" || e == "cut") {
            is_log = true;
        }
    }
    if is_log {
        logs.push(dir.to_owned());
    }
    Ok(())
}

fn verify(log: &Path, format: Format) -> Result<u32, Failure> {
    let inspection = inspect(&RealDisk, log).map_err(embedded::failure)?;
    let damage = inspection.damage().map(|damage| damage.to_string());
    match (&damage, format) {
        (None, Format::Text) => {
            let frames: u64 = inspection.segments.iter().map(|s| s.info.next - s.info.first).sum();
            output::data(format_args!("{}: {frames} frames, sound", log.display()))?;
        }
        (Some(damage), Format::Text) => output::data(format_args!("{}: {damage}", log.display()))?,
        (_, Format::Json) => output::data(format_args!("{}", json!({ "log": log, "damage": damage })))?,
    }
    Ok(u32::from(damage.is_some()))
}

fn show(log: &Path, inspection: &Inspection, format: Format) -> Outcome {
    if format == Format::Text {
        output::data(format_args!("{}", log.display()))?;
    }
    for segment in &inspection.segments {
        let info = &segment.info;
        let name = info.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let state = if info.sealed.is_some() { "sealed" } else { "last" };
        let damage = segment.damage.map(|(at, damage)| format!("byte {at}: {damage}"));
        match format {
            Format::Text => output::data(format_args!(
                "  {name}  frames {}..{}  {} of {} bytes  {state}  {}",
                info.first,
                info.next,
                info.bytes,
                segment.file_bytes,
                damage.as_deref().unwrap_or("sound"),
            ))?,
            Format::Json => output::data(format_args!(
                "{}",
                json!({
                    "log": log, "segment": name, "first": info.first, "next": info.next, "bytes": info.bytes,
                    "file_bytes": segment.file_bytes, "state": state, "created_ms": info.created.0, "damage": damage,
                })
            ))?,
        }
    }
    if format == Format::Text {
        if let Some(torn) = &inspection.torn {
            output::data(format_args!(
                "  a torn tail of {} bytes, never acknowledged, goes at the next start",
                torn.bytes()
            ))?;
        }
        output::data(format_args!(
            "  {} spare files, {} files moved aside",
            inspection.spares.len(),
            inspection.cuts.len()
        ))?;
    }
    Ok(())
}

fn mend(log: &Path, write: bool, format: Format) -> Result<u32, Failure> {
    let done: Repair = repair(&RealDisk, log, write).map_err(embedded::failure)?;
    let lost = done.next.map_or(done.next_before, |next| done.next_before.saturating_sub(next));
    let cuts: Vec<_> = done
        .cuts
        .iter()
        .map(|c| json!({ "segment": c.segment, "byte": c.offset, "moved_to": c.moved_to }))
        .collect();
    match format {
        Format::Json => output::data(format_args!(
            "{}",
            json!({ "log": log, "written": done.written, "frames_cut": lost, "cuts": cuts })
        ))?,
        Format::Text if done.damage.is_none() => {
            output::data(format_args!("{}: nothing to repair", log.display()))?;
        }
        Format::Text => {
            let verb = if done.written { "cut" } else { "would cut (say --write to do it)" };
            output::data(format_args!("{}: {verb} {lost} frames", log.display()))?;
            for cut in &done.cuts {
                output::data(format_args!(
                    "  {} from byte {} to {}",
                    cut.segment.display(),
                    cut.offset,
                    cut.moved_to.display()
                ))?;
            }
        }
    }
    Ok(u32::from(done.damage.is_some() && !done.written))
}
