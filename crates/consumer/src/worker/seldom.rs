//! A trouble that comes with every record is told now and then, with how many were not: an outage of a store or a sink
//! must not fill the disk with its own log.

use seawall_core::Nanos;
use std::time::Duration;

/// How far apart two lines about one kind of trouble are at least.
const APART: Duration = Duration::from_secs(10);

/// One kind of trouble.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    again_at: Nanos,
    untold: u64,
}

/// The kinds that a worker meets.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) claims: Seldom,
    pub(super) completions: Seldom,
    pub(super) fences: Seldom,
    pub(super) away: Seldom,
    pub(super) stories: Seldom,
}

impl Seldom {
    /// Whether the trouble met at `now` is to be told, and then how many since the last one were not.
    pub(super) fn tell(&mut self, now: Nanos) -> Option<u64> {
        if now < self.again_at {
            self.untold += 1;
            return None;
        }
        self.again_at = now.plus(APART);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_later_ones_are_counted() {
        let mut seldom = Seldom::default();
        let at = |ms: u64| Nanos::default().plus(Duration::from_millis(ms));
        let told = [0, 1, 9_999, 10_000, 10_001, 25_000].map(|ms| seldom.tell(at(ms)));
        assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
