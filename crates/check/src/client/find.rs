//! Where in a file clients are.

use super::name::{prefix, words};
use super::prefix::Prefixes;
use super::{Client, Dialect, Name, Setting};
use crate::document::{Node, Value};
use std::collections::BTreeSet;

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

/// Words, beside those that hold `kafka`, by which a prefix in a file of `name=value` lines is a client's.
const OTHER_MARKS: &[&str] = &["producer", "producers", "consumer", "consumers", "sarama", "kgo", "franz"];

/// The clients of a file of `name=value` lines; none where no setting is a Kafka client's. Such a file may be a
/// whole application's, whose other parts have sessions and heartbeats too.
pub(crate) fn in_properties(node: &Node) -> Vec<Client> {
    let named = node.entries().iter().filter_map(|(key, _)| Name::split(key));
    let brokers: BTreeSet<Vec<String>> =
        named.filter(|(name, _)| *name == Name::Brokers).map(|(_, prefix)| prefix).collect();
    let is_kafkas = |prefix: &[String]| {
        prefix.is_empty() || marked(prefix) || (1..=prefix.len()).any(|end| brokers.contains(&prefix[..end]))
    };
    // The group of Kafka Connect's workers has no offsets to commit.
    let worker = node.entries().iter().any(|(key, _)| key.ends_with(".storage.topic"));
    let mut found = Prefixes::default();
    for (key, node) in node.entries() {
        if let Some((prefix, setting)) = setting(key, key, node)
            && is_kafkas(&prefix)
            && !(worker && setting.name == Name::GroupId)
        {
            found.add(prefix, setting);
        }
        let before = LIBRDKAFKA.iter().filter_map(|name| key.strip_suffix(name));
        if before.filter(|rest| rest.is_empty() || rest.ends_with('.')).any(|rest| is_kafkas(&prefix(rest))) {
            found.librdkafka(Vec::new());
        }
    }
    found.clients(Dialect::Java)
}

fn marked(prefix: &[String]) -> bool {
    prefix.iter().any(|word| word.contains("kafka") || OTHER_MARKS.contains(&word.as_str()))
        || prefix.windows(2).any(|pair| pair == ["mp", "messaging"])
}

/// The clients of a YAML or JSON tree, by prefix, in each place that names brokers or Kafka.
pub(crate) fn in_tree(root: &Node) -> Vec<Client> {
    let mut walk = Walk { found: Prefixes::default() };
    walk.see(root, &Place { path: String::new(), scope: None });
    walk.found.clients(Dialect::Other)
}

struct Place {
    path: String,
    /// Where the client begins.
    scope: Option<String>,
}

struct Walk {
    found: Prefixes,
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
                        && let Some((words, setting)) = setting(&path, key, node)
                    {
                        // The names of Java and librdkafka are spelled out with dots wherever they stand.
                        if LIBRDKAFKA.iter().any(|name| setting.written.ends_with(name)) {
                            self.found.librdkafka(prefix(scope));
                        }
                        self.found.add(words, setting);
                    }
                    self.see(node, &Place { path, scope });
                }
            }
        }
    }
}

/// A setting and its prefix. A list, as of brokers, is no value but is one all the same.
fn setting(path: &str, key: &str, node: &Node) -> Option<(Vec<String>, Setting)> {
    let (name, prefix) = Name::split(path)?;
    let value = match &node.value {
        Value::Scalar(text) => text.clone(),
        Value::List(_) if name == Name::Brokers => String::new(),
        _ => return None,
    };
    let written = if words(key).len() > 1 || !path.contains('.') { key } else { path };
    Some((prefix, Setting { name, written: written.to_owned(), value, line: node.line, passed_on: false }))
}
