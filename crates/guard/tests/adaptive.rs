//! The adaptive limit in a small simulation: a service whose latency grows with what is in flight.
#![cfg(not(loom))]

use proptest::prelude::*;
use seawall_core::Nanos;
use seawall_guard::AdaptiveOptions;
use seawall_guard::adaptive::Adaptive;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

const BASE_NS: u64 = 10_000_000;

fn options() -> AdaptiveOptions {
    AdaptiveOptions { min: 2, max: 500, initial: 20, probe_every: 50, ..AdaptiveOptions::default() }
}

/// Runs a saturated client for `calls` calls; the answer is the limit averaged over the last quarter.
fn saturate(adaptive: &mut Adaptive, knee: u32, calls: u32, now: &mut u64) -> f64 {
    saturate_refused(adaptive, knee, calls, now, |_, _| false)
}

/// The same, of a service that refuses what `refuses` says, given what is in flight.
fn saturate_refused(
    adaptive: &mut Adaptive,
    knee: u32,
    calls: u32,
    now: &mut u64,
    refuses: impl Fn(&mut fastrand::Rng, u32) -> bool,
) -> f64 {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut out: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
    let (mut sum, mut counted) = (0.0, 0.0);
    for call in 0..calls {
        while out.len() < adaptive.limit() as usize {
            let load = f64::max(1.0, (out.len() + 1) as f64 / f64::from(knee));
            let rtt = (BASE_NS as f64 * load * (0.9 + 0.2 * rng.f64())) as u64;
            out.push(Reverse((*now + rtt, rtt)));
        }
        if let Some(Reverse((end, rtt))) = out.pop() {
            *now = (*now).max(end);
            let in_flight = out.len() as u32 + 1;
            let refused = refuses(&mut rng, in_flight);
            adaptive.on_sample(Nanos(*now), Duration::from_nanos(rtt), in_flight, refused);
        }
        if call > calls / 4 * 3 {
            sum += f64::from(adaptive.limit());
            counted += 1.0;
        }
    }
    sum / counted
}

#[test]
fn converges_near_the_knee_from_below_and_follows_it_down_and_up() {
    let mut adaptive = Adaptive::new(options(), 500).unwrap();
    let mut now = 0;
    for knee in [100, 40, 160] {
        let limit = saturate(&mut adaptive, knee, 200_000, &mut now);
        let ratio = limit / f64::from(knee);
        assert!((0.9..2.2).contains(&ratio), "knee {knee}: limit {limit}");
    }
}

/// A few refusals by chance are no sign of load: with every one of them believed in full, the limit sank to its
/// minimum from 5 % on, and to half at 3 %.
#[test]
fn bears_refusals_that_have_nothing_to_do_with_the_load() {
    for knee in [40, 100, 500] {
        let calm = saturate(&mut Adaptive::new(options(), 500).unwrap(), knee, 200_000, &mut 0);
        for refused in [0.01, 0.03, 0.05] {
            let mut adaptive = Adaptive::new(options(), 500).unwrap();
            let limit = saturate_refused(&mut adaptive, knee, 200_000, &mut 0, |rng, _| rng.f64() < refused);
            assert!(limit > calm * 0.6, "knee {knee}, {refused} refused: {limit} of {calm}");
        }
    }
}

#[test]
fn a_service_that_refuses_what_it_cannot_take_sets_the_limit() {
    for room in [20, 60, 200] {
        let mut adaptive = Adaptive::new(options(), 500).unwrap();
        // As fast as ever, and refusing the share that is too much.
        let limit = saturate_refused(&mut adaptive, 1_000, 200_000, &mut 0, |rng, in_flight| {
            rng.f64() * f64::from(in_flight) > f64::from(room)
        });
        let ratio = limit / f64::from(room);
        assert!((0.7..1.4).contains(&ratio), "room {room}: limit {limit}");
    }
}

#[test]
fn sinks_to_its_minimum_when_everything_is_refused() {
    let mut adaptive = Adaptive::new(options(), 500).unwrap();
    let mut now = 0;
    saturate(&mut adaptive, 400, 100_000, &mut now);
    assert!(adaptive.limit() > 100);
    saturate_refused(&mut adaptive, 400, 20_000, &mut now, |_, _| true);
    assert_eq!(adaptive.limit(), 2);
}

#[test]
fn does_not_grow_while_nobody_reaches_it() {
    let mut adaptive = Adaptive::new(options(), 500).unwrap();
    for call in 0..10_000 {
        adaptive.on_sample(Nanos(call * BASE_NS), Duration::from_nanos(BASE_NS), 1, false);
    }
    assert!(adaptive.limit() <= 20, "{}", adaptive.limit());
}

#[test]
fn believes_overload_answers_once_a_round_trip() {
    let mut adaptive = Adaptive::new(AdaptiveOptions { initial: 100, ..options() }, 500).unwrap();
    let rtt = Duration::from_nanos(BASE_NS);
    for _ in 0..50 {
        adaptive.on_sample(Nanos(BASE_NS), rtt, 100, true);
    }
    assert_eq!(adaptive.limit(), 90);
    adaptive.on_sample(Nanos(3 * BASE_NS), rtt, 90, true);
    assert_eq!(adaptive.limit(), 81);
}

proptest! {
    #[test]
    fn stays_within_its_bounds_whatever_it_is_told(
        min in 1u32..50,
        span in 0u32..100,
        samples in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u32>(), any::<bool>()), 1..500),
    ) {
        let max = min + span;
        let options = AdaptiveOptions { min, max, initial: min, window_samples: 2, probe_every: 10, ..options() };
        let mut adaptive = Adaptive::new(options, 1_000).unwrap();
        for (now, rtt, in_flight, overloaded) in samples {
            adaptive.on_sample(Nanos(now), Duration::from_nanos(rtt), in_flight % 1_000, overloaded);
            prop_assert!((min..=max).contains(&adaptive.limit()));
        }
    }
}
