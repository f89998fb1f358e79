//! The bytes on disk.
//!
//! # Files
//!
//! A log is a directory of its own. In it:
//!
//! | name | what |
//! | --- | --- |
//! | `lock` | locked by the process that owns the log |
//! | `{id}.wal` | a segment; `id` is 16 hexadecimal digits and grows, gaps allowed |
//! | `{id}.spare` | a file to become a segment: zeroed ahead, or recycled. Its bytes mean nothing |
//! | `{id}.{offset}.cut` | bytes that `repair` cut off a damaged segment, kept for a person to look at |
//!
//! Numbers are little-endian. The format's version is [`VERSION`].
//!
//! # A segment
//!
//! ```text
//! 0      magic "SEAWALWL" | version u32 | crc u32 | id u64 | salt u64 | epoch u64 | first u64 | created i64 | capacity u64
//! 64     zeros
//! 4096   frames and marks, each aligned to 8 bytes, then anything at all
//! ```
//!
//! `crc` is the crc32c of the other 60 of these 64 bytes; `first` is the number of the
//! segment's first frame; `created` is wall time in milliseconds. A segment is made under a spare's name,
//! synced, and renamed, so that a file named `.wal` always has a valid header: one that does not is damage.
//!
//! ```text
//! frame  len | 1<<30  u32 | crc u32 | seq u64 | payload (len bytes) | 0 to 7 zeros
//! mark   32  | 1<<31  u32 | crc u32 | seq u64 | durable u64 | epoch u64 | previous epoch u64 | wall ms i64
//! ```
//!
//! Frames are numbered without gaps across all segments. A mark has no number; its `seq` is the number of the
//! frame that follows it. Each append writes one mark and its frames in one write.
//!
//! # Why no stale byte is ever taken for a frame
//!
//! Files are recycled, because overwriting bytes that exist spares the file system its journal. So whatever
//! follows the last frame may be the frames of an earlier life. Two secrets, drawn anew by the disk's entropy,
//! keep them apart. The *salt* belongs to one use of a file as a segment; it seeds every checksum in it. The
//! *epoch* belongs to one stretch of uninterrupted writing in it: opening a log writes a mark that names
//! the epoch before it and begins a new one, and a frame's checksum is seeded by salt and epoch. A frame that
//! a crash left beyond a torn one, and that recovery cut, cannot come back when new frames happen to end
//! where it begins. A mark's checksum covers its position in the file, is seeded by the salt alone, and a
//! mark counts as the next item only where its previous epoch is the one in force.
//!
//! # How a torn tail is told from damage
//!
//! A power cut may keep any of the sectors that were written and not synced, later ones without earlier ones.
//! So valid frames behind an invalid place prove nothing. What proves something is the *watermark*: each mark
//! says below which number every frame was durable when it was written, and what was durable stays so. In
//! the last segment, recovery walks to the first invalid place and then looks through all the rest for valid
//! marks (they are position-bound and cheap to recognise). If any claims a watermark above the place, a durable
//! frame is damaged, and that is an error that names it. If none does, the place is a torn tail and is cut.
//! Closing a log writes a last mark, so that after a clean end no damage at all can pass for a torn tail; after a
//! crash, damage to the very last group can, since no later mark speaks for it: it is cut, and reported.
//!
//! A segment that has a successor was synced up to the successor's `first` before the successor got its name.
//! It must be valid up to there, else it is damaged; what it holds from there on does not count.
//!
//! # A failed write or sync
//!
//! The segment is poisoned: it is never written nor synced again. Its frames that were not yet durable are
//! kept in memory until they are, and go to a new segment whose `first` is the watermark, so that by the rule
//! above they replace what the poisoned segment may hold of them.
//!
//! A crash at that moment leaves the poisoned segment the last one, and its tail may be in the page cache
//! without being on disk. Therefore opening writes the tail above the watermark once more, in place, the same
//! bytes, and syncs it before any reader sees it.
//!
//! # Deletion
//!
//! Segments leave at the front, oldest first, each rename or removal synced before the next, so that no crash
//! leaves a hole. A segment that leaves becomes a spare. Hand-deleted files are noticed where they leave a hole
//! between segments; at either end nothing can tell.
//!
//! # Limits
//!
//! A frame has at most 2^30 - 1 bytes. A batch of frames never spans two segments; a segment grows beyond its
//! nominal size for a batch that needs it.

mod frame;
mod header;
mod scan;

pub(crate) use frame::{
    Item, MARK_BYTES, Mark, Seeds, encode_frame, encode_mark, frame_bytes, parse, payloads, put_frame,
};
pub(crate) use header::{HEADER_BYTES, Header};
pub(crate) use scan::{Found, Scanner};

/// The version of the format described here.
pub const VERSION: u32 = 1;

/// The largest payload the format can express, in bytes.
pub const FRAME_BYTES_LIMIT: u32 = (1 << 30) - 1;

/// Parses the bytes of one segment's body, as recovery does, for fuzzing: the payloads of the valid frames up
/// to the first invalid place, and the offset of that place. `first` is bounded as a header bounds it.
#[cfg(any(fuzzing, test, feature = "sim"))]
pub fn parse_all(bytes: &[u8], salt: u64, epoch: u64, first: u64) -> (Vec<Vec<u8>>, u64) {
    let mut seeds = Seeds::new(salt, epoch);
    let (mut at, mut seq, mut out) = (0_usize, first.min(header::FIRST_MAX), Vec::new());
    loop {
        match parse(&bytes[at..], at as u64, seq, &seeds) {
            Item::Frame { payload, total } => {
                out.push(bytes[at + payload.start..at + payload.end].to_vec());
                (at, seq) = (at + total, seq + 1);
            }
            Item::Mark(mark) => {
                seeds = seeds.with_epoch(mark.epoch);
                at += MARK_BYTES;
            }
            Item::Short { .. } | Item::Invalid => return (out, at as u64),
        }
    }
}
