//! Dead letters of a pipeline whose cluster is away.

use crate::clusters::{BOUND, SOON, away, cluster, named};
use crate::house::seawall::Seawall;
use crate::house::{http, wait_for};
use crate::stage::{House, Service, create};
use crate::tool::total;
use serde_json::Value;
use std::collections::BTreeMap;

const LETTERS: u64 = 20;

#[test]
fn dead_letters_are_kept_while_their_cluster_is_away_and_arrive_later() {
    let Some(kafka) = away("kept_letters_kafka") else { return };
    create(kafka.kafka(), "lettered", 2);
    // It asks for time until the cluster is gone.
    let service = Service::start(503);
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster("kafka", &kafka.bootstrap());
    let house = House { name: "lettered", cluster, service: service.addr, more: SOON };
    let server = Seawall::run(&house.write(dir.path()));
    let mut connection = http::Connection::open(server.ingest).unwrap();
    for n in 0..LETTERS {
        let key = format!("k{}", n % 4);
        let path = "/v1/topics/lettered/records";
        let answer = connection.send("POST", path, &[("seawall-key", &key)], n.to_string().as_bytes());
        assert_eq!(answer.unwrap().status, 201);
    }
    // They are read, and in the hands of the pipeline.
    wait_for("all of them were read", BOUND, || {
        let pipeline = &server.overview()["pipelines"][0];
        let partitions = pipeline["partitions"].as_array()?.iter();
        let held = partitions.map(|p| p["parked"].as_u64().unwrap() + p["in_flight"].as_u64().unwrap());
        (held.sum::<u64>() == LETTERS).then_some(())
    });

    kafka.leave();
    service.answer(422);
    let producer = || named(&server, 1);
    assert_eq!(producer()["name"], "letters.kafka");
    wait_for("the letters are on disk", BOUND, || {
        (total(&server, "dead_lettered") == LETTERS && producer()["spill"]["waiting_records"] == LETTERS)
            .then_some(())
    });
    let there = kafka.consumed("lettered.dlq");
    assert!(there.is_empty(), "{there:?}");

    kafka.come_back();
    wait_for("the letters are delivered", BOUND, || {
        (producer()["spill"]["waiting_records"] == 0).then_some(())
    });
    let mut by_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let text = |letter: &Value, name: &str| letter[name].as_str().unwrap().to_owned();
    for letter in kafka.consumed("lettered.dlq") {
        let values = by_key.entry(text(&letter, "key")).or_default();
        let value = text(&letter, "value").parse().unwrap();
        // A call whose answer was lost is repeated.
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let expected: BTreeMap<_, Vec<u64>> =
        (0..4).map(|key| (format!("k{key}"), (0..LETTERS).filter(|n| n % 4 == key).collect())).collect();
    assert_eq!(by_key, expected);
    server.stop();
}
