//! Groups: assignment, positions, rebalances, waiting.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod harness;

use bytes::Bytes;
use harness::{
    ALL, HandClock, assigned, commit_of, log_error, lost, open, outgoing, poll, records, revoked, send,
};
use seawall_core::{
    Class, Commit, Event, Generation, Limit, Origin, Position, Source, SystemClock, TopicPartition,
};
use seawall_log::{Broker, BrokerOptions, Driver, LogError, LogSource, SourceOptions, StartAt, TopicOptions};
use seawall_wal::disk::SimDisk;
use seawall_wal::{Disk, RealDisk};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const LATEST: SourceOptions = SourceOptions { start_at: StartAt::Latest };

fn tp(partition: u32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn member<D: Disk>(broker: &Broker<D>) -> LogSource<D> {
    broker.source("g", &["t"], SourceOptions::default()).unwrap()
}

fn filled(partitions: u32, count: usize) -> (SimDisk, Arc<HandClock>, Broker<SimDisk>) {
    let (disk, clock) = (SimDisk::new(9), Arc::new(HandClock::default()));
    let (broker, _) = open(&disk, &clock, Driver::Inline);
    broker.create_topic("t", TopicOptions::partitions(partitions)).unwrap();
    let batch = (0..count).map(|n| outgoing("t", &format!("k{n}"), format!("v{n}"))).collect();
    assert!(send(&broker, batch).iter().all(Result::is_ok));
    (disk, clock, broker)
}

#[test]
fn a_new_group_starts_at_the_oldest_or_the_newest() {
    let (_disk, _clock, broker) = filled(3, 50);
    let mut earliest = member(&broker);
    let events = poll(&mut earliest);
    assert_eq!(assigned(&events).len(), 3);
    assert_eq!(records(&events).len(), 50);
    let mut latest = broker.source("other", &["t"], LATEST).unwrap();
    assert!(records(&poll(&mut latest)).is_empty());
    let _ = send(&broker, vec![outgoing("t", "k", "new")]);
    assert_eq!(records(&poll(&mut latest)).len(), 1);
    assert_eq!(records(&poll(&mut earliest)).len(), 1);
}

#[test]
fn a_start_that_no_commit_stands_for_is_told_as_one() {
    let (_disk, _clock, broker) = filled(1, 50);
    let origin = |source: &mut LogSource<SimDisk>| {
        poll(source).into_iter().find_map(|event| match event {
            Event::Assigned { origin, generation, .. } => Some((origin, generation)),
            _ => None,
        })
    };
    let mut latest = broker.source("g", &["t"], LATEST).unwrap();
    let (chosen, generation) = origin(&mut latest).unwrap();
    assert_eq!(chosen, Origin::Chosen);
    latest.commit(&[commit_of(tp(0), generation, 50)]).unwrap();
    drop(latest);
    let mut next = broker.source("g", &["t"], LATEST).unwrap();
    assert_eq!(origin(&mut next).unwrap().0, Origin::Committed);
}

#[test]
fn positions_survive_a_restart_and_generations_grow_across_it() {
    let (disk, clock, broker) = filled(2, 40);
    let mut source = member(&broker);
    let given = assigned(&poll(&mut source));
    let ends: Vec<u64> = (0..2).map(|p| broker.end_offset("t", p).unwrap()).collect();
    let beyond = Bytes::from_static(b"opaque");
    let position = Position { watermark: ends[0] - 1, beyond: beyond.clone() };
    let commits = [
        Commit { partition: tp(0), generation: given[0].1, position: position.clone() },
        commit_of(tp(1), given[1].1, 3),
    ];
    source.commit(&commits).unwrap();
    assert_eq!(broker.position("g", &tp(0)), Some(position.clone()));
    assert_eq!(broker.groups(), [Arc::from("g")]);
    let lag: Vec<u64> = broker.lag("g").iter().map(|lag| lag.lag).collect();
    assert_eq!(lag, [1, ends[1] - 3]);
    drop(source);
    drop(broker);
    disk.crash();

    let (broker, _) = open(&disk, &clock, Driver::Inline);
    let mut source = member(&broker);
    let events = poll(&mut source);
    let again = assigned(&events);
    assert_eq!(again[0].2, position);
    assert_eq!(again[1].2.watermark, 3);
    assert!(again[0].1 > given[0].1, "a generation must never come back: {again:?} after {given:?}");
    assert!(records(&events).contains(&(0, ends[0] - 1)));
    assert!(!records(&events).contains(&(1, 2)));

    drop(source);
    broker.forget_group("g").unwrap();
    assert!(broker.groups().is_empty());
    let after_forgetting = assigned(&poll(&mut member(&broker)));
    assert_eq!(after_forgetting[0].2.watermark, 0);
    assert!(after_forgetting[0].1 > again[0].1, "fences outlive what is forgotten");
}

#[test]
fn two_members_split_the_partitions_and_the_old_generation_is_fenced() {
    let (_disk, _clock, broker) = filled(4, 100);
    let mut a = member(&broker);
    let first = assigned(&poll(&mut a));
    assert_eq!(first.len(), 4);
    let mut b = member(&broker);
    assert!(poll(&mut b).is_empty(), "nothing is free before it is released");
    let events = poll(&mut a);
    let going = revoked(&events);
    assert_eq!(going.len(), 2);

    // The owner finishes: its commit stands until it releases.
    let (partition, generation) = going[0];
    a.commit(&[commit_of(tp(partition), generation, 2)]).unwrap();
    for (partition, generation) in &going {
        a.release(&tp(*partition), *generation);
    }
    let fault = a.commit(&[commit_of(tp(partition), generation, 3)]).unwrap_err();
    assert_eq!(fault.class(), Class::Permanent);
    assert!(matches!(log_error(&fault), LogError::Fenced { .. }), "{fault}");
    assert_eq!(broker.position("g", &tp(partition)).unwrap().watermark, 2);

    let events = poll(&mut b);
    let taken = assigned(&events);
    assert_eq!(taken.iter().map(|t| t.0).collect::<Vec<_>>(), going.iter().map(|g| g.0).collect::<Vec<_>>());
    assert!(taken.iter().all(|(_, generation, _)| *generation > going[0].1));
    assert_eq!(taken[0].2.watermark, 2, "the new owner starts where the old one committed");
    assert!(!records(&events).contains(&(partition, 1)));

    // What stayed goes on under its old generation.
    let stayed = first.iter().find(|f| going.iter().all(|g| g.0 != f.0)).unwrap();
    a.commit(&[commit_of(tp(stayed.0), stayed.1, 1)]).unwrap();

    // A member that goes leaves its partitions to the other.
    drop(b);
    assert_eq!(assigned(&poll(&mut a)).len(), 2);
    assert_eq!(broker.members("g"), 1);
}

#[test]
fn a_mixed_commit_keeps_what_is_in_force() {
    let (_disk, _clock, broker) = filled(2, 40);
    let mut source = member(&broker);
    let given = assigned(&poll(&mut source));
    let stale = Generation(given[0].1.0 - 1);
    let fault = source.commit(&[commit_of(tp(0), stale, 1), commit_of(tp(1), given[1].1, 1)]).unwrap_err();
    assert!(matches!(log_error(&fault), LogError::Fenced { .. }));
    assert_eq!(broker.position("g", &tp(0)), None);
    assert_eq!(broker.position("g", &tp(1)).unwrap().watermark, 1);
    let beyond_end = broker.end_offset("t", 0).unwrap() + 1;
    let fault = source.commit(&[commit_of(tp(0), given[0].1, beyond_end)]).unwrap_err();
    assert!(fault.to_string().contains("beyond the end"), "{fault}");
}

#[test]
fn a_member_that_never_releases_loses_its_partition_and_cannot_commit() {
    let (_disk, clock, broker) = filled(2, 20);
    let mut zombie = member(&broker);
    poll(&mut zombie);
    let mut next = member(&broker);
    let (partition, generation) = revoked(&poll(&mut zombie))[0];
    clock.advance(Duration::from_secs(59));
    assert!(poll(&mut next).is_empty());
    clock.advance(Duration::from_secs(1));
    let taken = assigned(&poll(&mut next));
    assert_eq!(taken.len(), 1);
    next.commit(&[commit_of(tp(partition), taken[0].1, 1)]).unwrap();
    assert!(zombie.commit(&[commit_of(tp(partition), generation, 9)]).is_err());
    assert_eq!(broker.position("g", &tp(partition)).unwrap().watermark, 1);
    assert_eq!(lost(&poll(&mut zombie)), [partition]);
}

#[test]
fn polls_take_partitions_in_turn_and_pauses_hold_only_their_own() {
    let (_disk, _clock, broker) = filled(4, 400);
    let mut source = member(&broker);
    poll_limited(&mut source, 1);
    let mut touched = BTreeSet::new();
    for _ in 0..4 {
        for (partition, _) in poll_limited(&mut source, 1) {
            touched.insert(partition);
        }
    }
    assert_eq!(touched.len(), 4, "small polls starve no partition");
    source.pause(&tp(2));
    let seen = records(&poll(&mut source));
    assert!(!seen.is_empty() && seen.iter().all(|(partition, _)| *partition != 2));
    source.resume(&tp(2));
    assert!(records(&poll(&mut source)).iter().all(|(partition, _)| *partition == 2));

    let batch = source.reread(&tp(2), 3, 6, ALL).unwrap();
    assert_eq!(batch.records.iter().map(|f| f.offset).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(batch.next, 6);
    assert!(records(&poll(&mut source)).is_empty(), "a reread moves nothing");
}

fn poll_limited(source: &mut LogSource<SimDisk>, records_max: usize) -> Vec<(u32, u64)> {
    records(&source.poll(Duration::ZERO, Limit { records: records_max, bytes: 1 << 20 }).unwrap())
}

#[test]
fn every_record_is_delivered_once_in_offset_order_with_its_end() {
    let (_disk, _clock, broker) = filled(3, 1000);
    let mut source = member(&broker);
    let mut next = [0; 3];
    while next.iter().sum::<u64>() < 1000 {
        let events = source.poll(Duration::ZERO, Limit { records: 64, bytes: 300 }).unwrap();
        assert!(!events.is_empty());
        for event in events {
            let Event::Records { partition, batch, end, .. } = event else { continue };
            assert_eq!(end, broker.end_offset("t", partition.partition).unwrap());
            for fetched in &batch.records {
                assert_eq!(fetched.offset, next[partition.partition as usize]);
                next[partition.partition as usize] += 1;
            }
            assert_eq!(batch.next, next[partition.partition as usize]);
        }
    }
    assert!(poll(&mut source).is_empty());
}

#[test]
fn a_waiting_poll_wakes_for_records_for_its_waker_and_for_a_rebalance() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let (broker, _) = Broker::open(RealDisk, BrokerOptions::new(dir.path()), clock, Driver::Thread).unwrap();
    broker.create_topic("t", TopicOptions::partitions(2)).unwrap();
    let mut source = member(&broker);
    assert_eq!(assigned(&poll(&mut source)).len(), 2);
    let waker = source.waker();
    // Far longer than the test may take: only a wake-up ends these polls.
    let long = Duration::from_hours(1);
    let wait = |mut source: LogSource| {
        std::thread::spawn(move || {
            let events = source.poll(long, ALL).unwrap();
            (source, events)
        })
    };

    let waiting = wait(source);
    let _ = send(&broker, vec![outgoing("t", "k", "v")]);
    let (source, events) = waiting.join().unwrap();
    assert_eq!(records(&events).len(), 1);

    let waiting = wait(source);
    waker.wake();
    let (source, events) = waiting.join().unwrap();
    assert!(events.is_empty());

    let waiting = wait(source);
    let second = member(&broker);
    let (_source, events) = waiting.join().unwrap();
    assert_eq!(revoked(&events).len(), 1);
    drop(second);
}

#[test]
fn group_state_stays_small_over_many_commits() {
    let (disk, clock, broker) = filled(1, 10);
    let mut source = member(&broker);
    let generation = assigned(&poll(&mut source))[0].1;
    for n in 0..40_000_u64 {
        source.commit(&[commit_of(tp(0), generation, n % 10)]).unwrap();
    }
    source.commit(&[commit_of(tp(0), generation, 7)]).unwrap();
    let segments = disk.list(std::path::Path::new("/data/state")).unwrap();
    assert!(segments.len() <= 6, "compaction frees segments: {segments:?}");
    drop(source);
    drop(broker);
    disk.crash();
    let (broker, _) = open(&disk, &clock, Driver::Inline);
    assert_eq!(broker.position("g", &tp(0)).unwrap().watermark, 7);
}
