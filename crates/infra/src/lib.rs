//! Real servers on private ports, for tests and for a developer's shell.
//!
//! Kafka so far: [`KafkaCluster`] runs 1 or 3 real Apache Kafka brokers (KRaft, each broker and controller in
//! one) on ports of 127.0.0.1, from Maven artifacts. They live as long as the value does, and die with the
//! process however that ends. Nothing of Seawall is used here, so that every crate's tests may use this.
//!
//! ```no_run
//! use seawall_infra::{KafkaOptions, kafka_or_skip};
//!
//! let Some(kafka) = kafka_or_skip("records_arrive", KafkaOptions::default()) else { return };
//! let servers = kafka.bootstrap();
//! ```

mod cache;
mod capture;
mod kafka;
mod leash;
mod skip;
mod slot;
mod wait;

pub use capture::Captured;
pub use kafka::{KafkaCluster, KafkaError, KafkaOptions, Mechanism, User};
pub use skip::kafka_or_skip;
