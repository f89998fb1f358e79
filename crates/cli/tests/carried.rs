//! 200,000 orders of 1,000 keys through a real Seawall process to a real service in another language that
//! fails, resets and dawdles: each key in order, each effect once, nothing left over. On the embedded log, and on
//! three real brokers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]
#![allow(missing_docs, unreachable_pub, reason = "the house is shared by test binaries, not published")]

mod house;

use house::ground::Ground;
use house::load::{Load, Shape};
use house::seawall::Seawall;
use house::service::Service;
use std::time::Duration;

#[test]
fn every_order_arrives_once_and_in_key_order_at_a_faulty_service() {
    carried("carried", &Ground::Log, 200_000);
}

/// The same on three brokers; all 200,000 with SEAWALL_SOAK.
#[test]
fn every_order_arrives_once_and_in_key_order_over_three_brokers() {
    let Some(ground) = Ground::three_brokers("carried_kafka") else { return };
    let records = if std::env::var_os("SEAWALL_SOAK").is_some() { 200_000 } else { 40_000 };
    carried("carried_kafka", &ground, records);
}

fn carried(test: &str, ground: &Ground, records: u64) {
    let faults = ["-errors=0.05", "-resets=0.02", "-slow=0.05", "-slow-for=10ms", "-seed=7"];
    let Some(service) = Service::start(test, &faults) else { return };
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("orders.toml");
    std::fs::write(&config, house::config(dir.path(), service.addr, ground)).unwrap();
    let seawall = Seawall::run(&config);
    let shape = Shape { records, keys: 250, batch: 100, producers: 4, seed: 11 };
    let load = Load::start(seawall.ingest, shape);
    let receipts =
        house::wait_for("all receipts", Duration::from_mins(10), || load.finished().then(|| load.receipts()));
    load.join();
    assert_eq!(receipts, shape.records);

    house::wait_for("every effect stands", Duration::from_mins(10), || {
        (service.summary().effects == shape.records).then_some(())
    });
    house::settled(&seawall, shape.records);
    let summary = service.summary();
    summary.assert_orderly();
    assert_eq!(summary.effects, shape.records);
    assert_eq!(
        summary.repeats_after_answer, 0,
        "nothing crashed, so nothing answered may come again: {summary:?}"
    );
    assert!(summary.repeats > 0, "resets after the effect must have been among the faults");
    seawall.stop();
}
