//! Thousands of seeds of the shipped code in a simulated world.
//!
//! `SEAWALL_SEEDS=N` runs N of each scenario, `SEAWALL_SEED=S` replays one with its whole event log,
//! `SEAWALL_SOAK=1` runs a million over all of them; `SEAWALL_FROM=N` starts at seed N, to go on where a long run
//! was ended. A failing seed is printed with the command that replays it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may panic and tell")]

use seawall_testkit::Outcome;
use seawall_testkit::chance::{Coverage, Mishap};
use seawall_testkit::power::Site;
use seawall_testkit::scenario::{cluster_with, members_with, spine_with};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// Of each of the three scenarios: 15,000 in all, and a million.
const SEEDS: u64 = 5_000;
const SEEDS_SOAK: u64 = 350_000;
const THREADS: u64 = 2;
/// A seed takes milliseconds. One that takes this long is caught in a circle that the event log cannot see.
const STUCK_AFTER: Duration = Duration::from_mins(2);
/// Seeds from which on each mishap must have been met.
const COVERED_BY: u64 = 1_000;

type Scenario = fn(u64, bool) -> Outcome;

fn spine(seed: u64, whole: bool) -> Outcome {
    spine_with(seed, true, whole)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect(name))
}

fn seeds() -> u64 {
    let soak = std::env::var_os("SEAWALL_SOAK").is_some();
    number("SEAWALL_SEEDS").unwrap_or(if soak { SEEDS_SOAK } else { SEEDS })
}

fn replay_with(seed: u64) -> String {
    format!("seed {seed}: replay with SEAWALL_SEED={seed} cargo test -p seawall-testkit --test simulation")
}

/// Runs one seed; what went wrong, if anything did.
fn run(scenario: Scenario, seed: u64, whole: bool) -> Result<Outcome, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| scenario(seed, whole)));
    let outcome = outcome.map_err(|_| format!("{}\nit panicked, see above", replay_with(seed)))?;
    match &outcome.violation {
        Some(violation) => Err(format!("{}\n{}\n{violation}", replay_with(seed), outcome.log)),
        None => Ok(outcome),
    }
}

/// Seeds by turns on a few threads; the first failure stops all.
fn run_all(scenario: Scenario) -> Coverage {
    if let Some(seed) = number("SEAWALL_SEED") {
        let outcome = run(scenario, seed, true).unwrap_or_else(|failure| panic!("{failure}"));
        println!("{}seed {seed} holds: {} events, hash {:016x}", outcome.log, outcome.events, outcome.hash);
        return Coverage::default();
    }
    let (first, count) = (number("SEAWALL_FROM").unwrap_or(0), seeds());
    let next = Arc::new(AtomicU64::new(first));
    let stop = Arc::new(AtomicBool::new(false));
    let covered = Arc::new(Mutex::new(Coverage::default()));
    let (tell, told) = mpsc::channel();
    for _ in 0..THREADS {
        let (next, stop, covered, tell) =
            (Arc::clone(&next), Arc::clone(&stop), Arc::clone(&covered), tell.clone());
        std::thread::spawn(move || {
            let mut met = Coverage::default();
            while !stop.load(SeqCst) {
                let seed = next.fetch_add(1, SeqCst);
                if seed >= first + count {
                    break;
                }
                match run(scenario, seed, false) {
                    Ok(outcome) => met.merge(&outcome.coverage),
                    Err(failure) => {
                        stop.store(true, SeqCst);
                        let _ = tell.send(Err(failure));
                    }
                }
                let _ = tell.send(Ok(()));
            }
            covered.lock().unwrap().merge(&met);
        });
    }
    drop(tell);
    loop {
        match told.recv_timeout(STUCK_AFTER) {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => panic!("{failure}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let last = next.load(SeqCst);
                panic!("stuck: one of the seeds {} to {last}", last.saturating_sub(THREADS + 1))
            }
        }
    }
    let covered = covered.lock().unwrap().clone();
    println!("{count} seeds from {first} hold; met on the way:");
    for (name, count) in covered.iter() {
        println!("  {count:>10}  {name}");
    }
    covered
}

