//! Panics outside of handlers, counted before anything else sees them.
//!
//! A handler's panic is caught, counted and reported by the consumer. What panics elsewhere (a listener, a
//! background task) is a defect that must show in the same number: the hook here counts it, then lets the
//! hook that was there before print it.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static OUTSIDE: AtomicU64 = AtomicU64::new(0);

/// Counts from now on. To be called before the first consumer starts: its own hook stands in front of this one
/// and keeps what it has counted already.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            OUTSIDE.fetch_add(1, Ordering::Relaxed);
            next(info);
        }));
    });
}

/// Panics outside of handlers since the start of the process.
pub(crate) fn outside_handlers() -> u64 {
    OUTSIDE.load(Ordering::Relaxed)
}
