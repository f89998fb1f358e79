//! More than memory, and more than the disk's budget, against a broker that is gone.

use crate::cgroup::Cgroup;
use crate::child::{self, Order, Process};
use std::net::TcpListener;

const NAME: &str = "flood::a_flood_against_a_dead_broker_does_not_kill_the_process";
const MEMORY: u64 = 256 << 20;

#[test]
fn a_flood_against_a_dead_broker_does_not_kill_the_process() {
    if child::was_child() {
        return;
    }
    let cgroup = match Cgroup::new(MEMORY) {
        Ok(cgroup) => cgroup,
        Err(reason) => return println!("SKIP {NAME}: {reason}"),
    };
    // Half of it the disk takes, the other half is refused.
    let bytes: u64 = if crate::is_soak() { 10 << 30 } else { 1 << 30 };
    let disk = bytes / 2;
    let dir = tempfile::tempdir().unwrap();
    let spill = dir.path().join("spill");
    // A port that was free a moment ago and that nobody listens on.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut process = Process::start(NAME, &spill, gone, &Order::Flood { bytes, disk });
    cgroup.take(process.id()).unwrap();
    process.go();
    let (status, said) = process.end();
    assert_eq!(cgroup.killed(), 0, "{status}");
    assert!(status.success(), "{status}");
    let (acked, refused, peak) = said.flooded.unwrap();
    println!("{bytes} bytes offered: {acked} records with a receipt, {refused} refused, peak {peak} KiB");
    let held = seawall_producer::spill::look::summary(&seawall_wal::RealDisk, &spill).unwrap();
    assert!(held.waiting >= acked, "{} on disk, {acked} receipts", held.waiting);
    assert!(acked > 0 && refused > 0, "the flood was smaller than the disk");
    assert!(peak.parse::<u64>().unwrap() < MEMORY >> 10, "{peak} KiB");
}
