//! A recoverable producer, as the dashboard and scripts read it.

use crate::recoverable::Recoverable;
use seawall_producer::{Event, Happening, Path, SinkSnapshot};
use serde_json::{Value, json};

/// One producer, as `GET /v1/producers` lists it.
pub fn producer(producer: &Recoverable) -> Value {
    let snapshot = producer.snapshot();
    json!({
        "name": producer.name(),
        "use": producer.serves().as_str(),
        "durability": producer.asked().as_str(),
        "state": snapshot.state.as_str(),
        "active": snapshot.sinks.get(snapshot.active).map(|sink| &*sink.name),
        "sinks": snapshot.sinks.iter().map(sink).collect::<Vec<_>>(),
        "memory": {
            "bytes": snapshot.memory_bytes,
            "bytes_max": snapshot.memory_bytes_max,
            "records": snapshot.memory_records,
        },
        "spill": {
            "dir": producer.dir().display().to_string(),
            "bytes": snapshot.spill_bytes,
            "bytes_max": snapshot.spill_bytes_max,
            "waiting_records": snapshot.backlog_records,
            "waiting_bytes": snapshot.backlog_bytes,
            "refused_records": snapshot.refused_kept,
            "trouble": snapshot.spill_trouble,
        },
        "replay": {
            "delivered": snapshot.replayed_records,
            "left_s": snapshot.replay_left.map(|left| left.as_secs_f64()),
        },
        "totals": {
            "switches": snapshot.switches,
            "full": snapshot.full,
            "timed_out": snapshot.timed_out,
            "refused": snapshot.refused_records,
            "unkept": producer.unkept(),
        },
        "events": snapshot.events.iter().map(event).collect::<Vec<_>>(),
    })
}

fn sink(sink: &SinkSnapshot) -> Value {
    let records = Path::ALL.into_iter().zip(sink.records).map(|(path, count)| (path.as_str(), count));
    json!({
        "name": &*sink.name,
        "breaker": sink.breaker.as_str(),
        "records": records.collect::<std::collections::BTreeMap<_, _>>(),
    })
}

fn event(event: &Event) -> Value {
    let (kind, mut told) = match &event.what {
        Happening::State { from, to } => ("state", json!({ "from": from.as_str(), "to": to.as_str() })),
        Happening::Switched { from, to } => ("switched", json!({ "from": &**from, "to": &**to })),
        Happening::SpillTrouble { why } => ("spill_trouble", json!({ "why": why })),
        Happening::Refused { records, why } => ("refused", json!({ "records": records, "why": why })),
    };
    told["at_ms"] = json!(event.at.0);
    told["what"] = json!(kind);
    told
}
