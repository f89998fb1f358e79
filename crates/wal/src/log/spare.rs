//! Files to become segments: made ahead, or recycled from the front.

use super::begin::spare_name;
use super::{Log, ZEROS_BYTES, zero};
use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The spares at hand.
#[derive(Debug, Default)]
pub(super) struct Spares {
    ready: Vec<PathBuf>,
    /// A job was given out since the last segment was begun.
    asked: bool,
    /// Shared with the job that was given out, and with what it made, until that is handed in or dropped.
    lent: Arc<()>,
}

/// Work that makes a zeroed segment ahead of its use; may run on any thread.
#[derive(Debug)]
pub struct SpareJob<D: Disk> {
    disk: D,
    path: PathBuf,
    bytes: u64,
    lent: Arc<()>,
}

/// A zeroed segment, ready for use.
#[derive(Debug)]
pub struct Spare {
    path: PathBuf,
    _lent: Arc<()>,
}

impl Spares {
    pub(super) fn take(&mut self) -> Option<PathBuf> {
        self.asked = false;
        self.ready.pop()
    }

    pub(super) fn put(&mut self, path: PathBuf) {
        self.ready.push(path);
    }

    pub(super) fn len(&self) -> usize {
        self.ready.len()
    }

    /// With the one that is being made.
    fn expected(&self) -> usize {
        self.len() + usize::from(Arc::strong_count(&self.lent) > 1)
    }
}

impl<D: Disk> SpareJob<D> {
    /// Creates, zeroes and syncs the file, unless `stop` says that nobody needs it any more. It must have returned
    /// before the log is closed or dropped: who has the log's lock next finds nobody else at its files.
    ///
    /// # Errors
    /// [`WalError::Closed`] when stopped, [`WalError::NoSpace`] and what else the disk answers; the file is removed
    /// again.
    pub fn run(self, stop: &AtomicBool) -> Result<Spare, WalError> {
        let made = self.disk.create(&self.path).map_err(|source| self.failed(source)).and_then(|file| {
            let mut at = 0;
            while at < self.bytes {
                if stop.load(Relaxed) {
                    return Err(WalError::Closed);
                }
                let to = (at + ZEROS_BYTES).min(self.bytes);
                zero(&file, at, to).and_then(|()| file.sync_data()).map_err(|source| self.failed(source))?;
                at = to;
            }
            Ok(())
        });
        match made {
            Ok(()) => Ok(Spare { path: self.path, _lent: self.lent }),
            Err(error) => {
                // It is nobody's file yet; opening the log removes what is left of it.
                let _ = self.disk.remove(&self.path);
                Err(error)
            }
        }
    }

    fn failed(&self, source: io::Error) -> WalError {
        WalError::io("zero", &self.path, source)
    }
}

impl<D: Disk> Log<D> {
    /// Work that would make the next roll cheap, where there is any: run it on another thread and hand the
    /// result to [`Log::add_spare`]. A log whose jobs are never run zeroes its segments as it goes. Offered once
    /// a segment, and not while an earlier one is under way: that may take longer than a segment lasts.
    pub fn spare_job(&mut self) -> Option<SpareJob<D>> {
        if self.spares.asked || self.spares.expected() > 0 || self.options.spares_max == 0 {
            return None;
        }
        self.spares.asked = true;
        let name = spare_name(self.fresh_id());
        let path = self.options.dir.join(name);
        let (bytes, lent) = (self.options.segment_bytes, Arc::clone(&self.spares.lent));
        Some(SpareJob { disk: self.disk.clone(), path, bytes, lent })
    }

    /// Takes a segment made ahead.
    pub fn add_spare(&mut self, spare: Spare) {
        self.spares.put(spare.path);
    }

    /// Deletes whole segments that hold only frames below `before`; the one being written always stays.
    /// Returns the new [`Log::first`].
    ///
    /// # Errors
    /// What the disk answers; the segments deleted until then stay deleted. After a failed sync of the directory
    /// nothing more is deleted until the log is opened again.
    pub fn truncate_front(&mut self, before: u64) -> Result<u64, WalError> {
        if let Some(source) = &self.front_stuck {
            let (path, source) = (self.options.dir.clone(), Arc::clone(source));
            return Err(WalError::Io { op: "sync", path, source });
        }
        self.remove_strays()?;
        loop {
            let mut shared = self.table.write();
            let second = shared.segments.get(1).map(|(segment, _)| segment.header.first);
            let Some(oldest) =
                second.filter(|first| *first <= before).and_then(|_| shared.segments.pop_front())
            else {
                break;
            };
            drop(shared);
            let header = oldest.0.header;
            let path = oldest.0.path.clone();
            // One that grew for a large frame would stay large for ever.
            let grown = oldest.1.is_some_and(|end| end.offset > self.options.segment_bytes)
                || header.capacity > self.options.segment_bytes;
            let keep = self.spares.expected() < self.options.spares_max
                && !self.poisoned.contains(&header.id)
                && !grown;
            let spare = self.options.dir.join(spare_name(header.id));
            let gone = if keep { self.disk.rename(&path, &spare) } else { self.disk.remove(&path) };
            if let Err(source) = gone {
                self.table.write().segments.push_front(oldest);
                return Err(WalError::io("delete", &path, source));
            }
            self.sync_deletion()?;
            self.poisoned.retain(|id| *id != header.id);
            if keep {
                self.spares.put(spare);
            }
        }
        Ok(self.first())
    }
    /// Before anything else is deleted: until then a stray passes for an empty segment, and leaves no hole.
    fn remove_strays(&mut self) -> Result<(), WalError> {
        let mut removed = false;
        while let Some(path) = self.strays.last() {
            self.remove(path).map_err(|source| WalError::io("delete", path, source))?;
            removed = self.strays.pop().is_some();
        }
        if removed { self.sync_deletion() } else { Ok(()) }
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        match self.disk.remove(path) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn sync_deletion(&mut self) -> Result<(), WalError> {
        self.disk.sync_dir(&self.options.dir).map_err(|source| {
            let source = Arc::new(source);
            self.front_stuck = Some(Arc::clone(&source));
            WalError::Io { op: "sync", path: self.options.dir.clone(), source }
        })
    }
}
