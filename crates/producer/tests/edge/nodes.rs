//! 216 nodes, each online a tenth of the time: whatever had a receipt when the last window opened has come when it closes,
//! each key in its order, each repeat with the same id, the disk within its bound, by clocks that show any year.
//!
//! A failing node is printed; `SEAWALL_SEED=n` replays it alone.

use crate::node::{DISK_BYTES, Fate, Met, Node};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const NODES: u64 = 216;

fn all(seeds: std::ops::Range<u64>) -> BTreeMap<Fate, Met> {
    let (next, met, failed) =
        (AtomicU64::new(seeds.start), Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                return;
            }
            let node = Node::new(seed);
            let fate = node.fate();
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| node.run())) {
                Ok(one) => add(met.lock().unwrap().entry(fate).or_default(), &one),
                Err(_) => failed.lock().unwrap().push(seed),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "nodes {failed:?} fail: replay one with SEAWALL_SEED=n");
    met.into_inner().unwrap()
}

fn add(all: &mut Met, one: &Met) {
    all.lives += one.lives;
    all.power_cuts += one.power_cuts;
    all.kills += one.kills;
    all.acked += one.acked;
    all.refused += one.refused;
    all.repeats += one.repeats;
    all.left += one.left;
    all.spill_bytes = all.spill_bytes.max(one.spill_bytes);
}

#[test]
fn nodes_that_are_mostly_offline_deliver_everything_in_the_windows_there_are() {
    let seed = std::env::var("SEAWALL_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = seed.map_or(0..NODES, |seed| seed..seed + 1);
    println!("seeds {seeds:?}");
    let met = all(seeds);
    println!("{met:#?}");
    for (fate, met) in &met {
        assert!(met.spill_bytes <= DISK_BYTES, "{fate:?}: {} bytes on disk", met.spill_bytes);
    }
    if seed.is_some() {
        return;
    }
    // What nobody met proves nothing.
    for fate in [Fate::Steady, Fate::Dies, Fate::Sleeps, Fate::Floods] {
        let met = &met[&fate];
        assert!(met.acked > 0 && met.spill_bytes > 0, "{fate:?}: {met:?}");
    }
    let (dies, sleeps) = (&met[&Fate::Dies], &met[&Fate::Sleeps]);
    for met in [dies, sleeps] {
        assert!(met.kills > 50 && met.power_cuts > 50 && met.repeats > 0, "{met:?}");
    }
    assert!(met[&Fate::Floods].refused > 0, "no disk was ever full");
}
