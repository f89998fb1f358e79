//! Looking at a spill that belongs to no running process, and taking records out of it.

use super::frame::Content;
use super::progress::runs_max;
use super::store::{LOG, REFUSED};
use super::unpack::{Unpacked, Unpacker};
use super::{manifest, scan, store};
use crate::error::OpenError;
use seawall_core::{Fault, Outgoing, Sink};
use seawall_wal::{Disk, Limit, Log, Options};
use std::path::Path;

/// Records sent at a time by [`replay`].
const BATCH: Limit = Limit { frames: 512, bytes: 1 << 20 };

/// What a frame of a spill is, for a person.
#[derive(Clone, Debug)]
pub enum Kept {
    /// A record that was delivered already; its segment is not free yet.
    Delivered(Outgoing),
    /// A record that waits.
    Waiting(Outgoing),
    /// A record that a sink refused for good.
    Refused {
        /// Why.
        reason: String,
        /// The record.
        record: Outgoing,
    },
}

/// What a spill holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Who made it.
    pub owner: String,
    /// Records that wait to be delivered.
    pub waiting: u64,
    /// Bytes of them, as if they were not compressed.
    pub waiting_bytes: u64,
    /// Records that were delivered, and whose segments are not free yet.
    pub delivered: u64,
    /// Records that a sink refused for good.
    pub refused: u64,
}

impl Summary {
    fn count(&mut self, found: Unpacked, delivered: bool) -> Option<Kept> {
        Some(match found.content {
            Content::Progress(_) | Content::Nothing => return None,
            Content::Record(record) if delivered => {
                self.delivered += 1;
                Kept::Delivered(record)
            }
            Content::Record(record) => {
                self.waiting += 1;
                self.waiting_bytes += found.bytes as u64;
                Kept::Waiting(record)
            }
            Content::Refused { reason, record } => {
                self.refused += 1;
                Kept::Refused { reason, record }
            }
        })
    }
}

/// Whether `dir` is a spill's (by its manifest's name: a damaged one is a spill, too).
pub fn is_spill(dir: &Path) -> bool {
    dir.join(manifest::FILE).is_file()
}

/// Calls `each` with every record in the spill, in order: those of its log, then those refused. Nothing is written.
///
/// # Errors
/// As opening it; what `each` answers.
pub fn each<D: Disk, E: From<OpenError>>(
    disk: &D,
    dir: &Path,
    mut each: impl FnMut(u64, Kept) -> Result<(), E>,
) -> Result<Summary, E> {
    let manifest = manifest::read(disk, dir)?.ok_or_else(|| no_spill(dir))?;
    let mut summary = Summary { owner: manifest.owner, ..Summary::default() };
    for name in [LOG, REFUSED] {
        let Some(reader) = store::reader(disk, &dir.join(name))? else { continue };
        let delivered = scan::delivered(&reader)?;
        let (mut unpacker, mut read, mut told) = (Unpacker::default(), Vec::new(), Ok(()));
        scan::walk(&reader, reader.first(), |frame| {
            let seq = frame.seq;
            if told.is_ok() {
                unpacker
                    .unpack(frame, |_| true, &mut read)
                    .map_err(|source| OpenError::Frame { seq, source })?;
                told = read.drain(..).try_for_each(|found| {
                    let seq = found.seq;
                    summary.count(found, delivered.is_done(seq)).map_or(Ok(()), |kept| each(seq, kept))
                });
            }
            Ok(())
        })?;
        told?;
    }
    Ok(summary)
}

/// What the spill holds. Nothing is written.
///
/// # Errors
/// As opening it.
pub fn summary<D: Disk>(disk: &D, dir: &Path) -> Result<Summary, OpenError> {
    each(disk, dir, |_, _| Ok(()))
}

fn no_spill(dir: &Path) -> OpenError {
    OpenError::Manifest { path: dir.join(manifest::FILE), why: "missing: no spill here".to_owned() }
}

/// What a replay by hand did.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Records delivered, in order.
    pub delivered: u64,
    /// Records left: the first that was not taken, and all behind it.
    pub left: u64,
    /// Why it stopped.
    pub stopped: Option<Fault>,
}

/// Delivers the waiting records to `sink`, in order, and writes down how far it came. It stops at the first one that
/// is not taken. Takes the spill's lock.
///
/// # Errors
/// As opening it.
pub async fn replay<D: Disk>(
    disk: &D,
    dir: &Path,
    sink: &impl Sink,
    now: seawall_core::WallMs,
) -> Result<Replayed, OpenError> {
    manifest::read(disk, dir)?.ok_or_else(|| no_spill(dir))?;
    let _lock = store::lock(disk, dir)?;
    let log_dir = dir.join(LOG);
    let Some(reader) = store::reader(disk, &log_dir)? else { return Ok(Replayed::default()) };
    let mut found = scan::scan(&reader)?;
    let (mut log, _) = Log::open(disk.clone(), Options::new(&log_dir), now)?;
    let (reader, mut unpacker, mut read) = (log.reader(), Unpacker::default(), Vec::new());
    let mut replayed = Replayed { left: found.records, ..Replayed::default() };
    let mut at = found.progress.watermark();
    while at < found.next && replayed.stopped.is_none() {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for frame in reader.read(at, BATCH)?.frames.into_iter().filter(|frame| frame.seq < found.next) {
            let seq = frame.seq;
            unpacker
                .unpack(frame, |seq| !found.progress.is_done(seq), &mut read)
                .map_err(|source| OpenError::Frame { seq, source })?;
            at = seq + 1;
            for item in read.drain(..) {
                match item.content {
                    Content::Record(record) => batch.push((item.seq, record)),
                    Content::Progress(_) | Content::Refused { .. } | Content::Nothing => {
                        found.progress.done(item.seq);
                    }
                }
                bytes += item.bytes;
            }
            // What is compressed becomes more than was read.
            if bytes >= BATCH.bytes {
                break;
            }
        }
        let answers = sink.send(batch.iter().map(|(_, record)| record.clone()).collect()).await;
        for ((seq, _), answer) in batch.iter().zip(answers) {
            match answer {
                Ok(_) => {
                    replayed.delivered += 1;
                    found.progress.done(*seq);
                }
                Err(fault) => {
                    replayed.stopped = Some(fault);
                    break;
                }
            }
        }
        log.append([super::frame::progress(&found.progress.proof(runs_max(64 << 10)))], now)?;
        log.sync(now)?;
    }
    replayed.left -= replayed.delivered;
    log.truncate_front(found.progress.watermark())?;
    log.close(now)?;
    Ok(replayed)
}
