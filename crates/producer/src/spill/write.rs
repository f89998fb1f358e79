//! One of the spill's logs, written by a thread of its own or by the producer's task.

use crate::error::OpenError;
use crate::options::Driver;
use crate::sink::BoxFuture;
use bytes::Bytes;
use seawall_core::Clock;
use seawall_wal::{Appended, Disk, GroupCommit, GroupOptions, Log, Options, Reader, SegmentInfo, WalError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) enum Writer<D: Disk> {
    Thread(GroupCommit<D>),
    Inline(Arc<Inline<D>>),
}

/// `None` once closed.
pub(super) struct Inline<D: Disk>(Mutex<Option<Log<D>>>, Arc<dyn Clock>);

impl<D: Disk> Inline<D> {
    fn log(&self) -> MutexGuard<'_, Option<Log<D>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Log<D>) -> Result<T, WalError>) -> Result<T, WalError> {
        self.log().as_mut().map_or(Err(WalError::Closed), act)
    }
}

impl<D: Disk> Clone for Writer<D> {
    fn clone(&self) -> Self {
        match self {
            Self::Thread(group) => Self::Thread(group.clone()),
            Self::Inline(inline) => Self::Inline(Arc::clone(inline)),
        }
    }
}

impl<D: Disk> Writer<D> {
    pub(super) fn open(
        disk: &D,
        options: Options,
        clock: &Arc<dyn Clock>,
        driver: Driver,
    ) -> Result<(Self, Reader<D>), OpenError> {
        let (log, recovery) = Log::open(disk.clone(), options, clock.wall())?;
        if let Some(lost) = &recovery.lost {
            tracing::info!(segment = %lost.segment.display(), bytes = lost.bytes(), "a torn tail was cut; none of it had a receipt");
        }
        let reader = log.reader();
        let writer = match driver {
            Driver::Thread => {
                Self::Thread(GroupCommit::start(log, GroupOptions::default(), Arc::clone(clock))?)
            }
            Driver::Inline => Self::Inline(Arc::new(Inline(Mutex::new(Some(log)), Arc::clone(clock)))),
        };
        Ok((writer, reader))
    }

    /// Writes and syncs `frames`, all or none of them; answers the number of the first.
    pub(super) fn append(&self, frames: Vec<Bytes>) -> BoxFuture<Result<Appended, WalError>> {
        match self {
            // Only one batch is ever on its way, so that this never waits for room.
            Self::Thread(group) => match group.append(frames) {
                Ok(ticket) => Box::pin(ticket),
                Err(error) => Box::pin(std::future::ready(Err(error))),
            },
            Self::Inline(inline) => {
                let inline = Arc::clone(inline);
                Box::pin(async move {
                    // As with a thread, others run in between.
                    tokio::task::yield_now().await;
                    let now = inline.1.wall();
                    inline.with(|log| {
                        let appended = log.append(&frames, now)?;
                        log.sync(now)?;
                        Ok(appended)
                    })
                })
            }
        }
    }

    /// Deletes whole segments below `before`.
    pub(super) fn truncate(&self, before: u64) -> BoxFuture<Result<u64, WalError>> {
        match self {
            Self::Thread(group) => {
                let group = group.clone();
                let task = tokio::task::spawn_blocking(move || group.truncate_front(before));
                Box::pin(async move { task.await.unwrap_or(Err(WalError::Closed)) })
            }
            Self::Inline(inline) => {
                let answer = inline.with(|log| log.truncate_front(before));
                Box::pin(std::future::ready(answer))
            }
        }
    }

    pub(super) fn segments(&self) -> Vec<SegmentInfo> {
        match self {
            Self::Thread(group) => group.segments(),
            Self::Inline(inline) => inline.log().as_ref().map(Log::segments).unwrap_or_default(),
        }
    }

    pub(super) fn close(&self) -> BoxFuture<Result<(), WalError>> {
        match self {
            Self::Thread(group) => {
                let group = group.clone();
                let task = tokio::task::spawn_blocking(move || group.close());
                Box::pin(async move { task.await.unwrap_or(Err(WalError::Closed)) })
            }
            Self::Inline(inline) => {
                let closed = match inline.log().take() {
                    Some(log) => log.close(inline.1.wall()).map(|_| ()),
                    None => Ok(()),
                };
                Box::pin(std::future::ready(closed))
            }
        }
    }
}
