//! A spill that is in use.

use super::aside::{self, Aside};
use super::batch::Batch;
use super::manifest;
use super::room::Room;
use super::scan::{self, Found};
use super::write::Writer;
use crate::error::OpenError;
use crate::options::{Compression, Driver, SpillOptions};
use crate::sink::BoxFuture;
use seawall_core::{Clock, Outgoing};
use seawall_wal::{Appended, Chain, Disk, Frames, Limit, Options, Reader, Scan, WalError, inspect};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const LOCK: &str = "lock";
pub(crate) const LOG: &str = "log";
pub(crate) const REFUSED: &str = "refused";
/// Frames read at a time for the replay.
const READ_FRAMES: usize = 4096;
/// Batches on their way at once: some are written, and the others gather to be the next group.
const APPENDS_MAX: usize = 64;

pub(crate) struct Spill<D: Disk> {
    log: Writer<D>,
    reader: Reader<D>,
    refused: Aside<D>,
    disk: D,
    options: SpillOptions,
    clock: Arc<dyn Clock>,
    driver: Driver,
    _lock: D::Lock,
}

/// Takes the lock of the spill in `dir`.
pub(super) fn lock<D: Disk>(disk: &D, dir: &Path) -> Result<D::Lock, OpenError> {
    disk.lock(&dir.join(LOCK)).map_err(|source| match source.kind() {
        ErrorKind::WouldBlock => OpenError::Locked { dir: dir.to_owned() },
        _ => OpenError::io("lock", dir, source),
    })
}

/// A reader of the log in `dir` of a spill; `None` where nothing was ever written to it.
pub(super) fn reader<D: Disk>(disk: &D, dir: &Path) -> Result<Option<Reader<D>>, OpenError> {
    match inspect::reader(disk, dir) {
        // The manifest was written, and then the process died.
        Err(WalError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        opened => Ok(opened?),
    }
}

impl<D: Disk> Spill<D> {
    /// Opens the spill, or begins one. Everything is judged by reading before anything is written.
    pub(crate) fn open(
        disk: D,
        options: SpillOptions,
        clock: Arc<dyn Clock>,
        driver: Driver,
    ) -> Result<(Self, Found), OpenError> {
        let dir = &options.dir;
        manifest::read_own(&disk, dir, &options.owner)?;
        disk.create_dir_all(dir).map_err(|source| OpenError::io("create", dir, source))?;
        let lock = lock(&disk, dir)?;
        // Again: whoever had the lock until now may have begun it.
        let begun = manifest::read_own(&disk, dir, &options.owner)?;
        let version = options.compression.version();
        let mut found = Found::nothing();
        if begun.is_some() {
            // Whoever renamed it may have died before the name was durable: nothing is built upon it until it is.
            disk.sync_dir(dir).map_err(|source| OpenError::io("sync", dir, source))?;
            if let Some(reader) = reader(&disk, &dir.join(LOG))? {
                found = scan::scan(&reader)?;
            }
        }
        let mut left = aside::look(&disk, dir)?;
        if begun.is_none() {
            manifest::write(&disk, dir, &options.owner, version)?;
        }
        let (log, reader) = Writer::open(&disk, log_options(&options, LOG), &clock, driver)?;
        if reader.next() != found.next {
            // An earlier life in this process, whose disk hung, wrote to it until it let go of the log's own lock.
            found = scan::scan(&reader)?;
            left = aside::look(&disk, dir)?;
        }
        // Not before the log is ours: an older Seawall would refuse a spill of which nothing has changed.
        if begun.is_some_and(|manifest| manifest.version < version) {
            manifest::write(&disk, dir, &options.owner, version)?;
        }
        let refused = Aside::open(left, &disk, &options, &clock, driver);
        let spill = Self { log, reader, refused, disk, options, clock, driver, _lock: lock };
        Ok((spill, found))
    }

    /// Batches that may be on their way at once: those that are compressed come one after the other, because each is
    /// compressed on a thread of its own.
    pub(crate) fn appends_max(&self) -> usize {
        match (self.options.compression, self.driver) {
            (Compression::Lz4, Driver::Thread) => 1,
            _ => APPENDS_MAX,
        }
    }

    /// Writes one batch behind those of `chain`, all or none, and syncs them.
    pub(crate) fn append(&self, batch: Batch, chain: &Chain) -> BoxFuture<Result<Appended, WalError>> {
        match (self.options.compression, self.driver) {
            (Compression::None, _) => self.log.append(batch, Some(chain)),
            (Compression::Lz4, Driver::Inline) => self.log.append(batch.packed(), Some(chain)),
            (Compression::Lz4, Driver::Thread) => {
                let (log, chain) = (self.log.clone(), chain.clone());
                Box::pin(async move {
                    let packed = tokio::task::spawn_blocking(move || batch.packed()).await;
                    log.append(packed.map_err(|_| WalError::Closed)?, Some(&chain)).await
                })
            }
        }
    }

    /// Reads on from `from`, on a thread that may block.
    pub(crate) fn read(&self, from: u64, bytes: usize) -> BoxFuture<Result<Frames, WalError>> {
        let limit = Limit { frames: READ_FRAMES, bytes };
        let reader = self.reader.clone();
        match self.driver {
            Driver::Inline => Box::pin(std::future::ready(reader.read(from, limit))),
            Driver::Thread => {
                let task = tokio::task::spawn_blocking(move || reader.read(from, limit));
                Box::pin(async move { task.await.unwrap_or(Err(WalError::Closed)) })
            }
        }
    }

    pub(crate) fn truncate(&self, before: u64) -> BoxFuture<Result<u64, WalError>> {
        self.log.truncate(before)
    }

    /// Whether there is room to keep these records aside, while so many bytes are on their way to the log.
    pub(crate) fn can_refuse(&self, records: &[(String, Outgoing)], in_flight: u64) -> bool {
        let rest = self.room().rest(in_flight);
        self.refused.takes(aside::size(records), self.options.segment_bytes(), rest)
    }

    /// Keeps records that a sink refused for good, for which there is room.
    pub(crate) fn refuse(&self, records: &[(String, Outgoing)]) -> BoxFuture<Result<(), OpenError>> {
        self.refused.keep(records, &self.disk, &self.options, &self.clock, self.driver)
    }

    /// Records of earlier lives that a sink refused for good.
    pub(crate) fn refused_before(&self) -> u64 {
        self.refused.records()
    }

    pub(crate) fn options(&self) -> &SpillOptions {
        &self.options
    }

    /// What both logs take, and may still take.
    pub(crate) fn room(&self) -> Room {
        let (options, segment) = (&self.options, self.options.segment_bytes());
        Room::of(self.log.extent(), self.refused.bytes(segment), options.disk_bytes_max, segment)
    }

    pub(crate) fn close(&self) -> Vec<BoxFuture<Result<(), WalError>>> {
        [Some(&self.log), self.refused.writer()].into_iter().flatten().map(Writer::close).collect()
    }
}

pub(super) fn log_options(options: &SpillOptions, name: &str) -> Options {
    let dir: PathBuf = options.dir.join(name);
    let segment_bytes = options.segment_bytes();
    Options {
        segment_bytes,
        zero_ahead_bytes: segment_bytes.min(4 << 20),
        spares_max: 2 * usize::from(name == LOG),
        // All of it was read and checked a moment ago.
        scan: Scan::Tail,
        ..Options::new(dir)
    }
}
