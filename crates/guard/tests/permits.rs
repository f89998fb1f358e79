//! Permits always come back: after a panic, a dropped wait, a refused token, a reload; and never in excess.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod manual;

use manual::ManualClock;
use seawall_core::{Clock, Nanos, WallMs};
use seawall_guard::{
    AdaptiveOptions, BreakerOptions, BreakerState, ConcurrencyOptions, Guard, GuardOptions, LimitKind, Mode,
    RateOptions, Sample, TscClock, Verdict,
};
use std::sync::Arc;
use std::time::Duration;

const OK: Sample = Sample { latency: Duration::from_millis(1), verdict: Verdict::Ok };
const FAILED: Sample = Sample { latency: Duration::from_millis(1), verdict: Verdict::Failed };

fn limited(limit: u32, mode: Mode) -> GuardOptions {
    GuardOptions {
        mode,
        concurrency: ConcurrencyOptions { limit, waiting_max: 3 },
        ..GuardOptions::default()
    }
}

fn waiting(seconds: u64) -> Mode {
    Mode::Wait { max: Duration::from_secs(seconds) }
}

fn used(guard: &Guard) -> u32 {
    guard.snapshot().concurrency.used
}

/// Reads tokio's paused time, as the simulation's clock does.
struct TokioClock(tokio::time::Instant);

impl Clock for TokioClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.elapsed().as_nanos() as u64)
    }
    fn wall(&self) -> WallMs {
        WallMs(0)
    }
}

