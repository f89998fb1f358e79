//! What stands still is named, handlers that block have threads of their own, and what an ended assignment takes
//! along is counted. In real time where the watchdog is in it, for that runs on a thread.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test may panic, and waits; its stage is shared with others"
)]

mod stage;

use seawall_consumer::{
    BlockingHandler, Consumer, ConsumerOptions, Driver, NoStore, Running, Stall, StallKind, Stop,
};
use seawall_core::handler::HandlerFn;
use seawall_core::{Class, Clock, Delivery, Fault, Handler, Outcome, Source, SystemClock};
use stage::broker::{Broker, Scripted};
use stage::{Letters, Stage, guard_of, keyed, options, orders};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const AFTER: Duration = Duration::from_millis(200);

fn start<H: Handler>(options: ConsumerOptions, source: impl Source, handler: H, letters: Letters) -> Running {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let guard = guard_of(100, &clock);
    let options = ConsumerOptions { stall_after: AFTER, timeout: None, ..options };
    let store = None::<Arc<NoStore>>;
    Consumer::start(options, source, handler, store, guard, letters, clock, 7, Driver::Thread).unwrap()
}

/// Waits until the watchdog shows a stall of `kind`, of a record where one is asked for.
fn until_stalled(running: &Running, kind: StallKind, offset: Option<u64>) -> Stall {
    let since = Instant::now();
    loop {
        let stalls = running.snapshot().stalls;
        if let Some(stall) = stalls.iter().find(|stall| stall.kind == kind && stall.offset == offset) {
            return stall.clone();
        }
        assert!(since.elapsed() < Duration::from_mins(1), "no {kind:?} of {offset:?} among {stalls:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Lets a blocked thread go, even where the test fails: its runtime waits for it.
struct Freed(Arc<AtomicBool>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < Duration::from_mins(1), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn filled(records: u64) -> Broker {
    let broker = Broker::default();
    for n in 0..records {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    broker.assign(&orders());
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_handler_and_its_partition_are_named_by_record_until_they_go_on() {
    let broker = filled(10);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let open = Arc::clone(&gate);
    let handler = HandlerFn(move |delivery: Delivery| {
        let open = Arc::clone(&open);
        async move {
            if delivery.offset == 3 {
                open.acquire().await.unwrap().forget();
            }
            Outcome::Ack
        }
    });
    let running = start(options(), broker.source(), handler, Letters::default());
    let stall = until_stalled(&running, StallKind::Handler, Some(3));
    assert_eq!((stall.partition, stall.offset), (Some(orders()), Some(3)));
    assert!(stall.key.is_some() && stall.worker.is_some() && stall.lasted >= AFTER);
    let stall = until_stalled(&running, StallKind::Partition, Some(3));
    assert_eq!((stall.partition, stall.offset), (Some(orders()), Some(3)));
    let snapshot = running.snapshot();
    assert_eq!(snapshot.totals.acked, 9, "it is named, and nothing else comes of it");
    assert!(snapshot.stalls.iter().all(|stall| stall.kind >= StallKind::Handler), "{:?}", snapshot.stalls);
    gate.add_permits(1);
    eventually("nothing is stalled", || running.snapshot().stalls.is_empty()).await;
    running.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_that_a_handler_blocks_is_named_and_the_fetch_loop_goes_on() {
    let broker = filled(1);
    let free = Arc::new(AtomicBool::new(false));
    let (wait, _freed) = (Arc::clone(&free), Freed(Arc::clone(&free)));
    let handler = HandlerFn(move |delivery: Delivery| {
        let wait = Arc::clone(&wait);
        async move {
            // Once on its first poll, once on a later one.
            if delivery.offset > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            while !wait.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Outcome::Ack
        }
    });
    let running =
        start(ConsumerOptions { workers: 1, ..options() }, broker.source(), handler, Letters::default());
    for offset in 0..2 {
        let stall = until_stalled(&running, StallKind::Worker, Some(offset));
        assert_eq!(stall.worker, Some(0));
        assert_eq!(stall.partition, Some(orders()));
        let polls = broker.state().polls;
        eventually("polling goes on", || broker.state().polls > polls).await;
        assert!(running.snapshot().stalls.iter().all(|stall| stall.kind != StallKind::Fetch));
        free.store(true, SeqCst);
        eventually("it goes on", || running.snapshot().totals.acked == offset + 1).await;
        free.store(false, SeqCst);
        broker.produce(&orders(), keyed("k", "v"));
    }
    free.store(true, SeqCst);
    running.drain(Duration::from_secs(5)).await;
}

#[test]
fn a_runtime_that_is_blocked_is_named() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let broker = filled(0);
    let running = runtime.block_on(async {
        let ack = HandlerFn(|_| std::future::ready(Outcome::Ack));
        start(options(), broker.source(), ack, Letters::default())
    });
    // Nobody runs its tasks now.
    let stall = until_stalled(&running, StallKind::Runtime, None);
    assert!(stall.to_string().starts_with("runtime, for "), "{stall}");
    runtime.block_on(eventually("it goes on", || running.snapshot().stalls.is_empty()));
    runtime.block_on(running.drain(Duration::from_secs(5)));
}

/// Holds its poll while it is told to.
struct Holding(Scripted, Arc<AtomicBool>);

impl Source for Holding {
    fn poll(
        &mut self,
        wait: Duration,
        limit: seawall_core::Limit,
    ) -> Result<Vec<seawall_core::Event>, Fault> {
        while self.1.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.0.poll(wait, limit)
    }
    fn pause(&mut self, partition: &seawall_core::TopicPartition) {
        self.0.pause(partition);
    }
    fn resume(&mut self, partition: &seawall_core::TopicPartition) {
        self.0.resume(partition);
    }
    fn commit(&mut self, commits: &[seawall_core::Commit]) -> Result<(), Fault> {
        self.0.commit(commits)
    }
    fn release(&mut self, partition: &seawall_core::TopicPartition, generation: seawall_core::Generation) {
        self.0.release(partition, generation);
    }
    fn reread(
        &mut self,
        partition: &seawall_core::TopicPartition,
        from: u64,
        to: u64,
        limit: seawall_core::Limit,
    ) -> Result<seawall_core::Batch, Fault> {
        self.0.reread(partition, from, to, limit)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_holds_the_fetch_loop_is_named() {
    let hold = Arc::new(AtomicBool::new(true));
    let source = Holding(filled(0).source(), Arc::clone(&hold));
    let ack = HandlerFn(|_| std::future::ready(Outcome::Ack));
    let running = start(options(), source, ack, Letters::default());
    until_stalled(&running, StallKind::Fetch, None);
    hold.store(false, SeqCst);
    eventually("it goes on", || running.snapshot().stalls.is_empty()).await;
    running.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_past_its_bound_gives_the_partition_up_and_names_its_record() {
    for blocks in [false, true] {
        let broker = filled(10);
        let handler = HandlerFn(move |delivery: Delivery| async move {
            if delivery.offset == 3 && blocks {
                std::thread::sleep(Duration::from_secs(3));
            } else if delivery.offset == 3 {
                std::future::pending::<()>().await;
            }
            Outcome::Ack
        });
        let give_up_after = Some(Duration::from_secs(1));
        let options = ConsumerOptions { give_up_after, workers: 1, ..options() };
        let running = start(options, broker.source(), handler, Letters::default());
        let Stop::Failed(fault) = running.wait().await else { panic!("it was not asked to stop") };
        assert_eq!(fault.class(), Class::Permanent);
        assert!(fault.to_string().contains("orders/0 at offset 3"), "{fault}");
        let state = broker.state();
        assert_eq!(state.released.len(), 1, "given back, not lost");
        // A worker that is blocked has entered nothing of its turn; another's records are committed.
        assert!(blocks || state.topics[&orders()].committed.watermark == 3);
    }
}

#[test]
fn blocking_handlers_run_on_so_many_threads_and_block_nobody_else() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let broker = filled(12);
    let (running_now, most, ticks) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
    let seen = Arc::clone(&most);
    let handler = BlockingHandler::new(3, move |_: &Delivery| {
        seen.fetch_max(running_now.fetch_add(1, SeqCst) + 1, SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        running_now.fetch_sub(1, SeqCst);
        Outcome::Ack
    })
    .unwrap();
    runtime.block_on(async {
        let running = start(options(), broker.source(), handler, Letters::default());
        eventually("all is done", || {
            ticks.fetch_add(1, SeqCst);
            running.snapshot().totals.acked == 12
        })
        .await;
        running.drain(Duration::from_secs(5)).await;
    });
    assert_eq!(most.load(SeqCst), 3);
    assert!(ticks.load(SeqCst) > 10, "the one thread of the runtime was free meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_on_a_thread_of_its_own_is_counted_and_told_like_any_other() {
    let broker = filled(1);
    let letters = Letters::default();
    let handler = BlockingHandler::new(1, |_: &Delivery| -> Outcome { panic!("poison {}", 7) }).unwrap();
    let mut options = options();
    options.retry.attempts_max = 2;
    options.retry.base = Duration::from_millis(1);
    let running = start(options, broker.source(), handler, letters.clone());
    eventually("it is a dead letter", || running.snapshot().totals.dead_lettered == 1).await;
    assert_eq!(running.snapshot().totals.panics, 2);
    let taken = letters.taken.lock().unwrap();
    let error = taken[0].record.headers.get_str(seawall_consumer::dead_letter::headers::ERROR).unwrap();
    assert!(error.contains("poison 7") && error.contains("stalls.rs"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_not_begun_again_while_a_thread_still_has_it() {
    let broker = filled(1);
    let inside = Arc::new(Mutex::new((0_u32, 0_u32, 0_u32)));
    let count = Arc::clone(&inside);
    let handler = BlockingHandler::new(4, move |delivery: &Delivery| {
        {
            let mut inside = count.lock().unwrap();
            inside.0 += 1;
            inside.1 = inside.1.max(inside.0);
            inside.2 += 1;
        }
        let first = delivery.attempt == 1;
        std::thread::sleep(Duration::from_millis(if first { 600 } else { 1 }));
        count.lock().unwrap().0 -= 1;
        if first { Outcome::Retry(Fault::new(Class::Bug, "nobody hears this")) } else { Outcome::Ack }
    })
    .unwrap();
    let handler = Arc::new(handler);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut options = options();
    options.timeout = Some(Duration::from_millis(50));
    options.retry.base = Duration::from_millis(1);
    options.retry.attempts_max = 1_000;
    let guard = guard_of(100, &clock);
    let (letters, store) = (Letters::default(), None::<Arc<NoStore>>);
    let running = Consumer::start(
        options,
        broker.source(),
        Arc::clone(&handler),
        store,
        guard,
        letters,
        clock,
        7,
        Driver::Thread,
    )
    .unwrap();
    eventually("it is done", || running.snapshot().totals.acked == 1).await;
    assert!(running.snapshot().totals.timeouts >= 1);
    assert!(handler.abandoned() >= 1, "the late answer is counted");
    assert_eq!(inside.lock().unwrap().1, 1, "never two at once");
}

/// A zombie's acknowledgements: settled here, and gone with the assignment before they were committed. They count for
/// the next assignment of the same member, which commits them.
#[tokio::test(start_paused = true)]
async fn what_was_settled_and_never_committed_is_void_and_not_done_again_where_it_is_known() {
    let broker = Broker::default();
    let mut options = options();
    options.commit.interval = Duration::from_hours(1);
    let stage = Stage::start(options, &broker, HandlerFn(|_| std::future::ready(Outcome::Ack)));
    for n in 0..20 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    broker.assign(&orders());
    stage.until_done().await;
    broker.lose(&orders());
    stage.until("gone", |snapshot| snapshot.partitions.is_empty()).await;
    assert_eq!(stage.running.snapshot().totals.voided, 20);
    assert!(broker.state().commits.is_empty(), "nothing is committed for an assignment that was lost");
    broker.assign(&orders());
    stage.until_done().await;
    broker.revoke(&orders());
    stage.until("given back", |snapshot| snapshot.partitions.is_empty()).await;
    let totals = stage.running.snapshot().totals;
    assert_eq!((totals.voided, totals.acked, totals.skipped), (20, 20, 20), "done here, so not done again");
    assert_eq!(stage.committed(&orders()), 20);
}

/// A broker that is away for a moment must not cost the last commit.
#[tokio::test(start_paused = true)]
async fn a_last_commit_that_fails_for_a_moment_is_tried_again_within_the_bound() {
    let broker = Broker::default();
    let mut options = options();
    options.commit.interval = Duration::from_hours(1);
    let stage = Stage::start(options, &broker, HandlerFn(|_| std::future::ready(Outcome::Ack)));
    for n in 0..20 {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
    broker.assign(&orders());
    stage.until_done().await;
    let away = || Fault::new(Class::Transient, "the coordinator is moving");
    broker.state().commit_faults.extend((0..5).map(|_| away()));
    let report = stage.running.drain(Duration::from_secs(30)).await;
    assert!(report.commit_failed.is_none() && report.within_bound, "{report:?}");
    assert_eq!(stage.committed(&orders()), 20);
    assert_eq!(stage.running.snapshot().totals.voided, 0);

    let stage = Stage::start(self::options(), &broker, HandlerFn(|_| std::future::ready(Outcome::Ack)));
    broker.assign(&orders());
    broker.state().commit_faults.extend((0..1_000_000).map(|_| away()));
    broker.produce(&orders(), keyed("k", "v"));
    stage.until_done().await;
    let report = stage.running.drain(Duration::from_secs(3)).await;
    assert!(report.commit_failed.is_some() && report.took < Duration::from_secs(5), "{report:?}");
    assert_eq!(stage.running.snapshot().totals.voided, 1);
}
