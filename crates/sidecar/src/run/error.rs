//! Why the process cannot start.

use crate::cluster::ClusterError;
use crate::config::SecretError;
use crate::pipeline::PipelineError;
use crate::recoverable::RecoverableError;
use seawall_core::{Class, Classify};
use seawall_guard::GuardError;
use seawall_log::LogError;
use std::io;
use std::net::SocketAddr;

/// Why the process cannot start, by the part that could not.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{listener} cannot listen on {addr}")]
    Bind {
        /// `ingest` or `admin`.
        listener: &'static str,
        /// The address.
        addr: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// An address that the command line gave is open to the network.
    #[error(
        "{listener} on {addr} would be open to the network without a token: set {listener}.token_file or \
         {listener}.token_env in the configuration, or listen on 127.0.0.1"
    )]
    Open {
        /// `ingest` or `admin`.
        listener: &'static str,
        /// The address.
        addr: SocketAddr,
    },
    /// A listener could not be served.
    #[error("{listener} cannot be served")]
    Serve {
        /// `ingest` or `admin`.
        listener: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A secret cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The embedded log cannot be opened.
    #[error("the log cannot be opened")]
    Log(#[from] LogError),
    /// A topic cannot be made.
    #[error("topic {topic:?} cannot be made")]
    Topic {
        /// Which.
        topic: String,
        /// Why not.
        #[source]
        source: LogError,
    },
    /// A Kafka cluster does not have what the config asks of it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A recoverable producer cannot start.
    #[error(transparent)]
    Recoverable(#[from] RecoverableError),
    /// A pipeline cannot start.
    #[error("pipeline {pipeline:?} cannot start")]
    Pipeline {
        /// Which.
        pipeline: String,
        /// Why not.
        #[source]
        source: PipelineError,
    },
    /// The guard of ingest refused its options.
    #[error("the guard of ingest refused its options")]
    Guard(#[from] GuardError),
    /// Starting panicked: a defect.
    #[error("starting crashed")]
    Crashed(#[source] tokio::task::JoinError),
}

impl StartError {
    pub(super) fn serve(listener: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Serve { listener, source }
    }

    /// Whether the config is at fault, rather than what it meets (ports, disk, permissions).
    pub fn is_config(&self) -> bool {
        match self {
            Self::Topic { source, .. } => matches!(source, LogError::TopicExists { .. } | LogError::Name(_)),
            Self::Pipeline { source, .. } => source.is_config(),
            Self::Cluster(source) => source.is_config(),
            Self::Recoverable(source) => source.is_config(),
            Self::Open { .. } | Self::Secret(_) | Self::Guard(_) => true,
            Self::Bind { .. } | Self::Serve { .. } | Self::Log(_) | Self::Crashed(_) => false,
        }
    }
}

impl Classify for StartError {
    fn class(&self) -> Class {
        match self {
            Self::Bind { .. } | Self::Serve { .. } => Class::Transient,
            Self::Log(source) | Self::Topic { source, .. } => source.class(),
            Self::Pipeline { source, .. } => source.class(),
            Self::Cluster(source) => source.class(),
            Self::Recoverable(source) => source.class(),
            Self::Open { .. } | Self::Secret(_) | Self::Guard(_) => Class::Permanent,
            Self::Crashed(_) => Class::Bug,
        }
    }
}
