//! Records that wait cost disk, not memory: neither the unread ones behind a service that is gone, nor those
//! that queue behind one failed key.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]
#![allow(missing_docs, unreachable_pub, reason = "the house is shared by test binaries, not published")]

mod house;

use house::seawall::Seawall;
use std::io::{BufWriter, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// The whole process's peak, whatever waits.
const PEAK_KIB_MAX: u64 = 256 << 10;

fn records() -> u64 {
    if std::env::var_os("SEAWALL_SOAK").is_some() { 10_000_000 } else { 1_000_000 }
}

/// Fills topic `orders` in `data` with `count` records; `key` tells each one's key.
fn fill(data: &Path, count: u64, key: impl Fn(u64) -> u64) {
    let data = data.to_str().unwrap();
    let mut produce =
        Seawall::command(&["produce", "orders", "--data", data, "--create", "8", "--key-separator", ":"]);
    let mut child = produce.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufWriter::new(child.stdin.take().unwrap());
    for nth in 0..count {
        writeln!(lines, "customer-{}:{{\"order\": {nth}}}", key(nth)).unwrap();
    }
    lines.flush().unwrap();
    drop(lines);
    assert!(child.wait().unwrap().success());
}

fn peak_kib(seawall: &Seawall) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", seawall.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Starts Seawall over the filled topic, with a service that refuses every connection.
fn run_against_nobody(dir: &Path) -> Seawall {
    // A port that was free a moment ago and that nobody listens on.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = dir.join("orders.toml");
    // Nothing becomes a dead letter while the test counts.
    let patient = house::config(dir, gone, &house::ground::Ground::Log)
        .replace("attempts = 100", "attempts = 1000000\ntotal = \"2h\"");
    std::fs::write(&config, patient).unwrap();
    Seawall::run(&config)
}

fn waiting(seawall: &Seawall, field: &str) -> Option<u64> {
    let overview = seawall.overview();
    let partitions = overview["pipelines"][0]["partitions"].as_array()?;
    partitions.iter().map(|partition| partition[field].as_u64()).sum()
}

#[test]
fn unread_records_cost_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    fill(&dir.path().join("data"), records(), |nth| nth % 100_000);
    let seawall = run_against_nobody(dir.path());
    house::wait_for("records are held and fail", Duration::from_mins(2), || {
        (waiting(&seawall, "in_flight")? > 1_000 && waiting(&seawall, "parked")? > 0).then_some(())
    });
    // Long enough for many rounds of retries over the whole of what is held.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(waiting(&seawall, "lag"), Some(records()));
    let peak = peak_kib(&seawall);
    println!("{} unread records, at most {} MiB", records(), peak >> 10);
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
}

#[test]
fn records_parked_behind_one_key_cost_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    fill(&dir.path().join("data"), records(), |_| 7);
    let seawall = run_against_nobody(dir.path());
    house::wait_for("every record has been taken in behind the first", Duration::from_mins(5), || {
        (waiting(&seawall, "parked")? + waiting(&seawall, "in_flight")? == records()).then_some(())
    });
    let peak = peak_kib(&seawall);
    println!("{} records parked behind one key, at most {} MiB", records(), peak >> 10);
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
}
