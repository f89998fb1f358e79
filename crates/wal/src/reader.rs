//! Reading from any place, many frames to a system call.

use crate::disk::{Disk, DiskFile};
use crate::error::{Damage, WalError};
use crate::format::{Item, MARK_BYTES, Seeds, parse};
use crate::log::table::{Place, Slice, Table};
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The least that is read at a time: with small frames, thousands to a system call.
const CHUNK_BYTES_MIN: usize = 256 << 10;
/// The most, except for a frame that is larger.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// How much to read at most. At least one frame is returned where there is one, whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Frames.
    pub frames: usize,
    /// Bytes of payload.
    pub bytes: usize,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number.
    pub seq: u64,
    /// What was appended; a slice of the read's buffer, which lives as long as any slice of it.
    pub payload: Bytes,
}

/// What a read found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// The frames, their numbers without gaps.
    pub frames: Vec<Frame>,
    /// Where the next read begins.
    pub next: u64,
}

/// Reads durable frames. Cheap to clone; each clone remembers its own place.
pub struct Reader<D: Disk> {
    table: Arc<Table<D>>,
    /// Where the last read ended, so that the next one need not look for its place.
    left_off: Mutex<Option<(u64, Place)>>,
    /// Bytes on disk of a frame of the last read, on average: what the next one asks the disk for, so that
    /// little is read only to be read again.
    frame_bytes: AtomicUsize,
}

impl<D: Disk> Clone for Reader<D> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.table))
    }
}

impl<D: Disk> Reader<D> {
    pub(crate) fn new(table: Arc<Table<D>>) -> Self {
        Self { table, left_off: Mutex::new(None), frame_bytes: AtomicUsize::new(0) }
    }

    /// Reads durable frames from number `from` on, out of one segment. Empty only at the end of the log.
    ///
    /// # Errors
    /// [`WalError::OutOfRange`] below [`Reader::first`] or above [`Reader::next`]; [`WalError::Damaged`] with
    /// the place; what the disk answers.
    pub fn read(&self, from: u64, limit: Limit) -> Result<Frames, WalError> {
        loop {
            let slice = self.table.slice(from)?;
            if from >= slice.next {
                return Ok(Frames { frames: Vec::new(), next: from });
            }
            match self.read_slice(&slice, from, limit) {
                // Deleted, perhaps recycled, while it was read: the next look-up says so.
                Err(_) if !self.table.holds(slice.segment.header.id) => {}
                done => return done,
            }
        }
    }

    /// The oldest frame held.
    pub fn first(&self) -> u64 {
        self.table.first()
    }

    /// One past the newest durable frame.
    pub fn next(&self) -> u64 {
        self.table.durable()
    }

    fn read_slice(&self, slice: &Slice<D>, from: u64, limit: Limit) -> Result<Frames, WalError> {
        let segment = &slice.segment;
        let id = segment.header.id;
        let left_off = *self.left_off.lock().unwrap_or_else(PoisonError::into_inner);
        let mut place = match left_off {
            Some((of, place)) if of == id && place.seq == from => place,
            _ => self.table.place(slice, from)?,
        };
        let file = self.table.file(segment)?;
        let end = slice.end.unwrap_or(u64::MAX);
        let mut seeds = Seeds::new(segment.header.salt, place.epoch);
        let guess = limit.frames.saturating_mul(self.frame_bytes.load(Relaxed));
        let mut chunk = limit.bytes.min(guess).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        let began = place;
        let mut taken = Taken { frames: Vec::new(), limit, bytes: 0 };
        while taken.frames.is_empty() {
            let want = end.saturating_sub(place.offset).min(chunk as u64) as usize;
            let mut buffer = vec![0; want];
            let read = file.read_at(&mut buffer, place.offset);
            let read = read.map_err(|source| WalError::io("read", &segment.path, source))?;
            buffer.truncate(read);
            let stop = taken.take(&Bytes::from(buffer), &mut place, &mut seeds, from, slice.next);
            let damaged = match stop {
                Stop::Short { need } => {
                    let more = read == want && place.offset + (read as u64) < end;
                    chunk = chunk.max(need);
                    !more
                }
                Stop::Invalid => true,
                Stop::Enough => break,
            };
            if damaged && taken.frames.is_empty() {
                let (offset, seq) = (place.offset, place.seq);
                let segment = segment.path.clone();
                return Err(WalError::Damaged { segment, offset, seq, damage: Damage::Frame });
            }
        }
        let walked = place.offset.saturating_sub(began.offset).div_ceil((place.seq - began.seq).max(1));
        self.frame_bytes.store(walked as usize, Relaxed);
        *self.left_off.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, place));
        Ok(Frames { frames: taken.frames, next: place.seq })
    }
}

/// Why the walk through a buffer ended.
enum Stop {
    /// The limit or the end was reached.
    Enough,
    /// The buffer ends within an item.
    Short { need: usize },
    /// Nothing valid stands there.
    Invalid,
}

/// Frames taken so far.
struct Taken {
    frames: Vec<Frame>,
    limit: Limit,
    bytes: usize,
}

impl Taken {
    /// Takes frames numbered `from` to `next` out of `buffer`, which begins at `place`; moves the place.
    fn take(&mut self, buffer: &Bytes, place: &mut Place, seeds: &mut Seeds, from: u64, next: u64) -> Stop {
        let mut at = 0;
        loop {
            if place.seq >= next || self.frames.len() >= self.limit.frames.max(1) {
                return Stop::Enough;
            }
            let rest = buffer.get(at..).unwrap_or_default();
            let step = match parse(rest, place.offset, place.seq, seeds) {
                Item::Frame { payload, total } => {
                    if place.seq >= from {
                        if !self.frames.is_empty() && self.bytes + payload.len() > self.limit.bytes {
                            return Stop::Enough;
                        }
                        self.bytes += payload.len();
                        let payload = buffer.slice(at + payload.start..at + payload.end);
                        self.frames.push(Frame { seq: place.seq, payload });
                    }
                    place.seq += 1;
                    total
                }
                Item::Mark(mark) => {
                    *seeds = seeds.with_epoch(mark.epoch);
                    place.epoch = mark.epoch;
                    MARK_BYTES
                }
                Item::Short { need } => return Stop::Short { need },
                Item::Invalid => return Stop::Invalid,
            };
            at += step;
            place.offset += step as u64;
        }
    }
}
