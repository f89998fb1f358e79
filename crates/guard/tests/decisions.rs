//! Breaker, retry budget, backoff and options: the pure decisions, against their invariants.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use proptest::prelude::*;
use seawall_core::Nanos;
use seawall_guard::breaker::Breaker;
use seawall_guard::{
    AdaptiveOptions, Backoff, BreakerOptions, BreakerState, ConcurrencyOptions, GuardError, GuardOptions,
    Jitter, Mode, RateOptions, RetryBudget, RetryBudgetOptions,
};
use std::time::Duration;

fn at(ms: u64) -> Nanos {
    Nanos(ms * 1_000_000)
}

fn breaker() -> Breaker {
    let options = BreakerOptions { calls_min: 4, jitter: 0.0, probes: 2, ..BreakerOptions::default() };
    Breaker::new(options, 7).unwrap()
}

fn trip(breaker: &mut Breaker, now: Nanos) {
    for _ in 0..4 {
        let pass = breaker.allow(now).unwrap();
        breaker.on_result(now, pass, false);
    }
    assert_eq!(breaker.state(now), BreakerState::Open);
}

#[test]
fn opens_only_after_enough_calls_and_closes_by_probes() {
    let mut breaker = breaker();
    let late = breaker.allow(at(0)).unwrap();
    for _ in 0..3 {
        let pass = breaker.allow(at(0)).unwrap();
        breaker.on_result(at(0), pass, false);
    }
    assert_eq!(breaker.state(at(0)), BreakerState::Closed);
    let pass = breaker.allow(at(0)).unwrap();
    breaker.on_result(at(0), pass, false);
    assert_eq!(breaker.allow(at(1000)), Err(Duration::from_secs(4)));
    let (first, second) = (breaker.allow(at(5000)).unwrap(), breaker.allow(at(5000)).unwrap());
    assert!(first.is_probe() && breaker.allow(at(5000)).is_err());
    // A straggler of the outage says nothing of the service now.
    breaker.on_result(at(5001), late, false);
    assert_eq!(breaker.state(at(5001)), BreakerState::HalfOpen);
    breaker.on_result(at(5002), first, true);
    breaker.on_result(at(5002), second, true);
    assert_eq!(breaker.state(at(5002)), BreakerState::Closed);
    assert_eq!((breaker.opens(), breaker.failure_ratio(at(5002))), (1, 0.0));
}

#[test]
fn a_failed_probe_opens_again_and_an_abandoned_one_gives_its_place_back() {
    let mut breaker = breaker();
    trip(&mut breaker, at(0));
    for _ in 0..10 {
        let pass = breaker.allow(at(5000)).unwrap();
        breaker.on_abandoned(pass);
    }
    let pass = breaker.allow(at(5000)).unwrap();
    breaker.on_result(at(5000), pass, false);
    assert_eq!((breaker.state(at(5000)), breaker.opens()), (BreakerState::Open, 2));
}

#[test]
fn an_open_breaker_is_open_for_as_long_as_it_is_told_meanwhile() {
    let options = BreakerOptions { calls_min: 4, jitter: 1.0, probes: 2, ..BreakerOptions::default() };
    let mut breaker = Breaker::new(options, 7).unwrap();
    trip(&mut breaker, at(1_000));
    let drawn = breaker.open_until().unwrap().since(at(1_000));
    assert!(drawn > options.open_for);
    for (open_for, share) in [(10, 0.002), (10, 0.002), (20_000, 4.0)] {
        let open_for = Duration::from_millis(open_for);
        breaker.reconfigure(BreakerOptions { open_for, failure_ratio: 0.1, ..options }).unwrap();
        let left = breaker.open_until().unwrap().since(at(1_000));
        assert!(left.abs_diff(drawn.mul_f64(share)) < Duration::from_micros(10), "{left:?} of {drawn:?}");
    }
}

#[test]
fn fewer_probes_than_have_succeeded_close_it() {
    let mut breaker = breaker();
    let with = |probes| BreakerOptions { calls_min: 4, jitter: 0.0, probes, ..BreakerOptions::default() };
    trip(&mut breaker, at(0));
    let probe = breaker.allow(at(5000)).unwrap();
    breaker.on_result(at(5000), probe, true);
    breaker.reconfigure(with(3)).unwrap();
    assert_eq!(breaker.state(at(5000)), BreakerState::HalfOpen);
    breaker.reconfigure(with(1)).unwrap();
    assert!(!breaker.allow(at(5001)).unwrap().is_probe());
    assert_eq!((breaker.opens(), breaker.failure_ratio(at(5001))), (1, 0.0), "what opened it is over");
}

#[test]
fn the_window_forgets() {
    let mut breaker = breaker();
    for _ in 0..3 {
        let pass = breaker.allow(at(0)).unwrap();
        breaker.on_result(at(0), pass, false);
    }
    let pass = breaker.allow(at(11_000)).unwrap();
    breaker.on_result(at(11_000), pass, false);
    assert_eq!(breaker.state(at(11_000)), BreakerState::Closed);
}

