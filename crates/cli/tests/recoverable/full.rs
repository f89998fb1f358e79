//! The end of the budget: neither the cluster nor the disk takes anything any more.

use crate::acknowledged::{Acknowledged, Posted};
use crate::clusters::{BOUND, SOON, away, cluster, producer, until_direct, write};
use crate::house::http::Connection;
use crate::house::seawall::Seawall;
use crate::house::wait_for;

/// Whether it says that there is no room, and when to come back.
fn is_full(posted: &Posted) -> bool {
    let answer = &posted.answer;
    if answer.status != 503 {
        return false;
    }
    let seconds = answer.headers.iter().find(|(name, _)| name == "retry-after");
    let seconds = seconds.and_then(|(_, seconds)| seconds.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{answer:?}");
    answer.json()["type"] == "urn:seawall:problem:full"
}

#[test]
fn a_full_spill_refuses_with_a_time_to_come_back_and_loses_nothing() {
    let Some(kafka) = away("full_kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    // The smallest disk there is, and less memory than one batch takes: a few batches fill both.
    let bounds = "disk = \"1MiB\"\nmemory = \"128KiB\"\nmax_block = \"500ms\"\ntimeout = \"1s\"\n";
    let clusters = cluster("kafka", &kafka.bootstrap());
    let file = write(dir.path(), "full", &clusters, &format!("{SOON}{bounds}"));
    let mut acknowledged = Acknowledged::of_size("full", 4_000);
    let server = Seawall::run(&file);
    let mut connection = Connection::open(server.ingest).unwrap();
    wait_for("a receipt from the cluster", BOUND, || {
        acknowledged.post(&mut connection).only("replicated").then_some(())
    });
    until_direct(&server);

    kafka.leave();
    let before = acknowledged.count();
    wait_for("it is full", BOUND, || is_full(&acknowledged.try_post(&mut connection, &[])).then_some(()));
    let spilled = acknowledged.count() - before;
    assert!(spilled > 100, "only {spilled} records were taken before it was full");
    // A receipt from memory is true, too: it promised nothing, and what became of the record is counted.
    let headers = [("seawall-key", "other"), ("seawall-durability", "buffered")];
    let path = "/v1/topics/full/records";
    // Larger than the others: a small one may still fit behind them on the disk.
    let other = "x".repeat(5_000);
    wait_for("there is room in memory", BOUND, || {
        let answer = connection.send("POST", path, &headers, other.as_bytes()).unwrap();
        (answer.status == 202).then_some(())
    });
    wait_for("it is told", BOUND, || {
        (server.metric("seawall_producer_unkept_total{") == Some(1.0)).then_some(())
    });
    let shown = producer(&server);
    assert!(shown["spill"]["bytes"].as_u64() <= shown["spill"]["bytes_max"].as_u64(), "{shown}");
    assert!(shown["totals"]["full"].as_u64() > Some(0), "{shown}");
    assert!(server.metric("seawall_producer_full_total{").unwrap() > 0.0);

    kafka.come_back();
    wait_for("it takes records again", BOUND, || {
        acknowledged.try_post(&mut connection, &[]).only("replicated").then_some(())
    });
    until_direct(&server);
    acknowledged.check(&[kafka.consumed("full")]);
    server.stop();
}
