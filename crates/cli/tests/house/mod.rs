//! What the end-to-end tests share: a real Seawall process, a real service in another language, and plain
//! HTTP between them.
#![allow(dead_code, reason = "each test binary uses its own part of the house")]

pub mod ground;
pub mod http;
pub mod load;
pub mod seawall;
pub mod service;

use std::time::{Duration, Instant};

/// Waits until `holds` gives a value, at most `bound`; panics with `what` where it never does.
#[allow(clippy::disallowed_methods, reason = "a test waits by the machine's clock")]
pub fn wait_for<T>(what: &str, bound: Duration, mut holds: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = holds() {
            return value;
        }
        assert!(start.elapsed() < bound, "waited {bound:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// Deliveries in flight at the same time in [`config`].
pub const CONCURRENCY: u64 = 64;
/// The most finished deliveries whose `Done` may still be on its way to the disk: one settle batch of each of
/// at most two workers.
pub const SETTLE_BATCH_MAX: u64 = 2 * 1_024;

/// The configuration that the end-to-end tests run: everything on, pauses short.
pub fn config(dir: &std::path::Path, service: std::net::SocketAddr, ground: &ground::Ground) -> String {
    format!(
        r#"
{clusters}

[data]
dir = {data:?}

[ingest]
sink = "{place}"

[[topic]]
name = "orders"
partitions = 8
{topic}

[[pipeline]]
name = "orders"
source = "{place}"
topics = ["orders"]
ordering = "key"
{member}

[pipeline.push]
url = "http://{service}/orders"
timeout = "10s"

[pipeline.guard]
concurrency = {CONCURRENCY}

[pipeline.retry]
attempts = 100
base = "5ms"
max = "50ms"

[pipeline.claim]
store = "embedded"

[pipeline.drain]
bound = "20s"
"#,
        data = dir.join("data").display().to_string(),
        clusters = ground.clusters(),
        place = ground.place(),
        topic = ground.topic(),
        member = ground.member(),
    )
}

/// Waits until the pipeline has settled exactly `records` records, then checks that its ledger closes.
pub fn settled(seawall: &seawall::Seawall, records: u64) {
    wait_for("every record is settled", Duration::from_mins(2), || {
        let totals = &seawall.overview()["pipelines"][0]["totals"];
        (totals["acked"].as_u64()? + totals["dead_lettered"].as_u64()? >= records).then_some(())
    });
    idle(seawall);
}

/// Waits until nothing is in flight, unread or parked, then checks that the ledger closes.
pub fn idle(seawall: &seawall::Seawall) {
    wait_for("nothing is left to do", Duration::from_mins(2), || {
        let overview = seawall.overview();
        let partitions = overview["pipelines"][0]["partitions"].as_array()?;
        let busy =
            |p: &serde_json::Value| ["lag", "in_flight", "parked"].iter().any(|f| p[*f].as_u64() != Some(0));
        (!partitions.is_empty() && !partitions.iter().any(busy)).then_some(())
    });
    let overview = seawall.overview();
    for partition in overview["pipelines"][0]["partitions"].as_array().unwrap() {
        assert_eq!(partition["ledger"]["imbalance"], 0, "{partition}");
    }
}
