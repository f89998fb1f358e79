//! Lines on their way: each keeps its place in the input, so that what is not taken can be named.

use super::Destination;
use crate::client::{Client, told};
use crate::exit::{Failure, Outcome};
use crate::input::Place;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use indicatif::ProgressBar;
use seawall_core::{Outgoing, Record, Sink, TopicPartition};
use seawall_sidecar::line;
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Records of one request at most.
const BATCH_RECORDS: usize = 512;
/// Bytes of one request at most, but for a single larger record.
const BATCH_BYTES: usize = 1 << 20;
/// How often what is refused for now is sent again before the command gives up.
const ATTEMPTS: u32 = 60;
/// How many reasons are told, each with the lines it is about.
const REASONS_TOLD: usize = 10;

/// What became of one record.
pub(super) type Answer = Result<(), Failure>;

/// Records that are sent together.
#[derive(Default)]
pub(super) struct Batch {
    places: Vec<Place>,
    records: Vec<Record>,
    bytes: usize,
}

impl Batch {
    pub(super) fn push(&mut self, place: Place, record: Record) {
        self.bytes += record.weight();
        self.places.push(place);
        self.records.push(record);
    }

    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }

    /// Sends it; what was taken counts in `progress`.
    ///
    /// # Errors
    /// The lines that were not taken, with the reason of each.
    pub(super) async fn send(self, to: &Destination, topic: &Arc<str>, progress: &ProgressBar) -> Outcome {
        if self.records.is_empty() {
            return Ok(());
        }
        let answers = match to {
            Destination::Embedded(broker) => append(broker, topic, self.records).await,
            Destination::Kept(kept) => kept.send(topic, self.records).await,
            Destination::Cluster(sink) => append(&**sink, topic, self.records).await,
            Destination::Running(client) => post(client, topic, &self.records).await,
        };
        progress.inc(answers.iter().filter(|answer| answer.is_ok()).count() as u64);
        verdict(&self.places, &answers)
    }
}

/// Names the lines that were not taken; neighbours with the same reason together. A line without an answer was not
/// tried.
fn verdict(places: &[Place], answers: &[Answer]) -> Outcome {
    let refused = || answers.iter().filter_map(|answer| answer.as_ref().err());
    let Some(first) = refused().find(|failure| !failure.is_overload()).or_else(|| refused().next()) else {
        return Ok(());
    };
    let untried = first.retold("not tried, for the one before");
    let mut groups: Vec<(usize, usize, String)> = Vec::new();
    for at in 0..places.len() {
        let reason = match answers.get(at) {
            Some(Ok(())) => continue,
            Some(Err(failure)) => failure,
            None => &untried,
        };
        match groups.last_mut() {
            Some((_, last, same)) if *last + 1 == at && *same == reason.to_string() => *last = at,
            _ => groups.push((at, at, reason.to_string())),
        }
    }
    let mut text = String::new();
    for (from, to, reason) in groups.iter().take(REASONS_TOLD) {
        let _ = match (places.get(*from), places.get(*to)) {
            (Some(one), Some(other)) if one != other => writeln!(text, "{one} to {other}: {reason}"),
            (Some(one), _) => writeln!(text, "{one}: {reason}"),
            (None, _) => Ok(()),
        };
    }
    if let Some(more) = groups.len().checked_sub(REASONS_TOLD + 1) {
        let _ = writeln!(text, "and so on, {} more times", more + 1);
    }
    Err(first.retold(text.trim_end()))
}

async fn append(sink: &impl Sink, topic: &Arc<str>, records: Vec<Record>) -> Vec<Answer> {
    let outgoing = |record| Outgoing { topic: topic.clone(), partition: None, record };
    let sent = sink.send(records.into_iter().map(outgoing).collect()).await;
    sent.into_iter().map(|receipt| receipt.map(|_| ()).map_err(Failure::environment)).collect()
}

