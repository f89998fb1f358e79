//! A log whose files were overwritten anywhere by anything: opening gives frames that were written, in order, or a
//! named error, and looking at it and repairing it work too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_core::WallMs;
use seawall_wal::disk::SimDisk;
use seawall_wal::{Disk, DiskFile, Limit, Log, Options, inspect, repair};
use std::path::Path;

fn frame(seq: u64) -> Vec<u8> {
    (0..seq * 37 % 91).map(|i| (seq * 7 + i) as u8).collect()
}

fn options() -> Options {
    Options {
        segment_bytes: 8 << 10,
        frame_bytes_max: 4 << 10,
        unsynced_bytes_max: 64 << 10,
        zero_ahead_bytes: 512,
        ..Options::new("/log")
    }
}

/// Opens, reads everything, checks it.
fn judge(disk: &SimDisk) -> Option<u64> {
    let (log, recovery) = Log::open(disk.clone(), options(), WallMs(0)).ok()?;
    let mut next = recovery.first;
    while next < recovery.next {
        let read = log.reader().read(next, Limit { frames: 100, bytes: 1 << 20 }).expect("it was just recovered");
        for found in read.frames {
            assert_eq!(found.payload, frame(found.seq), "frame {} is not what was written", found.seq);
        }
        next = read.next;
    }
    Some(next)
}

fuzz_target!(|changes: Vec<(u16, Vec<u8>)>| {
    let disk = SimDisk::new(1);
    let (mut log, _) = Log::open(disk.clone(), options(), WallMs(0)).expect("an empty disk");
    for group in 0..40 {
        log.append((group * 3..group * 3 + 3).map(frame), WallMs(0)).expect("it fits");
        log.sync(WallMs(0)).expect("no faults");
    }
    drop(log);
    let paths: Vec<_> = inspect(&disk, Path::new("/log")).expect("sound").segments;
    for (at, bytes) in changes.iter().take(8) {
        let path = &paths[usize::from(*at) % paths.len()].info.path;
        let offset = u64::from(*at) / paths.len() as u64 % 9000;
        let bytes = &bytes[..bytes.len().min(64)];
        disk.open(path).and_then(|file| file.write_all_at(bytes, offset)).expect("no faults");
    }
    if judge(&disk).is_none() {
        let plan = repair(&disk, Path::new("/log"), true).expect("damage is no error");
        let next = judge(&disk).expect("a repaired log opens");
        assert!(plan.next.is_none_or(|planned| next >= planned));
    }
});
