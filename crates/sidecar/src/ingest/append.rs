//! The way in: guard, read, append, answer with receipts.

use super::query::Query;
use super::{Body, Ingest, body, durability, event, json};
use crate::config::nearest;
use crate::destination::Destination;
use crate::problem::Problem;
use crate::recoverable::Taken;
use http::{HeaderMap, Response, StatusCode, header};
use hyper::body::Incoming;
use seawall_core::{Class, Durability, Fault, Outgoing, Record, Token};
use seawall_guard::{LimitKind, Refusal};
use seawall_kafka::KafkaError;
use seawall_kafka::sink::SinkError;
use seawall_log::LogError;
use seawall_producer::{Left, SendError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// When to come back after a refusal that names no time.
pub(super) const COME_BACK: Duration = Duration::from_secs(1);

/// A record's place in the answer: its receipt, or what is wrong with it.
pub(super) type Settled = Result<(Taken, Token), Problem>;

impl Ingest {
    pub(super) async fn append(
        &self,
        topic: &str,
        headers: &HeaderMap,
        query: &Query,
        body: Incoming,
    ) -> Result<Response<Body>, Problem> {
        let _permit = self.requests.try_enter().map_err(|refusal| refused(&refusal))?;
        let asked = durability::asked(headers, &self.sink)?;
        let topic = self.topic(topic).await?;
        let mut held = self.memory.hold();
        let body = body::read(headers, body, self.max_body, self.body_timeout, &mut held).await?;
        let intake = event::read(headers, query.get("key"), body, self.clock.wall())?;
        let settled = self.send(&topic, intake.records, asked).await;
        if intake.batch { self.answer_batch(&topic, settled) } else { self.answer_one(&topic, settled) }
    }

    async fn topic(&self, name: &str) -> Result<Arc<str>, Problem> {
        let there = match &self.sink {
            Destination::Log(broker) if broker.topic_exists(name) => None,
            Destination::Log(broker) => {
                Some(broker.topics().iter().map(ToString::to_string).collect::<Vec<_>>())
            }
            // It is there, or is made when the cluster answers: until then the producer keeps its records.
            Destination::Kafka { cluster, producer: Some(_) } if cluster.expects_topic(name) => None,
            Destination::Kafka { cluster, .. } => {
                let unknown = |error| nobody_knows(&Fault::from(error), name, cluster.name());
                let has = cluster.has_topic(name).await.map_err(unknown)?;
                (!has).then(|| cluster.known_topics())
            }
        };
        if let (None, Destination::Kafka { cluster, producer: Some(_) }) = (&there, &self.sink) {
            cluster.remember(name);
        }
        match there {
            None => Ok(Arc::from(name)),
            Some(there) => Err(unknown_topic(name, nearest(name, there.iter().map(String::as_str)))),
        }
    }

    /// Appends what is fit and within the rate; everything else keeps its problem, at its place.
    async fn send(
        &self,
        topic: &Arc<str>,
        records: Vec<Result<(Record, Token), Problem>>,
        asked: Option<Durability>,
    ) -> Vec<Settled> {
        let fit = u32::try_from(records.iter().filter(|record| record.is_ok()).count()).unwrap_or(u32::MAX);
        let granted = self.records.try_enter_many(fit);
        let mut left = granted.permits.count();
        let over = granted.refusal.as_ref().map(refused);
        let mut settled: Vec<Option<Settled>> = Vec::with_capacity(records.len());
        let mut places: Vec<(usize, Token)> = Vec::with_capacity(left as usize);
        let mut outgoing = Vec::with_capacity(left as usize);
        for (at, record) in records.into_iter().enumerate() {
            match (record, &over) {
                (Err(problem), _) => settled.push(Some(Err(problem))),
                (Ok(_), Some(over)) if left == 0 => settled.push(Some(Err(over.clone()))),
                (Ok((record, token)), _) => {
                    left = left.saturating_sub(1);
                    settled.push(None);
                    places.push((at, token));
                    outgoing.push(Outgoing { topic: topic.clone(), partition: None, record });
                }
            }
        }
        // The answers of the sink stand in the order of what it was given.
        for ((at, token), answer) in places.into_iter().zip(self.sink.take(outgoing, asked).await) {
            settled[at] = Some(match answer {
                Ok(taken) => Ok((taken, token)),
                Err(fault) => Err(of_record(&fault)),
            });
        }
        let missing = || Err(unknown("there was no answer for this record".to_owned()));
        settled.into_iter().map(|settled| settled.unwrap_or_else(missing)).collect()
    }

    fn answer_one(&self, topic: &str, settled: Vec<Settled>) -> Result<Response<Body>, Problem> {
        let settled = settled.into_iter().next().unwrap_or_else(|| Err(unavailable("there is no answer")));
        let (taken, token) = settled?;
        self.counts.accept();
        Ok(json(status_of(&taken), receipt_json(topic, &taken, &token).to_string()))
    }

    /// 201 (or 202) when all were taken; 207 with a status for each otherwise. Where none has a receipt, and not for a
    /// mistake of the caller's, it is the refusal itself: many clients take every 2xx for success.
    pub(super) fn answer_batch(&self, topic: &str, settled: Vec<Settled>) -> Result<Response<Body>, Problem> {
        let problems = settled.iter().filter_map(|settled| settled.as_ref().err());
        let latest = problems.max_by_key(|problem| (!is_kept(problem), problem.retry_after()));
        if let Some(latest) = latest.filter(|_| settled.iter().all(is_no_mistake)) {
            // It is counted where it is answered.
            let others = settled.iter().filter_map(|settled| settled.as_ref().err());
            others.filter(|other| !std::ptr::eq(*other, latest)).for_each(|other| self.counts.refuse(other));
            return Err(latest.clone());
        }
        let come_back = latest.and_then(Problem::retry_after_value);
        let weakest = settled.iter().flatten().map(|(taken, _)| status_of(taken)).max();
        let whole = settled.iter().all(Result::is_ok);
        let entries: Vec<Value> = settled
            .iter()
            .map(|settled| match settled {
                Ok((taken, token)) => {
                    self.counts.accept();
                    let mut entry = receipt_json(topic, taken, token);
                    entry["status"] = json!(status_of(taken).as_u16());
                    entry
                }
                Err(problem) => {
                    self.counts.refuse(problem);
                    problem.to_json()
                }
            })
            .collect();
        let all = weakest.unwrap_or(StatusCode::CREATED);
        let status = if whole { all } else { StatusCode::MULTI_STATUS };
        let mut response = json(status, Value::Array(entries).to_string());
        if let Some(seconds) = come_back {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        Ok(response)
    }
}

/// Whether there is no receipt, and the record is right.
fn is_no_mistake(settled: &Settled) -> bool {
    settled.as_ref().is_err_and(|problem| {
        problem.status() == StatusCode::TOO_MANY_REQUESTS || problem.status().is_server_error()
    })
}

/// Whether the record is not to be sent again although it has no receipt.
fn is_kept(problem: &Problem) -> bool {
    problem.field("left").is_some_and(|left| left == "spilled")
}

/// 201 for what no crash loses, 202 for what is only in memory.
fn status_of(taken: &Taken) -> StatusCode {
    match taken.durability {
        Durability::Buffered => StatusCode::ACCEPTED,
        Durability::Synced | Durability::Replicated => StatusCode::CREATED,
    }
}

/// `partition` and `offset` are null until the record stands in its topic.
fn receipt_json(topic: &str, taken: &Taken, token: &Token) -> Value {
    let place = taken.place.as_ref();
    json!({
        "topic": topic,
        "partition": place.map(|(partition, _)| partition.partition),
        "offset": place.map(|(_, offset)| offset),
        "durability": taken.durability.as_str(),
        "sink": taken.sink.as_deref(),
        "token": token.as_str(),
    })
}

pub(super) fn unknown_topic(name: &str, near: Option<&str>) -> Problem {
    let hint = near.map_or_else(
        || "GET /v1/topics lists what there is".to_owned(),
        |near| format!("did you mean {near:?}?"),
    );
    let problem = Problem::not_found("unknown-topic", format!("there is no topic {name:?}; {hint}"));
    match near {
        Some(near) => problem.with("nearest", near),
        None => problem,
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let (status, kind, title) = match refusal.limit {
        LimitKind::Rate => (StatusCode::TOO_MANY_REQUESTS, "rate", "Too many records"),
        LimitKind::Concurrency | LimitKind::Adaptive | LimitKind::Breaker => {
            (StatusCode::SERVICE_UNAVAILABLE, "concurrency", "Too many requests at a time")
        }
    };
    Problem::new(status, kind, title, refusal.to_string())
        .with("limit", refusal.limit.as_str())
        .with("value", refusal.value)
        .after(refusal.retry_after.unwrap_or(COME_BACK))
}

pub(super) fn unavailable(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Records cannot be taken now", detail)
        .after(COME_BACK)
}

/// The cluster does not say whether it has the topic.
pub(super) fn nobody_knows(fault: &Fault, topic: &str, cluster: &str) -> Problem {
    let hint = format!(
        "; so nobody knows whether it has topic {topic:?}: with a [[topic]] of that name and cluster = {cluster:?}, and a [producer], \
         records are taken before the cluster was ever reached"
    );
    problem_of(fault).and(&hint)
}

/// The record may have been written, and nobody knows.
fn unknown(detail: String) -> Problem {
    let title = "The record may have been written; the same token makes a repeat recognisable";
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "timed-out", title, detail)
        .after(COME_BACK)
        .with("left", "unknown")
}

/// What a fault means to the caller whose record met it. A client of Kafka goes on with what it was given.
pub(super) fn of_record(fault: &Fault) -> Problem {
    let of_client = fault.error().downcast_ref::<SinkError>().is_some()
        || matches!(kafka_error(fault), Some(error) if !matches!(error, KafkaError::Closed));
    let unconfirmed = matches!(fault.error().downcast_ref(), Some(LogError::Unconfirmed));
    if unconfirmed || (of_client && fault.class() == Class::Transient) {
        return unknown(fault.to_string());
    }
    problem_of(fault)
}

/// What a fault of the log or of a cluster means to the caller.
pub(crate) fn problem_of(fault: &Fault) -> Problem {
    let detail = fault.to_string();
    if let Some(error) = fault.error().downcast_ref::<SendError>() {
        return not_sent(error, detail);
    }
    if let Some(error) = kafka_error(fault) {
        if error.is_too_large() {
            return Problem::too_large(detail);
        }
        if error.is_unknown_topic() {
            return Problem::not_found("unknown-topic", detail);
        }
    }
    match fault.error().downcast_ref::<LogError>() {
        Some(LogError::UnknownTopic { topic, nearest }) => {
            unknown_topic(topic, nearest.first().map(String::as_str))
        }
        Some(LogError::Overload { .. }) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "full", "The append queue is full", detail)
                .after(COME_BACK)
        }
        Some(error) if error.is_disk_full() => {
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", "The disk is full", detail)
                .after(COME_BACK)
        }
        Some(LogError::Record(_)) => Problem::too_large(detail),
        Some(LogError::UnknownPartition { .. } | LogError::Name(_)) => Problem::bad_request("topic", detail),
        _ if fault.class() == Class::Bug => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "bug", "This is a defect of Seawall", detail)
        }
        None if fault.class() == Class::Overload => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "full",
            "The queue towards the cluster is full",
            detail,
        )
        .after(COME_BACK),
        None if fault.class() == Class::Permanent && kafka_error(fault).is_some() => {
            Problem::new(StatusCode::BAD_GATEWAY, "cluster-refused", "The cluster refuses the record", detail)
        }
        _ => unavailable(detail),
    }
}

