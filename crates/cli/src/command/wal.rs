//! `seawall wal inspect|verify|repair|replay|export|purge`: logs on disk that belong to no running process, explained;
//! spills of producers among them.

mod spill;

use crate::embedded;
use crate::exit::{Failure, Kind, Outcome};
use crate::output::{self, Format};
use clap::Subcommand;
use seawall_producer::OpenError;
use seawall_producer::spill::{look, manifest};
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
        Action::Inspect { dir } => each(&dir, format, |log, sound_spill| {
            let inspection = inspect(&RealDisk, log).map_err(embedded::failure)?;
            show(log, &inspection, format)?;
            if inspection.damage().is_none() && sound_spill {
                spill::explain(log, &inspection, format)?;
            }
            Ok(0)
        }),
        Action::Verify { dir } => each(&dir, format, |log, _| verify(log, format)),
        Action::Repair { dir, write } => each(&dir, format, |log, _| mend(log, write, format)),
        Action::Replay(replay) => spill::replay(&replay, format),
        Action::Export(export) => spill::export(&export),
        Action::Purge(purge) => spill::purge(&purge, format),
    }
}

/// What is at or below a directory.
#[derive(Default)]
struct Found {
    logs: Vec<PathBuf>,
    spills: Vec<PathBuf>,
}

/// Judges every spill's manifest, then calls `act` for every log at or below `dir`, with whether it belongs to no spill
/// with a bad manifest. What cannot be read keeps none of the others from being shown.
///
/// # Errors
/// The worst of what was met, at the end: what could not be read, or that something is damaged.
fn each(dir: &Path, format: Format, mut act: impl FnMut(&Path, bool) -> Result<u32, Failure>) -> Outcome {
    let mut found = Found::default();
    find(dir, &mut found)?;
    if found.logs.is_empty() && found.spills.is_empty() {
        return Err(Failure::input(format_args!("{}: no log (no *.wal file) here or below", dir.display())));
    }
    found.logs.sort();
    found.spills.extend(found.logs.iter().filter_map(|log| orphaned(log)));
    found.spills.sort();
    found.spills.dedup();
    let (mut damaged, mut failed, mut bad) = (0, None, Vec::new());
    let mut add = |judged: Result<u32, Failure>| match judged {
        Err(failure) if !failure.is_told() => Err(failure),
        Err(failure) => {
            output::note(format_args!("seawall: {failure}"));
            failed = Some(failure);
            Ok(true)
        }
        Ok(n) => {
            damaged += n;
            Ok(n > 0)
        }
    };
    for spill in found.spills {
        if add(judge_manifest(&spill, format))? {
            bad.push(spill);
        }
    }
    for log in &found.logs {
        let sound_spill = !log.parent().is_some_and(|spill| bad.iter().any(|bad| bad == spill));
        add(act(log, sound_spill))?;
    }
    match failed {
        Some(failure) => Err(failure.retold("not everything could be read; the reasons stand above")),
        None => verdict(damaged),
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

fn find(dir: &Path, found: &mut Found) -> Outcome {
    let told = |e: std::io::Error| Failure::input(format_args!("{}: {e}", dir.display()));
    let mut is_log = false;
    for entry in std::fs::read_dir(dir).map_err(told)? {
        let entry = entry.map_err(told)?;
        // Links are not followed: a log lies where it lies.
        if entry.file_type().map_err(told)?.is_dir() {
            find(&entry.path(), found)?;
        } else if entry.path().extension().is_some_and(|e| e == "wal" || e == "cut") {
            is_log = true;
        }
    }
    if is_log {
        found.logs.push(dir.to_owned());
    }
    if look::is_spill(dir) {
        found.spills.push(dir.to_owned());
    }
    Ok(())
}

/// The spill that `log` was one's of, to judge by where it lies: in `log` or `refused`, beside a lock. Its manifest may
/// be gone.
fn orphaned(log: &Path) -> Option<PathBuf> {
    let spill = log.parent()?;
    let named = log.ends_with("log") || log.ends_with("refused");
    (named && spill.join("lock").is_file()).then(|| spill.to_owned())
}

/// Whether the manifest of `spill` says whose it is: without it no producer takes the spill up.
fn judge_manifest(spill: &Path, format: Format) -> Result<u32, Failure> {
    let (owner, damage) = match manifest::read(&RealDisk, spill) {
        Ok(manifest) => (manifest.map(|manifest| manifest.owner), None),
        Err(error @ OpenError::Manifest { .. }) => (None, Some(error.to_string())),
        Err(error) => return Err(embedded::failure(error)),
    };
    match (&damage, format) {
        (_, Format::Json) => {
            output::data(format_args!("{}", json!({ "spill": spill, "owner": owner, "damage": damage })))?;
        }
        (None, Format::Text) => output::data(format_args!(
            "{}: manifest of {:?}, sound",
            spill.display(),
            owner.as_deref().unwrap_or_default()
        ))?,
        (Some(damage), Format::Text) => output::data(format_args!(
            "{}: {damage}; `wal repair` cannot mend it: put back the file, from a copy or from another spill of the same owner",
            spill.display()
        ))?,
    }
    Ok(u32::from(damage.is_some()))
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
    let frames = done.next.map_or(done.next_before, |next| done.next_before.saturating_sub(next));
    let bytes: u64 = done.cuts.iter().map(|cut| cut.bytes).sum();
    // Behind a damaged header nobody can say how many there were, and that is not none.
    let frames = (frames > 0 || bytes == 0).then_some(frames);
    let cuts: Vec<_> = done
        .cuts
        .iter()
        .map(|c| json!({ "segment": c.segment, "byte": c.offset, "bytes": c.bytes, "moved_to": c.moved_to }))
        .collect();
    match format {
        Format::Json => output::data(format_args!(
            "{}",
            json!({ "log": log, "written": done.written, "frames_cut": frames, "bytes_cut": bytes, "cuts": cuts })
        ))?,
        Format::Text if done.damage.is_none() => {
            output::data(format_args!("{}: nothing to repair", log.display()))?;
        }
        Format::Text => {
            let verb = if done.written { "cut" } else { "would cut (say --write to do it)" };
            let what =
                frames.map_or("an unknown number of frames".to_owned(), |n| format!("at least {n} frames"));
            output::data(format_args!("{}: {verb} {what}, up to {bytes} bytes", log.display()))?;
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
