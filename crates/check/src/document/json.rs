//! JSON, with the lines that serde_json does not keep: each value is read as the slice it stands in.

use super::{Node, Value};
use crate::error::CheckError;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

pub(crate) fn parse(file: &str, text: &str) -> Result<Node, CheckError> {
    let malformed = |error: serde_json::Error| CheckError::Malformed {
        file: file.to_owned(),
        line: error.line(),
        problem: format!("not JSON: {error}"),
    };
    // Refuses what is nested deeper than the recursion below could follow.
    let _: serde_json::Value = serde_json::from_str(text).map_err(malformed)?;
    let lines = Lines(text.match_indices('\n').map(|(at, _)| at).collect());
    node(text, &lines, serde_json::from_str(text).map_err(malformed)?).map_err(malformed)
}

/// Where lines end.
struct Lines(Vec<usize>);

impl Lines {
    fn of(&self, at: usize) -> usize {
        self.0.partition_point(|end| *end < at) + 1
    }
}

fn node(text: &str, lines: &Lines, raw: &RawValue) -> Result<Node, serde_json::Error> {
    let slice = raw.get();
    let line = lines.of(slice.as_ptr() as usize - text.as_ptr() as usize);
    let value = match slice.as_bytes().first() {
        Some(b'{') => {
            let map: BTreeMap<String, &RawValue> = serde_json::from_str(slice)?;
            let entry = |(key, raw)| Ok((key, node(text, lines, raw)?));
            Value::Map(map.into_iter().map(entry).collect::<Result<_, serde_json::Error>>()?)
        }
        Some(b'[') => {
            let list: Vec<&RawValue> = serde_json::from_str(slice)?;
            Value::List(list.into_iter().map(|raw| node(text, lines, raw)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Value::Scalar(serde_json::from_str(slice)?),
        _ => Value::Scalar(slice.to_owned()),
    };
    Ok(Node { line, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept() {
        let read = parse("f", "{\n \"a\": [1,\n  {\"b\": \"x\\u00e9\"}],\n \"c\": true}").unwrap();
        let inner = read.get("a").unwrap().items()[1].get("b").unwrap();
        assert_eq!((inner.line, inner.text()), (3, Some("xé")));
        assert_eq!(read.get("c").unwrap().text(), Some("true"));
        assert!(parse("f", "{\n\"a\": }").unwrap_err().to_string().starts_with("f:2: not JSON"));
        assert!(parse("f", &"[".repeat(100_000)).is_err());
    }
}
