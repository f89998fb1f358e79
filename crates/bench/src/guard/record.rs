//! Record by record: as a tower layer around a service that does nothing, and as a plain call.

use super::batch::complete;
use super::guard;
use crate::asked::Asked;
use crate::compare::{BenchError, Better, Contender, Contest, Effort, timed};
use crate::go;
use crate::versions;
use seawall_guard::{GuardLayer, Refusal, Refuse, Verdict};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::process::Command;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

const RECORDS: u64 = 4_000_000;
/// High enough never to be met.
const PLENTY: u64 = 1 << 30;

pub(super) fn contests(effort: &Effort) -> Result<Vec<Contest>, BenchError> {
    let records = effort.scaled(RECORDS);
    let plain = guard()?;
    let called = Contender::new("guard, called", env!("CARGO_PKG_VERSION"), move || {
        let mut granted = 0;
        let ((), took) = timed(|| {
            for _ in 0..records {
                granted += u64::from(black_box(plain.try_enter()).is_ok());
            }
        });
        complete("guard", granted, records)?;
        Ok(took.as_nanos() as f64 / records as f64)
    });
    let behind = guard()?;
    let layered = round(records, || GuardLayer::new(behind, Count).layer(Nothing))?;
    let layered = Contender::new("guard, as a layer", env!("CARGO_PKG_VERSION"), layered);
    Ok(vec![
        Contest {
            name: "record by record, as a layer".to_owned(),
            unit: "ns/record",
            rounds: 11,
            better: Better::Lower,
            ours: layered,
            peers: vec![tower(records)?, go(records, effort)?],
        },
        Contest {
            name: "record by record, a call".to_owned(),
            unit: "ns/record",
            rounds: 11,
            better: Better::Lower,
            ours: called,
            peers: vec![tower(records)?, go(records, effort)?],
        },
    ])
}

/// tower's own: a permit, then a token of a fixed window.
fn tower(records: u64) -> Result<Contender, BenchError> {
    let measure = round(records, || {
        ServiceBuilder::new()
            .concurrency_limit(1_000_000)
            .rate_limit(PLENTY, Duration::from_secs(1))
            .service(Nothing)
    })?;
    Ok(Contender::new("tower rate_limit + concurrency_limit", versions::of_crate("tower"), measure).goal(2.0))
}

/// `Allow` of x/time/rate after `TryAcquire` of x/sync/semaphore, in a loop in one goroutine.
fn go(records: u64, effort: &Effort) -> Result<Contender, BenchError> {
    let mut peer = Asked::start(Command::new(go::build(&effort.dir, "go")?).args(["guard"]))?;
    let version = format!(
        "{} + {}, {}",
        versions::of_go_module("golang.org/x/time"),
        versions::of_go_module("golang.org/x/sync"),
        go::version()
    );
    Ok(Contender::new("Go x/time/rate + x/sync/semaphore", version, move || {
        let answer = peer.ask(&records.to_string())?;
        let (granted, ns) = answer.split_once(' ').unwrap_or(("0", "0"));
        complete("go", granted.parse().unwrap_or(0), records)?;
        let ns: f64 = ns.parse().map_err(BenchError::of("go peer"))?;
        Ok(ns / records as f64)
    })
    .goal(4.0))
}

/// A round of calls, one after the other, each made ready first as tower demands.
fn round<S>(
    records: u64,
    make: impl FnOnce() -> S,
) -> Result<impl FnMut() -> Result<f64, BenchError> + 'static, BenchError>
where
    S: Service<u64, Response = u64> + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(BenchError::io("a tokio runtime"))?;
    // tower's rate limit makes a timer, which wants a runtime around it.
    let mut service = {
        let _within = runtime.enter();
        make()
    };
    Ok(move || {
        let (granted, took) = timed(|| {
            // One runtime call a round; tokio's budget is yielded to in its own way by all alike.
            runtime.block_on(tokio::task::unconstrained(calls(&mut service, records)))
        });
        complete("tower service", granted.map_err(BenchError::of("tower service"))?, records)?;
        Ok(took.as_nanos() as f64 / records as f64)
    })
}

async fn calls<S: Service<u64, Response = u64>>(service: &mut S, records: u64) -> Result<u64, S::Error> {
    let mut granted = 0;
    for at in 0..records {
        granted += service.ready().await?.call(black_box(at)).await?;
    }
    Ok(granted)
}

/// Answers 1 at once.
#[derive(Clone)]
struct Nothing;

impl Service<u64> for Nothing {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, _: u64) -> Self::Future {
        ready(Ok(1))
    }
}

/// A refusal answers 0, so that it would show in the sum.
#[derive(Clone, Copy)]
struct Count;

impl Refuse<u64> for Count {
    fn refuse(&self, _: Refusal) -> u64 {
        0
    }

    fn judge(&self, _: &u64) -> Verdict {
        Verdict::Ok
    }
}
