//! What the tests of the log share: small frames, and reading everything.
#![allow(dead_code, unreachable_pub, reason = "each test file takes what it needs")]

use seawall_core::WallMs;
use seawall_wal::{Disk, Limit, Log, Options, Reader, Recovery, WalError};

pub const NOW: WallMs = WallMs(1_700_000_000_000);
pub const ALL: Limit = Limit { frames: 1000, bytes: 1 << 20 };

/// Frame `seq` of a test log: its size and bytes follow from its number.
pub fn frame(seq: u64) -> Vec<u8> {
    let len = (seq * 37) % 91;
    (0..len).map(|i| (seq * 7 + i) as u8).collect()
}

pub fn frames(seqs: std::ops::Range<u64>) -> impl Iterator<Item = Vec<u8>> {
    seqs.map(frame)
}

pub fn options(dir: impl Into<std::path::PathBuf>) -> Options {
    Options {
        segment_bytes: 16 << 10,
        frame_bytes_max: 64 << 10,
        unsynced_bytes_max: 1 << 20,
        zero_ahead_bytes: 4 << 10,
        ..Options::new(dir)
    }
}

pub fn open<D: Disk>(disk: &D, options: &Options) -> Result<(Log<D>, Recovery), WalError> {
    Log::open(disk.clone(), options.clone(), NOW)
}

/// Every durable frame from `from` on, or the error met.
pub fn read_all<D: Disk>(reader: &Reader<D>, from: u64) -> Result<Vec<Vec<u8>>, WalError> {
    let (mut next, mut out) = (from, Vec::new());
    loop {
        let read = reader.read(next, ALL)?;
        if read.frames.is_empty() {
            return Ok(out);
        }
        for frame in read.frames {
            assert_eq!(frame.seq, next, "numbers have no gaps");
            next += 1;
            out.push(frame.payload.to_vec());
        }
        assert_eq!(read.next, next);
    }
}

/// Whether `found` is a prefix of the frames numbered from `first`; its length.
pub fn assert_prefix(found: &[Vec<u8>], first: u64) -> u64 {
    for (at, payload) in found.iter().enumerate() {
        assert_eq!(payload, &frame(first + at as u64), "frame {at} is not what was written");
    }
    found.len() as u64
}
