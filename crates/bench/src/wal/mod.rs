//! The log: 1 KiB frames, so many to each sync, made durable before the next are written.
//!
//! Everybody writes random bytes (nothing to compress) to the same disk, opens once, and gets rid of what it
//! wrote between the rounds, so that those who recycle files measure recycled files.

pub(crate) mod bare;
pub(crate) mod ours;
#[cfg(feature = "peers")]
mod peers;
mod record;

use crate::compare::{BenchError, Better, Contender, Contest, Effort, timed};
use record::Records;
use std::path::{Path, PathBuf};
use std::thread;

const FRAME_BYTES: usize = 1024;
/// Our default. Files change a few times in a run, and stay in the page cache.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 20;

/// The log's contests.
///
/// # Errors
/// When a log cannot be opened.
pub(crate) fn contests(effort: &Effort) -> Result<Vec<Contest>, BenchError> {
    let root = effort.dir.join("wal");
    if root.exists() {
        std::fs::remove_dir_all(&root).map_err(BenchError::io(root.display()))?;
    }
    let mut contests = Vec::new();
    for (per_sync, groups) in [(64, 24), (256, 12)] {
        let load = Load { per_sync, groups: effort.scaled(groups), form: Form::Frames, callers: 1 };
        let dir = |name: &str| fresh(&root, per_sync, name);
        let bare = vec![bare::append(load, &dir("append")?)?, bare::existing(load, &dir("existing")?)?];
        contests.push(Contest {
            name: format!("1 KiB frames, {per_sync} to a sync"),
            unit: "frames/s",
            rounds: 31,
            better: Better::Higher,
            ours: ours::group_commit(load, &dir("group-commit")?)?,
            peers: bare.into_iter().chain(others(load, &dir)?).collect(),
        });
        contests.push(Contest {
            name: format!("1 KiB frames, {per_sync} to a sync, without the commit thread"),
            unit: "frames/s",
            rounds: 31,
            better: Better::Higher,
            ours: ours::log(load, &dir("log")?)?,
            peers: vec![bare::append(load, &dir("append-2")?)?, bare::existing(load, &dir("existing-2")?)?],
        });
    }
    Ok(contests)
}

/// Other logs and stores.
#[cfg(feature = "peers")]
fn others(
    load: Load,
    dir: &impl Fn(&str) -> Result<PathBuf, BenchError>,
) -> Result<Vec<Contender>, BenchError> {
    Ok(vec![
        peers::okaywal(load, &dir("okaywal")?)?,
        peers::raft_engine(load, &dir("raft-engine")?)?,
        peers::fjall(load, &dir("fjall")?)?,
        peers::sqlite(load, &dir("sqlite")?)?,
    ])
}

/// Without the feature `peers` there is only what a person would write by hand.
#[cfg(not(feature = "peers"))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as with the peers")]
fn others(_: Load, _: &impl Fn(&str) -> Result<PathBuf, BenchError>) -> Result<Vec<Contender>, BenchError> {
    Ok(Vec::new())
}

/// What others would use as a spill, with the ratio that is demanded: they are given what a spill is given.
#[cfg(feature = "peers")]
pub(crate) fn spills(
    load: Load,
    dir: &impl Fn(&str) -> Result<PathBuf, BenchError>,
) -> Result<Vec<Contender>, BenchError> {
    let load = Load { form: Form::Records, ..load };
    Ok(vec![
        peers::okaywal(load, &dir("okaywal")?)?,
        peers::raft_engine(load, &dir("raft-engine")?)?,
        peers::sqlite(load, &dir("sqlite")?)?.goal(2.0),
    ])
}

/// As above.
#[cfg(not(feature = "peers"))]
pub(crate) fn spills(
    load: Load,
    dir: &impl Fn(&str) -> Result<PathBuf, BenchError>,
) -> Result<Vec<Contender>, BenchError> {
    others(load, dir)
}

/// A round's work.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) per_sync: usize,
    pub(crate) groups: u64,
    pub(crate) form: Form,
    /// How many write at once, each waiting for its own groups.
    pub(crate) callers: usize,
}

impl Load {
    /// What is given to a log: frames of [`FRAME_BYTES`], or values that are so many with what a record has beside them.
    fn payloads(self) -> Vec<Vec<u8>> {
        match self.form {
            Form::Frames => frames(self.per_sync),
            Form::Records => values(self.per_sync),
        }
    }
}

/// What is to be stored.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// Frames that somebody made before.
    Frames,
    /// Records: topic, key, headers and value are made one frame first, as a spill has to.
    #[cfg_attr(not(feature = "peers"), expect(dead_code, reason = "only the peers are given them"))]
    Records,
}

/// A log under test: writes a group durably; tidies up when nobody measures.
pub(crate) trait Durably {
    fn write(&mut self, frames: &[Vec<u8>]) -> Result<(), BenchError>;

    fn tidy(&mut self) -> Result<(), BenchError> {
        Ok(())
    }
}

/// The contender that writes `load` to one log in each round: by a caller for each of `logs`, which are handles of it.
pub(crate) fn contender<L: Durably + Send + 'static>(
    name: &str,
    version: impl Into<String>,
    load: Load,
    mut logs: Vec<L>,
) -> Contender {
    let payloads = load.payloads();
    let mut records: Vec<Records> = logs.iter().map(|_| Records::of(&payloads)).collect();
    Contender::new(name, version, move || {
        let groups = load.groups / logs.len() as u64;
        // Before, not behind: everybody comes from work of its own to what is measured.
        logs.iter_mut().try_for_each(Durably::tidy)?;
        let write = |(log, records): (&mut L, &mut Records)| match load.form {
            Form::Frames => (0..groups).try_for_each(|_| log.write(&payloads)),
            Form::Records => (0..groups).try_for_each(|_| log.write(records.encoded())),
        };
        let callers = logs.iter_mut().zip(&mut records);
        let (written, took) = timed(|| {
            thread::scope(|scope| {
                // All are begun before the first is waited for.
                let callers: Vec<_> = callers.map(|caller| scope.spawn(|| write(caller))).collect();
                callers
                    .into_iter()
                    .try_for_each(|caller| caller.join().unwrap_or_else(|_| Err(panicked(load))))
            })
        });
        written?;
        Ok((groups * (logs.len() * load.per_sync) as u64) as f64 / took.as_secs_f64())
    })
}

fn panicked(load: Load) -> BenchError {
    BenchError::Incomplete { who: "a caller".to_owned(), done: 0, asked: load.groups }
}

/// Random frames, the same for everybody.
pub(crate) fn frames(count: usize) -> Vec<Vec<u8>> {
    random(count, FRAME_BYTES)
}

/// Random values whose records are frames of as many bytes.
pub(crate) fn values(count: usize) -> Vec<Vec<u8>> {
    random(count, FRAME_BYTES - record::BESIDE_BYTES)
}

fn random(count: usize, bytes: usize) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut bytes = vec![0; bytes];
    let fill = |_| {
        random.fill(&mut bytes);
        bytes.clone()
    };
    (0..count).map(fill).collect()
}

pub(crate) fn fresh(root: &Path, per_sync: usize, name: &str) -> Result<PathBuf, BenchError> {
    let dir = root.join(per_sync.to_string()).join(name);
    std::fs::create_dir_all(&dir).map_err(BenchError::io(dir.display()))?;
    Ok(dir)
}
