//! Records that the cluster cannot take: acknowledged from the disk, and in the topic at the end, whatever was killed.

use crate::house::http::{Answer, Connection};
use crate::house::seawall::Seawall;
use crate::house::{http, wait_for};
use crate::stage::{create, open};
use crate::tool::{seawall, text};
use seawall_infra::{KafkaOptions, kafka_or_skip};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(1);
const KEYS: u64 = 7;
const BATCH: u64 = 40;

/// A configuration whose ingest writes to the cluster through a producer.
fn write(dir: &Path, cluster: &str, producer: &str) -> PathBuf {
    let data = dir.join("data").display().to_string();
    let text = format!(
        "{cluster}\n[data]\ndir = {data:?}\n[ingest]\nsink = \"kafka\"\n[[topic]]\nname = \"recovered\"\n\
         cluster = \"kafka\"\npartitions = 2\nreplication = 1\n{producer}\n"
    );
    let file = dir.join("seawall.toml");
    std::fs::write(&file, text).unwrap();
    file
}

const PRODUCER: &str = "[producer]\ndisk = \"64MiB\"\ndelivery_timeout = \"2s\"\npatience = \"200ms\"\n";

/// What has a receipt: the record's number within its key, and the id that its receipt names.
#[derive(Default)]
struct Acknowledged {
    next: u64,
    tokens: BTreeMap<String, String>,
}

impl Acknowledged {
    /// Posts one batch over all keys, and notes what was acknowledged; the durabilities of its receipts.
    fn post(&mut self, connection: &mut Connection) -> BTreeSet<String> {
        let numbers = self.next..self.next + BATCH;
        self.next += BATCH;
        let value = |n: u64| format!("k{}-{n:06}", n % KEYS);
        let line = |n: u64| format!("{{\"key\":\"k{}\",\"value\":\"{}\"}}\n", n % KEYS, value(n));
        let body: String = numbers.clone().map(line).collect();
        let headers = [("content-type", "application/vnd.seawall.records+ndjson")];
        let answer: Answer =
            connection.send("POST", "/v1/topics/recovered/records", &headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
        let receipts = answer.json();
        for (n, receipt) in numbers.zip(receipts.as_array().unwrap()) {
            // No place, no offset: a receipt from the disk does not make one up.
            let placed = receipt["durability"] == "replicated";
            assert_eq!(receipt["offset"].is_u64(), placed, "{receipt}");
            self.tokens.insert(value(n), receipt["token"].as_str().unwrap().to_owned());
        }
        let all = receipts.as_array().unwrap().iter();
        all.map(|receipt| receipt["durability"].as_str().unwrap().to_owned()).collect()
    }

    /// Every acknowledged record is there under its id, and each key's in order once repeats are left out.
    fn check(&self, records: &[Value]) {
        let mut seen: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut found = BTreeSet::new();
        for record in records {
            let (key, value) = (record["key"].as_str().unwrap(), record["value"].as_str().unwrap());
            if let Some(token) = self.tokens.get(value) {
                assert_eq!(record["headers"]["ce-id"], token.as_str(), "{record}");
            }
            if found.insert(value) {
                seen.entry(key).or_default().push(value);
            }
        }
        let lost: Vec<_> = self.tokens.keys().filter(|value| !found.contains(value.as_str())).collect();
        assert!(lost.is_empty(), "{} acknowledged records are not in the topic: {lost:?}", lost.len());
        assert_eq!(seen.len() as u64, KEYS);
        for (key, values) in seen {
            assert!(values.is_sorted(), "the order of {key} is broken: {values:?}");
        }
    }
}

fn producer(server: &Seawall) -> Value {
    http::get(server.admin, "/v1/producers").json()["producers"][0].clone()
}

fn consumed(brokers: &str) -> Vec<Value> {
    let arguments =
        ["consume", "recovered", "--bootstrap", brokers, "--from-start", "--exit-at-end", "--format", "json"];
    seawall(&arguments, "").json()
}

fn only(durability: &str) -> BTreeSet<String> {
    BTreeSet::from([durability.to_owned()])
}

#[test]
fn what_was_acknowledged_while_the_cluster_was_away_is_in_it_at_the_end() {
    let Some(kafka) = kafka_or_skip("recovered_kafka", KafkaOptions::default()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), &open(&kafka.bootstrap()), PRODUCER);
    let mut acknowledged = Acknowledged::default();

