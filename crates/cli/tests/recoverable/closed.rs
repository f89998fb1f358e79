//! An orderly end while the cluster is away, and the life after it; and receipts that are given from memory.

use crate::acknowledged::{Acknowledged, BATCH};
use crate::clusters::{BOUND, SOON, away, cluster, producer, until_direct, write};
use crate::house::http::Connection;
use crate::house::seawall::Seawall;
use crate::house::wait_for;

const BUFFERED: [(&str, &str); 1] = [("seawall-durability", "buffered")];

#[test]
fn an_end_at_its_bound_puts_everything_on_disk_and_the_next_life_delivers_it() {
    let Some(kafka) = away("closed_kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    // Nothing is put on disk for want of patience: what waits in memory at the end is there.
    let more = format!(
        "{}close_within = \"300ms\"\n[producer.breaker]\nmin_calls = 1000\n",
        SOON.replace("patience = \"200ms\"", "patience = \"1s\"")
            .replace("breaker = { open_for = \"200ms\" }\n", "")
    );
    let file = write(dir.path(), "closed", &cluster("kafka", &kafka.bootstrap()), &more);
    let mut acknowledged = Acknowledged::new("closed");
    let server = Seawall::run(&file);
    let mut connection = Connection::open(server.ingest).unwrap();
    wait_for("a receipt from the cluster", BOUND, || {
        acknowledged.post(&mut connection).only("replicated").then_some(())
    });
    until_direct(&server);

    kafka.leave();
    assert!(acknowledged.post(&mut connection).only("synced"));
    let before = acknowledged.count();
    for _ in 0..3 {
        assert!(acknowledged.try_post(&mut connection, &BUFFERED).only("buffered"));
    }
    assert_eq!(acknowledged.count() - before, 3 * BATCH);
    drop(connection);
    server.stop();

    let server = Seawall::run(&file);
    let waiting = producer(&server)["spill"]["waiting_records"].as_u64().unwrap();
    assert!(waiting >= 4 * BATCH, "{waiting} records are on disk");
    kafka.come_back();
    until_direct(&server);
    acknowledged.check(&[kafka.consumed("closed")]);
    server.stop();
}

#[test]
fn a_receipt_from_memory_says_so_and_its_record_arrives() {
    let Some(kafka) = away("buffered_kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        "buffered",
        &cluster("kafka", &kafka.bootstrap()),
        &format!("{SOON}durability = \"buffered\"\n"),
    );
    let mut acknowledged = Acknowledged::new("buffered");
    let server = Seawall::run(&file);
    let mut connection = Connection::open(server.ingest).unwrap();
    let mut posts = 1;
    let posted = acknowledged.post(&mut connection);
    assert_eq!((posted.answer.status, posted.only("buffered")), (202, true), "{posted:?}");
    // A request may ask for more than the configuration.
    let replicated = [("seawall-durability", "replicated")];
    wait_for("a receipt from the cluster", BOUND, || {
        posts += 1;
        acknowledged.try_post(&mut connection, &replicated).only("replicated").then_some(())
    });
    until_direct(&server);

    kafka.leave();
    for _ in 0..5 {
        posts += 1;
        assert!(acknowledged.post(&mut connection).only("buffered"));
    }
    wait_for("they wait", BOUND, || {
        let shown = producer(&server);
        let waiting = &shown["spill"]["waiting_records"];
        (waiting.as_u64()? + shown["memory"]["records"].as_u64()? >= 5 * BATCH).then_some(())
    });
    kafka.come_back();
    until_direct(&server);
    assert_eq!(acknowledged.count(), posts * BATCH, "every post had its receipts");
    assert_eq!(server.metric("seawall_producer_unkept_total{"), Some(0.0));
    acknowledged.check(&[kafka.consumed("buffered")]);
    server.stop();
}
