//! `seawall produce TOPIC`: lines into a topic.

mod asked;
mod batch;
mod kept;

use crate::client::Client;
use crate::cluster::{self, ClusterArguments};
use crate::exit::{Failure, Outcome};
use crate::input::{self, Input, Lines};
use crate::{embedded, output};
use asked::Asked;
use batch::Batch;
use indicatif::{ProgressBar, ProgressStyle};
use kept::{Kept, SpillArguments};
use seawall_core::{Clock, Durability, SystemClock};
use seawall_kafka::{Connection, KafkaSink};
use seawall_log::{Broker, TopicOptions};
use seawall_sidecar::config::PARTITIONS_MAX;
use seawall_sidecar::ingest::DURABILITY_HEADER;
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

/// Write lines into a topic, as records.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    /// Files to read, one after the other; stdin where none is given.
    files: Vec<PathBuf>,
    /// The ingest address of a running Seawall.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", conflicts_with = "data")]
    at: Url,
    /// A file with the ingest token, where one is demanded.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    token_file: Option<PathBuf>,
    /// The data directory of a Seawall that is not running, instead of an address.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    spill: SpillArguments,
    /// How safe a record is to be before it counts as written; what is safer by nature stays so. Without it, what the
    /// configuration of the running Seawall says, and with --spill `synced`.
    #[arg(long, value_enum, value_name = "HOW")]
    durability: Option<Asked>,
    /// With --data: make the topic, with so many partitions, where it does not exist.
    #[arg(long, value_name = "PARTITIONS", requires = "data", value_parser = partitions())]
    create: Option<u32>,
    /// How a line stands for a record.
    #[arg(long, value_enum, default_value_t = Lines::Raw)]
    lines: Lines,
    /// With raw lines: what ends the key. Without it, records have no key.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
}

fn partitions() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(PARTITIONS_MAX))
}

impl Arguments {
    fn asked(&self) -> Durability {
        self.durability.map_or(Durability::Synced, Asked::durability)
    }
}

enum Destination {
    Running(Box<Client>),
    Embedded(Broker),
    Cluster(Box<KafkaSink>),
    Kept(Box<Kept>),
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    if arguments.key_separator.as_deref() == Some("") {
        return Err(Failure::input("--key-separator is empty; give the text that ends the key, such as ':'"));
    }
    if arguments.lines == Lines::Json && arguments.key_separator.is_some() {
        return Err(Failure::input(
            "--key-separator: a JSON line has its key in the field `key`; leave it out, or say --lines raw",
        ));
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::environment)?;
    let destination = match arguments.cluster.connection()? {
        Some(connection) => runtime.block_on(on_cluster(&connection, &arguments))?,
        None => destination(&arguments)?,
    };
    let sent = runtime.block_on(produce(arguments, &destination));
    let ended = match destination {
        Destination::Embedded(broker) => broker.close().map_err(embedded::failure),
        Destination::Kept(kept) => runtime.block_on(kept.finish()),
        Destination::Running(_) | Destination::Cluster(_) => Ok(()),
    };
    sent.and(ended)
}

fn destination(arguments: &Arguments) -> Result<Destination, Failure> {
    let Some(dir) = &arguments.data else {
        let token = crate::client::token(arguments.token_file.as_deref())?;
        let mut client = Client::new(arguments.at.clone(), token.as_deref())?;
        if let Some(asked) = arguments.durability {
            client = client.with_header(DURABILITY_HEADER, asked.durability().as_str());
        }
        return Ok(Destination::Running(Box::new(client)));
    };
    if arguments.durability == Some(Asked::Replicated) {
        return Err(Failure::input(
            "--durability replicated: the embedded log has no replicas, what it gives is synced; ask for that, or leave it out",
        ));
    }
    let broker = embedded::open(dir, arguments.create.is_none())?;
    if let Some(partitions) = arguments.create
        && !broker.topic_exists(&arguments.topic)
    {
        broker
            .create_topic(&arguments.topic, TopicOptions::partitions(partitions))
            .map_err(Failure::input)?;
    }
    // Before the first line is read, so that nothing is half written for a misspelt name.
    let there = broker.describe(&arguments.topic).map_err(Failure::input)?.partitions.len();
    if let Some(asked) = arguments.create.filter(|asked| *asked as usize != there) {
        output::note(format_args!(
            "--create {asked}: {} is there already, with {there} partitions, and keeps them",
            arguments.topic
        ));
    }
    Ok(Destination::Embedded(broker))
}

/// The cluster's topic must be there, before the first line is read: its producer would make one by the way. Only
/// with a spill a cluster that does not answer is no obstacle.
async fn on_cluster(connection: &Connection, arguments: &Arguments) -> Result<Destination, Failure> {
    if let Some(kept) = arguments.spill.open(connection, &arguments.topic, arguments.asked()).await? {
        return Ok(Destination::Kept(Box::new(kept)));
    }
    cluster::admin(connection)?.existing_topic(&arguments.topic).await.map_err(cluster::failure)?;
    let sink = KafkaSink::open(connection, &cluster::sink_options()).map_err(cluster::failure)?;
    Ok(Destination::Cluster(Box::new(sink)))
}

async fn produce(arguments: Arguments, destination: &Destination) -> Outcome {
    let topic: Arc<str> = arguments.topic.as_str().into();
    let buffered = match destination {
        Destination::Running(_) | Destination::Kept(_) => arguments.durability == Some(Asked::Buffered),
        Destination::Embedded(_) | Destination::Cluster(_) => false,
    };
    let progress = progress();
    let mut input = Input::new(arguments.files);
    let form = (arguments.lines, arguments.key_separator.as_deref());
    let sent = send_lines(&mut input, form, destination, &topic, &progress).await;
    progress.finish_and_clear();
    // What is only in a memory is not written yet.
    let done = if buffered { "taken into memory for" } else { "written to" };
    let records = progress.position();
    match sent {
        Ok(()) => {
            output::note(format_args!("{records} records {done} {topic}"));
            Ok(())
        }
        // A second run would write what is written again, under other ids: the person has to know where to go on.
        Err(failure) => {
            Err(failure
                .retold(format_args!("{failure}\n{records} records {done} {topic}; {}", input.stopped())))
        }
    }
}

/// Sends what `input` holds, batch by batch; the first that is not taken whole is the last.
async fn send_lines(
    input: &mut Input,
    (lines, separator): (Lines, Option<&str>),
    destination: &Destination,
    topic: &Arc<str>,
    progress: &ProgressBar,
) -> Outcome {
    let clock = SystemClock::new();
    let mut batch = Batch::default();
    loop {
        let record = match input.next_line() {
            Ok(None) => return batch.send(destination, topic, progress).await,
            Ok(Some(line)) => input::record(line, lines, separator, clock.wall())
                .map_err(|e| Failure::input(format_args!("{}: {e}", input.place()))),
            Err(failure) => Err(failure),
        };
        match record {
            Ok(record) => batch.push(input.place().clone(), record),
            Err(failure) => {
                // What stands before the bad line is good, and was read in its order.
                batch.send(destination, topic, progress).await?;
                return Err(failure);
            }
        }
        if batch.is_full() {
            std::mem::take(&mut batch).send(destination, topic, progress).await?;
        }
    }
}

fn progress() -> ProgressBar {
    // Draws nothing where stderr is no terminal.
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {human_pos} records, {per_sec}, {elapsed}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
