//! A set of offsets that is cheap where it is contiguous.
//!
//! Offsets are grouped in chunks of 4,096. An empty chunk is not stored; a full one is part of a run of full
//! chunks, 16 bytes for any length; only a mixed one has its 512 bytes of bits. So a billion settled offsets
//! behind one stuck record cost nothing, and settled at random they cost a bit each: the two shapes that a
//! list of runs and a plain bitmap are each bad at.

use seawall_core::Offset;
use std::collections::BTreeMap;

const CHUNK_BITS: u32 = 12;
const CHUNK: u64 = 1 << CHUNK_BITS;
const WORDS: usize = (CHUNK / 64) as usize;

#[derive(Clone, Debug)]
struct Chunk {
    words: [u64; WORDS],
    ones: u32,
}

/// A set of offsets.
#[derive(Clone, Debug, Default)]
pub struct OffsetSet {
    /// Chunks that are neither empty nor full, by number.
    mixed: BTreeMap<u64, Box<Chunk>>,
    /// Runs of full chunks: first chunk, one past the last. Never adjacent to each other.
    full: BTreeMap<u64, u64>,
}

impl OffsetSet {
    /// Adds one. False when it was there.
    pub fn insert(&mut self, offset: Offset) -> bool {
        let number = offset >> CHUNK_BITS;
        if let Some(chunk) = self.mixed.get_mut(&number) {
            let (word, bit) = place(offset);
            if chunk.words[word] & bit != 0 {
                return false;
            }
            chunk.words[word] |= bit;
            chunk.ones += 1;
            if u64::from(chunk.ones) == CHUNK {
                self.mixed.remove(&number);
                self.insert_full(number, number + 1);
            }
            return true;
        }
        if self.is_full(number).is_some() {
            return false;
        }
        let (word, bit) = place(offset);
        let mut chunk = Box::new(Chunk { words: [0; WORDS], ones: 1 });
        chunk.words[word] = bit;
        self.mixed.insert(number, chunk);
        true
    }

    /// Adds `from` up to but without `to`. How many were new.
    pub fn insert_range(&mut self, from: Offset, to: Offset) -> u64 {
        let mut added = 0;
        let mut at = from;
        while at < to && !at.is_multiple_of(CHUNK) {
            added += u64::from(self.insert(at));
            at += 1;
        }
        let (first, last) = (at >> CHUNK_BITS, to >> CHUNK_BITS);
        if first < last && at < to {
            added += self.cover(first, last);
            at = last << CHUNK_BITS;
        }
        while at < to {
            added += u64::from(self.insert(at));
            at += 1;
        }
        added
    }

    /// Fills whole chunks. How many offsets were new.
    fn cover(&mut self, first: u64, last: u64) -> u64 {
        let mut had = 0;
        let mixed: Vec<u64> = self.mixed.range(first..last).map(|(number, _)| *number).collect();
        for number in mixed {
            had += self.mixed.remove(&number).map_or(0, |chunk| u64::from(chunk.ones));
        }
        let before = self.full.range(..first).next_back().map(|(start, end)| (*start, *end));
        let within = self.full.range(first..last).map(|(start, end)| (*start, *end));
        for (start, end) in before.into_iter().chain(within) {
            had += end.min(last).saturating_sub(start.max(first)) * CHUNK;
        }
        self.insert_full(first, last);
        (last - first) * CHUNK - had
    }

    /// Adds a run of full chunks, joined with what it overlaps or touches.
    fn insert_full(&mut self, mut first: u64, mut last: u64) {
        if let Some((start, end)) = self.full.range(..first).next_back().map(|(s, e)| (*s, *e))
            && end >= first
        {
            first = start;
            last = last.max(end);
        }
        while let Some((start, end)) = self.full.range(first..=last).next().map(|(s, e)| (*s, *e)) {
            self.full.remove(&start);
            last = last.max(end);
        }
        self.full.insert(first, last);
    }

