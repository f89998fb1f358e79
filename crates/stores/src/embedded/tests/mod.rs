//! The embedded store: conformance, what a restart keeps, crashes by seed, bad directories.

mod crash;
mod directory;
mod upkeep;

use super::*;
use seawall_core::Fence;
use seawall_idempotency::OwnerId;
use seawall_idempotency::conformance::{self, ManualClock, RETENTION, claim, complete, query, release};
use seawall_wal::disk::SimDisk;
use std::time::Duration;

const A: OwnerId = OwnerId(1);
const B: OwnerId = OwnerId(2);
const LEASE: Duration = Duration::from_secs(30);

fn inline() -> EmbeddedOptions {
    EmbeddedOptions {
        driver: Driver::Inline,
        retention: RETENTION,
        segment_bytes: 64 << 10,
        ..EmbeddedOptions::new("/claims")
    }
}

fn open(disk: &SimDisk, clock: &ManualClock, options: EmbeddedOptions) -> EmbeddedStore<SimDisk> {
    EmbeddedStore::open(disk.clone(), options, Arc::new(clock.clone())).expect("opens")
}

fn token(n: u64) -> Token {
    Token::new(format!("order-{n}")).unwrap()
}

fn grant(store: &impl Store, n: u64, owner: OwnerId) -> (Fence, u32) {
    match claim(store, &token(n), owner, LEASE) {
        Ok(Claim::Granted { fence, attempt }) => (fence, attempt),
        other => panic!("order-{n} should be granted, not {other:?}"),
    }
}

fn done(store: &impl Store, n: u64) -> bool {
    matches!(query(store, &token(n)), Ok(State::Done { .. }))
}

#[test]
fn inline_conforms() {
    let clock = ManualClock::default();
    let mut seed = 0;
    conformance::run(&clock, || {
        seed += 1;
        open(&SimDisk::new(seed), &clock, inline())
    });
}

#[test]
fn threaded_conforms_on_a_real_disk() {
    let clock = ManualClock::default();
    let root = tempfile::tempdir().unwrap();
    let mut number = 0;
    conformance::run(&clock, || {
        number += 1;
        let options = EmbeddedOptions {
            retention: RETENTION,
            segment_bytes: 64 << 10,
            ..EmbeddedOptions::new(root.path().join(number.to_string()))
        };
        EmbeddedStore::open(RealDisk, options, Arc::new(clock.clone())).expect("opens")
    });
}

#[test]
fn a_clean_restart_keeps_what_is_done_and_counts_attempts() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::default());
    let mut store = open(&disk, &clock, inline());
    let (fence, _) = grant(&store, 1, A);
    complete(&store, &token(1), A, fence, "shipped").unwrap();
    let (fence, _) = grant(&store, 2, A);
    release(&store, &token(2), A, fence).unwrap();
    let (last, attempt) = grant(&store, 2, A);
    assert_eq!(attempt, 2);
    store.close().unwrap();
    assert!(claim(&store, &token(3), A, LEASE).is_err(), "a closed store refuses");
    drop(store);
    let store = open(&disk, &clock, inline());
    let result = Bytes::from_static(b"shipped");
    assert_eq!(query(&store, &token(1)).unwrap(), State::Done { result });
    let (fence, attempt) = grant(&store, 2, B);
    assert_eq!(attempt, 3, "the dead process's claim is void at once, and counted");
    assert!(fence > last);
}

#[test]
fn a_kill_after_a_claim_shows_in_the_next_attempt() {
    // The process dies, the machine does not: what was written stays, synced or not.
    let (disk, clock) = (SimDisk::new(2), ManualClock::default());
    let store = open(&disk, &clock, inline());
    assert_eq!(grant(&store, 1, A).1, 1);
    disk.kill();
    drop(store);
    let store = open(&disk, &clock, inline());
    assert_eq!(grant(&store, 1, B).1, 2);
}

#[test]
fn retention_counts_time_in_which_the_store_was_open() {
    let (disk, clock) = (SimDisk::new(3), ManualClock::default());
    let mut store = open(&disk, &clock, inline());
    let (fence, _) = grant(&store, 1, A);
    complete(&store, &token(1), A, fence, "").unwrap();
    clock.advance(RETENTION / 2);
    // Something must be written for the log to show that time went on.
    grant(&store, 2, A);
    store.close().unwrap();
    clock.advance(RETENTION * 100);
    let store = open(&disk, &clock, inline());
    assert!(done(&store, 1));
    clock.advance(Duration::from_secs(RETENTION.as_secs() / 2 - 1));
    assert!(done(&store, 1));
    clock.advance(Duration::from_secs(1));
    assert!(!done(&store, 1));
    assert_eq!(grant(&store, 1, A).1, 1);
}

#[test]
fn beyond_its_bounds_it_forgets_the_oldest_and_counts_it() {
    let clock = ManualClock::default();
    let bounds = [
        EmbeddedOptions { done_max: 10, ..inline() },
        EmbeddedOptions { result_bytes_total_max: 50, ..inline() },
    ];
    for options in bounds {
        let disk = SimDisk::new(4);
        let store = open(&disk, &clock, options.clone());
        for n in 0..15 {
            let (fence, _) = grant(&store, n, A);
            complete(&store, &token(n), A, fence, "12345").unwrap();
        }
        assert_eq!(store.stats().forgotten_early_total, 5);
        let remembered: Vec<bool> = (0..15).map(|n| done(&store, n)).collect();
        assert_eq!(remembered, [vec![false; 5], vec![true; 10]].concat());
        drop(store);
        let store = open(&disk, &clock, options);
        assert_eq!((store.stats().done, store.stats().forgotten_early_total), (10, 0));
    }
}

#[test]
fn live_claims_are_bounded_and_never_evicted() {
    let (disk, clock) = (SimDisk::new(5), ManualClock::default());
    let store = open(&disk, &clock, EmbeddedOptions { claims_max: 8, ..inline() });
    let fences: Vec<_> = (0..8).map(|n| grant(&store, n, A).0).collect();
    let full = claim(&store, &token(8), A, LEASE);
    assert!(matches!(full, Err(StoreError::Full { used: 8, max: 8, .. })), "{full:?}");
    release(&store, &token(3), A, fences[3]).unwrap();
    grant(&store, 8, A);
    for n in [0, 1, 2, 4, 5, 6, 7] {
        complete(&store, &token(n), A, fences[n as usize], "").unwrap();
    }
}

#[test]
fn claims_are_ready_at_once() {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};
    let root = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = EmbeddedStore::open(RealDisk, EmbeddedOptions::new(root.path()), clock).unwrap();
    let request = ClaimRequest { token: token(1), owner: A, lease: LEASE };
    let mut future = std::pin::pin!(store.claim(vec![request]));
    assert!(matches!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_)));
}
