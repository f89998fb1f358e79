//! Every truncation, every flipped byte, and one test for each kind of damage: the exact prefix or a named error.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod harness;

use harness::{NOW, assert_prefix, frames, open, options, read_all};
use seawall_wal::disk::SimDisk;
use seawall_wal::{Damage, Disk, DiskFile, Options, RealDisk, Scan, WalError, inspect, repair, verify};
use std::path::{Path, PathBuf};

/// How the sample log ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    /// All synced, then the process was gone.
    Killed,
}

const FRAMES: u64 = 60;

fn small(dir: impl Into<PathBuf>) -> Options {
    Options { segment_bytes: 8 << 10, zero_ahead_bytes: 512, ..options(dir) }
}

/// A log of several lives, groups and segments, on a simulated disk (no entropy but its seed).
fn sample(end: End) -> (SimDisk, Options) {
    let disk = SimDisk::new(7);
    let options = small("/log");
    let mut next = 0;
    for _ in 0..3 {
        let (mut log, _) = open(&disk, &options).unwrap();
        for _ in 0..5 {
            log.append(frames(next..next + 4), NOW).unwrap();
            log.sync(NOW).unwrap();
            next += 4;
        }
        if end == End::Closed {
            log.close(NOW).unwrap();
        }
    }
    assert_eq!(next, FRAMES);
    (disk, options)
}

fn contents(disk: &SimDisk, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let names = disk.list(dir).unwrap();
    let paths = names.iter().filter(|name| *name != "lock").map(|name| dir.join(name));
    paths
        .map(|path| {
            let file = disk.open_read_only(&path).unwrap();
            let mut bytes = vec![0; file.len().unwrap() as usize];
            file.read_at(&mut bytes, 0).unwrap();
            (path, bytes)
        })
        .collect()
}

fn restore(files: &[(PathBuf, Vec<u8>)]) -> SimDisk {
    let disk = SimDisk::new(8);
    for (path, bytes) in files {
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        disk.create(path).unwrap().write_all_at(bytes, 0).unwrap();
    }
    disk
}

/// Opens and reads: how many frames of the exact prefix, or the named error. Anything else panics.
fn judge(disk: &SimDisk, options: &Options) -> Result<u64, WalError> {
    let (mut log, recovery) = open(disk, options)?;
    let reader = log.reader();
    let found = read_all(&reader, recovery.first)?;
    assert_eq!(found.len() as u64, recovery.next);
    let count = assert_prefix(&found, 0);
    // The log goes on from there, and what it takes is read back.
    log.append(frames(count..count + 3), NOW).unwrap();
    log.sync(NOW).unwrap();
    drop(log);
    let (log, again) = open(disk, options).unwrap();
    assert_eq!((again.next, &again.lost), (count + 3, &None));
    assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), count + 3);
    Ok(count)
}

fn soak() -> bool {
    std::env::var_os("SEAWALL_SOAK").is_some()
}

fn is_damage(error: &WalError) -> bool {
    matches!(error, WalError::Damaged { .. })
}

#[test]
fn every_truncation_leaves_the_exact_prefix_or_a_named_error() {
    let (disk, options) = sample(End::Closed);
    let files = contents(&disk, &options.dir);
    let (mut prefixes, mut errors) = (std::collections::BTreeSet::new(), 0);
    for (file, (path, bytes)) in files.iter().enumerate() {
        for len in 0..=bytes.len() {
            let mut files = files.clone();
            files[file].1.truncate(len);
            match judge(&restore(&files), &options) {
                Ok(count) => drop(prefixes.insert(count)),
                Err(error) => {
                    assert!(is_damage(&error), "{} cut to {len}: {error}", path.display());
                    errors += 1;
                }
            }
        }
    }
    assert!(prefixes.contains(&FRAMES) && prefixes.len() > 10, "{prefixes:?}");
    assert!(errors > 4096, "{errors}");
}

fn flip_all(end: End) -> (u64, u64, u64) {
    let (disk, options) = sample(end);
    let files = contents(&disk, &options.dir);
    let (mut whole, mut prefixes, mut errors) = (0, 0, 0);
    for (file, (path, bytes)) in files.iter().enumerate() {
        for at in 0..bytes.len() {
            let one = [[0x01, 0x80, 0xff, 0x10][at % 4]];
            let all: Vec<u8> = (1..=255).collect();
            for &mask in if soak() { &all[..] } else { &one[..] } {
                let mut files = files.clone();
                files[file].1[at] ^= mask;
                match judge(&restore(&files), &options) {
                    Ok(FRAMES) => whole += 1,
                    Ok(_) if end == End::Closed => {
                        panic!("{} byte {at} ^ {mask:#x}: durable frames were cut in silence", path.display())
                    }
                    Ok(_) => prefixes += 1,
                    Err(error) => {
                        assert!(is_damage(&error), "{} byte {at} ^ {mask:#x}: {error}", path.display());
                        errors += 1;
                    }
                }
            }
        }
    }
    (whole, prefixes, errors)
}

