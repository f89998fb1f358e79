//! What to do with a record whose handling failed. Pure: time and chance are parameters.
//!
//! Only the failed key waits: its lane is parked with the failed record at its head and the successors in
//! order behind it, and every other key goes on. Three kinds of "not now" are told apart:
//!
//! - **A failure** (`Transient`, `Bug`, a timeout, a panic) counts as an attempt. Attempts and the time since
//!   the first failure are bounded; then the record becomes a dead letter.
//! - **Overload** says nothing against the record: it waits, as long as it is told to or by the back-off, and
//!   neither the count nor the time bound applies. A service that is overloaded for an hour must not turn an
//!   hour of orders into dead letters.
//! - **A refusal of the guard** never gets here: the record has not been tried.
//!
//! A `retry_after` is honoured even beyond the longest back-off, up to [`RETRY_AFTER_MAX`]. One that is shorter than the
//! first back-off is not: a service that is overloaded and says 0 would be asked again as fast as it answers.
//!
//! Where no order is asked for, long waits can be spent in a topic of their own ([`topic`]).

pub(crate) mod topic;

pub use topic::{DUE_MS, RetryTopic, TIMESTAMP_MS};

use crate::options::RetryOptions;
use seawall_core::{Class, Fault, Nanos, Offset, TopicPartition, WallMs};
use seawall_guard::backoff::{Backoff, Jitter};
use std::time::Duration;

/// The longest `retry_after` that is believed; a service that says more is asked again after this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// What happened to a record so far. Exists from its first failure on.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    /// Failed attempts that count.
    pub(crate) attempts: u32,
    /// Times it was turned away since it last failed or started, for the back-off alone.
    pub(crate) turned_away: u32,
    /// Here: in a process before this one, or in a retry topic, it may have failed for as long as `failing_before`.
    pub(crate) first_failed: Nanos,
    pub(crate) failing_before: Duration,
    pub(crate) first_failed_wall: WallMs,
    pub(crate) last_failed_wall: WallMs,
    pub(crate) fault: Fault,
    /// It is to become a dead letter, and the sink has refused it so often.
    pub(crate) dead: Option<u32>,
    /// Where it came from first, where that is not where it was read now.
    pub(crate) origin: Option<(TopicPartition, Offset)>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try again after this long.
    Park(Duration),
    /// Give up.
    Dead,
}

impl Story {
    fn begin(fault: Fault, now: Nanos, wall: WallMs) -> Self {
        Self {
            attempts: 0,
            turned_away: 0,
            first_failed: now,
            failing_before: Duration::ZERO,
            first_failed_wall: wall,
            last_failed_wall: wall,
            fault,
            dead: None,
            origin: None,
        }
    }

    /// Whether its last failure was one that counts.
    pub(crate) fn has_failed(&self) -> bool {
        self.attempts > 0 && self.turned_away == 0
    }
}

/// The back-off that `options` describe.
pub(crate) fn backoff(options: &RetryOptions) -> Backoff {
    Backoff { base: options.base, factor: options.factor, max: options.max, jitter: Jitter::Equal }
}

/// How long a record waits that has come back `times` times; `told` is what the service said.
fn wait(told: Option<Duration>, options: &RetryOptions, times: u32, seed: u64) -> Duration {
    told.filter(|told| *told >= options.base)
        .map_or_else(|| backoff(options).delay(times, seed), |told| told.min(RETRY_AFTER_MAX))
}

