//! What a record pays for a guard: `cargo run --release -p seawall-guard --example guard_cost`.
//!
//! One thread, limits never reached, against tower's own rate and concurrency limits (unshared, which is
//! their fast case). Each figure is the best of 7 rounds: the machine's noise only ever adds.

use seawall_core::{Clock, SystemClock};
use seawall_guard::{
    BreakerOptions, ConcurrencyOptions, Guard, GuardLayer, GuardOptions, Mode, RateOptions, Refusal, Refuse,
    TscClock, Verdict,
};
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tower::{Layer, Service};

const RECORDS: u32 = 3_200_000;
const BURST: u32 = 1_000_000;

#[expect(clippy::print_stdout, reason = "an example's figures are its output")]
fn best(name: &str, mut round: impl FnMut()) {
    let clock = SystemClock::new();
    let ns = (0..7).map(|_| {
        let start = clock.now();
        round();
        clock.now().since(start).as_nanos() as f64 / f64::from(RECORDS)
    });
    println!("{name:<44} {:>7.2} ns/record", ns.fold(f64::INFINITY, f64::min));
}

fn guard(clock: Arc<dyn Clock>) -> Guard {
    let options = GuardOptions {
        rate: Some(RateOptions { per_second: 10_000_000.0, burst: BURST }),
        concurrency: ConcurrencyOptions { limit: 1024, waiting_max: 1024 },
        ..GuardOptions::default()
    };
    Guard::new(options, clock, 1).expect("options are in range")
}

fn rounds(name: &str, clock: &Arc<dyn Clock>, mut round: impl FnMut(&Guard) -> u32) {
    best(name, || {
        let mut done = 0;
        while done < RECORDS {
            // A fresh guard before its burst is spent: what is measured is an admission, not the limit.
            let guard = guard(Arc::clone(clock));
            let end = (done + BURST / 2).min(RECORDS);
            while done < end {
                done += round(&guard);
            }
        }
    });
}

#[derive(Clone)]
struct Noop;

impl Service<u32> for Noop {
    type Response = u32;
    type Error = std::convert::Infallible;
    type Future = Ready<Result<u32, Self::Error>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: u32) -> Self::Future {
        ready(Ok(request))
    }
}

/// Answers nothing: a refusal would fail the round.
#[derive(Clone)]
struct Never;

impl Refuse<u32> for Never {
    fn refuse(&self, refusal: Refusal) -> u32 {
        unreachable!("refused within the burst: {refusal}")
    }
    fn judge(&self, _: &u32) -> Verdict {
        Verdict::Ok
    }
}

/// Whole calls, made ready first as tower demands.
fn drive(service: &mut impl Service<u32>, calls: u32) {
    let mut cx = Context::from_waker(Waker::noop());
    for record in 0..calls {
        assert!(service.poll_ready(&mut cx).is_ready());
        assert!(pin!(service.call(black_box(record))).as_mut().poll(&mut cx).is_ready());
    }
}

fn layered(name: &str, clock: &Arc<dyn Clock>, change: impl Fn(&mut GuardOptions)) {
    best(name, || {
        let mut done = 0;
        while done < RECORDS {
            let calls = (BURST / 2).min(RECORDS - done);
            let guard = guard(Arc::clone(clock));
            let mut options = guard.options();
            change(&mut options);
            guard.reconfigure(options).expect("options are in range");
            drive(&mut GuardLayer::new(guard, Never).layer(Noop), calls);
            done += calls;
        }
    });
}

fn tower_unshared() {
    let limit = tower::limit::RateLimitLayer::new(u64::MAX, Duration::from_hours(1));
    let mut service = tower::limit::ConcurrencyLimitLayer::new(1024).layer(limit.layer(Noop));
    drive(&mut service, RECORDS);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _in_runtime = runtime.enter();
    let tsc: Arc<dyn Clock> = Arc::new(TscClock::new());
    let system: Arc<dyn Clock> = Arc::new(SystemClock::new());
    best("clock: TscClock", || {
        (0..RECORDS).for_each(|_| {
            black_box(tsc.now());
        });
    });
    best("clock: SystemClock", || {
        (0..RECORDS).for_each(|_| {
            black_box(system.now());
        });
    });
    rounds("guard, batches of 32, borrowed", &tsc, |g| black_box(g.try_enter_many(32)).permits.count());
    rounds("guard, batches of 32, owned", &tsc, |g| black_box(g.try_acquire_many(32)).permits.count());
    rounds("guard, batches of 32, SystemClock", &system, |g| black_box(g.try_enter_many(32)).permits.count());
    rounds("guard, per record, borrowed", &tsc, |g| u32::from(black_box(g.try_enter()).is_ok()));
    rounds("guard, per record, owned", &tsc, |g| u32::from(black_box(g.try_acquire()).is_ok()));
    rounds("guard, per record, SystemClock", &system, |g| u32::from(black_box(g.try_enter()).is_ok()));
    let waits = Mode::Wait { max: Duration::from_secs(1) };
    layered("guard, as a layer", &tsc, |_| {});
    layered("guard, as a layer, wait mode", &tsc, |o| o.mode = waits);
    layered("guard, as a layer, with a breaker", &tsc, |o| o.breaker = Some(BreakerOptions::default()));
    best("tower RateLimit + ConcurrencyLimit, unshared", tower_unshared);
}