/// After a clean end, no flipped byte can pass for a torn tail: every frame, or an error.
#[test]
fn every_flipped_byte_of_a_closed_log_is_harmless_or_a_named_error() {
    let (whole, prefixes, errors) = flip_all(End::Closed);
    assert!(whole > 1000 && prefixes == 0 && errors > 1000, "{whole} {prefixes} {errors}");
}

/// After a crash, damage to the last group alone is cut as a torn tail, and reported.
#[test]
fn every_flipped_byte_of_a_killed_log_gives_the_exact_prefix_or_a_named_error() {
    let (whole, prefixes, errors) = flip_all(End::Killed);
    assert!(whole > 1000 && prefixes > 0 && errors > 1000, "{whole} {prefixes} {errors}");
}

/// A log of three segments, 8 KiB each.
fn three_segments(dir: &Path) -> Options {
    let options = small(dir.join("log"));
    let (mut log, _) = open(&RealDisk, &options).unwrap();
    let mut next = 0;
    while log.segments().len() < 3 || log.segments()[2].next < log.segments()[2].first + 9 {
        log.append(frames(next..next + 3), NOW).unwrap();
        log.sync(NOW).unwrap();
        next += 3;
    }
    log.close(NOW).unwrap();
    options
}

fn segment_paths(options: &Options) -> Vec<PathBuf> {
    verify(&RealDisk, &options.dir).unwrap().segments.into_iter().map(|s| s.info.path).collect()
}

fn flip(path: &Path, at: u64) {
    let file = RealDisk.open(path).unwrap();
    let mut byte = [0];
    DiskFile::read_at(&file, &mut byte, at).unwrap();
    DiskFile::write_all_at(&file, &[byte[0] ^ 0xff], at).unwrap();
}

fn damaged(options: &Options) -> (PathBuf, u64, u64, Damage) {
    let error = open(&RealDisk, options).map(|_| ()).unwrap_err();
    let WalError::Damaged { segment, offset, seq, damage } = error.clone() else { panic!("{error}") };
    let seen = verify(&RealDisk, &options.dir).unwrap_err();
    assert_eq!(seen.to_string(), error.to_string(), "verify and open tell the same");
    assert!(error.to_string().contains(&segment.display().to_string()), "{error}");
    (segment, offset, seq, damage)
}

#[test]
fn a_damaged_header_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let options = three_segments(dir.path());
    for path in segment_paths(&options) {
        flip(&path, 33);
        let (segment, offset, _, damage) = damaged(&options);
        assert_eq!((segment, offset, damage), (path.clone(), 0, Damage::Header));
        flip(&path, 33);
    }
    assert!(open(&RealDisk, &options).is_ok());
}

#[test]
fn damage_in_a_sealed_segment_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let options = three_segments(dir.path());
    let path = segment_paths(&options)[0].clone();
    flip(&path, 6000);
    let (segment, offset, seq, damage) = damaged(&options);
    assert_eq!((segment, damage), (path, Damage::Frame));
    assert!((4096..=6000).contains(&offset), "{offset}");
    // A log that checks only its tail on opening has its readers meet the same error, after the exact prefix.
    let options = Options { scan: Scan::Tail, ..options };
    let (log, _) = open(&RealDisk, &options).unwrap();
    let error = read_all(&log.reader(), 0).unwrap_err();
    assert!(matches!(error, WalError::Damaged { seq: at, .. } if at == seq), "{error}");
}

#[test]
fn damage_in_the_middle_of_the_last_segment_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let options = three_segments(dir.path());
    let path = segment_paths(&options)[2].clone();
    // A mark and the length of the frame behind it.
    flip(&path, 4096 + 48 + 1);
    assert_eq!(damaged(&options).0, path);
}

#[test]
fn a_segment_missing_in_the_middle_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let options = three_segments(dir.path());
    let paths = segment_paths(&options);
    std::fs::remove_file(&paths[1]).unwrap();
    assert_eq!(damaged(&options).0, paths[0]);
}

#[test]
fn a_sealed_segment_cut_short_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let options = three_segments(dir.path());
    let path = segment_paths(&options)[1].clone();
    RealDisk.open(&path).unwrap().set_len(6000).unwrap();
    assert_eq!(damaged(&options).0, path);
}

#[test]
fn a_segment_under_a_wrong_name_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let options = three_segments(dir.path());
    let paths = segment_paths(&options);
    std::fs::copy(&paths[0], &paths[1]).unwrap();
    let (segment, _, _, damage) = damaged(&options);
    assert_eq!((segment, damage), (paths[1].clone(), Damage::WrongSegment));
}

