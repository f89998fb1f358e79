//! What may change while running: limits. Everything else is named, so that nobody believes it took effect.

use super::Config;
use serde_json::Value;

/// The fields that differ between `old` and `new` and need a restart. Empty: the change can be taken as it is.
pub fn restart_fields(old: &Config, new: &Config) -> Vec<String> {
    let (Ok(mut old), Ok(mut new)) = (serde_json::to_value(old), serde_json::to_value(new)) else {
        return vec!["the whole config".to_owned()];
    };
    strip_limits(&mut old);
    strip_limits(&mut new);
    let mut fields = Vec::new();
    differences("", &old, &new, &mut fields);
    fields
}

fn strip_limits(config: &mut Value) {
    if let Some(ingest) = config.get_mut("ingest").and_then(Value::as_object_mut) {
        for limit in ["rate", "burst", "concurrency"] {
            ingest.remove(limit);
        }
    }
    for pipeline in config.get_mut("pipeline").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(fields) = pipeline.as_object_mut() {
            fields.remove("guard");
            fields.remove("retry");
        }
    }
}

fn differences(path: &str, old: &Value, new: &Value, out: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let side = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                differences(&path, &side(old), &side(new), out);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (at, (old, new)) in old.iter().zip(new).enumerate() {
                differences(&format!("{path}[{at}]"), old, new, out);
            }
        }
        (old, new) if old == new => {}
        _ => out.push(path.to_owned()),
    }
}
