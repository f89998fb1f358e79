//! What is committed, and what a lost partition leaves: tests 17 to 21 of the fault list.

use crate::ms;
use crate::stage::broker::Broker;
use crate::stage::{Stage, keyed, options, orders};
use bytes::Bytes;
use seawall_consumer::NoStore;
use seawall_consumer::track::codec;
use seawall_core::handler::HandlerFn;
use seawall_core::{Class, Delivery, Fault, Offset, Origin, Outcome, Position};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Test 17 of the fault list, through the whole runtime.
#[tokio::test(start_paused = true)]
async fn test_17_offset_5_stuck_commits_5_and_a_restart_reruns_only_5() {
    let broker = Broker::default();
    for n in 0..=50_000 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    let handler = HandlerFn(|delivery: Delivery| async move {
        if delivery.offset == 5 {
            std::future::pending::<()>().await;
        }
        Outcome::Ack
    });
    let stuck = seawall_consumer::ConsumerOptions { timeout: None, ..options() };
    let stage = Stage::start(stuck, &broker, handler);
    broker.assign(&orders());
    stage.until("all but one acked", |snapshot| snapshot.totals.acked == 50_000).await;
    let report = stage.running.drain(Duration::from_millis(10)).await;
    assert!(!report.within_bound);
    assert_eq!((report.left[0].watermark, report.left[0].cancelled), (5, 1));
    assert_eq!(stage.committed(&orders()), 5);

    let reran = Arc::new(Mutex::new(Vec::new()));
    let handler = HandlerFn({
        let reran = Arc::clone(&reran);
        move |delivery: Delivery| {
            reran.lock().unwrap().push(delivery.offset);
            async { Outcome::Ack }
        }
    });
    let stage = Stage::start(options(), &broker, handler);
    broker.assign(&orders());
    stage.until_done().await;
    assert_eq!(*reran.lock().unwrap(), [5]);
    assert_eq!(stage.running.snapshot().totals.skipped, 49_995);
}

/// Test 18 of the fault list: every commit stays within its bound while half of 30,000 records are open, and
/// what does not fit is delivered again, not lost.
#[tokio::test(start_paused = true)]
async fn test_18_commits_stay_within_4096_bytes_with_a_random_half_done() {
    let broker = Broker::default();
    for n in 0..30_000 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    for bytes_max in [4_096, 256] {
        let half = |offset: Offset| offset != 0 && fastrand::Rng::with_seed(offset).bool();
        let handler = HandlerFn(move |delivery: Delivery| async move {
            if !half(delivery.offset) {
                std::future::pending::<()>().await;
            }
            Outcome::Ack
        });
        let mut options = options();
        (options.timeout, options.queue.records) = (None, 100_000);
        options.commit.beyond_bytes_max = bytes_max;
        let stage = Stage::start_with(options, &broker, handler, None::<Arc<NoStore>>, 20_000, 1);
        broker.assign(&orders());
        let done = (0..30_000).filter(|offset| half(*offset)).count() as u64;
        stage.until("half done", |snapshot| snapshot.totals.acked + snapshot.totals.skipped >= done).await;
        stage.running.drain(Duration::from_millis(10)).await;
        let state = broker.state();
        assert!(state.commits.iter().all(|commit| commit.position.beyond.len() <= bytes_max));
        let committed = &state.topics[&orders()].committed;
        let kept = codec::decode(committed).expect("readable");
        assert!(kept.runs(0).flat_map(|(from, to)| from..to).all(half), "only finished ones");
        if bytes_max == 4_096 {
            assert_eq!(kept.count_from(0), done, "exact where it fits");
            drop(state);
            broker.state().topics.get_mut(&orders()).unwrap().committed = Position::default();
            broker.state().commits.clear();
        }
    }
}

/// A partition that was dropped after a refused commit is still asked for when its group moves on.
#[tokio::test(start_paused = true)]
async fn a_partition_that_is_revoked_after_it_was_dropped_is_given_back() {
    let broker = Broker::default();
    broker.produce(&orders(), keyed("k", "v"));
    let refused = || Fault::new(Class::Permanent, "no rights");
    broker.state().commit_faults.extend([refused(), refused()]);
    let stage = Stage::start(options(), &broker, HandlerFn(|_| async { Outcome::Ack }));
    let generation = broker.assign(&orders());
    stage.until("it is dropped", |snapshot| snapshot.totals.commit_failures > 0).await;
    assert!(broker.state().released.is_empty(), "nobody has asked for it");
    broker.revoke(&orders());
    for _ in 0..1_000 {
        if !broker.state().released.is_empty() {
            break;
        }
        ms(10).await;
    }
    assert_eq!(broker.state().released, [(orders(), generation)]);
}

