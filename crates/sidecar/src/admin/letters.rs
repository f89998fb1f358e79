//! Dead letters over HTTP.

use super::answer::{Answered, body, find, number, query, unprocessable};
use super::routes::State as Parts;
use crate::ingest::problem_of;
use crate::line::headers_to_json;
use crate::pipeline::letters::{Choice, Letter, LetterId, Letters, Progress, Search};
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::StatusCode;
use seawall_core::Fault;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Letters on a page unless asked otherwise.
const PAGE_DEFAULT: usize = 50;
/// How much of a value a list shows, in characters.
const PREVIEW_CHARS: usize = 200;
/// The most letters that can be named one by one.
const IDS_MAX: usize = 10_000;
/// How long the answer to a redrive waits for its end.
const REDRIVE_PATIENCE: Duration = Duration::from_secs(1);
/// Letters a second unless asked otherwise.
const RATE_DEFAULT: u32 = 100;
/// The highest rate of a redrive.
const RATE_MAX: u32 = 100_000;

/// Runs what blocks for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|fault| problem_of(&fault)),
        Err(error) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Err(Problem::new(status, "bug", "A defect of Seawall", error.to_string()))
        }
    }
}

pub(super) async fn list(
    State((state, _)): State<Parts>,
    Path(name): Path<String>,
    RawQuery(raw): RawQuery,
) -> Answered {
    let letters = find(&state.shared, &name)?.letters().clone();
    let query = query(raw.as_deref(), &["limit", "after", "q"])?;
    let limit: usize = number("limit", query("limit"))?.unwrap_or(PAGE_DEFAULT);
    if limit == 0 || limit > 500 {
        return Err(Problem::bad_request("query", format!("limit={limit}; 1 to 500 is accepted")));
    }
    let after = query("after").map(|text| text.parse::<LetterId>());
    let after = after.transpose().map_err(|()| {
        Problem::bad_request("query", "after is no place; give the `next` of the page before, like 0-17")
    })?;
    let search = Search { limit, after, text: query("q").filter(|text| !text.is_empty()) };
    let page = blocking(move || letters.page(&search)).await?;
    let items: Vec<Value> = page.letters.iter().map(summary).collect();
    Ok(Json(json!({ "items": items, "next": page.next.map(|next| next.to_string()) })).into_response())
}

/// A letter in a list.
fn summary(letter: &Letter) -> Value {
    let record = &letter.record;
    let preview: String = String::from_utf8_lossy(&record.value).chars().take(PREVIEW_CHARS).collect();
    let story = letter.story.as_ref();
    json!({
        "partition": letter.id.partition,
        "offset": letter.id.offset,
        "key": record.key.as_ref().map(|key| String::from_utf8_lossy(key).into_owned()),
        "value_preview": preview,
        "token": story.map(|s| s.token.as_str().to_owned()),
        "error": story.map_or_else(|| "the record does not say why it is here".to_owned(), |s| s.error.clone()),
        "class": story.map(|s| s.class.as_str()),
        "attempts": story.map(|s| s.attempts),
        "first_ms": story.map(|s| s.first_failed.0),
        "last_ms": story.map(|s| s.last_failed.0),
        "origin": story.map(|s| json!({
            "topic": &*s.origin.topic, "partition": s.origin.partition, "offset": s.offset,
        })),
    })
}

