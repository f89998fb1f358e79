//! One guarded broker for all tests of this program, and what they do to it.

use seawall_consumer::track::{OffsetSet, codec};
use seawall_core::{
    Batch, Class, Commit, Event, Fault, Generation, Limit, Offset, Outgoing, Position, Receipt, Record, Sink,
    Source, TopicPartition,
};
use seawall_infra::{KafkaCluster, KafkaOptions, User, kafka_or_skip};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::{Admin, Connection, KafkaSink, KafkaSource, SinkOptions, SourceOptions};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(super) const PATIENCE: Duration = Duration::from_mins(1);
pub(super) const LIMIT: Limit = Limit { records: 1_000, bytes: 1 << 20 };

/// The shared broker, with SASL and ACLs; it dies with the process.
pub(super) fn kafka(test: &str) -> Option<&'static KafkaCluster> {
    static CLUSTER: OnceLock<Option<KafkaCluster>> = OnceLock::new();
    // Half of the default, so that there is metadata that fits by Seawall's measure and not by the broker's.
    let settings = vec![("offset.metadata.max.bytes".to_owned(), "2048".to_owned())];
    let mut options = KafkaOptions { sasl: true, acls: true, settings, ..KafkaOptions::default() };
    options.users.push(User { name: "carol".to_owned(), password: "carol-secret".to_owned() });
    let cluster = CLUSTER.get_or_init(|| kafka_or_skip(test, options)).as_ref();
    if cluster.is_none() {
        println!("SKIP {test}: no Kafka: java or mvn is missing");
    }
    cluster
}

/// The listener that lets everybody do everything.
pub(super) fn open(kafka: &KafkaCluster) -> Connection {
    Connection::new([kafka.bootstrap()])
}

/// The guarded listener, over PLAIN.
pub(super) fn plain(kafka: &KafkaCluster, user: &str, password: &str) -> Connection {
    let mut connection = Connection::new([kafka.bootstrap_sasl()]);
    for (name, value) in [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN")] {
        connection.properties.insert(name.to_owned(), value.to_owned());
    }
    connection.secrets.insert("sasl.username".to_owned(), user.to_owned().into());
    connection.secrets.insert("sasl.password".to_owned(), password.to_owned().into());
    connection
}

pub(super) fn admin(connection: &Connection) -> Admin {
    Admin::open(connection, Duration::from_secs(5)).unwrap()
}

pub(super) fn sink(connection: &Connection) -> KafkaSink {
    let options = SinkOptions { delivery_timeout: Duration::from_secs(4), ..SinkOptions::default() };
    KafkaSink::open(connection, &options).unwrap()
}

pub(super) fn source(
    connection: &Connection,
    group: &str,
    topic: &str,
) -> Result<KafkaSource, seawall_kafka::KafkaError> {
    let options = SourceOptions { session_timeout: Duration::from_secs(6), ..SourceOptions::default() };
    KafkaSource::join(connection, group, &[topic], options)
}

pub(super) async fn create(kafka: &KafkaCluster, topic: &str) {
    let admin = Admin::open(&open(kafka), PATIENCE).unwrap();
    admin.ensure_topic(&NewTopic::new(topic, 1)).await.unwrap();
}

/// A topic of one partition that takes batches of at most `bytes`.
pub(super) async fn create_narrow(kafka: &KafkaCluster, topic: &str, bytes: u32) {
    let mut narrow = NewTopic::new(topic, 1);
    narrow.configs.push(("max.message.bytes".to_owned(), bytes.to_string()));
    admin(&open(kafka)).ensure_topic(&narrow).await.unwrap();
}

pub(super) fn record(topic: &str, value: impl Into<bytes::Bytes>) -> Outgoing {
    Outgoing { topic: topic.into(), partition: Some(0), record: Record::new(None, value) }
}

pub(super) async fn send(sink: &KafkaSink, topic: &str, value: &str) -> Result<Receipt, Fault> {
    sink.send(vec![record(topic, value.to_owned())]).await.remove(0)
}

