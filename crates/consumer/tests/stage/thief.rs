//! Claim stores that misbehave in one way each.

use seawall_core::{Class, Fault, Token};
use seawall_idempotency::{
    Claim, ClaimRequest, Completion, MemoryStore, OwnerId, Release, Renewal, State, Store, StoreError,
    StoreStats,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// Lets another owner finish the first effect between its handler and its completion.
pub struct Thief {
    store: Arc<MemoryStore>,
    stolen: AtomicU64,
}

impl Thief {
    pub fn new(store: Arc<MemoryStore>) -> Self {
        Self { store, stolen: AtomicU64::new(0) }
    }
}

impl Store for Thief {
    async fn claim(&self, requests: Vec<ClaimRequest>) -> Vec<Result<Claim, StoreError>> {
        self.store.claim(requests).await
    }

    async fn complete(&self, completions: Vec<Completion>) -> Vec<Result<(), StoreError>> {
        if self.stolen.fetch_add(1, SeqCst) == 0 {
            let ours = completions[0].clone();
            let release = Release { token: ours.token.clone(), owner: ours.owner, fence: ours.fence };
            self.store.release(vec![release]).await.remove(0).expect("ours");
            let (token, owner) = (ours.token, OwnerId(99));
            let claim = ClaimRequest { token: token.clone(), owner, lease: Duration::from_mins(1) };
            let Ok(Claim::Granted { fence, .. }) = self.store.claim(vec![claim]).await.remove(0) else {
                panic!("released just now")
            };
            let theirs = Completion { token, owner, fence, result: ours.result };
            self.store.complete(vec![theirs]).await.remove(0).expect("theirs");
        }
        self.store.complete(completions).await
    }

    async fn release(&self, releases: Vec<Release>) -> Vec<Result<(), StoreError>> {
        self.store.release(releases).await
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Vec<Result<(), StoreError>> {
        self.store.renew(renewals).await
    }

    async fn query(&self, token: Token) -> Result<State, StoreError> {
        self.store.query(token).await
    }

    fn stats(&self) -> StoreStats {
        self.store.stats()
    }
}

/// Answers after a while, and fails a number of times.
pub struct Slow {
    store: Arc<MemoryStore>,
    /// Of completions.
    failures: AtomicU64,
    /// Of claims, for which there is no room, and will be tomorrow.
    refusals: AtomicU64,
}

impl Slow {
    /// Whose completions fail.
    pub fn new(store: Arc<MemoryStore>, failures: u64) -> Self {
        Self { store, failures: AtomicU64::new(failures), refusals: AtomicU64::new(0) }
    }

    /// Which is full.
    pub fn crowded(store: Arc<MemoryStore>, refusals: u64) -> Self {
        Self { store, failures: AtomicU64::new(0), refusals: AtomicU64::new(refusals) }
    }

    pub fn left(&self) -> u64 {
        self.failures.load(SeqCst)
    }
}

fn takes_one(left: &AtomicU64) -> bool {
    left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Store for Slow {
    async fn claim(&self, requests: Vec<ClaimRequest>) -> Vec<Result<Claim, StoreError>> {
        tokio::time::sleep(Duration::from_millis(3)).await;
        if takes_one(&self.refusals) {
            let retry_after = Some(Duration::from_hours(24));
            let full = || StoreError::Full { unit: "entries", used: 1, max: 1, retry_after };
            return requests.iter().map(|_| Err(full())).collect();
        }
        self.store.claim(requests).await
    }

    async fn complete(&self, completions: Vec<Completion>) -> Vec<Result<(), StoreError>> {
        tokio::time::sleep(Duration::from_millis(3)).await;
        if takes_one(&self.failures) {
            let down = || StoreError::unavailable(Fault::new(Class::Transient, "down").to_string());
            return completions.iter().map(|_| Err(down())).collect();
        }
        self.store.complete(completions).await
    }

    async fn release(&self, releases: Vec<Release>) -> Vec<Result<(), StoreError>> {
        self.store.release(releases).await
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Vec<Result<(), StoreError>> {
        self.store.renew(renewals).await
    }

    async fn query(&self, token: Token) -> Result<State, StoreError> {
        self.store.query(token).await
    }

    fn stats(&self) -> StoreStats {
        self.store.stats()
    }
}

/// Takes every request and says nothing, until it is told to answer.
pub struct BlackHole {
    store: Arc<MemoryStore>,
    open: tokio::sync::watch::Sender<bool>,
    asked: AtomicU64,
}

impl BlackHole {
    pub fn new(store: Arc<MemoryStore>) -> Self {
        Self { store, open: tokio::sync::watch::Sender::new(false), asked: AtomicU64::new(0) }
    }

    /// Claims that were asked for.
    pub fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }

    /// From now on it answers; what was swallowed stays without an answer.
    pub fn answer(&self) {
        self.open.send_replace(true);
    }

    async fn swallow(&self) {
        if !*self.open.borrow() {
            std::future::pending::<()>().await;
        }
    }
}

impl Store for BlackHole {
    async fn claim(&self, requests: Vec<ClaimRequest>) -> Vec<Result<Claim, StoreError>> {
        self.asked.fetch_add(requests.len() as u64, SeqCst);
        self.swallow().await;
        self.store.claim(requests).await
    }

    async fn complete(&self, completions: Vec<Completion>) -> Vec<Result<(), StoreError>> {
        self.swallow().await;
        self.store.complete(completions).await
    }

    async fn release(&self, releases: Vec<Release>) -> Vec<Result<(), StoreError>> {
        self.swallow().await;
        self.store.release(releases).await
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Vec<Result<(), StoreError>> {
        self.swallow().await;
        self.store.renew(renewals).await
    }

    async fn query(&self, token: Token) -> Result<State, StoreError> {
        self.swallow().await;
        self.store.query(token).await
    }

    fn stats(&self) -> StoreStats {
        self.store.stats()
    }
}