proptest! {
    #[test]
    fn half_open_never_has_more_than_its_probes_out(
        probes in 1u32..6,
        steps in prop::collection::vec((0u64..2_000, 0u8..6), 1..300),
    ) {
        let options = BreakerOptions { calls_min: 2, probes, open_for: Duration::from_secs(1), ..BreakerOptions::default() };
        let mut breaker = Breaker::new(options, 3).unwrap();
        let (mut now, mut out) = (0, Vec::new());
        for (pause, step) in steps {
            now += pause;
            let time = at(now);
            match (step, out.pop()) {
                (0..3, last) => {
                    out.extend(last);
                    let state = breaker.state(time);
                    match breaker.allow(time) {
                        Ok(pass) => {
                            prop_assert!(state != BreakerState::Open);
                            prop_assert_eq!(pass.is_probe(), state == BreakerState::HalfOpen);
                            out.push(pass);
                        }
                        Err(wait) => prop_assert!(state != BreakerState::Closed && !wait.is_zero()),
                    }
                    if state == BreakerState::HalfOpen {
                        let epoch = breaker.epoch();
                        // Only the probes of this half-open state count against its bound.
                        let probing = out.iter().filter(|p| p.is_probe() && format!("{p:?}").contains(&format!("epoch: {epoch},")));
                        prop_assert!(probing.count() <= probes as usize);
                    }
                }
                (3, Some(pass)) => breaker.on_result(time, pass, true),
                (4, Some(pass)) => breaker.on_result(time, pass, false),
                (_, Some(pass)) => breaker.on_abandoned(pass),
                (_, None) => {}
            }
            let ratio = breaker.failure_ratio(time);
            prop_assert!((0.0..=1.0).contains(&ratio));
        }
        // Never stuck: when all is back and time passes, calls pass again.
        for pass in out.drain(..) { breaker.on_abandoned(pass); }
        prop_assert!(breaker.allow(at(now + 3_600_000)).is_ok());
    }

    #[test]
    fn retries_stay_within_the_budget_over_every_window(
        ratio in 0u32..3,
        per_second_min in 0u32..5,
        steps in prop::collection::vec((0u64..900, any::<bool>()), 1..400),
    ) {
        let options = RetryBudgetOptions { ratio: f64::from(ratio) / 2.0, per_second_min, window: Duration::from_secs(5) };
        let mut budget = RetryBudget::new(options).unwrap();
        let mut now = 0;
        let mut events = Vec::new();
        for (pause, success) in steps {
            now += pause;
            let retried = !success && budget.withdraw(at(now));
            if success {
                budget.deposit(at(now));
            }
            if success || retried {
                events.push((now, success));
            }
            let reserve = f64::from(per_second_min) * 5.0;
            let young = |age: u64| events.iter().filter(move |(t, _)| now - *t < age);
            // What is surely remembered is at least nine tenths of the window, and at most all of it.
            let retries = young(4_500).filter(|(_, s)| !s).count() as f64;
            let paid = young(5_000).filter(|(_, s)| *s).count() as f64 * options.ratio;
            // Judged where a retry was allowed: deposits may be forgotten before what they paid for.
            prop_assert!(!retried || retries <= reserve + paid, "{} retries, {} + {}", retries, reserve, paid);
            prop_assert!(budget.balance(at(now)) as f64 <= reserve + paid);
        }
    }

    #[test]
    fn backoff_grows_to_its_cap_and_jitter_stays_inside(attempt in 1u32..5_000, seed: u64) {
        let full = Backoff { jitter: Jitter::Full, ..Backoff::default() };
        let equal = Backoff::default();
        let whole = full.ceiling(attempt);
        prop_assert!(whole <= Duration::from_secs(5) && whole >= full.ceiling(attempt - 1).min(whole));
        prop_assert!(full.delay(attempt, seed) <= whole);
        prop_assert!(equal.delay(attempt, seed) <= whole && equal.delay(attempt, seed) >= whole / 2);
        prop_assert_eq!(equal.delay(attempt, seed), equal.delay(attempt, seed));
    }
}

#[test]
fn backoff_doubles_from_100_ms_to_5_s() {
    let exact = Backoff { jitter: Jitter::None, ..Backoff::default() };
    let ms: Vec<u128> = (1..=8).map(|attempt| exact.delay(attempt, 0).as_millis()).collect();
    assert_eq!(ms, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
}

#[test]
fn bad_options_are_refused_by_name() {
    let good = GuardOptions::default;
    let rate = |per_second, burst| GuardOptions { rate: Some(RateOptions { per_second, burst }), ..good() };
    let adaptive = |min, max, initial| GuardOptions {
        adaptive: Some(AdaptiveOptions { min, max, initial, ..AdaptiveOptions::default() }),
        ..good()
    };
    let breaker = |failure_ratio| GuardOptions {
        breaker: Some(BreakerOptions { failure_ratio, ..BreakerOptions::default() }),
        ..good()
    };
    let cases = [
        (rate(0.0, 1), "rate.per_second = 0: must be between"),
        (rate(f64::NAN, 1), "rate.per_second = NaN: must be"),
        (rate(1.0, 0), "rate.burst = 0: must be between 1 and"),
        (
            GuardOptions { concurrency: ConcurrencyOptions { limit: 0, waiting_max: 1 }, ..good() },
            "concurrency.limit = 0: must be between 1 and 1000000",
        ),
        (
            GuardOptions { mode: Mode::Wait { max: Duration::ZERO }, ..good() },
            "mode.wait.max = 0ns: must be above 0",
        ),
        (adaptive(9, 3, 3), "adaptive.max = 3: must be between adaptive.min (9) and concurrency.limit (500)"),
        (adaptive(1, 501, 3), "adaptive.max = 501: must be between"),
        (adaptive(5, 10, 3), "adaptive.initial = 3: must be between"),
        (breaker(0.0), "breaker.failure_ratio = 0: must be above 0"),
        (breaker(f64::NAN), "breaker.failure_ratio = NaN: must be above 0"),
    ];
    for (options, text) in cases {
        let error: GuardError = options.check().unwrap_err();
        assert!(error.to_string().starts_with(text), "{error} should start with {text}");
    }
    assert!(good().check().is_ok());
}