    let server = Seawall::run(&file);
    let mut connection = Connection::open(server.ingest).unwrap();
    // The first records may have been faster than the client's first connection.
    wait_for("a receipt from the cluster", BOUND, || {
        (acknowledged.post(&mut connection) == only("replicated")).then_some(())
    });
    let direct = |server: &Seawall| {
        wait_for("the replay is done", BOUND, || {
            let shown = producer(server);
            (shown["spill"]["waiting_records"] == 0 && shown["state"] == "direct").then_some(())
        });
    };
    direct(&server);

    kafka.kill(1).unwrap();
    for _ in 0..5 {
        assert_eq!(acknowledged.post(&mut connection), only("synced"));
    }
    let shown = producer(&server);
    assert_eq!((&shown["name"], &shown["use"]), (&"ingest.kafka".into(), &"ingest".into()));
    assert!(shown["state"] == "spilling" || shown["state"] == "buffering", "{shown}");
    wait_for("the waiting records are shown", BOUND, || {
        (producer(&server)["spill"]["waiting_records"] == 5 * BATCH).then_some(())
    });
    assert!(server.metric("seawall_spill_bytes{").unwrap() > 0.0);
    let spilled = "seawall_producer_records_total{producer=\"ingest.kafka\",sink=\"kafka\",path=\"spill\"}";
    assert!(server.metric(spilled).unwrap() >= (5 * BATCH) as f64);
    assert_eq!(http::get(server.admin, "/readyz").status, 200, "records can still be taken");
    server.kill();

    // Nobody delivers what waits unless somebody is told to: without the section there is no start.
    std::fs::write(
        dir.path().join("without.toml"),
        std::fs::read_to_string(&file).unwrap().replace(PRODUCER, ""),
    )
    .unwrap();
    let without = dir.path().join("without.toml");
    let refused = seawall(&["run", text(&without), "--ingest", "127.0.0.1:0", "--admin", "127.0.0.1:0"], "");
    let said = refused.fails(3);
    assert!(said.contains("acknowledged records wait") && said.contains("ingest.kafka"), "{said}");

    // Started again while the cluster is still away.
    let server = Seawall::run(&file);
    let mut connection = Connection::open(server.ingest).unwrap();
    assert_eq!(acknowledged.post(&mut connection), only("synced"));
    assert_eq!(http::get(server.admin, "/readyz").status, 200);

    kafka.start_again(1).unwrap();
    direct(&server);
    wait_for("a receipt from the cluster", BOUND, || {
        (acknowledged.post(&mut connection) == only("replicated")).then_some(())
    });
    acknowledged.check(&consumed(&kafka.bootstrap()));
    assert!(server.metric(&spilled.replace("\"spill\"", "\"replay\"")).unwrap() >= (5 * BATCH) as f64);
    let events = producer(&server)["events"].to_string();
    assert!(events.contains("replaying") && events.contains("direct"), "{events}");
    server.stop();
}

