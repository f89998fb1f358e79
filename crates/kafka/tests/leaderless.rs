//! Partitions without a leader: they hold up neither those that have one nor their group.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may panic, and waits"
)]

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;
use seawall_core::{Class, Event, Generation, Limit, Offset, Source};
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use seawall_kafka::{Connection, KafkaSource, SourceOptions};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_mins(2);
const LIMIT: Limit = Limit { records: 1_000, bytes: 1 << 20 };
/// Records a partition.
const COUNT: usize = 10;
/// The broker that goes away.
const OTHER: usize = 3;

fn client(kafka: &KafkaCluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap());
    config
}

/// A topic of two partitions, each on one of `brokers` alone, and ten records in each.
fn fill(kafka: &KafkaCluster, topic: &str, brokers: [usize; 2]) {
    let admin: AdminClient<DefaultClientContext> = client(kafka).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = ([brokers[0] as i32], [brokers[1] as i32]);
    let copies = [&first[..], &second[..]];
    let new = NewTopic::new(topic, 2, TopicReplication::Variable(&copies));
    runtime.block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
    let producer: BaseProducer = client(kafka).set("acks", "all").create().unwrap();
    for nth in 0..2 * COUNT {
        let record = BaseRecord::<str, str>::to(topic).partition((nth % 2) as i32).payload("value");
        producer.send(record).unwrap();
    }
    producer.flush(Duration::from_mins(1)).unwrap();
}

/// Commits `offset` of partition 1 by hand.
fn commit(kafka: &KafkaCluster, topic: &str, offset: i64) {
    let consumer: BaseConsumer = client(kafka).set("group.id", topic).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 1, rdkafka::Offset::Offset(offset)).unwrap();
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

/// A member that gives back what is revoked at once, and what it has been told.
struct Member {
    source: KafkaSource,
    held: BTreeMap<u32, Generation>,
    read: BTreeMap<u32, Vec<Offset>>,
}

impl Member {
    fn join(kafka: &KafkaCluster, topic: &str) -> Self {
        let options = SourceOptions {
            session_timeout: Duration::from_secs(6),
            request_timeout: Duration::from_secs(2),
            ..SourceOptions::default()
        };
        let source = KafkaSource::join(&Connection::new([kafka.bootstrap()]), topic, &[topic], options);
        Self { source: source.unwrap(), held: BTreeMap::new(), read: BTreeMap::new() }
    }

    fn poll(&mut self) {
        let events = match self.source.poll(Duration::from_millis(50), LIMIT) {
            Ok(events) => events,
            Err(fault) => {
                println!("{fault}");
                assert_eq!(fault.class(), Class::Transient, "it stops for good: {fault}");
                return;
            }
        };
        for event in events {
            match event {
                Event::Assigned { partition, generation, .. } => {
                    self.held.insert(partition.partition, generation);
                }
                Event::Revoked { partition, generation } => {
                    self.held.remove(&partition.partition);
                    self.source.release(&partition, generation);
                }
                Event::Lost { partition, .. } => {
                    self.held.remove(&partition.partition);
                }
                Event::Records { partition, batch, .. } => {
                    let read = self.read.entry(partition.partition).or_default();
                    read.extend(batch.records.iter().map(|fetched| fetched.offset));
                }
            }
        }
    }
}

fn until(what: &str, members: &mut [Member], mut is: impl FnMut(&[Member]) -> bool) {
    let since = Instant::now();
    while !is(members) {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        members.iter_mut().for_each(Member::poll);
    }
}

/// The offsets of a partition that any of the members has read.
fn read(members: &[Member], partition: u32) -> Vec<Offset> {
    let mut read: Vec<_> =
        members.iter().filter_map(|member| member.read.get(&partition)).flatten().copied().collect();
    read.sort_unstable();
    read.dedup();
    read
}

fn all(from: usize) -> Vec<Offset> {
    (from as Offset..COUNT as Offset).collect()
}

/// A member that has read the `living` partition, then a second one, for longer than a session: who owes the group an
/// answer is thrown out by then.
fn two(kafka: &KafkaCluster, topic: &str, living: u32) -> Vec<Member> {
    let mut members = vec![Member::join(kafka, topic)];
    until("taken in", &mut members, |members| read(members, living) == all(0));
    members.push(Member::join(kafka, topic));
    until("both are members", &mut members, |members| members.iter().all(|member| member.source.is_member()));
    let since = Instant::now();
    until("a while", &mut members, |_| since.elapsed() > Duration::from_secs(10));
    members
}

#[test]
fn a_partition_without_a_leader_holds_up_no_other_and_goes_on_once_it_has_one() {
    const NAME: &str = "a_partition_without_a_leader_holds_up_no_other_and_goes_on_once_it_has_one";
    let options = KafkaOptions { brokers: 3, ..KafkaOptions::default() };
    let Some(kafka) = kafka_or_skip(NAME, options) else { return };
    for topic in ["fresh", "known", "moving"] {
        fill(&kafka, topic, [1, OTHER]);
    }
    fill(&kafka, "moving-back", [OTHER, 1]);
    commit(&kafka, "known", 4);
    kafka.kill(OTHER).unwrap();
    let since = Instant::now();
    let leader = |topic: &str| {
        let any: BaseConsumer = client(&kafka).create().unwrap();
        let metadata = any.fetch_metadata(Some(topic), Duration::from_secs(10)).ok()?;
        let partition = metadata.topics()[0].partitions().iter().find(|found| found.id() == 1)?;
        Some(partition.leader())
    };
    while leader("fresh") != Some(-1) {
        assert!(since.elapsed() < PATIENCE, "the cluster does not notice");
        std::thread::sleep(Duration::from_millis(200));
    }

    let (mut fresh, mut known) = ([Member::join(&kafka, "fresh")], [Member::join(&kafka, "known")]);
    until("the other partition of a group without positions", &mut fresh, |members| {
        read(members, 0) == all(0)
    });
    assert_eq!(fresh[0].held.keys().collect::<Vec<_>>(), [&0], "where it starts is not known yet");
    until("the other partition of a group with a position", &mut known, |members| read(members, 0) == all(0));
    assert_eq!(known[0].held.keys().collect::<Vec<_>>(), [&0, &1], "where it starts is known");

    // One of these groups moves what was never placed, the other one what was.
    let mut moving = two(&kafka, "moving", 0);
    let mut back = two(&kafka, "moving-back", 1);

    kafka.start_again(OTHER).unwrap();
    until("all of a group without positions", &mut fresh, |members| read(members, 1) == all(0));
    until("all of a group with a position", &mut known, |members| read(members, 1) == all(4));
    for (members, away) in [(&mut moving, 1), (&mut back, 0)] {
        until("all, of both members", members, |members| read(members, away) == all(0));
        let held: Vec<Vec<_>> = members.iter().map(|member| member.held.keys().collect()).collect();
        assert!(held == [[&0], [&1]] || held == [[&1], [&0]], "one each: {held:?}");
    }
    for member in fresh.iter().chain(&known) {
        assert_eq!(member.read[&0], all(0), "each once");
    }
}
