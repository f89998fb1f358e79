//! Questions that could not be answered, and are asked again later.

use seawall_core::Nanos;
use std::time::Duration;

/// How long the brokers are left alone at least.
const REST: Duration = Duration::from_millis(500);
/// And at most.
const REST_MAX: Duration = Duration::from_secs(30);
/// How many times as long as the last round took: nothing is polled while brokers are asked.
const SHARE: u32 = 10;

/// When a round of questions comes next, and since when rounds have left something open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Later {
    after: Nanos,
    since: Option<Nanos>,
}

impl Later {
    pub(super) fn is_due(&self, now: Nanos) -> bool {
        now >= self.after
    }

    /// A round that took from `began` to `now` has left something open.
    pub(super) fn wait(&mut self, began: Nanos, now: Nanos) {
        self.after = now.plus((now.since(began) * SHARE).clamp(REST, REST_MAX));
        self.since.get_or_insert(began);
    }

    /// Nothing is open any more.
    pub(super) fn done(&mut self) {
        *self = Self::default();
    }

    /// How long something has been open.
    pub(super) fn open_for(&self, now: Nanos) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_takes_a_small_share_of_the_time_and_what_is_quick_comes_again_soon() {
        let mut later = Later::default();
        let at = |ms: u64| Nanos(0).plus(Duration::from_millis(ms));
        assert!(later.is_due(at(0)));
        later.wait(at(10), at(12));
        assert!(!later.is_due(at(511)) && later.is_due(at(512)));
        later.wait(at(1_000), at(2_000));
        assert!(!later.is_due(at(11_999)) && later.is_due(at(12_000)));
        later.wait(at(20_000), at(40_000));
        assert!(!later.is_due(at(69_999)) && later.is_due(at(70_000)));
        assert_eq!(later.open_for(at(60_010)), Duration::from_mins(1), "since the first");
        later.done();
        assert!(later.is_due(at(0)) && later.open_for(at(70_000)).is_zero());
    }
}
