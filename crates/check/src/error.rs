//! Why a file could not be checked.

use crate::finding::Finding;
use std::io;

/// Why there is no verdict on a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It cannot be read, or is not UTF-8.
    #[error("{file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Neither its name nor its content tells what it is.
    #[error(
        "{file}: {found}; known are Seawall's own TOML, Kafka client settings (.properties, .conf, YAML), \
         Prometheus rules (YAML) and Grafana dashboards (JSON)"
    )]
    UnknownKind {
        /// The file.
        file: String,
        /// What was found instead.
        found: &'static str,
    },
    /// It is not well-formed.
    #[error("{file}:{line}: {problem}")]
    Malformed {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// Some of its queries are not well-formed; the others were judged.
    #[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Partly {
        /// What is wrong with the others.
        findings: Vec<Finding>,
        /// Why there is no verdict on those; never empty.
        problems: Vec<Self>,
    },
}
