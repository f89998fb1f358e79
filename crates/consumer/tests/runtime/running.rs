//! Pauses, limits and the end.

use crate::stage::broker::Broker;
use crate::stage::{Stage, TokioClock, keyed, options, orders};
use crate::{ms, transient};
use seawall_consumer::{Consumer, Driver, NoStore, State, Stop};
use seawall_core::handler::HandlerFn;
use seawall_core::{Class, Delivery, Fault, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

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
        crate::stage::guard_of(10, &clock),
        crate::stage::Letters::default(),
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
