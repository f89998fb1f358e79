//! A log that lost its end: a copy that was behind became the leader (`unclean.leader.election.enable`).

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
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use seawall_core::{
    Class, Commit, Event, Generation, Limit, Offset, Origin, Position, Source, TopicPartition,
};
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use seawall_kafka::{Connection, KafkaSource, SourceOptions};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_mins(2);
const LIMIT: Limit = Limit { records: 1_000, bytes: 1 << 20 };
const TOPIC: &str = "cut";
/// The leader, and the copy that will be behind.
const LEADER: usize = 1;
const BEHIND: usize = 2;

fn client(kafka: &KafkaCluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap());
    config
}

fn create(kafka: &KafkaCluster) {
    let admin: AdminClient<DefaultClientContext> = client(kafka).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let copies = [LEADER as i32, BEHIND as i32];
    let copies = [&copies[..]];
    let new = NewTopic::new(TOPIC, 1, TopicReplication::Variable(&copies))
        .set("unclean.leader.election.enable", "true")
        .set("min.insync.replicas", "1");
    runtime.block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
}

fn write(kafka: &KafkaCluster, what: &str, count: usize) {
    let producer: BaseProducer = client(kafka).set("acks", "all").create().unwrap();
    for nth in 0..count {
        let value = format!("{what}-{nth}");
        producer.send(BaseRecord::<str, str>::to(TOPIC).partition(0).payload(&value)).unwrap();
    }
    producer.flush(Duration::from_mins(1)).unwrap();
}

/// Waits until the partition has this leader, and this many copies in sync.
fn until_led(kafka: &KafkaCluster, leader: usize, in_sync: usize) {
    let since = Instant::now();
    let found = || {
        let any: BaseConsumer = client(kafka).create().unwrap();
        let metadata = any.fetch_metadata(Some(TOPIC), Duration::from_secs(5)).ok()?;
        let partition = metadata.topics()[0].partitions().first()?;
        Some((partition.leader(), partition.isr().len()))
    };
    while found() != Some((leader as i32, in_sync)) {
        assert!(since.elapsed() < PATIENCE, "{:?}, and not {leader} with {in_sync}", found());
        std::thread::sleep(Duration::from_millis(200));
    }
}

type Read = Vec<(Offset, String)>;

/// What is told of an assignment: where it starts, where that comes from, and its generation.
type Start = (Offset, Origin, Generation);

/// Polls until so many records have come, and how the partition was assigned meanwhile.
fn read(source: &mut KafkaSource, count: usize) -> (Read, Vec<Start>) {
    let (mut read, mut starts) = (Vec::new(), Vec::new());
    let since = Instant::now();
    while read.len() < count {
        assert!(since.elapsed() < PATIENCE, "{starts:?}, {} of {count}: {read:?}", read.len());
        let events = match source.poll(Duration::from_millis(50), LIMIT) {
            Ok(events) => events,
            Err(fault) => {
                assert_eq!(fault.class(), Class::Transient, "{fault}");
                continue;
            }
        };
        for event in events {
            match event {
                Event::Assigned { position, origin, generation, .. } => {
                    starts.push((position.watermark, origin, generation));
                }
                Event::Records { batch, .. } => read.extend(batch.records.into_iter().map(|fetched| {
                    (fetched.offset, String::from_utf8(fetched.record.value.to_vec()).unwrap())
                })),
                Event::Revoked { .. } | Event::Lost { .. } => {}
            }
        }
    }
    (read, starts)
}

fn numbered(what: &str, from: Offset, count: usize) -> Read {
    (0..count).map(|nth| (from + nth as Offset, format!("{what}-{nth}"))).collect()
}

fn commit(source: &mut KafkaSource, generation: Generation, watermark: Offset) {
    let position = Position { watermark, ..Position::default() };
    let commits = [Commit { partition: TopicPartition::new(TOPIC, 0), generation, position }];
    let since = Instant::now();
    while let Err(fault) = source.commit(&commits) {
        assert!(fault.class() == Class::Transient && since.elapsed() < PATIENCE, "{fault}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_took_the_place_of_a_lost_end_is_read_although_the_log_has_grown_past_it() {
    const NAME: &str = "what_took_the_place_of_a_lost_end_is_read_although_the_log_has_grown_past_it";
    let options = KafkaOptions { brokers: 3, ..KafkaOptions::default() };
    let Some(kafka) = kafka_or_skip(NAME, options) else { return };
    create(&kafka);
    let options = SourceOptions { session_timeout: Duration::from_secs(45), ..SourceOptions::default() };
    let mut source =
        KafkaSource::join(&Connection::new([kafka.bootstrap()]), TOPIC, &[TOPIC], options).unwrap();
    write(&kafka, "old", 10);
    let (old, starts) = read(&mut source, 10);
    assert_eq!(old, numbered("old", 0, 10));
    let [(0, Origin::Chosen, generation)] = starts[..] else { panic!("{starts:?}") };
    kafka.kill(BEHIND).unwrap();
    until_led(&kafka, LEADER, 1);
    write(&kafka, "lost", 20);
    assert_eq!(read(&mut source, 20), (numbered("lost", 10, 20), vec![]));
    // 5 is not finished, and whatever else is the consumer knows.
    commit(&mut source, generation, 5);

    kafka.kill(LEADER).unwrap();
    kafka.start_again(BEHIND).unwrap();
    until_led(&kafka, BEHIND, 1);
    write(&kafka, "new", 40);
    let (read, starts) = read(&mut source, 45);
    assert!(matches!(starts[..], [(5, Origin::Cut(10), _)]), "{starts:?}");
    assert_eq!(read[..5], numbered("old", 0, 10)[5..], "what was not finished");
    assert_eq!(read[5..], numbered("new", 10, 40), "from where the log was cut on");
}
