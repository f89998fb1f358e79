//! Claims on this machine's disk, for the one process that owns the directory.
//!
//! # What it promises
//!
//! - A completion is on disk, its sync returned, before [`Store::complete`] returns: after that neither
//!   `kill -9` nor a power cut lets the token be claimed again, until it is forgotten (see below).
//! - A claim lives in memory. When its process dies it is void at once, since nobody else can own the directory;
//!   no lease has to run out. Each grant is also written to the log without waiting for it, so that the attempt
//!   counts survive `kill -9`; a power cut may take back the latest of them.
//! - Fences grow for ever: their upper 32 bits are an epoch that is on disk before its first fence is given
//!   out, a new one for each opening. This holds through power cuts too.
//! - One machine. A disk that is lost, or restored from an older copy, takes its completions with it.
//!
//! # What it forgets
//!
//! A completion is remembered for [`EmbeddedOptions::retention`], counted in the time during which the store was
//! open, so that neither a clock that jumps nor a long stop shortens it. Beyond
//! [`EmbeddedOptions::done_max`] or the bound on results the oldest goes early, and is counted. A claim is
//! never forgotten while its lease runs; when there is no room for another, it is refused.
//!
//! # How it is kept
//!
//! One log ([`seawall_wal`]) holds it all (the bytes: [`frame`]); memory holds a copy to answer from: some 60
//! bytes for each completion and its result. Tokens are kept as 128 bits ([`key`] has the odds).
//! When the log outgrows what is still needed, a snapshot replaces it ([`upkeep`]).
//!
//! When the disk fails, completions fail with [`StoreError::Unknown`] and can be asked again. The next claims
//! then wait for their own log entry to be durable, and are refused when that fails: granting what cannot be
//! completed would only repeat effects.

mod commit;
mod error;
pub(crate) mod frame;
mod index;
pub(crate) mod key;
mod options;
mod replay;
pub(crate) mod upkeep;

pub use error::{Flaw, OpenError};
pub use options::{Driver, EmbeddedOptions};

use bytes::Bytes;
use commit::{Committer, Failure};
use frame::{Claimed, Done, Opening};
use index::{Begun, Fences, Index};
use key::{Keyer, Secret};
use seawall_core::{Clock, Nanos, Token};
use seawall_idempotency::{
    Claim, ClaimRequest, Completion, Release, Renewal, State, Store, StoreError, StoreStats,
};
use seawall_wal::{Disk, Log, Options, RealDisk, Recovery, WalError};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use upkeep::Bell;

/// What an embedded store counts besides [`StoreStats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbeddedStats {
    /// Bytes of its log on disk.
    pub log_bytes: u64,
    /// Snapshots that replaced the log before them.
    pub compactions_total: u64,
}

/// The durable claim store of one process. See the [module](self).
pub struct EmbeddedStore<D: Disk = RealDisk> {
    inner: Arc<Inner<D>>,
    recovery: Recovery,
    thread: Option<JoinHandle<()>>,
}

struct Inner<D: Disk> {
    index: Mutex<Index>,
    commit: Committer<D>,
    keyer: Keyer,
    secret: Secret,
    options: EmbeddedOptions,
    clock: Arc<dyn Clock>,
    /// The clock's reading and the uptime when the store was opened.
    opened: (Nanos, Nanos),
    /// Bytes written since the last snapshot.
    written: AtomicU64,
    compactions: AtomicU64,
    /// The disk failed, and nothing has become durable since.
    failing: AtomicBool,
    bell: Bell,
    upkeep: Mutex<()>,
}

impl<D: Disk> EmbeddedStore<D> {
    /// Opens the store in `options.dir`, making it where there is none.
    ///
    /// # Errors
    /// [`OpenError`]: the directory is locked, damaged, or of something else; or the disk said no.
    pub fn open(disk: D, options: EmbeddedOptions, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        options.check()?;
        let failed = |source: WalError| OpenError::Log { dir: options.dir.clone(), source };
        let wall = clock.wall();
        let log_options = Options { segment_bytes: options.segment_bytes, ..Options::new(&options.dir) };
        let (mut log, recovery) = Log::open(disk.clone(), log_options, wall).map_err(failed)?;
        if let Some(lost) = &recovery.lost {
            tracing::warn!(segment = %lost.segment.display(), bytes = lost.bytes(), frames = lost.frames,
                "claim store: cut a torn tail, none of which was acknowledged");
        }
        let mut index = Index::new(&options);
        let found = replay::replay(&log, &mut index)?;
        let secret = found.secret.unwrap_or_else(|| draw(&disk));
        let epoch = found.epoch.checked_add(1);
        let epoch = epoch.ok_or_else(|| OpenError::EpochsUsed { dir: options.dir.clone() })?;
        let opening = frame::opening(&Opening { secret, epoch, at: found.uptime });
        log.append([opening], wall).and_then(|_| log.sync(wall)).map_err(failed)?;
        index.fences = Fences::new(epoch, options.epoch_fences);
        let written = log.segments().iter().map(|segment| segment.bytes).sum();
        let commit = Committer::start(log, options.driver, Arc::clone(&clock)).map_err(failed)?;
        let opened = (clock.now(), found.uptime);
        let inner = Arc::new(Inner {
            index: Mutex::new(index),
            commit,
            keyer: Keyer::new(&secret),
            secret,
            options,
            clock,
            opened,
            written: AtomicU64::new(written),
            compactions: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            bell: Bell::default(),
            upkeep: Mutex::new(()),
        });
        let thread = start_upkeep(&inner)?;
        Ok(Self { inner, recovery, thread })
    }

