//! Writing, reading, rolling, recycling, deleting, reopening, on a disk without faults.

mod harness;

use harness::{NOW, assert_prefix, frame, frames, open, options, read_all};
use seawall_wal::disk::SimDisk;
use seawall_wal::{Disk, Extent, Limit, RealDisk, Scan, WalError};
use std::sync::atomic::AtomicBool;

#[test]
fn what_is_synced_is_read_back_across_segments_and_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path().join("log"));
    let (mut log, recovery) = open(&RealDisk, &options).unwrap();
    assert_eq!((recovery.first, recovery.next, recovery.lost), (0, 0, None));
    for group in 0..100 {
        let appended = log.append(frames(group * 10..group * 10 + 10), NOW).unwrap();
        assert_eq!((appended.first, appended.next), (group * 10, group * 10 + 10));
        log.sync(NOW).unwrap();
    }
    assert!(log.segments().len() > 3, "{:?}", log.segments());
    assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), 1000);
    assert_eq!(assert_prefix(&read_all(&log.reader(), 777).unwrap(), 777), 223);
    log.close(NOW).unwrap();
    for scan in [Scan::All, Scan::Tail] {
        let options = seawall_wal::Options { scan, ..options.clone() };
        let (log, recovery) = open(&RealDisk, &options).unwrap();
        assert_eq!((recovery.first, recovery.next, recovery.lost), (0, 1000, None));
        assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), 1000);
        assert_eq!(assert_prefix(&read_all(&log.reader(), 555).unwrap(), 555), 445);
    }
}

#[test]
fn readers_see_only_what_is_durable() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, &options("/log")).unwrap();
    let reader = log.reader();
    log.append(frames(0..5), NOW).unwrap();
    assert_eq!(read_all(&reader, 0).unwrap().len(), 0);
    assert_eq!((log.next(), log.durable(), reader.next()), (5, 0, 0));
    log.sync(NOW).unwrap();
    assert_eq!(assert_prefix(&read_all(&reader, 0).unwrap(), 0), 5);
    log.append(frames(5..6), NOW).unwrap();
    assert_eq!(read_all(&reader, 5).unwrap().len(), 0);
    let error = reader.read(6, harness::ALL).unwrap_err();
    assert!(matches!(error, WalError::OutOfRange { from: 6, first: 0, next: 5 }), "{error}");
}

#[test]
fn limits_hold_and_one_frame_is_always_returned() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, &options("/log")).unwrap();
    log.append([vec![1; 100], vec![2; 100], vec![3; 60_000], vec![4; 10]], NOW).unwrap();
    log.sync(NOW).unwrap();
    let reader = log.reader();
    let count = |from, frames, bytes| reader.read(from, Limit { frames, bytes }).unwrap().frames.len();
    assert_eq!(count(0, 1, 1000), 1);
    assert_eq!(count(0, 10, 200), 2);
    assert_eq!(count(0, 10, 0), 1);
    assert_eq!(count(2, 10, 10), 1);
    assert_eq!(count(0, 10, 1 << 20), 4);
}

#[test]
fn the_front_goes_by_whole_segments_which_are_recycled() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path().join("log"));
    let (mut log, _) = open(&RealDisk, &options).unwrap();
    let reader = log.reader();
    let mut next = 0;
    for _ in 0..300 {
        log.append(frames(next..next + 10), NOW).unwrap();
        log.sync(NOW).unwrap();
        next += 10;
        let first = log.truncate_front(next.saturating_sub(600)).unwrap();
        assert!(first <= next.saturating_sub(600));
        let segments = log.segments();
        let left = segments.last().map(|last| last.capacity - last.bytes).unwrap();
        let bytes = segments.iter().map(|segment| segment.capacity).sum();
        assert_eq!(log.extent(), Extent { bytes, left });
    }
    let first = log.first();
    assert!(first > 2000, "{first}");
    assert!(log.counters().recycled > 3, "{:?}", log.counters());
    assert!(log.segments().len() < 6);
    assert_eq!(assert_prefix(&read_all(&reader, first).unwrap(), first), next - first);
    let error = reader.read(first - 1, harness::ALL).unwrap_err();
    assert!(matches!(error, WalError::OutOfRange { .. }), "{error}");
    drop(log);
    let (log, recovery) = open(&RealDisk, &options).unwrap();
    assert_eq!((recovery.first, recovery.next, recovery.lost), (first, next, None));
    assert_eq!(assert_prefix(&read_all(&log.reader(), first).unwrap(), first), next - first);
}

#[test]
fn a_reader_of_a_recycled_segment_is_told_that_it_is_out_of_range() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, &options("/log")).unwrap();
    log.append(frames(0..10), NOW).unwrap();
    log.sync(NOW).unwrap();
    let reader = log.reader();
    let few = Limit { frames: 3, bytes: 1000 };
    assert_eq!(reader.read(0, few).unwrap().next, 3);
    let mut next = 10;
    while log.counters().recycled < 2 {
        log.append(frames(next..next + 10), NOW).unwrap();
        log.sync(NOW).unwrap();
        next += 10;
        log.truncate_front(next).unwrap();
    }
    assert!(matches!(reader.read(3, few).unwrap_err(), WalError::OutOfRange { from: 3, .. }));
}

