//! `seawall produce TOPIC`: lines into a topic.

mod asked;
mod kept;

use crate::client::{Client, told};
use crate::cluster::{self, ClusterArguments};
use crate::exit::{Failure, Outcome};
use crate::input::{self, Input, Lines};
use crate::{embedded, output};
use asked::Asked;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use indicatif::{ProgressBar, ProgressStyle};
use kept::{Kept, SpillArguments};
use seawall_core::{Clock, Durability, Outgoing, Record, Sink, SystemClock, TopicPartition};
use seawall_kafka::{Connection, KafkaSink, SinkOptions};
use seawall_log::{Broker, TopicOptions};
use seawall_sidecar::ingest::DURABILITY_HEADER;
use seawall_sidecar::line;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Records of one request at most.
const BATCH_RECORDS: usize = 512;
/// Bytes of one request at most, but for a single larger record.
const BATCH_BYTES: usize = 1 << 20;
/// How often a refused batch is sent again before the command gives up.
const ATTEMPTS: u32 = 60;

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
    #[arg(long, value_name = "PARTITIONS", requires = "data")]
    create: Option<u32>,
    /// How a line stands for a record.
    #[arg(long, value_enum, default_value_t = Lines::Raw)]
    lines: Lines,
    /// With raw lines: what ends the key. Without it, records have no key.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
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
    broker.describe(&arguments.topic).map_err(Failure::input)?;
    Ok(Destination::Embedded(broker))
}

/// The cluster's topic must be there, before the first line is read: its producer would make one by the way. Only
/// with a spill a cluster that does not answer is no obstacle.
async fn on_cluster(connection: &Connection, arguments: &Arguments) -> Result<Destination, Failure> {
    if let Some(kept) = arguments.spill.open(connection, &arguments.topic, arguments.asked()).await? {
        return Ok(Destination::Kept(Box::new(kept)));
    }
    cluster::admin(connection)?.existing_topic(&arguments.topic).await.map_err(cluster::failure)?;
    let sink = KafkaSink::open(connection, &SinkOptions::default()).map_err(cluster::failure)?;
    Ok(Destination::Cluster(Box::new(sink)))
}

async fn produce(arguments: Arguments, destination: &Destination) -> Outcome {
    let clock = SystemClock::new();
    let topic: Arc<str> = arguments.topic.into();
    let buffered = match destination {
        Destination::Running(_) | Destination::Kept(_) => arguments.durability == Some(Asked::Buffered),
        Destination::Embedded(_) | Destination::Cluster(_) => false,
    };
    let progress = progress();
    let mut input = Input::new(arguments.files);
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(line) = input.next_line()? {
        let record = input::record(line, arguments.lines, arguments.key_separator.as_deref(), clock.wall());
        let record = record.map_err(|e| Failure::input(format_args!("{}: {e}", input.place())));
        let record = match record {
            Ok(record) => record,
            Err(failure) => {
                // What stands before the bad line is good, and was read in its order.
                send(destination, &topic, std::mem::take(&mut batch), &progress).await?;
                return Err(failure);
            }
        };
        bytes += record.weight();
        batch.push(record);
        if batch.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
            send(destination, &topic, std::mem::take(&mut batch), &progress).await?;
            bytes = 0;
        }
    }
    send(destination, &topic, batch, &progress).await?;
    progress.finish_and_clear();
    // What is only in a memory is not written yet.
    let done = if buffered { "taken into memory for" } else { "written to" };
    output::note(format_args!("{} records {done} {topic}", progress.position()));
    Ok(())
}

fn progress() -> ProgressBar {
    // Draws nothing where stderr is no terminal.
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {human_pos} records, {per_sec}, {elapsed}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

async fn send(to: &Destination, topic: &Arc<str>, batch: Vec<Record>, progress: &ProgressBar) -> Outcome {
    if batch.is_empty() {
        return Ok(());
    }
    let count = batch.len() as u64;
    match to {
        Destination::Embedded(broker) => append(broker, topic, batch).await?,
        Destination::Kept(kept) => kept.send(topic, batch).await?,
        Destination::Cluster(sink) => append(&**sink, topic, batch).await?,
        Destination::Running(client) => post(client, topic, &batch).await?,
    }
    progress.inc(count);
    Ok(())
}

async fn append(sink: &impl Sink, topic: &Arc<str>, batch: Vec<Record>) -> Outcome {
    let outgoing = |record| Outgoing { topic: topic.clone(), partition: None, record };
    for receipt in sink.send(batch.into_iter().map(outgoing).collect()).await {
        let _ = receipt.map_err(Failure::environment)?;
    }
    Ok(())
}

async fn post(client: &Client, topic: &Arc<str>, batch: &[Record]) -> Outcome {
    let place = TopicPartition::new(topic.clone(), 0);
    let mut lines: Vec<String> = batch.iter().map(|record| line::to_line(&place, 0, record, None)).collect();
    let path = format!("/v1/topics/{topic}/records");
    let mut attempts = 0;
    loop {
        let body = Bytes::from(lines.join("\n"));
        let failure = match client.send(Method::POST, &path, Some((line::CONTENT_TYPE, body))).await {
            Ok(response) if response.status() == StatusCode::MULTI_STATUS => {
                let answer = response.into_body().collect().await.map_err(Failure::environment)?.to_bytes();
                let whole = lines.len();
                let Some(failure) = keep_refused(&mut lines, &answer)? else { return Ok(()) };
                if lines.len() < whole {
                    attempts = 0;
                }
                failure
            }
            Ok(_) => return Ok(()),
            Err(failure) => failure,
        };
        attempts += 1;
        if !failure.is_overload() || attempts >= ATTEMPTS {
            return Err(failure);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Leaves in `lines` what `answer`, one entry for each line, says was not taken, and gives the reason of the
/// first; where one will never be taken, its reason. What was taken is not to be sent again: it would get
/// another token.
fn keep_refused(lines: &mut Vec<String>, answer: &[u8]) -> Result<Option<Failure>, Failure> {
    let entries: Vec<Value> = serde_json::from_slice(answer).unwrap_or_default();
    if entries.len() != lines.len() {
        return Err(Failure::environment(format_args!(
            "the answer has {} entries for {} records",
            entries.len(),
            lines.len()
        )));
    }
    let status = |entry: &Value| {
        let code = entry["status"].as_u64().and_then(|code| u16::try_from(code).ok());
        code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    };
    let mut refused = entries.iter().filter(|entry| !status(entry).is_success());
    let mut failure = refused.next().map(|entry| told(status(entry), entry));
    if failure.as_ref().is_some_and(Failure::is_overload) {
        failure = refused.map(|e| told(status(e), e)).find(|f| !f.is_overload()).or(failure);
    }
    let mut taken = entries.iter().map(|entry| status(entry).is_success());
    lines.retain(|_| taken.next() != Some(true));
    Ok(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_was_refused_is_sent_again() {
        let lines = || vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let keep = |answer: Value| {
            let mut lines = lines();
            keep_refused(&mut lines, answer.to_string().as_bytes()).map(|failure| (lines, failure))
        };
        let (left, failure) = keep(json!([{"status": 201}, {"status": 429}, {"status": 503}])).unwrap();
        assert_eq!(left, ["b", "c"]);
        assert!(failure.unwrap().is_overload());
        let (_, failure) =
            keep(json!([{"status": 429}, {"status": 507, "title": "full"}, {"status": 201}])).unwrap();
        let failure = failure.unwrap();
        assert!(!failure.is_overload() && failure.to_string().contains("full"), "{failure}");
        assert!(keep(json!([{"status": 201}])).is_err());
    }
}
