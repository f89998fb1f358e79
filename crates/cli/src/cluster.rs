//! A Kafka cluster that a command speaks to itself, without a running Seawall.

use crate::exit::{Failure, Kind};
use seawall_core::{Class, Classify, Fault};
use seawall_kafka::{Admin, Connection, KafkaError, SinkOptions};
use seawall_sidecar::recoverable::RECORD_BYTES_MAX;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one question to the cluster is waited for.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Which cluster, and how to log in.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClusterArguments {
    /// Brokers of a Kafka cluster, as host:port, separated by commas, instead of a running Seawall.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', conflicts_with_all = ["at", "token_file", "data"])]
    bootstrap: Vec<String>,
    /// With --bootstrap: client settings, one `name=value` a line, as for TLS and SASL. Their values are never
    /// shown.
    #[arg(long, value_name = "FILE", requires = "bootstrap")]
    properties: Option<PathBuf>,
}

impl ClusterArguments {
    /// The cluster; `None` where none is named.
    ///
    /// # Errors
    /// When the settings' file cannot be read.
    pub(crate) fn connection(&self) -> Result<Option<Connection>, Failure> {
        if self.bootstrap.is_empty() {
            return Ok(None);
        }
        connection(&self.bootstrap, self.properties.as_deref()).map(Some)
    }
}

/// The cluster that begins at `bootstrap`, with the client settings of the file `properties`.
///
/// # Errors
/// When the file cannot be read, with the line.
pub(crate) fn connection(bootstrap: &[String], properties: Option<&Path>) -> Result<Connection, Failure> {
    let mut connection = Connection::new(bootstrap);
    let Some(file) = properties else { return Ok(connection) };
    let wrong = |problem: String| Failure::input(format_args!("--properties {}: {problem}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) =
            line.split_once('=').ok_or_else(|| wrong(format!("line {number} is no `name=value`")))?;
        connection.secrets.insert(name.trim().to_owned(), value.trim().to_owned().into());
    }
    Ok(connection)
}

/// A sink that takes what ingest takes: the topic's own bound decides.
pub(crate) fn sink_options() -> SinkOptions {
    SinkOptions { record_bytes_max: RECORD_BYTES_MAX, ..SinkOptions::default() }
}

/// A client that asks the cluster of `connection`.
///
/// # Errors
/// When its settings are wrong.
pub(crate) fn admin(connection: &Connection) -> Result<Admin, Failure> {
    Admin::open(connection, ANSWER_WITHIN).map_err(failure)
}

/// What an error of a cluster means for a command.
pub(crate) fn failure(error: KafkaError) -> Failure {
    let kind = match (error.is_setting() || error.is_unknown_topic(), error.class()) {
        (true, _) => Kind::Input,
        (false, Class::Bug) => Kind::Bug,
        (false, Class::Transient | Class::Permanent | Class::Overload) => Kind::Environment,
    };
    Failure::new(kind, Fault::from(error))
}