pub(super) async fn show(
    State((state, _)): State<Parts>,
    Path((name, partition, offset)): Path<(String, String, String)>,
) -> Answered {
    let letters = find(&state.shared, &name)?.letters().clone();
    let place = format!("{partition}/{offset}");
    let id: LetterId = format!("{partition}-{offset}").parse().map_err(|()| {
        Problem::bad_request("path", format!("{place} is no place; two numbers are, like 0/17"))
    })?;
    let found = match blocking(move || letters.get(id)).await {
        Err(problem) if problem.status() == StatusCode::BAD_REQUEST => None,
        found => found?,
    };
    let Some(letter) = found else {
        let detail = format!("{place} was redriven, purged, or never there");
        return Err(Problem::not_found("unknown-letter", detail));
    };
    let mut json = summary(&letter);
    match std::str::from_utf8(&letter.record.value) {
        Ok(text) => json["value"] = json!(text),
        Err(_) => json["value_base64"] = json!(BASE64.encode(&letter.record.value)),
    }
    let pairs = letter.record.headers.iter().map(|h| json!([h.name(), String::from_utf8_lossy(&h.value)]));
    json["headers"] = Value::Array(pairs.collect());
    json["record_headers"] = headers_to_json(&letter.record.headers);
    Ok(Json(json).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    ids: Option<Vec<LetterId>>,
    filter: Option<String>,
    #[serde(default)]
    all: bool,
    rate: Option<u32>,
    #[serde(default)]
    confirm: bool,
}

impl Order {
    fn choice(&mut self) -> Result<Choice, Problem> {
        match (self.ids.take(), self.filter.take(), self.all) {
            (Some(ids), None, false) if ids.is_empty() || ids.len() > IDS_MAX => {
                Err(unprocessable("ids", format!("{} ids; 1 to {IDS_MAX} are accepted", ids.len())))
            }
            (Some(ids), None, false) => Ok(Choice::Ids(ids)),
            (None, Some(text), false) if text.is_empty() => {
                Err(unprocessable("filter", "the filter is empty; say `all` if all are meant"))
            }
            (None, Some(text), false) => Ok(Choice::Text(text)),
            (None, None, true) => Ok(Choice::All),
            _ => Err(unprocessable("ids", "give exactly one of `ids`, `filter` and `all: true`")),
        }
    }
}

pub(super) async fn redrive(
    State((state, _)): State<Parts>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answered {
    let letters = find(&state.shared, &name)?.letters().clone();
    let mut order: Order = body(&bytes)?;
    let rate = order.rate.unwrap_or(RATE_DEFAULT);
    if rate == 0 || rate > RATE_MAX {
        return Err(unprocessable(
            "rate",
            format!("rate is {rate}; 1 to {RATE_MAX} letters a second are accepted"),
        ));
    }
    let choice = order.choice()?;
    letters.redrive(choice, rate).map_err(|error| {
        Problem::new(StatusCode::CONFLICT, "redrive-running", "A redrive is under way", error.to_string())
    })?;
    let progress = settle(&letters).await;
    let status = if progress.running { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(progress_json(&progress))).into_response())
}

/// Waits a little for the end of a redrive, so that a short one is answered with its result.
async fn settle(letters: &Arc<Letters>) -> Progress {
    let waited = tokio::time::timeout(REDRIVE_PATIENCE, async {
        while letters.progress().running {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    // Not done is an answer too.
    let _ = waited.await;
    letters.progress()
}

pub(super) async fn progress(State((state, _)): State<Parts>, Path(name): Path<String>) -> Answered {
    let letters = find(&state.shared, &name)?.letters();
    Ok(Json(progress_json(&letters.progress())).into_response())
}

fn progress_json(progress: &Progress) -> Value {
    json!({
        "running": progress.running,
        "count": progress.count,
        "redriven": progress.redriven,
        "failed": progress.failed,
        "ended_early": progress.ended_early,
        "error": progress.error,
    })
}

pub(super) async fn purge(
    State((state, _)): State<Parts>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answered {
    let letters = find(&state.shared, &name)?.letters().clone();
    let mut order: Order = body(&bytes)?;
    if !order.confirm {
        let detail = "a purge cannot be undone; send `confirm: true` if it is really meant";
        return Err(unprocessable("confirm", detail));
    }
    let choice = order.choice()?;
    let count = blocking(move || letters.purge(&choice)).await?;
    tracing::info!(pipeline = name, count, "dead letters purged");
    Ok(Json(json!({ "count": count })).into_response())
}
