//! Seawall beside a service, over HTTP: records in ([`ingest`]), records out ([`push`]), and the process in
//! view and in hand ([`config`], [`admin`], [`metrics`]). [`Sidecar`] is all of it.

pub mod access;
pub mod admin;
pub mod cloudevents;
pub mod cluster;
pub mod config;
pub mod dashboard;
pub mod destination;
pub mod ingest;
pub mod line;
pub mod listen;
pub mod metrics;
pub mod overview;
mod panics;
pub mod pipeline;
pub mod problem;
pub mod push;
pub mod recoverable;
pub mod run;

pub use run::{Addresses, Sidecar, StartError, StartOptions, StopReport};