    /// What opening found, and what of it was torn.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The counts that only this store has.
    pub fn embedded_stats(&self) -> EmbeddedStats {
        EmbeddedStats {
            log_bytes: self.inner.commit.log_bytes(),
            compactions_total: self.inner.compactions.load(Relaxed),
        }
    }

    /// Makes durable what is under way and gives the directory back. Dropping a store does it too, without
    /// telling of errors. Every later call fails as unavailable.
    ///
    /// # Errors
    /// As the log beneath: what was completed before is safe all the same.
    pub fn close(&mut self) -> Result<(), WalError> {
        self.inner.bell.stop();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked without a trace: a panic is printed by the process's hook.
            let _ = thread.join();
        }
        self.inner.commit.close()
    }
}

impl<D: Disk> Drop for EmbeddedStore<D> {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "claim store: could not be closed cleanly");
        }
    }
}

impl<D: Disk> fmt::Debug for EmbeddedStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore")
            .field("dir", &self.inner.options.dir)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

fn draw<D: Disk>(disk: &D) -> Secret {
    let mut secret = Secret::default();
    for part in secret.chunks_exact_mut(8) {
        part.copy_from_slice(&disk.entropy().to_le_bytes());
    }
    secret
}

fn start_upkeep<D: Disk>(inner: &Arc<Inner<D>>) -> Result<Option<JoinHandle<()>>, OpenError> {
    if inner.is_inline() {
        return Ok(None);
    }
    let inner = Arc::clone(inner);
    let thread = std::thread::Builder::new().name("seawall-claims".to_owned()).spawn(move || {
        while inner.bell.wait() {
            inner.upkeep();
        }
    });
    thread.map(Some).map_err(|error| OpenError::Thread(Arc::new(error)))
}

/// Completions on their way to the disk; whatever happens to the future that waits for them, they end.
struct Batch<'a, D: Disk> {
    inner: &'a Inner<D>,
    number: u64,
    entries: Vec<Done<Bytes>>,
    durable: bool,
}

impl<D: Disk> Drop for Batch<'_, D> {
    fn drop(&mut self) {
        let mut index = self.inner.index();
        for Done { key, fence, at, result } in &self.entries {
            index.finish(Done { key: *key, fence: *fence, at: *at, result: result.as_ref() }, self.durable);
        }
        index.batch_ends(self.number);
    }
}