/// Enters a failed attempt into the record's story and decides.
pub(crate) fn judge(
    story: &mut Option<Box<Story>>,
    fault: Fault,
    final_verdict: bool,
    options: &RetryOptions,
    now: Nanos,
    wall: WallMs,
    seed: u64,
) -> Next {
    let told = fault.retry_after();
    let overload = fault.class() == Class::Overload && !final_verdict;
    let story = story.get_or_insert_with(|| Box::new(Story::begin(fault.clone(), now, wall)));
    story.fault = fault;
    story.last_failed_wall = wall;
    if overload {
        story.turned_away += 1;
        return Next::Park(wait(told, options, story.turned_away, seed));
    }
    if story.attempts == 0 {
        (story.first_failed, story.first_failed_wall) = (now, wall);
    }
    story.attempts += 1;
    story.turned_away = 0;
    let too_late =
        options.total_max.is_some_and(|total| now.since(story.first_failed) + story.failing_before >= total);
    if final_verdict || too_late || story.attempts >= options.attempts_max {
        return Next::Dead;
    }
    Next::Park(wait(told, options, story.attempts, seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(class: Class) -> Fault {
        Fault::new(class, "no")
    }

    fn at(seconds: u64) -> Nanos {
        Nanos(0).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn attempts_are_bounded_and_the_backoff_grows_to_its_bound() {
        let options = RetryOptions { attempts_max: 10, ..RetryOptions::default() };
        let mut story = None;
        for attempt in 1..10_u32 {
            let next = judge(&mut story, fault(Class::Transient), false, &options, at(0), WallMs(5), 1);
            let Next::Park(delay) = next else { panic!("{attempt}: {next:?}") };
            let whole = Duration::from_millis(100 << (attempt - 1)).min(Duration::from_secs(5));
            assert!(delay >= whole / 2 && delay <= whole, "{attempt}: {delay:?} of {whole:?}");
        }
        let next = judge(&mut story, fault(Class::Bug), false, &options, at(0), WallMs(9), 1);
        assert_eq!(next, Next::Dead);
        let story = story.expect("begun");
        assert_eq!(
            (story.attempts, story.first_failed_wall, story.last_failed_wall),
            (10, WallMs(5), WallMs(9))
        );
    }

    #[test]
    fn time_is_bounded_from_the_first_failure_on() {
        let options = RetryOptions {
            attempts_max: 1_000,
            total_max: Some(Duration::from_mins(1)),
            ..RetryOptions::default()
        };
        let mut story = None;
        let judge_at =
            |story: &mut _, s| judge(story, fault(Class::Transient), false, &options, at(s), WallMs(0), 1);
        assert!(matches!(judge_at(&mut story, 1_000), Next::Park(_)));
        assert!(matches!(judge_at(&mut story, 1_059), Next::Park(_)));
        assert_eq!(judge_at(&mut story, 1_060), Next::Dead);
        story.as_mut().expect("begun").failing_before = Duration::from_secs(30);
        assert_eq!(judge_at(&mut story, 1_030), Next::Dead, "what it failed for in another process counts");
    }

    #[test]
    fn overload_counts_no_attempt_and_knows_no_bound_in_time() {
        let options = RetryOptions { attempts_max: 1, ..RetryOptions::default() };
        let mut story = None;
        for hour in 0..100 {
            let told = fault(Class::Overload).after(Duration::from_secs(7));
            let next = judge(&mut story, told, false, &options, at(hour * 3_600), WallMs(0), 1);
            assert_eq!(next, Next::Park(Duration::from_secs(7)));
        }
        assert_eq!(story.as_ref().expect("begun").attempts, 0);
        let next = judge(&mut story, fault(Class::Transient), false, &options, at(0), WallMs(0), 1);
        assert_eq!(next, Next::Dead, "the first attempt that counts is the last one allowed");
    }

    #[test]
    fn what_the_service_says_is_honoured_within_reason() {
        let options = RetryOptions::default();
        let told = |after| {
            judge(&mut None, fault(Class::Transient).after(after), false, &options, at(0), WallMs(0), 1)
        };
        assert_eq!(told(Duration::from_secs(90)), Next::Park(Duration::from_secs(90)));
        assert_eq!(told(Duration::from_hours(99)), Next::Park(RETRY_AFTER_MAX));
    }

    #[test]
    fn a_wait_shorter_than_the_first_back_off_is_not_believed() {
        let options = RetryOptions { attempts_max: 100, ..RetryOptions::default() };
        for class in [Class::Overload, Class::Transient] {
            for told in [Duration::ZERO, options.base / 2] {
                let mut story = None;
                for time in 1..=10_u32 {
                    let next =
                        judge(&mut story, fault(class).after(told), false, &options, at(0), WallMs(0), 1);
                    let Next::Park(delay) = next else { panic!("{time}: {next:?}") };
                    let whole = options.base.saturating_mul(1 << (time - 1)).min(options.max);
                    assert!(delay >= whole / 2 && delay <= whole, "{class:?} {time}: {delay:?} of {whole:?}");
                }
            }
            let told = fault(class).after(options.base);
            let next = judge(&mut None, told, false, &options, at(0), WallMs(0), 1);
            assert_eq!(next, Next::Park(options.base));
        }
    }

    #[test]
    fn a_final_verdict_is_final_whatever_its_class() {
        let next =
            judge(&mut None, fault(Class::Overload), true, &RetryOptions::default(), at(0), WallMs(0), 1);
        assert_eq!(next, Next::Dead);
    }
}
