//! What is handled, in which order, and when it is settled.

use crate::stage::broker::Broker;
use crate::stage::{Stage, keyed, options, orders};
use crate::{ms, transient};
use bytes::Bytes;
use seawall_consumer::{Ordering, State};
use seawall_core::handler::HandlerFn;
use seawall_core::{Delivery, Offset, Outcome, Record};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

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
