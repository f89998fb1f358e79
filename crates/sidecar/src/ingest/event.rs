//! From a request to records: CloudEvents in each content mode, lines, plain bodies. Pure.

use crate::cloudevents::attributes::{Attributes, attribute_name, checked_key};
use crate::cloudevents::codec::{decode_name, decode_value};
use crate::cloudevents::{ATTRIBUTE_PREFIX, CONTENT_TYPE, HEADER_PREFIX, TRACE_HEADERS, structured};
use crate::line;
use crate::problem::Problem;
use bytes::Bytes;
use http::{HeaderMap, header};
use seawall_core::token::TOKEN_HEADER;
use seawall_core::{Header, Record, RecordError, Token, WallMs};

/// The most records in one request.
pub const BATCH_RECORDS_MAX: usize = 10_000;
/// The header that carries a record's key, percent-encoded.
pub const KEY_HEADER: &str = "seawall-key";
/// Payloads, one to a line.
const NDJSON: &str = "application/x-ndjson";

/// What a request holds.
#[derive(Debug)]
pub struct Intake {
    /// Its records, each with the token its effect will be known by; or what is wrong with one.
    pub records: Vec<Result<(Record, Token), Problem>>,
    /// Whether the answer is a list.
    pub batch: bool,
}

/// The records of a request with these headers, query key and body.
///
/// # Errors
/// 400 or 413 when the request as a whole cannot be understood; a mistake in one event of a batch stands at its
/// place in the answer instead.
pub fn read(
    headers: &HeaderMap,
    query_key: Option<&str>,
    body: Bytes,
    now: WallMs,
) -> Result<Intake, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap_or_default());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let key = request_key(headers, query_key)?;
    let keyed = |record: Result<Record, Problem>| finish(record?, key.clone());
    let one = |record| Ok(Intake { records: vec![Ok(keyed(record)?)], batch: false });
    match essence.to_ascii_lowercase().as_str() {
        structured::CONTENT_TYPE => one(structured::record(&body, now)),
        structured::BATCH_CONTENT_TYPE => {
            let events = structured::batch(&body, BATCH_RECORDS_MAX)?;
            bounded(events.len())?;
            let record =
                |event: &serde_json::value::RawValue| keyed(structured::record(event.get().as_bytes(), now));
            Ok(Intake { records: events.into_iter().map(record).collect(), batch: true })
        }
        line::CONTENT_TYPE => lines(&body, |line| keyed(line::from_line(&line, now))),
        NDJSON => lines(&body, |line| {
            let mut record = Record::new(None, line);
            record.timestamp = now;
            record.headers.push(Header::new(CONTENT_TYPE, "application/json"));
            keyed(Ok(record))
        }),
        other if other.starts_with("application/cloudevents") => Err(Problem::bad_request(
            "cloudevents",
            format!(
                "{other:?} is not spoken; use {} or {}",
                structured::CONTENT_TYPE,
                structured::BATCH_CONTENT_TYPE
            ),
        )),
        _ => one(binary(headers, body, now)),
    }
}

fn lines(
    body: &Bytes,
    record: impl Fn(Bytes) -> Result<(Record, Token), Problem>,
) -> Result<Intake, Problem> {
    let trimmed = body.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines: Vec<&[u8]> = trimmed.filter(|line| !line.is_empty()).take(BATCH_RECORDS_MAX + 1).collect();
    bounded(lines.len())?;
    Ok(Intake { records: lines.iter().map(|line| record(body.slice_ref(line))).collect(), batch: true })
}

fn bounded(records: usize) -> Result<(), Problem> {
    if records == 0 {
        return Err(Problem::bad_request("empty", "the batch holds no record"));
    }
    if records > BATCH_RECORDS_MAX {
        let detail = format!("the batch holds more than {BATCH_RECORDS_MAX} records; send several");
        return Err(Problem::too_large(detail));
    }
    Ok(())
}

/// One event in binary mode, or a plain body.
fn binary(headers: &HeaderMap, body: Bytes, now: WallMs) -> Result<Record, Problem> {
    let mut attributes = Attributes::default();
    let mut kept: Vec<Header> = Vec::new();
    for (name, value) in headers {
        let name = name.as_str();
        if let Some(attribute) = name.strip_prefix(ATTRIBUTE_PREFIX) {
            attributes.add(attribute_name(attribute)?, decode_value(value.as_bytes()))?;
        } else if name == CONTENT_TYPE || TRACE_HEADERS.contains(&name) {
            kept.push(Header::new(name, Bytes::copy_from_slice(value.as_bytes())));
        } else if let Some(encoded) = name.strip_prefix(HEADER_PREFIX) {
            kept.push(Header::new(own_name(encoded)?, decode_value(value.as_bytes())));
        }
    }
    let mut record = if attributes.is_event() {
        attributes.into_record(body, now)?
    } else {
        attributes.into_plain_record(body, now)?
    };
    for header in kept {
        record.headers.push(header);
    }
    Ok(record)
}

/// The name of a record header that the caller chose. Names that mean something to Seawall cannot be chosen: a
/// dead letter's story, for one, must not be made up.
fn own_name(encoded: &str) -> Result<String, Problem> {
    let name = decode_name(encoded).ok_or_else(|| {
        Problem::bad_request("header", format!("{encoded:?} is no percent-encoded UTF-8 name"))
    })?;
    reserved(&name)?;
    Ok(name)
}

fn reserved(name: &str) -> Result<(), Problem> {
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("seawall-") {
        let detail = format!("the header name {name:?} is Seawall's own; choose another");
        return Err(Problem::bad_request("header", detail));
    }
    Ok(())
}

/// The key that the request names for all of its records.
fn request_key(headers: &HeaderMap, query: Option<&str>) -> Result<Option<Bytes>, Problem> {
    let mut values = headers.get_all(KEY_HEADER).iter();
    let header = values.next().map(|value| decode_value(value.as_bytes()));
    if values.next().is_some() {
        return Err(Problem::bad_request("key", "the header Seawall-Key stands there twice"));
    }
    match (header, query) {
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("key", "both Seawall-Key and ?key= are given; keep one"))
        }
        (Some(key), None) => checked_key("Seawall-Key", key).map(Some),
        (None, Some(key)) => checked_key("?key=", Bytes::copy_from_slice(key.as_bytes())).map(Some),
        (None, None) => Ok(None),
    }
}

/// Checks the record's bounds, and gives it a key and a token where it has none.
fn finish(mut record: Record, key: Option<Bytes>) -> Result<(Record, Token), Problem> {
    match (&record.key, key) {
        (Some(own), Some(asked)) if *own != asked => {
            return Err(Problem::bad_request(
                "key",
                "the record brings a key of its own; drop the request's",
            ));
        }
        (None, Some(asked)) => record.key = Some(asked),
        _ => {}
    }
    for header in &record.headers {
        reserved(header.name())?;
    }
    let own = record.headers.get(TOKEN_HEADER).cloned();
    let id = own.unwrap_or_else(|| {
        let id = Bytes::from(uuid::Uuid::new_v4().to_string());
        record.headers.push(Header::new(TOKEN_HEADER, id.clone()));
        id
    });
    let token = Token::new(id)
        .map_err(|e| Problem::bad_request("token", format!("the id is the idempotency token: {e}")))?;
    record.check().map_err(|error| match error {
        RecordError::TooLarge { .. } | RecordError::TooManyHeaders { .. } => {
            Problem::too_large(error.to_string())
        }
        RecordError::NameNotUtf8 { .. } => Problem::bad_request("header", error.to_string()),
    })?;
    Ok((record, token))
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
