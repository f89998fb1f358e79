//! The recoverable producers of the process: one before the clusters that ingest writes to, one before each cluster
//! that gets dead letters. Each has a spill of its own, so that a letter never goes to another cluster than its
//! pipeline's and a full spill of one does not stop the others.

mod error;
pub(crate) mod options;

pub use error::RecoverableError;
pub use options::RECORD_BYTES_MAX;

use crate::cluster::{Cluster, Clusters};
use crate::config::{self, Config, LOG};
use seawall_core::{Durability, Fault, Offset, Outgoing, Receipt, Sink, TopicPartition};
use seawall_producer::spill::look;
use seawall_producer::{Producer, ProducerOptions, Replicated, Safe, SendError, Snapshot, Synced, Target};
use seawall_wal::RealDisk;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The directory of spills within the data directory, where the config names none.
const SPILL: &str = "spill";

/// What a producer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Records that ingest took.
    Ingest,
    /// Dead letters, and letters that go back to where they came from.
    Letters,
}

impl Use {
    /// The name used in metrics, JSON and directories.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Letters => "letters",
        }
    }
}

/// What became of a record, at the moment its receipt is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How safe it is.
    pub durability: Durability,
    /// Where it stands in its topic, once it does.
    pub place: Option<(TopicPartition, Offset)>,
    /// The cluster that has it.
    pub sink: Option<Arc<str>>,
}

/// A producer at work. Clones share it.
#[derive(Clone)]
pub struct Recoverable(Arc<Inner>);

struct Inner {
    name: String,
    serves: Use,
    sinks: Vec<String>,
    asked: Durability,
    dir: PathBuf,
    producer: Producer,
    /// Records with a `buffered` receipt that were not delivered.
    unkept: AtomicU64,
}

/// Records on their way to one cluster.
struct ToCluster(Cluster);

impl Sink for ToCluster {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        self.0.sink().send(records).await
    }

    async fn send_shared(&self, records: Arc<Vec<Outgoing>>) -> Vec<Result<Receipt, Fault>> {
        self.0.sink().send_shared(records).await
    }
}

/// All producers of a config.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    all: Vec<Recoverable>,
    close_within: Duration,
}

impl Producers {
    /// Opens the producers that `config` asks for: what a crash left in their spills is verified, and delivered from
    /// now on. Blocks for the disk, within a runtime.
    ///
    /// # Errors
    /// [`RecoverableError`]; every spill's bytes are as they were, unless an earlier one of the list was opened.
    pub fn open(config: &Config, clusters: &Clusters) -> Result<Self, RecoverableError> {
        let wanted = wanted(config);
        let root = root(config);
        find_orphans(&root, &wanted)?;
        let Some(settings) = &config.producer else { return Ok(Self::default()) };
        let open = |wanted: &Wanted| Recoverable::open(wanted, settings, &root, clusters);
        let all = wanted.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { all, close_within: settings.close_within.0 })
    }

    /// The one that stands before `cluster` for `serves`.
    pub fn get(&self, serves: Use, cluster: &str) -> Option<&Recoverable> {
        self.all.iter().find(|one| one.0.serves == serves && one.preferred() == cluster)
    }

    /// All of them.
    pub fn all(&self) -> &[Recoverable] {
        &self.all
    }

    /// Takes no more records, and waits a bounded time for the clusters to take those taken; the rest is on disk then.
    pub async fn close(&self) {
        futures_util::future::join_all(self.all.iter().map(|one| one.0.producer.close(self.close_within)))
            .await;
    }
}

/// A producer that a config asks for.
struct Wanted {
    serves: Use,
    /// Most preferred first.
    sinks: Vec<String>,
}

impl Wanted {
    fn name(&self) -> String {
        format!("{}.{}", self.serves.as_str(), self.sinks.first().map_or("", String::as_str))
    }
}

fn wanted(config: &Config) -> Vec<Wanted> {
    let Some(settings) = &config.producer else { return Vec::new() };
    let mut wanted = Vec::new();
    if config.ingest.sink != LOG {
        let sinks = std::iter::once(&config.ingest.sink).chain(&settings.fail_over).cloned().collect();
        wanted.push(Wanted { serves: Use::Ingest, sinks });
    }
    let sources: BTreeSet<&String> =
        config.pipeline.iter().map(|pipeline| &pipeline.source).filter(|source| *source != LOG).collect();
    wanted.extend(
        sources.into_iter().map(|source| Wanted { serves: Use::Letters, sinks: vec![source.clone()] }),
    );
    wanted
}

/// The directory of all spills.
fn root(config: &Config) -> PathBuf {
    let chosen = config.producer.as_ref().and_then(|settings| settings.dir.clone());
    chosen.unwrap_or_else(|| config.data.dir.join(SPILL))
}

/// Records in a spill that nobody would deliver are not passed over in silence.
fn find_orphans(root: &Path, wanted: &[Wanted]) -> Result<(), RecoverableError> {
    let unread =
        |source: std::io::Error| RecoverableError::Spills { dir: root.to_owned(), source: Arc::new(source) };
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(unread)?,
        // No such directory: no spill.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unread(error)),
    };
    let ours: BTreeSet<PathBuf> = wanted.iter().map(|wanted| root.join(wanted.name())).collect();
    let mut others: Vec<PathBuf> = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|dir| !ours.contains(dir) && look::is_spill(dir))
        .collect();
    others.sort();
    for dir in others {
        match look::summary(&RealDisk, &dir) {
            Ok(summary) if summary.waiting == 0 => {
                if summary.refused > 0 {
                    tracing::warn!(
                        dir = %dir.display(), records = summary.refused,
                        "a spill that no cluster of the configuration has holds acknowledged records that were refused for \
                         good: `seawall wal export --which refused` prints them, `wal replay` delivers and `wal purge` deletes them"
                    );
                }
            }
            Ok(summary) => return Err(RecoverableError::Orphan { records: summary.waiting, dir }),
            Err(source) => return Err(RecoverableError::Unread { dir, source }),
        }
    }
    Ok(())
}

