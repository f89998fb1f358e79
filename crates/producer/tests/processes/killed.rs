//! `kill -9` at random instants, in each of the four states.

use crate::child::{self, Order, Process, Said};
use crate::collector::Collector;
use crate::stage::Mood;
use seawall_producer::State;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const NAME: &str = "killed::whatever_had_a_receipt_survives_kill_9_in_every_state";

/// Numbers of one life's records begin at a multiple of this.
const LIFE: u64 = 1_000_000;

/// One life, to be cut down `after` it came into `state`; `None`: at any instant, the opening included.
fn life(collector: &Collector, dir: &Path, nth: u64, state: Option<State>, rng: &mut fastrand::Rng) -> Said {
    let broken = [Mood::Down, Mood::AckLost, Mood::Hang];
    // What hangs goes to the disk, past the memory.
    let broken = if state == Some(State::Buffering) { &broken[..2] } else { &broken[..] };
    let mood = broken[rng.usize(0..broken.len())];
    let begins_up = match state {
        Some(State::Direct | State::Buffering) => true,
        Some(State::Spilling | State::Replaying) => false,
        None => rng.bool(),
    };
    collector.shelf.set(if begins_up { Mood::Up } else { mood });
    let order = Order::Load { from: nth * LIFE, synced: state != Some(State::Buffering) };
    let mut process = Process::start(NAME, dir, collector.at, &order);
    process.go();
    let is = |state: State| move |said: &Said| said.state == Some(state);
    match state {
        Some(State::Buffering) => {
            process.until(is(State::Direct));
            collector.shelf.set(mood);
            // It may be through before one looks.
            process.until(|said| said.state != Some(State::Direct));
        }
        Some(State::Replaying) => {
            process.until(|said| said.state == Some(State::Spilling) && said.acked.len() > 100);
            collector.shelf.set(Mood::Up);
            process.until(is(State::Replaying));
        }
        Some(state) => process.until(is(state)),
        None => {}
    }
    let instant = match state {
        Some(State::Direct | State::Spilling) => rng.u64(0..300_000),
        Some(State::Buffering | State::Replaying) => rng.u64(0..30_000),
        None => rng.u64(0..400_000),
    };
    std::thread::sleep(Duration::from_micros(instant));
    let said = process.kill();
    collector.settle();
    said
}

#[test]
fn whatever_had_a_receipt_survives_kill_9_in_every_state() {
    if child::was_child() {
        return;
    }
    let kills = if crate::is_soak() { 500 } else { 15 };
    let (dir, collector) = (tempfile::tempdir().unwrap(), Collector::start());
    let spill = dir.path().join("spill");
    let mut rng = fastrand::Rng::with_seed(0x5ea);
    let mut acked = BTreeSet::new();
    let mut died = BTreeMap::<&str, u64>::new();
    for nth in 0..kills {
        let wanted = State::ALL.into_iter().map(Some).chain([None]).cycle().nth(nth as usize).unwrap();
        let said = life(&collector, &spill, nth, wanted, &mut rng);
        *died.entry(said.state.map_or("opening", State::as_str)).or_default() += 1;
        acked.extend(said.acked);
    }
    collector.shelf.set(Mood::Up);
    let mut process = Process::start(NAME, &spill, collector.at, &Order::Drain);
    process.go();
    process.until(|said| said.drained);
    let (status, _) = process.end();
    assert!(status.success(), "{status}");
    collector.settle();
    let taken = collector.shelf.taken();
    let safe: BTreeSet<_> = taken.iter().map(|(key, n, _)| (key.clone(), *n)).collect();
    println!(
        "{kills} kills: {died:?}; {} receipts, {} records taken, {} again",
        acked.len(),
        safe.len(),
        taken.len() - safe.len()
    );
    let lost: Vec<_> = acked.difference(&safe).collect();
    assert!(lost.is_empty(), "had a receipt and never came: {lost:?}");
    collector.shelf.judge_among(|key, n| acked.contains(&(key.to_owned(), n))).unwrap();
    for state in State::ALL {
        assert!(died.contains_key(state.as_str()), "nobody died while {state:?}: {died:?}");
    }
    assert!(taken.len() > safe.len() && acked.len() > 1_000, "too little happened to prove anything");
}
