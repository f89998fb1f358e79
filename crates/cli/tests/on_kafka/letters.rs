//! Dead letters in a topic of a cluster: listed, shown, driven again by filter and rate, cut off, and purged.

use crate::house::seawall::Seawall;
use crate::house::{http, wait_for};
use crate::stage::{House, Service, create, kafka, open};
use crate::tool::{Ended, seawall, total};
use seawall_infra::{KafkaOptions, kafka_or_skip};
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(1);
const LETTERS: u64 = 300;

fn letters(server: &Seawall) -> u64 {
    server.overview()["pipelines"][0]["dead_letters"]["count"].as_u64().unwrap()
}

fn dlq(server: &Seawall, arguments: &[&str]) -> Ended {
    let admin = format!("http://{}", server.admin);
    seawall(&[&["dlq"], arguments, &["--admin", &admin]].concat(), "")
}

#[test]
fn a_redrive_on_a_cluster_goes_on_where_a_kill_cut_it_off() {
    let Some(kafka) = kafka("letters_kafka") else { return };
    create(kafka, "letters", 2);
    let service = Service::start(422);
    let dir = tempfile::tempdir().unwrap();
    let cluster = open(&kafka.bootstrap());
    // Through a producer; its patience is long, so that every receipt here is the cluster's.
    let more = "member = { instance_id = \"a\", session_timeout = \"10s\" }\n[producer]\npatience = \"10s\"";
    let file = House { name: "letters", cluster, service: service.addr, more }.write(dir.path());
    let server = Seawall::run(&file);
    let path = "/v1/topics/letters/records";
    let mut client = http::Connection::open(server.ingest).unwrap();
    for n in 0..LETTERS {
        let key = format!("customer-{n:03}");
        let answer = client.send("POST", path, &[("seawall-key", &key)], b"order").unwrap();
        assert_eq!((answer.status, &answer.json()["durability"]), (201, &"replicated".into()));
    }
    wait_for("the dead letters", BOUND, || (letters(&server) == LETTERS).then_some(()));

    let sent = "seawall_producer_records_total{producer=\"letters.kafka\",sink=\"kafka\",path=\"direct\"}";
    assert_eq!(server.metric(sent), Some(LETTERS as f64), "dead letters go through their own producer");

    let found = dlq(&server, &["ls", "orders", "--matching", "CUSTOMER-07", "--format", "json"]).json();
    assert_eq!(found.len(), 10, "{found:?}");
    let id = format!("{}/{}", found[0]["partition"], found[0]["offset"]);
    let shown = dlq(&server, &["show", "orders", &id, "--format", "json"]).json().remove(0);
    assert_eq!(
        (shown["value"].as_str(), shown["origin"]["topic"].as_str()),
        (Some("order"), Some("letters"))
    );
    assert!(dlq(&server, &["show", "orders", "0/99999"]).fails(3).contains("0/99999"));

    // From here on a delivery that works is a letter that was driven again.
    service.answer(200);
    let before = service.seen();
    let some = dlq(&server, &["redrive", "orders", "--matching", "customer-07", "--rate", "1000"]).ok();
    assert_eq!(some, "10 redriven\n");
    wait_for("the ten", BOUND, || (service.effects() == 10).then_some(()));

    let order = br#"{"all": true, "rate": 40}"#;
    let redrive = "/v1/pipelines/orders/dead-letters/redrive";
    let started =
        http::once(server.admin, "POST", redrive, &[("content-type", "application/json")], order).unwrap();
    assert_eq!(started.status, 202, "{}", started.text());
    wait_for("a part of it", BOUND, || {
        (http::get(server.admin, redrive).json()["redriven"].as_u64()? >= 60).then_some(())
    });
    server.kill();

    let server = Seawall::run(&file);
    let left = wait_for("the rest", BOUND, || {
        let left = dlq(&server, &["ls", "orders", "--limit", "500", "--format", "json"]).json().len() as u64;
        (left > 0).then_some(left)
    });
    assert!(left < LETTERS - 10 - 40, "what was driven again before the kill is not listed any more: {left}");
    let rest = dlq(&server, &["redrive", "orders", "--all", "--rate", "1000"]).ok();
    assert_eq!(rest, format!("{left} redriven\n"));
    wait_for("no letters", BOUND, || (letters(&server) == 0).then_some(()));
    wait_for("every letter's effect", BOUND, || (service.effects() == LETTERS).then_some(()));
    crate::house::idle(&server);
    // Those whose receipt came and whose commit did not are there twice, and the claim store knows their tokens; what
    // it did not know yet when it was killed comes again. A second of the redrive is more than both.
    let again = service.seen() - before - LETTERS;
    assert!(again <= 40, "{again} deliveries repeated");

    purged(&server, &service, path);
    server.stop();
}

/// Letters that nobody wants any more are gone, from the topic too.
fn purged(server: &Seawall, service: &Service, path: &str) {
    service.answer(422);
    let dead = total(server, "dead_lettered");
    for key in ["x", "y", "z"] {
        assert_eq!(
            http::once(server.ingest, "POST", path, &[("seawall-key", key)], b"o").unwrap().status,
            201
        );
    }
    wait_for("three more", BOUND, || (total(server, "dead_lettered") == dead + 3).then_some(()));
    assert!(dlq(server, &["purge", "orders", "--all"]).fails(3).contains("--yes"));
    assert_eq!(dlq(server, &["purge", "orders", "--all", "--yes"]).ok(), "3 purged\n");
    assert!(dlq(server, &["ls", "orders", "--format", "json"]).json().is_empty());
    wait_for("the topic's records are deleted", BOUND, || {
        let topics = http::get(server.ingest, "/v1/topics").json();
        let dlq = topics["topics"].as_array()?.iter().find(|topic| topic["name"] == "letters.dlq")?.clone();
        (dlq["partitions"][0]["start"] == dlq["partitions"][0]["end"]).then_some(())
    });
}

/// A cluster forgets the positions of a group without members, here after a minute.
#[test]
fn what_was_driven_again_is_not_forgotten_with_its_groups_positions() {
    let settings = [("offsets.retention.minutes", "1"), ("offsets.retention.check.interval.ms", "1000")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = KafkaOptions { settings, ..KafkaOptions::default() };
    let Some(kafka) = kafka_or_skip("forgetful_kafka", options) else { return };
    create(&kafka, "letters", 1);
    let service = Service::start(422);
    let dir = tempfile::tempdir().unwrap();
    let cluster = open(&kafka.bootstrap());
    let file = House { name: "letters", cluster, service: service.addr, more: "" }.write(dir.path());
    let server = Seawall::run(&file);
    for key in ["x", "y", "z"] {
        let path = "/v1/topics/letters/records";
        let posted = http::once(server.ingest, "POST", path, &[("seawall-key", key)], b"order").unwrap();
        assert_eq!(posted.status, 201, "{}", posted.text());
    }
    wait_for("the dead letters", BOUND, || (letters(&server) == 3).then_some(()));
    service.answer(200);
    assert_eq!(dlq(&server, &["redrive", "orders", "--all"]).ok(), "3 redriven\n");
    wait_for("no letters", BOUND, || (letters(&server) == 0).then_some(()));
    server.stop();
    // Each life writes down again what it found: together they last longer than the cluster remembers.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(35));
        let server = Seawall::run(&file);
        let listed = || dlq(&server, &["ls", "orders", "--format", "json"]).json();
        wait_for("the letters are looked at", BOUND, || listed().is_empty().then_some(()));
        std::thread::sleep(Duration::from_secs(3));
        assert!(listed().is_empty());
        server.stop();
    }
}
