//! The bytes of a claim store's log, each frame checksummed by the log beneath.
//!
//! All integers are little-endian. Every frame begins with `0xC1`, the format version (1) and its kind:
//!
//! | kind | name | then |
//! | --- | --- | --- |
//! | 1 | opening | secret (32 bytes), epoch (u32), uptime (u64) |
//! | 2 | claims | uptime (u64), then until the end: key (16), fence (u64), attempt (u32) |
//! | 3 | done | then until the end: key (16), fence (u64), uptime (u64), length (u32), result |
//!
//! *Uptime* is the store's own time in nanoseconds: it goes on while a process has the store open and stands
//! still in between, so that no wall clock decides what is forgotten. An opening is written when the store
//! is opened, when a new epoch of fences begins, and at the head of each snapshot.
//!
//! The order of frames does not matter to their meaning, fences do: of two entries of a key the one with the
//! greater fence holds, and of a claim and a completion under one fence the completion. So a snapshot is
//! only the same entries written again.

use super::error::Flaw;
use super::key::{Key, Secret};
use bytes::Bytes;
use seawall_core::{Fence, Nanos};

pub(super) const TAG: u8 = 0xC1;
const VERSION: u8 = 1;
const OPENING: u8 = 1;
const CLAIMS: u8 = 2;
const DONE: u8 = 3;
/// A frame is ended and another begun above this size.
const FRAME_BYTES: usize = 256 << 10;
/// What an entry of each kind takes, without its result.
pub(super) const CLAIM_BYTES: u64 = 28;
pub(super) const DONE_BYTES: u64 = 36;

/// A claim that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) key: Key,
    pub(super) fence: Fence,
    pub(super) attempt: u32,
}

/// A completion; `at` is uptime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done<R> {
    pub(super) key: Key,
    pub(super) fence: Fence,
    pub(super) at: Nanos,
    pub(super) result: R,
}

/// Who wrote what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) secret: Secret,
    pub(super) epoch: u32,
    pub(super) at: Nanos,
}

/// What a frame says, entry by entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    Opening(Opening),
    /// The time of the claims that follow it.
    Time(Nanos),
    Claimed(Claimed),
    Done(Done<&'a [u8]>),
}

/// Why a frame cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Not one of ours: its first byte.
    Foreign(u8),
    Flawed(Flaw),
}

fn begin(kind: u8, capacity: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(3 + capacity);
    frame.extend([TAG, VERSION, kind]);
    frame
}

pub(super) fn opening(opening: &Opening) -> Bytes {
    let mut frame = begin(OPENING, 44);
    frame.extend(opening.secret);
    frame.extend(opening.epoch.to_le_bytes());
    frame.extend(opening.at.0.to_le_bytes());
    frame.into()
}

pub(super) fn claims(at: Nanos, claims: &[Claimed]) -> Vec<Bytes> {
    let per_frame = FRAME_BYTES / CLAIM_BYTES as usize;
    let frames = claims.chunks(per_frame).map(|chunk| {
        let mut frame = begin(CLAIMS, 8 + chunk.len() * CLAIM_BYTES as usize);
        frame.extend(at.0.to_le_bytes());
        for claim in chunk {
            frame.extend(claim.key.to_le_bytes());
            frame.extend(claim.fence.0.to_le_bytes());
            frame.extend(claim.attempt.to_le_bytes());
        }
        Bytes::from(frame)
    });
    frames.collect()
}

pub(super) fn done<R: AsRef<[u8]>>(entries: &[Done<R>]) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut frame = Vec::new();
    for entry in entries {
        if frame.is_empty() {
            frame = begin(DONE, entries.len().min(4096) * DONE_BYTES as usize);
        }
        let result = entry.result.as_ref();
        frame.extend(entry.key.to_le_bytes());
        frame.extend(entry.fence.0.to_le_bytes());
        frame.extend(entry.at.0.to_le_bytes());
        frame.extend((result.len() as u32).to_le_bytes());
        frame.extend(result);
        if frame.len() >= FRAME_BYTES {
            frames.push(Bytes::from(std::mem::take(&mut frame)));
        }
    }
    if !frame.is_empty() {
        frames.push(frame.into());
    }
    frames
}

