//! What can be set: the process, its listeners, its topics. Pipelines have a file of their own.

use super::cluster::{Cluster, LOG};
use super::pipeline::{Concurrency, Pipeline, RatePerSecond};
use super::producer::Producer;
use super::units::{Period, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// A whole configuration. The smallest that runs has one `[[pipeline]]` with `name`, `topics` and a push `url`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where records are kept.
    pub data: Data,
    /// The HTTP address that takes records in.
    pub ingest: Ingest,
    /// The HTTP address of the admin API, the metrics and the dashboard.
    pub admin: Admin,
    /// Kafka clusters to read from and to write to.
    pub cluster: Vec<Cluster>,
    /// What keeps records that a Kafka cluster cannot take, until it can.
    pub producer: Option<Producer>,
    /// Topics with settings of their own. A topic that only a pipeline names exists with the defaults.
    pub topic: Vec<Topic>,
    /// The pipelines: each takes the records of its topics to one service.
    pub pipeline: Vec<Pipeline>,
}

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The directory of the embedded log. One process owns it. Relative to the working directory.
    pub dir: PathBuf,
}

impl Default for Data {
    fn default() -> Self {
        Self { dir: PathBuf::from("seawall-data") }
    }
}

/// The HTTP address that takes records in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ingest {
    /// IP address and port to listen on; port 0 picks a free one.
    #[schemars(with = "String")]
    pub addr: SocketAddr,
    /// Where records go: `"log"` (the embedded log), or the name of a `[[cluster]]`; `[producer]` says what happens
    /// while a cluster is away. Without that they are refused with 503.
    pub sink: String,
    /// A file whose first line is the bearer token that callers must present. Needed for an address other
    /// than loopback.
    pub token_file: Option<PathBuf>,
    /// An environment variable that holds the token, instead of `token_file`.
    pub token_env: Option<String>,
    /// Host names (without port) that callers may use besides the address itself and `localhost`.
    pub hosts: Vec<String>,
    /// The largest request body, after decompression. At most 64MiB.
    pub max_body: Size,
    /// Request bodies held at the same time, all together; at least twice `max_body`. Above it: 503.
    pub memory: Size,
    /// Records a second taken in, over all callers; without it, no limit. Above it: 429.
    pub rate: Option<RatePerSecond>,
    /// Records that may come at once before `rate` refuses; by default a tenth of `rate`, at least 1.
    pub burst: Option<RatePerSecond>,
    /// Requests worked on at the same time. Above it: 503.
    pub concurrency: Concurrency,
    /// Connections open at the same time. Above it: closed at once.
    pub max_connections: usize,
    /// A client has this long to send its request head.
    pub header_timeout: Period,
    /// A client has this long to send its body.
    pub body_timeout: Period,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            sink: LOG.to_owned(),
            token_file: None,
            token_env: None,
            hosts: Vec::new(),
            max_body: Size::mib(16),
            memory: Size::mib(128),
            rate: None,
            burst: None,
            concurrency: Concurrency(1024),
            max_connections: 1024,
            header_timeout: Period::from_secs(10),
            body_timeout: Period::from_secs(30),
        }
    }
}

/// The HTTP address of the admin API, the metrics and the dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// IP address and port to listen on; port 0 picks a free one. Any other address than loopback demands a
    /// token.
    #[schemars(with = "String")]
    pub addr: SocketAddr,
    /// A file whose first line is the bearer token that callers must present.
    pub token_file: Option<PathBuf>,
    /// An environment variable that holds the token, instead of `token_file`.
    pub token_env: Option<String>,
    /// Host names (without port) that callers may use besides the address itself and `localhost`.
    pub hosts: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090),
            token_file: None,
            token_env: None,
            hosts: Vec::new(),
        }
    }
}

/// How many partitions a topic has that no `[[topic]]` describes.
pub const PARTITIONS_DEFAULT: u32 = 8;
/// The most partitions of a topic.
pub const PARTITIONS_MAX: u32 = 1024;

/// A topic of the embedded log, or of a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Its name: 1 to 200 of `a`–`z`, `A`–`Z`, `0`–`9`, `.`, `_` and `-`.
    pub name: String,
    /// The `[[cluster]]` it belongs to, which gets it where it is missing. Without it, the embedded log.
    #[serde(default)]
    pub cluster: Option<String>,
    /// How many partitions, 1 to 1024. Fixed once the topic exists.
    #[serde(default = "partitions_default")]
    pub partitions: u32,
    /// Copies of each partition, for a topic of a cluster; the brokers' default without it.
    #[serde(default)]
    pub replication: Option<u16>,
    /// Bytes kept per partition; the oldest segments go first. Without it, no bound.
    #[serde(default)]
    pub retention_bytes: Option<Size>,
    /// How long records are kept. Without it, for ever (on a cluster: as its brokers do). Of a topic of a
    /// cluster, retention is set when Seawall makes it.
    #[serde(default)]
    pub retention_age: Option<Period>,
}

fn partitions_default() -> u32 {
    PARTITIONS_DEFAULT
}

impl Topic {
    /// A topic with the defaults.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            cluster: None,
            partitions: PARTITIONS_DEFAULT,
            replication: None,
            retention_bytes: None,
            retention_age: None,
        }
    }
}
