//! Looking at a spill that belongs to no running process.

use super::frame::Content;
use super::store::{LOG, REFUSED};
use super::unpack::{Unpacked, Unpacker};
use super::{manifest, scan, store};
use crate::error::OpenError;
use seawall_core::Outgoing;
use seawall_wal::Disk;
use std::path::Path;

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
    /// A record that a sink refused for good, and that was dealt with since; its segment is not free yet.
    Redriven(Outgoing),
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
            Content::Refused { record, .. } if delivered => Kept::Redriven(record),
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

pub(super) fn no_spill(dir: &Path) -> OpenError {
    OpenError::Manifest { path: dir.join(manifest::FILE), why: "missing: no spill here".to_owned() }
}
