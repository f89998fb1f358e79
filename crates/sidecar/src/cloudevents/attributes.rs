//! An event's attributes: what it must have, and what each may hold.

use super::{ATTRIBUTE_PREFIX, PARTITION_KEY, SPEC_VERSION};
use crate::problem::Problem;
use bytes::Bytes;
use seawall_core::record::KEY_BYTES_MAX;
use seawall_core::{Header, Record, Token, WallMs};

/// The attributes of one event, as they come in.
#[derive(Debug, Default)]
pub struct Attributes {
    id: Option<Bytes>,
    spec_version: Option<Bytes>,
    key: Option<Bytes>,
    others: Vec<Header>,
    has_source: bool,
    has_type: bool,
}

/// `name` as the name of an attribute.
///
/// # Errors
/// 400 when it is none: CloudEvents allows lower-case letters and digits.
pub fn attribute_name(name: &str) -> Result<&str, Problem> {
    let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if fits { Ok(name) } else { Err(bad(format!("{name:?} is no attribute name; a-z and 0-9 are accepted"))) }
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::bad_request("cloudevents", detail)
}

impl Attributes {
    /// Takes attribute `name`.
    ///
    /// # Errors
    /// 400 when its value cannot be its value.
    pub fn add(&mut self, name: &str, value: Bytes) -> Result<(), Problem> {
        if let Some(at) = value.iter().position(u8::is_ascii_control) {
            return Err(bad(format!("the attribute {name} holds a control character at byte {at}")));
        }
        if std::str::from_utf8(&value).is_err() {
            return Err(bad(format!("the attribute {name} is not UTF-8")));
        }
        let header = Header::new(format!("{ATTRIBUTE_PREFIX}{name}"), value.clone());
        match name {
            "id" => {
                self.id = Some(value.clone());
                Token::new(value).map_err(|e| bad(format!("the id is the idempotency token: {e}")))?;
            }
            "specversion" => self.spec_version = Some(value),
            "partitionkey" => self.key = Some(value),
            "source" | "type" if value.is_empty() => {
                return Err(bad(format!("the attribute {name} is empty")));
            }
            "source" => {
                self.has_source = true;
                self.others.push(header);
            }
            "type" => {
                self.has_type = true;
                self.others.push(header);
            }
            "time" => {
                let text = std::str::from_utf8(&value).unwrap_or_default();
                if text.parse::<jiff::Timestamp>().is_err() {
                    return Err(bad(format!(
                        "the time {text:?} is no RFC 3339 time like 2026-01-31T12:00:00Z"
                    )));
                }
                self.others.push(header);
            }
            _ => self.others.push(header),
        }
        Ok(())
    }

    /// Whether this says that it is a CloudEvent.
    pub fn is_event(&self) -> bool {
        self.spec_version.is_some()
    }

    /// The record of an event with these attributes and `value`.
    ///
    /// # Errors
    /// 400 when a required attribute is missing or the version is another.
    pub fn into_record(self, value: Bytes, now: WallMs) -> Result<Record, Problem> {
        match &self.spec_version {
            Some(version) if *version == SPEC_VERSION => {}
            Some(version) => {
                let version = String::from_utf8_lossy(version);
                return Err(bad(format!("specversion is {version:?}; {SPEC_VERSION:?} is spoken here")));
            }
            None => return Err(bad("the attribute specversion is missing; \"1.0\" is spoken here")),
        }
        let required = [("id", self.id.is_some()), ("source", self.has_source), ("type", self.has_type)];
        if let Some((name, _)) = required.iter().find(|(_, there)| !there) {
            return Err(bad(format!("the attribute {name} is missing; an event has id, source and type")));
        }
        self.into_plain_record(value, now)
    }

    /// The record of a plain body that brings some of these attributes along.
    ///
    /// # Errors
    /// 400 when the key cannot be one.
    pub fn into_plain_record(self, value: Bytes, now: WallMs) -> Result<Record, Problem> {
        let key = self.key.map(|key| checked_key(PARTITION_KEY, key)).transpose()?;
        let mut record = Record::new(key, value);
        record.timestamp = now;
        record.headers = self.others.into_iter().collect();
        if let Some(id) = self.id {
            record.headers.push(Header::new(seawall_core::token::TOKEN_HEADER, id));
        }
        Ok(record)
    }
}

/// `key`, as given under the name `from`, as a record's key.
///
/// # Errors
/// 400 when it is empty, too long, or holds control characters, which would be line breaks in somebody's
/// headers or logs.
pub fn checked_key(from: &str, key: Bytes) -> Result<Bytes, Problem> {
    let bad = |detail: String| Err(Problem::bad_request("key", detail));
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return bad(format!("the key in {from} has {} bytes; 1 to {KEY_BYTES_MAX} are accepted", key.len()));
    }
    match key.iter().position(u8::is_ascii_control) {
        Some(at) => {
            bad(format!("the key in {from} holds a control character ({:#04x}) at byte {at}", key[at]))
        }
        None => Ok(key),
    }
}
