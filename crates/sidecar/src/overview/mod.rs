//! Everything at one moment, as the dashboard and scripts read it. Field names stay.

mod producers;
mod stalls;

pub use producers::producer;

use crate::ingest::{Counts, Refused};
use crate::pipeline::{Membership, Pipeline};
use crate::recoverable::Recoverable;
use seawall_consumer::{Percentiles, Snapshot, State};
use seawall_guard::{GuardSnapshot, LimitKind};
use serde_json::{Value, json};
use std::time::Duration;

/// The process at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Since the start.
    pub uptime: Duration,
    /// Panics, in handlers and elsewhere.
    pub panics_outside: u64,
}

/// The whole of it, as `GET /v1/overview` answers.
pub fn overview(moment: Moment, pipelines: &[Pipeline], producers: &[Recoverable], ingest: &Counts) -> Value {
    let snapshots: Vec<Snapshot> = pipelines.iter().map(Pipeline::snapshot).collect();
    let panics: u64 = snapshots.iter().map(|snapshot| snapshot.totals.panics).sum();
    let shown: Vec<Value> = pipelines.iter().zip(&snapshots).map(|(p, s)| pipeline(p, s)).collect();
    json!({
        "at_ms": moment.at_ms,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": moment.uptime.as_secs(),
        "panics_total": moment.panics_outside + panics,
        "pipelines": shown,
        "producers": producers.iter().map(producer).collect::<Vec<_>>(),
        "ingest": {
            "accepted": ingest.accepted(),
            "refused": Refused::ALL.iter().map(|why| (why.as_str(), ingest.refused(*why))).collect::<std::collections::BTreeMap<_, _>>(),
        },
    })
}

/// One pipeline, as `GET /v1/pipelines/{name}` answers.
pub fn pipeline(pipeline: &Pipeline, snapshot: &Snapshot) -> Value {
    let (state, fault) = pipeline.state(snapshot);
    let totals = &snapshot.totals;
    json!({
        "name": pipeline.name(),
        "source": pipeline.source(),
        "member": pipeline.membership().map(|membership| member(membership, &snapshot.state)),
        "topics": pipeline.topics(),
        "group": pipeline.group(),
        "ordering": pipeline.ordering().as_str(),
        "state": state,
        "fault": fault,
        "target": pipeline.target(),
        "totals": {
            "fetched": totals.fetched,
            "acked": totals.acked,
            "retried": totals.retried,
            "dead_lettered": totals.dead_lettered,
            "deferred": totals.deferred,
            "refused": totals.refused,
            "panics": totals.panics,
            "duplicates": totals.duplicates,
            "timeouts": totals.timeouts,
        },
        "in_flight": snapshot.in_flight,
        "lanes": {
            "ready": snapshot.lanes.ready,
            "busy": snapshot.lanes.busy,
            "parked": snapshot.lanes.parked,
            "overflowed": snapshot.lanes.overflowed,
        },
        "latency_seconds": latency(&snapshot.latency),
        "queue": {
            "records": snapshot.queue.records,
            "bytes": snapshot.queue.bytes,
            "records_max": snapshot.queue.records_max,
            "bytes_max": snapshot.queue.bytes_max,
        },
        "guard": guard(pipeline, snapshot, &pipeline.guard().snapshot()),
        "partitions": partitions(snapshot),
        "stalls": snapshot.stalls.iter().map(stalls::stall).collect::<Vec<_>>(),
        "dead_letters": { "topic": pipeline.letters().topic(), "count": pipeline.letters().count() },
        "claims": pipeline.claims().map(|(store, stats)| json!({
            "store": store.as_str(),
            "claimed": stats.claimed,
            "done": stats.done,
            "granted": stats.granted_total,
            "held": stats.held_total,
            "duplicates": stats.done_total,
            "fenced": stats.fenced_total,
        })),
    })
}

fn member(membership: &Membership, state: &State) -> Value {
    let left = matches!(state, State::Stopped | State::Failed(_));
    json!({
        "client_id": membership.settings.client_id,
        "instance_id": membership.settings.instance_id,
        "joined": !left && membership.joining.reason().is_none(),
    })
}

/// Null where nothing was measured yet.
fn latency(percentiles: &Percentiles) -> Value {
    let seconds = |duration: Duration| (percentiles.count > 0).then_some(duration.as_secs_f64());
    json!({
        "p50": seconds(percentiles.p50),
        "p90": seconds(percentiles.p90),
        "p99": seconds(percentiles.p99),
        "max": seconds(percentiles.max),
    })
}

fn guard(pipeline: &Pipeline, snapshot: &Snapshot, guard: &GuardSnapshot) -> Value {
    json!({
        "mode": pipeline.limits().guard.mode.as_str(),
        "rate": guard.rate.map(|rate| json!({ "per_second": rate.per_second, "burst": rate.burst })),
        "concurrency": {
            "limit": guard.concurrency.limit,
            "used": guard.concurrency.used,
            // Deliveries wait in their lanes, and not in the guard's own line.
            "waiting": snapshot.lanes.ready,
        },
        "adaptive": guard.adaptive.map(|a| json!({ "limit": a.limit, "min": a.min, "max": a.max })),
        "breaker": guard.breaker.map(|breaker| json!({
            "state": breaker.state.as_str(),
            "failure_ratio": breaker.failure_ratio,
            "opens": breaker.opens,
        })),
        "refusals": LimitKind::ALL.iter().map(|kind| (kind.as_str(), guard.refusals.of(*kind))).collect::<std::collections::BTreeMap<_, _>>(),
    })
}

fn partitions(snapshot: &Snapshot) -> Vec<Value> {
    let partition = |p: &seawall_consumer::stats::PartitionSnapshot| {
        json!({
            "topic": &*p.partition.topic,
            "partition": p.partition.partition,
            "generation": p.generation.0,
            "paused": p.paused_by_request,
            "watermark": p.watermark,
            "next": p.next,
            "end": p.end,
            "lag": p.lag,
            "in_flight": p.in_flight,
            "parked": p.parked,
            "parked_keys": p.parked_keys,
            "ledger": {
                "fetched": p.ledger.fetched,
                "acked": p.ledger.acked,
                "dead_lettered": p.ledger.dead_lettered,
                "deferred": p.ledger.deferred,
                "parked": p.ledger.parked,
                "in_flight": p.ledger.in_flight,
                "imbalance": p.ledger.imbalance(),
            },
        })
    };
    snapshot.partitions.iter().map(partition).collect()
}
