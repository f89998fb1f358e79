//! What a spill holds, read without opening it: every frame is checked, and nothing is written.

use super::frame::{Content, progress_of};
use super::keys::{Bucket, Keys};
use super::progress::{Progress, Proof};
use super::unpack::{Unpacked, Unpacker};
use crate::error::OpenError;
use seawall_wal::{Disk, Frame, Limit, Reader};

/// What is read at a time.
const CHUNK: Limit = Limit { frames: 8192, bytes: 1 << 20 };

/// What is to be delivered.
pub(crate) struct Found {
    pub(crate) progress: Progress,
    /// One past the last frame.
    pub(crate) next: u64,
    pub(crate) keys: Keys,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Records that a sink refused for good.
    pub(super) refused: u64,
}

impl Found {
    pub(super) fn nothing() -> Self {
        Self { progress: Progress::from(0), next: 0, keys: Keys::new(), records: 0, bytes: 0, refused: 0 }
    }

    fn count(&mut self, item: Unpacked) {
        match item.content {
            Content::Record(outgoing) => {
                self.records += 1;
                self.bytes += item.bytes as u64;
                self.keys.spill(Bucket::of(&outgoing.topic, outgoing.record.key.as_deref()));
            }
            Content::Refused { .. } => self.refused += 1,
            Content::Progress(_) | Content::Nothing => self.progress.done(item.seq),
        }
    }
}

/// Calls `each` for every frame from `from` on.
pub(super) fn walk<D: Disk>(
    reader: &Reader<D>,
    from: u64,
    mut each: impl FnMut(Frame) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut at = from;
    loop {
        let read = reader.read(at, CHUNK)?;
        if read.frames.is_empty() {
            return Ok(());
        }
        at = read.next;
        read.frames.into_iter().try_for_each(&mut each)?;
    }
}

/// What was delivered: what the last progress frame says.
pub(super) fn delivered<D: Disk>(reader: &Reader<D>) -> Result<Progress, OpenError> {
    let mut last = Proof::default();
    walk(reader, reader.first(), |frame| {
        last = progress_of(&frame.payload).unwrap_or_else(|| std::mem::take(&mut last));
        Ok(())
    })?;
    Ok(Progress::proven(reader.first(), &last))
}

pub(super) fn scan<D: Disk>(reader: &Reader<D>) -> Result<Found, OpenError> {
    let progress = delivered(reader)?;
    let watermark = progress.watermark();
    let mut found = Found { progress, next: reader.next(), ..Found::nothing() };
    let (mut unpacker, mut read) = (Unpacker::default(), Vec::new());
    walk(reader, watermark.min(reader.next()), |frame| {
        let seq = frame.seq;
        unpacker
            .unpack(frame, |seq| !found.progress.is_done(seq), &mut read)
            .map_err(|source| OpenError::Frame { seq, source })?;
        read.drain(..).for_each(|item| found.count(item));
        Ok(())
    })?;
    unpacker.end(found.next, &mut read);
    read.drain(..).for_each(|item| found.count(item));
    Ok(found)
}
