//! What others make of what Seawall writes: kcat, and Kafka's own console tools.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may panic, and waits"
)]

use bytes::Bytes;
use seawall_core::{Commit, Event, Header, Limit, Outgoing, Position, Record, Sink, Source, WallMs};
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::sink::Compression;
use seawall_kafka::{Admin, Connection, KafkaSink, KafkaSource, SinkOptions, SourceOptions};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const PATIENCE: Duration = Duration::from_mins(1);
/// 2026-01-01, so that no tool mistakes it for now.
const WRITTEN: WallMs = WallMs(1_767_225_600_000);
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Lz4, Compression::Zstd, Compression::Snappy, Compression::Gzip];

fn kcat() -> Option<PathBuf> {
    let chosen = std::env::var_os("SEAWALL_KCAT").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = || std::env::split_paths(&path).map(|folder| folder.join("kcat")).find(|file| file.is_file());
    chosen.filter(|file| file.is_file()).or_else(found)
}

/// Long enough to be worth compressing, or the client leaves it as it is.
fn value(nth: usize) -> String {
    format!("value-{nth} ö {}", "x".repeat(500))
}

/// What is written: a record for each codec, in a batch of its own.
fn records(nth: usize) -> Vec<Outgoing> {
    let header = |name: &str, value: &'static str| Header::new(name, Bytes::from_static(value.as_bytes()));
    let mut record = Record::new(Some(Bytes::from(format!("key-{nth}"))), value(nth));
    record.timestamp = WRITTEN;
    record.headers = [header("ce-id", "7"), header("x-kind", "plain")].into_iter().collect();
    vec![Outgoing { topic: "orders".into(), partition: Some(1), record }]
}

async fn write(kafka: &KafkaCluster) {
    let connection = Connection::new([kafka.bootstrap()]);
    let admin = Admin::open(&connection, PATIENCE).unwrap();
    admin.ensure_topic(&NewTopic::new("orders", 2)).await.unwrap();
    for (nth, compression) in CODECS.into_iter().enumerate() {
        let options = SinkOptions { compression, ..SinkOptions::default() };
        let answers = KafkaSink::open(&connection, &options).unwrap().send(records(nth)).await;
        assert_eq!(answers[0].as_ref().unwrap().offset, nth as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_and_the_console_consumer_read_what_the_sink_writes() {
    let name = "kcat_and_the_console_consumer_read_what_the_sink_writes";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    write(&kafka).await;
    let expected: Vec<String> = (0..CODECS.len())
        .map(|nth| format!("1|{nth}|{}|key-{nth}|{}|ce-id=7,x-kind=plain", WRITTEN.0, value(nth)))
        .collect();
    let servers = kafka.bootstrap();

    let args = ["--bootstrap-server", &servers, "--topic", "orders", "--from-beginning"];
    let bounds = ["--max-messages", "5", "--timeout-ms", "60000"];
    let show =
        ["timestamp", "partition", "offset", "headers", "key"].map(|what| format!("print.{what}=true"));
    let mut all = [&args[..], &bounds[..]].concat();
    for one in show.iter().map(String::as_str).chain(["key.separator=|", "headers.separator=,"]) {
        all.extend(["--formatter-property", one]);
    }
    let said = kafka.tool(CONSUMER, &all).unwrap();
    assert!(said.ok(), "{}", said.story());
    let theirs: Vec<&str> = said.stdout.lines().collect();
    let console: Vec<String> = (0..CODECS.len())
        .map(|nth| {
            let (time, value) = (WRITTEN.0, value(nth));
            format!("CreateTime:{time}|Partition:1|Offset:{nth}|ce-id:7,x-kind:plain|key-{nth}|{value}")
        })
        .collect();
    assert_eq!(theirs, console);

    let Some(kcat) = kcat() else {
        println!("SKIP {name}: kcat not found (install kcat)");
        return;
    };
    let format = "%p|%o|%T|%k|%s|%h\n";
    let said = Command::new(kcat)
        .args(["-b", &servers, "-C", "-t", "orders", "-o", "beginning", "-e", "-q", "-f", format])
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let out = String::from_utf8(said.stdout).unwrap();
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
}

/// The rows that Kafka's tool prints of a group, by its words.
fn described(kafka: &KafkaCluster, more: &[&str]) -> Vec<Vec<String>> {
    let servers = kafka.bootstrap();
    let base = ["--bootstrap-server", &servers, "--describe", "--group", "billing"];
    let said = kafka.tool(GROUPS, &[&base[..], more].concat()).unwrap();
    assert!(said.ok(), "{}", said.story());
    let rows = said.stdout.lines().map(|line| line.split_whitespace().map(ToOwned::to_owned).collect());
    rows.filter(|words: &Vec<String>| words.first().is_some_and(|first| first == "billing")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_own_tool_tells_the_groups_state() {
    let name = "kafkas_own_tool_tells_the_groups_state";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    write(&kafka).await;
    let options = SourceOptions {
        client_id: "worker-1".to_owned(),
        session_timeout: Duration::from_secs(20),
        ..SourceOptions::default()
    };
    let mut source =
        KafkaSource::join(&Connection::new([kafka.bootstrap()]), "billing", &["orders"], options).unwrap();
    let since = Instant::now();
    let mut committed = false;
    while !committed {
        assert!(since.elapsed() < PATIENCE, "partition 1 is never assigned");
        for event in source.poll(Duration::from_millis(100), Limit { records: 10, bytes: 1 << 20 }).unwrap() {
            if let Event::Assigned { partition, generation, .. } = event
                && partition.partition == 1
            {
                let position = Position { watermark: 3, beyond: Bytes::new() };
                let commit = [Commit { partition, generation, position }];
                while source.commit(&commit).is_err() {
                    assert!(since.elapsed() < PATIENCE, "the commit is never taken");
                }
                committed = true;
            }
        }
    }
    // Polls go on while the tool asks, as they do in a pipeline.
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&stop);
    let polling = std::thread::spawn(move || {
        while !seen.load(std::sync::atomic::Ordering::SeqCst) {
            let _ = source.poll(Duration::from_millis(100), Limit { records: 10, bytes: 1 << 20 });
        }
    });
    let offsets = described(&kafka, &["--offsets"]);
    let row = offsets.iter().find(|row| row[2] == "1").unwrap();
    assert!(row.contains(&"3".to_owned()) && row.contains(&"5".to_owned()) && row.contains(&"2".to_owned()));
    assert!(row.iter().any(|word| word == "worker-1"), "{row:?}");
    let members = described(&kafka, &["--members"]);
    assert!(members.len() == 1 && members[0].iter().any(|word| word == "worker-1"), "{members:?}");
    let state = described(&kafka, &["--state"]);
    let has = |word: &str| state[0].iter().any(|each| each == word);
    assert!(has("cooperative-sticky") && has("Stable"), "{state:?}");
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    polling.join().unwrap();
    assert!(described(&kafka, &["--state"])[0].iter().any(|word| word == "Empty"), "the member has left");
}
