//! Beginning a segment: made whole under another name, then given its own.

use super::table::{End, Place, Segment, note};
use super::{Active, CLOSING_BYTES, Log, is_full, zero};
use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::format::{HEADER_BYTES, Header, Mark, Seeds, encode_frame, encode_mark, payloads};
use seawall_core::WallMs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file name of segment `id`.
pub(crate) fn segment_name(id: u64) -> String {
    format!("{id:016x}.wal")
}

/// The file name of spare `id`.
pub(crate) fn spare_name(id: u64) -> String {
    format!("{id:016x}.spare")
}

/// The id in a name with this ending.
pub(crate) fn id_of(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    let plain = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

impl<D: Disk> Log<D> {
    /// Begins a segment at the watermark, with the frames in `carried` (encoded for another one) as its first, all
    /// of it durable on return. On failure nothing of `carried` counts, and there may be no segment to write to.
    pub(super) fn begin(&mut self, carried: &[u8], now: WallMs) -> Result<(), WalError> {
        let (id, salt, epoch) = (self.fresh_id(), self.disk.entropy(), self.disk.entropy());
        let mut header = Header { id, salt, epoch, first: self.durable, created: now, capacity: 0 };
        let seeds = Seeds::new(salt, epoch);
        let (body, places, next) = encode_body(carried, &header, &seeds);
        let end = HEADER_BYTES + body.len() as u64;
        header.capacity = self.options.segment_bytes.max(end + CLOSING_BYTES);
        let mut bytes = Vec::with_capacity(end as usize);
        header.encode(&mut bytes);
        bytes.extend_from_slice(&body);

        let spare = self.spares.take();
        let recycled = spare.is_some();
        let from = spare.unwrap_or_else(|| self.options.dir.join(spare_name(id)));
        let path = self.options.dir.join(segment_name(id));
        let made = self.make(&from, recycled, &bytes);
        let (file, exists) = made.inspect_err(|_| {
            // Not to be trusted any more. Where the removal fails, opening the log will try again.
            let _ = self.disk.remove(&from);
        })?;
        self.name(&from, &path).inspect_err(|_| {
            // A crash may bring the name back, and what the file holds then counts from the watermark on. So the
            // segment before it must take no more frames: the next one begun will stand above both.
            self.active = None;
            if self.remove(&path).is_err() {
                self.strays.push(path.clone());
            }
        })?;
        self.counters.recycled += u64::from(recycled);

        let file = Arc::new(file);
        let segment = Arc::new(Segment::new(header, path, Some(Arc::clone(&file))));
        for place in places {
            segment.remember(place);
        }
        self.table.push(Arc::clone(&segment), End { seq: next, offset: end });
        self.clear_unsynced();
        self.durable = next;
        self.active = Some(Active { segment, file, seeds, offset: end, exists });
        Ok(())
    }

    pub(super) fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Writes the segment into `from`, durably; answers the file and how many bytes of it exist.
    fn make(&self, from: &Path, recycled: bool, bytes: &[u8]) -> Result<(D::File, u64), WalError> {
        let io = |op, path: &Path| {
            let path: PathBuf = path.to_owned();
            move |source: io::Error| WalError::io(op, &path, source)
        };
        let file =
            if recycled { self.disk.open(from) } else { self.disk.create(from) }.map_err(io("open", from))?;
        file.write_all_at(bytes, 0).map_err(io("write", from))?;
        let written = bytes.len() as u64;
        let mut exists = file.len().map_err(io("measure", from))?.max(written);
        let ahead =
            self.options.zero_ahead_bytes.min(self.options.segment_bytes).max(written + CLOSING_BYTES);
        if exists < ahead {
            exists = match zero(&file, exists, ahead) {
                Err(error) if is_full(&error) => written,
                zeroed => zeroed.map(|()| ahead).map_err(io("write", from))?,
            };
        }
        file.sync_data().map_err(io("sync", from))?;
        Ok((file, exists))
    }

    /// Makes it a segment, durably.
    fn name(&self, from: &Path, to: &Path) -> Result<(), WalError> {
        let dir = &self.options.dir;
        self.disk.rename(from, to).map_err(|source| WalError::io("rename", from, source))?;
        // Never by the name of a disk without room, or a read-only one, which say that nothing was written: the name may
        // be there, and what the file carries then counts.
        self.disk.sync_dir(dir).map_err(|source| WalError::Io {
            op: "sync",
            path: dir.clone(),
            source: Arc::new(source),
        })
    }
}

/// Encodes carried frames anew: the bytes behind the header, their places, and one past the last of them.
fn encode_body(carried: &[u8], header: &Header, seeds: &Seeds) -> (Vec<u8>, Vec<Place>, u64) {
    let (mut body, mut places, mut seq) = (Vec::new(), Vec::new(), header.first);
    for payload in payloads(carried) {
        if body.is_empty() {
            let epoch = header.epoch;
            let mark = Mark { seq, durable: seq, epoch, previous: epoch, wall: header.created };
            encode_mark(&mut body, HEADER_BYTES, &mark, seeds);
        }
        note(&mut places, Place { seq, offset: HEADER_BYTES + body.len() as u64, epoch: header.epoch });
        encode_frame(&mut body, seq, payload, seeds);
        seq += 1;
    }
    (body, places, seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ours() {
        assert_eq!(id_of(&segment_name(0xab), ".wal"), Some(0xab));
        for name in ["ab.wal", "+0000000000000ab.wal", "00000000000000AB.wal", "00000000000000ab.wal.bak"] {
            assert_eq!(id_of(name, ".wal"), None, "{name}");
        }
    }
}
