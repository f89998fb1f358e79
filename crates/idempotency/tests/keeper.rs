//! The keeper renews what runs, and cancels what is lost before its lease ends. Under tokio's paused time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use seawall_core::{Clock, Nanos, WallMs};
use seawall_core::{Fence, Token};
use seawall_idempotency::{
    Claim, ClaimRequest, Completion, Keeper, MemoryConfig, MemoryStore, OwnerId, Release, Renewal, State,
    Store, StoreError, StoreStats,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};
use tokio_util::sync::CancellationToken;

const LEASE: Duration = Duration::from_secs(12);
const OWNER: OwnerId = OwnerId(1);

struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.elapsed().as_nanos() as u64)
    }

    fn wall(&self) -> WallMs {
        WallMs(0)
    }
}

/// A store whose renewals work, fail or never answer.
struct Moody {
    inner: MemoryStore,
    mood: AtomicU8,
    renewals: AtomicU64,
}

const WORKS: u8 = 0;
const FAILS: u8 = 1;
const HANGS: u8 = 2;

impl Store for Moody {
    async fn claim(&self, requests: Vec<ClaimRequest>) -> Vec<Result<Claim, StoreError>> {
        self.inner.claim(requests).await
    }

    async fn complete(&self, completions: Vec<Completion>) -> Vec<Result<(), StoreError>> {
        self.inner.complete(completions).await
    }

    async fn release(&self, releases: Vec<Release>) -> Vec<Result<(), StoreError>> {
        self.inner.release(releases).await
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Vec<Result<(), StoreError>> {
        self.renewals.fetch_add(renewals.len() as u64, SeqCst);
        match self.mood.load(SeqCst) {
            WORKS => self.inner.renew(renewals).await,
            FAILS => renewals.iter().map(|_| Err(StoreError::unavailable("refused"))).collect(),
            _ => std::future::pending().await,
        }
    }

    async fn query(&self, token: Token) -> Result<State, StoreError> {
        self.inner.query(token).await
    }

    fn stats(&self) -> StoreStats {
        self.inner.stats()
    }
}

struct World {
    store: Arc<Moody>,
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
}

impl World {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock(Instant::now()));
        let inner = MemoryStore::new(MemoryConfig::default(), Arc::clone(&clock));
        let store = Moody { inner, mood: AtomicU8::new(WORKS), renewals: AtomicU64::new(0) };
        let world = Self {
            store: Arc::new(store),
            keeper: Keeper::new(OWNER, LEASE),
            clock,
            stop: CancellationToken::new(),
        };
        let (keeper, store) = (world.keeper.clone(), Arc::clone(&world.store));
        let (clock, stop) = (Arc::clone(&world.clock), world.stop.clone());
        tokio::spawn(async move { keeper.run(store, clock, stop).await });
        world
    }

    async fn claim(&self, name: &'static str, owner: OwnerId) -> Claim {
        let request = ClaimRequest { token: Token::new(name).unwrap(), owner, lease: LEASE };
        self.store.claim(vec![request]).await.remove(0).unwrap()
    }

    async fn kept(&self, name: &'static str) -> (seawall_idempotency::Kept, CancellationToken, Fence) {
        let asked = self.clock.now();
        let Claim::Granted { fence, .. } = self.claim(name, OWNER).await else { panic!("not granted") };
        let cancel = CancellationToken::new();
        (self.keeper.keep(Token::new(name).unwrap(), fence, asked, cancel.clone()), cancel, fence)
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_handler_keeps_its_claim() {
    let world = World::new();
    let (kept, cancel, _) = world.kept("t").await;
    for _ in 0..100 {
        sleep(Duration::from_secs(3)).await;
        assert!(matches!(world.claim("t", OwnerId(2)).await, Claim::Held { .. }));
    }
    assert!(!cancel.is_cancelled());
    kept.check().unwrap();
    let renewals = world.store.renewals.load(SeqCst);
    assert!((70..=76).contains(&renewals), "{renewals} renewals in 300 s of a lease of 12 s");
    drop(kept);
    sleep(LEASE + Duration::from_secs(4)).await;
    assert!(matches!(world.claim("t", OwnerId(2)).await, Claim::Granted { attempt: 2, .. }));
    assert_eq!(world.keeper.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_cancelled_before_its_lease_ends() {
    for mood in [FAILS, HANGS] {
        let world = World::new();
        let begun = world.clock.now();
        let (kept, cancel, _) = world.kept("t").await;
        world.store.mood.store(mood, SeqCst);
        cancel.cancelled().await;
        let after = world.clock.now().since(begun);
        assert!(after >= LEASE / 3 * 2 && after < LEASE, "mood {mood}: cancelled after {after:?}");
        assert!(
            matches!(world.claim("t", OwnerId(2)).await, Claim::Held { .. }),
            "still ours when cancelled"
        );
        assert!(kept.check().is_err());
        assert_eq!(world.keeper.lost_total(), 1);
        world.stop.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_costs_nothing() {
    let world = World::new();
    let (kept, cancel, _) = world.kept("t").await;
    world.store.mood.store(HANGS, SeqCst);
    sleep(Duration::from_secs(7)).await;
    world.store.mood.store(WORKS, SeqCst);
    sleep(Duration::from_mins(1)).await;
    assert!(!cancel.is_cancelled());
    kept.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_taken_over_claim_is_cancelled_at_its_next_renewal() {
    let world = World::new();
    // A process that was stopped: its time went on, its tasks did not run.
    let (kept, cancel, _) = world.kept("t").await;
    advance(LEASE).await;
    let taken = world.claim("t", OwnerId(2)).await;
    assert!(matches!(taken, Claim::Granted { attempt: 2, .. }));
    cancel.cancelled().await;
    assert!(kept.check().is_err());
    assert!(matches!(world.claim("t", OwnerId(3)).await, Claim::Held { .. }), "the new owner is unharmed");
}

#[tokio::test(start_paused = true)]
async fn a_completed_claim_is_not_lost() {
    let world = World::new();
    let (kept, cancel, fence) = world.kept("t").await;
    let completion =
        Completion { token: Token::new("t").unwrap(), owner: OWNER, fence, result: bytes::Bytes::new() };
    world.store.complete(vec![completion]).await.remove(0).unwrap();
    drop(kept);
    sleep(LEASE * 2).await;
    assert!(!cancel.is_cancelled());
    assert_eq!((world.keeper.lost_total(), world.store.renewals.load(SeqCst)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_keeper_ends_while_the_store_hangs() {
    let world = World::new();
    let (_kept, _, _) = world.kept("t").await;
    world.store.mood.store(HANGS, SeqCst);
    let (keeper, store, clock) = (world.keeper.clone(), Arc::clone(&world.store), Arc::clone(&world.clock));
    world.stop.cancel();
    let stop = CancellationToken::new();
    let second = tokio::spawn({
        let stop = stop.clone();
        async move { keeper.run(store, clock, stop).await }
    });
    sleep(LEASE / 3 + Duration::from_millis(100)).await;
    stop.cancel();
    second.await.unwrap();
}