/// What a producer's refusal means to the caller.
fn not_sent(error: &SendError, detail: String) -> Problem {
    let late = |status, title| Problem::new(status, "timed-out", title, detail.clone()).after(COME_BACK);
    match error {
        SendError::Refused { fault, .. } => problem_of(fault),
        SendError::Record(_) => Problem::too_large(detail),
        SendError::TooLarge { bytes, max } => Problem::too_large(format!(
            "a record of {bytes} bytes is larger than {max}, the bound of producer.record_max"
        )),
        SendError::Topic(_) => Problem::bad_request("topic", detail),
        SendError::Full { .. } => {
            let title = "Neither the cluster nor the spill takes records fast enough";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "full", title, detail).after(COME_BACK)
        }
        SendError::TimedOut { left: Left::Nothing, .. } => {
            late(StatusCode::SERVICE_UNAVAILABLE, "The record was not sent in time").with("left", "nothing")
        }
        SendError::TimedOut { left: Left::Spilled, .. } => {
            let title = "The record is on disk and will be delivered, and is not as safe as asked yet";
            late(StatusCode::GATEWAY_TIMEOUT, title).with("left", "spilled")
        }
        SendError::TimedOut { left: Left::Unknown, .. } | SendError::Lost => unknown(detail.clone()),
        SendError::Weaker { .. } => {
            let title = "The cluster gave a weaker receipt than asked";
            Problem::new(StatusCode::BAD_GATEWAY, "weaker", title, detail)
        }
        _ => unavailable(detail),
    }
}

/// What a cluster or its client said, also where it stands behind what the sink said.
fn kafka_error(fault: &Fault) -> Option<&KafkaError> {
    let mut error: Option<&(dyn std::error::Error + 'static)> = Some(fault.error());
    while let Some(this) = error {
        if let Some(found) = this.downcast_ref::<KafkaError>() {
            return Some(found);
        }
        error = this.source();
    }
    None
}
