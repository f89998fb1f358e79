//! Whether a partition's group moves. Pure: samples and their times come from outside.

use seawall_core::{Nanos, Offset};
use std::time::Duration;

/// When a partition counts as stuck. Either condition is enough; both need a lag, and a commit that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StuckRule {
    /// Over so many samples the commit stood while the log grew. Default 5.
    pub samples: u32,
    /// For so long the commit stood, whether the log grew or not. Default 5 min.
    pub idle: Duration,
}

impl Default for StuckRule {
    fn default() -> Self {
        Self { samples: 5, idle: Duration::from_mins(5) }
    }
}

/// What one sample shows of one group's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What the group committed, where it did.
    pub committed: Option<Offset>,
    /// The oldest offset that can be read.
    pub begin: Offset,
    /// One past the newest record.
    pub end: Offset,
}

/// Records between the group's commit, or the log's beginning where there is none, and the log's end. Zero for
/// a commit beyond the end, as a topic that was made anew leaves it.
pub fn lag(seen: Seen) -> u64 {
    seen.end.saturating_sub(seen.committed.unwrap_or(seen.begin))
}

/// What is remembered of one group's partition between samples.
#[derive(Clone, Copy, Debug)]
pub struct Track {
    committed: Option<Offset>,
    /// The log's end when the commit was first seen.
    end: Offset,
    since: Nanos,
    /// Samples since then.
    samples: u32,
}

impl Track {
    /// Begins with a first sample.
    pub fn new(seen: Seen, now: Nanos) -> Self {
        Self { committed: seen.committed, end: seen.end, since: now, samples: 0 }
    }

    /// Takes a further sample; whether the partition is stuck. A commit that moves, in either direction, or a
    /// partition without lag starts the count anew.
    pub fn observe(&mut self, seen: Seen, now: Nanos, rule: StuckRule) -> bool {
        if seen.committed != self.committed || lag(seen) == 0 || seen.end < self.end {
            *self = Self::new(seen, now);
            return false;
        }
        self.samples = self.samples.saturating_add(1);
        let outgrown = self.samples >= rule.samples && seen.end > self.end;
        outgrown || now.since(self.since) >= rule.idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: StuckRule = StuckRule { samples: 3, idle: Duration::from_secs(100) };

    fn at(committed: impl Into<Option<Offset>>, end: Offset) -> Seen {
        Seen { committed: committed.into(), begin: 2, end }
    }

    /// The verdicts of samples 10 s apart.
    fn verdicts(samples: &[Seen]) -> Vec<bool> {
        let time = |nth: usize| Nanos(nth as u64 * 10_000_000_000);
        let mut track = Track::new(samples[0], time(0));
        let rest = samples[1..].iter().enumerate();
        rest.map(|(nth, seen)| track.observe(*seen, time(nth + 1), RULE)).collect()
    }

    #[test]
    fn lag_is_never_below_zero_and_begins_where_the_log_does() {
        assert_eq!(lag(at(5, 9)), 4);
        assert_eq!(lag(at(None, 9)), 7);
        assert_eq!(lag(at(50, 9)), 0);
        assert_eq!(lag(at(0, 9)), 9);
    }

    #[test]
    fn a_commit_that_stands_while_the_log_grows_is_stuck() {
        assert_eq!(verdicts(&[at(5, 9), at(5, 10), at(5, 11), at(5, 12)]), [false, false, true]);
        assert_eq!(verdicts(&[at(None, 9), at(None, 9), at(None, 9), at(None, 10)]), [false, false, true]);
    }

    #[test]
    fn a_commit_that_moves_or_has_nothing_to_do_is_not() {
        assert_eq!(verdicts(&[at(5, 9), at(5, 10), at(6, 11), at(6, 12), at(6, 13)]), [false; 4]);
        assert_eq!(verdicts(&[at(9, 9), at(9, 9), at(9, 9), at(9, 9), at(9, 10)]), [false; 4]);
    }

    #[test]
    fn a_log_that_stands_needs_the_whole_idle_time() {
        let samples = [at(5, 9); 12];
        let stuck = verdicts(&samples);
        assert_eq!(stuck.iter().position(|stuck| *stuck), Some(9));
    }
}
