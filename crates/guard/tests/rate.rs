//! The rate: never more than `rate × t + burst` over any window, whole or in batches, across reloads.
#![cfg(not(loom))]

mod manual;

use manual::ManualClock;
use proptest::prelude::*;
use seawall_core::{Class, Classify, Clock};
use seawall_guard::rate::Rate;
use seawall_guard::{ConcurrencyOptions, Guard, GuardOptions, LimitKind, RateOptions};
use std::time::Duration;

fn options(per_second: f64, burst: u32) -> GuardOptions {
    GuardOptions {
        rate: Some(RateOptions { per_second, burst }),
        concurrency: ConcurrencyOptions { limit: 1_000_000, waiting_max: 10 },
        ..GuardOptions::default()
    }
}

/// Every window that starts and ends at an admission holds at most `rate × t + burst`.
fn assert_bound(admitted: &[(u64, u32)], per_second: f64, burst: u32) {
    for (i, &(from, _)) in admitted.iter().enumerate() {
        let mut sum = 0u64;
        for &(to, count) in &admitted[i..] {
            sum += u64::from(count);
            let bound = per_second * (to - from) as f64 / 1e9 + f64::from(burst);
            assert!(sum as f64 <= bound + 1e-6, "{sum} admitted in {} ns, at most {bound}", to - from);
        }
    }
}

proptest! {
    #[test]
    fn never_admits_more_than_rate_and_burst_over_any_window(
        per_second in 1u32..5_000,
        burst in 1u32..400,
        steps in prop::collection::vec((0u64..30_000_000, 1u32..80), 1..150),
    ) {
        let clock = ManualClock::new();
        let guard = Guard::new(options(f64::from(per_second), burst), clock.clone(), 1).unwrap();
        let mut admitted = Vec::new();
        for (pause, wanted) in steps {
            clock.advance(Duration::from_nanos(pause));
            // One by one, with tokens taken ahead, or as a batch.
            let count = if wanted < 40 {
                (0..wanted).filter(|_| guard.try_enter().is_ok()).count() as u32
            } else {
                guard.try_enter_many(wanted).permits.count()
            };
            prop_assert!(count <= wanted);
            admitted.push((clock.now().0, count));
        }
        assert_bound(&admitted, f64::from(per_second), burst);
    }

    /// Nothing is refused that a bucket of exact arithmetic would admit (tokens are not lost on the way).
    #[test]
    fn admits_all_that_a_token_bucket_admits(
        period_us in 1u64..10_000,
        burst in 1u32..300,
        steps in prop::collection::vec((0u64..20_000_000, 1u32..40), 1..150),
    ) {
        let clock = ManualClock::new();
        let rate = RateOptions { per_second: 1e6 / period_us as f64, burst };
        let rate = Rate::new(rate, clock.clone()).unwrap();
        let period = (1e9 / rate.options().per_second).ceil() as u64;
        // Credit in nanoseconds, the model's whole state.
        let mut credit = u64::from(burst) * period;
        for (pause, wanted) in steps {
            clock.advance(Duration::from_nanos(pause));
            credit = (credit + pause).min(u64::from(burst) * period);
            let expected = u32::try_from(credit / period).unwrap().min(wanted);
            let got = rate.take(wanted);
            prop_assert_eq!(got.count, expected);
            credit -= u64::from(expected) * period;
            if expected == 0 {
                let next = got.next_at.expect("a refusal says when the next token comes");
                prop_assert_eq!(next.0 - clock.now().0, period - credit);
            }
        }
    }
}

#[test]
fn a_refusal_says_when_to_come_back_and_then_it_works() {
    let clock = ManualClock::new();
    let guard = Guard::new(options(10.0, 2), clock.clone(), 1).unwrap();
    assert_eq!(guard.try_enter_many(5).permits.count(), 2);
    let refusal = guard.try_acquire().unwrap_err();
    assert_eq!((refusal.limit, refusal.value), (LimitKind::Rate, 10.0));
    assert_eq!(refusal.class(), Class::Overload);
    assert_eq!(refusal.to_string(), "rate limit of 10/s reached; come back in 100ms");
    clock.advance(refusal.retry_after.unwrap());
    assert!(guard.try_acquire().is_ok());
    assert!(guard.try_acquire().is_err());
    assert_eq!(guard.snapshot().refusals.rate, 2);
}

#[test]
fn single_calls_spend_exactly_the_burst() {
    for burst in [1, 8, 15, 16, 100, 300] {
        let guard = Guard::new(options(1.0, burst), ManualClock::new(), 1).unwrap();
        let passed = (0..2 * burst).filter(|_| guard.try_enter().is_ok()).count();
        assert_eq!(passed, burst as usize, "burst {burst}");
    }
}

#[test]
fn a_reload_gives_nobody_a_fresh_burst() {
    let clock = ManualClock::new();
    let guard = Guard::new(options(1.0, 100), clock.clone(), 1).unwrap();
    assert_eq!(guard.try_enter_many(60).permits.count(), 60);
    guard.reconfigure(options(2.0, 200)).unwrap();
    assert_eq!(guard.try_enter_many(500).permits.count(), 40);
    guard.reconfigure(options(1.0, 100)).unwrap();
    assert_eq!(guard.try_enter_many(500).permits.count(), 0);
    guard.reconfigure(GuardOptions { rate: None, ..options(1.0, 1) }).unwrap();
    assert_eq!(guard.try_enter_many(500).permits.count(), 500);
    assert!((0..500).all(|_| guard.try_enter().is_ok()));
}
