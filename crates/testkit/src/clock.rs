//! Time under simulation: it stands still while anything can run, and jumps to the next timer when nothing can.
//!
//! The monotonic reading is tokio's paused time, carried on over the lives of a simulated process. The wall
//! reading is derived from it by an offset that a scenario may move by hours, as an operator or an NTP step
//! does: nothing but what is written down may notice.

use seawall_core::{Clock, Nanos, WallMs};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What the wall shows at the start: 2023-11-14T22:13:20Z, in milliseconds.
const WALL_START_MS: i64 = 1_700_000_000_000;

/// The simulated clock. Clones are one clock.
#[derive(Clone, Debug, Default)]
pub struct SimClock(Arc<Reading>);

#[derive(Debug, Default)]
struct Reading {
    /// When the present life began, by tokio's paused time and by this clock.
    life: Mutex<Option<(Instant, Nanos)>>,
    last: AtomicU64,
    wall_jumped_ms: AtomicI64,
}

impl SimClock {
    /// A clock at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows the paused time of the runtime this is called in, from the last reading on.
    pub(crate) fn attach(&self) {
        *self.life() = Some((Instant::now(), Nanos(self.0.last.load(Relaxed))));
    }

    /// Stands still: the runtime is about to go.
    pub(crate) fn detach(&self) {
        self.now();
        *self.life() = None;
    }

    /// Moves the wall, and nothing else.
    pub fn jump_wall(&self, by_ms: i64) {
        self.0.wall_jumped_ms.fetch_add(by_ms, Relaxed);
    }

    /// Lets time pass while no process runs.
    pub fn pass(&self, time: Duration) {
        self.0.last.store(Nanos(self.0.last.load(Relaxed)).plus(time).0, Relaxed);
    }

    fn life(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Nanos)>> {
        self.0.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Nanos {
        if let Some((began, at)) = *self.life() {
            self.0.last.store(at.plus(began.elapsed()).0, Relaxed);
        }
        Nanos(self.0.last.load(Relaxed))
    }

    fn wall(&self) -> WallMs {
        let passed = (self.now().0 / 1_000_000) as i64;
        WallMs(WALL_START_MS + passed + self.0.wall_jumped_ms.load(Relaxed))
    }
}
