//! The consumer as a whole, under a paused clock, over a broker in memory.

#[allow(unreachable_pub, clippy::panic, reason = "shared by test binaries")]
mod stage;

use bytes::Bytes;
use seawall_consumer::dead_letter::{Provenance, headers};
use seawall_consumer::track::codec;
use seawall_consumer::{Consumer, Driver, NoStore, Ordering, State, Stop};
use seawall_core::handler::HandlerFn;
use seawall_core::{Class, Delivery, Fault, Offset, Outcome, Position, Record};
use seawall_idempotency::{ClaimRequest, MemoryConfig, MemoryStore, OwnerId, Store};
use stage::broker::Broker;
use stage::{Stage, TokioClock, keyed, options, orders};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

fn transient() -> Fault {
    Fault::new(Class::Transient, "not now")
}

async fn ms(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn everything_is_handled_once_and_committed() {
    let broker = Broker::default();
    for n in 0..1_000 {
        broker.produce(&orders(), keyed(format!("k{}", n % 50), format!("{n}")));
    }
    let seen = Arc::new(Mutex::new(BTreeMap::<Offset, u32>::new()));
    let handler = HandlerFn({
        let seen = Arc::clone(&seen);
        move |delivery: Delivery| {
            *seen.lock().unwrap().entry(delivery.offset).or_default() += 1;
            async { Outcome::Ack }
        }
    });
    let stage = Stage::start(options(), &broker, handler);
    broker.assign(&orders());
    stage.until_done().await;
    let report = stage.running.drain(Duration::from_secs(1)).await;
    assert!(report.within_bound && report.commit_failed.is_none());
    assert_eq!((report.left[0].watermark, report.left[0].queued, report.left[0].parked), (1_000, 0, 0));
    assert_eq!(stage.committed(&orders()), 1_000);
    let seen = seen.lock().unwrap();
    assert!(seen.len() == 1_000 && seen.values().all(|times| *times == 1));
    assert_eq!(stage.guard.snapshot().concurrency.used, 0);
    assert!(matches!(stage.running.snapshot().state, State::Stopped));
}

/// Keys keep their order and run at the same time; a partition that is one lane runs one at a time.
#[tokio::test(start_paused = true)]
async fn each_ordering_keeps_its_promise() {
    for (ordering, at_most, at_least) in
        [(Ordering::Partition, 1, 1), (Ordering::Key, 10, 5), (Ordering::Unordered, 100, 50)]
    {
        let broker = Broker::default();
        for n in 0..200 {
            broker.produce(&orders(), keyed(format!("k{}", n % 10), "v"));
        }
        let (now, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let order = Arc::new(Mutex::new(BTreeMap::<Bytes, Vec<Offset>>::new()));
        let handler = HandlerFn({
            let (now, most, order) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&order));
            move |delivery: Delivery| {
                let (now, most, order) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&order));
                async move {
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    ms(10).await;
                    now.fetch_sub(1, SeqCst);
                    let key = delivery.record.key.clone().unwrap();
                    order.lock().unwrap().entry(key).or_default().push(delivery.offset);
                    Outcome::Ack
                }
            }
        });
        let stage =
            Stage::start(seawall_consumer::ConsumerOptions { ordering, ..options() }, &broker, handler);
        broker.assign(&orders());
        stage.until_done().await;
        let most = most.load(SeqCst);
        assert!((at_least..=at_most).contains(&most), "{ordering:?}: {most} at the same time");
        if ordering != Ordering::Unordered {
            assert!(order.lock().unwrap().values().all(|offsets| offsets.is_sorted()), "{ordering:?}");
        }
    }
}

/// The watermark must not move, nor the exact set grow, before the handler has finished. Catches a build that
/// settles a record when it starts.
#[tokio::test(start_paused = true)]
async fn nothing_is_settled_before_its_handler_has_finished() {
    let broker = Broker::default();
    for n in 0..10 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    let gate = Arc::new(Semaphore::new(0));
    let handler = HandlerFn({
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Outcome::Ack
            }
        }
    });
    let stage = Stage::start(options(), &broker, handler);
    broker.assign(&orders());
    stage.until("running", |snapshot| snapshot.handlers == 10).await;
    ms(1_000).await;
    let snapshot = stage.running.snapshot();
    assert_eq!((snapshot.totals.acked, snapshot.partitions[0].watermark), (0, 0));
    assert!(broker.state().commits.is_empty(), "{:?}", broker.state().commits);
    gate.add_permits(10);
    stage.until_done().await;
}

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

