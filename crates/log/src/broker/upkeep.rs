//! What is done by the clock: retention, overdue releases, trying the disk again.

use crate::broker::{Broker, Shared};
use crate::error::LogError;
use crate::group::Group;
use crate::group::state::Fact;
use crate::group::store::PLACE;
use crate::mutex::lock;
use crate::partition::Partition;
use crate::partition::retention::Rule;
use seawall_core::{Nanos, Offset, TopicPartition};
use seawall_wal::{Disk, DiskFile};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How soon a disk that refused a write is tried again.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// What it is tried with.
const PROBE_FILE: &str = "probe";
/// A log grows by so much at least.
const PROBE_BYTES: usize = 1 << 20;

/// When what was last done.
#[derive(Debug)]
pub(crate) struct Schedule {
    retention: Nanos,
    probe: Nanos,
}

impl Schedule {
    pub(crate) fn starting(now: Nanos) -> Self {
        Self { retention: now, probe: now }
    }

    fn retention_due(&mut self, now: Nanos, every: Duration) -> bool {
        due(&mut self.retention, now, every)
    }

    fn probe_due(&mut self, now: Nanos) -> bool {
        due(&mut self.probe, now, PROBE_EVERY)
    }
}

fn due(last: &mut Nanos, now: Nanos, every: Duration) -> bool {
    let due = now.since(*last) >= every;
    if due {
        *last = now;
    }
    due
}

/// What one pass of retention deleted in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// Which.
    pub partition: TopicPartition,
    /// Its first deleted offset.
    pub from: Offset,
    /// One past its last deleted offset: the new start.
    pub to: Offset,
    /// The groups that had not come to all of them, and how many records each lost.
    pub unread: Vec<(Arc<str>, u64)>,
}

impl<D: Disk> Broker<D> {
    /// Applies retention now, as the commit thread does every
    /// [`retention_every`](crate::BrokerOptions::retention_every).
    ///
    /// # Errors
    /// The first partition's error; the others are tried all the same.
    pub fn retain_now(&self) -> Result<Vec<Retained>, LogError> {
        self.shared.retain()
    }

    /// Deletes the records of a partition below `before`, durably and exactly: they are not read again, and their
    /// space is freed by whole segments. Returns the new start. Never above the end.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`], [`LogError::Closed`], what the disk answers.
    pub fn purge(&self, topic: &str, partition: u32, before: Offset) -> Result<Offset, LogError> {
        let topic = self.shared.topic(topic)?;
        let partition = topic.partition(partition)?;
        let floor = before.min(partition.end());
        self.shared.state(vec![(None, Fact::Floor { partition: partition.tp.clone(), floor })])?;
        partition.cut(floor)
    }
}

impl<D: Disk> Shared<D> {
    /// Called after every round and every tick.
    pub(crate) fn upkeep_if_due(&self) {
        let now = self.clock.now();
        let (retain, probe) = {
            let mut schedule = lock(&self.upkeep);
            let retain = schedule.retention_due(now, self.options.retention_every);
            (retain, self.failing.any() && schedule.probe_due(now))
        };
        if retain && let Err(error) = self.retain() {
            tracing::warn!(error = &error as &dyn std::error::Error, "retention failed");
        }
        if probe && !self.queue.is_closed() {
            let tried = self.probe_room().and_then(|()| self.store.write(vec![Fact::Probe], &*self.clock));
            match tried {
                Ok(()) => self.failing.clear(),
                Err(error) => self.failing.note(|| PLACE.to_owned(), Some(&error)),
            }
        }
        let groups: Vec<Arc<Group>> = lock(&self.groups).values().cloned().collect();
        for group in groups {
            group.expire(now, self.options.release_within);
        }
    }

    /// Writes, syncs and removes a file as large as what a log zeroes ahead: a write over bytes that exist works
    /// on a full disk too, and says nothing of the next segment.
    fn probe_room(&self) -> Result<(), LogError> {
        let path = self.options.dir.join(PROBE_FILE);
        let io = |doing, source| LogError::io(doing, &path, source);
        // What an earlier probe left behind when it was cut short.
        match self.disk.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("remove", error)),
            _ => {}
        }
        let file = self.disk.create(&path).map_err(|error| io("create", error))?;
        let written = file.write_all_at(&vec![0; PROBE_BYTES], 0).and_then(|()| file.sync_data());
        drop(file);
        self.disk.remove(&path).map_err(|error| io("remove", error))?;
        written.map_err(|error| io("write", error))
    }

    fn retain(&self) -> Result<Vec<Retained>, LogError> {
        let topics: Vec<_> = self.topics().values().cloned().collect();
        let mut passes = Vec::new();
        let mut first_error = Ok(());
        for topic in topics {
            let rule = Rule { bytes: topic.options.retention_bytes, age: topic.options.retention_age };
            if rule.bytes.is_none() && rule.age.is_none() {
                continue;
            }
            for partition in &topic.partitions {
                match partition.retain(&rule, self.clock.wall()) {
                    Ok((from, to)) if to > from => passes.push(self.retained(partition, from, to)),
                    Ok(_) => {}
                    Err(error) => first_error = first_error.and(Err(error)),
                }
            }
        }
        first_error.map(|()| passes)
    }

    fn retained(&self, partition: &Partition<D>, from: Offset, to: Offset) -> Retained {
        let tp = &partition.tp;
        let mut unread = Vec::new();
        for (group, watermark) in self.store.watermarks(tp) {
            let lost = to.saturating_sub(watermark.max(from));
            if lost > 0 {
                tracing::warn!(%group, partition = %tp, records = lost, "retention deleted unread records");
                unread.push((group, lost));
            }
        }
        self.tally.retained_away.fetch_add(to - from, Ordering::Relaxed);
        let lost = unread.iter().map(|(_, lost)| lost).sum();
        self.tally.unread_retained_away.fetch_add(lost, Ordering::Relaxed);
        Retained { partition: tp.clone(), from, to, unread }
    }
}
