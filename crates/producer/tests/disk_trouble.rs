//! What the disk can do to a spill, one test for each row of the table in the crate's docs; on real files with the spill's own thread,
//! except where only a simulated disk fails on demand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../../wal/tests/harness/hooked.rs"]
mod hooked;
#[macro_use]
#[path = "../../wal/tests/harness/mount.rs"]
mod mount;
mod stage;

use hooked::Hooked;
use mount::Mount;
use seawall_core::{Clock, SystemClock};
use seawall_producer::{
    Compression, Driver, Happening, Left, OpenError, Producer, ProducerOptions, Replicated, Safe, SendError,
    Snapshot, SpillOptions, State, Synced, Target,
};
use seawall_wal::disk::{Fault, Faults, SimDisk};
use seawall_wal::{Disk, RealDisk, WalError};
use stage::{Mood, Shelf, outgoing};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn options(dir: &Path) -> ProducerOptions {
    let spill = SpillOptions { disk_bytes_max: 8 << 20, ..SpillOptions::new(dir, "tests") };
    ProducerOptions {
        spill: Some(spill),
        record_bytes_max: 600_000,
        batch_bytes: 600_000,
        timeout: Duration::from_secs(3),
        max_block: Duration::from_secs(1),
        ..ProducerOptions::default()
    }
}

fn open<D: Disk>(disk: &D, options: ProducerOptions, shelf: &Shelf) -> Result<Producer, OpenError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Producer::open_on(disk.clone(), clock, options, vec![Target::new("kafka", shelf.clone())])
}

fn big(n: u64) -> seawall_core::Outgoing {
    let mut outgoing = outgoing("a", n);
    outgoing.record.value = format!("a:{n}:{}", "x".repeat(400_000)).into();
    outgoing
}

