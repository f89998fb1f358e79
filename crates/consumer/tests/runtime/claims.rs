//! With a claim store: test 15 of the fault list among them.

use crate::ms;
use crate::stage::broker::Broker;
use crate::stage::{Stage, TokioClock, keyed, options, orders};
use seawall_consumer::ConsumerOptions;
use seawall_core::handler::HandlerFn;
use seawall_core::{Delivery, Outcome};
use seawall_idempotency::{ClaimRequest, MemoryConfig, MemoryStore, OwnerId, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(MemoryConfig::default(), TokioClock::shared()))
}

/// A stage whose handler finishes everything.
fn acknowledging<T: Store>(options: ConsumerOptions, broker: &Broker, store: &Arc<T>) -> Stage {
    Stage::start_with(options, broker, HandlerFn(|_| async { Outcome::Ack }), Some(Arc::clone(store)), 10, 1)
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

/// Deleted and made anew, or cut: its offsets name other records, while what is done is still known.
#[tokio::test(start_paused = true)]
async fn a_record_at_the_offset_of_one_that_is_done_is_not_taken_for_it() {
    let store = memory();
    for (written, duplicates) in [(1_000, 0), (2_000, 0), (2_000, 1)] {
        let broker = Broker::default();
        let mut record = keyed("a", "v");
        record.timestamp = seawall_core::WallMs(written);
        broker.produce(&orders(), record);
        let stage = acknowledging(options(), &broker, &store);
        broker.assign(&orders());
        let totals = stage.until_done().await.totals;
        assert_eq!((totals.acked, totals.duplicates), (1, duplicates), "written at {written}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_another_owner_holds_waits_for_the_lease_and_no_longer() {
    let broker = Broker::default();
    broker.produce(&orders(), keyed("a", "v"));
    let store = memory();
    let token = seawall_core::Token::of_origin("orders", 0, 0, seawall_core::WallMs(0));
    let lease = Duration::from_secs(20);
    store.claim(vec![ClaimRequest { token, owner: OwnerId(99), lease }]).await;
    let stage = acknowledging(options(), &broker, &store);
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
    let store = Arc::new(crate::stage::thief::Slow::new(memory(), 2));
    let stage = acknowledging(options(), &broker, &store);
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
    let store = Arc::new(crate::stage::thief::Thief::new(memory()));
    let stage = acknowledging(options, &broker, &store);
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
    let store = Arc::new(crate::stage::thief::Slow::new(memory(), 5));
    let stage = acknowledging(options(), &broker, &store);
    broker.assign(&orders());
    stage.until("refused completions", |_| store.left() < 4).await;
    assert_eq!(stage.running.snapshot().partitions[0].watermark, 0);
    stage.until_done().await;
    assert_eq!(store.left(), 0);
}

/// A store may say that it is full for a day; it is asked again long before, since room comes sooner.
#[tokio::test(start_paused = true)]
async fn a_full_store_is_asked_again_soon_whatever_it_said() {
    let broker = Broker::default();
    broker.produce(&orders(), keyed("a", "v"));
    let store = Arc::new(crate::stage::thief::Slow::crowded(memory(), 3));
    let stage = acknowledging(options(), &broker, &store);
    broker.assign(&orders());
    ms(30_000).await;
    assert_eq!(stage.running.snapshot().totals.acked, 1);
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
    let store = Arc::new(crate::stage::thief::BlackHole::new(memory()));
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
