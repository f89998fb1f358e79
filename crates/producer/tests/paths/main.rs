//! Each path once, in simulated time: what the caller hears, what the sink gets, what the snapshot says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod direct;
mod ends;
mod full;
mod sinks;
mod spilled;
#[path = "../stage/mod.rs"]
mod stage;

use seawall_producer::{Driver, OpenError, Producer, ProducerOptions, Snapshot, SpillOptions, Target};
use seawall_testkit::SimClock;
use seawall_wal::disk::SimDisk;
use stage::Shelf;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn options() -> ProducerOptions {
    let spill = SpillOptions { disk_bytes_max: 8 << 20, ..SpillOptions::new("/spill", "tests") };
    ProducerOptions { spill: Some(spill), driver: Driver::Inline, ..ProducerOptions::default() }
}

struct World {
    clock: SimClock,
    disk: SimDisk,
    shelf: Shelf,
}

impl World {
    fn new() -> Self {
        Self { clock: SimClock::new(), disk: SimDisk::new(1), shelf: Shelf::new() }
    }

    fn open(&self, options: ProducerOptions) -> Result<Producer, OpenError> {
        self.open_over(options, vec![Target::new("kafka", self.shelf.clone())])
    }

    fn open_over(&self, options: ProducerOptions, targets: Vec<Target>) -> Result<Producer, OpenError> {
        Producer::open_on(self.disk.clone(), Arc::new(self.clock.clone()), options, targets)
    }
}

async fn until(producer: &Producer, what: impl Fn(&Snapshot) -> bool) -> Snapshot {
    for _ in 0..100_000 {
        let snapshot = producer.snapshot();
        if what(&snapshot) {
            return snapshot;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {:#?}", producer.snapshot());
}
