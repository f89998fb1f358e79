//! Failed syncs and writes, a full disk, a read-only one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod harness;
#[path = "harness/hooked.rs"]
mod hooked;
#[path = "harness/mount.rs"]
mod mount;

use harness::{NOW, assert_prefix, frames, open, options, read_all};
use hooked::Hooked;
use mount::Mount;
use seawall_core::SystemClock;
use seawall_wal::disk::{Fault, Faults, SimDisk};
use seawall_wal::{Disk, GroupCommit, GroupOptions, Log, Options, RealDisk, Scan, WalError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

fn ten_synced(disk: &SimDisk) -> (Log<SimDisk>, Options) {
    let options = options("/log");
    let (mut log, _) = open(disk, &options).unwrap();
    log.append(frames(0..10), NOW).unwrap();
    log.sync(NOW).unwrap();
    (log, options)
}

#[test]
fn a_failed_sync_moves_the_tail_to_a_new_segment_and_never_touches_the_file_again() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let (mut log, options) = ten_synced(&disk);
        log.append(frames(10..15), NOW).unwrap();
        log.append(frames(15..20), NOW).unwrap();
        disk.arm(Fault::SyncEio);
        assert_eq!(log.sync(NOW).unwrap().next, 20, "safe in the new segment");
        assert_eq!(disk.counts().sync_eio, 1);
        assert_eq!((log.counters().poisoned, log.segments().len()), (1, 2));
        assert_eq!(log.segments()[1].first, 10, "the unacknowledged frames, and they alone, were rewritten");
        log.append(frames(20..25), NOW).unwrap();
        log.sync(NOW).unwrap();
        assert_eq!(disk.counts().touched_after_failure, 0);
        assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), 25);
        disk.crash();
        let (log, recovery) = open(&disk, &options).unwrap();
        assert_eq!((recovery.next, recovery.lost), (25, None));
        assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), 25);
    }
}

#[test]
fn a_failed_write_does_the_same() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let (mut log, options) = ten_synced(&disk);
        log.append(frames(10..15), NOW).unwrap();
        disk.arm(Fault::WriteEio);
        assert_eq!(log.append(frames(15..20), NOW).unwrap().next, 20);
        log.sync(NOW).unwrap();
        assert_eq!((log.counters().poisoned, disk.counts().touched_after_failure), (1, 0));
        disk.crash();
        let (log, recovery) = open(&disk, &options).unwrap();
        assert_eq!(recovery.next, 20);
        assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), 20);
    }
}

#[test]
fn without_a_new_segment_nothing_is_acknowledged_and_the_log_says_so_until_it_can_go_on() {
    let disk = SimDisk::new(3);
    let (mut log, options) = ten_synced(&disk);
    log.append(frames(10..15), NOW).unwrap();
    disk.set_faults(Faults { sync_eio: 10_000, ..Faults::default() });
    let error = log.sync(NOW).unwrap_err();
    assert!(matches!(error, WalError::Poisoned { durable: 10, .. }), "{error}");
    assert_eq!((log.next(), log.durable(), log.reader().next()), (10, 10, 10));
    assert!(log.append(frames(10..11), NOW).is_err());
    assert_eq!(log.sync(NOW).unwrap().next, 10);
    disk.set_faults(Faults::default());
    log.append(frames(10..12), NOW).unwrap();
    assert_eq!(log.sync(NOW).unwrap().next, 12);
    assert_eq!(disk.counts().touched_after_failure, 0);
    disk.crash();
    let (log, recovery) = open(&disk, &options).unwrap();
    assert_eq!(recovery.next, 12);
    assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), 12);
}

/// What a failed sync left in the page cache reads well and is not on disk: opening must write it again.
#[test]
fn a_tail_that_was_only_ever_in_the_page_cache_is_made_durable_by_opening() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let (mut log, options) = ten_synced(&disk);
        log.append(frames(10..60), NOW).unwrap();
        disk.set_faults(Faults { sync_eio: 10_000, ..Faults::default() });
        assert!(log.sync(NOW).is_err());
        disk.kill();
        disk.set_faults(Faults::default());
        let (log, recovery) = open(&disk, &options).unwrap();
        assert_eq!(recovery.next, 60, "the page cache still has it");
        drop(log);
        disk.crash();
        let (log, recovery) = open(&disk, &options).unwrap();
        assert_eq!(recovery.next, 60, "seed {seed}: readers saw frames that the power cut took");
        assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), 60);
    }
}

