//! A record as one line of JSON, for pipes and files.
//!
//! ```json
//! {"topic":"orders","partition":3,"offset":17,"timestamp_ms":1700000000000,"key":"c7","value":"{}","headers":{"ce-id":"a"}}
//! ```
//!
//! Text stands as it is; a key, value or header that is not UTF-8 stands in base64 under the same name with
//! `_base64` behind it (a header as an object `{"base64": …}`). Headers are an object; where a name repeats, a
//! list of `[name, value]` pairs. Read back, `value` may be any JSON: what is no string is taken as its own
//! text.

mod headers;

use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use headers::LineHeaders;
use seawall_core::{Header, Headers, Record, TopicPartition, WallMs};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The content type of records as lines, key and headers included.
pub const CONTENT_TYPE: &str = "application/vnd.seawall.records+ndjson";

/// `record` at its place, as one line without its newline; `refused` is why a sink did not take it.
pub fn to_line(partition: &TopicPartition, offset: u64, record: &Record, refused: Option<&str>) -> String {
    let mut line = Map::new();
    line.insert("topic".into(), json!(&*partition.topic));
    line.insert("partition".into(), json!(partition.partition));
    line.insert("offset".into(), json!(offset));
    line.insert("timestamp_ms".into(), json!(record.timestamp.0));
    if let Some(key) = &record.key {
        put(&mut line, "key", key);
    }
    put(&mut line, "value", &record.value);
    if !record.headers.is_empty() {
        line.insert("headers".into(), headers_to_json(&record.headers));
    }
    if let Some(reason) = refused {
        line.insert("refused".into(), json!(reason));
    }
    Value::Object(line).to_string()
}

fn put(line: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => line.insert(name.to_owned(), json!(text)),
        Err(_) => line.insert(format!("{name}_base64"), json!(BASE64.encode(bytes))),
    };
}

/// Headers as an object, or as pairs where a name repeats.
pub fn headers_to_json(headers: &Headers) -> Value {
    let value = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": BASE64.encode(bytes) }),
    };
    let names: BTreeSet<&str> = headers.iter().map(Header::name).collect();
    if names.len() == headers.len() {
        return Value::Object(headers.iter().map(|h| (h.name().to_owned(), value(&h.value))).collect());
    }
    Value::Array(headers.iter().map(|h| json!([h.name(), value(&h.value)])).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    key: Option<String>,
    key_base64: Option<String>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    value_base64: Option<String>,
    #[serde(borrow, default)]
    headers: LineHeaders<'a>,
    timestamp_ms: Option<i64>,
    #[serde(rename = "topic")]
    _topic: Option<String>,
    #[serde(rename = "partition")]
    _partition: Option<u32>,
    #[serde(rename = "offset")]
    _offset: Option<u64>,
    #[serde(rename = "refused")]
    _refused: Option<String>,
}

/// The record that `line` stands for. `topic`, `partition`, `offset` and `refused` are ignored, so that what was consumed
/// can be produced again; without `timestamp_ms`, `now` is taken.
///
/// # Errors
/// 400, saying what would be right; 413 when there are too many headers.
pub fn from_line(line: &[u8], now: WallMs) -> Result<Record, Problem> {
    let bad = |detail: String| Problem::bad_request("line", detail);
    let line: Line<'_> = serde_json::from_slice(line).map_err(|e| {
        bad(format!(
            "not a record ({e}); a line looks like {{\"key\":\"c7\",\"value\":\"…\",\"headers\":{{}}}}"
        ))
    })?;
    let decode = |what: &str, text: &str| {
        BASE64.decode(text).map(Bytes::from).map_err(|_| bad(format!("{what}_base64 is not base64")))
    };
    let key = match (line.key, line.key_base64) {
        (Some(key), None) => Some(Bytes::from(key)),
        (None, Some(key)) => Some(decode("key", &key)?),
        (None, None) => None,
        (Some(_), Some(_)) => return Err(bad("key and key_base64 exclude each other".to_owned())),
    };
    let value = match (line.value, line.value_base64) {
        (Some(raw), None) => text_of(raw),
        (None, Some(value)) => decode("value", &value)?,
        (None, None) => return Err(bad("a record has a value or a value_base64".to_owned())),
        (Some(_), Some(_)) => return Err(bad("value and value_base64 exclude each other".to_owned())),
    };
    let mut record = Record::new(key, value);
    record.timestamp = line.timestamp_ms.map_or(now, WallMs);
    for (name, raw) in line.headers.bounded()? {
        let value = match headers::value(raw) {
            Some(headers::Value::Text(text)) => Bytes::from(text),
            Some(headers::Value::Base64(text)) => decode("header", &text)?,
            None => return Err(bad(format!("the header {name:?} is neither text nor {{\"base64\": …}}"))),
        };
        record.headers.push(Header::new(name, value));
    }
    Ok(record)
}

