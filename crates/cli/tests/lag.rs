//! `seawall lag` against a real broker: what one sample says, and an exporter that outlives what happens to a
//! cluster.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, and waits by the machine's clock"
)]
#![allow(missing_docs, unreachable_pub, reason = "the house is shared by test binaries, not published")]

mod house;

use house::http;
use house::seawall::Seawall;
use house::wait_for;
use seawall_check::promql;
use seawall_core::{
    Commit, Event, Generation, Limit, Outgoing, Position, Record, Sink, Source, TopicPartition,
};
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::{Admin, Connection, KafkaSink, KafkaSource, SinkOptions, SourceOptions};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);

/// What a test does to a cluster, through Seawall's own clients.
struct Stage {
    kafka: KafkaCluster,
    runtime: tokio::runtime::Runtime,
    admin: Admin,
}

impl Stage {
    fn new(test: &str) -> Option<Self> {
        let kafka = kafka_or_skip(test, KafkaOptions::default())?;
        let connection = Connection::new([kafka.bootstrap()]);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let admin = Admin::open(&connection, PATIENCE).unwrap();
        Some(Self { kafka, runtime, admin })
    }

    fn create(&self, topic: &str, partitions: u32) {
        self.runtime.block_on(self.admin.ensure_topic(&NewTopic::new(topic, partitions))).unwrap();
    }

    fn write(&self, topic: &str, partition: u32, records: usize) {
        let one =
            || Outgoing { topic: topic.into(), partition: Some(partition), record: Record::new(None, "v") };
        // A new client knows partitions that were added a moment ago.
        let connection = Connection::new([self.kafka.bootstrap()]);
        let sink = KafkaSink::open(&connection, &SinkOptions::default()).unwrap();
        let answers = self.runtime.block_on(sink.send((0..records).map(|_| one()).collect()));
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }

    fn join(&self, group: &str, topic: &str, client: &str, instance: Option<&str>) -> Member {
        let options = SourceOptions {
            client_id: client.to_owned(),
            instance_id: instance.map(ToOwned::to_owned),
            session_timeout: Duration::from_secs(6),
            ..SourceOptions::default()
        };
        let connection = Connection::new([self.kafka.bootstrap()]);
        Member {
            source: KafkaSource::join(&connection, group, &[topic], options).unwrap(),
            held: BTreeMap::new(),
        }
    }
}

struct Member {
    source: KafkaSource,
    held: BTreeMap<u32, Generation>,
}

impl Member {
    /// Polls until it holds `partitions` partitions.
    fn hold(&mut self, partitions: usize) {
        wait_for("the member holds its partitions", PATIENCE, || {
            let limit = Limit { records: 100, bytes: 1 << 20 };
            // A broker that is only coming up is no reason to stop.
            for event in self.source.poll(Duration::from_millis(100), limit).unwrap_or_default() {
                if let Event::Assigned { partition, generation, .. } = event {
                    self.held.insert(partition.partition, generation);
                }
            }
            (self.held.len() == partitions).then_some(())
        });
    }

    fn commit(&mut self, topic: &str, partition: u32, watermark: u64) {
        let position = Position { watermark, beyond: bytes::Bytes::new() };
        let generation = self.held[&partition];
        let commit = [Commit { partition: TopicPartition::new(topic, partition), generation, position }];
        // Asked for again until it is answered, as the consumer does it.
        wait_for("a commit is taken", Duration::from_mins(1), || self.source.commit(&commit).ok());
    }
}

/// A running exporter.
struct Exporter {
    child: Child,
    addr: SocketAddr,
}