/// A crash may give the new segment its name after all: what it holds then counts, so the old one must have taken
/// nothing more.
#[test]
fn a_segment_whose_naming_failed_never_hides_later_frames() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let (mut log, options) = ten_synced(&disk);
        let room = options.segment_bytes - log.segments()[0].bytes;
        disk.arm(Fault::DirSyncEio);
        let error = log.append([vec![1; room as usize]], NOW).unwrap_err();
        assert!(matches!(error, WalError::Io { op: "sync", .. }), "{error}");
        log.append(frames(10..13), NOW).unwrap();
        assert_eq!(log.sync(NOW).unwrap().next, 13);
        disk.crash();
        let (log, recovery) = open(&disk, &options).unwrap();
        assert_eq!(recovery.next, 13, "seed {seed}");
        assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), 13);
    }
}

/// Neither its name nor its end was made sure: it stays, beside the segment that was begun in its place.
#[test]
fn a_segment_that_kept_its_name_leaves_no_hole_once_those_behind_it_are_deleted() {
    let refused = Arc::new(AtomicBool::new(false));
    let refuse = Arc::clone(&refused);
    let mut disk = Hooked::new(SimDisk::new(7), || true);
    disk.removes = Arc::new(move || !refuse.swap(false, Relaxed));
    let options = Options { scan: Scan::All, ..options("/log") };
    let (mut log, _) = open(&disk, &options).unwrap();
    log.append(frames(0..10), NOW).unwrap();
    log.sync(NOW).unwrap();
    let room = options.segment_bytes - log.segments()[0].bytes;
    disk.inner.arm(Fault::DirSyncEio);
    refused.store(true, Relaxed);
    log.append([vec![1; room as usize]], NOW).unwrap_err();
    assert!(!refused.load(Relaxed), "nothing was to be removed");
    let mut next = 10;
    while log.segments().len() < 4 {
        log.append(frames(next..next + 10), NOW).unwrap();
        next = log.sync(NOW).unwrap().next;
    }
    let first = log.truncate_front(next).unwrap();
    assert!(first > 10);
    drop(log);
    let (log, recovery) = open(&disk, &options).unwrap();
    assert_eq!((recovery.first, recovery.next), (first, next));
    assert_eq!(assert_prefix(&read_all(&log.reader(), first).unwrap(), first), next - first);
}

/// A dead process renamed a segment to a spare and never synced the directory: a crash may bring the old name back,
/// so the file must not be used before the name is safe.
#[test]
fn a_spare_is_not_reused_before_its_name_is_safe() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let (mut log, options) = ten_synced(&disk);
        let mut next = 10;
        while log.segments().len() < 3 {
            log.append(frames(next..next + 10), NOW).unwrap();
            next = log.sync(NOW).unwrap().next;
        }
        disk.arm(Fault::DirSyncEio);
        log.truncate_front(next).unwrap_err();
        assert!(log.truncate_front(next).is_err(), "deleting on might leave a hole");
        disk.kill();
        let (mut log, _) = open(&disk, &options).unwrap();
        // Only the spare's header is overwritten, by a segment that never gets its name.
        disk.arm(Fault::DirSyncEio);
        while log.append(frames(next..next + 10), NOW).is_ok() {
            next = log.sync(NOW).unwrap().next;
        }
        disk.crash();
        let (log, recovery) = open(&disk, &options).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(recovery.next >= next);
        drop(log);
    }
}

#[test]
fn a_group_commit_acknowledges_only_what_reached_the_new_segment() {
    let disk = SimDisk::new(4);
    let (log, _) = ten_synced(&disk);
    let group = GroupCommit::start(log, GroupOptions::default(), Arc::new(SystemClock::new())).unwrap();
    disk.arm(Fault::SyncEio);
    assert_eq!(group.append(vec![harness::frame(10).into()]).unwrap().wait().unwrap().first, 10);
    disk.set_faults(Faults { sync_eio: 10_000, ..Faults::default() });
    let error = group.append(vec![harness::frame(11).into()]).unwrap().wait().unwrap_err();
    assert!(matches!(error, WalError::Poisoned { durable: 11, .. }), "{error}");
    disk.set_faults(Faults::default());
    assert_eq!(group.append(vec![harness::frame(11).into()]).unwrap().wait().unwrap().first, 11);
    group.close().unwrap();
    assert_eq!(group.counters().poisoned, 2);
    assert_eq!(assert_prefix(&read_all(&group.reader(), 0).unwrap(), 0), 12);
}

