//! The spill of a producer that is not running.

use crate::cluster;
use crate::embedded;
use crate::exit::{Failure, Kind, Outcome};
use crate::output::{self, Format};
use seawall_core::{Clock, Fault, Outgoing, Receipt, Sink, SystemClock, TopicPartition};
use seawall_kafka::KafkaSink;
use seawall_log::Broker;
use seawall_producer::OpenError;
use seawall_producer::spill::by_hand::{self, Part, Replayed};
use seawall_producer::spill::look::{self, Kept, Summary};
use seawall_sidecar::line;
use seawall_wal::{Inspection, RealDisk};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Where `replay` delivers to.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false, id = "destination")]
struct To {
    /// The data directory of a Seawall that is not running.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Addresses of a Kafka cluster, separated by commas.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    bootstrap: Vec<String>,
}

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    /// The spill: the directory with its manifest.
    dir: PathBuf,
    /// Which records. Of those refused, what is refused again stays.
    #[arg(long, value_enum, default_value_t)]
    which: Undelivered,
    #[command(flatten)]
    to: To,
    /// With --bootstrap: client settings, one `name=value` a line, as for TLS and SASL. Their values are never shown.
    #[arg(long, value_name = "FILE", requires = "bootstrap")]
    properties: Option<PathBuf>,
    /// Do it. Without this, only say what would be delivered.
    #[arg(long)]
    write: bool,
}

/// Which records `replay` delivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Undelivered {
    /// Those that wait to be delivered.
    #[default]
    Waiting,
    /// Those that a sink refused for good.
    Refused,
}

/// Arguments of `purge`.
#[derive(Debug, clap::Args)]
pub(super) struct Purge {
    /// The spill: the directory with its manifest.
    dir: PathBuf,
    /// Do it. Without this, only say what would be deleted.
    #[arg(long)]
    write: bool,
}

/// Which records `export` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// Those that wait to be delivered.
    #[default]
    Waiting,
    /// Those that a sink refused for good.
    Refused,
    /// Those that were delivered already and are not yet deleted.
    Delivered,
}

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The spill: the directory with its manifest.
    dir: PathBuf,
    /// Which records.
    #[arg(long, value_enum, default_value_t)]
    which: Which,
}

enum Destination {
    Log(Broker),
    Kafka(Box<KafkaSink>),
}

impl Sink for Destination {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        match self {
            Self::Log(broker) => broker.send(records).await,
            Self::Kafka(sink) => sink.send(records).await,
        }
    }
}

fn summary(dir: &Path) -> Result<Summary, Failure> {
    if !dir.is_dir() {
        return Err(Failure::input(format_args!("{}: no such directory", dir.display())));
    }
    if !look::is_spill(dir) {
        return Err(Failure::input(format_args!("{}: no spill: it has no manifest.json", dir.display())));
    }
    look::summary(&RealDisk, dir).map_err(embedded::failure)
}

/// Says what of a spill's log waits, segment by segment; silent for any other log.
pub(super) fn explain(log: &Path, inspection: &Inspection, format: Format) -> Outcome {
    let Some(dir) = log.parent().filter(|dir| look::is_spill(dir)) else { return Ok(()) };
    let refused = log.ends_with("refused");
    let mut counts = vec![[0_u64; 2]; inspection.segments.len()];
    let summary = look::each::<_, OpenError>(&RealDisk, dir, |seq, kept| {
        let (of_this, waits) = match kept {
            Kept::Refused { .. } => (refused, true),
            Kept::Waiting(_) => (!refused, true),
            Kept::Delivered(_) => (!refused, false),
            Kept::Redriven(_) => (refused, false),
        };
        let mut segments = inspection.segments.iter().zip(&mut counts);
        let within = segments.find(|(s, _)| of_this && (s.info.first..s.info.next).contains(&seq));
        if let Some((_, counts)) = within {
            counts[usize::from(waits)] += 1;
        }
        Ok(())
    });
    let summary = summary.map_err(embedded::failure)?;
    for (segment, [delivered, waiting]) in inspection.segments.iter().zip(counts) {
        let name =
            segment.info.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let kind = if refused { "refused for good, kept for a person" } else { "waiting to be delivered" };
        match format {
            Format::Text if refused => {
                output::data(format_args!(
                    "  {name}  {waiting} records {kind}, {delivered} dealt with since"
                ))?;
            }
            Format::Text => output::data(format_args!(
                "  {name}  {waiting} records {kind}, {delivered} delivered already"
            ))?,
            Format::Json => output::data(format_args!(
                "{}",
                json!({ "log": log, "spill": dir, "owner": summary.owner, "segment": name,
                    "records": waiting, "kind": kind, "delivered": delivered })
            ))?,
        }
    }
    if format == Format::Text {
        output::data(format_args!(
            "  spill of {:?}: {} records ({} bytes) wait, {} are refused",
            summary.owner, summary.waiting, summary.waiting_bytes, summary.refused
        ))?;
    }
    Ok(())
}

