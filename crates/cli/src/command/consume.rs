//! `seawall consume TOPIC`: a topic's records, as lines.

use crate::client::Client;
use crate::cluster::{self, ClusterArguments};
use crate::embedded;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Format};
use bytes::{Buf, BytesMut};
use http::Method;
use http_body_util::BodyExt;
use seawall_core::{Limit, Record, TopicPartition, WallMs};
use seawall_kafka::{Connection, Reader};
use seawall_log::Broker;
use seawall_sidecar::line;
use seawall_sidecar::problem::TYPE_PREFIX;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Runtime;
use url::Url;

/// What is read from the disk at a time.
const CHUNK: Limit = Limit { records: 1_024, bytes: 1 << 20 };

/// How often a cluster is asked whether there is more.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Print the records of a topic, one a line. No group position is moved.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    /// Start at the oldest record instead of after the newest. Always so with --data.
    #[arg(long)]
    from_start: bool,
    /// End after the last record instead of waiting for more. Always so with --data.
    #[arg(long)]
    exit_at_end: bool,
    /// Only this partition.
    #[arg(long)]
    partition: Option<u32>,
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
    /// `text`: the values alone; `json`: whole records, as `produce --lines json` reads them.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    if let Some(dir) = &arguments.data {
        let broker = embedded::open(dir, true)?;
        let read = print_embedded(&broker, &arguments);
        broker.close().map_err(embedded::failure)?;
        return read;
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::environment)?;
    match arguments.cluster.connection()? {
        Some(connection) => print_cluster(&runtime, &connection, &arguments),
        None => runtime.block_on(print_running(&arguments)),
    }
}

/// Prints what each partition holds, one after the other; then, unless told to end there, what comes.
fn print_cluster(runtime: &Runtime, connection: &Connection, arguments: &Arguments) -> Outcome {
    let admin = cluster::admin(connection)?;
    let topic = runtime.block_on(admin.existing_topic(&arguments.topic)).map_err(cluster::failure)?;
    let places: Vec<TopicPartition> = topic
        .partitions
        .iter()
        .filter(|partition| arguments.partition.is_none_or(|wanted| wanted == partition.number))
        .map(|partition| TopicPartition::new(topic.name.as_str(), partition.number))
        .collect();
    if places.is_empty() {
        let last = topic.partitions.len().saturating_sub(1);
        return Err(Failure::input(format_args!("--partition: {} has 0 to {last}", topic.name)));
    }
    let mut reader = Reader::open(connection, cluster::ANSWER_WITHIN);
    let mut next: BTreeMap<TopicPartition, u64> = BTreeMap::new();
    loop {
        let spans = runtime.block_on(admin.spans_of_all(&places)).map_err(cluster::failure)?;
        for (place, span) in &spans {
            let first = if arguments.from_start { span.begin } else { span.end };
            let next = next.entry(place.clone()).or_insert(first);
            let mut out = io::BufWriter::new(io::stdout().lock());
            while *next < span.end {
                let batch = reader.read(place, *next, span.end, CHUNK).map_err(cluster::failure)?;
                for fetched in &batch.records {
                    print(&mut out, place, fetched.offset, &fetched.record, arguments.format)?;
                }
                *next = batch.next.max(*next + 1);
            }
            out.flush().map_err(output::closed)?;
        }
        if arguments.exit_at_end {
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn print_embedded(broker: &Broker, arguments: &Arguments) -> Outcome {
    let topic = broker.describe(&arguments.topic).map_err(Failure::input)?;
    if let Some(wanted) = arguments.partition
        && wanted as usize >= topic.partitions.len()
    {
        return Err(Failure::input(format_args!(
            "--partition {wanted}: {} has 0 to {}",
            topic.name,
            topic.partitions.len() - 1
        )));
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    for partition in topic.partitions.iter().filter(|p| arguments.partition.is_none_or(|w| w == p.partition))
    {
        let place = TopicPartition::new(topic.name.clone(), partition.partition);
        // Nothing comes to a log of no running process: after the newest record there is nothing to wait for.
        let mut next = partition.start;
        while next < partition.end {
            let batch =
                broker.fetch(&topic.name, partition.partition, next, CHUNK).map_err(embedded::failure)?;
            for fetched in &batch.records {
                print(&mut out, &place, fetched.offset, &fetched.record, arguments.format)?;
            }
            next = batch.next.max(next + 1);
        }
    }
    out.flush().map_err(output::closed)
}

fn print(
    out: &mut impl Write,
    place: &TopicPartition,
    offset: u64,
    record: &Record,
    format: Format,
) -> Outcome {
    let written = match format {
        Format::Json => writeln!(out, "{}", line::to_line(place, offset, record, None)),
        Format::Text => out.write_all(&record.value).and_then(|()| out.write_all(b"\n")),
    };
    written.map_err(output::closed)
}

async fn print_running(arguments: &Arguments) -> Outcome {
    let token = crate::client::token(arguments.token_file.as_deref())?;
    let client = Client::new(arguments.at.clone(), token.as_deref())?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("from", if arguments.from_start { "start" } else { "end" });
    query.append_pair("follow", if arguments.exit_at_end { "false" } else { "true" });
    if let Some(partition) = arguments.partition {
        query.append_pair("partition", &partition.to_string());
    }
    let path = format!("/v1/topics/{}/records?{}", arguments.topic, query.finish());
    let mut body = client.send(Method::GET, &path, None).await?.into_body();
    let mut out = io::stdout().lock();
    let mut pending = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Failure::environment(format_args!("the answer broke off: {e}")))?;
        let Some(data) = frame.data_ref() else { continue };
        pending.extend_from_slice(data);
        while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
            let whole = pending.split_to(end);
            pending.advance(1);
            print_line(&mut out, &whole, arguments.format)?;
        }
        out.flush().map_err(output::closed)?;
    }
    Ok(())
}

/// What went wrong while the answer was on its way stands in its last line; no record has a `type` there.
fn is_problem(line: &[u8]) -> bool {
    let suspected = line.windows(TYPE_PREFIX.len()).any(|part| part == TYPE_PREFIX.as_bytes());
    let read = || serde_json::from_slice::<serde_json::Value>(line).ok();
    suspected
        && read().is_some_and(|json| json["type"].as_str().is_some_and(|kind| kind.starts_with(TYPE_PREFIX)))
}

fn print_line(out: &mut impl Write, line: &[u8], format: Format) -> Outcome {
    if is_problem(line) {
        return Err(Failure::environment(String::from_utf8_lossy(line)));
    }
    let written = match format {
        Format::Json => out.write_all(line),
        Format::Text => {
            let record = line::from_line(line, WallMs(0))
                .map_err(|_| Failure::environment(String::from_utf8_lossy(line)))?;
            out.write_all(&record.value)
        }
    };
    written.and_then(|()| out.write_all(b"\n")).map_err(output::closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_in_the_last_line_is_no_record() {
        let problem =
            br#"{"type":"urn:seawall:problem:unavailable","status":503,"detail":"the process stops"}"#;
        let record =
            br#"{"value":"urn:seawall:problem:unavailable","headers":{"type":"urn:seawall:problem:x"}}"#;
        for format in [Format::Json, Format::Text] {
            let mut out = Vec::new();
            assert!(print_line(&mut out, problem, format).is_err() && out.is_empty());
            print_line(&mut out, record, format).unwrap();
            assert!(out.ends_with(b"\n"));
        }
    }
}
