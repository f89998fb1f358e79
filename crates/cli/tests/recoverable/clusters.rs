//! A cluster that goes away and comes back on command, one that stays, and the configuration of a Seawall before them.

use crate::house::http;
use crate::house::seawall::Seawall;
use crate::tool::seawall;
use seawall_infra::{Fault, FaultProxy, KafkaCluster, KafkaOptions, kafka_behind_proxies_or_skip};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The longest that a test waits for one thing.
pub const BOUND: Duration = Duration::from_mins(1);

/// A producer that notices soon what a cluster does.
pub const SOON: &str = "[producer]\ndelivery_timeout = \"1s\"\npatience = \"200ms\"\n\
    backoff = { base = \"50ms\", max = \"200ms\" }\nbreaker = { open_for = \"200ms\" }\n";

/// The cluster that goes away, for one test at a time. It is back when this is dropped.
pub struct Away {
    kafka: &'static KafkaCluster,
    proxy: &'static FaultProxy,
    _alone: MutexGuard<'static, ()>,
}

/// That cluster; it dies with the process.
pub fn away(test: &str) -> Option<Away> {
    static CLUSTER: OnceLock<Option<(KafkaCluster, Vec<FaultProxy>)>> = OnceLock::new();
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let start = || kafka_behind_proxies_or_skip(test, KafkaOptions::default(), 1);
    let Some((kafka, proxies)) = CLUSTER.get_or_init(start) else {
        println!("SKIP {test}: no Kafka: java or mvn is missing");
        return None;
    };
    Some(Away { kafka, proxy: &proxies[0], _alone: alone })
}

impl Away {
    /// Where Seawall reaches it.
    pub fn bootstrap(&self) -> String {
        self.kafka.bootstrap_proxied()
    }

    pub fn leave(&self) {
        self.proxy.inject(Fault::Refuse);
    }

    pub fn come_back(&self) {
        self.proxy.heal();
    }

    pub fn kafka(&self) -> &'static KafkaCluster {
        self.kafka
    }

    /// What is in `topic`, which is there to be seen also while the cluster is away for Seawall.
    pub fn consumed(&self, topic: &str) -> Vec<Value> {
        consumed(self.kafka, topic)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.proxy.heal();
    }
}

pub fn consumed(kafka: &KafkaCluster, topic: &str) -> Vec<Value> {
    let brokers = kafka.bootstrap();
    let arguments =
        ["consume", topic, "--bootstrap", &brokers, "--from-start", "--exit-at-end", "--format", "json"];
    seawall(&arguments, "").json()
}

/// A cluster `name` whose client tries again soon.
pub fn cluster(name: &str, bootstrap: &str) -> String {
    format!(
        "[[cluster]]\nname = {name:?}\nbootstrap = [{bootstrap:?}]\n\
         properties = {{ \"reconnect.backoff.ms\" = 50, \"reconnect.backoff.max.ms\" = 200 }}\n"
    )
}

/// The configuration of a Seawall whose ingest writes `topic` to the cluster `kafka`. `more` begins with the producer.
pub fn write(dir: &Path, topic: &str, clusters: &str, more: &str) -> PathBuf {
    let data = dir.join("data").display().to_string();
    let text = format!(
        "{clusters}\n[data]\ndir = {data:?}\n[ingest]\nsink = \"kafka\"\n[[topic]]\nname = {topic:?}\n\
         cluster = \"kafka\"\npartitions = 2\nreplication = 1\n{more}\n"
    );
    let file = dir.join("seawall.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// The first producer, as scripts see it.
pub fn producer(server: &Seawall) -> Value {
    named(server, 0)
}

/// The producer at this place.
pub fn named(server: &Seawall, at: usize) -> Value {
    http::get(server.admin, "/v1/producers").json()["producers"][at].clone()
}

/// Waits until everything is delivered and records go straight to the cluster.
pub fn until_direct(server: &Seawall) {
    crate::house::wait_for("the replay is done", BOUND, || {
        let shown = producer(server);
        let done = shown["spill"]["waiting_records"] == 0
            && shown["memory"]["records"] == 0
            && shown["state"] == "direct";
        done.then_some(())
    });
}
