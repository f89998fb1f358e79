//! Walking through a segment, item by item, with a bounded buffer.

use super::frame::{ALIGN, Item, MARK_BYTES, Mark, Seeds, hop, parse, parse_mark};
use super::header::{HEADER_BYTES, Header};
use crate::disk::DiskFile;
use std::io;

const CHUNK_BYTES: usize = 1 << 20;

/// What the walk met.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A frame.
    Frame,
    /// A mark.
    Mark(Mark),
    /// Nothing valid.
    End,
}

/// Stands at a place of a segment and knows what is expected there.
pub(crate) struct Scanner<'f, F> {
    file: &'f F,
    len: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
    /// Where it stands, in bytes from the start of the file.
    pub(crate) offset: u64,
    /// The frame expected there.
    pub(crate) seq: u64,
    /// What the checksums there are seeded with.
    pub(crate) seeds: Seeds,
}

impl<'f, F: DiskFile> Scanner<'f, F> {
    /// At the first item of the segment.
    pub(crate) fn new(file: &'f F, header: &Header) -> io::Result<Self> {
        Ok(Self {
            file,
            len: file.len()?,
            buffer: Vec::new(),
            buffer_at: 0,
            offset: HEADER_BYTES,
            seq: header.first,
            seeds: Seeds::new(header.salt, header.epoch),
        })
    }

    /// The length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Steps over the next item; stays where it is when there is no valid one.
    pub(crate) fn step(&mut self) -> io::Result<Found> {
        let mut need = MARK_BYTES;
        loop {
            let start = self.fill(need)?;
            match parse(&self.buffer[start..], self.offset, self.seq, &self.seeds) {
                Item::Frame { total, .. } => {
                    self.offset += total as u64;
                    self.seq += 1;
                    return Ok(Found::Frame);
                }
                Item::Mark(mark) => {
                    self.offset += MARK_BYTES as u64;
                    self.seeds = self.seeds.with_epoch(mark.epoch);
                    return Ok(Found::Mark(mark));
                }
                Item::Short { need: more } if self.offset + more as u64 <= self.len => need = more,
                Item::Short { .. } | Item::Invalid => return Ok(Found::End),
            }
        }
    }

    /// The valid marks beyond this place, wherever they stand: calls `each` with offset and mark.
    pub(crate) fn marks_beyond(&mut self, mut each: impl FnMut(u64, Mark)) -> io::Result<()> {
        let stood = self.offset;
        while self.offset + MARK_BYTES as u64 <= self.len {
            let start = self.fill(CHUNK_BYTES)?;
            let bytes = &self.buffer[start..];
            let mut at = 0;
            while at + MARK_BYTES <= bytes.len() {
                if let Some(mark) = parse_mark(&bytes[at..], self.offset + at as u64, &self.seeds) {
                    each(self.offset + at as u64, mark);
                }
                at += ALIGN;
            }
            self.offset += at as u64;
        }
        self.offset = stood;
        Ok(())
    }

    /// How far what looks like frames reaches from here: the end, and how many.
    pub(crate) fn looks_beyond(&mut self) -> io::Result<(u64, u64)> {
        let (stood, mut seq) = (self.offset, self.seq);
        loop {
            let start = self.fill(MARK_BYTES)?;
            match hop(&self.buffer[start..], seq) {
                Some(total) => (self.offset, seq) = (self.offset + total as u64, seq + 1),
                None => break,
            }
        }
        let end = self.offset.min(self.len).max(stood);
        self.offset = stood;
        Ok((end, seq - self.seq))
    }

    /// Has at least `need` bytes from `offset` on in the buffer, or all there are; answers where they begin.
    fn fill(&mut self, need: usize) -> io::Result<usize> {
        let ahead = self.offset.checked_sub(self.buffer_at).filter(|a| *a <= self.buffer.len() as u64);
        if let Some(start) = ahead {
            let held = self.buffer.len() - start as usize;
            if held >= need || self.offset + held as u64 >= self.len {
                return Ok(start as usize);
            }
        }
        let rest = self.len.saturating_sub(self.offset);
        let want = rest.min(need.max(CHUNK_BYTES) as u64) as usize;
        self.buffer.resize(want, 0);
        let read = self.file.read_at(&mut self.buffer, self.offset)?;
        self.buffer.truncate(read);
        self.buffer_at = self.offset;
        if read < want {
            self.len = self.offset + read as u64;
        }
        Ok(0)
    }
}