#[tokio::test(start_paused = true)]
async fn a_failing_key_waits_alone_and_its_successors_wait_behind_it() {
    let broker = Broker::default();
    for n in 0..300 {
        broker.produce(&orders(), keyed(if n % 3 == 0 { "bad".into() } else { format!("k{n}") }, "v"));
    }
    let healthy = Arc::new(AtomicU64::new(0));
    let order = Arc::new(Mutex::new(Vec::new()));
    let handler = HandlerFn({
        let (healthy, order) = (Arc::clone(&healthy), Arc::clone(&order));
        move |delivery: Delivery| {
            let bad = delivery.record.key.as_deref() == Some(b"bad");
            let outcome = if bad && healthy.load(SeqCst) == 0 {
                Outcome::Retry(transient())
            } else {
                if bad {
                    order.lock().unwrap().push(delivery.offset);
                }
                Outcome::Ack
            };
            async { outcome }
        }
    });
    let mut options = options();
    options.retry.attempts_max = 1_000;
    let stage = Stage::start(options, &broker, handler);
    broker.assign(&orders());
    let snapshot = stage.until("the others done", |snapshot| snapshot.totals.acked == 200).await;
    assert_eq!((snapshot.partitions[0].parked, snapshot.partitions[0].parked_keys), (100, 1));
    assert_eq!(snapshot.partitions[0].watermark, 0);
    healthy.store(1, SeqCst);
    stage.until_done().await;
    let order = order.lock().unwrap();
    assert!(order.len() == 100 && order.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_poison_record_becomes_a_dead_letter_with_its_story_and_its_key_goes_on() {
    let broker = Broker::default();
    let mut poison = keyed("a", "poison");
    poison.headers.push(seawall_core::Header::new("ce-id", "order-1"));
    broker.produce(&orders(), poison);
    broker.produce(&orders(), keyed("a", "fine"));
    let order = Arc::new(Mutex::new(Vec::new()));
    let handler = HandlerFn({
        let order = Arc::clone(&order);
        move |delivery: Delivery| {
            order.lock().unwrap().push((delivery.offset, delivery.attempt));
            async move {
                assert!(delivery.offset != 0, "poisoned");
                Outcome::Ack
            }
        }
    });
    let mut options = options();
    options.retry.attempts_max = 3;
    let stage = Stage::start(options, &broker, handler);
    stage.letters.refuse.store(2, SeqCst);
    broker.assign(&orders());
    stage.until_done().await;
    assert_eq!(*order.lock().unwrap(), [(0, 1), (0, 2), (0, 3), (1, 1)], "the sink's refusals call nobody");
    let totals = stage.running.snapshot().totals;
    assert_eq!((totals.panics, totals.dead_lettered, totals.acked), (3, 1, 1));

    let letters = stage.letters.taken.lock().unwrap();
    assert_eq!((letters.len(), &*letters[0].topic), (1, "orders.dlq"));
    let record = &letters[0].record;
    assert_eq!((record.key.as_deref(), &record.value[..]), (Some(&b"a"[..]), &b"poison"[..]));
    let story = Provenance::from_record(record).expect("a whole story");
    assert!(story.error.contains("poisoned") && story.error.contains("runtime.rs"), "{}", story.error);
    assert_eq!((story.class, story.attempts, story.offset), (Class::Bug, 3, 0));
    assert_eq!((story.origin, story.token.as_str(), &*story.pipeline), (orders(), "order-1", "orders"));
    assert!(story.last_failed.0 - story.first_failed.0 >= 150, "two back-offs lie between");
    assert_eq!(record.headers.get_str("ce-id"), Some("order-1"));
    assert!(record.headers.get(headers::TOKEN).is_some());
}

/// While the sink refuses, the record stays unsettled: a dead letter is confirmed before it is acknowledged.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_confirmed_before_its_record_is_settled() {
    let broker = Broker::default();
    broker.produce(&orders(), keyed("a", "v"));
    let handler = HandlerFn(|_| async { Outcome::DeadLetter(Fault::new(Class::Permanent, "never")) });
    let stage = Stage::start(options(), &broker, handler);
    stage.letters.refuse.store(u64::MAX, SeqCst);
    broker.assign(&orders());
    ms(60_000).await;
    let snapshot = stage.running.snapshot();
    assert_eq!((snapshot.totals.dead_lettered, snapshot.partitions[0].watermark), (0, 0));
    assert_eq!((snapshot.partitions[0].parked, stage.committed(&orders())), (1, 0));
    stage.letters.refuse.store(0, SeqCst);
    stage.until_done().await;
}

#[tokio::test(start_paused = true)]
async fn overload_counts_no_attempt_however_long_it_lasts() {
    let broker = Broker::default();
    broker.produce(&orders(), keyed("a", "v"));
    let calls = Arc::new(AtomicU64::new(0));
    let handler = HandlerFn({
        let calls = Arc::clone(&calls);
        move |delivery: Delivery| {
            assert_eq!(delivery.attempt, 1);
            let overloaded = calls.fetch_add(1, SeqCst) < 100;
            async move {
                if overloaded {
                    let fault = Fault::new(Class::Overload, "busy").after(Duration::from_mins(1));
                    return Outcome::Retry(fault);
                }
                Outcome::Ack
            }
        }
    });
    let mut options = options();
    options.retry.attempts_max = 2;
    let stage = Stage::start(options, &broker, handler);
    broker.assign(&orders());
    tokio::time::sleep(Duration::from_secs(6_100)).await;
    stage.until_done().await;
    assert_eq!((calls.load(SeqCst), stage.running.snapshot().totals.dead_lettered), (101, 0));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_answers_is_ended_by_its_deadline() {
    let broker = Broker::default();
    broker.produce(&orders(), keyed("a", "v"));
    let cancelled = Arc::new(AtomicU64::new(0));
    let handler = HandlerFn({
        let cancelled = Arc::clone(&cancelled);
        move |delivery: Delivery| {
            let cancelled = Arc::clone(&cancelled);
            async move {
                assert!(delivery.context.deadline.is_some());
                if delivery.attempt == 1 {
                    tokio::spawn(async move {
                        delivery.context.cancel.cancelled().await;
                        cancelled.fetch_add(1, SeqCst);
                    });
                    std::future::pending::<()>().await;
                }
                Outcome::Ack
            }
        }
    });
    let mut options = options();
    options.timeout = Some(Duration::from_secs(2));
    let stage = Stage::start(options, &broker, handler);
    broker.assign(&orders());
    let totals = stage.until_done().await.totals;
    assert_eq!((totals.timeouts, totals.retried, totals.acked), (1, 1, 1));
    assert_eq!(cancelled.load(SeqCst), 1, "what the handler spawned under its token hears of it");
    assert_eq!(stage.guard.snapshot().concurrency.used, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_partition_is_paused_alone_and_within_its_bound() {
    let (broker, other) = (Broker::default(), seawall_core::TopicPartition::new("orders", 1));
    for n in 0..1_000 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
        broker.produce(&other, keyed(format!("k{n}"), "v"));
    }
    let gate = Arc::new(Semaphore::new(0));
    let handler = HandlerFn({
        let gate = Arc::clone(&gate);
        move |delivery: Delivery| {
            let gate = Arc::clone(&gate);
            async move {
                if delivery.origin.partition == 0 {
                    gate.acquire().await.unwrap().forget();
                }
                Outcome::Ack
            }
        }
    });
    let mut options = options();
    options.queue.records = 40;
    let stage = Stage::start(options, &broker, handler);
    broker.assign(&orders());
    broker.assign(&other);
    let snapshot = stage.until("the other done", |snapshot| snapshot.totals.acked == 1_000).await;
    let full = &snapshot.partitions[0];
    assert!(full.paused && full.in_flight <= 40, "{full:?}");
    assert_eq!(snapshot.partitions[1].watermark, 1_000);
    gate.add_permits(2_000);
    stage.until_done().await;
}

#[tokio::test(start_paused = true)]
async fn pause_and_resume_by_request() {
    let broker = Broker::default();
    let stage = Stage::start(options(), &broker, HandlerFn(|_| async { Outcome::Ack }));
    assert!(stage.running.pause(Some(&orders())).is_err(), "not ours yet");
    broker.assign(&orders());
    stage.until("assigned", |snapshot| !snapshot.partitions.is_empty()).await;
    stage.running.pause(Some(&orders())).expect("ours");
    stage
        .until("paused", |snapshot| snapshot.partitions[0].paused_by_request && snapshot.partitions[0].paused)
        .await;
    broker.produce(&orders(), keyed("a", "v"));
    ms(5_000).await;
    assert_eq!(stage.running.snapshot().totals.fetched, 0);
    stage.running.resume(Some(&orders())).expect("ours");
    stage.until_done().await;
    stage.running.pause(None).expect("always");
    stage
        .until("paused", |snapshot| snapshot.state.as_str() == "paused" && snapshot.partitions[0].paused)
        .await;
    stage.running.resume(None).expect("always");
    stage.until("running", |snapshot| snapshot.state.as_str() == "running").await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_for_a_moment_is_polled_again_and_for_good_stops_the_pipeline() {
    let broker = Broker::default();
    broker.produce(&orders(), keyed("a", "v"));
    broker.state().poll_faults.extend((0..3).map(|_| transient()));
    broker.state().commit_faults.push_back(transient());
    let stage = Stage::start(options(), &broker, HandlerFn(|_| async { Outcome::Ack }));
    broker.assign(&orders());
    stage.until("committed", |_| stage.committed(&orders()) == 1).await;
    assert_eq!(stage.running.snapshot().totals.commit_failures, 1);
    broker.state().poll_faults.push_back(Fault::new(Class::Permanent, "fenced instance id"));
    let Stop::Failed(fault) = stage.running.wait().await else { panic!("must fail") };
    assert_eq!(fault.to_string(), "fenced instance id");
    assert!(matches!(stage.running.snapshot().state, State::Failed(_)));
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

fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(MemoryConfig::default(), TokioClock::shared()))
}

#[tokio::test(start_paused = true)]
async fn a_repeat_is_acknowledged_without_calling_the_handler() {
    let broker = Broker::default();
    let mut record = keyed("a", "v");
    record.headers.push(seawall_core::Header::new("ce-id", "order-1"));
    broker.produce(&orders(), record.clone());
    broker.produce(&orders(), record);
    let calls = Arc::new(AtomicU64::new(0));
    let handler = HandlerFn({
        let calls = Arc::clone(&calls);
        move |delivery: Delivery| {
            assert!(delivery.fence.0 > 0);
            calls.fetch_add(1, SeqCst);
            async { Outcome::Ack }
        }
    });
    let store = memory();
    let stage = Stage::start_with(options(), &broker, handler, Some(Arc::clone(&store)), 10, 1);
    broker.assign(&orders());
    let totals = stage.until_done().await.totals;
    assert_eq!((calls.load(SeqCst), totals.duplicates, totals.acked), (1, 1, 2));
    assert_eq!(store.stats().done, 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_another_owner_holds_waits_for_the_lease_and_no_longer() {
    let broker = Broker::default();
    broker.produce(&orders(), keyed("a", "v"));
    let store = memory();
    let token = seawall_core::Token::of_origin("orders", 0, 0);
    let lease = Duration::from_secs(20);
    store.claim(vec![ClaimRequest { token, owner: OwnerId(99), lease }]).await;
    let stage = Stage::start_with(
        options(),
        &broker,
        HandlerFn(|_| async { Outcome::Ack }),
        Some(Arc::clone(&store)),
        10,
        1,
    );
    broker.assign(&orders());
    ms(19_000).await;
    assert_eq!(stage.running.snapshot().totals.acked, 0);
    ms(2_000).await;
    assert_eq!(stage.running.snapshot().totals.acked, 1);
}

/// The lane goes on while a completion is on its way to the disk, so a repeat close behind finds the claim held by
/// this very consumer. It must not sit out the lease for that.
#[tokio::test(start_paused = true)]
async fn a_repeat_right_behind_waits_for_the_completion_and_not_for_the_lease() {
    let broker = Broker::default();
    let mut record = keyed("a", "v");
    record.headers.push(seawall_core::Header::new("ce-id", "order-1"));
    broker.produce(&orders(), record.clone());
    broker.produce(&orders(), record);
    let store = Arc::new(stage::thief::Slow::new(memory(), 2));
    let stage = Stage::start_with(
        options(),
        &broker,
        HandlerFn(|_| async { Outcome::Ack }),
        Some(Arc::clone(&store)),
        10,
        1,
    );
    let lease = options().lease;
    broker.assign(&orders());
    ms(u64::try_from(lease.as_millis()).expect("short") / 2).await;
    let totals = stage.running.snapshot().totals;
    assert_eq!((totals.acked, totals.duplicates), (2, 1));
}

/// A claim is renewed while its handler runs, and a handler whose claim was taken over is a zombie: it is
/// cancelled, or its completion is refused; its record is not acknowledged by us.
#[tokio::test(start_paused = true)]
async fn a_zombie_acknowledges_nothing() {
    let broker = Broker::default();
    broker.produce(&orders(), keyed("a", "v"));
    let store = memory();
    let handler = HandlerFn(|_| async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        Outcome::Ack
    });
    let mut options = options();
    (options.lease, options.timeout) = (Duration::from_secs(9), None);
    let stage = Stage::start_with(options.clone(), &broker, handler, Some(Arc::clone(&store)), 10, 1);
    broker.assign(&orders());
    stage.until_done().await;
    assert_eq!(stage.running.snapshot().totals.acked, 1, "eleven leases long, and renewed each time");

    // The store is emptied of claims by another owner while the handler runs.
    let broker = Broker::default();
    broker.produce(&orders(), keyed("a", "v"));
    let store = Arc::new(stage::thief::Thief::new(memory()));
    let stage = Stage::start_with(
        options,
        &broker,
        HandlerFn(|_| async { Outcome::Ack }),
        Some(Arc::clone(&store)),
        10,
        1,
    );
    broker.assign(&orders());
    stage.until("fenced", |snapshot| snapshot.totals.fenced == 1).await;
    assert_eq!(stage.running.snapshot().totals.acked, 0);
    assert_eq!(stage.running.snapshot().partitions[0].watermark, 0);
    stage.until_done().await;
    let totals = stage.running.snapshot().totals;
    assert_eq!((totals.acked, totals.duplicates), (1, 1), "the thief finished it, so it is a repeat");
}

/// Settled only when the completion is durable.
#[tokio::test(start_paused = true)]
async fn a_record_is_settled_only_after_its_completion_is_durable() {
    let broker = Broker::default();
    broker.produce(&orders(), keyed("a", "v"));
    let store = Arc::new(stage::thief::Slow::new(memory(), 5));
    let stage = Stage::start_with(
        options(),
        &broker,
        HandlerFn(|_| async { Outcome::Ack }),
        Some(Arc::clone(&store)),
        10,
        1,
    );
    broker.assign(&orders());
    stage.until("refused completions", |_| store.left() < 4).await;
    assert_eq!(stage.running.snapshot().partitions[0].watermark, 0);
    stage.until_done().await;
    assert_eq!(store.left(), 0);
}

/// Test 15 of the fault list: a store that swallows every request is an error within its time, the partition is paused,
/// nothing is handled or committed, and once it answers everything goes on.
#[tokio::test(start_paused = true)]
async fn a_store_that_says_nothing_is_an_error_in_time_and_nothing_is_committed() {
    let broker = Broker::default();
    for n in 0..500 {
        broker.produce(&orders(), keyed(format!("k{n}"), format!("{n}")));
    }
    let handled = Arc::new(AtomicU64::new(0));
    let handler = HandlerFn({
        let handled = Arc::clone(&handled);
        move |_: Delivery| {
            handled.fetch_add(1, SeqCst);
            async { Outcome::Ack }
        }
    });
    let mut options = options();
    options.queue.records = 100;
    let lease = options.lease;
    let store = Arc::new(stage::thief::BlackHole::new(memory()));
    let stage = Stage::start_with(options, &broker, handler, Some(Arc::clone(&store)), 10, 7);
    broker.assign(&orders());
    stage.until("full", |snapshot| snapshot.partitions.iter().any(|partition| partition.paused)).await;
    // All permits wait for the store. They come back when its silence counts as an error, and ask for others.
    tokio::time::sleep(lease).await;
    stage.until("asked again", |_| store.asked() > 10).await;
    for _ in 0..3 {
        tokio::time::sleep(lease).await;
        let snapshot = stage.running.snapshot();
        assert!(snapshot.partitions[0].paused, "{:?}", snapshot.queue);
        assert_eq!((handled.load(SeqCst), snapshot.totals.acked, snapshot.totals.commits), (0, 0, 0));
    }
    store.answer();
    stage.until_done().await;
    assert_eq!((handled.load(SeqCst), stage.guard.snapshot().concurrency.used), (500, 0));
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_what_runs_finish_and_leaves_what_waits() {
    let broker = Broker::default();
    for n in 0..50 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    let handler = HandlerFn(|_| async {
        ms(500).await;
        Outcome::Ack
    });
    let stage = Stage::start_with(options(), &broker, handler, None::<Arc<NoStore>>, 10, 1);
    broker.assign(&orders());
    stage.until("running", |snapshot| snapshot.handlers == 10).await;
    let (one, two) = tokio::join!(
        stage.running.drain(Duration::from_secs(5)),
        stage.running.drain(Duration::from_secs(9))
    );
    assert!(one.within_bound && one.took < Duration::from_secs(1), "{one:?}");
    assert_eq!(one.left, two.left);
    let left = &one.left[0];
    assert_eq!((left.cancelled, left.queued), (0, 40));
    assert_eq!(stage.running.snapshot().totals.acked, 10);
    assert_eq!(broker.state().released.len(), 1);
}

/// A process that ends as soon as it has drained must have left its group by then.
#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_dropped_before_the_drain_is_told() {
    let broker = Broker::default();
    broker.state().leaving_takes = Duration::from_millis(200);
    let clock = TokioClock::shared();
    let running = Consumer::start(
        options(),
        broker.source(),
        HandlerFn(|_: Delivery| async { Outcome::Ack }),
        None::<Arc<NoStore>>,
        stage::guard_of(10, &clock),
        stage::Letters::default(),
        clock,
        7,
        Driver::Thread,
    )
    .unwrap();
    running.drain(Duration::from_secs(5)).await;
    assert!(broker.state().left);
}

/// The only member of a group is offered again what it gives back: doing so during a drain goes in a circle.
#[tokio::test(start_paused = true)]
async fn a_partition_offered_during_a_drain_is_neither_taken_nor_given_back() {
    let broker = Broker::default();
    let offered = seawall_core::TopicPartition::new("orders", 1);
    for id in [&orders(), &offered] {
        broker.produce(id, keyed("k", "v"));
    }
    let handler = HandlerFn(|_| async {
        ms(500).await;
        Outcome::Ack
    });
    let stage = Stage::start(options(), &broker, handler);
    broker.assign(&orders());
    stage.until("running", |snapshot| snapshot.handlers == 1).await;
    let offer = async {
        ms(100).await;
        broker.assign(&offered);
    };
    let (report, ()) = tokio::join!(stage.running.drain(Duration::from_secs(5)), offer);
    assert!(report.within_bound, "{report:?}");
    let state = broker.state();
    assert_eq!(state.released.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&orders()]);
    assert!(state.topics[&offered].paused, "its records are not read either");
    assert_eq!(stage.running.snapshot().totals.fetched, 1);
}

#[tokio::test(start_paused = true)]
async fn limits_change_while_running_and_wrong_ones_are_refused() {
    let broker = Broker::default();
    broker.produce(&orders(), keyed("a", "v"));
    let handler = HandlerFn(|_| async { Outcome::Retry(transient()) });
    let mut options = options();
    (options.retry.attempts_max, options.retry.total_max) = (u32::MAX, None);
    let stage = Stage::start(options, &broker, handler);
    broker.assign(&orders());
    stage.until("retried", |snapshot| snapshot.totals.retried > 10).await;
    let mut limits = stage.running.limits();
    limits.retry.attempts_max = 0;
    let error = stage.running.set_limits(limits).expect_err("zero attempts");
    assert_eq!(error.to_string(), "retry.attempts_max = 0: at least 1 attempt");
    assert_eq!(stage.running.limits().retry.attempts_max, u32::MAX);
    limits.retry.attempts_max = 2;
    stage.running.set_limits(limits).expect("right");
    stage.until_done().await;
    assert_eq!(stage.running.snapshot().totals.dead_lettered, 1);
}

/// Records without a key wait for none, gaps in the offsets are no records.
#[tokio::test(start_paused = true)]
async fn gaps_and_records_without_a_key() {
    let broker = Broker::default();
    broker.skip(&orders(), 100);
    for n in 0..10 {
        broker.produce(&orders(), Record::new(None, Bytes::from(format!("{n}"))));
        broker.skip(&orders(), 1_000_000);
    }
    let handler = HandlerFn(|delivery: Delivery| async move {
        if delivery.offset == 100 {
            ms(1_000).await;
        }
        Outcome::Ack
    });
    let stage = Stage::start(options(), &broker, handler);
    broker.assign(&orders());
    stage
        .until("nine", |snapshot| snapshot.totals.acked == 9 && snapshot.partitions[0].watermark == 100)
        .await;
    stage.until_done().await;
}

/// A record that no other waits for has a lane of its own while it is out or parked, and none afterwards,
/// whatever key it carries; what failed is tried again, also at once.
#[tokio::test(start_paused = true)]
async fn records_that_stand_alone_are_shown_while_they_are_out_and_retried_when_they_fail() {
    for ordering in [Ordering::Key, Ordering::Unordered] {
        let broker = Broker::default();
        for _ in 0..30 {
            let key = (ordering == Ordering::Unordered).then(|| Bytes::from_static(b"same"));
            broker.produce(&orders(), Record::new(key, "v"));
        }
        let gate = Arc::new(Semaphore::new(0));
        let handler = HandlerFn({
            let gate = Arc::clone(&gate);
            move |delivery: Delivery| {
                let gate = Arc::clone(&gate);
                async move {
                    match (delivery.offset % 3, delivery.attempt) {
                        // Answers on its first poll.
                        (0, 1) => Outcome::Retry(transient()),
                        (0, _) => Outcome::Ack,
                        (_, attempt) => {
                            gate.acquire().await.unwrap().forget();
                            if attempt == 1 { Outcome::Retry(transient()) } else { Outcome::Ack }
                        }
                    }
                }
            }
        });
        let mut options = options();
        options.ordering = ordering;
        let stage = Stage::start(options, &broker, handler);
        broker.assign(&orders());
        stage.until("all are out or done", |snapshot| snapshot.totals.acked == 10).await;
        let lanes = stage.running.snapshot().lanes;
        assert_eq!((lanes.ready, lanes.busy, lanes.parked), (0, 20, 0), "{ordering:?}");
        gate.add_permits(20);
        stage.until("all came back", |snapshot| snapshot.totals.retried == 30).await;
        gate.add_permits(20);
        stage.until_done().await;
        let snapshot = stage.running.snapshot();
        assert_eq!((snapshot.totals.acked, snapshot.lanes.busy, snapshot.lanes.parked), (30, 0, 0));
    }
}

/// An attempt's token may be used again only where nobody saw it: one that a handler kept or cancelled is not
/// the next attempt's.
#[tokio::test(start_paused = true)]
async fn no_attempt_meets_the_cancellation_of_another() {
    let broker = Broker::default();
    for n in 0..100 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    let met = Arc::new(AtomicU64::new(0));
    let handler = HandlerFn({
        let met = Arc::clone(&met);
        move |delivery: Delivery| {
            if delivery.offset.is_multiple_of(3) {
                met.fetch_add(u64::from(delivery.context.cancel.is_cancelled()), SeqCst);
                delivery.context.cancel.cancel();
            }
            async { Outcome::Ack }
        }
    });
    let stage = Stage::start(options(), &broker, handler);
    broker.assign(&orders());
    stage.until_done().await;
    assert_eq!((stage.running.snapshot().totals.acked, met.load(SeqCst)), (100, 0));
}
