//! Events whose attributes and payload stand together in one JSON object, alone or in a batch.

use super::attributes::{Attributes, attribute_name};
use crate::line::text_of;
use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use seawall_core::{Header, Record, WallMs};
use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// The content type of one event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";
/// The content type of a list of events.
pub const BATCH_CONTENT_TYPE: &str = "application/cloudevents-batch+json";

/// The events of a batch, each still unread. Of one that holds more than `most`, one more than that: an event of a
/// byte would cost many times itself, so that what is refused anyway is not read first.
///
/// # Errors
/// 400 when it is not a JSON array.
pub fn batch(body: &[u8], most: usize) -> Result<Vec<&RawValue>, Problem> {
    let mut events = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = json.deserialize_seq(Events { most, events: &mut events }).and_then(|()| json.end());
    match read {
        Err(e) if events.len() <= most => {
            Err(Problem::bad_request("cloudevents", format!("a batch is a JSON array of events ({e})")))
        }
        _ => Ok(events),
    }
}

/// Collects events, and ends with an error at the first beyond `most`.
struct Events<'a, 'de> {
    most: usize,
    events: &'a mut Vec<&'de RawValue>,
}

impl<'de> Visitor<'de> for Events<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(event) = seq.next_element()? {
            self.events.push(event);
            if self.events.len() > self.most {
                return Err(A::Error::custom("too many events"));
            }
        }
        Ok(())
    }
}

/// The record that one event in JSON stands for.
///
/// # Errors
/// 400, naming the attribute and what would be right.
pub fn record(event: &[u8], now: WallMs) -> Result<Record, Problem> {
    let bad = |detail: String| Problem::bad_request("cloudevents", detail);
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(event)
        .map_err(|e| bad(format!("an event in structured mode is a JSON object ({e})")))?;
    let mut attributes = Attributes::default();
    let (mut data, mut data_base64, mut content_type) = (None, None, None);
    for (name, raw) in &members {
        match name.as_str() {
            "data" => data = Some(*raw),
            "data_base64" => data_base64 = Some(text(name, raw)?),
            "datacontenttype" => content_type = Some(text(name, raw)?),
            _ => attributes.add(attribute_name(name)?, scalar(name, raw)?)?,
        }
    }
    let json = content_type.as_deref().is_none_or(is_json);
    let value = match (data, data_base64) {
        (Some(_), Some(_)) => return Err(bad("data and data_base64 exclude each other".to_owned())),
        (None, None) => Bytes::new(),
        (None, Some(text)) => {
            BASE64.decode(text).map(Bytes::from).map_err(|_| bad("data_base64 is not base64".to_owned()))?
        }
        (Some(raw), None) if json => Bytes::copy_from_slice(raw.get().as_bytes()),
        (Some(raw), None) => text_of(raw),
    };
    let mut record = attributes.into_record(value, now)?;
    let content_type = content_type.unwrap_or_else(|| "application/json".to_owned());
    record.headers.push(Header::new(super::CONTENT_TYPE, content_type));
    Ok(record)
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

fn text(name: &str, raw: &RawValue) -> Result<String, Problem> {
    serde_json::from_str(raw.get())
        .map_err(|_| Problem::bad_request("cloudevents", format!("{name} is not a string: {}", shown(raw))))
}

/// Attributes are strings, booleans or integers; all travel as text.
fn scalar(name: &str, raw: &RawValue) -> Result<Bytes, Problem> {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'"') => text(name, raw).map(Bytes::from),
        Some(b't' | b'f') => Ok(Bytes::copy_from_slice(json.as_bytes())),
        Some(_) if json.parse::<i32>().is_ok() => Ok(Bytes::copy_from_slice(json.as_bytes())),
        _ => Err(Problem::bad_request(
            "cloudevents",
            format!("the attribute {name} is {}; a string, a boolean or an integer is right", shown(raw)),
        )),
    }
}

fn shown(raw: &RawValue) -> String {
    raw.get().chars().take(60).collect()
}
