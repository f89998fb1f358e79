//! The suite that every [`Store`](crate::Store) passes.
//!
//! ```
//! use seawall_idempotency::conformance::{self, ManualClock};
//! use seawall_idempotency::{MemoryConfig, MemoryStore};
//! use std::sync::Arc;
//!
//! let clock = ManualClock::default();
//! conformance::run(&clock, || MemoryStore::new(MemoryConfig::default(), Arc::new(clock.clone())));
//! ```
//!
//! A factory makes an empty store that judges time by the given [`ManualClock`]; each case asks for one of its
//! own. The cases speak to the store only through the seam, so they hold for any. A failure panics and
//! names the case.

mod cases;
mod speak;

pub use speak::{block_on, claim, complete, query, release, renew};

use crate::store::Store;
use seawall_core::{Clock, Nanos, WallMs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// How long the stores under test must remember results, at least: the cases stay below it.
pub const RETENTION: Duration = Duration::from_hours(1);

/// A clock that stands still until it is moved. Clones share it.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

/// Where the wall clock stands when the monotonic one stands at zero: some day in 2025, in milliseconds.
const WALL_START_MS: i64 = 1_750_000_000_000;

impl Default for ManualClock {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }
}

impl ManualClock {
    /// Moves both readings on by `by`.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(SeqCst))
    }

    fn wall(&self) -> WallMs {
        WallMs(WALL_START_MS + (self.0.load(SeqCst) / 1_000_000) as i64)
    }
}

/// Runs every case against a store of its own, made by `make` and judged by `clock`.
#[expect(clippy::panic, reason = "a failed case fails the test that runs it")]
pub fn run<S: Store>(clock: &ManualClock, mut make: impl FnMut() -> S) {
    for (name, case) in cases::all::<S>() {
        let store = Arc::new(make());
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&store, clock)));
        if let Err(panic) = outcome {
            panic!("conformance case `{name}` failed: {}", message(&*panic));
        }
    }
}

/// The names of the cases, in the order in which they run.
pub fn names<S: Store>() -> Vec<&'static str> {
    cases::all::<S>().iter().map(|(name, _)| *name).collect()
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text")
}
