//! The plain routes: probes, metrics, overview, pipelines.

use super::routes::State as Parts;
use crate::cluster::Standing;
use crate::metrics::{self, Scrape};
use crate::overview::{self, Moment};
use crate::pipeline::{Pipeline, PipelineError};
use crate::problem::Problem;
use crate::recoverable::Use;
use crate::run::Shared;
use crate::{config, panics};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An answer, or what is wrong.
pub(super) type Answered = Result<Response, Problem>;

/// The pipeline called `name`.
pub(super) fn find<'a>(shared: &'a Shared, name: &str) -> Result<&'a Pipeline, Problem> {
    let names = || shared.pipelines.iter().map(Pipeline::name);
    shared.pipelines.iter().find(|pipeline| pipeline.name() == name).ok_or_else(|| {
        let hint = match config::nearest(name, names()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        Problem::not_found("unknown-pipeline", format!("there is no pipeline {name:?}; {hint}"))
    })
}

/// A body of JSON, with the place of each mistake; an empty one is `{}`.
pub(super) fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        if error.inner().is_data() {
            unprocessable(&field, error.inner().to_string())
        } else {
            Problem::bad_request("json", format!("the body is not JSON ({})", error.inner()))
        }
    })
}

/// 422: understood, but not to be done.
pub(super) fn unprocessable(field: &str, detail: impl Into<String>) -> Problem {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Problem::new(status, "refused", "The change is refused; nothing was changed", detail).with("field", field)
}

/// Values of the query `known` by name; everything else is refused.
pub(super) fn query(raw: Option<&str>, known: &[&str]) -> Result<impl Fn(&str) -> Option<String>, Problem> {
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(raw.unwrap_or_default().as_bytes()).into_owned().collect();
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        let detail = format!("the parameter {name:?} is unknown; known here: {}", known.join(", "));
        return Err(Problem::bad_request("query", detail));
    }
    Ok(move |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
}

/// The number that stands under `name` in a query.
pub(super) fn number<N: std::str::FromStr>(name: &str, value: Option<String>) -> Result<Option<N>, Problem> {
    let Some(text) = value else { return Ok(None) };
    let bad = || Problem::bad_request("query", format!("{name}={text:?} is no number in range"));
    text.parse().map(Some).map_err(|_| bad())
}

pub(super) async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Ready: the log can be written, every cluster answers or a producer keeps what is meant for it, no spill is in
/// trouble, every pipeline has joined its group and none has failed, and nobody said stop.
pub(super) async fn readyz(State((state, _)): State<Parts>) -> Answered {
    let shared = state.shared;
    let mut reasons = Vec::new();
    if shared.stop.is_cancelled() {
        reasons.push("the process is stopping".to_owned());
    }
    let health = shared.broker.health();
    if !health.writable {
        let why = health.reason.unwrap_or_else(|| "no reason is known".to_owned());
        reasons.push(format!("the log cannot be written: {why}"));
    }
    for cluster in shared.clusters.all() {
        match cluster.standing() {
            Standing::Ready => {}
            // Its pipelines, where it has any, say below that they wait.
            Standing::Waiting(_) if shared.producers.get(Use::Ingest, cluster.name()).is_some() => {}
            Standing::Waiting(why) => {
                reasons.push(format!("cluster {:?} does not answer: {why}", cluster.name()));
            }
            Standing::Refused(fault) => {
                reasons.push(format!("cluster {:?} refuses: {fault}", cluster.name()));
            }
        }
    }
    for producer in shared.producers.all() {
        if let Some(why) = producer.snapshot().spill_trouble {
            reasons.push(format!("the spill of producer {:?} is in trouble: {why}", producer.name()));
        }
    }
    for pipeline in &shared.pipelines {
        if let (state @ ("failed" | "joining"), Some(why)) = pipeline.state(&pipeline.snapshot()) {
            let said = if state == "failed" { "has failed" } else { "has not joined its group" };
            reasons.push(format!("pipeline {:?} {said}: {why}", pipeline.name()));
        }
    }
    if reasons.is_empty() {
        return Ok(Json(json!({ "status": "ready" })).into_response());
    }
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Err(Problem::new(status, "not-ready", "Not ready", reasons.join("; ")).with("reasons", reasons))
}