#[test]
fn repair_cuts_at_the_damage_and_keeps_the_cut_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let options = three_segments(dir.path());
    let before = inspect(&RealDisk, &options.dir).unwrap();
    let next_before = before.segments.last().unwrap().info.next;
    let paths: Vec<_> = before.segments.iter().map(|s| s.info.path.clone()).collect();
    flip(&paths[1], 6000);
    let (_, offset, seq, _) = damaged(&options);

    let plan = repair(&RealDisk, &options.dir, false).unwrap();
    assert_eq!((plan.written, plan.next, plan.next_before), (false, Some(seq), next_before));
    assert_eq!(damaged(&options).2, seq, "a plan changes nothing");
    let whole = std::fs::read(&paths[1]).unwrap();

    let done = repair(&RealDisk, &options.dir, true).unwrap();
    assert_eq!((done.written, &done.cuts), (true, &plan.cuts));
    assert_eq!(std::fs::read(&done.cuts[1].moved_to).unwrap(), whole[offset as usize..]);
    assert_eq!(done.cuts[0].segment, paths[2]);
    assert!(done.cuts[0].moved_to.exists() && !paths[2].exists());
    let (mut log, recovery) = open(&RealDisk, &options).unwrap();
    assert_eq!((recovery.next, recovery.lost), (seq, None));
    assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), seq);
    log.append(frames(seq..seq + 100), NOW).unwrap();
    log.close(NOW).unwrap();
    let seen = verify(&RealDisk, &options.dir).unwrap();
    assert_eq!((seen.segments.last().unwrap().info.next, seen.cuts.len()), (seq + 100, 2));
    assert_eq!(repair(&RealDisk, &options.dir, true).unwrap().damage, None);
}

/// Where the last segment is damaged its frames end at the damage; what its marks know counts as lost.
#[test]
fn repair_counts_what_was_durable_behind_a_damage_in_the_last_segment() {
    let dir = tempfile::tempdir().unwrap();
    let options = three_segments(dir.path());
    let before = inspect(&RealDisk, &options.dir).unwrap();
    let last = before.segments.last().unwrap().info.clone();
    flip(&last.path, 4096 + 48 + 1);
    let plan = repair(&RealDisk, &options.dir, false).unwrap();
    assert_eq!((plan.next, plan.next_before), (Some(last.first), last.next), "{plan:?}");
    let file_bytes = std::fs::metadata(&last.path).unwrap().len();
    assert_eq!(plan.cuts[0].bytes, file_bytes - plan.cuts[0].offset);
}

#[test]
fn repair_refuses_a_log_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let options = three_segments(dir.path());
    let (_log, _) = open(&RealDisk, &options).unwrap();
    assert!(matches!(repair(&RealDisk, &options.dir, true), Err(WalError::Locked { .. })));
    assert!(repair(&RealDisk, &options.dir, false).is_ok());
}

/// A power cut may keep later sectors of an unsynced group without the earlier ones. That is no damage.
#[test]
fn a_torn_group_whose_end_survived_is_cut_and_reported() {
    let (disk, options) = sample(End::Killed);
    let (mut log, _) = open(&disk, &options).unwrap();
    log.append(vec![vec![9; 300]; 8], NOW).unwrap();
    let written = log.unsynced_bytes();
    drop(log);
    let mut files = contents(&disk, &options.dir);
    let end = {
        let seen = inspect(&disk, &options.dir).unwrap();
        seen.segments.last().unwrap().info.bytes
    };
    let start = end - written;
    let bytes = &mut files.last_mut().unwrap().1;
    for at in [start as usize, start as usize + 60] {
        let mut files_torn = bytes.clone();
        files_torn[at..at + 40].fill(0);
        let mut torn = contents(&disk, &options.dir);
        torn.last_mut().unwrap().1 = files_torn;
        let (log, recovery) = open(&restore(&torn), &options).unwrap();
        assert_eq!(recovery.next, FRAMES);
        let lost = recovery.lost.unwrap();
        assert!(lost.seq == FRAMES && lost.offset <= start + 60 && lost.bytes() > 0, "{lost:?}");
        assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), FRAMES);
    }
}

#[test]
fn a_log_is_read_without_being_opened_and_no_byte_changes() {
    for end in [End::Closed, End::Killed] {
        let (disk, options) = sample(end);
        let before = contents(&disk, &options.dir);
        let reader = inspect::reader(&disk, &options.dir).unwrap().unwrap();
        assert_eq!((reader.first(), reader.next()), (0, FRAMES));
        assert_eq!(assert_prefix(&read_all(&reader, 0).unwrap(), 0), FRAMES);
        assert!(contents(&disk, &options.dir) == before);
    }
    let empty = SimDisk::new(1);
    empty.create_dir_all(Path::new("/log")).unwrap();
    assert!(inspect::reader(&empty, Path::new("/log")).unwrap().is_none());
}
