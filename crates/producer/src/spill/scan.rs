//! What a spill holds, read without opening it: every frame is checked, and nothing is written.

use super::frame::{Content, Decoder, progress_of};
use super::keys::{Bucket, Keys};
use super::progress::{Progress, Proof};
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
}

impl Found {
    pub(super) fn nothing() -> Self {
        Self { progress: Progress::from(0), next: 0, keys: Keys::new(), records: 0, bytes: 0 }
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
    let mut decoder = Decoder::default();
    walk(reader, watermark.min(reader.next()), |frame| {
        let (seq, bytes) = (frame.seq, frame.payload.len() as u64);
        if found.progress.is_done(seq) {
            return Ok(());
        }
        match decoder.decode(frame.payload).map_err(|source| OpenError::Frame { seq, source })? {
            Content::Record(outgoing) => {
                found.records += 1;
                found.bytes += bytes;
                found.keys.spill(Bucket::of(&outgoing.topic, outgoing.record.key.as_deref()));
            }
            Content::Progress(_) | Content::Refused { .. } => found.progress.done(seq),
        }
        Ok(())
    })?;
    Ok(found)
}
