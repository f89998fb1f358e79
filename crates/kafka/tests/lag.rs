//! Lag as Kafka's own tool tells it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use seawall_core::{Clock, Outgoing, Record, Sink, SystemClock, TopicPartition, WallMs};
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::lag::{Filter, LagMonitor, LagOptions, LagSnapshot, PartitionLag, StuckRule};
use seawall_kafka::{Admin, Connection, KafkaSink, SinkOptions};
use std::collections::BTreeMap;
use std::time::Duration;

const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// Partition to (committed, end, lag), as Kafka's tool prints it; `-` is none.
fn told(kafka: &KafkaCluster, group: &str, topic: &str) -> BTreeMap<u32, [String; 3]> {
    let servers = kafka.bootstrap();
    let said = kafka.tool(GROUPS, &["--bootstrap-server", &servers, "--describe", "--group", group]).unwrap();
    assert!(said.ok(), "{}", said.story());
    let rows = said.stdout.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == topic)?;
        let number = words.get(at + 1)?.parse().ok()?;
        // Newer versions put the leader epoch before the offset.
        let rest: Vec<&str> = words[at + 2..].iter().copied().take(4).collect();
        let numbers = if rest.len() == 4 && words.len() - at > 8 { &rest[1..4] } else { &rest[..3] };
        Some((number, [numbers[0], numbers[1], numbers[2]].map(ToOwned::to_owned)))
    });
    rows.collect()
}

fn ours(snapshot: &LagSnapshot, group: &str) -> BTreeMap<u32, PartitionLag> {
    let rows = snapshot.partitions.iter().filter(|row| &*row.group == group);
    rows.map(|row| (row.partition, row.clone())).collect()
}

fn commit(kafka: &KafkaCluster, group: &str, topic: &str, offsets: &[(i32, i64)]) {
    let servers = kafka.bootstrap();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
    }
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

async fn write(sink: &KafkaSink, topic: &str, partition: u32, records: usize, at: WallMs) {
    let one = || Outgoing {
        topic: topic.into(),
        partition: Some(partition),
        record: Record { timestamp: at, ..Record::new(None, "v") },
    };
    let answers = sink.send((0..records).map(|_| one()).collect()).await;
    assert!(answers.iter().all(Result::is_ok));
}

fn monitor(kafka: &KafkaCluster, stuck: StuckRule) -> LagMonitor {
    let options =
        LagOptions { topics: Filter::new("topic", "orders").unwrap(), stuck, ..LagOptions::default() };
    LagMonitor::open(&Connection::new([kafka.bootstrap()]), options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_what_kafkas_own_tool_says_and_never_below_zero() {
    let name = "lag_is_what_kafkas_own_tool_says_and_never_below_zero";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    let connection = Connection::new([kafka.bootstrap()]);
    let admin = Admin::open(&connection, Duration::from_mins(1)).unwrap();
    for topic in ["orders", "orders-other"] {
        assert_eq!(admin.ensure_topic(&NewTopic::new(topic, 3)).await.unwrap().partitions.len(), 3);
    }
    let sink = KafkaSink::open(&connection, &SinkOptions::default()).unwrap();
    let clock = SystemClock::new();
    let hour_ago = WallMs(clock.wall().0 - 3_600_000);
    write(&sink, "orders", 0, 100, hour_ago).await;
    write(&sink, "orders", 1, 50, clock.wall()).await;
    write(&sink, "orders-other", 0, 7, clock.wall()).await;
    // No commit for partition 2; partition 1 is finished.
    commit(&kafka, "billing", "orders", &[(0, 40), (1, 50)]);
    commit(&kafka, "billing", "orders-other", &[(0, 1)]);

    let mut monitor = monitor(&kafka, StuckRule { samples: 2, ..StuckRule::default() });
    let mut sample = || tokio::task::block_in_place(|| monitor.sample(&clock).unwrap());
    let first = ours(&sample(), "billing");
    let theirs = told(&kafka, "billing", "orders");
    assert_eq!(theirs[&0], ["40", "100", "60"]);
    assert_eq!(first.keys().copied().collect::<Vec<_>>(), [0, 1, 2], "the filter takes whole names");
    for (number, [committed, end, lag]) in &theirs {
        let row = &first[number];
        assert_eq!(row.end.to_string(), *end);
        if committed != "-" {
            assert_eq!(
                (row.committed.unwrap().to_string(), row.lag.to_string()),
                (committed.clone(), lag.clone())
            );
        }
    }
    assert_eq!((first[&2].committed, first[&2].lag), (None, 0));
    assert!((3_600.0..7_200.0).contains(&first[&0].seconds.unwrap()), "{:?}", first[&0]);
    assert_eq!(first[&1].seconds, Some(0.0));
    assert!(first.values().all(|row| row.stuck != Some(true)) && first[&0].stuck.is_none());

    // The log grows, partition 0's commit stands, partition 1's follows.
    for end in [101, 102] {
        write(&sink, "orders", 0, 1, clock.wall()).await;
        write(&sink, "orders", 1, 1, clock.wall()).await;
        write(&sink, "orders", 2, 1, clock.wall()).await;
        commit(&kafka, "billing", "orders", &[(1, end - 51)]);
        let _ = sample();
    }
    let grown = ours(&sample(), "billing");
    assert_eq!((grown[&0].lag, grown[&1].lag, grown[&2].lag), (62, 1, 2));
    assert!(grown[&0].stuck == Some(true) && grown[&1].stuck == Some(false), "{grown:?}");

    // Records that were never read are deleted, and a commit lies beyond the end of a topic made anew.
    admin.delete_records(&[(TopicPartition::new("orders", 0), 90)]).await.unwrap();
    let cut = ours(&sample(), "billing");
    assert_eq!((cut[&0].begin, cut[&0].lag), (90, 62));
    assert_eq!(told(&kafka, "billing", "orders")[&0][2], "62");
    commit(&kafka, "billing", "orders", &[(1, 1_000)]);
    assert_eq!(ours(&sample(), "billing")[&1].lag, 0);
}