fn paused(options: GuardOptions) -> Guard {
    Guard::new(options, Arc::new(TokioClock(tokio::time::Instant::now())), 1).unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_permit_comes_back_when_its_holder_panics() {
    let guard = Guard::new(limited(1, Mode::Shed), ManualClock::new(), 1).unwrap();
    let inside = guard.clone();
    let thread = std::thread::spawn(move || {
        let _permit = inside.try_acquire().unwrap();
        panic!("the handler's own");
    });
    assert!(thread.join().is_err());
    assert_eq!(used(&guard), 0);
    assert!(guard.try_acquire().is_ok());
}

#[test]
fn a_batch_holds_its_permits_until_each_record_is_done() {
    let guard = Guard::new(limited(10, Mode::Shed), ManualClock::new(), 1).unwrap();
    let granted = guard.try_acquire_many(32);
    assert_eq!(granted.permits.count(), 10);
    assert_eq!(granted.refusal.unwrap().limit, LimitKind::Concurrency);
    let mut batch = granted.permits;
    let single = batch.split(1);
    batch.settle(OK);
    batch.release(3);
    assert_eq!((batch.count(), used(&guard)), (5, 6));
    drop(batch);
    assert_eq!(used(&guard), 1);
    drop(single);
    assert_eq!((used(&guard), guard.snapshot().refusals.concurrency), (0, 0));
}

#[test]
fn permits_of_quick_calls_come_back_together_and_all_of_them_come_back() {
    const QUICK: Sample = Sample { latency: Duration::from_nanos(200), verdict: Verdict::Ok };
    let guard = Guard::new(limited(100, Mode::Shed), ManualClock::new(), 1).unwrap();
    let mut batch = guard.try_acquire_many(64).permits;
    batch.settle_in_row(QUICK);
    assert_eq!((batch.count(), used(&guard)), (63, 64), "the next ones come first");
    batch.settle_in_row(OK);
    assert_eq!((batch.count(), used(&guard)), (62, 62), "somebody may wait by now");
    (0..16).for_each(|_| batch.settle_in_row(QUICK));
    assert_eq!((batch.count(), used(&guard)), (46, 46));
    let single = batch.split(1);
    (0..3).for_each(|_| batch.settle_in_row(QUICK));
    drop(batch);
    assert_eq!(used(&guard), 1);
    drop(single);
    assert_eq!(used(&guard), 0);

    let learning = GuardOptions { breaker: Some(BreakerOptions::default()), ..limited(100, Mode::Shed) };
    let guard = Guard::new(learning, ManualClock::new(), 1).unwrap();
    let mut batch = guard.try_acquire_many(8).permits;
    batch.settle_in_row(QUICK);
    assert_eq!(used(&guard), 7, "who learns, learns at once");
}

#[test]
fn a_refused_token_gives_the_permit_back_and_a_refused_permit_burns_no_token() {
    let clock = ManualClock::new();
    let rate = Some(RateOptions { per_second: 1.0, burst: 2 });
    let guard = Guard::new(GuardOptions { rate, ..limited(1, Mode::Shed) }, clock, 1).unwrap();
    let first = guard.try_acquire().unwrap();
    for _ in 0..100 {
        assert_eq!(guard.try_acquire().unwrap_err().limit, LimitKind::Concurrency);
    }
    drop(first);
    drop(guard.try_acquire().expect("the second token is still there"));
    for _ in 0..100 {
        assert_eq!(guard.try_acquire().unwrap_err().limit, LimitKind::Rate);
    }
    assert_eq!(used(&guard), 0);
}

#[tokio::test(start_paused = true)]
async fn waits_in_order_and_a_newcomer_does_not_overtake() {
    let guard = paused(limited(1, waiting(60)));
    let held = guard.try_acquire().unwrap();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for name in 0..3 {
        let (guard_inside, order) = (guard.clone(), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let permit = guard_inside.acquire().await.unwrap();
            order.lock().unwrap().push(name);
            tokio::task::yield_now().await;
            drop(permit);
        }));
        let waiting = guard.clone();
        until(|| waiting.snapshot().concurrency.waiting == name + 1).await;
    }
    assert_eq!(guard.acquire().await.unwrap_err().limit, LimitKind::Concurrency, "the line holds three");
    drop(held);
    assert!(guard.try_acquire().is_err(), "those in line come first");
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
    assert_eq!((used(&guard), guard.snapshot().concurrency.waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_dropped_at_any_moment_leaks_nothing() {
    for release_first in [false, true] {
        let guard = paused(limited(1, waiting(60)));
        let held = guard.try_acquire().unwrap();
        let mut wait = Box::pin(guard.acquire());
        assert!(futures_poll(wait.as_mut()).is_pending());
        assert_eq!(guard.snapshot().concurrency.waiting, 1);
        if release_first {
            // The permit is on its way to the waiter when the waiter goes.
            drop(held);
            drop(wait);
        } else {
            drop(wait);
            drop(held);
        }
        assert_eq!((used(&guard), guard.snapshot().concurrency.waiting), (0, 0));
        assert!(guard.try_acquire().is_ok());
    }
}

fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_token_holds_the_permit_and_leaks_neither() {
    let rate = Some(RateOptions { per_second: 1.0, burst: 1 });
    let guard = paused(GuardOptions { rate, ..limited(4, waiting(60)) });
    drop(guard.acquire().await.unwrap());
    let mut wait = Box::pin(guard.acquire());
    assert!(futures_poll(wait.as_mut()).is_pending());
    assert_eq!((used(&guard), guard.snapshot().concurrency.waiting), (1, 1));
    drop(wait);
    assert_eq!((used(&guard), guard.snapshot().concurrency.waiting), (0, 0));
    let before = tokio::time::Instant::now();
    drop(guard.acquire().await.expect("the dropped wait took no token"));
    assert!(before.elapsed() <= Duration::from_millis(1_002));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_bound_and_says_which_limit() {
    let guard = paused(limited(1, waiting(2)));
    let _held = guard.try_acquire().unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(guard.acquire().await.unwrap_err().limit, LimitKind::Concurrency);
    assert_eq!(before.elapsed().as_secs(), 2);
    let rate = Some(RateOptions { per_second: 0.1, burst: 1 });
    let guard = paused(GuardOptions { rate, ..limited(1, waiting(2)) });
    drop(guard.acquire().await.unwrap());
    let before = tokio::time::Instant::now();
    let refusal = guard.acquire().await.unwrap_err();
    assert_eq!((refusal.limit, before.elapsed()), (LimitKind::Rate, Duration::ZERO), "no use waiting 10 s");
    assert_eq!((used(&guard), guard.snapshot().refusals.rate), (0, 1));
}

#[test]
fn lowering_the_limit_lets_nobody_in_before_the_debt_is_paid() {
    let guard = Guard::new(limited(4, Mode::Shed), ManualClock::new(), 1).unwrap();
    let mut batch = guard.try_acquire_many(4).permits;
    guard.reconfigure(limited(2, Mode::Shed)).unwrap();
    batch.release(2);
    assert!(guard.try_acquire().is_err());
    batch.release(1);
    assert!(guard.try_acquire().is_ok());
    guard.reconfigure(limited(5, Mode::Shed)).unwrap();
    assert_eq!(guard.try_acquire_many(9).permits.count(), 4);
    let bad = limited(0, Mode::Shed);
    assert!(guard.reconfigure(bad).is_err());
    assert_eq!(guard.snapshot().concurrency.limit, 5);
}

#[test]
fn the_breaker_opens_by_settled_failures_and_a_dropped_probe_does_not_block_it() {
    let clock = ManualClock::new();
    let breaker = BreakerOptions { calls_min: 4, probes: 1, jitter: 0.0, ..BreakerOptions::default() };
    let options = GuardOptions { breaker: Some(breaker), ..limited(10, Mode::Shed) };
    let guard = Guard::new(options, clock.clone(), 1).unwrap();
    for _ in 0..4 {
        guard.try_acquire().unwrap().settle(FAILED);
    }
    let refusal = guard.try_acquire().unwrap_err();
    assert_eq!((refusal.limit, refusal.retry_after), (LimitKind::Breaker, Some(Duration::from_secs(5))));
    clock.advance(Duration::from_secs(5));
    for _ in 0..5 {
        let probe = guard.try_acquire().unwrap();
        assert!(probe.is_probe());
        let refusal = guard.try_acquire().unwrap_err();
        assert_eq!(
            (refusal.limit, refusal.retry_after),
            (LimitKind::Breaker, None),
            "it closes with its probe"
        );
        assert!(refusal.to_string().ends_with("; come back when its probes are done"), "{refusal}");
        drop(probe);
    }
    assert_eq!(guard.try_acquire_many(8).permits.count(), 1);
    guard.try_acquire().unwrap().settle(OK);
    let snapshot = guard.snapshot().breaker.unwrap();
    assert_eq!((snapshot.state, snapshot.opens, used(&guard)), (BreakerState::Closed, 1, 0));
    assert!(!guard.try_acquire().unwrap().is_probe());
}

#[test]
fn overload_answers_lower_the_limit_and_refusals_name_it() {
    let adaptive =
        AdaptiveOptions { min: 1, max: 10, initial: 10, decrease: 0.1, ..AdaptiveOptions::default() };
    let options = GuardOptions { adaptive: Some(adaptive), ..limited(20, Mode::Shed) };
    let guard = Guard::new(options, ManualClock::new(), 1).unwrap();
    let overloaded = Sample { verdict: Verdict::Overloaded, ..OK };
    guard.try_acquire().unwrap().settle(overloaded);
    let _held = guard.try_acquire().unwrap();
    let refusal = guard.try_acquire().unwrap_err();
    assert_eq!((refusal.limit, refusal.value), (LimitKind::Adaptive, 1.0));
}

/// Four threads take, wait, cancel and resize at random; at the end every permit is back.
#[test]
fn nothing_leaks_under_contention() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let options = GuardOptions {
        rate: Some(RateOptions { per_second: 1_000_000.0, burst: 100 }),
        concurrency: ConcurrencyOptions { limit: 3, waiting_max: 100 },
        mode: waiting(30),
        ..GuardOptions::default()
    };
    let guard = Guard::new(options.clone(), Arc::new(TscClock::new()), 1).unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..8u64)
            .map(|seed| {
                let (guard, options) = (guard.clone(), options.clone());
                tokio::spawn(async move {
                    let mut rng = fastrand::Rng::with_seed(seed);
                    for _ in 0..2_000 {
                        match rng.u32(0..10) {
                            0 => {
                                let limit = rng.u32(1..5);
                                let concurrency = ConcurrencyOptions { limit, ..options.concurrency };
                                guard.reconfigure(GuardOptions { concurrency, ..options.clone() }).unwrap();
                            }
                            1..4 => drop(guard.try_acquire()),
                            4..7 => {
                                let mut wait = Box::pin(guard.acquire_many(3));
                                let polled = futures_poll(wait.as_mut());
                                tokio::task::yield_now().await;
                                drop((polled, wait));
                            }
                            _ => drop(guard.acquire().await.expect("others give theirs back")),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    guard.reconfigure(options).unwrap();
    let snapshot = guard.snapshot().concurrency;
    assert_eq!((snapshot.used, snapshot.waiting, snapshot.limit), (0, 0, 3));
}