/// A JSON string as its content, anything else as its own text.
pub(crate) fn text_of(raw: &RawValue) -> Bytes {
    match serde_json::from_str::<String>(raw.get()) {
        Ok(text) => Bytes::from(text),
        Err(_) => Bytes::copy_from_slice(raw.get().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_record_survives_a_line() {
        let mut record = Record::new(Bytes::from_static(&[0xff, 0]), Bytes::from_static(&[0xfe]));
        record.timestamp = WallMs(5);
        record.headers.push(Header::new("a", "1\n2"));
        record.headers.push(Header::new("a", Bytes::from_static(&[0x80])));
        let partition = TopicPartition::new("orders", 1);
        for keyed in [record.clone(), Record { key: None, headers: Headers::default(), ..record }] {
            let line = to_line(&partition, 9, &keyed, Some("too large"));
            assert!(!line.contains('\n'));
            assert_eq!(from_line(line.as_bytes(), WallMs(0)).expect("reads back"), keyed);
        }
    }

    #[test]
    fn a_value_may_be_any_json_and_keeps_its_digits() {
        let record =
            from_line(br#"{"key":"k","value":{"n":18446744073709551616.10}}"#, WallMs(7)).expect("fine");
        assert_eq!(record.value, r#"{"n":18446744073709551616.10}"#);
        assert_eq!(record.timestamp, WallMs(7));
    }

    #[test]
    fn headers_are_counted_and_not_kept_beyond_their_bound() {
        let object: Vec<String> = (0..500).map(|n| format!("\"h{n}\":[0,0,0]")).collect();
        let pairs: Vec<String> = (0..500).map(|n| format!("[\"h{n}\",\"x\"]")).collect();
        for headers in [format!("{{{}}}", object.join(",")), format!("[{}]", pairs.join(","))] {
            let line = format!("{{\"value\":1,\"headers\":{headers}}}");
            let problem = from_line(line.as_bytes(), WallMs(0)).expect_err("too many");
            assert_eq!(problem.status(), 413);
            assert_eq!(problem.detail(), "record has 500 headers; at most 128 are accepted");
        }
    }

    #[test]
    fn says_what_a_header_would_be() {
        for (headers, says) in [
            (r#"{"a":[0,0]}"#, "the header \"a\" is neither text nor {\"base64\": …}"),
            (r#"{"a":{"base46":"YQ=="}}"#, "the header \"a\" is neither text nor {\"base64\": …}"),
            (r#"{"a":{"base64":"*"}}"#, "header_base64 is not base64"),
            ("7", "expected headers as an object, or as [name, value] pairs"),
            (r#"[["a"]]"#, "headers as an object, or as [name, value] pairs"),
        ] {
            let line = format!("{{\"value\":1,\"headers\":{headers}}}");
            let problem = from_line(line.as_bytes(), WallMs(0)).expect_err(headers);
            assert!(problem.detail().contains(says), "{headers}: {}", problem.detail());
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_line() {
        for line in [
            "",
            "5",
            "{}",
            r#"{"value":"a","vlaue":1}"#,
            r#"{"value":1,"value_base64":""}"#,
            r#"{"value_base64":"#,
            r#"{"value":1,"headers":{"a":5}}"#,
            r#"{"value":1,"headers":7}"#,
        ] {
            assert_eq!(from_line(line.as_bytes(), WallMs(0)).expect_err(line).status(), 400);
        }
    }
}