impl Recoverable {
    fn open(
        wanted: &Wanted,
        settings: &config::Producer,
        root: &Path,
        clusters: &Clusters,
    ) -> Result<Self, RecoverableError> {
        let name = wanted.name();
        let clusters = wanted.sinks.iter().filter_map(|sink| clusters.get(sink));
        let targets =
            clusters.map(|cluster| Target::new(cluster.name(), ToCluster(cluster.clone()))).collect();
        let dir = root.join(&name);
        let options = ProducerOptions {
            // A cluster took what a letter carries: it takes the letter, too.
            record_bounds: wanted.serves == Use::Ingest,
            ..options::options(settings, dir.clone(), &name)
        };
        let producer = Producer::open(options, targets)
            .map_err(|source| RecoverableError::Open { name: name.clone(), source })?;
        let asked = match wanted.serves {
            Use::Ingest => settings.durability.into(),
            Use::Letters => Durability::Synced,
        };
        let (serves, sinks, unkept) = (wanted.serves, wanted.sinks.clone(), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { name, serves, sinks, asked, dir, producer, unkept })))
    }

    /// Its name: what it is for, and its most preferred cluster.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is for.
    pub fn serves(&self) -> Use {
        self.0.serves
    }

    /// The cluster that it writes to while all is well.
    pub fn preferred(&self) -> &str {
        self.0.sinks.first().map_or("", String::as_str)
    }

    /// Its clusters, the most preferred first.
    pub fn sinks(&self) -> &[String] {
        &self.0.sinks
    }

    /// How safe a record is to be before its receipt is given, where its sender does not choose.
    pub fn asked(&self) -> Durability {
        self.0.asked
    }

    /// Where its spill lies.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// It in numbers.
    pub fn snapshot(&self) -> Snapshot {
        self.0.producer.snapshot()
    }

    /// Records with a `buffered` receipt that were not delivered.
    pub fn unkept(&self) -> u64 {
        self.0.unkept.load(Relaxed)
    }

    /// Sends records in order, and gives each receipt once the record is as safe as `asked`.
    pub async fn send(&self, records: Vec<Outgoing>, asked: Durability) -> Vec<Result<Taken, SendError>> {
        match asked {
            Durability::Replicated => {
                let sent = self.0.producer.send_all::<Replicated>(records).await;
                sent.into_iter().map(|sent| sent.map(|sent| delivered(sent.sink, sent.receipt))).collect()
            }
            Durability::Synced => {
                let sent = self.0.producer.send_all::<Synced>(records).await;
                sent.into_iter().map(|sent| sent.map(|sent| taken(sent.place))).collect()
            }
            Durability::Buffered => self.buffer(records).await,
        }
    }

    async fn buffer(&self, records: Vec<Outgoing>) -> Vec<Result<Taken, SendError>> {
        let mut answers = Vec::with_capacity(records.len());
        let mut stopped: Option<SendError> = None;
        for record in records {
            if let Some(error) = &stopped {
                answers.push(Err(error.clone()));
                continue;
            }
            let inner = Arc::clone(&self.0);
            let heard = move |outcome: seawall_producer::Outcome| {
                if let Err(error) = outcome {
                    inner.unkept.fetch_add(1, Relaxed);
                    tracing::error!(producer = inner.name, %error, "a record with a `buffered` receipt was not delivered");
                }
            };
            let sent = self.0.producer.send_buffered(record, heard).await;
            // What was refused for want of room must not be overtaken.
            stopped = sent
                .as_ref()
                .err()
                .filter(|e| matches!(e, SendError::Full { .. } | SendError::Closed))
                .cloned();
            answers.push(sent.map(|_| Taken { durability: Durability::Buffered, place: None, sink: None }));
        }
        answers
    }
}

impl std::fmt::Debug for Recoverable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recoverable({})", self.name())
    }
}

fn delivered(sink: Arc<str>, receipt: Receipt) -> Taken {
    let place = Some((receipt.partition, receipt.offset));
    Taken { durability: receipt.durability, place, sink: Some(sink) }
}

fn taken(safe: Safe) -> Taken {
    match safe {
        Safe::Delivered { sink, receipt } => delivered(sink, receipt),
        Safe::Spilled { .. } => Taken { durability: Durability::Synced, place: None, sink: None },
    }
}

/// For a dead letter that is on disk here: its place is the spill's.
impl Sink for Recoverable {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        let spill: Arc<str> = format!("spill:{}", self.name()).into();
        let receipt = |synced: Synced| match synced.place {
            Safe::Delivered { receipt, .. } => receipt,
            Safe::Spilled { seq } => {
                let partition = TopicPartition::new(Arc::clone(&spill), 0);
                Receipt { partition, offset: seq, durability: Durability::Synced }
            }
        };
        let sent = self.0.producer.send_all::<Synced>(records).await;
        sent.into_iter().map(|sent| sent.map(receipt).map_err(Fault::from)).collect()
    }
}

#[cfg(test)]
mod tests;
