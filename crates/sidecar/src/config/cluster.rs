//! What can be set about a Kafka cluster, and about a pipeline's membership in one of its groups.

use super::secret::SecretError;
use super::units::Period;
use schemars::JsonSchema;
use seawall_kafka::{Connection, StartAt as KafkaStartAt};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The name by which `source` and `sink` mean the embedded log.
pub const LOG: &str = "log";

/// A Kafka cluster that pipelines may read from and ingest may write to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The name that `source`, `sink` and topics mean it by. Not `"log"`.
    pub name: String,
    /// Some of its brokers as `"host:port"`; the others are learnt from them.
    pub bootstrap: Vec<String>,
    /// How what is sent to it is compressed, batch by batch. Its topics must allow it (`compression.type`: `producer`, or
    /// the brokers compress once more). Consumers need no setting.
    #[serde(default)]
    pub compression: Compression,
    /// Settings of the client (librdkafka), each name in quotes: `"security.protocol" = "SASL_SSL"`. Those that
    /// Seawall sets itself are refused, secrets belong into `secrets`. With `"sasl.mechanism" = "OAUTHBEARER"`,
    /// `"sasl.oauthbearer.token.endpoint.url" = "file:///…"` names the file that another program keeps the token in; it
    /// is read again before the token ends.
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
    /// Settings of the client whose values must show nowhere, each with the place of its value:
    /// `"sasl.password" = { file = "kafka.password" }` or `{ env = "KAFKA_PASSWORD" }`.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretPlace>,
}

/// How what is sent is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip: every client reads it, and it costs the most.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4, the cheapest.
    Lz4,
    /// Zstandard, the smallest; brokers from Kafka 2.1 on.
    Zstd,
}

impl From<Compression> for seawall_kafka::Compression {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip,
            Compression::Snappy => Self::Snappy,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd,
        }
    }
}

/// The value of a client setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a text, a whole number or a boolean; a name with dots stands in quotes, like \"sasl.mechanism\" = \"PLAIN\""
)]
pub enum Property {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// `true` or `false`.
    Flag(bool),
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

/// Where a secret is to be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "the place of the secret, { file = \"…\" } or { env = \"…\" }, never the secret itself"
)]
pub enum SecretPlace {
    /// In a file, without the white space at its end.
    File {
        /// The file; relative to the working directory.
        file: PathBuf,
    },
    /// In an environment variable.
    Env {
        /// The variable's name.
        env: String,
    },
}

impl SecretPlace {
    fn read(&self, field: &str) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::File { file } => std::fs::read_to_string(file).map_err(|source| SecretError::Read {
                field: field.to_owned(),
                path: file.clone(),
                source,
            })?,
            Self::Env { env } => std::env::var(env)
                .map_err(|_| SecretError::Missing { field: field.to_owned(), name: env.clone() })?,
        };
        match text.trim_end() {
            "" => Err(SecretError::Empty { field: field.to_owned() }),
            secret => Ok(SecretString::from(secret)),
        }
    }
}

impl Cluster {
    /// How its brokers are spoken to; reads the secrets. `at` is its place among the clusters, for errors.
    ///
    /// # Errors
    /// [`SecretError`] where a secret is not to be had.
    pub fn connection(&self, at: usize) -> Result<Connection, SecretError> {
        let mut connection = Connection::new(&self.bootstrap);
        connection.properties =
            self.properties.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        for (name, place) in &self.secrets {
            let secret = place.read(&format!("cluster[{at}].secrets.{name}"))?;
            connection.secrets.insert(name.clone(), secret);
        }
        Ok(connection)
    }
}

/// How a pipeline is a member of its consumer group. Kafka only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Member {
    /// Static membership: a restart under the same id within `session_timeout` gets its partitions back without
    /// a rebalance. Each process of the group needs its own.
    pub instance_id: Option<String>,
    /// How long the group waits for a dead member: 6s to 30m with the brokers' defaults.
    pub session_timeout: Period,
    /// How long the loop that polls may be silent; at least `session_timeout`. Handlers never hold it up.
    pub poll_interval_max: Period,
    /// Where the group starts in a partition in which it has no position.
    pub start_at: StartAt,
    /// The name that the brokers' logs and the metric `kafka_consumer_lag` show.
    pub client_id: String,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            instance_id: None,
            session_timeout: Period::from_secs(45),
            poll_interval_max: Period::from_secs(300),
            start_at: StartAt::Earliest,
            client_id: "seawall".to_owned(),
        }
    }
}

/// Where a new group starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartAt {
    /// At the oldest record held.
    #[default]
    Earliest,
    /// After the newest record at that moment.
    Latest,
}

impl From<StartAt> for KafkaStartAt {
    fn from(at: StartAt) -> Self {
        match at {
            StartAt::Earliest => Self::Earliest,
            StartAt::Latest => Self::Latest,
        }
    }
}
