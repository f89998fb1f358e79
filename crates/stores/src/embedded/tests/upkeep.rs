//! Compaction, epochs, and completions whose futures are dropped.

use super::*;
use seawall_wal::disk::Faults;

/// Two hundred bytes of log or so before a snapshot is due.
fn eager() -> EmbeddedOptions {
    EmbeddedOptions { compact_bytes_min: 16 << 10, segment_bytes: 16 << 10, ..inline() }
}

#[test]
fn the_log_stays_bounded_and_loses_nothing() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::default());
    let store = open(&disk, &clock, EmbeddedOptions { done_max: 100, ..eager() });
    let (failing, _) = grant(&store, 1_000_000, A);
    release(&store, &token(1_000_000), A, failing).unwrap();
    let mut most = 0;
    for n in 0..3_000 {
        let (fence, _) = grant(&store, n, A);
        complete(&store, &token(n), A, fence, "result").unwrap();
        most = most.max(store.embedded_stats().log_bytes);
    }
    let stats = store.embedded_stats();
    assert!(stats.compactions_total >= 10, "{stats:?}");
    assert!(most < 128 << 10, "{most} bytes for 100 completions");
    let check = |store: &EmbeddedStore<SimDisk>| {
        for n in 2_900..3_000 {
            assert!(done(store, n), "order-{n}");
        }
    };
    check(&store);
    drop(store);
    let store = open(&disk, &clock, EmbeddedOptions { done_max: 100, ..eager() });
    check(&store);
    let (fence, attempt) = grant(&store, 1_000_000, A);
    assert_eq!(attempt, 2, "attempts are part of a snapshot");
    assert!(fence > failing);
}

#[test]
fn the_log_of_claims_that_only_fail_stays_bounded() {
    let (disk, clock) = (SimDisk::new(2), ManualClock::default());
    let store = open(&disk, &clock, eager());
    for attempt in 1..=3_000 {
        let (fence, counted) = grant(&store, 1, A);
        assert_eq!(counted, attempt);
        release(&store, &token(1), A, fence).unwrap();
    }
    let bytes = store.embedded_stats().log_bytes;
    assert!(bytes < 128 << 10, "{bytes} bytes for one token");
}

#[test]
fn a_used_up_epoch_is_followed_by_a_durable_one() {
    let (disk, clock) = (SimDisk::new(3), ManualClock::default());
    let few = EmbeddedOptions { epoch_fences: 10, ..inline() };
    let store = open(&disk, &clock, few.clone());
    let mut last = Fence(0);
    for n in 0..100 {
        let (fence, _) = grant(&store, n, A);
        assert!(fence > last);
        last = fence;
    }
    disk.crash();
    drop(store);
    let store = open(&disk, &clock, few);
    assert!(grant(&store, 1_000, A).0 > last);
}

#[test]
fn fences_run_out_by_name_when_no_epoch_can_be_written() {
    let (disk, clock) = (SimDisk::new(4), ManualClock::default());
    let store = open(&disk, &clock, EmbeddedOptions { epoch_fences: 10, ..inline() });
    disk.set_faults(Faults { sync_eio: 10_000, ..Faults::default() });
    let mut granted = 0;
    let refused = (0..100).find_map(|n| match claim(&store, &token(n), A, LEASE) {
        Ok(Claim::Granted { .. }) => {
            granted += 1;
            None
        }
        other => Some(other),
    });
    assert!(matches!(refused, Some(Err(StoreError::Unavailable(_) | StoreError::Unknown(_)))), "{refused:?}");
    assert!(granted <= 10);
}

#[test]
fn a_failed_completion_is_unknown_and_can_be_asked_again() {
    let (disk, clock) = (SimDisk::new(5), ManualClock::default());
    let store = open(&disk, &clock, inline());
    let (fence, _) = grant(&store, 1, A);
    disk.set_faults(Faults { sync_eio: 10_000, ..Faults::default() });
    let answer = complete(&store, &token(1), A, fence, "");
    assert!(matches!(answer, Err(StoreError::Unknown(_) | StoreError::Unavailable(_))), "{answer:?}");
    assert!(!done(&store, 1), "not done before it is durable");
    assert!(claim(&store, &token(2), A, LEASE).is_err(), "nothing is granted that cannot be completed");
    assert!(matches!(claim(&store, &token(1), B, LEASE), Ok(Claim::Held { .. })), "still held");
    disk.set_faults(Faults::default());
    complete(&store, &token(1), A, fence, "").unwrap();
    assert_eq!(grant(&store, 2, A).1, 1, "an ungranted claim counts as no attempt");
    disk.crash();
    drop(store);
    assert!(done(&open(&disk, &clock, inline()), 1));
}

#[test]
fn a_dropped_completion_leaves_its_claim_usable() {
    use std::future::Future;
    use std::task::{Context, Waker};
    let root = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = EmbeddedStore::open(RealDisk, EmbeddedOptions::new(root.path()), clock).unwrap();
    for n in 0..50 {
        let (fence, _) = grant(&store, n, A);
        let completion = Completion { token: token(n), owner: A, fence, result: Bytes::new() };
        {
            let mut future = std::pin::pin!(store.complete(vec![completion]));
            let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        complete(&store, &token(n), A, fence, "").unwrap();
        assert!(done(&store, n));
    }
    assert!(store.inner.index().ended(u64::MAX - 1), "no batch is left pending");
}

#[test]
fn threads_complete_while_the_log_is_compacted() {
    let root = tempfile::tempdir().unwrap();
    let options = || EmbeddedOptions {
        compact_bytes_min: 32 << 10,
        segment_bytes: 32 << 10,
        ..EmbeddedOptions::new(root.path())
    };
    let clock = ManualClock::default();
    let store = EmbeddedStore::open(RealDisk, options(), Arc::new(clock.clone())).unwrap();
    let store = Arc::new(store);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = Arc::clone(&store);
            scope.spawn(move || {
                for n in 0..400 {
                    let n = thread * 1_000_000 + n;
                    let (fence, _) = grant(&store, n, A);
                    complete(&store, &token(n), A, fence, "0123456789").unwrap();
                }
            });
        }
    });
    assert!(store.embedded_stats().compactions_total > 0, "{:?}", store.embedded_stats());
    drop(store);
    let store = EmbeddedStore::open(RealDisk, options(), Arc::new(clock)).unwrap();
    for thread in 0..4 {
        for n in 0..400 {
            assert!(done(&store, thread * 1_000_000 + n), "thread {thread}, order {n}");
        }
    }
}
