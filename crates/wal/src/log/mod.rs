//! The engine: one writer, synchronous, deterministic.
//!
//! [`Log::append`] encodes a batch once, into the buffer that is written, and keeps that buffer until
//! [`Log::sync`] returned: when a write or a sync fails, the frames in it are encoded anew for another segment, and
//! the failed file is left alone. Nothing is published to readers before it is durable.

pub(crate) mod begin;
mod outcome;
mod payload;
pub(crate) mod recover;
mod spare;
pub(crate) mod table;

pub use outcome::{Appended, Counters, Durable, Extent, Lost, Options, Recovery, Scan, SegmentInfo};
pub use payload::Payload;
pub use spare::{Spare, SpareJob};

use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::format::{FRAME_BYTES_LIMIT, MARK_BYTES, Mark, Seeds, encode_mark, put_frame};
use crate::reader::Reader;
use seawall_core::WallMs;
use spare::Spares;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use table::{End, Place, Segment, Table, note};

/// The buffer of unsynced frames is given back to the allocator above this size once it is empty.
const BUFFER_KEPT_BYTES: usize = 16 << 20;
/// Room kept behind the last frame, so that a full disk can still be closed and opened: a mark for each.
const CLOSING_BYTES: u64 = 2 * MARK_BYTES as u64;
/// Zeros written at a time.
const ZEROS_BYTES: u64 = 1 << 20;

/// A segmented log with one writer. See [`crate::format`] for the bytes on disk.
pub struct Log<D: Disk> {
    disk: D,
    options: Options,
    table: Arc<Table<D>>,
    /// Where frames go; `None` after a failure, until a new segment could be begun.
    active: Option<Active<D>>,
    /// What was appended to the active segment since its last sync, as encoded for it.
    unsynced: Vec<u8>,
    /// Places among the unsynced, for the index.
    places: Vec<Place>,
    next: u64,
    durable: u64,
    next_id: u64,
    spares: Spares,
    /// Segments that are never to be written again, not even recycled.
    poisoned: Vec<u64>,
    /// Why nothing may be deleted any more: a deletion whose sync failed may come undone in a crash, and a later
    /// one would then leave a hole.
    front_stuck: Option<Arc<io::Error>>,
    /// Files of segments whose naming failed and that could not be removed: opening the log would find a hole behind
    /// them, once the segments begun in their place are deleted.
    strays: Vec<PathBuf>,
    counters: Counters,
    _lock: D::Lock,
}

/// The segment that is written.
struct Active<D: Disk> {
    segment: Arc<Segment<D>>,
    file: Arc<D::File>,
    seeds: Seeds,
    /// One past the last byte written.
    offset: u64,
    /// Bytes that exist in the file already: writing over them is cheap.
    exists: u64,
}

impl<D: Disk> Log<D> {
    /// Opens the log in `options.dir`, making it where there is none, and recovers it.
    ///
    /// # Errors
    /// [`WalError::Locked`], [`WalError::Damaged`], [`WalError::Options`], or what the disk answers.
    pub fn open(disk: D, options: Options, now: WallMs) -> Result<(Self, Recovery), WalError> {
        recover::open(disk, options, now)
    }

    /// Writes `frames`, all or none of them, next to each other in one segment. They are durable after the next
    /// [`Log::sync`]; an append that begins a new segment syncs the frames before it.
    ///
    /// # Errors
    /// [`WalError::FrameTooLarge`], [`WalError::UnsyncedFull`], [`WalError::NoSpace`] and
    /// [`WalError::Io`]: nothing of this call was taken, what was appended before stands.
    /// [`WalError::Poisoned`]: every frame that was not durable is dropped, those of earlier calls too.
    pub fn append<I>(&mut self, frames: I, now: WallMs) -> Result<Appended, WalError>
    where
        I: IntoIterator,
        I::Item: Payload,
    {
        if self.active.is_none() {
            self.begin(&[], now)?;
        }
        let before = self.unsynced.len();
        let taken = self.encode(frames, now).and_then(|count| {
            if count > 0 {
                self.place_batch(before, now)?;
            }
            Ok(count)
        });
        match taken {
            Ok(count) => {
                let first = self.next;
                self.next += count;
                Ok(Appended { first, next: self.next })
            }
            Err(error) => {
                // After poisoning the buffer is empty already.
                self.unsynced.truncate(before);
                self.places.retain(|place| place.seq < self.next);
                Err(error)
            }
        }
    }