pub(super) async fn metrics(State((state, _)): State<Parts>) -> Answered {
    let shared = state.shared;
    let moment = Moment { at_ms: 0, uptime: shared.uptime(), panics_outside: panics::outside_handlers() };
    let (log, health) = (shared.broker.counters(), shared.broker.health());
    let text = Scrape::take(moment, &shared.pipelines, shared.producers.all(), &shared.counts, log, health)
        .text()
        .map_err(|error| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "bug", "A defect of Seawall", error.to_string())
        })?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}

pub(super) async fn overview(State((state, _)): State<Parts>) -> Json<Value> {
    Json(state.shared.overview())
}

pub(super) async fn events(State((state, events)): State<Parts>) -> Answered {
    events.subscribe(&state.shared)
}

pub(super) async fn reload(State((state, _)): State<Parts>) -> Answered {
    let shared = state.shared.clone();
    let reloaded = tokio::task::spawn_blocking(move || shared.reload_file()).await;
    match reloaded {
        Ok(Ok(())) => Ok(Json(json!({ "reloaded": true })).into_response()),
        Ok(Err(error)) => {
            let mut detail = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                detail = format!("{detail}: {source}");
            }
            let findings: Vec<Value> = error.findings().iter().map(|f| json!(f.to_string())).collect();
            Err(unprocessable("", detail).with("findings", findings))
        }
        Err(error) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "bug",
            "A defect of Seawall",
            error.to_string(),
        )),
    }
}

pub(super) async fn pipelines(State((state, _)): State<Parts>) -> Json<Value> {
    let shown = |pipeline: &Pipeline| overview::pipeline(pipeline, &pipeline.snapshot());
    Json(json!({ "pipelines": state.shared.pipelines.iter().map(shown).collect::<Vec<_>>() }))
}

pub(super) async fn producers(State((state, _)): State<Parts>) -> Json<Value> {
    let shown: Vec<Value> = state.shared.producers.all().iter().map(overview::producer).collect();
    Json(json!({ "producers": shown }))
}

pub(super) async fn pipeline(State((state, _)): State<Parts>, Path(name): Path<String>) -> Answered {
    let pipeline = find(&state.shared, &name)?;
    Ok(Json(overview::pipeline(pipeline, &pipeline.snapshot())).into_response())
}

pub(super) async fn pause(state: State<Parts>, name: Path<String>, raw: RawQuery) -> Answered {
    set_paused(state, name, raw, true)
}

pub(super) async fn resume(state: State<Parts>, name: Path<String>, raw: RawQuery) -> Answered {
    set_paused(state, name, raw, false)
}

fn set_paused(
    State((state, _)): State<Parts>,
    Path(name): Path<String>,
    RawQuery(raw): RawQuery,
    paused: bool,
) -> Answered {
    let pipeline = find(&state.shared, &name)?;
    let query = query(raw.as_deref(), &["topic", "partition"])?;
    let partition = number("partition", query("partition"))?;
    pipeline.set_paused(paused, query("topic").as_deref(), partition).map_err(|there| {
        let there: Vec<String> = there.iter().map(ToString::to_string).collect();
        let detail = format!("no such partition is assigned here; there are: {}", there.join(", "));
        Problem::not_found("unknown-partition", detail)
    })?;
    Ok(Json(json!({ "paused": paused })).into_response())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTarget {
    url: String,
}

pub(super) async fn target(
    State((state, _)): State<Parts>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answered {
    let pipeline = find(&state.shared, &name)?;
    let NewTarget { url } = body(&bytes)?;
    pipeline.retarget(&url).await.map_err(|error| match error {
        PipelineError::Target(target) => unprocessable("url", format!("{target}; {}", target.fix())),
        other => unprocessable("url", other.to_string()),
    })?;
    Ok(Json(json!({ "target": pipeline.target() })).into_response())
}

/// The files of the dashboard, and a problem for everything else.
pub(super) async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Answered {
    let path = uri.path();
    let asset = match method {
        Method::GET | Method::HEAD => crate::dashboard::asset(path),
        _ => None,
    };
    let Some(asset) = asset else {
        return Err(
            Problem::not_found("path", "nothing is here; /openapi.json lists what is served").at(path)
        );
    };
    let mut response =
        if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == asset.etag.as_bytes()) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            Response::new(Body::from(Bytes::from(asset.bytes.into_owned())))
        };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.mime));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(crate::dashboard::CACHE_CONTROL));
    if let Ok(tag) = HeaderValue::try_from(asset.etag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}