/// Test 19 of the fault list: a partition is lost while its handlers run.
#[tokio::test(start_paused = true)]
async fn test_19_late_completions_of_a_lost_partition_are_dropped_and_nothing_is_lost() {
    let broker = Broker::default();
    for n in 0..20 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    let calls = Arc::new(Mutex::new(BTreeMap::<Offset, Vec<u64>>::new()));
    let gate = Arc::new(Semaphore::new(0));
    let handler = HandlerFn({
        let (calls, gate) = (Arc::clone(&calls), Arc::clone(&gate));
        move |delivery: Delivery| {
            calls.lock().unwrap().entry(delivery.offset).or_default().push(delivery.generation.0);
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Outcome::Ack
            }
        }
    });
    let stage = Stage::start(options(), &broker, handler);
    broker.assign(&orders());
    stage.until("running", |snapshot| snapshot.handlers == 20).await;
    broker.lose(&orders());
    stage.until("gone", |snapshot| snapshot.partitions.is_empty() && snapshot.handlers == 0).await;
    assert_eq!(stage.running.snapshot().totals.acked, 0);
    assert!(broker.state().commits.is_empty(), "nothing may be committed for a lost partition");
    assert_eq!(stage.guard.snapshot().concurrency.used, 0, "cancelled handlers give their permits back");

    gate.add_permits(1_000);
    broker.assign(&orders());
    stage.until_done().await;
    assert!(calls.lock().unwrap().values().all(|generations| *generations == [1, 2]), "each ran again");
}

/// The other half of test 19: completions that arrive for an assignment that has ended are counted, not used.
#[tokio::test(start_paused = true)]
async fn test_19_a_revoked_partition_finishes_commits_and_is_released() {
    let broker = Broker::default();
    for n in 0..300 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    let handler = HandlerFn(|_| async {
        ms(50).await;
        Outcome::Ack
    });
    let stage = Stage::start(options(), &broker, handler);
    broker.assign(&orders());
    stage.until("running", |snapshot| snapshot.handlers == 100).await;
    broker.revoke(&orders());
    stage.until("released", |snapshot| snapshot.partitions.is_empty()).await;
    assert_eq!(broker.state().released.len(), 1);
    let acked = stage.running.snapshot().totals.acked;
    let committed = broker.state().topics[&orders()].committed.clone();
    let beyond = codec::decode(&committed).expect("readable").count_from(committed.watermark);
    assert_eq!(committed.watermark + beyond, acked, "what ran has finished and is committed");
    assert!((100..300).contains(&acked), "what waited was left: {acked}");
    broker.assign(&orders());
    stage.until_done().await;
    assert_eq!(stage.running.snapshot().totals.acked, 300, "nothing ran twice");
}

/// Test 20 of the fault list: metadata that somebody else wrote.
#[tokio::test(start_paused = true)]
async fn test_20_garbage_metadata_replays_and_does_not_panic() {
    let broker = Broker::default();
    for n in 0..10 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    let beyond = Bytes::from_static(b"NO_METADATA \xff\x00");
    broker.state().topics.get_mut(&orders()).unwrap().committed = Position { watermark: 3, beyond };
    let stage = Stage::start(options(), &broker, HandlerFn(|_| async { Outcome::Ack }));
    broker.assign(&orders());
    stage.until_done().await;
    assert_eq!(stage.running.snapshot().totals.acked, 7);
}

/// Test 21 of the fault list: a commit refused for good drops the partition's state and is not tried again.
#[tokio::test(start_paused = true)]
async fn test_21_an_illegal_generation_drops_the_state_without_a_retry() {
    let broker = Broker::default();
    broker.produce(&orders(), keyed("a", "v"));
    broker.state().commit_faults.extend([
        Fault::new(Class::Permanent, "illegal generation"),
        Fault::new(Class::Permanent, "illegal generation"),
    ]);
    let stage = Stage::start(options(), &broker, HandlerFn(|_| async { Outcome::Ack }));
    broker.assign(&orders());
    stage.until("dropped", |snapshot| snapshot.totals.acked == 1 && snapshot.partitions.is_empty()).await;
    ms(5_000).await;
    assert!(broker.state().commit_faults.is_empty() && broker.state().commits.is_empty());
}

