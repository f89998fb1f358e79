//! `seawall lag`: how far the groups of a Kafka cluster are behind, partition by partition.

use crate::exit::{Failure, Kind, Outcome};
use crate::output::{self, Format};
use crate::serve;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use seawall_core::{Class, Classify, Fault, SystemClock};
use seawall_kafka::lag::{self, Filter, LagMonitor, LagOptions, LagSnapshot, PartitionLag};
use seawall_kafka::{Connection, KafkaError};
use serde_json::json;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A client that has not sent its request by then is not Prometheus.
const HEADER_WAIT: Duration = Duration::from_secs(10);

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
    /// How partitions are printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Print nothing and serve /metrics for Prometheus at this IP:PORT; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", conflicts_with = "watch")]
    listen: Option<SocketAddr>,
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let mut monitor = monitor(&arguments).map_err(failure)?;
    let (clock, interval) = (SystemClock::new(), Duration::from_secs(arguments.interval));
    if let Some(at) = arguments.listen {
        let first = Arc::new(monitor.sample(&clock).map_err(failure)?);
        return serve::runtime()?.block_on(export(at, monitor, clock, interval, first));
    }
    loop {
        let snapshot = monitor.sample(&clock).map_err(failure)?;
        print(&snapshot, arguments.format)?;
        if !arguments.watch {
            return verdict(&snapshot);
        }
        std::thread::sleep(interval);
    }
}

fn monitor(arguments: &Arguments) -> Result<LagMonitor, KafkaError> {
    let mut connection = Connection::new(&arguments.bootstrap);
    if let Some(file) = &arguments.properties {
        let wrong = |problem: String| KafkaError::Setting {
            name: "--properties".to_owned(),
            value: file.display().to_string(),
            want: format!("a readable file of `name=value` lines ({problem})"),
        };
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        for (number, line) in lines {
            let (name, value) =
                line.split_once('=').ok_or_else(|| wrong(format!("line {number} has no `=`")))?;
            connection.secrets.insert(name.trim().to_owned(), value.trim().to_owned().into());
        }
    }
    let filter = |name: &str, pattern: &Option<String>| {
        pattern.as_ref().map_or_else(|| Ok(Filter::default()), |pattern| Filter::new(name, pattern))
    };
    let options = LagOptions {
        groups: filter("--group", &arguments.group)?,
        topics: filter("--topic", &arguments.topic)?,
        wait: Duration::from_secs(arguments.timeout),
        ..LagOptions::default()
    };
    LagMonitor::open(&connection, options)
}

fn failure(error: KafkaError) -> Failure {
    let kind = match (&error, error.class()) {
        (KafkaError::Setting { .. } | KafkaError::Client { .. }, _) => Kind::Input,
        (_, Class::Bug) => Kind::Bug,
        (_, Class::Transient | Class::Permanent | Class::Overload) => Kind::Environment,
    };
    Failure::new(kind, Fault::from(error))
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
    let stuck = snapshot.partitions.iter().filter(|row| row.stuck).count();
    if stuck == 0 {
        Ok(())
    } else {
        Err(Failure::new(Kind::Verdict, format_args!("{stuck} partitions are stuck")))
    }
}

fn print(snapshot: &LagSnapshot, format: Format) -> Outcome {
    if format == Format::Text {
        output::data(format_args!(
            "{:<24} {:<24} {:>9} {:>12} {:>12} {:>10} {:>10}  {:<6} CLIENT",
            "GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "SECONDS", "STUCK"
        ))?;
    }
    for row in &snapshot.partitions {
        match format {
            Format::Text => text(row)?,
            Format::Json => output::data(format_args!(
                "{}",
                json!({
                    "at_ms": snapshot.at.0, "group": &*row.group, "topic": &*row.topic,
                    "partition": row.partition, "client_id": &*row.client_id, "committed": row.committed,
                    "begin": row.begin, "end": row.end, "lag": row.lag, "lag_seconds": row.seconds,
                    "stuck": row.stuck,
                })
            ))?,
        }
    }
    for unread in &snapshot.unread {
        let error = Fault::from(unread.error.clone());
        output::note(format_args!("group {} could not be asked: {error}", unread.group));
    }
    Ok(())
}

fn text(row: &PartitionLag) -> Outcome {
    let committed = row.committed.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
    let seconds = row.seconds.map_or_else(|| "?".to_owned(), |seconds| format!("{seconds:.1}"));
    let client = if row.client_id.is_empty() { "-" } else { &*row.client_id };
    output::data(format_args!(
        "{:<24} {:<24} {:>9} {committed:>12} {:>12} {:>10} {seconds:>10}  {:<6} {client}",
        row.group,
        row.topic,
        row.partition,
        row.end,
        row.lag,
        if row.stuck { "yes" } else { "no" },
    ))
}

/// Serves the newest sample; a failed one leaves the last to be seen, and is told on stderr.
async fn export(
    at: SocketAddr,
    mut monitor: LagMonitor,
    clock: SystemClock,
    interval: Duration,
    first: Arc<LagSnapshot>,
) -> Outcome {
    let busy = |error| Failure::environment(format_args!("--listen {at}: {error}"));
    let listener = TcpListener::bind(at).await.map_err(busy)?;
    output::note(format_args!("metrics: http://{}/metrics", listener.local_addr().map_err(busy)?));
    let (newest, seen) = watch::channel(first);
    std::thread::spawn(move || {
        while !newest.is_closed() {
            std::thread::sleep(interval);
            match monitor.sample(&clock) {
                Ok(snapshot) => drop(newest.send_replace(Arc::new(snapshot))),
                Err(error) => output::note(format_args!("no new sample: {}", Fault::from(error))),
            }
        }
    });
    loop {
        let (stream, _) = listener.accept().await.map_err(busy)?;
        let seen = seen.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let answer = answer(&request, &seen.borrow());
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADER_WAIT);
            // A scrape that breaks off is Prometheus's to tell.
            let _ = server.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

fn answer(request: &Request<Incoming>, snapshot: &Arc<LagSnapshot>) -> Response<Full<Bytes>> {
    let known = request.uri().path() == "/metrics";
    let text = if known { lag::render(snapshot).ok() } else { None };
    let status = match (known, &text) {
        (false, _) => StatusCode::NOT_FOUND,
        (true, Some(_)) => StatusCode::OK,
        (true, None) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = Response::new(Full::new(Bytes::from(text.unwrap_or_default())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(lag::CONTENT_TYPE));
    response
}
