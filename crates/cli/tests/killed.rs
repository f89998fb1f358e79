//! `kill -9` of Seawall at random instants under load, with a fixed list of seeds: nothing with a receipt is
//! lost, each key keeps its order, and what the service sees again is only what was in flight or not yet
//! durably done, each with its old token.

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

/// Handlers that may run at once; with the settle queue it bounds what one kill can make come again.
const IN_FLIGHT: u64 = house::CONCURRENCY;

#[test]
fn nothing_with_a_receipt_is_lost_when_seawall_is_killed_at_any_instant() {
    let kills = if std::env::var_os("SEAWALL_SOAK").is_some() { 200 } else { 12 };
    killed("killed", &Ground::Log, kills);
}

/// The same on three brokers: what is repeated was in flight, or its `Done` or its commit was not durable yet.
#[test]
fn nothing_with_a_receipt_is_lost_on_three_brokers_when_seawall_is_killed_at_any_instant() {
    let Some(ground) = Ground::three_brokers("killed_kafka") else { return };
    let kills = if std::env::var_os("SEAWALL_SOAK").is_some() { 60 } else { 6 };
    killed("killed_kafka", &ground, kills);
}

fn killed(test: &str, ground: &Ground, kills: u64) {
    let faults = ["-errors=0.05", "-resets=0.02", "-slow=0.05", "-slow-for=10ms", "-seed=3"];
    let Some(service) = Service::start(test, &faults) else { return };
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("orders.toml");
    std::fs::write(&config, house::config(dir.path(), service.addr, ground)).unwrap();

    let mut seawall = Seawall::run(&config);
    let shape = Shape { records: u64::MAX, keys: 250, batch: 20, producers: 4, seed: 5 };
    let load = Load::start(seawall.ingest, shape);
    for seed in 0..kills {
        let mut rng = fastrand::Rng::with_seed(seed);
        ground.underway(&load);
        std::thread::sleep(Duration::from_millis(rng.u64(20..1_000)));
        seawall.kill();
        seawall = Seawall::run(&config);
        load.redirect(seawall.ingest);
    }
    let receipts = load.stop();
    assert!(receipts > 0);

    house::wait_for("every record with a receipt has its effect", Duration::from_mins(5), || {
        (service.summary().effects >= receipts).then_some(())
    });
    house::idle(&seawall);
    let summary = service.summary();
    summary.assert_orderly();
    assert_eq!(summary.effects, receipts, "each token once, and no token that was never posted");
    let bound = kills * (IN_FLIGHT + house::SETTLE_BATCH_MAX);
    assert!(summary.repeats_after_answer <= bound, "{summary:?}, at most {bound} expected");
    println!(
        "{kills} kills, {receipts} receipts, {} answered orders came again",
        summary.repeats_after_answer
    );
    seawall.stop();
}