impl<D: Disk> Inner<D> {
    fn index(&self) -> MutexGuard<'_, Index> {
        // The index changes in steps that cannot unwind half-way.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_inline(&self) -> bool {
        matches!(self.commit, Committer::Inline(_))
    }

    fn uptime(&self) -> Nanos {
        let (clock, uptime) = self.opened;
        uptime.plus(self.clock.now().since(clock))
    }

    fn wrote(&self, frames: &[Bytes]) {
        // What the log adds to each frame is about this much.
        let bytes: usize = frames.iter().map(|frame| frame.len() + 32).sum();
        self.written.fetch_add(bytes as u64, Relaxed);
    }

    fn after_write(&self) {
        if self.upkeep_due() {
            if self.is_inline() {
                self.upkeep();
            } else {
                self.bell.ring();
            }
        }
    }

    /// Grants in memory what can be granted.
    fn grant(&self, requests: &[ClaimRequest]) -> (Vec<Result<Claim, StoreError>>, Vec<Claimed>) {
        let keys: Vec<_> = requests.iter().map(|request| self.keyer.key(&request.token)).collect();
        let now = self.uptime();
        let mut grants = Vec::with_capacity(requests.len());
        let mut index = self.index();
        let answers = requests.iter().zip(keys).map(|(request, key)| {
            let answer = index.claim(key, request.owner, request.lease, now);
            if let Ok(Claim::Granted { fence, attempt }) = answer {
                grants.push(Claimed { key, fence, attempt });
            }
            answer
        });
        (answers.collect(), grants)
    }

    /// Writes grants down; waits for that only when the disk has been failing.
    async fn note(&self, grants: &[Claimed]) -> Result<(), StoreError> {
        let frames = frame::claims(self.uptime(), grants);
        self.wrote(&frames);
        if self.failing.load(Relaxed) {
            self.commit.durable(frames).await.map_err(unavailable)?;
            self.failing.store(false, Relaxed);
            return Ok(());
        }
        match self.commit.lazy(frames) {
            // Only attempt counts are lost by it, and waiting would hold a fetch up.
            Ok(()) | Err(WalError::QueueFull { .. }) => Ok(()),
            Err(error) => {
                self.failing.store(true, Relaxed);
                Err(StoreError::unavailable(error))
            }
        }
    }

    /// Checks completions and holds their claims; the batch holds those that must be written.
    fn begin(&self, completions: Vec<Completion>) -> (Vec<Result<Begun, StoreError>>, Batch<'_, D>) {
        let keys: Vec<_> = completions.iter().map(|completion| self.keyer.key(&completion.token)).collect();
        let (at, max) = (self.uptime(), self.options.result_bytes_max);
        let mut entries = Vec::with_capacity(completions.len());
        let mut index = self.index();
        let number = index.batch_begins();
        let answers =
            completions.into_iter().zip(keys).map(|(Completion { owner, fence, result, .. }, key)| {
                if result.len() > max {
                    return Err(StoreError::ResultTooLarge { bytes: result.len(), max });
                }
                let begun = index.begin(key, owner, fence, at)?;
                if begun == Begun::Write {
                    entries.push(Done { key, fence, at, result });
                }
                Ok(begun)
            });
        let answers = answers.collect();
        drop(index);
        (answers, Batch { inner: self, number, entries, durable: false })
    }

    /// Writes the batch down and ends it.
    async fn settle(&self, mut batch: Batch<'_, D>) -> Result<(), StoreError> {
        if batch.entries.is_empty() {
            return Ok(());
        }
        let frames = frame::done(&batch.entries);
        self.wrote(&frames);
        let written = self.commit.durable(frames).await;
        batch.durable = written.is_ok();
        drop(batch);
        self.failing.store(written.is_err(), Relaxed);
        written.map(drop).map_err(unavailable)
    }
}

fn unavailable(failure: Failure) -> StoreError {
    match failure {
        Failure::Refused(error) => StoreError::unavailable(error),
        Failure::Unknown(error) => StoreError::unknown(error),
    }
}

impl<D: Disk> Store for EmbeddedStore<D> {
    async fn claim(&self, requests: Vec<ClaimRequest>) -> Vec<Result<Claim, StoreError>> {
        let (mut answers, grants) = self.inner.grant(&requests);
        if grants.is_empty() {
            return answers;
        }
        if let Err(error) = self.inner.note(&grants).await {
            self.inner.index().ungrant(&grants, self.inner.uptime());
            let granted = answers.iter_mut().filter(|answer| matches!(answer, Ok(Claim::Granted { .. })));
            granted.for_each(|answer| *answer = Err(error.clone()));
        }
        self.inner.after_write();
        answers
    }

    async fn complete(&self, completions: Vec<Completion>) -> Vec<Result<(), StoreError>> {
        let (answers, batch) = self.inner.begin(completions);
        let written = self.inner.settle(batch).await;
        self.inner.after_write();
        let settled = answers.into_iter().map(|answer| match answer? {
            Begun::Already => Ok(()),
            Begun::Write => written.clone(),
        });
        settled.collect()
    }

    async fn release(&self, releases: Vec<Release>) -> Vec<Result<(), StoreError>> {
        let now = self.inner.uptime();
        let one = |release: Release| {
            let key = self.inner.keyer.key(&release.token);
            self.inner.index().release(key, release.owner, release.fence, now)
        };
        releases.into_iter().map(one).collect()
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Vec<Result<(), StoreError>> {
        let now = self.inner.uptime();
        let one = |renewal: Renewal| {
            let key = self.inner.keyer.key(&renewal.token);
            self.inner.index().renew(key, renewal.owner, renewal.fence, renewal.lease, now)
        };
        renewals.into_iter().map(one).collect()
    }

    async fn query(&self, token: Token) -> Result<State, StoreError> {
        let (key, now) = (self.inner.keyer.key(&token), self.inner.uptime());
        Ok(self.inner.index().view(key, now))
    }

    fn stats(&self) -> StoreStats {
        self.inner.index().stats()
    }
}

#[cfg(test)]
mod tests;