impl Exporter {
    fn start(kafka: &KafkaCluster, more: &[&str]) -> Self {
        let servers = kafka.bootstrap();
        let base = ["lag", "--bootstrap", &servers, "--listen", "127.0.0.1:0", "--interval", "1"];
        let mut command = Seawall::command(&[&base[..], more].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let addr = lines.find_map(|line| {
            println!("{line}");
            line.strip_prefix("metrics: http://")?.strip_suffix("/metrics")?.parse().ok()
        });
        std::thread::spawn(move || lines.for_each(|line| println!("exporter: {line}")));
        Self { child, addr: addr.expect("the exporter says where it listens") }
    }

    /// The status of a GET that calls the exporter `host`.
    fn status(&self, path: &str, host: &str) -> u16 {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The value of a metric, by its whole name and labels.
    fn value(&self, series: &str) -> Option<f64> {
        let text = http::get(self.addr, "/metrics").text();
        let line =
            text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
    }

    fn becomes(&self, series: &str, wanted: impl Into<Option<f64>>) {
        let wanted = wanted.into();
        wait_for(&format!("{series} is {wanted:?}"), PATIENCE, || {
            (self.value(series) == wanted).then_some(())
        });
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn series(name: &str, group: &str, topic: &str, partition: u32, client: &str) -> String {
    format!("{name}{{group=\"{group}\",topic=\"{topic}\",partition=\"{partition}\",client_id=\"{client}\"}}")
}

#[test]
fn the_exporter_tells_what_becomes_of_groups_topics_and_brokers() {
    let name = "the_exporter_tells_what_becomes_of_groups_topics_and_brokers";
    let Some(stage) = Stage::new(name) else { return };
    for (topic, partitions) in [("orders", 2), ("doomed", 1), ("other", 1)] {
        stage.create(topic, partitions);
        (0..partitions).for_each(|partition| stage.write(topic, partition, 10));
    }
    // A static member does not leave when it is dropped: it has died, as far as the group can tell.
    let mut worker = stage.join("billing", "orders", "worker-1", Some("one"));
    worker.hold(2);
    worker.commit("orders", 0, 4);
    worker.commit("orders", 1, 10);
    for topic in ["doomed", "other"] {
        let mut reader = stage.join("readers", topic, "reader", None);
        reader.hold(1);
        reader.commit(topic, 0, 1);
    }
    let exporter = Exporter::start(&stage.kafka, &["--topic", "orders|doomed", "--timeout", "2"]);
    let lag = |partition, client| series("kafka_consumer_lag", "billing", "orders", partition, client);
    exporter.becomes(&lag(0, "worker-1"), 6.0);
    exporter.becomes(&lag(1, "worker-1"), 0.0);
    exporter.becomes(&series("kafka_consumer_lag", "readers", "doomed", 0, ""), 9.0);
    let age = series("kafka_consumer_lag_seconds", "billing", "orders", 0, "worker-1");
    assert!(wait_for("an age", PATIENCE, || exporter.value(&age)) > 0.0);
    assert_eq!(exporter.value(&series("kafka_consumer_lag", "readers", "other", 0, "")), None, "the filter");

    who_may_ask(&exporter);
    has_what_deploy_asks_for(&exporter);

    drop(worker);
    stage.write("orders", 0, 5);
    exporter.becomes(&lag(0, "worker-1"), 11.0);
    exporter.becomes(&lag(0, ""), 11.0);
    let stuck = |partition| series("kafka_consumer_stuck", "billing", "orders", partition, "");
    stage.write("orders", 0, 1);
    exporter.becomes(&lag(0, ""), 12.0);
    exporter.becomes(&stuck(0), 1.0);
    exporter.becomes(&stuck(1), 0.0);

    stage.runtime.block_on(stage.admin.add_partitions("orders", 3)).unwrap();
    wait_for("the new partition can be written", PATIENCE, || {
        let found = stage.runtime.block_on(stage.admin.topic("orders")).unwrap()?;
        (found.partitions.len() == 3 && found.partitions.iter().all(|one| one.leader.is_some())).then_some(())
    });
    stage.write("orders", 2, 3);
    exporter.becomes(&lag(2, ""), 3.0);

    stage.runtime.block_on(stage.admin.delete_topic("doomed")).unwrap();
    exporter.becomes(&series("kafka_consumer_lag", "readers", "doomed", 0, ""), None);

    let mut second = stage.join("billing", "orders", "worker-2", None);
    second.hold(3);
    second.commit("orders", 0, 1_000);
    exporter.becomes(&lag(0, "worker-2"), 0.0);
    exporter.becomes(&series("kafka_consumer_stuck", "billing", "orders", 0, "worker-2"), 0.0);
    drop(second);
    exporter.becomes(&lag(2, ""), 3.0);
    assert_eq!(exporter.value("kafka_consumer_groups_unread"), Some(0.0));

    // Without a broker the old numbers are not shown for long, and come back with it.
    let failures = exporter.value("kafka_consumer_lag_sample_failures_total").unwrap();
    stage.kafka.kill(1).unwrap();
    exporter.becomes(&lag(2, ""), None);
    assert!(exporter.value("kafka_consumer_lag_sample_failures_total").unwrap() > failures);
    stage.kafka.start_again(1).unwrap();
    exporter.becomes(&lag(2, ""), 3.0);
    ends_when_asked(exporter);
}

fn who_may_ask(exporter: &Exporter) {
    assert_eq!(exporter.status("/metrics", "localhost"), 200);
    assert_eq!(exporter.status("/metrics", "exporter.example"), 403);
    assert_eq!(exporter.status("/", "localhost"), 404);
    let posted = http::once(exporter.addr, "POST", "/metrics", &[], b"").unwrap();
    assert_eq!(posted.status, 405);
}

/// Every metric of lag in the alerts and the dashboard, and every label of it.
fn has_what_deploy_asks_for(exporter: &Exporter) {
    // The first look cannot say whether anything is stuck.
    wait_for("a second sample", PATIENCE, || {
        http::get(exporter.addr, "/metrics").text().contains("kafka_consumer_stuck{").then_some(())
    });
    let text = http::get(exporter.addr, "/metrics").text();
    let mut asked = 0;
    for file in ["prometheus/alerts.yml", "grafana/seawall.json"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file);
        for query in seawall_check::queries(file, &std::fs::read_to_string(path).unwrap()).unwrap() {
            let used = promql::uses(&promql::parse(&query.text).unwrap());
            for (metric, labels) in used.metrics.iter().filter(|(metric, _)| metric.starts_with("kafka_")) {
                asked += 1;
                let has = |line: &str| {
                    let rest = line.strip_prefix(metric.as_str()).filter(|rest| rest.starts_with(['{', ' ']));
                    rest.is_some_and(|rest| labels.iter().all(|label| rest.contains(&format!("{label}=\""))))
                };
                assert!(text.lines().any(has), "{file}: {metric} {labels:?}");
            }
        }
    }
    assert!(asked >= 10, "{asked}");
}

fn ends_when_asked(mut exporter: Exporter) {
    let pid = exporter.child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    let status = wait_for("the exporter ends", PATIENCE, || exporter.child.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn one_look_is_a_table_or_json_and_a_verdict_takes_two() {
    let name = "one_look_is_a_table_or_json_and_a_verdict_takes_two";
    let Some(stage) = Stage::new(name) else { return };
    stage.create("orders", 1);
    stage.write("orders", 0, 10);
    let mut worker = stage.join("billing", "orders", "worker-1", None);
    worker.hold(1);
    worker.commit("orders", 0, 4);
    drop(worker);
    let servers = stage.kafka.bootstrap();
    let run = |more: &[&str]| {
        Seawall::command(&[&["lag", "--bootstrap", &servers][..], more].concat()).output().unwrap()
    };
    let table = run(&[]);
    let text = String::from_utf8(table.stdout).unwrap();
    let words: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((table.status.code(), words.len()), (Some(0), 9), "{text}");
    assert_eq!(
        (&words[..6], &words[7..]),
        (&["billing", "orders", "0", "4", "10", "6"][..], &["?", "-"][..])
    );
    for json in [&["--json"][..], &["--format", "json"]] {
        let row: serde_json::Value = serde_json::from_slice(&run(json).stdout).unwrap();
        assert_eq!((&row["lag"], &row["committed"], &row["stuck"]), (&6.into(), &4.into(), &().into()));
        assert!(row["lag_seconds"].as_f64().is_some(), "{row}");
    }
    let filtered = String::from_utf8(run(&["--group", "bill"]).stdout).unwrap();
    assert_eq!(filtered.lines().count(), 1, "a whole name must match: {filtered}");

    // The log grows between the looks and the commit stands.
    let verdict = std::thread::scope(|scope| {
        let asked = scope.spawn(|| run(&["--samples", "3", "--interval", "3", "--json"]));
        for _ in 0..12 {
            std::thread::sleep(Duration::from_millis(500));
            stage.write("orders", 0, 1);
        }
        asked.join().unwrap()
    });
    let row: serde_json::Value = serde_json::from_slice(&verdict.stdout).unwrap();
    assert_eq!((verdict.status.code(), &row["stuck"]), (Some(1), &true.into()), "{row}");

    let open = run(&["--listen", "0.0.0.0:0"]);
    let said = String::from_utf8(open.stderr).unwrap();
    assert!(open.status.code() == Some(3) && said.contains("--token-file"), "{said}");
}
