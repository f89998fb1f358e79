//! One of the spill's logs, written by a thread of its own or by the producer's task.

use super::batch::Batch;
use crate::error::OpenError;
use crate::options::Driver;
use crate::sink::BoxFuture;
use seawall_core::Clock;
use seawall_wal::{
    Appended, Batch as _, Chain, Disk, Extent, GroupCommit, GroupOptions, Log, Options, Reader, WalError,
};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

pub(super) enum Writer<D: Disk> {
    Thread(GroupCommit<D, Batch>),
    Inline(Arc<Inline<D>>),
}

pub(super) struct Inline<D: Disk> {
    state: Mutex<State<D>>,
    clock: Arc<dyn Clock>,
}

struct State<D: Disk> {
    /// `None` once closed.
    log: Option<Log<D>>,
    /// Appended, and not yet written.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    batch: Batch,
    chain: Chain,
    answer: oneshot::Sender<Result<Appended, WalError>>,
}

impl<D: Disk> Inline<D> {
    fn state(&self) -> MutexGuard<'_, State<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Log<D>) -> Result<T, WalError>) -> Result<T, WalError> {
        self.state().log.as_mut().map_or(Err(WalError::Closed), act)
    }

    /// Writes what waits, oldest first, up to the batch that `told` hears of.
    fn write_up_to(
        &self,
        mut told: oneshot::Receiver<Result<Appended, WalError>>,
    ) -> Result<Appended, WalError> {
        loop {
            if let Ok(answer) = told.try_recv() {
                return answer;
            }
            let Some(Waiting { batch, chain, answer }) = self.state().waiting.pop_front() else {
                return Err(WalError::Closed);
            };
            let written = if chain.is_cut() { Err(WalError::Behind) } else { self.write(&batch) };
            if written.is_err() {
                chain.cut();
            }
            // Whoever does not listen any more will not be missed.
            let _ = answer.send(written);
        }
    }

    fn write(&self, batch: &Batch) -> Result<Appended, WalError> {
        let now = self.clock.wall();
        self.with(|log| {
            let appended = log.append(batch.payloads(), now)?;
            log.sync(now)?;
            Ok(appended)
        })
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
                // What is on its way is in the producer's memory, whose budget bounds it.
                let options = GroupOptions {
                    queue_bytes_max: u64::MAX,
                    queue_frames_max: usize::MAX,
                    ..Default::default()
                };
                Self::Thread(GroupCommit::start(log, options, Arc::clone(clock))?)
            }
            Driver::Inline => {
                let state = Mutex::new(State { log: Some(log), waiting: VecDeque::new() });
                Self::Inline(Arc::new(Inline { state, clock: Arc::clone(clock) }))
            }
        };
        Ok((writer, reader))
    }

    /// Writes and syncs `batch`, all or none of it, behind those of `chain`.
    pub(super) fn append(
        &self,
        batch: Batch,
        chain: Option<&Chain>,
    ) -> BoxFuture<Result<Appended, WalError>> {
        match self {
            Self::Thread(group) => {
                let ticket = match chain {
                    Some(chain) => group.append_behind(chain, batch),
                    None => group.append(batch),
                };
                match ticket {
                    Ok(ticket) => Box::pin(ticket),
                    Err(error) => Box::pin(std::future::ready(Err(error))),
                }
            }
            Self::Inline(inline) => {
                let (answer, told) = oneshot::channel();
                let chain = chain.cloned().unwrap_or_default();
                inline.state().waiting.push_back(Waiting { batch, chain, answer });
                let inline = Arc::clone(inline);
                Box::pin(async move {
                    // As with a thread, others run in between.
                    tokio::task::yield_now().await;
                    inline.write_up_to(told)
                })
            }
        }
    }

    /// Deletes whole segments below `before`.
    pub(super) fn truncate(&self, before: u64) -> BoxFuture<Result<u64, WalError>> {
        match self {
            Self::Thread(group) => {
                let ticket = group.truncate_front_later(before);
                Box::pin(async move { ticket?.await.map(|answer| answer.first) })
            }
            Self::Inline(inline) => {
                let answer = inline.with(|log| log.truncate_front(before));
                Box::pin(std::future::ready(answer))
            }
        }
    }

    pub(super) fn extent(&self) -> Extent {
        match self {
            Self::Thread(group) => group.extent(),
            Self::Inline(inline) => inline.state().log.as_ref().map(Log::extent).unwrap_or_default(),
        }
    }

    /// Writes what is queued and closes the log. Whoever stops waiting leaves that to a thread, and with it the log's own lock.
    pub(super) fn close(&self) -> BoxFuture<Result<(), WalError>> {
        match self {
            Self::Thread(group) => {
                let (group, (closed, told)) = (group.clone(), oneshot::channel());
                // Not one of the runtime's own, whose end would wait for a disk that hangs.
                let thread = std::thread::Builder::new().name("seawall-close".to_owned());
                let begun = thread.spawn(move || closed.send(group.close()));
                if let Err(error) = begun {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no thread to close the spill");
                }
                Box::pin(async move { told.await.unwrap_or(Err(WalError::Closed)) })
            }
            Self::Inline(inline) => {
                let log = inline.state().log.take();
                let closed = match log {
                    Some(log) => log.close(inline.clock.wall()).map(|_| ()),
                    None => Ok(()),
                };
                Box::pin(std::future::ready(closed))
            }
        }
    }
}
