//! What has a receipt, and whether it is in the topic.

use crate::house::http::{Answer, Connection};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const KEYS: u64 = 7;
/// Records of one post.
pub const BATCH: u64 = 40;

/// Numbered records over some keys, with the ids that their receipts name.
pub struct Acknowledged {
    path: String,
    padding: String,
    next: u64,
    tokens: BTreeMap<String, String>,
}

/// What a post was answered with.
#[derive(Debug)]
pub struct Posted {
    pub answer: Answer,
    /// The durabilities of its receipts.
    pub durabilities: BTreeSet<String>,
    /// The clusters that they name.
    pub sinks: BTreeSet<String>,
}

impl Posted {
    /// Whether everything was taken, with this receipt.
    pub fn only(&self, durability: &str) -> bool {
        self.durabilities.iter().eq([durability]) && matches!(self.answer.status, 201 | 202)
    }
}

impl Acknowledged {
    pub fn new(topic: &str) -> Self {
        Self::of_size(topic, 0)
    }

    /// Records of more than so many bytes.
    pub fn of_size(topic: &str, bytes: usize) -> Self {
        let path = format!("/v1/topics/{topic}/records");
        Self { path, padding: "x".repeat(bytes), next: 0, tokens: BTreeMap::new() }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.tokens.len() as u64
    }

    /// What was acknowledged so far is no matter any more.
    pub fn forget(&mut self) {
        self.tokens.clear();
    }

    /// Posts one batch over all keys that must be taken whole.
    pub fn post(&mut self, connection: &mut Connection) -> Posted {
        let posted = self.try_post(connection, &[]);
        assert!(matches!(posted.answer.status, 201 | 202), "{posted:?}");
        posted
    }

    /// Posts one batch over all keys, with further headers, and notes what of it was acknowledged.
    pub fn try_post(&mut self, connection: &mut Connection, headers: &[(&str, &str)]) -> Posted {
        let numbers = self.next..self.next + BATCH;
        self.next += BATCH;
        let value = |n: u64| format!("k{}-{n:06}", n % KEYS);
        let padding = &self.padding;
        let line = |n: u64| format!("{{\"key\":\"k{}\",\"value\":\"{}{padding}\"}}\n", n % KEYS, value(n));
        let body: String = numbers.clone().map(line).collect();
        let kind = [("content-type", "application/vnd.seawall.records+ndjson")];
        let headers = [&kind, headers].concat();
        let answer = connection.send("POST", &self.path, &headers, body.as_bytes()).unwrap();
        let mut posted = Posted { answer, durabilities: BTreeSet::new(), sinks: BTreeSet::new() };
        if posted.answer.status / 100 != 2 {
            return posted;
        }
        let entries = posted.answer.json();
        for (n, entry) in numbers.zip(entries.as_array().unwrap()) {
            let Some(durability) = entry["durability"].as_str() else { continue };
            // No place, no offset: a receipt from the disk or from memory does not make one up.
            assert_eq!(entry["offset"].is_u64(), durability == "replicated", "{entry}");
            self.tokens.insert(value(n), entry["token"].as_str().unwrap().to_owned());
            posted.durabilities.insert(durability.to_owned());
            posted.sinks.extend(entry["sink"].as_str().map(str::to_owned));
        }
        posted
    }

    /// Every acknowledged record is in one of the clusters under its id; in each, each key's are in order once repeats are
    /// left out.
    pub fn check(&self, clusters: &[Vec<Value>]) {
        let mut found = BTreeSet::new();
        for records in clusters {
            let mut seen: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            let mut here = BTreeSet::new();
            for record in records {
                let (key, value) = (record["key"].as_str().unwrap(), record["value"].as_str().unwrap());
                let value = value.trim_end_matches('x');
                if let Some(token) = self.tokens.get(value) {
                    assert_eq!(record["headers"]["ce-id"], token.as_str(), "{record}");
                }
                if here.insert(value) {
                    seen.entry(key).or_default().push(value);
                }
            }
            for (key, values) in seen {
                assert!(values.is_sorted(), "the order of {key} is broken: {values:?}");
            }
            found.extend(here);
        }
        let lost: Vec<_> = self.tokens.keys().filter(|value| !found.contains(value.as_str())).collect();
        assert!(lost.is_empty(), "{} acknowledged records are in no cluster: {lost:?}", lost.len());
    }
}
