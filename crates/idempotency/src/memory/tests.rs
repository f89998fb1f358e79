//! What is particular to the store in memory; what every store must do is in the conformance suite.

use super::*;
use crate::conformance::{ManualClock, claim, complete, release};
use crate::store::StoreError;
use seawall_core::Fence;

const A: crate::OwnerId = crate::OwnerId(1);
const LEASE: Duration = Duration::from_secs(30);

fn store(config: MemoryConfig) -> (MemoryStore, ManualClock) {
    let clock = ManualClock::default();
    let config = MemoryConfig { retention: Duration::from_mins(1), hash_seed: Some(7), ..config };
    (MemoryStore::new(config, Arc::new(clock.clone())), clock)
}

fn few(entries_max: u64) -> (MemoryStore, ManualClock) {
    store(MemoryConfig { entries_max, ..MemoryConfig::default() })
}

fn token(n: u64) -> Token {
    Token::new(format!("order-{n}")).unwrap()
}

fn take(store: &MemoryStore, n: u64) -> Result<Fence, StoreError> {
    match claim(store, &token(n), A, LEASE)? {
        Claim::Granted { fence, .. } => Ok(fence),
        other => panic!("order-{n} should be granted, not {other:?}"),
    }
}

#[test]
fn full_of_live_claims_refuses_and_evicts_none() {
    let (store, clock) = few(8);
    let fences: Vec<_> = (0..8).map(|n| take(&store, n).unwrap()).collect();
    assert!(matches!(take(&store, 8), Err(StoreError::Full { unit: "entries", used: 8, max: 8, .. })));
    clock.advance(Duration::from_secs(29));
    for (n, fence) in (0..).zip(fences) {
        complete(&store, &token(n), A, fence, "").unwrap();
    }
}

/// It waited for their retention once, and with it every record of the pipeline, for hours: a repeat that runs
/// again is the smaller harm, and what the embedded store does.
#[test]
fn full_of_results_forgets_the_oldest_early_and_counts_it() {
    let (store, clock) = few(8);
    for n in 0..8 {
        let fence = take(&store, n).unwrap();
        complete(&store, &token(n), A, fence, "").unwrap();
        clock.advance(Duration::from_secs(1));
    }
    for n in 8..11 {
        take(&store, n).unwrap();
    }
    assert_eq!((store.stats().done, store.stats().forgotten_early_total), (5, 3));
    for n in 3..8 {
        assert!(
            matches!(claim(&store, &token(n), A, LEASE), Ok(Claim::Done { .. })),
            "order-{n} was evicted"
        );
    }
    clock.advance(Duration::from_mins(1));
    for n in 11..16 {
        take(&store, n).unwrap();
    }
    assert_eq!(store.stats().forgotten_early_total, 3, "five were past their retention");
    assert!(matches!(take(&store, 16), Err(StoreError::Full { retry_after: None, .. })), "all are claimed");
}

#[test]
fn given_up_claims_make_room_before_anything_is_refused() {
    let (store, _) = few(8);
    for n in 0..8 {
        let fence = take(&store, n).unwrap();
        release(&store, &token(n), A, fence).unwrap();
    }
    for n in 8..16 {
        take(&store, n).unwrap();
    }
    assert!(matches!(take(&store, 16), Err(StoreError::Full { .. })));
}

#[test]
fn abandoned_claims_are_found_in_time() {
    let (store, clock) = few(1_000_000);
    for round in 0..20 {
        for n in 0..1_000 {
            take(&store, round * 1_000 + n).unwrap();
        }
        clock.advance(LEASE + Duration::from_mins(1));
    }
    let (entries, _) = store.ledger.used();
    assert!(entries < 4_000, "{entries} entries for 1,000 that are recent");
    assert_eq!(store.stats().claimed, entries);
}

#[test]
fn a_token_that_keeps_failing_keeps_one_queue_item() {
    let (store, clock) = few(1_000);
    for attempt in 1..=10_000 {
        let Ok(Claim::Granted { fence, attempt: counted }) = claim(&store, &token(1), A, LEASE) else {
            panic!("refused")
        };
        assert_eq!(counted, attempt);
        release(&store, &token(1), A, fence).unwrap();
        clock.advance(Duration::from_millis(50));
    }
    assert!(store.shards.iter().all(|shard| lock(shard).queued() <= 1));
}

#[test]
fn bytes_are_counted_and_given_back() {
    let (store, clock) = store(MemoryConfig { bytes_max: 64 << 10, ..MemoryConfig::default() });
    let fence = take(&store, 0).unwrap();
    complete(&store, &token(0), A, fence, &"r".repeat(60 << 10)).unwrap();
    let forgets = |n: &u64| take(&store, *n).is_err() || store.stats().forgotten_early_total > 0;
    let forgotten = (1..1_000).find(forgets).unwrap();
    assert!(forgotten < 60, "{forgotten} claims fit beside a result of 60 KiB");
    let refused = (forgotten + 1..1_000).find(|n| take(&store, *n).is_err()).unwrap();
    assert!(refused > 200, "{refused} claims are all that fit where the result has gone");
    assert!(matches!(take(&store, 1_000), Err(StoreError::Full { unit: "bytes", .. })));
    clock.advance(LEASE + Duration::from_mins(2));
    for n in 0..2_000 {
        let n = 10_000 + n;
        let fence = take(&store, n).unwrap();
        complete(&store, &token(n), A, fence, "x").unwrap();
        clock.advance(Duration::from_secs(2));
    }
    let (entries, bytes) = store.ledger.used();
    assert!(entries < 300 && bytes < 64 << 10, "{entries} entries, {bytes} bytes left");
}

#[test]
fn a_large_result_is_refused_by_name_and_leaves_the_claim() {
    let (store, _) = store(MemoryConfig { result_bytes_max: 3, ..MemoryConfig::default() });
    let fence = take(&store, 0).unwrap();
    let refused = complete(&store, &token(0), A, fence, "long");
    assert!(matches!(refused, Err(StoreError::ResultTooLarge { bytes: 4, max: 3 })));
    complete(&store, &token(0), A, fence, "fit").unwrap();
}

#[test]
fn a_later_process_offers_greater_fences() {
    let (first, clock) = few(10);
    let before = take(&first, 0).unwrap();
    clock.advance(Duration::from_secs(1));
    let second = MemoryStore::new(MemoryConfig::default(), Arc::new(clock));
    assert!(take(&second, 0).unwrap() > before);
}