    /// One past the last chunk of the full run that `number` lies in.
    fn is_full(&self, number: u64) -> Option<u64> {
        self.full.range(..=number).next_back().map(|(_, end)| *end).filter(|end| *end > number)
    }

    /// Whether `offset` is in the set.
    pub fn contains(&self, offset: Offset) -> bool {
        let number = offset >> CHUNK_BITS;
        match self.mixed.get(&number) {
            Some(chunk) => {
                let (word, bit) = place(offset);
                chunk.words[word] & bit != 0
            }
            None => self.is_full(number).is_some(),
        }
    }

    /// The lowest offset at or above `from` that is not in the set.
    pub fn first_absent(&self, mut from: Offset) -> Offset {
        loop {
            let number = from >> CHUNK_BITS;
            if let Some(chunk) = self.mixed.get(&number) {
                match chunk.find(from % CHUNK, false) {
                    Some(bit) => return (number << CHUNK_BITS) + bit,
                    None => from = (number + 1) << CHUNK_BITS,
                }
            } else if let Some(end) = self.is_full(number) {
                from = end.saturating_mul(CHUNK);
            } else {
                return from;
            }
        }
    }

    /// The lowest offset at or above `from` that is in the set.
    pub fn first_present(&self, from: Offset) -> Option<Offset> {
        let number = from >> CHUNK_BITS;
        if self.is_full(number).is_some() {
            return Some(from);
        }
        let full = self.full.range(number..).next().map(|(start, _)| start << CHUNK_BITS);
        let mixed = self.mixed.range(number..).find_map(|(at, chunk)| {
            let start = if *at == number { from % CHUNK } else { 0 };
            chunk.find(start, true).map(|bit| (at << CHUNK_BITS) + bit)
        });
        match (full, mixed) {
            (Some(full), Some(mixed)) => Some(full.min(mixed)),
            (one, other) => one.or(other),
        }
    }

    /// Maximal runs `(start, end)` at or above `from`, in order, `end` exclusive.
    pub fn runs(&self, from: Offset) -> impl Iterator<Item = (Offset, Offset)> + '_ {
        let mut at = from;
        std::iter::from_fn(move || {
            let start = self.first_present(at)?;
            at = self.first_absent(start);
            Some((start, at))
        })
    }

    /// How many lie at or above `from`.
    pub fn count_from(&self, from: Offset) -> u64 {
        self.runs(from).map(|(start, end)| end - start).sum()
    }

    /// Gives memory back that holds nothing at or above `offset`. Some lower offsets may stay.
    pub fn forget_below(&mut self, offset: Offset) {
        let number = offset >> CHUNK_BITS;
        while let Some(entry) = self.mixed.first_entry()
            && *entry.key() < number
        {
            entry.remove();
        }
        while let Some(entry) = self.full.first_entry()
            && *entry.get() <= number
        {
            entry.remove();
        }
    }

    /// Takes out everything at or above `from`.
    pub fn truncate(&mut self, from: Offset) {
        let whole = std::mem::take(self);
        for (start, end) in whole.runs(0).take_while(|(start, _)| *start < from) {
            self.insert_range(start, end.min(from));
        }
    }

    /// Bytes held, without the allocator's overhead.
    pub fn heap_bytes(&self) -> usize {
        self.mixed.len() * (size_of::<Chunk>() + 16) + self.full.len() * 16
    }
}

impl Chunk {
    /// The lowest bit at or above `from` that is set (or clear).
    fn find(&self, from: u64, set: bool) -> Option<u64> {
        let flip = if set { 0 } else { u64::MAX };
        let first = (from / 64) as usize;
        let mut mask = u64::MAX << (from % 64);
        for (at, word) in self.words.iter().enumerate().skip(first) {
            let hits = (word ^ flip) & mask;
            if hits != 0 {
                return Some(at as u64 * 64 + u64::from(hits.trailing_zeros()));
            }
            mask = u64::MAX;
        }
        None
    }
}

fn place(offset: Offset) -> (usize, u64) {
    let bit = offset % CHUNK;
    ((bit / 64) as usize, 1 << (bit % 64))
}