/// Posts `records`. What is refused for now is sent again, and it alone: what was taken would get another token.
async fn post(client: &Client, topic: &Arc<str>, records: &[Record]) -> Vec<Answer> {
    let place = TopicPartition::new(topic.clone(), 0);
    let lines: Vec<String> = records.iter().map(|record| line::to_line(&place, 0, record, None)).collect();
    let path = format!("/v1/topics/{topic}/records");
    let mut answers: Vec<Answer> = vec![Ok(()); lines.len()];
    let mut left: Vec<usize> = (0..lines.len()).collect();
    let mut attempts = 0;
    loop {
        let whole = left.len();
        let body: Vec<&str> = left.iter().filter_map(|at| lines.get(*at)).map(String::as_str).collect();
        let heard = match request(client, &path, body.join("\n"), whole).await {
            Ok(heard) => heard,
            Err(failure) => vec![Err(failure); whole],
        };
        left = settle(&left, heard, &mut answers);
        attempts = if left.len() < whole { 1 } else { attempts + 1 };
        if left.is_empty() || attempts >= ATTEMPTS {
            return answers;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Puts what was `heard` of the records `sent` into `answers`, and gives those that may be taken later.
fn settle(sent: &[usize], heard: Vec<Answer>, answers: &mut [Answer]) -> Vec<usize> {
    let mut left = Vec::new();
    for (at, answer) in sent.iter().copied().zip(heard) {
        if answer.as_ref().is_err_and(Failure::is_overload) {
            left.push(at);
        }
        if let Some(place) = answers.get_mut(at) {
            *place = answer;
        }
    }
    left
}

/// One request with `count` lines; an answer for each, or one for all.
async fn request(client: &Client, path: &str, body: String, count: usize) -> Result<Vec<Answer>, Failure> {
    let body = (line::CONTENT_TYPE, Bytes::from(body));
    let response = client.send(Method::POST, path, Some(body)).await?;
    if response.status() != StatusCode::MULTI_STATUS {
        return Ok(vec![Ok(()); count]);
    }
    let answer = response.into_body().collect().await.map_err(Failure::environment)?.to_bytes();
    entries(&answer, count)
}

/// The entries of `answer`, one for each of `count` lines.
fn entries(answer: &[u8], count: usize) -> Result<Vec<Answer>, Failure> {
    let entries: Vec<Value> = serde_json::from_slice(answer).unwrap_or_default();
    if entries.len() != count {
        return Err(Failure::environment(format_args!(
            "the answer has {} entries for {count} records",
            entries.len()
        )));
    }
    let answer = |entry: &Value| {
        let code = entry["status"].as_u64().and_then(|code| u16::try_from(code).ok());
        let status = code.and_then(|code| StatusCode::from_u16(code).ok());
        match status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR) {
            status if status.is_success() => Ok(()),
            status => Err(told(status, entry)),
        }
    };
    Ok(entries.iter().map(answer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_was_refused_for_now_is_sent_again() {
        let answer =
            json!([{"status": 201}, {"status": 429}, {"status": 413, "title": "large"}, {"status": 503}]);
        let heard = entries(answer.to_string().as_bytes(), 4).unwrap();
        let mut answers = vec![Ok(()); 6];
        assert_eq!(settle(&[0, 2, 3, 5], heard, &mut answers), [2, 5]);
        let refused: Vec<_> = (0..6).filter(|at| answers[*at].is_err()).collect();
        assert_eq!(refused, [2, 3, 5]);
        assert!(entries(b"[]", 1).is_err());
    }

    #[test]
    fn each_line_that_was_not_taken_is_named_with_its_reason() {
        let places: Vec<Place> = (1..=7).map(|line| Place::new("a.txt", line)).collect();
        let large = || Err(Failure::input("too large"));
        let answers = vec![Ok(()), large(), Ok(()), large(), large(), Err(Failure::environment("gone"))];
        let failure = verdict(&places, &answers).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "a.txt:2: too large\na.txt:4 to a.txt:5: too large\na.txt:6: gone\n\
             a.txt:7: not tried, for the one before"
        );
        assert!(verdict(&places, &vec![Ok(()); 7]).is_ok());
        let many: Vec<Place> = (0..40).map(|line| Place::new("a.txt", line)).collect();
        let answers: Vec<Answer> = (0..40).map(|n| if n % 2 == 0 { large() } else { Ok(()) }).collect();
        let told = verdict(&many, &answers).unwrap_err().to_string();
        assert!(told.lines().count() == 11 && told.ends_with("and so on, 10 more times"), "{told}");
    }
}
