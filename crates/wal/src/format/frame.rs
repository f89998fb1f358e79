//! Frames and marks: encoding straight into the write buffer, parsing straight from the read buffer.

use super::FRAME_BYTES_LIMIT;
use super::header::{u32_at, u64_at};
use seawall_core::WallMs;
use std::ops::Range;

/// Items begin at multiples of this.
pub(crate) const ALIGN: usize = 8;
/// A mark's size.
pub(crate) const MARK_BYTES: usize = PREFIX + MARK_BODY;

const PREFIX: usize = 16;
const MARK_BODY: usize = 32;
const FRAME: u32 = 1 << 30;
const MARK: u32 = 1 << 31;

/// What checksums are seeded with in one epoch of one segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeds {
    salt: u64,
    /// The epoch in force.
    pub(crate) epoch: u64,
    frame: u32,
    mark: u32,
}

impl Seeds {
    pub(crate) fn new(salt: u64, epoch: u64) -> Self {
        let mark = crc32c::crc32c(&salt.to_le_bytes());
        Self { salt, epoch, mark, frame: crc32c::crc32c_append(mark, &epoch.to_le_bytes()) }
    }

    pub(crate) fn with_epoch(&self, epoch: u64) -> Self {
        if epoch == self.epoch { *self } else { Self::new(self.salt, epoch) }
    }
}

/// A claim about what was durable when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The number of the frame that follows.
    pub(crate) seq: u64,
    /// Every frame below was durable.
    pub(crate) durable: u64,
    /// The epoch of what follows.
    pub(crate) epoch: u64,
    /// The epoch of what precedes.
    pub(crate) previous: u64,
    /// When it was written.
    pub(crate) wall: WallMs,
}

/// What stands at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// The frame that was expected; the payload's range and the whole size, from the start of the item.
    Frame { payload: Range<usize>, total: usize },
    /// A mark that continues this epoch or begins the next.
    Mark(Mark),
    /// Perhaps a frame: so many bytes are needed to tell.
    Short { need: usize },
    /// Neither.
    Invalid,
}

/// The size of a frame of `payload` bytes on disk.
pub(crate) fn frame_bytes(payload: usize) -> usize {
    (PREFIX + payload).next_multiple_of(ALIGN)
}

/// Appends a frame to `out`. The caller has checked its size against [`FRAME_BYTES_LIMIT`].
pub(crate) fn encode_frame(out: &mut Vec<u8>, seq: u64, payload: &[u8], seeds: &Seeds) {
    let _ = put_frame(out, seq, seeds, |out| out.extend_from_slice(payload));
}

/// Appends to `out` a frame whose payload `put` appends; answers the payload's size, which the caller must check
/// against [`FRAME_BYTES_LIMIT`] before it uses the frame.
pub(crate) fn put_frame(out: &mut Vec<u8>, seq: u64, seeds: &Seeds, put: impl FnOnce(&mut Vec<u8>)) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    put(out);
    let len = out.len() - start - PREFIX;
    let word = (len as u32 & FRAME_BYTES_LIMIT) | FRAME;
    out[start..start + 4].copy_from_slice(&word.to_le_bytes());
    out[start + 8..start + PREFIX].copy_from_slice(&seq.to_le_bytes());
    let crc = crc32c::crc32c_append(seeds.frame, &word.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    let padding = frame_bytes(len) - PREFIX - len;
    out.extend_from_slice(&[0; ALIGN][..padding]);
    len
}