#[test]
fn a_full_simulated_disk_refuses_by_name_and_resumes() {
    let disk = SimDisk::new(5);
    let (mut log, options) = ten_synced(&disk);
    disk.set_faults(Faults { space_bytes: 40_000, ..Faults::default() });
    let mut next = 10;
    let error = loop {
        match log.append(frames(next..next + 10), NOW) {
            Ok(_) => next = log.sync(NOW).unwrap().next,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WalError::NoSpace { .. }), "{error}");
    assert_eq!((log.next(), log.durable(), log.counters().poisoned), (next, next, 0));
    assert!(matches!(log.append(frames(next..next + 10), NOW), Err(WalError::NoSpace { .. })));
    // Deleting makes room without the disk growing: the oldest segment is recycled.
    log.truncate_front(next).unwrap();
    log.append(frames(next..next + 10), NOW).unwrap();
    assert_eq!(log.sync(NOW).unwrap().next, next + 10);
    let first = log.first();
    disk.crash();
    let (log, _) = open(&disk, &options).unwrap();
    assert_eq!(assert_prefix(&read_all(&log.reader(), first).unwrap(), first), next + 10 - first);
}

#[test]
fn a_full_tmpfs_refuses_by_name_and_resumes_when_space_is_freed() {
    let mount = or_skip!("a_full_tmpfs_refuses_by_name_and_resumes_when_space_is_freed", Mount::tmpfs(1024));
    let filler = mount.at.join("filler");
    std::fs::write(&filler, vec![1; 600 << 10]).unwrap();
    let options = options(mount.at.join("log"));
    let (mut log, _) = open(&RealDisk, &options).unwrap();
    let mut next = 0;
    let error = loop {
        match log.append(frames(next..next + 10), NOW) {
            Ok(_) => next = log.sync(NOW).unwrap().next,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WalError::NoSpace { .. }), "{error}");
    assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), next);
    std::fs::remove_file(&filler).unwrap();
    log.append(frames(next..next + 10), NOW).unwrap();
    next = log.sync(NOW).unwrap().next;
    std::fs::write(mount.at.join("rest"), vec![1; 2 << 20]).unwrap_err();
    drop(log);
    let (log, recovery) = open(&RealDisk, &options).unwrap();
    assert_eq!((recovery.next, recovery.lost), (next, None), "a full disk still opens");
    assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), next);
}

#[test]
fn a_read_only_file_system_is_refused_by_name() {
    let mount = or_skip!("a_read_only_file_system_is_refused_by_name", Mount::tmpfs(1024));
    let options = options(mount.at.join("log"));
    let (mut log, _) = open(&RealDisk, &options).unwrap();
    log.append(frames(0..10), NOW).unwrap();
    log.close(NOW).unwrap();
    or_skip!("a_read_only_file_system_is_refused_by_name", mount.remount("ro"));
    let error = open(&RealDisk, &options).map(|_| ()).unwrap_err();
    assert!(matches!(error, WalError::ReadOnly { .. }), "{error}");
    let seen = seawall_wal::verify(&RealDisk, &options.dir).unwrap();
    assert_eq!(seen.segments[0].info.next, 10, "looking at it needs no writing");
}

#[test]
fn a_file_system_that_turns_read_only_acknowledges_nothing_more() {
    let name = "a_file_system_that_turns_read_only_acknowledges_nothing_more";
    let mut mount = or_skip!("a_file_system_that_turns_read_only_acknowledges_nothing_more", Mount::ext4(16));
    let options = options(mount.at.join("log"));
    let (mut log, _) = open(&RealDisk, &options).unwrap();
    log.append(frames(0..10), NOW).unwrap();
    log.sync(NOW).unwrap();
    if let Err(reason) = mount.break_file_system() {
        println!("SKIP {name}: unsupported: {reason}");
        return;
    }
    let mut failed = 0;
    for _ in 0..20 {
        if log.append(frames(log.next()..log.next() + 5), NOW).is_err() || log.sync(NOW).is_err() {
            failed += 1;
        }
    }
    assert!(failed > 0, "the file system still takes writes");
    let durable = log.durable();
    drop(log);
    mount.unmount().unwrap();
    mount.mount().unwrap();
    let (log, recovery) = open(&RealDisk, &options).unwrap();
    assert!(recovery.next >= durable, "acknowledged {durable}, recovered {}", recovery.next);
    assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0);
    drop(log);
    assert!(RealDisk.list(&options.dir).is_ok());
}
