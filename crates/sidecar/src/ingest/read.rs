//! The way back out: records as lines, to the end or for as long as the reader stays.

use super::append::{problem_of, unavailable, unknown_topic};
use super::query::Query;
use super::{Body, Ingest, stream};
use crate::config::nearest;
use crate::destination::Destination;
use crate::line;
use crate::problem::Problem;
use bytes::Bytes;
use futures_util::stream as streams;
use http::{Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::Frame;
use seawall_core::{Batch, Fault, Limit, TopicPartition};
use seawall_log::{Broker, LogError};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What is read from the disk at a time.
const CHUNK: Limit = Limit { records: 512, bytes: 256 * 1024 };
/// Chunks that wait for a slow reader; then reading waits.
const CHUNKS_WAITING: usize = 4;

/// One reader's wish.
struct Reading {
    broker: Broker,
    follow: bool,
    /// How many records may still be given, over all partitions.
    left: AtomicU64,
    lines: mpsc::Sender<Bytes>,
    /// That `left` is used up. Ends the wait for what comes later and nothing else: a line that somebody is about to
    /// send is one of those that were asked for.
    enough: CancellationToken,
    stop: CancellationToken,
}

impl Ingest {
    pub(super) fn read(&self, topic: &str, query: &Query) -> Result<Response<Body>, Problem> {
        let Destination::Log(broker) = &self.sink else { return Err(not_here(topic)) };
        let topics = broker.topics();
        let near = || nearest(topic, topics.iter().map(|topic| &**topic));
        let described = broker.describe(topic).map_err(|_| unknown_topic(topic, near()))?;
        let wanted: Option<u32> = query.number("partition")?;
        let follow = query.flag("follow")?;
        let limit: u64 = query.number("limit")?.unwrap_or(u64::MAX);
        if let Some(partition) = wanted.filter(|p| *p as usize >= described.partitions.len()) {
            let last = described.partitions.len() - 1;
            return Err(Problem::bad_request(
                "query",
                format!("partition={partition}; 0 to {last} are there"),
            ));
        }
        let (lines, mut chunks) = mpsc::channel::<Bytes>(CHUNKS_WAITING);
        let stop = self.stop.child_token();
        let left = AtomicU64::new(limit);
        let reading = Arc::new(Reading {
            broker: broker.clone(),
            follow,
            left,
            lines,
            enough: CancellationToken::new(),
            stop: stop.clone(),
        });
        for partition in described.partitions.iter().filter(|p| wanted.is_none_or(|w| w == p.partition)) {
            let from = match query.get("from") {
                None | Some("start") => partition.start,
                Some("end") => partition.end,
                Some(_) => query.number("from")?.unwrap_or(partition.start),
            };
            let place = TopicPartition::new(described.name.clone(), partition.partition);
            tokio::spawn(reading.clone().partition(place, from, partition.end));
        }
        let ended = stop.drop_guard();
        let frames = streams::poll_fn(move |context| {
            let _until_the_reader_goes = &ended;
            chunks.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk))))
        });
        Ok(stream(StreamBody::new(frames)))
    }
}

/// A cluster is read from where it is: through here every byte would pass twice.
fn not_here(topic: &str) -> Problem {
    let detail = format!(
        "records of a Kafka cluster are not read back through Seawall; \
         `seawall consume {topic} --bootstrap HOST:PORT` reads them from its brokers"
    );
    Problem::new(StatusCode::NOT_IMPLEMENTED, "read-from-cluster", "Read the cluster itself", detail)
}

impl Reading {
    /// Gives the records of one partition, from `from` to `end`, or on and on.
    async fn partition(self: Arc<Self>, place: TopicPartition, from: u64, end: u64) {
        let stop = self.stop.clone();
        let reading = async {
            let mut next = from;
            while self.left.load(Ordering::Relaxed) > 0 && (self.follow || next < end) {
                let batch = match self.fetch(place.clone(), next).await {
                    Ok(batch) => batch,
                    Err(fault) => return self.fail(&fault).await,
                };
                if batch.records.is_empty() && batch.next <= next {
                    if !self.follow {
                        return;
                    }
                    let beyond = tokio::select! {
                        biased;
                        () = self.enough.cancelled() => return,
                        beyond = self.broker.await_beyond(&place, next) => beyond,
                    };
                    match beyond {
                        Ok(_) => continue,
                        Err(error) => return self.fail(&Fault::from(error)).await,
                    }
                }
                next = batch.next.max(next);
                if !self.give(&place, &batch, end).await {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            // An end without a word would pass for all there is.
            () = stop.cancelled() => if !self.follow {
                self.tell(&unavailable("the process stops: this is not all that there is")).await;
            },
            () = reading => {}
        }
    }

    async fn fetch(&self, place: TopicPartition, from: u64) -> Result<Batch, Fault> {
        let broker = self.broker.clone();
        let fetched =
            tokio::task::spawn_blocking(move || broker.fetch(&place.topic, place.partition, from, CHUNK));
        match fetched.await {
            Ok(fetched) => fetched.map_err(Fault::from),
            Err(_) => Err(Fault::from(LogError::Closed)),
        }
    }

    /// Whether the reader is still there and wants more.
    async fn give(&self, place: &TopicPartition, batch: &Batch, end: u64) -> bool {
        let mut text = String::new();
        for fetched in &batch.records {
            let past_end = !self.follow && fetched.offset >= end;
            let take = |left: u64| left.checked_sub(1);
            if past_end || self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
                break;
            }
            text.push_str(&line::to_line(place, fetched.offset, &fetched.record, None));
            text.push('\n');
        }
        if self.left.load(Ordering::Relaxed) == 0 {
            self.enough.cancel();
        }
        text.is_empty() || self.lines.send(Bytes::from(text)).await.is_ok()
    }

    async fn fail(&self, fault: &Fault) {
        self.tell(&problem_of(fault)).await;
    }

    /// The head is out already, so the problem is the last line.
    async fn tell(&self, problem: &Problem) {
        let line = format!("{}\n", problem.to_json());
        // A reader that has gone misses nothing.
        let _ = self.lines.send(Bytes::from(line)).await;
    }
}
