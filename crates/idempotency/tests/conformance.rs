//! The stores of this crate pass the suite that every store must pass.

use seawall_idempotency::conformance::{self, ManualClock, RETENTION};
use seawall_idempotency::{DynStore, MemoryConfig, MemoryStore};
use std::sync::Arc;

fn memory(clock: &ManualClock) -> MemoryStore {
    let config = MemoryConfig { retention: RETENTION, ..MemoryConfig::default() };
    MemoryStore::new(config, Arc::new(clock.clone()))
}

#[test]
fn memory_conforms() {
    let clock = ManualClock::default();
    conformance::run(&clock, || memory(&clock));
}

#[test]
fn an_erased_store_conforms() {
    let clock = ManualClock::default();
    conformance::run(&clock, || DynStore::new(memory(&clock)));
}
