//! Opening a data directory.

use crate::append::budget::Budget;
use crate::append::queue::Queue;
use crate::broker::{Broker, Shared, Tally, Topic, thread, upkeep};
use crate::error::LogError;
use crate::group::store::Store;
use crate::health::Failing;
use crate::lock;
use crate::options::{BrokerOptions, Driver};
use crate::partition::Partition;
use crate::partition::hash::Sticky;
use crate::topic::TopicOptions;
use crate::topic::catalog;
use crate::topic::name::directory_name;
use seawall_core::{Clock, Offset, TopicPartition};
use seawall_wal::{Disk, DiskFile, Log, Lost, Options, Recovery, Scan};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, RwLock};

const CATALOG_FILE: &str = "catalog";
const CATALOG_NEW: &str = "catalog.new";
const STATE_DIR: &str = "state";
/// A catalog of more than this is not one: 64 MiB hold far over 100,000 topics.
const CATALOG_BYTES_MAX: u64 = 64 << 20;
/// Zeroed ahead at a time in a partition's fresh segment: topics have many partitions, most of them small.
const ZERO_AHEAD_BYTES: u64 = 1 << 20;

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a recovery may have lost something, and its caller must say so"]
pub struct OpenReport {
    /// Every partition.
    pub partitions: Vec<PartitionRecovery>,
    /// The torn tail of the groups' state, if any: of commits that never returned.
    pub state_lost: Option<Lost>,
    /// Positions that pointed beyond the end of their partition (after a repair shortened it) and were set back
    /// to it.
    pub positions_set_back: Vec<(String, TopicPartition)>,
}

/// What opening found of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecovery {
    /// Which.
    pub partition: TopicPartition,
    /// Its lowest offset held.
    pub start: Offset,
    /// One past its last record.
    pub end: Offset,
    /// The torn tail that was cut, if any: of records that never got a receipt.
    pub lost: Option<Lost>,
}

impl OpenReport {
    /// The partitions whose torn tail was cut.
    pub fn losses(&self) -> impl Iterator<Item = (&TopicPartition, &Lost)> {
        self.partitions.iter().filter_map(|p| Some((&p.partition, p.lost.as_ref()?)))
    }
}

impl<D: Disk> Broker<D> {
    /// Opens `options.dir`, making it where it is missing, and recovers every partition.
    ///
    /// # Errors
    /// [`LogError::Locked`] at once where another process owns it; [`LogError::Catalog`], [`LogError::Wal`] and
    /// [`LogError::Frame`] name what is damaged or of a newer build, and nothing is changed;
    /// [`LogError::Options`]; [`LogError::Io`].
    pub fn open(
        disk: D,
        options: BrokerOptions,
        clock: Arc<dyn Clock>,
        driver: Driver,
    ) -> Result<(Self, OpenReport), LogError> {
        options.check()?;
        let dir = options.dir.clone();
        disk.create_dir_all(&dir).map_err(|source| LogError::io("create", &dir, source))?;
        let held = lock::take(&disk, &dir)?;
        let known = read_catalog(&disk, &dir)?;
        let (store, state) = Store::open(disk.clone(), dir.join(STATE_DIR), clock.wall())?;
        let mut report = OpenReport { state_lost: state.lost, ..OpenReport::default() };
        let shared = Shared {
            budget: Budget::new(options.queue_records_max, options.queue_bytes_max, options.queue_wait_max),
            upkeep: Mutex::new(upkeep::Schedule::starting(clock.now())),
            disk,
            options,
            clock,
            driver,
            topics: RwLock::default(),
            creating: Mutex::default(),
            groups: Mutex::default(),
            store,
            queue: Queue::new(),
            failing: Failing::default(),
            tally: Tally::default(),
            next_partition_id: AtomicUsize::new(0),
            turning: Mutex::default(),
            lock: Mutex::new(Some(held)),
        };
        let mut topics = BTreeMap::new();
        for (name, topic_options) in known {
            let topic = shared.open_topic(&name, &topic_options, &mut report.partitions)?;
            topics.insert(name, Arc::new(topic));
        }
        *shared.topics.write().unwrap_or_else(std::sync::PoisonError::into_inner) = topics;
        report.positions_set_back = shared.set_back_positions()?;
        for (partition, lost) in report.losses() {
            let (offset, bytes) = (lost.seq, lost.bytes());
            tracing::warn!(%partition, offset, bytes, "a torn tail without receipts was cut");
        }
        let shared = Arc::new(shared);
        let closer = Arc::new(thread::Closer::start(Arc::clone(&shared))?);
        Ok((Self { shared, closer }, report))
    }
}

