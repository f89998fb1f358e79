//! Apache Kafka as a [`Source`](seawall_core::Source) and a [`Sink`](seawall_core::Sink).
//!
//! The only crate that names rdkafka. Everything above sees the words of `seawall-core`: what a broker says
//! becomes a [`KafkaError`] with a class, what an assignment is becomes a generation.

pub mod admin;
pub mod bookmark;
pub mod connection;
pub mod error;
pub mod lag;
pub mod position;
pub mod reader;
pub mod sink;
pub mod source;
pub mod token;

pub use admin::Admin;
pub use bookmark::Bookmark;
pub use connection::Connection;
pub use error::KafkaError;
pub use reader::Reader;
pub use sink::{Compression, KafkaSink, SinkOptions};
pub use source::{KafkaSource, SourceOptions, StartAt};
