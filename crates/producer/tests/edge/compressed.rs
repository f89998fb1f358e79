//! A spill that is compressed, and one that was not.

use crate::stage::{Mood, Shelf, outgoing};
use seawall_producer::spill::by_hand::{self, Part};
use seawall_producer::spill::look;
use seawall_producer::spill::manifest::{self, VERSION};
use seawall_producer::{Compression, OpenError, Producer, ProducerOptions, SpillOptions, Synced, Target};
use seawall_wal::RealDisk;
use std::path::Path;
use std::time::Duration;

fn open(dir: &Path, shelf: &Shelf, compression: Compression) -> Producer {
    let spill = SpillOptions { compression, disk_bytes_max: 16 << 20, ..SpillOptions::new(dir, "tests") };
    let options = ProducerOptions { spill: Some(spill), ..ProducerOptions::default() };
    Producer::open(options, vec![Target::new("kafka", shelf.clone())]).unwrap()
}

/// A life that spills the records `numbers`, and ends.
async fn spill(dir: &Path, shelf: &Shelf, numbers: std::ops::Range<u64>, compression: Compression) -> u64 {
    shelf.set(Mood::Down);
    let producer = open(dir, shelf, compression);
    let record = |n: u64| {
        let mut outgoing = outgoing(["a", "b", "c"][n as usize % 3], n);
        outgoing.record.value = format!(
            "{}:{n}:{{\"order\":{n},\"customer\":\"c-{}\",\"currency\":\"EUR\",\"lines\":[{{\"sku\":\"book-{}\",\"count\":1}}]}}",
            ["a", "b", "c"][n as usize % 3],
            n * 7919 % 1000,
            n % 50
        )
        .into();
        outgoing
    };
    for sent in producer.send_all::<Synced>(numbers.map(record).collect()).await {
        sent.unwrap();
    }
    let bytes = producer.snapshot().backlog_bytes;
    producer.close(Duration::ZERO).await;
    bytes
}

fn frames(dir: &Path) -> u64 {
    let inspection = seawall_wal::inspect(&RealDisk, &dir.join("log")).unwrap();
    inspection.segments.iter().map(|segment| segment.info.bytes).sum()
}

#[tokio::test]
async fn a_spill_is_compressed_or_not_from_any_start_on() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, shelf) = (dir.path().join("spill"), Shelf::new());
    let version = || manifest::read(&RealDisk, &dir).unwrap().unwrap().version;
    let (off, on) = (Compression::None, Compression::Lz4);
    spill(&dir, &shelf, 0..3_000, off).await;
    assert_eq!(version(), 1, "what a build from before compression reads");
    let plain = frames(&dir);
    spill(&dir, &shelf, 3_000..6_000, on).await;
    assert_eq!(version(), VERSION);
    let packed = frames(&dir) - plain;
    println!("3000 orders: {plain} bytes of frames plain, {packed} compressed");
    assert!(packed * 2 < plain, "{packed} of {plain}");
    let bytes = spill(&dir, &shelf, 6_000..6_010, off).await;
    assert_eq!(version(), VERSION, "the blocks are still there");
    let summary = look::summary(&RealDisk, &dir).unwrap();
    assert_eq!((summary.waiting, summary.waiting_bytes), (6_010, bytes));

    shelf.set(Mood::Up);
    let producer = open(&dir, &shelf, off);
    while producer.snapshot().backlog_records > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    producer.close(Duration::from_secs(1)).await;
    shelf.judge().unwrap();
    for n in 0..6_010 {
        assert!(shelf.count(["a", "b", "c"][n as usize % 3], n) > 0, "{n}");
    }
}

#[tokio::test]
async fn a_replay_by_hand_takes_records_out_of_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, shelf) = (dir.path().join("spill"), Shelf::new());
    spill(&dir, &shelf, 0..2_000, Compression::Lz4).await;
    let sink = Shelf::new();
    let replayed =
        by_hand::replay(&RealDisk, &dir, Part::Waiting, &sink, seawall_core::WallMs(0)).await.unwrap();
    assert_eq!((replayed.delivered, replayed.left), (2_000, 0));
    sink.judge().unwrap();
    let mut kept = 0;
    let each = look::each::<_, OpenError>(&RealDisk, &dir, |_, _| {
        kept += 1;
        Ok(())
    });
    assert_eq!(each.unwrap().waiting, 0);
}
