//! A backlog that no window is long enough for: each window of a few seconds brings it forward, whatever ends it.

use crate::node::options;
use crate::stage::{Shelf, outgoing};
use crate::uplink::{Uplink, Windows, stamp};
use seawall_core::Clock;
use seawall_producer::spill::look;
use seawall_producer::{Producer, Synced, Target};
use seawall_testkit::SimClock;
use seawall_testkit::disk::PoweredDisk;
use seawall_testkit::power::{Cut, Power, Site};
use seawall_testkit::runtime::live;
use seawall_wal::disk::SimDisk;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const RECORDS: u64 = 2_000;
const WINDOW: Duration = Duration::from_secs(3);
const BYTES_PER_SECOND: u64 = 4 << 10;

struct Node {
    clock: SimClock,
    disk: SimDisk,
    shelf: Shelf,
}

impl Node {
    fn open(&self, power: &Power, windows: Windows) -> Producer {
        let disk = PoweredDisk::new(self.disk.clone(), power.clone());
        let uplink = Uplink {
            shelf: self.shelf.clone(),
            clock: self.clock.clone(),
            windows,
            bytes_per_second: BYTES_PER_SECOND,
            power: power.clone(),
        };
        let targets = vec![Target::new("cluster", uplink)];
        Producer::open_on(disk, Arc::new(self.clock.clone()), options(), targets).unwrap()
    }

    fn waiting(&self) -> u64 {
        look::summary(&self.disk, Path::new("/spill")).unwrap().waiting
    }
}

#[test]
fn every_window_of_a_few_seconds_brings_the_backlog_forward() {
    let node = Node { clock: SimClock::new(), disk: SimDisk::new(5), shelf: Shelf::new() };
    let clock = node.clock.clone();
    live(&clock, async {
        let producer = node.open(&Power::new(None, Cut::Kill, None), Windows::never());
        let record = |n: u64| {
            let mut outgoing = outgoing(["door", "pump"][n as usize % 2], n);
            outgoing.record.timestamp = stamp(n);
            outgoing
        };
        for sent in producer.send_all::<Synced>((0..RECORDS).map(record).collect()).await {
            sent.unwrap();
        }
        producer.close(Duration::ZERO).await;
    });
    let (mut before, mut lives) = (node.waiting(), 0);
    assert_eq!(before, RECORDS);
    while before > 0 {
        let cut = if lives % 2 == 0 { Cut::Kill } else { Cut::Power };
        let power = Power::new(None, cut, Some(node.disk.clone()));
        live(&clock, async {
            let _producer = node.open(&power, Windows::always());
            tokio::time::sleep(WINDOW).await;
            power.cut(Site::Timer);
        });
        clock.jump_wall(-31_557_600_000);
        let after = node.waiting();
        assert!(after < before, "life {lives}: {before} waited, and {after} do after {WINDOW:?}");
        (before, lives) = (after, lives + 1);
    }
    let repeats = node.shelf.taken().len() as u64 - RECORDS;
    println!("{RECORDS} records in {lives} windows of {WINDOW:?}, {repeats} twice, at {:?}", clock.now());
    node.shelf.judge().unwrap();
    assert!(lives > 5, "a few windows were long enough");
}
