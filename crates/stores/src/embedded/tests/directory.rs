//! Directories that are not what they should be: each its name.

use super::*;
use seawall_wal::Damage;
use std::fs;

fn refused(disk: SimDisk) -> OpenError {
    let clock = Arc::new(ManualClock::default());
    EmbeddedStore::open(disk, inline(), clock).expect_err("must be refused")
}

fn with_log(frames: &[&[u8]]) -> SimDisk {
    let disk = SimDisk::new(1);
    let (mut log, _) =
        Log::open(disk.clone(), Options::new("/claims"), ManualClock::default().wall()).unwrap();
    log.append(frames, ManualClock::default().wall()).unwrap();
    log.close(ManualClock::default().wall()).unwrap();
    disk
}

#[test]
fn a_log_of_something_else_is_foreign() {
    let error = refused(with_log(&[b"hello"]));
    assert!(matches!(error, OpenError::Foreign { seq: 0, found: b'h', want: 0xC1, .. }), "{error:?}");
    let error = refused(with_log(&[b""]));
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
}

#[test]
fn frames_that_are_ours_and_wrong_are_named() {
    let cases: [(&[u8], Flaw); 4] = [
        (&[0xC1, 2, 1], Flaw::Version(2)),
        (&[0xC1, 1, 9], Flaw::Kind(9)),
        (&[0xC1, 1, 2, 0], Flaw::Short),
        (&[0xC1, 1, 3, 0], Flaw::Short),
    ];
    for (frame, flaw) in cases {
        match refused(with_log(&[frame])) {
            OpenError::Damaged { what, seq: 0, .. } => assert_eq!(what, flaw),
            other => panic!("{flaw:?} expected, not {other:?}"),
        }
    }
}

#[test]
fn a_log_without_its_opening_is_refused() {
    let claims = frame::claims(Nanos(1), &[Claimed { key: 1, fence: Fence(1), attempt: 1 }]);
    assert!(matches!(refused(with_log(&[&claims[0]])), OpenError::NoOpening { .. }));
}

#[test]
fn mixed_logs_are_refused() {
    let opening = |secret| frame::opening(&Opening { secret: [secret; 32], epoch: 1, at: Nanos(1) });
    let error = refused(with_log(&[&opening(1), &opening(2)]));
    assert!(matches!(error, OpenError::Damaged { seq: 1, what: Flaw::OtherKey, .. }), "{error:?}");
}

#[test]
fn a_second_store_finds_the_directory_locked() {
    let root = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let first = EmbeddedStore::open(RealDisk, EmbeddedOptions::new(root.path()), clock.clone()).unwrap();
    let second = EmbeddedStore::open(RealDisk, EmbeddedOptions::new(root.path()), clock.clone());
    let error = second.expect_err("must be refused");
    assert!(matches!(&error, OpenError::Log { source: WalError::Locked { .. }, .. }), "{error:?}");
    drop(first);
    EmbeddedStore::open(RealDisk, EmbeddedOptions::new(root.path()), clock).unwrap();
}

#[test]
fn damage_in_the_middle_is_an_error_with_its_place() {
    let root = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let mut store = EmbeddedStore::open(RealDisk, EmbeddedOptions::new(root.path()), clock.clone()).unwrap();
    for n in 0..100 {
        let (fence, _) = grant(&store, n, A);
        complete(&store, &token(n), A, fence, "a result").unwrap();
    }
    store.close().unwrap();
    let files = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().path());
    let file =
        files.max_by_key(|path| fs::read(path).map_or(0, |bytes| bytes.iter().filter(|b| **b != 0).count()));
    let file = file.unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used / 2] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = EmbeddedStore::open(RealDisk, EmbeddedOptions::new(root.path()), clock).err().unwrap();
    let damage =
        matches!(&error, OpenError::Log { source: WalError::Damaged { damage: Damage::Frame, .. }, .. });
    assert!(damage, "{error:?}");
}

#[test]
fn options_out_of_bounds_are_named() {
    let clock = Arc::new(ManualClock::default());
    let options = EmbeddedOptions { done_max: 0, ..inline() };
    let error = EmbeddedStore::open(SimDisk::new(1), options, clock).err().unwrap();
    assert_eq!(error.to_string(), "option done_max is 0: it must be at least 1");
}
