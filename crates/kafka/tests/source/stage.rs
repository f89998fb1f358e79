//! One real broker for all tests of this program, and how they fill and read it.

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;
use seawall_consumer::track::{OffsetSet, codec};
use seawall_core::{
    Class, Commit, Event, Fault, Fetched, Generation, Limit, Offset, Position, Source, TopicPartition,
};
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use seawall_kafka::{Connection, KafkaSource, SourceOptions};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(super) const LIMIT: Limit = Limit { records: 2_048, bytes: 4 << 20 };
const PATIENCE: Duration = Duration::from_secs(90);

/// The shared broker; it dies with the process.
pub(super) fn kafka(test: &str) -> Option<&'static KafkaCluster> {
    static CLUSTER: OnceLock<Option<KafkaCluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| kafka_or_skip(test, KafkaOptions::default())).as_ref();
    if cluster.is_none() {
        println!("SKIP {test}: no Kafka: java or mvn is missing");
    }
    cluster
}

pub(super) fn connection(kafka: &KafkaCluster) -> Connection {
    Connection::new([kafka.bootstrap()])
}

pub(super) fn options() -> SourceOptions {
    SourceOptions { session_timeout: Duration::from_secs(6), ..SourceOptions::default() }
}

pub(super) fn join(kafka: &KafkaCluster, group: &str, topic: &str) -> KafkaSource {
    KafkaSource::join(&connection(kafka), group, &[topic], options()).unwrap()
}

fn client(kafka: &KafkaCluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap());
    config
}

pub(super) fn create(kafka: &KafkaCluster, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = client(kafka).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let answers = runtime.block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap();
    answers[0].as_ref().unwrap();
}

/// Deletes the records of partition 0 below `offset`.
pub(super) fn delete_below(kafka: &KafkaCluster, topic: &str, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = client(kafka).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, rdkafka::Offset::Offset(offset)).unwrap();
    runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();
}

/// Writes `values` to one partition, in order; `None` is a tombstone.
pub(super) fn write(
    kafka: &KafkaCluster,
    topic: &str,
    partition: i32,
    values: impl Iterator<Item = Option<String>>,
) {
    let producer: BaseProducer =
        client(kafka).set("enable.idempotence", "true").set("linger.ms", "5").create().unwrap();
    for (nth, value) in values.enumerate() {
        let key = format!("k{}", nth % 97);
        let mut record = BaseRecord::<str, str>::to(topic).partition(partition).key(&key);
        if let Some(value) = &value {
            record = record.payload(value);
        }
        producer.send(record).unwrap();
        if nth % 1_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_mins(1)).unwrap();
}

pub(super) fn numbers(count: usize) -> impl Iterator<Item = Option<String>> {
    (0..count).map(|n| Some(n.to_string()))
}

/// What a committed offset looks like to others: offset and metadata.
pub(super) fn committed(
    kafka: &KafkaCluster,
    group: &str,
    topic: &str,
    partition: i32,
) -> Option<(i64, String)> {
    let consumer: BaseConsumer = client(kafka).set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let list = consumer.committed_offsets(list, Duration::from_secs(30)).unwrap();
    let elements = list.elements();
    match elements[0].offset() {
        rdkafka::Offset::Offset(at) => Some((at, elements[0].metadata().to_owned())),
        _ => None,
    }
}

/// A commit by somebody who is no member: any tool can do that while the group is empty.
pub(super) fn commit_by_hand(kafka: &KafkaCluster, group: &str, topic: &str, offset: i64, metadata: &str) {
    let consumer: BaseConsumer = client(kafka).set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(topic, 0);
    element.set_offset(rdkafka::Offset::Offset(offset)).unwrap();
    element.set_metadata(metadata);
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

/// A source and what it has told.
pub(super) struct Member {
    pub(super) source: KafkaSource,
    pub(super) held: BTreeMap<TopicPartition, (Generation, Position)>,
    pub(super) revoked: Vec<(TopicPartition, Generation)>,
    pub(super) lost: Vec<(TopicPartition, Generation)>,
    pub(super) read: BTreeMap<TopicPartition, Vec<Fetched>>,
}

impl Member {
    pub(super) fn new(source: KafkaSource) -> Self {
        let (held, read) = (BTreeMap::new(), BTreeMap::new());
        Self { source, held, revoked: Vec::new(), lost: Vec::new(), read }
    }

    pub(super) fn poll(&mut self) {
        let events = self.source.poll(Duration::from_millis(100), LIMIT).unwrap();
        for event in events {
            match event {
                Event::Assigned { partition, generation, position, .. } => {
                    self.held.insert(partition, (generation, position));
                }
                Event::Revoked { partition, generation } => self.revoked.push((partition, generation)),
                Event::Lost { partition, generation } => {
                    self.held.remove(&partition);
                    self.lost.push((partition, generation));
                }
                Event::Records { partition, generation, batch, end } => {
                    assert_eq!(self.held[&partition].0, generation);
                    let read = self.read.entry(partition).or_default();
                    for fetched in batch.records {
                        assert!(read.last().is_none_or(|last| last.offset < fetched.offset), "offsets grow");
                        assert!(fetched.offset < batch.next && batch.next <= end);
                        read.push(fetched);
                    }
                }
            }
        }
    }

    pub(super) fn count(&self) -> usize {
        self.read.values().map(Vec::len).sum()
    }

    pub(super) fn commit(&mut self, tp: &TopicPartition, position: Position) {
        let commit = Commit { partition: tp.clone(), generation: self.held[tp].0, position };
        answer(&mut self.source, &[commit]).unwrap();
    }
}

/// The coordinator's answer to a commit. What is not answered at once is asked for again, as the consumer does it.
pub(super) fn answer(source: &mut KafkaSource, commits: &[Commit]) -> Result<(), Fault> {
    let since = Instant::now();
    loop {
        match source.commit(commits) {
            Err(fault) if fault.class() == Class::Transient && since.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            answer => return answer,
        }
    }
}

/// Polls all `members` until `done` says so of them.
pub(super) fn until<const N: usize>(
    members: &mut [&mut Member; N],
    mut done: impl FnMut(&[&mut Member; N]) -> bool,
) {
    let since = Instant::now();
    while !done(members) {
        assert!(since.elapsed() < PATIENCE, "waited in vain; lost: {:?}", members[0].lost);
        for member in members.iter_mut() {
            member.poll();
        }
    }
}

/// A position of `watermark` with the offsets `done` settled beyond it.
pub(super) fn position(watermark: Offset, done: impl Iterator<Item = Offset>) -> Position {
    let mut set = OffsetSet::default();
    let count = done.map(|offset| u64::from(set.insert(offset))).sum();
    codec::encode(watermark, &set, count, 1 << 20).position
}

/// The offsets that a position leaves to be handled, of those below `end`.
pub(super) fn left(position: &Position, end: Offset) -> Vec<Offset> {
    let done = codec::decode(position).unwrap();
    (position.watermark..end).filter(|offset| !done.contains(*offset)).collect()
}

pub(super) fn nothing(watermark: Offset) -> Position {
    Position { watermark, beyond: Bytes::new() }
}
