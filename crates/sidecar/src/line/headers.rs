//! The headers of a line, read no further than a record may have them.
//!
//! Values stay text until they are known to be few: a list of a million zeros where a header's text should stand is
//! two megabytes as text, and some thirty as values.

use crate::problem::Problem;
use seawall_core::RecordError;
use seawall_core::record::HEADERS_MAX;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// What a line has under `headers`.
#[derive(Debug, Default)]
pub(super) struct LineHeaders<'a> {
    /// At most one more than a record may have.
    pairs: Vec<(String, &'a RawValue)>,
    count: usize,
}

impl<'a> LineHeaders<'a> {
    /// All of them.
    ///
    /// # Errors
    /// 413 when there are more than a record may have.
    pub(super) fn bounded(self) -> Result<Vec<(String, &'a RawValue)>, Problem> {
        if self.count > HEADERS_MAX {
            let error = RecordError::TooManyHeaders { count: self.count, max: HEADERS_MAX };
            return Err(Problem::too_large(error.to_string()));
        }
        Ok(self.pairs)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for LineHeaders<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

/// An object, or pairs.
struct Either;

const EXPECTED: &str = "headers as an object, or as [name, value] pairs";

impl<'de> Visitor<'de> for Either {
    type Value = LineHeaders<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut named = BTreeMap::new();
        while named.len() <= HEADERS_MAX
            && let Some((name, value)) = map.next_entry::<String, &RawValue>()?
        {
            named.insert(name, value);
        }
        let mut count = named.len();
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(LineHeaders { pairs: named.into_iter().collect(), count })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        let no_pair = |error| A::Error::custom(format_args!("{EXPECTED}: {error}"));
        while pairs.len() <= HEADERS_MAX
            && let Some(pair) = seq.next_element::<(String, &RawValue)>().map_err(no_pair)?
        {
            pairs.push(pair);
        }
        let mut count = pairs.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(LineHeaders { pairs, count })
    }
}

/// A header's value.
pub(super) enum Value {
    Text(String),
    Base64(String),
}

/// The value that `raw` stands for, where it is one.
pub(super) fn value(raw: &RawValue) -> Option<Value> {
    #[derive(serde::Deserialize)]
    struct Base64 {
        base64: String,
    }
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).ok().map(Value::Text),
        Some(b'{') => serde_json::from_str(json).ok().map(|Base64 { base64 }| Value::Base64(base64)),
        _ => None,
    }
}
