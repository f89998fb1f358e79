//! What stands between a config and its cluster.

use super::fit::Unfit;
use crate::config::SecretError;
use seawall_core::{Class, Classify};
use seawall_kafka::KafkaError;

/// Why a cluster cannot serve what the config asks of it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A secret cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Its settings are refused.
    #[error("cluster {cluster:?}: its settings are refused")]
    Client {
        /// The cluster.
        cluster: String,
        /// What the client says.
        #[source]
        source: Box<KafkaError>,
    },
    /// A topic is missing, cannot be seen or cannot be made.
    #[error("cluster {cluster:?}, topic {topic:?}: {hint}")]
    Topic {
        /// The cluster.
        cluster: String,
        /// The topic.
        topic: String,
        /// What would help.
        hint: &'static str,
        /// What the cluster says.
        #[source]
        source: Box<KafkaError>,
    },
    /// A topic is there in another shape.
    #[error(
        "cluster {cluster:?}: topic {topic:?} has {there} partitions, and the config says {wanted}; a topic's \
         partitions are raised by hand, since keys move with it"
    )]
    Partitions {
        /// The cluster.
        cluster: String,
        /// The topic.
        topic: String,
        /// What it has.
        there: usize,
        /// What the config says.
        wanted: u32,
    },
    /// A topic is there, and would throw away what Seawall keeps in it.
    #[error("cluster {cluster:?}: topic {topic:?} has {unfit}")]
    Unfit {
        /// The cluster.
        cluster: String,
        /// The topic.
        topic: String,
        /// The setting, what it has and what would be right.
        unfit: Box<Unfit>,
    },
}

impl ClusterError {
    /// Whether the config is at fault, rather than what it meets.
    pub fn is_config(&self) -> bool {
        match self {
            Self::Secret(_) | Self::Partitions { .. } | Self::Unfit { .. } => true,
            Self::Client { source, .. } | Self::Topic { source, .. } => source.is_setting(),
        }
    }
}

impl Classify for ClusterError {
    fn class(&self) -> Class {
        match self {
            Self::Secret(_) | Self::Partitions { .. } | Self::Unfit { .. } => Class::Permanent,
            Self::Client { source, .. } | Self::Topic { source, .. } => source.class(),
        }
    }
}
