//! `seawall lag`: how far the groups of a Kafka cluster are behind, partition by partition.

mod export;
mod table;

use crate::cluster::{self, failure};
use crate::exit::{Failure, Kind, Outcome};
use crate::output::{self, Format};
use crate::serve;
use seawall_core::{Class, Classify, Fault, SystemClock};
use seawall_kafka::lag::{Filter, LagMonitor, LagOptions, LagSnapshot, StuckRule};
use std::path::PathBuf;
use std::time::Duration;

/// Show how far Kafka groups are behind, without joining any. Exit code 1 where a partition is found stuck.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Brokers to begin with, as host:port, separated by commas.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', required = true)]
    bootstrap: Vec<String>,
    /// Only groups whose whole name matches.
    #[arg(long, value_name = "REGEX")]
    group: Option<String>,
    /// Only topics whose whole name matches.
    #[arg(long, value_name = "REGEX")]
    topic: Option<String>,
    /// Client settings, one `name=value` a line, as for TLS and SASL. Their values are never shown.
    #[arg(long, value_name = "FILE")]
    properties: Option<PathBuf>,
    /// Go on, a sample every --interval.
    #[arg(long)]
    watch: bool,
    /// Seconds between samples.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: u64,
    /// Seconds that one question to the cluster may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// Take so many samples, --interval apart, and print the last. STUCK needs two: a commit that stood over all
    /// of them while the log grew.
    #[arg(long, value_name = "COUNT", default_value_t = 1, conflicts_with = "watch", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    samples: u32,
    /// How partitions are printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    door: export::Door,
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let mut monitor = monitor(&arguments)?;
    let (clock, interval) = (SystemClock::new(), Duration::from_secs(arguments.interval));
    let format = if arguments.json { Format::Json } else { arguments.format };
    let mut snapshot = monitor.sample(&clock).map_err(failure)?;
    if let Some(at) = arguments.door.listen {
        let serving = export::serve(at, &arguments.door, monitor, interval, snapshot);
        return serve::to_the_end(serving);
    }
    if arguments.watch {
        return watch(monitor, &snapshot, interval, format);
    }
    for _ in 1..arguments.samples {
        std::thread::sleep(interval);
        snapshot = monitor.sample(&clock).map_err(failure)?;
    }
    table::print(&snapshot, format)?;
    verdict(&snapshot)
}

/// Goes on until it is interrupted; a cluster that does not answer for a while is waited for.
fn watch(mut monitor: LagMonitor, first: &LagSnapshot, interval: Duration, format: Format) -> Outcome {
    let clock = SystemClock::new();
    table::print(first, format)?;
    loop {
        std::thread::sleep(interval);
        match monitor.sample(&clock) {
            Ok(snapshot) => table::print(&snapshot, format)?,
            Err(error) if error.class() == Class::Transient => {
                output::note(format_args!("no new sample: {}", Fault::from(error)));
            }
            Err(error) => return Err(failure(error)),
        }
    }
}

fn monitor(arguments: &Arguments) -> Result<LagMonitor, Failure> {
    let connection = cluster::connection(&arguments.bootstrap, arguments.properties.as_deref())?;
    let filter = |name: &str, pattern: &Option<String>| {
        pattern
            .as_ref()
            .map_or_else(|| Ok(Filter::default()), |pattern| Filter::new(name, pattern).map_err(failure))
    };
    let usual = StuckRule::default();
    let samples =
        if arguments.samples > 1 { (arguments.samples - 1).min(usual.samples) } else { usual.samples };
    let options = LagOptions {
        stuck: StuckRule { samples, ..usual },
        groups: filter("--group", &arguments.group)?,
        topics: filter("--topic", &arguments.topic)?,
        wait: Duration::from_secs(arguments.timeout),
        ..LagOptions::default()
    };
    LagMonitor::open(&connection, options).map_err(failure)
}

fn verdict(snapshot: &LagSnapshot) -> Outcome {
    if let Some(unread) = snapshot.unread.first() {
        return Err(Failure::environment(format_args!(
            "{} groups could not be asked, among them {}: {}",
            snapshot.unread.len(),
            unread.group,
            Fault::from(unread.error.clone())
        )));
    }
    let stuck = snapshot.partitions.iter().filter(|row| row.stuck == Some(true)).count();
    if stuck == 0 {
        Ok(())
    } else {
        Err(Failure::new(Kind::Verdict, format_args!("{stuck} partitions are stuck")))
    }
}
