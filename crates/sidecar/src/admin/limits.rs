//! A pipeline's limits, as one JSON document: read whole, changed by merge patch (RFC 7396).

use super::answer::{Answered, body, find, unprocessable};
use super::routes::State as Parts;
use crate::config::{self, Breaker, Concurrency, Guard, Mode, Period, RatePerSecond, Retry, check_limits};
use crate::pipeline::Limits;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The limits on the wire: the same fields as the guard in the overview, with what can be set.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    mode: Mode,
    max_wait: Period,
    rate: Option<Rate>,
    concurrency: Concurrent,
    adaptive: Option<config::Adaptive>,
    breaker: Option<Breaker>,
    retry: Retry,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    per_second: RatePerSecond,
    burst: Option<RatePerSecond>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Concurrent {
    limit: Concurrency,
}

impl From<Limits> for Document {
    fn from(Limits { guard, retry }: Limits) -> Self {
        Self {
            mode: guard.mode,
            max_wait: guard.max_wait,
            rate: guard.rate.map(|per_second| Rate { per_second, burst: guard.burst }),
            concurrency: Concurrent { limit: guard.concurrency },
            adaptive: guard.adaptive,
            breaker: guard.breaker,
            retry,
        }
    }
}

impl From<Document> for Limits {
    fn from(document: Document) -> Self {
        let guard = Guard {
            mode: document.mode,
            max_wait: document.max_wait,
            rate: document.rate.as_ref().map(|rate| rate.per_second),
            burst: document.rate.and_then(|rate| rate.burst),
            concurrency: document.concurrency.limit,
            adaptive: document.adaptive,
            breaker: document.breaker,
        };
        Self { guard, retry: document.retry }
    }
}

pub(super) async fn show(State((state, _)): State<Parts>, Path(name): Path<String>) -> Answered {
    let pipeline = find(&state.shared, &name)?;
    Ok(Json(Document::from(pipeline.limits())).into_response())
}

pub(super) async fn change(
    State((state, _)): State<Parts>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answered {
    let pipeline = find(&state.shared, &name)?;
    let patch: Map<String, Value> = body(&bytes)?;
    let change = |limits| patched(limits, pipeline.max_connections(), patch);
    let changed = pipeline.change_limits(change)?.map_err(|error| unprocessable("", error.to_string()))?;
    tracing::info!(pipeline = name, "limits changed through the admin API");
    Ok(Json(Document::from(changed)).into_response())
}

/// `limits` with `patch` merged in, if that makes valid limits where there are so many connections.
fn patched(limits: Limits, connections: usize, patch: Map<String, Value>) -> Result<Limits, Problem> {
    let mut document =
        serde_json::to_value(Document::from(limits)).map_err(|error| unprocessable("", error.to_string()))?;
    merge(&mut document, Value::Object(patch));
    let document: Document = serde_path_to_error::deserialize(document)
        .map_err(|error| unprocessable(&error.path().to_string(), error.inner().to_string()))?;
    let limits = Limits::from(document);
    match check_limits(&limits.guard, &limits.retry, connections).first() {
        None => Ok(limits),
        Some(complaint) => {
            let field = wire_name(&complaint.field);
            let detail = format!("{field}: {}; {}", complaint.problem, complaint.fix);
            Err(unprocessable(&field, detail))
        }
    }
}

/// The name on the wire of a field of the config.
fn wire_name(field: &str) -> String {
    match field.strip_prefix("guard.").unwrap_or(field) {
        "rate" => "rate.per_second".to_owned(),
        "burst" => "rate.burst".to_owned(),
        "concurrency" => "concurrency.limit".to_owned(),
        other => other.to_owned(),
    }
}

/// RFC 7396: objects are merged, null removes, everything else replaces.
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    target.insert(name, Value::Null);
                } else {
                    merge(target.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn limits() -> Limits {
        Limits { guard: Guard::default(), retry: Retry::default() }
    }

    fn change(patch: Value) -> Result<Limits, Problem> {
        patched(limits(), 256, serde_json::from_value(patch).expect("an object"))
    }

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        assert_eq!(change(json!({})).expect("fine"), limits());
        let changed =
            change(json!({ "rate": { "per_second": 50 }, "concurrency": { "limit": 7 } })).expect("fine");
        let mut expected = limits();
        expected.guard.rate = serde_json::from_value(json!(50)).expect("a rate");
        expected.guard.concurrency = Concurrency(7);
        assert_eq!(changed, expected);
        assert_eq!(change(json!({ "breaker": null })).expect("fine").guard.breaker, None);
        let breaker = change(json!({ "breaker": { "probes": 9 } })).expect("fine").guard.breaker;
        assert_eq!(breaker, Some(Breaker { probes: 9, ..Breaker::default() }));
        assert_eq!(change(json!({ "retry": { "attempts": 3 } })).expect("fine").retry.attempts, 3);
    }

    #[test]
    fn a_bad_patch_names_the_field_and_what_would_be_right() {
        for (patch, field) in [
            (json!({ "concurrency": { "limit": 0 } }), "concurrency.limit"),
            (json!({ "concurrency": { "limit": "many" } }), "concurrency.limit"),
            (json!({ "concurrency": { "limit": 257 } }), "concurrency.limit"),
            (json!({ "rate": { "per_second": -1 } }), "rate.per_second"),
            (json!({ "rate": { "per_second": 20_000_000 } }), "rate.per_second"),
            (json!({ "adaptive": { "min": 5, "max": 2 } }), "adaptive.min"),
            (json!({ "retry": { "attempts": 0 } }), "retry.attempts"),
            (json!({ "retry": { "base": "soon" } }), "retry.base"),
            (json!({ "breaker": { "failure_ratio": 2.0 } }), "breaker.failure_ratio"),
            (json!({ "mode": "hope" }), "mode"),
        ] {
            let problem = change(patch.clone()).expect_err(field);
            assert_eq!(
                (problem.status().as_u16(), &problem.to_json()["field"]),
                (422, &json!(field)),
                "{patch}"
            );
        }
        assert_eq!(change(json!({ "rat": {} })).expect_err("unknown").status(), 422);
    }
}
