//! A service that is gone for a while, behind a guard with a breaker.

use crate::stage::broker::Broker;
use crate::stage::{Stage, keyed, options, orders};
use crate::{ms, transient};
use seawall_core::handler::HandlerFn;
use seawall_core::{Delivery, Outcome};
use seawall_guard::{BreakerOptions, BreakerState, GuardOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::Instant;

fn breaker(open_for: u64) -> BreakerOptions {
    let open_for = Duration::from_secs(open_for);
    BreakerOptions { calls_min: 4, probes: 2, jitter: 0.0, open_for, ..BreakerOptions::default() }
}

fn produce(broker: &Broker, count: u32) {
    let first = broker.state().topics.get(&orders()).map_or(0, |topic| topic.end);
    for n in first..first + u64::from(count) {
        broker.produce(&orders(), keyed(format!("k{n}"), "v"));
    }
}

fn set_breaker(stage: &Stage, breaker: Option<BreakerOptions>) {
    stage.guard.reconfigure(GuardOptions { breaker, ..stage.guard.options() }).expect("options are right");
}

fn state(stage: &Stage) -> Option<BreakerState> {
    stage.guard.snapshot().breaker.map(|breaker| breaker.state)
}

/// A hundred keys, and a service that answers after 10 ms and fails for `down` seconds, behind a breaker that is open
/// for a minute. The fetch loop looks by itself every ten seconds only.
fn start(down: u64) -> Stage {
    let broker = Broker::default();
    produce(&broker, 100);
    let began = Instant::now();
    let handler = HandlerFn(move |_: Delivery| async move {
        ms(10).await;
        let up = began.elapsed() >= Duration::from_secs(down);
        if up { Outcome::Ack } else { Outcome::Retry(transient()) }
    });
    let mut options = options();
    (options.fetch.wait, options.commit.interval) = (Duration::from_secs(10), Duration::from_secs(10));
    let stage = Stage::start(options, &broker, handler);
    set_breaker(&stage, Some(breaker(60)));
    broker.assign(&orders());
    stage
}

#[tokio::test(start_paused = true)]
async fn what_waited_goes_on_as_soon_as_the_probes_have_closed_the_breaker() {
    let stage = start(30);
    let began = Instant::now();
    ms(10_000).await;
    produce(&stage.broker, 100);
    ms(20_000).await;
    let fetched = stage.running.snapshot().totals.fetched;
    assert_eq!(
        (state(&stage), fetched),
        (Some(BreakerState::Open), 100),
        "nothing is fetched that nobody may start"
    );
    stage.until_done().await;
    assert_eq!(stage.running.snapshot().totals.acked, 200);
    assert!(began.elapsed() < Duration::from_secs(65), "{:?}", began.elapsed());
}

/// Where nothing is known but that others find out, the workers look again at a measured pace.
#[tokio::test(start_paused = true)]
async fn nobody_spins_while_the_probes_are_out() {
    let broker = Broker::default();
    produce(&broker, 100);
    let calls = Arc::new(AtomicU64::new(0));
    let handler = HandlerFn({
        let calls = Arc::clone(&calls);
        move |_: Delivery| {
            let probe = calls.fetch_add(1, SeqCst) >= 100;
            async move {
                ms(if probe { 20_000 } else { 10 }).await;
                Outcome::Retry(transient())
            }
        }
    });
    let stage = Stage::start(options(), &broker, handler);
    set_breaker(&stage, Some(breaker(60)));
    broker.assign(&orders());
    stage.until("probed", |_| state(&stage) == Some(BreakerState::HalfOpen)).await;
    ms(1_000).await;
    let before = stage.running.snapshot().totals.refused;
    ms(1_000).await;
    let asked = stage.running.snapshot().totals.refused - before;
    assert_eq!((calls.load(SeqCst), state(&stage)), (102, Some(BreakerState::HalfOpen)));
    assert!((100..=410).contains(&asked), "two workers, 5 ms: {asked}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_at_once_when_its_breaker_is_taken_away() {
    let stage = start(1);
    ms(10_000).await;
    assert_eq!(state(&stage), Some(BreakerState::Open));
    produce(&stage.broker, 100);
    set_breaker(&stage, None);
    stage.running.set_limits(stage.running.limits()).expect("the same");
    let changed = Instant::now();
    stage.until_done().await;
    assert_eq!(stage.running.snapshot().totals.acked, 200);
    assert!(changed.elapsed() < Duration::from_secs(1), "{:?}", changed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_as_short_as_its_breaker_is_told_meanwhile() {
    let stage = start(1);
    ms(10_000).await;
    set_breaker(&stage, Some(breaker(15)));
    stage.running.set_limits(stage.running.limits()).expect("the same");
    ms(4_500).await;
    assert_eq!((state(&stage), stage.running.snapshot().totals.acked), (Some(BreakerState::Open), 0));
    produce(&stage.broker, 100);
    let changed = Instant::now();
    stage.until_done().await;
    assert!(changed.elapsed() < Duration::from_secs(2), "{:?}", changed.elapsed());
}
