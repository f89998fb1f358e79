//! One broker's process.

use super::error::KafkaError;
use super::java::Java;
use super::options::KafkaOptions;
use super::probe;
use super::properties::Listener;
use crate::leash::{Leashed, Output};
use crate::slot::Slot;
use crate::wait::Deadline;
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOG_LINES: usize = 60;

/// A started broker; killed on drop.
#[derive(Debug)]
pub(super) struct Broker {
    /// From 1, which is also its node id.
    number: usize,
    process: Leashed,
    port: u16,
    log: PathBuf,
}

impl Broker {
    /// Starts broker `nth` (from 0) on its formatted storage; it is not ready yet.
    pub(super) fn start(
        java: &Java,
        options: &KafkaOptions,
        slot: &Slot,
        nth: usize,
    ) -> Result<Self, KafkaError> {
        let folder = folder(slot, nth);
        let mut flags = vec![if options.brokers == 1 { "-Xmx512m" } else { "-Xmx384m" }.to_owned()];
        flags.extend(options.jvm.iter().cloned());
        let mut command = java.command(&flags, "kafka.Kafka");
        command.arg(folder.join("server.properties"));
        let log = log_path(slot, nth);
        let file = fs::File::options().create(true).append(true).open(&log);
        let process = file
            .and_then(|file| Leashed::start(&command, Path::new("/dev/null"), Output::To(file)))
            .map_err(KafkaError::io(log.display().to_string()))?;
        Ok(Self { number: nth + 1, process, port: Listener::Plain.port(slot, nth), log })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until it knows all of `peers` (node ids) as serving.
    pub(super) fn until_ready(&mut self, peers: &[i32], limit: Duration) -> Result<(), KafkaError> {
        let deadline = Deadline::after(limit);
        loop {
            if let Some(status) = self.process.try_wait().map_err(KafkaError::io("java"))? {
                let (broker, log) = (self.number, tail(&self.log));
                return Err(KafkaError::Exited { broker, status: status.to_string(), log });
            }
            let why = match probe::serving(self.port) {
                Ok(found) if peers.iter().all(|peer| found.contains(peer)) => return Ok(()),
                Ok(found) => format!("it knows the brokers {found:?} as serving, not all of {peers:?}"),
                Err(error) => error.to_string(),
            };
            if !deadline.pause() {
                let (broker, log, waited) = (self.number, tail(&self.log), deadline.waited());
                return Err(KafkaError::NotReady { broker, waited, why, log });
            }
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), KafkaError> {
        self.process.signal(signal).map_err(KafkaError::io(format!("signal to broker {}", self.number)))
    }

    /// SIGTERM, so that it hands over and closes its logs; SIGKILL after `limit`.
    pub(super) fn stop(mut self, limit: Duration) -> Result<(), KafkaError> {
        self.signal(Signal::TERM)?;
        let deadline = Deadline::after(limit);
        while self.process.try_wait().map_err(KafkaError::io("java"))?.is_none() && deadline.pause() {}
        // Nothing is left to kill where it ended by itself.
        self.kill()
    }

    pub(super) fn kill(mut self) -> Result<(), KafkaError> {
        self.process.kill().map(drop).map_err(KafkaError::io(format!("end of broker {}", self.number)))
    }
}

pub(super) fn folder(slot: &Slot, nth: usize) -> PathBuf {
    slot.folder().join(format!("broker-{}", nth + 1))
}

pub(super) fn log_path(slot: &Slot, nth: usize) -> PathBuf {
    folder(slot, nth).join("log")
}

/// The last lines of a broker's log.
pub(super) fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