#[test]
fn a_log_begins_where_it_is_told_to() {
    let disk = SimDisk::new(1);
    let options = seawall_wal::Options { start_at: 500, ..options("/log") };
    let (mut log, recovery) = open(&disk, &options).unwrap();
    assert_eq!((recovery.first, recovery.next), (500, 500));
    assert_eq!(log.append([frame(500)], NOW).unwrap().first, 500);
    log.close(NOW).unwrap();
    let (_, recovery) = open(&disk, &seawall_wal::Options { start_at: 0, ..options }).unwrap();
    assert_eq!((recovery.first, recovery.next), (500, 501));
}

#[test]
fn a_second_owner_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path().join("log"));
    let (log, _) = open(&RealDisk, &options).unwrap();
    let error = open(&RealDisk, &options).map(|_| ()).unwrap_err();
    assert!(matches!(error, WalError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("locked"), "{error}");
    drop(log);
    assert!(open(&RealDisk, &options).is_ok());
}

#[test]
fn refused_appends_change_nothing() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, &options("/log")).unwrap();
    log.append(frames(0..3), NOW).unwrap();
    let error = log.append([vec![1], vec![0; (64 << 10) + 1]], NOW).unwrap_err();
    assert!(matches!(error, WalError::FrameTooLarge { bytes: 65_537, max: 65_536 }), "{error}");
    let error = log.append(vec![vec![0; 60_000]; 20], NOW).unwrap_err();
    assert!(matches!(error, WalError::UnsyncedFull { .. }), "{error}");
    assert_eq!(log.append(Vec::<Vec<u8>>::new(), NOW).unwrap().next, 3);
    log.append(frames(3..200), NOW).unwrap();
    log.sync(NOW).unwrap();
    assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), 200);
    assert_eq!(assert_prefix(&read_all(&log.reader(), 150).unwrap(), 150), 50);
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_that_holds_it() {
    let disk = SimDisk::new(1);
    let options = options("/log");
    let (mut log, _) = open(&disk, &options).unwrap();
    log.append([vec![1; 10]], NOW).unwrap();
    log.append(vec![vec![2; 30_000]; 10], NOW).unwrap();
    log.append([vec![3; 10]], NOW).unwrap();
    log.sync(NOW).unwrap();
    let read = read_all(&log.reader(), 0).unwrap();
    assert_eq!(
        read.iter().map(Vec::len).collect::<Vec<_>>(),
        [vec![10], vec![30_000; 10], vec![10]].concat()
    );
    drop(log);
    assert_eq!(open(&disk, &options).unwrap().1.next, 12);
}

#[test]
fn a_segment_made_ahead_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(&RealDisk, &options(dir.path().join("log"))).unwrap();
    let job = log.spare_job().unwrap();
    assert!(log.spare_job().is_none(), "one at a time");
    log.add_spare(job.run(&AtomicBool::new(false)).unwrap());
    log.append(vec![vec![0; 1000]; 14], NOW).unwrap();
    log.append(vec![vec![0; 1000]; 14], NOW).unwrap();
    assert_eq!((log.counters().rolled, log.counters().recycled), (1, 1));
    // One that takes longer than a segment lasts is still the one.
    let slow = log.spare_job().unwrap();
    log.append(vec![vec![0; 1000]; 14], NOW).unwrap();
    assert_eq!((log.counters().rolled, log.counters().recycled), (2, 1));
    assert!(log.spare_job().is_none(), "one at a time");
    drop(slow);
    assert!(log.spare_job().is_some(), "nobody makes one any more");
}

#[test]
fn files_belong_to_the_owner_alone_and_links_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path().join("a/b"));
    let (log, _) = open(&RealDisk, &options).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&options.dir), 0o700);
    let segment = log.segments()[0].path.clone();
    assert_eq!(mode(&segment), 0o600);
    drop(log);
    let moved = dir.path().join("elsewhere");
    std::fs::rename(&segment, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &segment).unwrap();
    assert!(RealDisk.open(&segment).is_err());
    assert!(open(&RealDisk, &options).is_err());
}

/// A log of terabytes needs no more open files than a small one.
#[cfg(target_os = "linux")]
#[test]
fn few_files_are_open_however_many_segments_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let options = seawall_wal::Options { scan: Scan::Tail, ..options(dir.path().join("log")) };
    let open_files = || {
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        let names = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
        names.filter(|name| name.starts_with(dir.path())).count()
    };
    let (mut log, _) = open(&RealDisk, &options).unwrap();
    let mut written = 0;
    while log.segments().len() < 60 {
        log.append(frames(written..written + 100), NOW).unwrap();
        log.sync(NOW).unwrap();
        written += 100;
    }
    assert!(open_files() < 30, "{} files of the life that wrote them", open_files());
    assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), written);
    assert!(open_files() < 30, "{} files once they are read", open_files());
    log.close(NOW).unwrap();
    let (log, _) = open(&RealDisk, &options).unwrap();
    assert_eq!(assert_prefix(&read_all(&log.reader(), 0).unwrap(), 0), written);
    assert!(open_files() < 30, "{} files of a later life", open_files());
}
