//! Why there is no cluster, or why it does not do what it was told.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What can go wrong with a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// A program that Kafka needs is not on this machine.
    #[error("{tool} not found (install {package}, or name the program in {variable})")]
    Missing {
        /// Its name.
        tool: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// The variable that can name it.
        variable: &'static str,
    },
    /// A Java that cannot run these brokers.
    #[error("java at {} is version {found}: Kafka 4 needs {want} or later", path.display())]
    JavaTooOld {
        /// The program.
        path: PathBuf,
        /// Its major version, as far as it was told.
        found: String,
        /// The oldest that will do.
        want: u32,
    },
    /// An option out of its bounds.
    #[error("option {option} is {value}: it must be {want}")]
    Options {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        want: String,
    },
    /// Maven did not bring the class path.
    #[error("Maven could not fetch Kafka's artifacts: {story}")]
    Artifacts {
        /// How it ended and what it said.
        story: String,
    },
    /// A file or a program could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Every slot of ports is taken.
    #[error("no free run of ports from 20000 to 29999 on 127.0.0.1")]
    NoSlot,
    /// The certificates for TLS.
    #[error("certificates for TLS: {0}")]
    Certificates(#[from] rcgen::Error),
    /// Kafka refused to format its storage.
    #[error("Kafka's StorageTool could not format: {story}")]
    Format {
        /// How it ended and what it said.
        story: String,
    },
    /// A broker ended by itself.
    #[error("broker {broker} ended ({status}); the end of its log:\n{log}")]
    Exited {
        /// Its number, from 1.
        broker: usize,
        /// How it ended.
        status: String,
        /// Its last lines.
        log: String,
    },
    /// A broker does not answer.
    #[error("broker {broker} was not ready after {} s ({why}); the end of its log:\n{log}", waited.as_secs())]
    NotReady {
        /// Its number, from 1.
        broker: usize,
        /// How long it was waited for.
        waited: Duration,
        /// What the last probe said.
        why: String,
        /// Its last lines.
        log: String,
    },
    /// A number that no broker has.
    #[error("there is no broker {broker}: they are numbered 1 to {brokers}")]
    NoSuchBroker {
        /// The number asked for.
        broker: usize,
        /// How many there are.
        brokers: usize,
    },
    /// A broker that is down was told to do something, or a running one to start.
    #[error("broker {broker} is {is}")]
    State {
        /// Its number, from 1.
        broker: usize,
        /// What it is.
        is: &'static str,
    },
}

impl KafkaError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