impl<D: Disk> Shared<D> {
    /// Opens the partitions of a topic, making those that are missing.
    pub(crate) fn open_topic(
        &self,
        name: &Arc<str>,
        options: &TopicOptions,
        recovered: &mut Vec<PartitionRecovery>,
    ) -> Result<Topic<D>, LogError> {
        let base = self.options.dir.join(directory_name(name));
        let mut partitions = Vec::with_capacity(options.partitions as usize);
        for number in 0..options.partitions {
            let tp = TopicPartition { topic: Arc::clone(name), partition: number };
            let (log, recovery) = self.open_log(&base.join(format!("{number:08}")), &tp)?;
            let floor = self.store.floor(&tp);
            recovered.push(PartitionRecovery {
                partition: tp.clone(),
                start: recovery.first.max(floor),
                end: recovery.next,
                lost: recovery.lost,
            });
            let id = self.next_partition_id.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            partitions.push(Arc::new(Partition::new(id, tp, log, floor)));
        }
        Ok(Topic { name: Arc::clone(name), options: options.clone(), partitions, sticky: Sticky::default() })
    }

    fn open_log(&self, dir: &Path, tp: &TopicPartition) -> Result<(Log<D>, Recovery), LogError> {
        let options = Options {
            segment_bytes: self.options.segment_bytes,
            zero_ahead_bytes: ZERO_AHEAD_BYTES.min(self.options.segment_bytes),
            unsynced_bytes_max: (self.options.queue_bytes_max as u64).max(128 << 20),
            scan: if self.options.verify_all { Scan::All } else { Scan::Tail },
            ..Options::new(dir)
        };
        Log::open(self.disk.clone(), options, self.clock.wall()).map_err(|source| LogError::wal(tp, source))
    }

    fn set_back_positions(&self) -> Result<Vec<(String, TopicPartition)>, LogError> {
        let facts = self.store.ahead_of(|tp| {
            let topics = self.topics();
            topics.get(&tp.topic)?.partitions.get(tp.partition as usize).map(|partition| partition.end())
        });
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        let mut named = Vec::new();
        for fact in &facts {
            if let crate::group::state::Fact::Position { group, partition, held } = fact {
                let watermark = held.position.watermark;
                tracing::warn!(%group, %partition, watermark, "position was beyond the end: set back");
                named.push((group.to_string(), partition.clone()));
            }
        }
        self.store.write(facts, &*self.clock)?;
        Ok(named)
    }

    /// Replaces the catalog as a whole; see [`catalog`].
    pub(crate) fn write_catalog(&self, topics: &BTreeMap<Arc<str>, TopicOptions>) -> Result<(), LogError> {
        let path = self.options.dir.join(CATALOG_FILE);
        let new = self.options.dir.join(CATALOG_NEW);
        let failed = |doing| {
            let path = path.clone();
            move |source| LogError::io(doing, &path, source)
        };
        let bytes = catalog::encode(topics)
            .map_err(|source| LogError::Catalog { path: path.clone(), source: Arc::new(source) })?;
        match self.disk.remove(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("replace")(error)),
            _ => {}
        }
        let file = self.disk.create(&new).map_err(failed("write the new"))?;
        file.write_all_at(&bytes, 0).map_err(failed("write the new"))?;
        file.sync_data().map_err(failed("sync the new"))?;
        self.disk.rename(&new, &path).map_err(failed("replace"))?;
        self.disk.sync_dir(&self.options.dir).map_err(failed("sync the directory of"))
    }
}

fn read_catalog<D: Disk>(disk: &D, dir: &Path) -> Result<BTreeMap<Arc<str>, TopicOptions>, LogError> {
    let path = dir.join(CATALOG_FILE);
    let failed = |source| LogError::io("read", &path, source);
    let file = match disk.open_read_only(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        other => other.map_err(failed)?,
    };
    let len = file.len().map_err(failed)?.min(CATALOG_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let read = file.read_at(&mut bytes, 0).map_err(failed)?;
    bytes.truncate(read);
    catalog::decode(&bytes)
        .map_err(|source| LogError::Catalog { path: path.clone(), source: Arc::new(source) })
}