/// `wal export`.
pub(super) fn export(arguments: &Export) -> Outcome {
    let _ = summary(&arguments.dir)?;
    let mut printed = Ok(());
    let looked = look::each::<_, OpenError>(&RealDisk, &arguments.dir, |seq, kept| {
        let (of, record, reason) = match kept {
            Kept::Waiting(record) => (Which::Waiting, record, None),
            Kept::Delivered(record) | Kept::Redriven(record) => (Which::Delivered, record, None),
            Kept::Refused { record, reason } => (Which::Refused, record, Some(reason)),
        };
        if of != arguments.which {
            return Ok(());
        }
        if printed.is_ok() {
            let place = TopicPartition::new(record.topic, record.partition.unwrap_or(0));
            let line = line::to_line(&place, seq, &record.record, reason.as_deref());
            printed = output::data(format_args!("{line}"));
        }
        Ok(())
    });
    looked.map_err(embedded::failure)?;
    printed
}

/// `wal replay`.
pub(super) fn replay(arguments: &Replay, format: Format) -> Outcome {
    let before = summary(&arguments.dir)?;
    let tell = |delivered: u64, left: u64, stopped: Option<String>| match format {
        Format::Json => output::data(format_args!(
            "{}",
            json!({ "spill": arguments.dir, "written": arguments.write, "delivered": delivered, "left": left, "stopped": stopped })
        )),
        Format::Text if arguments.write => output::data(format_args!(
            "{}: {delivered} records delivered, {left} left",
            arguments.dir.display()
        )),
        Format::Text => output::data(format_args!(
            "{}: would deliver {left} records (say --write to do it)",
            arguments.dir.display()
        )),
    };
    let (part, undelivered) = match arguments.which {
        Undelivered::Waiting => (Part::Waiting, before.waiting),
        Undelivered::Refused => (Part::Refused, before.refused),
    };
    if !arguments.write {
        return tell(0, undelivered, None);
    }
    let replayed = deliver(arguments, part)?;
    let stopped = replayed.stopped.as_ref().map(ToString::to_string);
    tell(replayed.delivered, replayed.left, stopped.clone())?;
    match (stopped, replayed.refused) {
        (None, None) => Ok(()),
        (None, Some(why)) => Err(Failure::new(
            Kind::Verdict,
            format_args!("{} records were refused for good again, the last with: {why}", replayed.left),
        )),
        (Some(why), _) => Err(Failure::new(
            Kind::Environment,
            format_args!("stopped at a record that was not taken: {why}"),
        )),
    }
}

fn deliver(arguments: &Replay, part: Part) -> Result<Replayed, Failure> {
    let destination = if let Some(dir) = &arguments.to.data {
        Destination::Log(embedded::open(dir, true)?)
    } else {
        let connection = cluster::connection(&arguments.to.bootstrap, arguments.properties.as_deref())?;
        let sink = KafkaSink::open(&connection, &cluster::sink_options()).map_err(cluster::failure)?;
        Destination::Kafka(Box::new(sink))
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::environment)?;
    let now = SystemClock::new().wall();
    let replayed = runtime.block_on(by_hand::replay(&RealDisk, &arguments.dir, part, &destination, now));
    if let Destination::Log(broker) = &destination {
        broker.close().map_err(embedded::failure)?;
    }
    replayed.map_err(embedded::failure)
}

/// `wal purge`.
pub(super) fn purge(arguments: &Purge, format: Format) -> Outcome {
    let mut records = summary(&arguments.dir)?.refused;
    if arguments.write {
        let now = SystemClock::new().wall();
        records = by_hand::purge_refused(&RealDisk, &arguments.dir, now).map_err(embedded::failure)?;
    }
    let dir = arguments.dir.display();
    match format {
        Format::Json => output::data(format_args!(
            "{}",
            json!({ "spill": arguments.dir, "written": arguments.write, "refused": records })
        )),
        Format::Text if arguments.write => {
            output::data(format_args!("{dir}: {records} refused records deleted"))
        }
        Format::Text => output::data(format_args!(
            "{dir}: would delete {records} refused records (`seawall wal export --which refused` prints them; say --write to do it)"
        )),
    }
}
