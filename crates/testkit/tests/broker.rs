//! The simulated cluster keeps its own rules, whatever its members do.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use seawall_core::{Commit, Event, Generation, Limit, Position, Record, Source, TopicPartition};
use seawall_testkit::SimClock;
use seawall_testkit::broker::{SimBroker, SimSource};
use std::collections::BTreeMap;
use std::time::Duration;

const ALL: Limit = Limit { records: 1_000, bytes: 1 << 20 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn cluster(partitions: u32, seed: u64) -> (SimBroker, SimClock) {
    let clock = SimClock::new();
    (SimBroker::new("t", partitions, (ms(100), ms(50)), clock.clone(), seed), clock)
}

fn poll(source: &mut SimSource) -> Vec<Event> {
    source.poll(Duration::ZERO, ALL).unwrap()
}

fn commit(source: &mut SimSource, partition: u32, generation: Generation, watermark: u64) -> bool {
    let position = Position { watermark, ..Position::default() };
    source.commit(&[Commit { partition: TopicPartition::new("t", partition), generation, position }]).is_ok()
}

fn generation_of(events: &[Event], of: u32) -> Option<Generation> {
    events.iter().find_map(|event| match event {
        Event::Assigned { partition, generation, .. } if partition.partition == of => Some(*generation),
        _ => None,
    })
}

fn offsets(events: &[Event]) -> Vec<u64> {
    let of = |event: &Event| match event {
        Event::Records { batch, .. } => batch.records.iter().map(|fetched| fetched.offset).collect(),
        _ => Vec::new(),
    };
    events.iter().flat_map(of).collect()
}

#[test]
fn a_member_that_stalls_loses_its_partition_and_what_it_did_not_commit_comes_again() {
    let (broker, clock) = cluster(1, 1);
    let sent: Vec<u64> = (0..20).map(|_| broker.produce(0, Record::new(None, "v"))).collect();
    assert!(broker.gaps() > 0 && sent.windows(2).all(|pair| pair[0] < pair[1]));
    let (mut one, mut two) = (broker.join(), broker.join());
    let events = poll(&mut one);
    let first = generation_of(&events, 0).unwrap();
    assert_eq!(offsets(&events), sent);
    assert!(poll(&mut two).is_empty(), "one partition has one owner");
    assert!(commit(&mut one, 0, first, sent[5]));
    clock.pass(ms(60));
    assert!(poll(&mut two).is_empty());
    broker.stall(one.member(), true);
    clock.pass(ms(60));
    let events = poll(&mut two);
    let second = generation_of(&events, 0).unwrap();
    assert!(second > first);
    assert_eq!(offsets(&events), sent[5..], "from the committed position on");
    assert!(!commit(&mut one, 0, first, sent[9]), "an old generation is refused");
    assert!(commit(&mut two, 0, second, sent[7]));
    broker.stall(one.member(), false);
    let told = poll(&mut one);
    assert!(matches!(&told[..], [Event::Lost { generation, .. }, ..] if *generation == first), "{told:?}");
    assert_eq!(broker.committed(0).watermark, sent[7]);
}

#[test]
fn a_partition_moves_after_its_release_or_when_that_takes_too_long() {
    let (broker, clock) = cluster(2, 2);
    let mut one = broker.join();
    let first = generation_of(&poll(&mut one), 1).unwrap();
    let mut two = broker.join();
    assert!(generation_of(&poll(&mut two), 1).is_none(), "not before it is released");
    assert!(matches!(&poll(&mut one)[..], [Event::Revoked { generation, .. }] if *generation == first));
    assert!(commit(&mut one, 1, first, 0), "its owner may commit until then");
    one.release(&TopicPartition::new("t", 1), first);
    assert!(!commit(&mut one, 1, first, 0));
    assert!(generation_of(&poll(&mut two), 1).unwrap() > first);

    drop(two);
    let second = generation_of(&poll(&mut one), 1).unwrap();
    let mut three = broker.join();
    poll(&mut one);
    clock.pass(ms(60));
    let events = poll(&mut three);
    assert!(generation_of(&events, 1).unwrap() > second, "{events:?}");
    assert!(matches!(&poll(&mut one)[..], [Event::Lost { .. }]));
    assert!(!commit(&mut one, 1, second, 0));
}

/// Whatever members do: generations of a partition only grow, and nobody but its owner commits.
#[test]
fn one_owner_at_a_time_over_random_lives() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (broker, clock) = cluster(4, seed);
        let mut members: Vec<(SimSource, BTreeMap<u32, Generation>)> = Vec::new();
        let mut highest: BTreeMap<u32, Generation> = BTreeMap::new();
        for _ in 0..80 {
            clock.pass(ms(rng.u64(0..40)));
            match rng.u32(0..8) {
                0 if members.len() < 4 => members.push((broker.join(), BTreeMap::new())),
                1 if !members.is_empty() => drop(members.remove(rng.usize(0..members.len()))),
                _ => {}
            }
            let Some((source, held)) = rng.choice(members.iter_mut()) else { continue };
            if rng.u32(0..6) == 0 {
                broker.stall(source.member(), rng.bool());
            }
            for event in poll(source) {
                match event {
                    Event::Assigned { partition, generation, .. } => {
                        held.insert(partition.partition, generation);
                        let before = highest.insert(partition.partition, generation);
                        // Who hears late hears of an older one; it never has the same as another.
                        assert_ne!(before, Some(generation), "seed {seed}");
                    }
                    Event::Revoked { partition, generation } if rng.bool() => {
                        held.remove(&partition.partition);
                        source.release(&partition, generation);
                    }
                    Event::Lost { partition, .. } => drop(held.remove(&partition.partition)),
                    _ => {}
                }
            }
            let mut owners = BTreeMap::new();
            for (source, held) in &mut members {
                for (partition, generation) in held.iter() {
                    if commit(source, *partition, *generation, 0) {
                        let other = owners.insert(*partition, source.member());
                        assert_eq!(other, None, "seed {seed}: two owners of {partition}");
                    }
                }
            }
        }
    }
}
