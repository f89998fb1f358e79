//! `seawall produce --bootstrap … --spill DIR`: what the cluster cannot take is kept, and said honestly.

use super::Outcome;
use super::batch::Answer;
use crate::cluster;
use crate::exit::Failure;
use crate::output;
use seawall_core::{Class, Classify, Durability, Fault, Outgoing, Record};
use seawall_kafka::{Admin, Connection, KafkaSink, SinkOptions};
use seawall_producer::spill::look;
use seawall_producer::{
    OpenError, Outcome as Became, Producer, ProducerOptions, ReplayOptions, Replicated, Safe, SendError,
    SpillOptions, Synced, Target,
};
use seawall_sidecar::config::{Period, Size};
use seawall_wal::RealDisk;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Who owns the spill of this command: another use's is refused.
const OWNER: &str = "seawall produce";
/// How long the cluster has for a record before it counts as failed.
const DELIVERY_WITHIN: Duration = Duration::from_secs(10);
/// How long the cluster is asked for the topic: without an answer the spill takes what comes.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// How long the end waits for calls on their way; what is left then goes to the disk.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How often the end looks whether everything is delivered.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What keeps records that the cluster cannot take.
#[derive(Debug, clap::Args)]
pub(super) struct SpillArguments {
    /// With --bootstrap: keep what the cluster cannot take in this directory and go on; a record counts as written
    /// once the cluster or this disk has it. What an earlier call left there is delivered, too.
    #[arg(long, value_name = "DIR", requires = "bootstrap")]
    spill: Option<PathBuf>,
    /// Bytes that the spill may take on disk, like 1GiB.
    #[arg(long, value_name = "SIZE", default_value = "1GiB", requires = "spill")]
    spill_max: Size,
    /// Bytes of the largest record (key, value, headers and topic) that is taken.
    #[arg(long, value_name = "SIZE", default_value = "1MB", requires = "spill")]
    record_max: Size,
    /// How long the end waits for the cluster to take what is in the spill, like 30s.
    #[arg(long, value_name = "DURATION", default_value = "30s", requires = "spill")]
    wait: Period,
}

/// A producer with a spill, and what it has told so far.
pub(super) struct Kept {
    producer: Producer,
    dir: PathBuf,
    wait: Duration,
    topic: String,
    asked: Durability,
    heard: Arc<Heard>,
}

/// What became of records.
#[derive(Default)]
struct Heard {
    spilled: AtomicU64,
    /// Taken into memory, and nowhere in the end.
    unkept: AtomicU64,
    /// Why the first of them.
    why: OnceLock<SendError>,
}

impl Heard {
    /// Of a record that was taken into memory.
    fn became(&self, outcome: Became) {
        match outcome {
            Ok(place) => self.is_at(&place),
            Err(error) => {
                self.unkept.fetch_add(1, Relaxed);
                self.why.get_or_init(|| error);
            }
        }
    }

    fn is_at(&self, place: &Safe) {
        if let Safe::Spilled { .. } = place {
            self.spilled.fetch_add(1, Relaxed);
        }
    }
}

impl SpillArguments {
    /// The producer; `None` where no spill is asked for. Must be called within a runtime.
    ///
    /// # Errors
    /// When the topic is known to be missing, a setting is wrong, or the spill is somebody else's or damaged: then its
    /// bytes are as they were.
    pub(super) async fn open(
        &self,
        connection: &Connection,
        topic: &str,
        asked: Durability,
    ) -> Result<Option<Kept>, Failure> {
        let Some(dir) = &self.spill else { return Ok(None) };
        let options = self.options(dir);
        // Before the cluster is asked: a client would refuse the same in the words of its own settings.
        options.check().map_err(not_open)?;
        let admin = Admin::open(connection, LOOK_WITHIN).map_err(cluster::failure)?;
        match admin.existing_topic(topic).await {
            Ok(_) => {}
            Err(error) if error.class() == Class::Transient => output::note(format_args!(
                "the cluster does not answer, so that nobody knows whether topic {topic} is there: {}",
                Fault::from(error)
            )),
            Err(error) => return Err(cluster::failure(error)),
        }
        let sinks = SinkOptions { delivery_timeout: DELIVERY_WITHIN, ..cluster::sink_options() };
        let sink = KafkaSink::open(connection, &sinks).map_err(cluster::failure)?;
        let producer = Producer::open(options, vec![Target::new("cluster", sink)]).map_err(not_open)?;
        let found = producer.snapshot().backlog_records;
        if found > 0 {
            output::note(format_args!("{found} records of an earlier call wait in {}", dir.display()));
        }
        let (dir, topic, heard) = (dir.clone(), topic.to_owned(), Arc::default());
        Ok(Some(Kept { producer, dir, wait: self.wait.0, topic, asked, heard }))
    }

