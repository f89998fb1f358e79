//! The embedded log of no running process, opened by a tool.

use crate::exit::{Failure, Kind};
use crate::output;
use seawall_core::{Class, Classify, Fault, SystemClock};
use seawall_log::{Broker, BrokerOptions, Driver};
use seawall_wal::RealDisk;
use std::path::Path;
use std::sync::Arc;

/// Opens the data directory `dir`, telling what its recovery had to cut.
///
/// # Errors
/// When there is none, another process owns it, or it is damaged.
pub(crate) fn open(dir: &Path, must_exist: bool) -> Result<Broker, Failure> {
    if must_exist && !dir.is_dir() {
        return Err(Failure::input(format_args!("--data {}: no such directory", dir.display())));
    }
    let clock = Arc::new(SystemClock::new());
    let opened = Broker::open(RealDisk, BrokerOptions::new(dir), clock, Driver::Thread);
    let (broker, report) = opened.map_err(failure)?;
    for (partition, lost) in report.losses() {
        output::note(format_args!("{partition}: recovery cut {} unsynced bytes", lost.bytes()));
    }
    Ok(broker)
}

/// What an error of the log means for a command.
pub(crate) fn failure(error: impl Classify) -> Failure {
    let kind = match error.class() {
        Class::Bug => Kind::Bug,
        Class::Permanent | Class::Transient | Class::Overload => Kind::Environment,
    };
    Failure::new(kind, Fault::from(error))
}