/// Appends a mark to `out`, to be written at byte `offset` of its file.
pub(crate) fn encode_mark(out: &mut Vec<u8>, offset: u64, mark: &Mark, seeds: &Seeds) {
    let start = out.len();
    out.extend_from_slice(&(MARK_BODY as u32 | MARK).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for field in [mark.seq, mark.durable, mark.epoch, mark.previous] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&mark.wall.0.to_le_bytes());
    let crc = mark_checksum(&out[start..], offset, seeds);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// What stands at the start of `bytes`, which is byte `offset` of its file, where frame `seq` is expected.
pub(crate) fn parse(bytes: &[u8], offset: u64, seq: u64, seeds: &Seeds) -> Item {
    if bytes.len() < PREFIX {
        return Item::Short { need: PREFIX };
    }
    let word = u32_at(bytes, 0);
    if word & MARK != 0 {
        if bytes.len() < MARK_BYTES {
            return Item::Short { need: MARK_BYTES };
        }
        return match parse_mark(bytes, offset, seeds) {
            Some(mark) if mark.seq == seq && mark.previous == seeds.epoch => Item::Mark(mark),
            _ => Item::Invalid,
        };
    }
    if word & FRAME == 0 || u64_at(bytes, 8) != seq {
        return Item::Invalid;
    }
    let len = (word & FRAME_BYTES_LIMIT) as usize;
    let total = frame_bytes(len);
    if bytes.len() < total {
        return Item::Short { need: total };
    }
    let crc = crc32c::crc32c_append(seeds.frame, &bytes[..4]);
    let crc = crc32c::crc32c_append(crc, &bytes[8..PREFIX + len]);
    if crc == u32_at(bytes, 4) { Item::Frame { payload: PREFIX..PREFIX + len, total } } else { Item::Invalid }
}

/// A valid mark of this segment at the start of `bytes`, of whatever epoch.
pub(crate) fn parse_mark(bytes: &[u8], offset: u64, seeds: &Seeds) -> Option<Mark> {
    let bytes: &[u8; MARK_BYTES] = bytes.first_chunk()?;
    if u32_at(bytes, 0) != MARK_BODY as u32 | MARK || u32_at(bytes, 4) != mark_checksum(bytes, offset, seeds)
    {
        return None;
    }
    Some(Mark {
        seq: u64_at(bytes, 8),
        durable: u64_at(bytes, 16),
        epoch: u64_at(bytes, 24),
        previous: u64_at(bytes, 32),
        wall: WallMs(u64_at(bytes, 40) as i64),
    })
}

/// The payloads in bytes that this process encoded itself and kept in memory.
pub(crate) fn payloads(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        while u32_at(rest, 0) & MARK != 0 {
            rest = rest.get(MARK_BYTES..)?;
        }
        let len = (u32_at(rest, 0) & FRAME_BYTES_LIMIT) as usize;
        let payload = rest.get(PREFIX..PREFIX + len)?;
        rest = rest.get(frame_bytes(len)..)?;
        Some(payload)
    })
}

/// Without any checksum: the size of what looks like frame `seq`. Good for saying how far a torn tail reaches,
/// and for nothing else.
pub(crate) fn hop(bytes: &[u8], seq: u64) -> Option<usize> {
    let word = u32_at(bytes, 0);
    let looks = bytes.len() >= PREFIX && word & (MARK | FRAME) == FRAME && u64_at(bytes, 8) == seq;
    looks.then(|| frame_bytes((word & FRAME_BYTES_LIMIT) as usize))
}

fn mark_checksum(mark: &[u8], offset: u64, seeds: &Seeds) -> u32 {
    let crc = crc32c::crc32c_append(seeds.mark, &offset.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &mark[..4]);
    crc32c::crc32c_append(crc, &mark[8..MARK_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK_AT: u64 = 4096;

    fn mark() -> Mark {
        Mark { seq: 5, durable: 4, epoch: 9, previous: 8, wall: WallMs(-1) }
    }

    #[test]
    fn a_frame_is_read_only_under_its_own_number_salt_and_epoch() {
        let seeds = Seeds::new(1, 2);
        let mut out = Vec::new();
        encode_frame(&mut out, 5, b"hello", &seeds);
        assert_eq!(parse(&out, 0, 5, &seeds), Item::Frame { payload: 16..21, total: 24 });
        assert_eq!(parse(&out, 0, 6, &seeds), Item::Invalid);
        assert_eq!(parse(&out, 0, 5, &Seeds::new(1, 3)), Item::Invalid);
        assert_eq!(parse(&out, 0, 5, &Seeds::new(2, 2)), Item::Invalid);
        assert_eq!(parse(&out[..20], 0, 5, &seeds), Item::Short { need: 24 });
    }

    #[test]
    fn a_mark_is_read_only_at_its_own_place_after_its_own_epoch() {
        let mut out = Vec::new();
        encode_mark(&mut out, MARK_AT, &mark(), &Seeds::new(1, 8));
        assert_eq!(parse(&out, MARK_AT, 5, &Seeds::new(1, 8)), Item::Mark(mark()));
        assert_eq!(parse(&out, MARK_AT + 8, 5, &Seeds::new(1, 8)), Item::Invalid);
        assert_eq!(parse(&out, MARK_AT, 5, &Seeds::new(1, 9)), Item::Invalid);
        assert_eq!(parse(&out, MARK_AT, 5, &Seeds::new(2, 8)), Item::Invalid);
        assert_eq!(parse(&out, MARK_AT, 6, &Seeds::new(1, 8)), Item::Invalid);
    }

    #[test]
    fn zeros_are_no_frame_even_where_frame_zero_is_expected() {
        assert_eq!(parse(&[0; 64], 0, 0, &Seeds::new(0, 0)), Item::Invalid);
    }
}
