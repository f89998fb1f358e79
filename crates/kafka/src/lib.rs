//! Apache Kafka as a [`Source`](seawall_core::Source) and a [`Sink`](seawall_core::Sink).
//!
//! The only crate that names rdkafka. Everything above sees the words of `seawall-core`: what a broker says
//! becomes a [`KafkaError`] with a class, what an assignment is becomes a generation.

pub mod connection;
pub mod error;

pub use connection::Connection;
pub use error::KafkaError;