/// A second cluster takes over, with the topics of the first; nothing that has a receipt is missing from both.
#[test]
fn another_cluster_takes_over_and_the_switch_is_told() {
    let Some(west) = crate::stage::kafka("over_kafka") else { return };
    let Some(kafka) = kafka_or_skip("over_kafka", KafkaOptions::default()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let west_cluster = format!("[[cluster]]\nname = \"west\"\nbootstrap = [{:?}]\n", west.bootstrap());
    let clusters = open(&kafka.bootstrap()) + &west_cluster;
    let file =
        write(dir.path(), &clusters, &format!("{PRODUCER}fail_over = [\"west\"]\nfailback_after = \"1h\"\n"));
    let mut acknowledged = Acknowledged::default();
    let server = Seawall::run(&file);
    let mut connection = Connection::open(server.ingest).unwrap();
    wait_for("a receipt from the cluster", BOUND, || {
        (acknowledged.post(&mut connection) == only("replicated")).then_some(())
    });
    wait_for("the replay is done", BOUND, || {
        (producer(&server)["spill"]["waiting_records"] == 0).then_some(())
    });
    // What the first cluster has is its own; from here on everything is for the second.
    acknowledged.tokens.clear();

    kafka.kill(1).unwrap();
    wait_for("the second cluster takes the records", BOUND, || {
        acknowledged.post(&mut connection);
        (producer(&server)["active"] == "west").then_some(())
    });
    wait_for("what was spilled is there, too", BOUND, || {
        (producer(&server)["spill"]["waiting_records"] == 0).then_some(())
    });
    let shown = producer(&server);
    assert!(shown["events"].to_string().contains("switched") && shown["totals"]["switches"] == 1, "{shown}");
    assert_eq!(server.metric("seawall_producer_switches_total{"), Some(1.0));
    assert_eq!(
        server.metric("seawall_producer_sink_active{producer=\"ingest.kafka\",sink=\"west\"}"),
        Some(1.0)
    );
    acknowledged.check(&consumed(&west.bootstrap()));
    server.stop();
}

/// Three ends: nobody there, then there; a spill of somebody else.
#[test]
fn produce_keeps_what_the_cluster_cannot_take_and_says_where_it_is() {
    let Some(kafka) = crate::stage::kafka("kept_kafka") else { return };
    create(kafka, "kept", 1);
    let dir = tempfile::tempdir().unwrap();
    let spill = dir.path().join("spill");
    let produce = |brokers: &str, wait: &str, lines: &str| {
        let spill = ["--spill", text(&spill), "--spill-max", "64MiB", "--wait", wait];
        let arguments =
            [&["produce", "kept", "--bootstrap", brokers, "--key-separator", ":"], &spill[..]].concat();
        seawall(&arguments, lines)
    };
    let lines: Vec<String> = (0..300).map(|n| format!("k{}:{n:03}", n % 3)).collect();
    let lines = lines.join("\n");
    let away = produce("127.0.0.1:9", "0s", &lines);
    assert_eq!(away.code, 0, "{away:?}");
    assert!(away.err.contains("300 records are not in the cluster yet"), "{away:?}");

    let manifest = spill.join("manifest.json");
    let mine = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, mine.replace("seawall produce", "ingest.kafka")).unwrap();
    let other = produce(&kafka.bootstrap(), "0s", "").fails(4);
    assert!(other.contains("belongs to \"ingest.kafka\""), "{other}");
    std::fs::write(&manifest, mine).unwrap();

    let back = produce(&kafka.bootstrap(), "1m", "k0:300\n");
    assert_eq!(back.code, 0, "{back:?}");
    assert!(
        back.err.contains("300 records of an earlier call wait") && !back.err.contains("not in the cluster"),
        "{back:?}"
    );
    let arguments = ["consume", "kept", "--bootstrap", &kafka.bootstrap(), "--from-start", "--exit-at-end"];
    let mut values = seawall(&[&arguments[..], &["--format", "json"]].concat(), "").json();
    let mut seen = BTreeSet::new();
    values.retain(|record| seen.insert(record["value"].as_str().unwrap().to_owned()));
    assert_eq!(values.len(), 301, "every record is in the topic");
    for key in ["k0", "k1", "k2"] {
        let of_key: Vec<&str> =
            values.iter().filter(|r| r["key"] == key).map(|r| r["value"].as_str().unwrap()).collect();
        assert!(of_key.is_sorted(), "{key}: {of_key:?}");
    }
}