async fn until(producer: &Producer, what: impl Fn(&Snapshot) -> bool) -> Snapshot {
    for _ in 0..6_000 {
        let snapshot = producer.snapshot();
        if what(&snapshot) {
            return snapshot;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {:#?}", producer.snapshot());
}

/// Spills records from `n` on until one is not taken: what it was told, and how many were.
async fn fill(producer: &Producer, mut n: u64) -> (u64, SendError) {
    loop {
        match producer.send::<Synced>(big(n)).await {
            Ok(receipt) => assert!(matches!(receipt.place, Safe::Spilled { .. })),
            Err(error) => return (n, error),
        }
        n += 1;
    }
}

async fn delivered(producer: &Producer, shelf: &Shelf, numbers: std::ops::Range<u64>) {
    shelf.set(Mood::Up);
    until(producer, |s| s.backlog_records == 0 && s.state == State::Direct).await;
    for n in numbers {
        assert!(shelf.count("a", n) > 0, "{n} had a receipt: {}", shelf.of("a"));
    }
    shelf.judge().unwrap();
}

/// Every file below `dir` with its bytes, but for locks.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.file_name().is_some_and(|name| name != "lock") {
            all.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_space() {
    let mount = or_skip!("no_space", Mount::tmpfs(6 * 1024));
    let shelf = Shelf::new();
    let producer = open(&RealDisk, options(&mount.at.join("spill")), &shelf).unwrap();
    shelf.set(Mood::Down);
    std::fs::write(mount.at.join("other"), vec![1; 3 << 20]).unwrap();
    let (taken, error) = fill(&producer, 0).await;
    assert!(taken > 0 && error.to_string().contains("no space left"), "{taken}: {error}");
    assert!(producer.snapshot().spill_trouble.unwrap().contains("no space left"));
    std::fs::remove_file(mount.at.join("other")).unwrap();
    assert!(producer.send::<Synced>(big(taken)).await.is_ok(), "it goes on by itself");
    delivered(&producer, &shelf, 0..taken).await;
    producer.close(Duration::from_secs(5)).await;
}

async fn failing(fault: Fault) {
    let (disk, shelf) = (SimDisk::new(3), Shelf::new());
    let producer =
        open(&disk, ProducerOptions { driver: Driver::Inline, ..options(Path::new("/spill")) }, &shelf);
    let producer = producer.unwrap();
    shelf.set(Mood::Down);
    producer.send::<Synced>(outgoing("a", 0)).await.unwrap();
    disk.arm(fault);
    let receipt = producer.send::<Synced>(outgoing("a", 1)).await.unwrap();
    assert!(matches!(receipt.place, Safe::Spilled { .. }), "rewritten to a new segment");
    disk.set_faults(Faults { write_eio: 10_000, sync_eio: 10_000, ..Faults::default() });
    let error = producer.send::<Synced>(outgoing("a", 2)).await.unwrap_err();
    assert!(error.to_string().contains("rewritten") || error.to_string().contains("os error 5"), "{error}");
    disk.set_faults(Faults::default());
    producer.send::<Synced>(outgoing("a", 3)).await.unwrap();
    assert_eq!(disk.counts().touched_after_failure, 0, "the failed segment is never written again");
    delivered(&producer, &shelf, 0..2).await;
    assert!(shelf.count("a", 3) > 0);
}

#[tokio::test]
async fn eio_on_write() {
    failing(Fault::WriteEio).await;
}

#[tokio::test]
async fn eio_on_fsync() {
    failing(Fault::SyncEio).await;
}

/// A disk that can be made to hang.
struct Gate {
    shut: Arc<Mutex<()>>,
}

impl Gate {
    fn before(inner: SimDisk) -> (Self, Hooked<SimDisk>) {
        let shut = Arc::new(Mutex::new(()));
        let through = Arc::clone(&shut);
        let disk = Hooked::new(inner, move || {
            drop(through.lock().unwrap());
            true
        });
        (Self { shut }, disk)
    }

    /// Shut from now on, until what this returns is called.
    async fn shut(&self) -> impl FnOnce() + use<> {
        let gate = Arc::clone(&self.shut);
        let (open_again, opened) = std::sync::mpsc::channel::<()>();
        let (shut, is_shut) = tokio::sync::oneshot::channel();
        let holder = std::thread::spawn(move || {
            let _held = gate.lock().unwrap();
            let _ = shut.send(());
            let _ = opened.recv();
        });
        // That somebody has it is not enough: it may be a call of the disk that goes through.
        is_shut.await.unwrap();
        move || {
            drop(open_again);
            holder.join().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hangs() {
    let (gate, disk) = Gate::before(SimDisk::new(3));
    let shelf = Shelf::new();
    let producer = open(&disk, options(Path::new("/spill")), &shelf).unwrap();
    shelf.set(Mood::Down);
    producer.send::<Synced>(outgoing("a", 0)).await.unwrap();
    let open_again = gate.shut().await;
    let call = (1..4).map(|n| producer.send::<Synced>(outgoing("a", n)));
    let call = tokio::time::timeout(Duration::from_mins(1), futures_util::future::join_all(call));
    for answer in call.await.expect("nobody waits for a disk that says nothing") {
        let error = answer.unwrap_err();
        assert!(matches!(error, SendError::TimedOut { left: Left::Unknown, .. }), "{error}");
    }
    open_again();
    producer.send::<Synced>(outgoing("a", 4)).await.unwrap();
    delivered(&producer, &shelf, 0..5).await;
    let snapshot = producer.snapshot();
    assert_eq!((snapshot.memory_records, snapshot.memory_bytes), (0, 0));
}

/// Calls take so long that their records are written to the disk, too, which hangs; then the sink answers.
#[tokio::test(flavor = "multi_thread")]
async fn hangs_while_calls_take_long() {
    let (gate, disk) = Gate::before(SimDisk::new(3));
    let shelf = Shelf::new();
    let options = ProducerOptions { timeout: Duration::from_secs(30), ..options(Path::new("/spill")) };
    let producer = open(&disk, options, &shelf).unwrap();
    let open_again = gate.shut().await;
    shelf.set(Mood::Slow);
    let send = async |key: String, n| producer.send::<Replicated>(outgoing(&key, n)).await;
    let records = (0..40).map(|key| outgoing(&format!("b{key}"), 0)).collect();
    for receipt in producer.send_all::<Replicated>(records).await {
        receipt.expect("the sink has it");
    }
    let trouble = producer.snapshot().spill_trouble.unwrap();
    assert!(trouble.contains("has not answered for 2s"), "{trouble}");
    // The lanes go on, but for keys that are on their way to the disk.
    shelf.set(Mood::Up);
    for key in 0..40 {
        send(format!("c{key}"), 0).await.unwrap();
    }
    let follows = send("b0".to_owned(), 1);
    tokio::pin!(follows);
    let waits = tokio::time::timeout(Duration::from_secs(1), &mut follows).await;
    assert!(waits.is_err(), "{waits:?}");
    open_again();
    follows.await.unwrap();
    until(&producer, |s| s.backlog_records == 0 && s.spill_trouble.is_none()).await;
    let snapshot = producer.snapshot();
    assert_eq!((snapshot.memory_records, snapshot.memory_bytes), (0, 0));
    assert!((0..40).all(|key| shelf.count(&format!("b{key}"), 0) == 1), "none was sent again");
    shelf.judge().unwrap();
}

/// Of one call a part is at a disk that hangs: a crash might repeat that, and then what follows it in its key has to come again.
#[tokio::test(flavor = "multi_thread")]
async fn hangs_with_a_part_of_a_call() {
    let (gate, disk) = Gate::before(SimDisk::new(3));
    let shelf = Shelf::new();
    let mut options = ProducerOptions { timeout: Duration::from_secs(6), ..options(Path::new("/spill")) };
    // One record to a batch, and one batch at a time.
    options.spill.as_mut().unwrap().batch_bytes = 1;
    options.spill.as_mut().unwrap().compression = Compression::Lz4;
    let producer = open(&disk, options, &shelf).unwrap();
    let open_again = gate.shut().await;
    shelf.set(Mood::Slow);
    let records = (0..3).map(|n| outgoing("a", n)).collect();
    let receipts = producer.send_all::<Replicated>(records).await;
    receipts[0].as_ref().expect("the sink has it");
    for receipt in &receipts[1..] {
        assert!(matches!(receipt, Err(SendError::TimedOut { left: Left::Unknown, .. })), "{receipt:?}");
    }
    shelf.set(Mood::Up);
    open_again();
    until(&producer, |s| s.backlog_records == 0 && s.spill_trouble.is_none()).await;
    producer.send::<Replicated>(outgoing("a", 3)).await.unwrap();
    let counts: Vec<_> = (0..4).map(|n| shelf.count("a", n)).collect();
    assert_eq!(counts, [1; 4]);
    shelf.judge().unwrap();
    until(&producer, |s| (s.memory_records, s.memory_bytes) == (0, 0)).await;
}

/// A disk that takes long for each sync answers, and does not hang.
#[tokio::test(flavor = "multi_thread")]
async fn hangs_not_while_it_is_slow() {
    let slow = Arc::new(AtomicBool::new(false));
    let disk = {
        let slow = Arc::clone(&slow);
        Hooked::new(SimDisk::new(3), move || {
            if slow.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(1_200));
            }
            true
        })
    };
    let shelf = Shelf::new();
    let producer = open(&disk, options(Path::new("/spill")), &shelf).unwrap();
    shelf.set(Mood::Down);
    producer.send::<Synced>(outgoing("a", 0)).await.unwrap();
    slow.store(true, Relaxed);
    let sends = (1..80).map(|n| {
        let producer = producer.clone();
        async move {
            tokio::time::sleep(n as u32 * Duration::from_millis(50)).await;
            producer.send::<Synced>(outgoing(&format!("k{n}"), n)).await
        }
    });
    for receipt in futures_util::future::join_all(sends).await {
        receipt.unwrap();
    }
    let events = producer.snapshot().events;
    assert!(!events.iter().any(|event| matches!(event.what, Happening::SpillTrouble { .. })), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hangs_at_the_end() {
    let (gate, disk) = Gate::before(SimDisk::new(3));
    let shelf = Shelf::new();
    let options = options(Path::new("/spill"));
    let producer = open(&disk, options.clone(), &shelf).unwrap();
    shelf.set(Mood::Down);
    producer.send::<Synced>(outgoing("a", 0)).await.unwrap();
    let open_again = gate.shut().await;
    let (heard, hears) = tokio::sync::oneshot::channel();
    producer.send_buffered(outgoing("a", 1), |outcome| drop(heard.send(outcome))).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_mins(1), producer.close(Duration::ZERO));
    closed.await.expect("a disk that says nothing has its time, and no more");
    let error = hears.await.unwrap().unwrap_err();
    assert!(matches!(error, SendError::TimedOut { left: Left::Unknown, .. }), "{error}");
    // Nobody else writes there while it may still take something.
    let error = open(&disk.inner, options.clone(), &shelf).unwrap_err();
    assert!(matches!(error, OpenError::Wal(WalError::Locked { .. })), "{error}");
    open_again();
    let producer = loop {
        match open(&disk.inner, options.clone(), &shelf) {
            Ok(producer) => break producer,
            Err(OpenError::Wal(WalError::Locked { .. })) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    delivered(&producer, &shelf, 0..2).await;
}

/// What is delivered from a disk that hangs cannot be said on it, and is remembered: not without bound.
#[tokio::test(flavor = "multi_thread")]
async fn hangs_while_much_is_replayed() {
    const RECORDS: u64 = 2_000;
    let (gate, disk) = Gate::before(SimDisk::new(3));
    let shelf = Shelf::new();
    let mut options = options(Path::new("/spill"));
    (options.record_bytes_max, options.replay.window_bytes) = (10_000, 100 * 256);
    let producer = open(&disk, options, &shelf).unwrap();
    shelf.set(Mood::Down);
    let records = (0..RECORDS).map(|n| outgoing(&format!("k{n}"), n)).collect();
    for receipt in producer.send_all::<Synced>(records).await {
        receipt.unwrap();
    }
    let open_again = gate.shut().await;
    producer.send::<Synced>(outgoing("a", 0)).await.unwrap_err();
    shelf.set(Mood::Up);
    until(&producer, |_| shelf.taken().len() >= 100).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let replayed = shelf.taken().len();
    assert!(replayed < 300, "{replayed} replayed, of which the disk has heard nothing");
    open_again();
    until(&producer, |s| s.backlog_records == 0).await;
    assert!((0..RECORDS).all(|n| shelf.count(&format!("k{n}"), n) > 0));
}

/// The first record that a sink refuses for good has a log of its own made for it.
#[tokio::test(flavor = "multi_thread")]
async fn hangs_while_a_record_is_put_aside() {
    let (gate, disk) = Gate::before(SimDisk::new(3));
    let shelf = Shelf::new();
    let producer = open(&disk, options(Path::new("/spill")), &shelf).unwrap();
    shelf.set(Mood::Down);
    producer.send::<Synced>(outgoing("a", 0)).await.unwrap();
    let open_again = gate.shut().await;
    shelf.set(Mood::RefuseOne);
    let aside = || disk.inner.list(Path::new("/spill/refused")).is_ok();
    until(&producer, |_| aside()).await;
    for n in 0..3 {
        let sent =
            tokio::time::timeout(Duration::from_mins(1), producer.send::<Replicated>(outgoing("b", n)));
        sent.await.expect("other keys wait for no disk").unwrap();
    }
    assert_eq!(producer.snapshot().refused_records, 0, "the disk has not answered");
    open_again();
    until(&producer, |s| s.refused_records == 1 && s.backlog_records == 0).await;
    assert_eq!((shelf.count("a", 0), shelf.count("b", 2)), (0, 1));

    // Closing waits no longer for it, either.
    let (gate, disk) = Gate::before(SimDisk::new(4));
    let producer = open(&disk, options(Path::new("/spill")), &shelf).unwrap();
    shelf.set(Mood::Down);
    producer.send::<Synced>(outgoing("a", 0)).await.unwrap();
    let open_again = gate.shut().await;
    shelf.set(Mood::RefuseOne);
    let aside = || disk.inner.list(Path::new("/spill/refused")).is_ok();
    until(&producer, |_| aside()).await;
    let closed = tokio::time::timeout(Duration::from_mins(1), producer.close(Duration::ZERO));
    closed.await.expect("a disk that says nothing has its time, and no more");
    open_again();
}

#[tokio::test(flavor = "multi_thread")]
async fn remounted_read_only() {
    let mount = or_skip!("remounted_read_only", Mount::ext4(64));
    let shelf = Shelf::new();
    let producer = open(&RealDisk, options(&mount.at.join("spill")), &shelf).unwrap();
    shelf.set(Mood::Down);
    for n in 0..3 {
        producer.send::<Synced>(outgoing("a", n)).await.unwrap();
    }
    if let Err(reason) = mount.break_file_system() {
        println!("SKIP remounted_read_only: unsupported: {reason}");
        return;
    }
    let error = producer.send::<Synced>(outgoing("a", 3)).await.unwrap_err();
    assert!(matches!(error, SendError::TimedOut { cause: Some(_), .. }), "{error}");
    assert!(producer.snapshot().spill_trouble.is_some());
    // The sink is back: what is on disk is delivered all the same, and new records go by it no more.
    shelf.set(Mood::Up);
    until(&producer, |s| s.backlog_records == 0).await;
    producer.send::<Replicated>(outgoing("a", 4)).await.unwrap();
    assert!((0..3).all(|n| shelf.count("a", n) > 0));
    shelf.judge().unwrap();
    producer.close(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn directory_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, shelf) = (dir.path().join("spill"), Shelf::new());
    let producer = open(&RealDisk, options(&spill), &shelf).unwrap();
    shelf.set(Mood::Down);
    for n in 0..3 {
        producer.send::<Synced>(outgoing("a", n)).await.unwrap();
    }
    std::fs::remove_dir_all(&spill).unwrap();
    // The segment's file is open still; the next one cannot be made.
    let (taken, error) = fill(&producer, 3).await;
    assert!(error.to_string().contains("last:"), "{taken}: {error}");
    assert!(producer.snapshot().spill_trouble.is_some());
    delivered(&producer, &shelf, 0..3).await;
    producer.close(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn segment_corrupted() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, shelf) = (dir.path().join("spill"), Shelf::new());
    let producer = open(&RealDisk, options(&spill), &shelf).unwrap();
    shelf.set(Mood::Down);
    for n in 0..4 {
        producer.send::<Synced>(big(n)).await.unwrap();
    }
    producer.close(Duration::from_millis(1)).await;
    let segment = files(&spill).into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "wal"));
    let (segment, mut bytes) = segment.min().unwrap();
    bytes[200_000] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let before = files(&spill);
    let error = open(&RealDisk, options(&spill), &shelf).unwrap_err();
    let OpenError::Wal(WalError::Damaged { segment: named, .. }) = &error else { panic!("{error:?}") };
    assert_eq!(named, &segment);
    assert!(files(&spill) == before, "a failing start changes nothing");
    bytes[200_000] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let producer = open(&RealDisk, options(&spill), &shelf).unwrap();
    delivered(&producer, &shelf, 0..4).await;
    producer.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_start_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, shelf) = (dir.path().join("spill"), Shelf::new());
    let producer = open(&RealDisk, options(&spill), &shelf).unwrap();
    shelf.set(Mood::Down);
    producer.send::<Synced>(outgoing("a", 0)).await.unwrap();
    let second = open(&RealDisk, options(&spill), &shelf).unwrap_err();
    assert!(matches!(second, OpenError::Locked { .. }), "{second}");
    producer.close(Duration::from_millis(1)).await;
    let before = files(&spill);
    let mut other = options(&spill);
    other.spill.as_mut().unwrap().owner = "others".into();
    let error = open(&RealDisk, other, &shelf).unwrap_err();
    assert!(matches!(error, OpenError::Owner { .. }), "{error}");
    assert!(files(&spill) == before);
    let manifest = spill.join("manifest.json");
    let sound = std::fs::read(&manifest).unwrap();
    for (text, named) in [
        (r#"{"format":"seawall-spill","version":9,"owner":"tests"}"#, "version 9"),
        (r#"{"format":"seawall-spill","ver"#, "EOF"),
        (r#"{"format":"else","version":1,"owner":"tests"}"#, "\"else\""),
    ] {
        std::fs::write(&manifest, text).unwrap();
        let before = files(&spill);
        let error = open(&RealDisk, options(&spill), &shelf).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
        assert!(files(&spill) == before);
    }
    std::fs::write(&manifest, sound).unwrap();
    // What was refused cannot be read.
    std::fs::write(spill.join("refused"), "in its place").unwrap();
    let before = files(&spill);
    let error = open(&RealDisk, options(&spill), &shelf).unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(files(&spill) == before);
    std::fs::remove_file(spill.join("refused")).unwrap();
    // Another life still has the log, and this one would be of a later version.
    let lock = RealDisk.lock(&spill.join("log/lock")).unwrap();
    let mut later = options(&spill);
    later.spill.as_mut().unwrap().compression = Compression::Lz4;
    let before = files(&spill);
    let _ = open(&RealDisk, later, &shelf).unwrap_err();
    assert!(files(&spill) == before);
    drop(lock);
    let producer = open(&RealDisk, options(&spill), &shelf).unwrap();
    delivered(&producer, &shelf, 0..1).await;
    producer.close(Duration::from_secs(5)).await;
}
