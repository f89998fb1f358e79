//! Taking records out of a spill that belongs to no running process.

use super::frame::{self, Content};
use super::look::no_spill;
use super::progress::RUNS_MAX;
use super::store::{self, LOG, REFUSED};
use super::unpack::Unpacker;
use super::{manifest, scan};
use crate::error::OpenError;
use seawall_core::{Class, Fault, Outgoing, Sink, WallMs};
use seawall_wal::{Disk, Limit, Log, Options, Reader};
use std::path::Path;

/// Records sent at a time by [`replay`].
const BATCH: Limit = Limit { frames: 512, bytes: 1 << 20 };

/// Which records of a spill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Those that wait to be delivered.
    Waiting,
    /// Those that a sink refused for good.
    Refused,
}

impl Part {
    fn log(self) -> &'static str {
        match self {
            Self::Waiting => LOG,
            Self::Refused => REFUSED,
        }
    }
}

/// What a replay by hand did.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Records delivered.
    pub delivered: u64,
    /// Records left: the first that was not taken and all behind it; of [`Part::Refused`] also those refused again.
    pub left: u64,
    /// The last refusal for good, of [`Part::Refused`].
    pub refused: Option<Fault>,
    /// Why it stopped.
    pub stopped: Option<Fault>,
}

/// Delivers records of a spill to `sink`, in order, and writes down how far it came. Takes the spill's lock.
///
/// It stops at the first record that is not taken. Of [`Part::Refused`], those that the sink refuses for good stay where they
/// are, and it goes on with the next; what nobody waits for any more gives its room back.
///
/// # Errors
/// As opening it.
pub async fn replay<D: Disk>(
    disk: &D,
    dir: &Path,
    part: Part,
    sink: &impl Sink,
    now: WallMs,
) -> Result<Replayed, OpenError> {
    manifest::read(disk, dir)?.ok_or_else(|| no_spill(dir))?;
    let _lock = store::lock(disk, dir)?;
    let log_dir = dir.join(part.log());
    let Some(reader) = store::reader(disk, &log_dir)? else { return Ok(Replayed::default()) };
    let mut found = scan::scan(&reader)?;
    let (mut log, _) = Log::open(disk.clone(), Options::new(&log_dir), now)?;
    let (reader, mut unpacker) = (log.reader(), Unpacker::default());
    let left = if part == Part::Refused { found.refused } else { found.records };
    let mut replayed = Replayed { left, ..Replayed::default() };
    let mut at = found.progress.watermark();
    while at < found.next && replayed.stopped.is_none() {
        let batch = next_batch(&reader, &mut found, &mut unpacker, &mut at)?;
        let answers = sink.send(batch.iter().map(|(_, record)| record.clone()).collect()).await;
        for ((seq, _), answer) in batch.iter().zip(answers) {
            match answer {
                Ok(_) => {
                    replayed.delivered += 1;
                    found.progress.done(*seq);
                }
                Err(fault) if part == Part::Refused && fault.class() == Class::Permanent => {
                    replayed.refused = Some(fault);
                }
                Err(fault) => {
                    replayed.stopped = Some(fault);
                    break;
                }
            }
        }
        // As many as a producer's own progress: what one of them told is not forgotten here.
        log.append([frame::progress(&found.progress.proof(RUNS_MAX))], now)?;
        log.sync(now)?;
    }
    replayed.left -= replayed.delivered;
    log.truncate_front(found.progress.watermark())?;
    log.close(now)?;
    if part == Part::Refused && replayed.left == 0 {
        remove(disk, &log_dir)?;
    }
    Ok(replayed)
}

/// The next records to be delivered from `at` on, which is moved behind them.
fn next_batch<D: Disk>(
    reader: &Reader<D>,
    found: &mut scan::Found,
    unpacker: &mut Unpacker,
    at: &mut u64,
) -> Result<Vec<(u64, Outgoing)>, OpenError> {
    let (mut batch, mut read, mut bytes) = (Vec::new(), Vec::new(), 0);
    for frame in reader.read(*at, BATCH)?.frames.into_iter().filter(|frame| frame.seq < found.next) {
        let seq = frame.seq;
        unpacker
            .unpack(frame, |seq| !found.progress.is_done(seq), &mut read)
            .map_err(|source| OpenError::Frame { seq, source })?;
        *at = seq + 1;
        for item in read.drain(..) {
            match item.content {
                Content::Record(record) | Content::Refused { record, .. } => batch.push((item.seq, record)),
                Content::Progress(_) | Content::Nothing => found.progress.done(item.seq),
            }
            bytes += item.bytes;
        }
        // What is compressed becomes more than was read.
        if bytes >= BATCH.bytes {
            break;
        }
    }
    Ok(batch)
}

/// Deletes what sinks refused for good; how many records that were. Takes the spill's lock. A crash in the midst of it leaves
/// some of them.
///
/// # Errors
/// As opening it.
pub fn purge_refused<D: Disk>(disk: &D, dir: &Path, now: WallMs) -> Result<u64, OpenError> {
    manifest::read(disk, dir)?.ok_or_else(|| no_spill(dir))?;
    let _lock = store::lock(disk, dir)?;
    let log_dir = dir.join(REFUSED);
    let Some(reader) = store::reader(disk, &log_dir)? else { return Ok(0) };
    let found = scan::scan(&reader)?;
    // Opened for its own lock: an earlier life whose disk hung may still have it. Nothing is appended, because a disk that is
    // full is a reason to purge.
    drop(Log::open(disk.clone(), Options::new(&log_dir), now)?);
    remove(disk, &log_dir)?;
    Ok(found.refused)
}

/// Deletes a log's files, the oldest first, so that what is left is a log at every moment. What a repair moved aside stays.
fn remove<D: Disk>(disk: &D, dir: &Path) -> Result<(), OpenError> {
    let listed = disk.list(dir).map_err(|source| OpenError::io("list", dir, source))?;
    let mut names: Vec<_> = listed
        .into_iter()
        .filter(|name| [".wal", ".spare"].iter().any(|of_log| name.ends_with(of_log)))
        .collect();
    names.sort_unstable();
    for name in names {
        let path = dir.join(name);
        disk.remove(&path).map_err(|source| OpenError::io("delete", &path, source))?;
        disk.sync_dir(dir).map_err(|source| OpenError::io("sync", dir, source))?;
    }
    Ok(())
}