    /// Makes every appended frame durable.
    ///
    /// # Errors
    /// [`WalError::Poisoned`]: every frame that was not durable is dropped.
    pub fn sync(&mut self, now: WallMs) -> Result<Durable, WalError> {
        let Some(active) = self.active.as_ref().filter(|_| !self.unsynced.is_empty()) else {
            return Ok(Durable { next: self.durable });
        };
        match active.file.sync_data() {
            Ok(()) => {
                self.counters.synced += 1;
                self.settle();
            }
            Err(source) => self.escape(source, now)?,
        }
        Ok(Durable { next: self.durable })
    }

    /// Records that everything is durable, and releases the directory. Dropping a log is a crash of it:
    /// safe, but damage to the last group then looks like a torn tail.
    ///
    /// # Errors
    /// As [`Log::sync`].
    pub fn close(mut self, now: WallMs) -> Result<Durable, WalError> {
        let durable = self.sync(now)?;
        if let Some(active) = &self.active {
            let mark = self.mark(active, now);
            encode_mark(&mut self.unsynced, active.offset, &mark, &active.seeds);
            self.write(0, now)?;
            self.sync(now)?;
        }
        Ok(durable)
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.table.infos()
    }

    /// What the segments take together.
    pub fn extent(&self) -> Extent {
        self.table.extent()
    }

    /// The oldest frame held.
    pub fn first(&self) -> u64 {
        self.table.first()
    }

    /// The number the next frame will have.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// One past the newest durable frame.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Bytes that await a sync.
    pub fn unsynced_bytes(&self) -> u64 {
        self.unsynced.len() as u64
    }

    /// What happened since opening.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The log's directory.
    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// A reader of the durable frames; cheap to clone, and it outlives the log.
    pub fn reader(&self) -> Reader<D> {
        Reader::new(Arc::clone(&self.table))
    }

    pub(crate) fn table(&self) -> &Arc<Table<D>> {
        &self.table
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Encodes a batch behind what is unsynced, for the active segment; answers how many frames.
    fn encode<I>(&mut self, frames: I, now: WallMs) -> Result<u64, WalError>
    where
        I: IntoIterator,
        I::Item: Payload,
    {
        let Some(active) = &self.active else { return Ok(0) };
        let start = self.unsynced.len();
        let mut seq = self.next;
        let max = self.options.frame_bytes_max.min(FRAME_BYTES_LIMIT);
        let mark = self.mark(active, now);
        encode_mark(&mut self.unsynced, active.offset, &mark, &active.seeds);
        for frame in frames {
            let offset = active.offset + (self.unsynced.len() - start) as u64;
            let len = put_frame(&mut self.unsynced, seq, &active.seeds, |out| frame.put(out));
            if len > max as usize {
                return Err(WalError::FrameTooLarge { bytes: len as u64, max: u64::from(max) });
            }
            let bytes = self.unsynced.len() as u64;
            if bytes > self.options.unsynced_bytes_max {
                return Err(WalError::UnsyncedFull { bytes, max: self.options.unsynced_bytes_max });
            }
            note(&mut self.places, Place { seq, offset, epoch: active.seeds.epoch });
            seq += 1;
        }
        if seq == self.next {
            self.unsynced.truncate(start);
        }
        Ok(seq - self.next)
    }

    fn mark(&self, active: &Active<D>, now: WallMs) -> Mark {
        let epoch = active.seeds.epoch;
        Mark { seq: self.next, durable: self.durable, epoch, previous: epoch, wall: now }
    }

    /// Brings the batch encoded from `from` on to the disk: into this segment, or a new one where it is full.
    fn place_batch(&mut self, from: usize, now: WallMs) -> Result<(), WalError> {
        let Some(active) = &self.active else { return Ok(()) };
        let bytes = (self.unsynced.len() - from) as u64;
        let fits = active.offset + bytes <= self.options.segment_bytes.max(active.segment.header.capacity);
        let lone = active.segment.header.first == self.next;
        if fits || lone {
            match self.write(from, now) {
                // This file cannot grow, but a recycled one has its bytes already.
                Err(WalError::NoSpace { .. }) if !lone && self.spares.len() > 0 => {}
                done => return done,
            }
        }
        let batch = self.unsynced.split_off(from);
        self.sync(now)?;
        self.begin(&batch, now)?;
        self.counters.rolled += 1;
        Ok(())
    }

    /// Writes what is encoded from `from` on.
    fn write(&mut self, from: usize, now: WallMs) -> Result<(), WalError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let bytes = self.unsynced.get(from..).unwrap_or_default();
        let end = active.offset + bytes.len() as u64;
        let written = match active.reserve(end + CLOSING_BYTES, self.options.zero_ahead_bytes) {
            Err(source) if is_full(&source) => {
                return Err(WalError::io("grow", &active.segment.path, source));
            }
            Err(source) => Err(source),
            Ok(()) => active.file.write_all_at(bytes, active.offset),
        };
        match written {
            Ok(()) => {
                active.offset = end;
                Ok(())
            }
            Err(source) => self.escape(source, now),
        }
    }