/// Otherwise the next owner begins at the then newest record, past what this one has not finished, or believes what was
/// committed of a log that has been cut since.
#[tokio::test(start_paused = true)]
async fn a_start_that_the_group_has_not_committed_is_committed_at_once() {
    for origin in [Origin::Chosen, Origin::Cut(100)] {
        let broker = Broker::default();
        for n in 0..100 {
            broker.produce(&orders(), keyed(format!("k{n}"), "v"));
        }
        broker.state().topics.get_mut(&orders()).unwrap().committed.watermark = 100;
        let mut slow = options();
        slow.commit.interval = Duration::from_mins(1);
        let stage = Stage::start(slow, &broker, HandlerFn(|_| std::future::pending::<Outcome>()));
        let committed = || broker.state().commits.iter().map(|c| c.position.watermark).collect::<Vec<_>>();
        let generation = broker.assign_from(&orders(), Origin::Committed);
        ms(5_000).await;
        assert_eq!(committed(), [0; 0], "the group has committed it already");

        broker.lose(&orders());
        broker.state().commit_faults.push_back(crate::transient());
        assert!(generation < broker.assign_from(&orders(), origin));
        ms(50).await;
        assert!(broker.state().commit_faults.is_empty(), "{origin:?}: tried before the interval is over");
        broker.produce(&orders(), keyed("a", "v"));
        stage.until("the record is in its handler", |snapshot| snapshot.totals.fetched == 1).await;
        stage.running.drain(Duration::from_millis(10)).await;
        assert_eq!(committed(), [100], "{origin:?}: and again with what comes after");
    }
}

/// An unclean election: what is unfinished below the cut stays to be done, what is new above it is not done yet.
#[tokio::test(start_paused = true)]
async fn a_cut_log_loses_nothing_that_is_unfinished_below_the_cut_or_new_above_it() {
    let broker = Broker::default();
    for n in 0..30 {
        broker.produce(&orders(), keyed(format!("k{n}"), "old"));
    }
    let calls = Arc::new(Mutex::new(Vec::new()));
    // Notes each call, which ends only where `ends` says so.
    let handler = |ends: fn(Offset, &[u8]) -> bool| {
        let calls = Arc::clone(&calls);
        HandlerFn(move |delivery: Delivery| {
            calls.lock().unwrap().push((delivery.offset, delivery.record.value.clone()));
            async move {
                if !ends(delivery.offset, &delivery.record.value) {
                    std::future::pending::<()>().await;
                }
                Outcome::Ack
            }
        })
    };
    let called = || {
        let mut called = std::mem::take(&mut *calls.lock().unwrap());
        called.sort();
        called
    };
    let left: Vec<(Offset, Bytes)> = [(5, Bytes::from("old"))]
        .into_iter()
        .chain((10..50).map(|offset| (offset, Bytes::from("new"))))
        .collect();
    let patient = seawall_consumer::ConsumerOptions { timeout: None, ..options() };
    let stage = Stage::start(patient, &broker, handler(|offset, value| offset != 5 && value == b"old"));
    broker.assign(&orders());
    stage.until("all but one acked", |snapshot| snapshot.totals.acked == 29).await;
    stage.until("committed", |_| stage.committed(&orders()) == 5).await;
    assert_eq!(called().len(), 30);

    broker.cut(&orders(), 10, (10..50).map(|n| keyed(format!("k{n}"), "new")));
    stage.until("all that is left has begun", |snapshot| snapshot.totals.fetched == 71).await;
    stage.running.drain(Duration::from_millis(10)).await;
    assert_eq!(called(), left, "by the member that was told");
    let committed = broker.state().topics[&orders()].committed.clone();
    let done = codec::decode(&committed).unwrap();
    assert_eq!((committed.watermark, done.runs(0).collect::<Vec<_>>()), (5, vec![(6, 10)]));

    let stage = Stage::start(options(), &broker, handler(|_, _| true));
    broker.assign(&orders());
    stage.until_done().await;
    assert_eq!(called(), left, "and by whoever comes after it");
}