/// A fault site that nothing hits proves nothing.
fn demand(covered: &Coverage, names: &[&str]) {
    if number("SEAWALL_SEED").is_some() || seeds() < COVERED_BY {
        println!("SKIP coverage: only {} seeds were run", seeds());
        return;
    }
    let mishaps = Mishap::ALL.iter().map(|mishap| mishap.name());
    let missed: Vec<_> = mishaps.chain(names.iter().copied()).filter(|name| covered.of(name) == 0).collect();
    assert!(missed.is_empty(), "never met: {missed:?}");
}

#[test]
fn the_spine_holds_through_every_crash() {
    let covered = run_all(spine);
    let sites = Site::PASSED.into_iter().chain([Site::Timer]);
    let deaths: Vec<String> =
        sites.flat_map(|site| [format!("Kill at {site:?}"), format!("Power at {site:?}")]).collect();
    let mut names: Vec<&str> = deaths.iter().map(String::as_str).collect();
    names.extend([
        "disk: crash",
        "disk: write EIO",
        "disk: sync EIO",
        "disk: directory sync EIO",
        "disk: ENOSPC",
        "disk: sector lost",
        "disk: sector torn",
        "disk: name lost",
        "the log cut a torn tail",
        "the claim store cut a torn tail",
        "the log did not open",
        "paused",
        "drained",
        "drain cut short",
        "lane overflowed",
        "lane parked",
        "reread",
        "partition paused",
        "refused by the concurrency limit",
        "refused by the rate",
        "refused by the breaker",
        "late effect fenced",
        "effect repeated",
        "duplicate recognised",
        "recognised as done",
        "held by another",
        "skipped after a restart",
        "repeat: failed",
        "repeat: cancelled",
        "repeat: in flight at a crash",
        "repeat: acknowledged, not durable",
        "dead letter",
        "timed out",
        "renewal",
    ]);
    demand(&covered, &names);
}

#[test]
fn a_cluster_holds_through_every_rebalance() {
    let covered = run_all(cluster_with);
    demand(
        &covered,
        &[
            "partition revoked",
            "partition lost",
            "commit refused",
            "member killed",
            "member stalled",
            "member drained",
            "late effect fenced",
            "held by another",
            "gap",
            "repeat: failed",
            "repeat: cancelled",
            "repeat: in flight at a crash",
            "dead letter",
            "fenced completion",
        ],
    );
}

/// The shipped coordinator and its fence: a member that is away over a rebalance goes on with what it has lost, and
/// nothing that it commits is taken.
#[test]
fn the_logs_own_groups_hold_through_every_rebalance() {
    let covered = run_all(members_with);
    demand(
        &covered,
        &[
            "partition revoked",
            "partition lost",
            "commit refused",
            "member stalled",
            "member drained",
            "held by another",
            "repeat: failed",
            "repeat: cancelled",
            "dead letter",
        ],
    );
}

/// The same seed gives the same events: everything else here stands on it.
#[test]
fn a_seed_replays_event_by_event() {
    for scenario in [spine as Scenario, cluster_with, members_with] {
        for seed in 1_000_000..1_000_060 {
            let (one, other) = (scenario(seed, false), scenario(seed, false));
            assert_eq!((one.hash, one.events), (other.hash, other.events), "{}", replay_with(seed));
            assert!(one.events > 30, "seed {seed} does nothing");
        }
    }
}

/// Test 16 of the fault list: the wall clock jumps by up to an hour and back while leases, deadlines and back-offs
/// run, and not a single event moves by a millisecond.
#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    let mut jumped = 0;
    for seed in 2_000_000..2_000_100 {
        let (with, without) = (spine_with(seed, true, false), spine_with(seed, false, false));
        assert_eq!((with.hash, with.events), (without.hash, without.events), "{}", replay_with(seed));
        jumped += with.coverage.of("the wall jumped");
        assert_eq!(without.coverage.of("the wall jumped"), 0);
    }
    assert!(jumped > 100, "the wall jumped {jumped} times");
}
