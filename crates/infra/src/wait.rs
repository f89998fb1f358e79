//! Waiting for a condition, within a bound.

use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(25);

/// A moment until which something is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "other processes are waited for: nothing simulates them")]
    pub(crate) fn after(limit: Duration) -> Self {
        Self { started: Instant::now(), limit }
    }

    pub(crate) fn waited(&self) -> Duration {
        self.started.elapsed()
    }

    /// Pauses a moment; `false` once the time is over.
    pub(crate) fn pause(&self) -> bool {
        thread::sleep(PAUSE);
        self.waited() < self.limit
    }
}
