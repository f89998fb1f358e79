//! One partition: a wal, its readers, and who waits for its records.

pub mod hash;
pub(crate) mod retention;

use crate::codec;
use crate::error::LogError;
use crate::mutex::lock;
use crate::signal::Signal;
use seawall_core::{Batch, Fetched, Limit, Offset, TopicPartition, WallMs};
use seawall_wal::{Disk, Log, Reader, WalError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::watch;

/// Frames of one append, one after the other in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Packed {
    pub(crate) fn push(&mut self, record: &seawall_core::Record) {
        self.bytes.reserve(codec::encoded_bytes(record));
        codec::encode(record, &mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// A partition. The writer is gone once the broker is closed. The writer's lock is held by the commit loop while it writes and syncs; readers never wait for
/// it.
pub(crate) struct Partition<D: Disk> {
    /// Unique within the broker.
    pub(crate) id: usize,
    pub(crate) tp: TopicPartition,
    log: Mutex<Option<Log<D>>>,
    reader: Mutex<Reader<D>>,
    /// Records below were purged.
    floor: AtomicU64,
    /// One past the last durable record.
    end: watch::Sender<Offset>,
    /// `end` again, for readers that look at it with every poll.
    end_now: AtomicU64,
    listeners: Mutex<Vec<Weak<Signal>>>,
}

impl<D: Disk> Partition<D> {
    pub(crate) fn new(id: usize, tp: TopicPartition, log: Log<D>, floor: Offset) -> Self {
        let reader = log.reader();
        let end = log.durable();
        Self {
            id,
            tp,
            log: Mutex::new(Some(log)),
            reader: Mutex::new(reader),
            floor: AtomicU64::new(floor),
            end: watch::Sender::new(end),
            end_now: AtomicU64::new(end),
            listeners: Mutex::default(),
        }
    }

    /// Writes `parts` in order and syncs once. One answer for each: its first offset.
    pub(crate) fn commit(&self, parts: &[&Packed], now: WallMs) -> Vec<Result<Offset, LogError>> {
        let mut log = lock(&self.log);
        let Some(log) = log.as_mut() else {
            return vec![Err(LogError::Closed); parts.len()];
        };
        let mut taken: Vec<Result<(Offset, Offset), WalError>> = Vec::with_capacity(parts.len());
        let mut broken = None;
        for part in parts {
            let appended = match &broken {
                Some(error) => Err(WalError::clone(error)),
                None => append(log, part, now),
            };
            if let Err(error @ WalError::Poisoned { .. }) = &appended {
                broken = Some(error.clone());
            }
            taken.push(appended);
        }
        if broken.is_none() && log.unsynced_bytes() > 0 {
            broken = log.sync(now).err();
        }
        let durable = log.durable();
        self.advance(durable);
        let answer = |taken: Result<(Offset, Offset), WalError>| match (taken, &broken) {
            (Ok((first, next)), None) => {
                debug_assert!(next <= durable);
                Ok(first)
            }
            (Ok((first, next)), Some(_)) if next <= durable => Ok(first),
            (Ok(_), Some(error)) => Err(LogError::wal(&self.tp, error.clone())),
            (Err(error), _) => Err(LogError::wal(&self.tp, error)),
        };
        taken.into_iter().map(answer).collect()
    }

    fn advance(&self, durable: Offset) {
        if self.end_now.load(Ordering::Acquire) != durable {
            self.end_now.store(durable, Ordering::Release);
            self.end.send_replace(durable);
        }
    }

    /// One past the last durable record.
    pub(crate) fn end(&self) -> Offset {
        self.end_now.load(Ordering::Acquire)
    }

    /// Tells of each change of [`Partition::end`].
    pub(crate) fn watch(&self) -> watch::Receiver<Offset> {
        self.end.subscribe()
    }

    /// The lowest offset that can be read.
    pub(crate) fn start(&self) -> Offset {
        lock(&self.reader).first().max(self.floor.load(Ordering::Acquire))
    }

    pub(crate) fn reader(&self) -> Reader<D> {
        lock(&self.reader).clone()
    }

    pub(crate) fn bytes(&self) -> u64 {
        let log = lock(&self.log);
        log.iter().flat_map(Log::segments).map(|segment| segment.bytes).sum()
    }

    /// Raises `signal` whenever records become durable, for as long as it lives.
    pub(crate) fn listen(&self, signal: &Arc<Signal>) {
        lock(&self.listeners).push(Arc::downgrade(signal));
    }

    pub(crate) fn wake_listeners(&self) {
        lock(&self.listeners).retain(|listener| match listener.upgrade() {
            Some(signal) => {
                signal.raise();
                true
            }
            None => false,
        });
    }

    /// Hides what lies below `before` and frees whole segments of it; the new start.
    pub(crate) fn cut(&self, before: Offset) -> Result<Offset, LogError> {
        self.floor.fetch_max(before, Ordering::AcqRel);
        let mut log = lock(&self.log);
        let log = log.as_mut().ok_or(LogError::Closed)?;
        log.truncate_front(before).map_err(|source| LogError::wal(&self.tp, source))?;
        Ok(self.start())
    }

    /// Frees the segments that `rule` has outlived; the start before and after.
    pub(crate) fn retain(&self, rule: &retention::Rule, now: WallMs) -> Result<(Offset, Offset), LogError> {
        let before = self.start();
        let mut log = lock(&self.log);
        let log = log.as_mut().ok_or(LogError::Closed)?;
        if let Some(cut) = rule.cut(&log.segments(), now) {
            log.truncate_front(cut).map_err(|source| LogError::wal(&self.tp, source))?;
        }
        Ok((before, self.start()))
    }

    /// Records everything as durable and lets the wal go; who waits for records learns of it. Reading goes on.
    pub(crate) fn close(&self, now: WallMs) -> Result<(), LogError> {
        let Some(log) = lock(&self.log).take() else { return Ok(()) };
        let closed = log.close(now);
        self.end.send_modify(|_| ());
        self.wake_listeners();
        closed.map(|_| ()).map_err(|source| LogError::wal(&self.tp, source))
    }

    /// Reads through `reader`; below the start it begins at the start.
    pub(crate) fn read(&self, reader: &Reader<D>, from: Offset, limit: Limit) -> Result<Batch, LogError> {
        let mut from = from.max(self.floor.load(Ordering::Acquire));
        let frames = loop {
            if from >= self.end() {
                return Ok(Batch { records: Vec::new(), next: from });
            }
            match reader.read(from, seawall_wal::Limit { frames: limit.records, bytes: limit.bytes }) {
                Ok(frames) => break frames,
                // Retention went by between the look and the read: go on from where records still are.
                Err(WalError::OutOfRange { first, .. }) if first > from => from = first,
                Err(source) => return Err(LogError::wal(&self.tp, source)),
            }
        };
        let mut records = Vec::with_capacity(frames.frames.len());
        for frame in frames.frames {
            let record = codec::decode_owned(frame.payload).map_err(|source| LogError::Frame {
                place: self.tp.to_string(),
                offset: frame.seq,
                source,
            })?;
            records.push(Fetched { offset: frame.seq, record });
        }
        Ok(Batch { records, next: frames.next })
    }
}

/// Appends; where too much awaits its sync already, syncs first.
fn append<D: Disk>(log: &mut Log<D>, part: &Packed, now: WallMs) -> Result<(Offset, Offset), WalError> {
    let appended = match log.append(part.frames(), now) {
        Err(WalError::UnsyncedFull { .. }) if log.unsynced_bytes() > 0 => {
            log.sync(now)?;
            log.append(part.frames(), now)?
        }
        other => other?,
    };
    Ok((appended.first, appended.next))
}
