//! Where in a file clients are.

use super::name::words;
use super::{Client, Dialect, Name, Setting};
use crate::document::{Node, Value};
use std::collections::BTreeMap;

/// Words that make of a part of a larger file the settings of a Kafka client.
const MARKS: &[&str] = &["kafka", "rdkafka", "librdkafka", "sarama", "kgo", "franz"];
/// Names that only librdkafka and its bindings have.
const LIBRDKAFKA: &[&str] = &[
    "metadata.broker.list",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "fetch.message.max.bytes",
    "request.required.acks",
    "message.send.max.retries",
    "max.in.flight",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "broker.address.family",
    "statistics.interval.ms",
    "sasl.mechanisms",
    "sasl.username",
    "ssl.ca.location",
    "go.delivery.reports",
    "debug",
];

/// The client of a file of `name=value` lines; none where no setting is a Kafka client's.
pub(crate) fn in_properties(node: &Node) -> Vec<Client> {
    let settings: Vec<Setting> =
        node.entries().iter().filter_map(|(key, node)| setting(key, key, node)).collect();
    let is = |key: &str, name: &str| key == name || key.ends_with(&format!(".{name}"));
    let librdkafka = node.entries().iter().any(|(key, _)| LIBRDKAFKA.iter().any(|name| is(key, name)));
    let dialect = if librdkafka { Dialect::Librdkafka } else { Dialect::Java };
    if settings.is_empty() { Vec::new() } else { vec![Client { dialect, settings }] }
}

/// The clients of a YAML or JSON tree: one for each place that names brokers or Kafka, and one for each item
/// of a list below it.
pub(crate) fn in_tree(root: &Node) -> Vec<Client> {
    let mut walk = Walk { found: BTreeMap::new() };
    walk.see(root, &Place { path: String::new(), scope: None });
    let clients = walk.found.into_values().filter(|settings| !settings.is_empty());
    clients.map(|settings| Client { dialect: dialect(&settings), settings }).collect()
}

/// The names of Java and librdkafka are spelled out with dots wherever they stand.
fn dialect(settings: &[Setting]) -> Dialect {
    let ends = |names: &[&str]| {
        settings.iter().any(|setting| names.iter().any(|name| setting.written.ends_with(name)))
    };
    if ends(LIBRDKAFKA) { Dialect::Librdkafka } else { Dialect::Other }
}

struct Place {
    path: String,
    /// Where the client begins.
    scope: Option<String>,
}

struct Walk {
    found: BTreeMap<String, Vec<Setting>>,
}

impl Walk {
    fn see(&mut self, node: &Node, place: &Place) {
        match &node.value {
            Value::Scalar(_) => {}
            Value::List(items) => {
                for (nth, item) in items.iter().enumerate() {
                    let path = format!("{}.{nth}", place.path);
                    let scope = place.scope.as_ref().map(|_| path.clone());
                    self.see(item, &Place { path, scope });
                }
            }
            Value::Map(entries) => {
                let marked = entries.iter().any(|(key, _)| Name::of(key) == Some(Name::Brokers));
                let here = place.scope.clone().or_else(|| marked.then(|| place.path.clone()));
                for (key, node) in entries {
                    let path =
                        if place.path.is_empty() { key.clone() } else { format!("{}.{key}", place.path) };
                    let named = words(key).iter().any(|word| MARKS.contains(&word.as_str()));
                    let scope = here.clone().or_else(|| named.then(|| path.clone()));
                    if let Some(scope) = &scope
                        && let Some(setting) = setting(&path, key, node)
                    {
                        self.found.entry(scope.clone()).or_default().push(setting);
                    }
                    self.see(node, &Place { path, scope });
                }
            }
        }
    }
}

/// A list, as of brokers, is no value but is one all the same.
fn setting(path: &str, key: &str, node: &Node) -> Option<Setting> {
    let name = Name::of(path)?;
    let value = match &node.value {
        Value::Scalar(text) => text.clone(),
        Value::List(_) if name == Name::Brokers => String::new(),
        _ => return None,
    };
    let written = if words(key).len() > 1 || !path.contains('.') { key } else { path };
    Some(Setting { name, written: written.to_owned(), value, line: node.line })
}
