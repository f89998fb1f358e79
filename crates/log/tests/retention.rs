//! Deleting by rule, and by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod harness;

use harness::{ALL, HandClock, assigned, commit_of, contents, open, outgoing, poll, records, send};
use seawall_core::{Source, TopicPartition};
use seawall_log::{Broker, Driver, LogError, SourceOptions, TopicOptions};
use seawall_wal::disk::SimDisk;
use std::sync::Arc;
use std::time::Duration;

fn world(options: TopicOptions) -> (SimDisk, Arc<HandClock>, Broker<SimDisk>) {
    let (disk, clock) = (SimDisk::new(5), Arc::new(HandClock::default()));
    let (broker, _) = open(&disk, &clock, Driver::Inline);
    broker.create_topic("t", options).unwrap();
    (disk, clock, broker)
}

fn fill(broker: &Broker<SimDisk>, count: usize) {
    for _ in 0..count {
        let _ = send(broker, vec![outgoing("t", "k", vec![1; 4000])]).remove(0).unwrap();
    }
}

#[test]
fn size_frees_old_segments_and_tells_of_unread_records() {
    let mut options = TopicOptions::partitions(1);
    options.retention_bytes = Some(200_000);
    let (disk, clock, broker) = world(options);
    fill(&broker, 30);
    let mut source = broker.source("g", &["t"], SourceOptions::default()).unwrap();
    let generation = assigned(&poll(&mut source))[0].1;
    source.commit(&[commit_of(TopicPartition::new("t", 0), generation, 5)]).unwrap();
    fill(&broker, 170);
    let passes = broker.retain_now().unwrap();
    assert_eq!(passes.len(), 1);
    let start = broker.start_offset("t", 0).unwrap();
    assert!(start > 5 && passes[0].to == start && passes[0].from == 0);
    assert_eq!(passes[0].unread, [(Arc::from("g"), start - 5)]);
    assert_eq!(broker.counters().unread_retained_away, start - 5);
    let bytes = broker.describe("t").unwrap().partitions[0].bytes;
    assert!((200_000..400_000).contains(&bytes), "{bytes}");
    assert!(broker.retain_now().unwrap().is_empty());

    // A reader that stood below goes on at the start; so does a group that comes back.
    let seen: Vec<u64> = records(&poll(&mut source)).into_iter().map(|(_, offset)| offset).collect();
    assert!(seen.iter().all(|offset| *offset >= 30));
    assert_eq!(broker.fetch("t", 0, 0, ALL).unwrap().records[0].offset, start);
    drop(source);
    let mut again = broker.source("g", &["t"], SourceOptions::default()).unwrap();
    assert_eq!(assigned(&poll(&mut again))[0].2.watermark, start);

    drop(again);
    drop(broker);
    disk.crash();
    let (broker, _) = open(&disk, &clock, Driver::Inline);
    assert_eq!(broker.start_offset("t", 0).unwrap(), start);
    assert_eq!(broker.end_offset("t", 0).unwrap(), 200);
}

#[test]
fn age_frees_what_was_sealed_long_ago_when_its_time_comes() {
    let mut options = TopicOptions::partitions(1);
    options.retention_age = Some(Duration::from_mins(10));
    let (_disk, clock, broker) = world(options);
    fill(&broker, 60);
    clock.advance(Duration::from_mins(9));
    broker.turn();
    assert_eq!(broker.start_offset("t", 0).unwrap(), 0);
    fill(&broker, 60);
    clock.advance(Duration::from_mins(1));
    broker.turn();
    let start = broker.start_offset("t", 0).unwrap();
    assert!((1..=60).contains(&start), "only what is ten minutes old is gone: {start}");
    assert_eq!(contents(&broker, "t", 0).len() as u64, 120 - start);
}

#[test]
fn a_purge_is_exact_and_survives_a_crash() {
    let (disk, clock, broker) = world(TopicOptions::partitions(1));
    fill(&broker, 10);
    assert_eq!(broker.purge("t", 0, 7).unwrap(), 7);
    assert_eq!(contents(&broker, "t", 0).first().unwrap().0, 7);
    assert_eq!(broker.purge("t", 0, 3).unwrap(), 7, "a purge never brings records back");
    drop(broker);
    disk.crash();
    let (broker, report) = open(&disk, &clock, Driver::Inline);
    assert_eq!(report.partitions[0].start, 7);
    assert_eq!(contents(&broker, "t", 0).len(), 3);
    assert_eq!(broker.purge("t", 0, u64::MAX).unwrap(), 10);
    fill(&broker, 1);
    assert_eq!(contents(&broker, "t", 0)[0].0, 10);
}

#[test]
fn retention_can_be_changed_and_partitions_cannot() {
    let (disk, clock, broker) = world(TopicOptions::partitions(1));
    fill(&broker, 200);
    assert!(broker.retain_now().unwrap().is_empty());
    let bounded = TopicOptions { retention_bytes: Some(200_000), ..TopicOptions::partitions(1) };
    assert!(broker.set_retention("t", bounded.clone()).unwrap());
    assert!(!broker.set_retention("t", bounded.clone()).unwrap(), "it has it already");
    assert_eq!(broker.retain_now().unwrap().len(), 1);
    fill(&broker, 1);
    assert_eq!(broker.end_offset("t", 0).unwrap(), 201);
    assert!(matches!(
        broker.set_retention("t", TopicOptions::partitions(2)),
        Err(LogError::TopicExists { partitions: 1, .. })
    ));
    assert!(matches!(broker.set_retention("u", bounded.clone()), Err(LogError::UnknownTopic { .. })));

    drop(broker);
    disk.crash();
    let (broker, _) = open(&disk, &clock, Driver::Inline);
    assert_eq!(broker.describe("t").unwrap().options, bounded);
}