    /// Everything written is durable: says so to the readers.
    fn settle(&mut self) {
        let Some(active) = &self.active else { return };
        self.durable = self.next;
        for place in self.places.drain(..) {
            active.segment.remember(place);
        }
        self.table.publish(End { seq: self.durable, offset: active.offset });
        self.clear_unsynced();
    }

    fn clear_unsynced(&mut self) {
        self.places.clear();
        self.unsynced.clear();
        self.unsynced.shrink_to(BUFFER_KEPT_BYTES);
    }

    /// The active segment failed with `source`: gives it up for good and brings what is unsynced to safety in a
    /// new one, or drops it.
    fn escape(&mut self, source: io::Error, now: WallMs) -> Result<(), WalError> {
        let Some(active) = self.active.take() else { return Ok(()) };
        self.counters.poisoned += 1;
        self.poisoned.push(active.segment.header.id);
        let carried = std::mem::take(&mut self.unsynced);
        self.begin(&carried, now).map_err(|error| {
            self.clear_unsynced();
            self.next = self.durable;
            let source = match error {
                WalError::Io { source, .. }
                | WalError::NoSpace { source, .. }
                | WalError::ReadOnly { source, .. } => source,
                _ => Arc::new(source),
            };
            WalError::Poisoned { segment: active.segment.path.clone(), durable: self.durable, source }
        })
    }
}

impl<D: Disk> Active<D> {
    /// Has bytes to write over up to `end`, and where they are missing, `ahead` more while at it.
    fn reserve(&mut self, end: u64, ahead: u64) -> io::Result<()> {
        if end <= self.exists {
            return Ok(());
        }
        let ahead = (self.exists + ahead).min(self.segment.header.capacity).max(end);
        let reached = match zero(&*self.file, self.exists, ahead) {
            Err(error) if is_full(&error) && ahead > end => zero(&*self.file, self.exists, end).map(|()| end),
            zeroed => zeroed.map(|()| ahead),
        };
        self.exists = reached?;
        Ok(())
    }
}

/// Writes zeros from `from` up to `to`.
fn zero<F: DiskFile>(file: &F, mut from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; to.saturating_sub(from).min(ZEROS_BYTES) as usize];
    while from < to {
        let now = (to - from).min(ZEROS_BYTES);
        file.write_all_at(zeros.get(..now as usize).unwrap_or_default(), from)?;
        from += now;
    }
    Ok(())
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
