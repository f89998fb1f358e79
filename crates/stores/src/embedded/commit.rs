//! Bringing frames to the disk: by the log's own thread, or here and now.

use super::options::Driver;
use bytes::Bytes;
use seawall_core::Clock;
use seawall_wal::{Appended, Disk, GroupCommit, GroupOptions, Log, Overflow, WalError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why frames are not known to be durable.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Not taken at all.
    Refused(WalError),
    /// Taken, but writing or syncing them failed: a crash may still show them.
    Unknown(WalError),
}

impl Failure {
    pub(super) fn into_error(self) -> WalError {
        match self {
            Self::Refused(error) | Self::Unknown(error) => error,
        }
    }
}

/// See [`Driver`].
pub(super) enum Committer<D: Disk> {
    Thread(GroupCommit<D>),
    Inline(Box<Inline<D>>),
}

pub(super) struct Inline<D: Disk> {
    /// `None` once closed.
    log: Mutex<Option<Log<D>>>,
    clock: Arc<dyn Clock>,
}

impl<D: Disk> Inline<D> {
    fn log(&self) -> MutexGuard<'_, Option<Log<D>>> {
        // The log keeps its own record of what failed; a panic leaves it as a crash would.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, frames: &[Bytes], sync: bool) -> Result<Appended, Failure> {
        let mut guard = self.log();
        let log = guard.as_mut().ok_or(Failure::Refused(WalError::Closed))?;
        let now = self.clock.wall();
        let appended = match log.append(frames, now) {
            Err(WalError::UnsyncedFull { .. }) => {
                log.sync(now).map_err(Failure::Refused)?;
                log.append(frames, now)
            }
            other => other,
        };
        let appended = appended.map_err(Failure::Refused)?;
        if sync {
            log.sync(now).map_err(Failure::Unknown)?;
        }
        Ok(appended)
    }
}

impl<D: Disk> Committer<D> {
    pub(super) fn start(log: Log<D>, driver: Driver, clock: Arc<dyn Clock>) -> Result<Self, WalError> {
        Ok(match driver {
            Driver::Thread => {
                // A full queue must not block a thread that drives other tasks.
                let options = GroupOptions { overflow: Overflow::Refuse, ..GroupOptions::default() };
                Self::Thread(GroupCommit::start(log, options, clock)?)
            }
            Driver::Inline => Self::Inline(Box::new(Inline { log: Mutex::new(Some(log)), clock })),
        })
    }

    /// Returns when `frames` are durable.
    pub(super) async fn durable(&self, frames: Vec<Bytes>) -> Result<Appended, Failure> {
        match self {
            Self::Thread(group) => {
                group.append(frames).map_err(Failure::Refused)?.await.map_err(Failure::Unknown)
            }
            Self::Inline(inline) => inline.write(&frames, true),
        }
    }

    /// As [`Committer::durable`], blocking this thread.
    pub(super) fn durable_blocking(&self, frames: Vec<Bytes>) -> Result<Appended, Failure> {
        match self {
            Self::Thread(group) => {
                group.append(frames).map_err(Failure::Refused)?.wait().map_err(Failure::Unknown)
            }
            Self::Inline(inline) => inline.write(&frames, true),
        }
    }

    /// Hands `frames` over and does not wait for them: a `kill -9` soon after spares them, a power cut
    /// may not.
    pub(super) fn lazy(&self, frames: Vec<Bytes>) -> Result<(), WalError> {
        match self {
            Self::Thread(group) => group.append(frames).map(drop),
            Self::Inline(inline) => inline.write(&frames, false).map(drop).map_err(Failure::into_error),
        }
    }

    pub(super) fn truncate_front(&self, before: u64) -> Result<u64, WalError> {
        match self {
            Self::Thread(group) => group.truncate_front(before),
            Self::Inline(inline) => match inline.log().as_mut() {
                Some(log) => log.truncate_front(before),
                None => Err(WalError::Closed),
            },
        }
    }

    /// Bytes on disk.
    pub(super) fn log_bytes(&self) -> u64 {
        let segments = match self {
            Self::Thread(group) => group.segments(),
            Self::Inline(inline) => inline.log().as_ref().map(Log::segments).unwrap_or_default(),
        };
        segments.iter().map(|segment| segment.bytes).sum()
    }

    pub(super) fn close(&self) -> Result<(), WalError> {
        match self {
            Self::Thread(group) => group.close(),
            Self::Inline(inline) => {
                let log = inline.log().take();
                log.map_or(Ok(()), |log| log.close(inline.clock.wall()).map(drop))
            }
        }
    }
}
