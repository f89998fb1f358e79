//! The two faces of time in a guard: the cheap reading a hot path can afford, and the bridge to governor.
//!
//! The clock dominates a rate check: the decision itself is one compare-and-swap, a reading of
//! `std::time::Instant` costs more than all the rest. [`TscClock`] reads the processor's time-stamp counter
//! where it is invariant (quanta decides that once, at the start, and falls back to the system's clock).

use governor::nanos::Nanos as Ticks;
use seawall_core::{Clock, Nanos, SystemClock, WallMs};
use std::fmt;
use std::sync::Arc;

/// A [`Clock`] on the time-stamp counter, about a third of the cost of [`SystemClock`].
#[derive(Clone, Debug)]
pub struct TscClock {
    clock: quanta::Clock,
    start: u64,
    wall: SystemClock,
}

impl TscClock {
    /// A clock whose [`Nanos`] count from this call. The first of a process calibrates for some milliseconds.
    pub fn new() -> Self {
        let clock = quanta::Clock::new();
        let start = clock.raw();
        Self { clock, start, wall: SystemClock::new() }
    }
}

impl Default for TscClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TscClock {
    #[inline]
    fn now(&self) -> Nanos {
        Nanos(self.clock.delta_as_nanos(self.start, self.clock.raw()))
    }

    fn wall(&self) -> WallMs {
        self.wall.wall()
    }
}

/// Lets governor read any [`Clock`], so that a simulation controls the rate too.
#[derive(Clone)]
pub(crate) struct GovernorClock(pub(crate) Arc<dyn Clock>);

impl governor::clock::Clock for GovernorClock {
    type Instant = Ticks;

    #[inline]
    fn now(&self) -> Ticks {
        Ticks::from(self.0.now().0)
    }
}

impl fmt::Debug for GovernorClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GovernorClock")
    }
}
