//! Apache Kafka: fetched, formatted, started, broken on purpose, taken down.

mod access;
mod broker;
mod certificates;
mod cluster;
mod error;
mod format;
mod install;
mod java;
mod options;
mod probe;
mod properties;

pub use access::Mechanism;
pub use cluster::KafkaCluster;
pub use error::KafkaError;
pub use options::{KafkaOptions, User};