    fn options(&self, dir: &Path) -> ProducerOptions {
        let spill = SpillOptions { disk_bytes_max: self.spill_max.0, ..SpillOptions::new(dir, OWNER) };
        let defaults = ProducerOptions::default();
        let record = self.record_max.as_usize();
        ProducerOptions {
            record_bytes_max: record,
            batch_bytes: defaults.batch_bytes.max(record),
            replay: ReplayOptions {
                window_bytes: defaults.replay.window_bytes.max(record),
                ..defaults.replay
            },
            spill: Some(spill),
            ..defaults
        }
    }
}

/// Why there is no producer, in the words of the command line.
fn not_open(error: OpenError) -> Failure {
    match error {
        OpenError::Options { option, value, want } => {
            let most = ProducerOptions::default().memory_bytes_max / 4;
            let (flag, want) = match option {
                "spill.disk_bytes_max" => ("--spill-max", want),
                "record_bytes_max" => ("--record-max", format!("1 to {most}")),
                other => (other, want),
            };
            Failure::input(format_args!("{flag} is {value} bytes: it must be {want}"))
        }
        error => Failure::environment(Fault::from(error)),
    }
}

/// Why a record was not taken, in the words of the command line.
fn not_taken(error: SendError) -> Failure {
    match error {
        SendError::TooLarge { bytes, max } => {
            Failure::input(format_args!("a record of {bytes} bytes is larger than the {max} of --record-max"))
        }
        error => Failure::environment(error),
    }
}

impl Kept {
    /// Sends one batch; when this returns each record that was taken is as safe as was asked. Behind a record that
    /// finds no room in memory no other is tried, and there is no answer for it.
    pub(super) async fn send(&self, topic: &Arc<str>, batch: Vec<Record>) -> Vec<Answer> {
        let records =
            batch.into_iter().map(|record| Outgoing { topic: topic.clone(), partition: None, record });
        match self.asked {
            Durability::Replicated => {
                let sent = self.producer.send_all::<Replicated>(records.collect()).await;
                sent.into_iter().map(|sent| sent.map(|_| ()).map_err(not_taken)).collect()
            }
            Durability::Synced => {
                let sent = self.producer.send_all::<Synced>(records.collect()).await;
                let told = |sent: Result<Synced, SendError>| match sent {
                    Ok(synced) => {
                        self.heard.is_at(&synced.place);
                        Ok(())
                    }
                    Err(error) => Err(not_taken(error)),
                };
                sent.into_iter().map(told).collect()
            }
            Durability::Buffered => {
                let mut answers = Vec::new();
                for record in records {
                    let heard = Arc::clone(&self.heard);
                    let taken =
                        self.producer.send_buffered(record, move |outcome| heard.became(outcome)).await;
                    answers.push(taken.map(|_| ()).map_err(not_taken));
                    if answers.last().is_some_and(Result::is_err) {
                        break;
                    }
                }
                answers
            }
        }
    }

    /// Waits for the cluster to take what was spilled, ends, and says where everything is.
    pub(super) async fn finish(self) -> Outcome {
        let delivered = async {
            while self.producer.snapshot().backlog_records > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // Out of time: what waits is told below.
        let _ = tokio::time::timeout(self.wait, delivered).await;
        let refused = self.producer.snapshot().refused_records;
        self.producer.close(CLOSE_WITHIN).await;
        let left = look::summary(&RealDisk, &self.dir).map_err(|e| Failure::environment(Fault::from(e)))?;
        let (spilled, unkept) = (self.heard.spilled.load(Relaxed), self.heard.unkept.load(Relaxed));
        if spilled > 0 {
            output::note(format_args!("{spilled} of them went through the spill"));
        }
        if left.waiting > 0 {
            output::note(format_args!(
                "{} records are not in the cluster yet: they are on disk, in {}. `seawall produce {} --bootstrap … --spill {}` \
                 with no input delivers them, or `seawall wal replay`",
                left.waiting,
                self.dir.display(),
                self.topic,
                self.dir.display()
            ));
        }
        if let Some(why) = self.heard.why.get() {
            return Err(Failure::environment(format_args!(
                "{unkept} records that were in memory are neither in the cluster nor on disk: {why}"
            )));
        }
        if refused > 0 {
            return Err(Failure::environment(refusal(refused, &self.dir)));
        }
        Ok(())
    }
}

fn refusal(records: u64, dir: &Path) -> String {
    format!(
        "the cluster refused {records} records for good after they were on disk; `seawall wal export {} --which refused` \
         prints them with the reason",
        dir.display()
    )
}
