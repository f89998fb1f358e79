//! What failed: tried again, or a dead letter.

use crate::stage::broker::Broker;
use crate::stage::{Stage, keyed, options, orders};
use crate::{ms, transient};
use seawall_consumer::dead_letter::{Provenance, headers};
use seawall_core::handler::HandlerFn;
use seawall_core::{Class, Delivery, Fault, Outcome};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
    poison.timestamp = seawall_core::WallMs(7);
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
    assert!(story.error.contains("poisoned") && story.error.contains("retry.rs:"), "{}", story.error);
    assert_eq!((story.class, story.attempts, story.offset), (Class::Bug, 3, 0));
    assert_eq!((story.origin, story.token.as_str(), &*story.pipeline), (orders(), "order-1", "orders"));
    assert!(story.last_failed.0 - story.first_failed.0 >= 150, "two back-offs lie between");
    assert_eq!(record.headers.get_str("ce-id"), Some("order-1"));
    assert!(record.headers.get(headers::TOKEN).is_some());
    assert_eq!(record.headers.get_str(headers::TIMESTAMP_MS), Some("7"));
    assert!(record.timestamp >= story.last_failed, "a topic keeps it from when it was sent on");
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

/// Counts the lines of a log, and what they say was left out of it.
#[derive(Clone, Default)]
struct Lines(Arc<[AtomicU64; 2]>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        self.0[0].fetch_add(1, SeqCst);
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

impl tracing::field::Visit for Lines {
    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        if field.name() == "untold" {
            self.0[1].fetch_add(value, SeqCst);
        }
    }

    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
}

/// A thousand records that no sink takes, asked for again for a minute: the log gets a few lines, and the number of the rest.
#[tokio::test(start_paused = true)]
async fn a_sink_that_takes_nothing_does_not_fill_the_log() {
    let lines = Lines::default();
    let _here = tracing::subscriber::set_default(lines.clone());
    let broker = Broker::default();
    for n in 0..1_000 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    let handler = HandlerFn(|_| async { Outcome::DeadLetter(Fault::new(Class::Permanent, "never")) });
    let stage = Stage::start(options(), &broker, handler);
    stage.letters.refuse.store(u64::MAX, SeqCst);
    broker.assign(&orders());
    ms(60_000).await;
    let refused = u64::MAX - stage.letters.refuse.load(SeqCst);
    let [told, untold] = [0, 1].map(|which| lines.0[which].load(SeqCst));
    assert!(refused > 2_000 && (2..=14).contains(&told), "{told} lines for {refused} refusals");
    assert!((refused / 2..refused).contains(&untold), "{untold} of {refused} are counted in the lines");
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

/// A 429 with `Retry-After: 0` must not turn into a loop as fast as the service answers.
#[tokio::test(start_paused = true)]
async fn an_overloaded_service_that_says_at_once_is_not_asked_at_once() {
    let broker = Broker::default();
    for n in 0..10 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    let calls = Arc::new(AtomicU64::new(0));
    let handler = HandlerFn({
        let calls = Arc::clone(&calls);
        move |delivery: Delivery| {
            assert_eq!(delivery.attempt, 1);
            calls.fetch_add(1, SeqCst);
            async {
                ms(1).await;
                Outcome::Retry(Fault::new(Class::Overload, "busy").after(Duration::ZERO))
            }
        }
    });
    let _stage = Stage::start(options(), &broker, handler);
    broker.assign(&orders());
    ms(10_000).await;
    // By the back-off, which doubles from 50 to 100 ms up to 2.5 to 5 s: 7 to 10 calls for each.
    let calls = calls.load(SeqCst);
    assert!((50..=100).contains(&calls), "{calls} calls for 10 records");
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
