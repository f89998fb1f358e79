//! Any bytes as the body of a segment: parsed without a panic, and never past their end.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run frames -- -max_total_time=60` in `crates/wal`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, u64, u64, &[u8])| {
    let (salt, epoch, first, bytes) = input;
    let (frames, end) = seawall_wal::format::parse_all(bytes, salt, epoch, first);
    assert!(end <= bytes.len() as u64);
    assert!(frames.iter().map(Vec::len).sum::<usize>() <= bytes.len());
});
