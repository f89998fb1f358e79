//! Records that the cluster cannot take: acknowledged from the disk, and in the topic at the end, whatever was killed.

use crate::acknowledged::{Acknowledged, BATCH};
use crate::clusters::{BOUND, cluster, consumed, producer, until_direct, write};
use crate::house::http::Connection;
use crate::house::seawall::Seawall;
use crate::house::{http, wait_for};
use crate::stage::create;
use crate::tool::{seawall, text};
use seawall_infra::{KafkaOptions, kafka_or_skip};
use std::collections::BTreeSet;

const PRODUCER: &str = "[producer]\ndisk = \"64MiB\"\ndelivery_timeout = \"2s\"\npatience = \"200ms\"\n";

#[test]
fn what_was_acknowledged_while_the_cluster_was_away_is_in_it_at_the_end() {
    let Some(kafka) = kafka_or_skip("recovered_kafka", KafkaOptions::default()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "recovered", &cluster("kafka", &kafka.bootstrap()), PRODUCER);
    let mut acknowledged = Acknowledged::new("recovered");
    // A topic that the config does not describe.
    create(&kafka, "readings", 1);
    let mut readings = Acknowledged::new("readings");

    let server = Seawall::run(&file);
    let mut connection = Connection::open(server.ingest).unwrap();
    // The first records may have been faster than the client's first connection.
    wait_for("a receipt from the cluster", BOUND, || {
        acknowledged.post(&mut connection).only("replicated").then_some(())
    });
    until_direct(&server);
    readings.post(&mut connection);
    wait_for("the topic is written down", BOUND, || {
        std::fs::read_to_string(dir.path().join("data/topics/kafka"))
            .is_ok_and(|text| text == "readings\n")
            .then_some(())
    });

    kafka.kill(1).unwrap();
    for _ in 0..5 {
        assert!(acknowledged.post(&mut connection).only("synced"));
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
    assert!(acknowledged.post(&mut connection).only("synced"));
    assert!(readings.post(&mut connection).only("synced"), "its records came in an earlier life");
    assert_eq!(Acknowledged::new("never").try_post(&mut connection, &[]).answer.status, 503);
    assert_eq!(http::get(server.admin, "/readyz").status, 200);

    kafka.start_again(1).unwrap();
    until_direct(&server);
    // A cluster may start for longer than the server keeps a connection without a request.
    let mut connection = Connection::open(server.ingest).unwrap();
    wait_for("a receipt from the cluster", BOUND, || {
        acknowledged.post(&mut connection).only("replicated").then_some(())
    });
    acknowledged.check(&[consumed(&kafka, "recovered")]);
    readings.check(&[consumed(&kafka, "readings")]);
    assert!(server.metric(&spilled.replace("\"spill\"", "\"replay\"")).unwrap() >= (5 * BATCH) as f64);
    let events = producer(&server)["events"].to_string();
    assert!(events.contains("replaying") && events.contains("direct"), "{events}");
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
