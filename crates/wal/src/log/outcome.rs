//! What goes into a log's calls and what comes out of them.

use seawall_core::WallMs;
use std::path::PathBuf;

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The log's own directory; made where it is missing.
    pub dir: PathBuf,
    /// Size of a segment in bytes (default 64 MiB). A segment that must hold one larger frame grows.
    pub segment_bytes: u64,
    /// The largest frame in bytes (default 32 MiB).
    pub frame_bytes_max: u32,
    /// The most bytes that may await a sync; an append beyond is refused (default 128 MiB).
    pub unsynced_bytes_max: u64,
    /// Bytes that are zeroed ahead at a time in a segment that is not a recycled one (default 4 MiB).
    pub zero_ahead_bytes: u64,
    /// How many segments are kept for reuse after truncation (default 2).
    pub spares_max: usize,
    /// The number of the first frame of a log that does not exist yet (default 0).
    pub start_at: u64,
    /// How much is checked on opening (default [`Scan::All`]).
    pub scan: Scan,
}

/// How much of a log is read and checked when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Every segment: damage anywhere refuses the log.
    All,
    /// Headers and the last segment: damage in an older segment is met by its readers, as the same error.
    Tail,
}

impl Options {
    /// The defaults for a log in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 << 20,
            frame_bytes_max: 32 << 20,
            unsynced_bytes_max: 128 << 20,
            zero_ahead_bytes: 4 << 20,
            spares_max: 2,
            start_at: 0,
            scan: Scan::All,
        }
    }
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a recovery may have lost something, and its caller must say so"]
pub struct Recovery {
    /// The oldest frame held.
    pub first: u64,
    /// One past the newest frame held; all of them are durable.
    pub next: u64,
    /// Segments found.
    pub segments: usize,
    /// The torn tail that was cut, if any. None of its frames can have been acknowledged.
    pub lost: Option<Lost>,
}

/// A torn tail: bytes of frames that a crash cut short before their sync returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The segment.
    pub segment: PathBuf,
    /// From which byte of it.
    pub offset: u64,
    /// To which byte (exclusive), as far as traces of cut frames were found.
    pub end: u64,
    /// The number of the first cut frame; it goes to the next frame appended.
    pub seq: u64,
    /// How many frames, as far as their headers still look like it; at least one where a frame is cut in two.
    pub frames: u64,
}

impl Lost {
    /// Bytes cut.
    pub fn bytes(&self) -> u64 {
        self.end.saturating_sub(self.offset)
    }
}

/// Where an append went. Written, not yet durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Appended {
    /// The number of its first frame.
    pub first: u64,
    /// One past its last frame.
    pub next: u64,
}

/// How far the log is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Durable {
    /// Every frame below is on disk, its sync returned.
    pub next: u64,
}

/// A segment, for retention and display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its file.
    pub path: PathBuf,
    /// Its first frame.
    pub first: u64,
    /// One past its last frame.
    pub next: u64,
    /// Bytes of frames and header in it.
    pub bytes: u64,
    /// Bytes that its file has, or will have once it is full.
    pub capacity: u64,
    /// When it was begun, by the wall time passed in.
    pub created: WallMs,
    /// When its successor was begun; `None` for the segment being written.
    pub sealed: Option<WallMs>,
}

/// What a log's files take on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Bytes that the files of all segments have, or will have once they are full.
    pub bytes: u64,
    /// Those of them that the segment being written has left.
    pub left: u64,
}

/// What happened to a log since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Segments given up after a failed write or sync.
    pub poisoned: u64,
    /// Segments begun.
    pub rolled: u64,
    /// Segments begun in a recycled file.
    pub recycled: u64,
    /// Syncs of frames that returned.
    pub synced: u64,
}