/// Takes bytes off the front of a frame.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Unreadable::Flawed(Flaw::Short))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Unreadable::Flawed(Flaw::Short))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Unreadable> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn key(&mut self) -> Result<Key, Unreadable> {
        Ok(Key::from_le_bytes(self.array()?))
    }
}

/// Reads a frame, and gives `take` each entry; nothing is taken from a frame's flaw on.
pub(super) fn read(frame: &[u8], mut take: impl FnMut(Entry<'_>)) -> Result<(), Unreadable> {
    let mut cursor = Cursor(frame);
    let [tag] = cursor.array().map_err(|_| Unreadable::Foreign(0))?;
    if tag != TAG {
        return Err(Unreadable::Foreign(tag));
    }
    let [version, kind] = cursor.array()?;
    if version != VERSION {
        return Err(Unreadable::Flawed(Flaw::Version(version)));
    }
    match kind {
        OPENING => {
            let opening = Opening { secret: cursor.array()?, epoch: cursor.u32()?, at: Nanos(cursor.u64()?) };
            take(Entry::Opening(opening));
            if !cursor.0.is_empty() {
                return Err(Unreadable::Flawed(Flaw::Long));
            }
        }
        CLAIMS => {
            take(Entry::Time(Nanos(cursor.u64()?)));
            while !cursor.0.is_empty() {
                let (key, fence, attempt) = (cursor.key()?, Fence(cursor.u64()?), cursor.u32()?);
                take(Entry::Claimed(Claimed { key, fence, attempt }));
            }
        }
        DONE => {
            while !cursor.0.is_empty() {
                let (key, fence, at) = (cursor.key()?, Fence(cursor.u64()?), Nanos(cursor.u64()?));
                let len = cursor.u32()? as usize;
                take(Entry::Done(Done { key, fence, at, result: cursor.bytes(len)? }));
            }
        }
        kind => return Err(Unreadable::Flawed(Flaw::Kind(kind))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Bytes> {
        let claimed = Claimed { key: 7, fence: Fence(9), attempt: 2 };
        let entry = Done { key: 1, fence: Fence(2), at: Nanos(3), result: &b"result"[..] };
        let mut frames = vec![opening(&Opening { secret: [5; 32], epoch: 4, at: Nanos(6) })];
        frames.extend(claims(Nanos(8), &[claimed, claimed]));
        frames.extend(done(&[entry.clone(), entry]));
        frames
    }

    #[test]
    fn what_is_written_is_read() {
        let mut entries = Vec::new();
        for frame in sample() {
            read(&frame, |entry| entries.push(format!("{entry:?}"))).unwrap();
        }
        assert_eq!(entries.len(), 1 + 3 + 2, "{entries:#?}");
        assert!(entries[2].contains("attempt: 2") && entries[5].contains("fence: Fence(2)"), "{entries:#?}");
    }

    #[test]
    fn every_truncation_is_an_error_or_a_whole_prefix() {
        for frame in sample() {
            let whole = |frame: &[u8]| {
                let mut entries = 0;
                read(frame, |_| entries += 1).map(|()| entries)
            };
            let all = whole(&frame).unwrap();
            for end in 0..frame.len() {
                match whole(&frame[..end]) {
                    Ok(entries) => assert!(entries < all),
                    Err(Unreadable::Flawed(Flaw::Short)) => {}
                    Err(Unreadable::Foreign(0)) => assert_eq!(end, 0),
                    Err(other) => panic!("cut at {end}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn large_batches_are_split() {
        let result = vec![1; 60 << 10];
        let entry = Done { key: 1, fence: Fence(2), at: Nanos(3), result };
        let frames = done(&vec![entry; 100]);
        assert!(frames.len() > 10 && frames.iter().all(|frame| frame.len() < 2 * FRAME_BYTES));
        let mut entries = 0;
        for frame in frames {
            read(&frame, |_| entries += 1).unwrap();
        }
        assert_eq!(entries, 100);
    }
}
