//! What can go wrong with a cluster, by name.

use rdkafka::error::RDKafkaErrorCode;
use seawall_core::{Class, Classify, RecordError};

/// Why Kafka refuses or fails: what was tried, what the broker or the client said, and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// A client setting that is missing, unknown, or belongs to Seawall.
    #[error("Kafka setting `{name}` is {value:?}: it must be {want}")]
    Setting {
        /// The setting.
        name: String,
        /// Its value; empty for a secret.
        value: String,
        /// What would be right.
        want: String,
    },
    /// The client could not be made from its settings.
    #[error("the Kafka client cannot start while {doing}")]
    Client {
        /// What was tried.
        doing: &'static str,
        /// What librdkafka said.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// A broker, or the client on its behalf, said no.
    #[error("{doing}: {code:?}: {advice}")]
    Refused {
        /// What was tried, with topic, partition or group.
        doing: String,
        /// The protocol's or the client's code.
        code: RDKafkaErrorCode,
        /// What to do about it.
        advice: &'static str,
        /// What was said.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// A record over its bounds.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The client or its thread was closed.
    #[error("the Kafka client is closed")]
    Closed,
}

impl KafkaError {
    pub(crate) fn setting(name: &str, value: &str, want: &str) -> Self {
        Self::Setting { name: name.to_owned(), value: value.to_owned(), want: want.to_owned() }
    }
}

impl Classify for KafkaError {
    fn class(&self) -> Class {
        match self {
            Self::Setting { .. } | Self::Client { .. } | Self::Record(_) => Class::Permanent,
            Self::Refused { .. } => Class::Transient,
            Self::Closed => Class::Bug,
        }
    }
}
