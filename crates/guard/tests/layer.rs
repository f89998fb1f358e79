//! The guard as a tower layer: which service is called, and what comes back from a call.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[expect(dead_code, reason = "not every test file uses every helper")]
mod manual;

use manual::ManualClock;
use seawall_core::{Class, Fault, Outcome};
use seawall_guard::guard::Refusals;
use seawall_guard::layer::RefuseDelivery;
use seawall_guard::{
    AdaptiveOptions, BreakerOptions, BreakerState, ConcurrencyOptions, Guard, GuardLayer, GuardOptions,
    GuardService, Mode, RateOptions,
};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tower::{Layer, Service, service_fn};

const WAIT: Mode = Mode::Wait { max: Duration::from_mins(1) };

fn guard(mode: Mode, limit: u32, change: impl FnOnce(&mut GuardOptions)) -> Guard {
    let concurrency = ConcurrencyOptions { limit, waiting_max: 10 };
    let mut options = GuardOptions { mode, concurrency, ..GuardOptions::default() };
    change(&mut options);
    Guard::new(options, ManualClock::new(), 1).unwrap()
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Ready only after its own `poll_ready`; a clone is not.
#[derive(Default)]
struct Strict {
    ready: bool,
    clones: Arc<AtomicU32>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        Self { ready: false, clones: Arc::clone(&self.clones) }
    }
}

impl Service<()> for Strict {
    type Response = Outcome;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Outcome, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been made ready");
        std::future::ready(Ok(Outcome::Ack))
    }
}

type Call = seawall_guard::layer::GuardFuture<Strict, RefuseDelivery, ()>;

fn call(service: &mut GuardService<Strict, RefuseDelivery>) -> std::pin::Pin<Box<Call>> {
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
    Box::pin(service.call(()))
}

#[test]
fn a_granted_call_runs_in_place_in_either_mode() {
    for mode in [Mode::Shed, WAIT] {
        let guard = guard(mode, 4, |_| {});
        let inner = Strict::default();
        let clones = Arc::clone(&inner.clones);
        let mut service = GuardLayer::delivery(guard.clone()).layer(inner);
        for _ in 0..10 {
            let mut answer = call(&mut service);
            assert_eq!(guard.snapshot().concurrency.used, 1, "granted by `call`");
            assert!(matches!(poll(answer.as_mut()), Poll::Ready(Ok(Outcome::Ack))));
            assert_eq!(guard.snapshot().concurrency.used, 0, "back with the answer, not with the drop");
        }
        assert_eq!(clones.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_runs_the_service_that_was_ready_and_is_no_refusal() {
    let guard = guard(WAIT, 1, |_| {});
    let mut service = GuardLayer::delivery(guard.clone()).layer(Strict::default());
    let held = guard.try_acquire().unwrap();
    let (mut answer, cancelled) = (call(&mut service), call(&mut service));
    assert!(poll(answer.as_mut()).is_pending());
    drop((held, cancelled));
    assert!(answer.await.unwrap().is_ack());
    let snapshot = guard.snapshot();
    assert_eq!((snapshot.concurrency.used, snapshot.concurrency.waiting), (0, 0));
    assert_eq!(snapshot.refusals, Refusals::default());
}

#[tokio::test(start_paused = true)]
async fn in_wait_mode_the_layer_lines_up_behind_those_who_wait_for_a_token() {
    let rate = RateOptions { per_second: 1.0, burst: 1 };
    let guard = guard(WAIT, 4, |options| options.rate = Some(rate));
    drop(guard.try_acquire().unwrap());
    let mut service = GuardLayer::delivery(guard.clone()).layer(Strict::default());
    let (mut first, mut second) = (call(&mut service), call(&mut service));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    assert_eq!(guard.snapshot().concurrency.waiting, 2);
    // Tokens lie ready now, but they are for those in line.
    guard.reconfigure(GuardOptions { rate: None, ..guard.options() }).unwrap();
    let mut third = call(&mut service);
    assert!(poll(third.as_mut()).is_pending());
    drop((first, second, third));
    assert_eq!((guard.snapshot().concurrency.used, guard.snapshot().concurrency.waiting), (0, 0));
}

#[test]
fn a_service_that_panics_in_call_gives_the_permit_back() {
    let guard = guard(Mode::Shed, 1, |_| {});
    let mut service = GuardLayer::delivery(guard.clone()).layer(Strict::default());
    let unready = catch_unwind(AssertUnwindSafe(|| drop(service.call(()))));
    assert!(unready.is_err());
    assert_eq!(guard.snapshot().concurrency.used, 0);
}

#[tokio::test]
async fn answers_through_the_layer_feed_the_breaker() {
    let breaker = BreakerOptions { calls_min: 4, ..BreakerOptions::default() };
    let guard = guard(Mode::Shed, 10, |options| options.breaker = Some(breaker));
    let failing = service_fn(|()| async { Ok::<_, Infallible>(retry(Class::Transient)) });
    let mut service = GuardLayer::delivery(guard.clone()).layer(failing);
    for _ in 0..4 {
        service.call(()).await.unwrap();
    }
    assert_eq!(guard.snapshot().breaker.unwrap().state, BreakerState::Open);
    assert_eq!(guard.snapshot().concurrency.used, 0);
}

#[tokio::test]
async fn answers_through_the_layer_feed_the_adaptive_limit() {
    let adaptive = AdaptiveOptions { min: 1, max: 10, initial: 10, decrease: 0.5, ..Default::default() };
    let guard = guard(Mode::Shed, 10, |options| options.adaptive = Some(adaptive));
    let full = service_fn(|()| async { Ok::<_, Infallible>(retry(Class::Overload)) });
    GuardLayer::delivery(guard.clone()).layer(full).call(()).await.unwrap();
    assert_eq!(guard.snapshot().adaptive.unwrap().limit, 5);
}

/// An answer whose start nobody timed must not pass for an instant one.
#[tokio::test]
async fn a_call_begun_before_the_adaptive_limit_says_nothing_of_latency() {
    let adaptive = AdaptiveOptions { min: 1, max: 10, initial: 10, decrease: 0.5, ..Default::default() };
    let guard = guard(Mode::Shed, 10, |_| {});
    let full = service_fn(|()| async { Ok::<_, Infallible>(retry(Class::Overload)) });
    let answer = GuardLayer::delivery(guard.clone()).layer(full).call(());
    guard.reconfigure(GuardOptions { adaptive: Some(adaptive), ..guard.options() }).unwrap();
    answer.await.unwrap();
    assert_eq!(guard.snapshot().adaptive.unwrap().limit, 10);
    assert_eq!(guard.snapshot().concurrency.used, 0);
}

fn retry(class: Class) -> Outcome {
    Outcome::Retry(Fault::new(class, "as told"))
}
