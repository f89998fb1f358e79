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
//!
//! [`FaultProxy`] stands between a client and a server and does to their connections what networks do.

mod cache;
mod capture;
mod kafka;
mod leash;
mod proxy;
mod skip;
mod slot;
mod wait;

pub use capture::Captured;
pub use kafka::{KafkaCluster, KafkaError, KafkaOptions, Mechanism, User};
pub use proxy::{Fault, FaultProxy, Kind, Script, Step, Toward};
pub use skip::{kafka_behind_proxies_or_skip, kafka_or_skip};
