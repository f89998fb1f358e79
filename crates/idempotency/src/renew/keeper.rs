//! The task that renews, and what handlers hold of it.

use super::schedule::{Live, LiveId, Renewals};
use crate::claim::{OwnerId, Renewal};
use crate::store::{Store, StoreError};
use seawall_core::{Class, Classify, Clock, Fence, Nanos, Token};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The claim ended under the handler: what it did must not be completed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the claim on {token} under fence {} was lost while its handler ran", fence.0)]
pub struct LostLease {
    /// The effect.
    pub token: Token,
    /// The grant that ended.
    pub fence: Fence,
}

/// Tried again: by then the claim is somebody else's or done, and the next claim tells which.
impl Classify for LostLease {
    fn class(&self) -> Class {
        Class::Transient
    }
}

/// Renews the claims of one owner. Clones share it; one task runs [`Keeper::run`].
#[derive(Clone, Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    renewals: Mutex<Renewals<CancellationToken>>,
    changed: Notify,
    owner: OwnerId,
    lost_total: AtomicU64,
}

impl Shared {
    fn renewals(&self) -> MutexGuard<'_, Renewals<CancellationToken>> {
        // Nothing in Renewals is left half-done by a panic.
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, live: &Live<CancellationToken>) {
        self.lost_total.fetch_add(1, Relaxed);
        tracing::warn!(token = %live.token, fence = live.fence.0, "lease lost, cancelling its handler");
        live.handle.cancel();
    }
}

/// One claim being kept; dropping it ends the renewals (it does not release the claim).
#[derive(Debug)]
#[must_use = "dropping it ends the renewals"]
pub struct Kept {
    shared: Arc<Shared>,
    id: LiveId,
    token: Token,
    fence: Fence,
}

impl Kept {
    /// Whether the claim still stands.
    ///
    /// # Errors
    /// [`LostLease`] when it was fenced or could not be renewed in time; its cancellation was called.
    pub fn check(&self) -> Result<(), LostLease> {
        if self.shared.renewals().is_live(self.id) {
            return Ok(());
        }
        Err(LostLease { token: self.token.clone(), fence: self.fence })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.shared.renewals().remove(self.id);
    }
}

impl Keeper {
    /// A keeper of `owner`'s claims, all made under `lease`.
    pub fn new(owner: OwnerId, lease: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                renewals: Mutex::new(Renewals::new(lease)),
                changed: Notify::new(),
                owner,
                lost_total: AtomicU64::new(0),
            }),
        }
    }

    /// Keeps a granted claim that was asked for at `asked` (read before the store was called), and cancels
    /// `cancel` when it is lost.
    pub fn keep(&self, token: Token, fence: Fence, asked: Nanos, cancel: CancellationToken) -> Kept {
        let mut renewals = self.shared.renewals();
        let idle = renewals.next().is_none();
        let id = renewals.insert(token.clone(), fence, asked, cancel);
        drop(renewals);
        if idle {
            self.shared.changed.notify_one();
        }
        Kept { shared: Arc::clone(&self.shared), id, token, fence }
    }

    /// How many claims are kept now.
    pub fn live(&self) -> usize {
        self.shared.renewals().len()
    }

    /// How many were lost so far.
    pub fn lost_total(&self) -> u64 {
        self.shared.lost_total.load(Relaxed)
    }

    /// Renews until `stop` is cancelled. Runs as a task of its own; a store that hangs delays it by at most a
    /// twelfth of the lease at a time.
    pub async fn run(&self, store: impl Store, clock: Arc<dyn Clock>, stop: CancellationToken) {
        loop {
            let wait = self.shared.renewals().next().map(|at| at.since(clock.now()));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.shared.changed.notified(), if wait.is_none() => {}
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        () = self.renew_due(&store, &*clock) => {}
                    }
                }
            }
        }
    }

    async fn renew_due(&self, store: &impl Store, clock: &dyn Clock) {
        let asked = clock.now();
        let (due, times) = {
            let mut renewals = self.shared.renewals();
            (renewals.due(asked), renewals.times())
        };
        due.lost.iter().for_each(|live| self.shared.lose(live));
        if due.renew.is_empty() {
            return;
        }
        let requests = due.renew.iter().map(|live| Renewal {
            token: live.token.clone(),
            owner: self.shared.owner,
            fence: live.fence,
            lease: times.lease,
        });
        let answers = tokio::time::timeout(times.retry_after, store.renew(requests.collect())).await;
        let answers =
            answers.unwrap_or_default().into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        for (live, answer) in due.renew.iter().zip(answers) {
            self.settle(live, answer, asked, clock.now());
        }
    }

    /// An answer that is missing (the store timed out, or answered too few) counts as a failure to be tried
    /// again.
    fn settle(
        &self,
        live: &Live<CancellationToken>,
        answer: Option<Result<(), StoreError>>,
        asked: Nanos,
        now: Nanos,
    ) {
        let mut renewals = self.shared.renewals();
        match answer {
            Some(Ok(())) => renewals.renewed(live.id, asked),
            Some(Err(error)) if error.is_fenced() => {
                // A claim that ended meanwhile is fenced by its own completion: that is no loss.
                let lost = renewals.remove(live.id).is_some();
                drop(renewals);
                if lost {
                    self.shared.lose(live);
                }
            }
            Some(Err(_)) | None => renewals.failed(live.id, now),
        }
    }
}