pub(super) async fn written(sink: &KafkaSink, topic: &str, value: &str) {
    let sent = send(sink, topic, value).await;
    assert!(sent.is_ok(), "{sent:?}");
}

pub(super) async fn fill(kafka: &KafkaCluster, topic: &str, records: usize) {
    let sink = KafkaSink::open(&open(kafka), &SinkOptions::default()).unwrap();
    let answers = sink.send((0..records).map(|n| record(topic, format!("value-{n}"))).collect()).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// Checks class and words of an error.
#[track_caller]
pub(super) fn says<E: Clone + Into<Fault>>(error: &E, class: Class, parts: &[&str]) {
    let fault: Fault = error.clone().into();
    let said = fault.to_string();
    assert_eq!(fault.class(), class, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing in: {said}");
    }
}

/// Allows `user` the `operation` on what `target` names, as Kafka's own tool does.
pub(super) fn grant(kafka: &KafkaCluster, user: &str, operation: &str, target: &[&str]) {
    rule(kafka, "--allow-principal", user, operation, target);
}

/// Forbids it, whatever else is allowed.
pub(super) fn deny(kafka: &KafkaCluster, user: &str, operation: &str, target: &[&str]) {
    rule(kafka, "--deny-principal", user, operation, target);
}

fn rule(kafka: &KafkaCluster, which: &str, user: &str, operation: &str, target: &[&str]) {
    let (servers, principal) = (kafka.bootstrap(), format!("User:{user}"));
    let base = ["--bootstrap-server", &servers, "--add", which, &principal];
    let what = ["--operation", operation];
    let said =
        kafka.tool("org.apache.kafka.tools.AclCommand", &[&base[..], &what[..], target].concat()).unwrap();
    assert!(said.ok(), "{}", said.story());
}

/// Joins `group`, named as its topic, and commits 5 with half of the offsets up to `end` settled beyond.
pub(super) fn commit_half(connection: &Connection, group: &str, end: Offset) -> Result<Position, Fault> {
    let mut source = source(connection, group, group).unwrap();
    let (mut half, mut random) = (OffsetSet::default(), fastrand::Rng::with_seed(end));
    let count = (6..end).filter(|_| random.bool()).map(|offset| u64::from(half.insert(offset))).sum();
    let position = codec::encode(5, &half, count, 1 << 20).position;
    let partition = TopicPartition::new(group, 0);
    let generation = assigned(&mut source);
    let commit = Commit { partition, generation, position: position.clone() };
    committed(&mut source, &commit).map(|()| position)
}

/// Polls until a partition is assigned.
pub(super) fn assigned(source: &mut KafkaSource) -> Generation {
    let mut found = None;
    until(source, "the partition is assigned", |event| {
        if let Event::Assigned { generation, .. } = event {
            found = Some(*generation);
        }
        found.is_some()
    });
    found.unwrap()
}

/// The coordinator's answer to a commit, which may have to be asked for again.
pub(super) fn committed(source: &mut KafkaSource, commit: &Commit) -> Result<(), Fault> {
    let since = Instant::now();
    loop {
        match source.commit(std::slice::from_ref(commit)) {
            Err(fault) if fault.class() == Class::Transient => {
                assert!(since.elapsed() < PATIENCE, "{fault}");
                std::thread::sleep(Duration::from_millis(50));
            }
            answer => return answer,
        }
    }
}

/// Polls until `done` says so of what was told; transient faults are waited out.
pub(super) fn until(source: &mut KafkaSource, what: &str, mut done: impl FnMut(&Event) -> bool) {
    let since = Instant::now();
    loop {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        match source.poll(Duration::from_millis(100), LIMIT) {
            Ok(events) => {
                let mut found = false;
                for event in &events {
                    found |= done(event);
                }
                if found {
                    return;
                }
            }
            Err(fault) => {
                println!("{what}: {fault}");
                assert_eq!(fault.class(), Class::Transient, "{what}: {fault}");
            }
        }
    }
}

/// The offsets of a batch.
pub(super) fn offsets(batch: &Batch) -> Vec<u64> {
    batch.records.iter().map(|fetched| fetched.offset).collect()
}
