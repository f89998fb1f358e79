//! Refuses what contradicts itself: by field, value, and what would be right.

use super::{ConsumerOptions, Limits, Ordering};
use seawall_core::{Class, Classify};
use std::fmt::Display;
use std::time::Duration;

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} = {value}: {right}")]
pub struct OptionsError {
    /// The field, as a dotted path from [`ConsumerOptions`].
    pub field: &'static str,
    /// The value found.
    pub value: String,
    /// What would be right.
    pub right: &'static str,
}

impl Classify for OptionsError {
    fn class(&self) -> Class {
        Class::Permanent
    }
}

fn require(
    holds: bool,
    field: &'static str,
    value: impl Display,
    right: &'static str,
) -> Result<(), OptionsError> {
    if holds { Ok(()) } else { Err(OptionsError { field, value: value.to_string(), right }) }
}

fn require_time(
    holds: bool,
    field: &'static str,
    value: Duration,
    right: &'static str,
) -> Result<(), OptionsError> {
    require(holds, field, format_args!("{value:?}"), right)
}

impl ConsumerOptions {
    /// Refuses values that contradict themselves or each other.
    ///
    /// # Errors
    /// [`OptionsError`] for the first one found.
    pub fn check(&self) -> Result<(), OptionsError> {
        require(!self.pipeline.is_empty(), "pipeline", "\"\"", "a pipeline needs a name")?;
        require((1..=256).contains(&self.workers), "workers", self.workers, "1 to 256 worker tasks")?;
        require(self.fetch.records >= 1, "fetch.records", self.fetch.records, "at least 1 record")?;
        require(self.fetch.bytes >= 1, "fetch.bytes", self.fetch.bytes, "at least 1 byte")?;
        let ms = Duration::from_millis(1);
        require_time(
            self.fetch.wait >= ms,
            "fetch.wait",
            self.fetch.wait,
            "at least 1 ms, or the loop spins",
        )?;
        let commit = &self.commit;
        require_time(commit.interval >= ms, "commit.interval", commit.interval, "at least 1 ms")?;
        require(
            commit.beyond_bytes_max >= 32,
            "commit.beyond_bytes_max",
            commit.beyond_bytes_max,
            "at least 32 bytes: a header, a checksum and a run",
        )?;
        require(commit.span_max >= 1, "commit.span_max", commit.span_max, "at least 1 offset")?;
        if let Some(timeout) = self.timeout {
            require_time(!timeout.is_zero(), "timeout", timeout, "more than zero, or none")?;
        }
        require_time(
            self.lease >= Duration::from_millis(30),
            "lease",
            self.lease,
            "at least 30 ms, since it is renewed at a third of it",
        )?;
        require_time(
            self.stall_after >= Duration::from_millis(100),
            "stall_after",
            self.stall_after,
            "at least 100 ms, or all that works at all is called stalled",
        )?;
        if let Some(bound) = self.give_up_after {
            require_time(!bound.is_zero(), "give_up_after", bound, "more than zero, or none")?;
        }
        require(
            self.dead_letter.as_ref().is_none_or(|topic| !topic.is_empty()),
            "dead_letter",
            "\"\"",
            "the name of a topic, or none",
        )?;
        self.check_retry_topics()?;
        self.limits().check()
    }

    fn check_retry_topics(&self) -> Result<(), OptionsError> {
        let topics = &self.retry_topics;
        let field = "retry_topics";
        require(
            topics.is_empty() || self.ordering == Ordering::Unordered,
            field,
            format_args!("{} with ordering {}", topics.len(), self.ordering.as_str()),
            "none, or ordering unordered: what waits in another topic is passed by its successors",
        )?;
        for (at, retry) in topics.iter().enumerate() {
            let before = &topics[..at];
            require(!retry.topic.is_empty(), field, "\"\"", "the name of a topic")?;
            require_time(!retry.after.is_zero(), field, retry.after, "a wait of more than zero")?;
            require_time(
                before.iter().all(|other| other.after != retry.after),
                field,
                retry.after,
                "each wait once",
            )?;
            let own = Some(&retry.topic) != self.dead_letter.as_ref()
                && before.iter().all(|other| other.topic != retry.topic);
            require(own, field, &retry.topic, "a topic of its own")?;
        }
        Ok(())
    }
}

impl Limits {
    /// Refuses values that contradict themselves or each other.
    ///
    /// # Errors
    /// [`OptionsError`] for the first one found.
    pub fn check(&self) -> Result<(), OptionsError> {
        require(self.queue.records >= 1, "queue.records", self.queue.records, "at least 1 record")?;
        require(self.queue.bytes >= 1, "queue.bytes", self.queue.bytes, "at least 1 byte")?;
        let retry = &self.retry;
        require(retry.attempts_max >= 1, "retry.attempts_max", retry.attempts_max, "at least 1 attempt")?;
        require_time(
            retry.base >= Duration::from_millis(1),
            "retry.base",
            retry.base,
            "at least 1 ms, or a failing record spins",
        )?;
        require(
            retry.factor.is_finite() && retry.factor >= 1.0,
            "retry.factor",
            retry.factor,
            "a finite number of at least 1",
        )?;
        require_time(retry.max >= retry.base, "retry.max", retry.max, "no less than retry.base")?;
        if let Some(total) = retry.total_max {
            require_time(!total.is_zero(), "retry.total_max", total, "more than zero, or none")?;
        }
        if let Some(budget) = retry.budget {
            let refused = budget.check().err().map_or_else(String::new, |error| error.to_string());
            require(refused.is_empty(), "retry.budget", refused, "within the bounds of a retry budget")?;
        }
        require(retry.parked_keys >= 1, "retry.parked_keys", retry.parked_keys, "at least 1 key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::RetryTopic;

    fn retry_topic(seconds: u64, topic: &str) -> RetryTopic {
        RetryTopic { after: Duration::from_secs(seconds), topic: topic.into() }
    }

    fn unordered(options: &mut ConsumerOptions, retry_topics: Vec<RetryTopic>) {
        (options.ordering, options.retry_topics) = (Ordering::Unordered, retry_topics);
    }

    #[test]
    fn the_defaults_are_right() {
        let mut options = ConsumerOptions::new("orders");
        assert_eq!(options.check(), Ok(()));
        unordered(&mut options, vec![retry_topic(60, "later"), retry_topic(600, "last")]);
        assert_eq!(options.check(), Ok(()));
    }

    #[test]
    fn each_contradiction_is_named() {
        type Bend = fn(&mut ConsumerOptions);
        let cases: &[(&str, Bend)] = &[
            ("pipeline", |o| o.pipeline = "".into()),
            ("workers", |o| o.workers = 0),
            ("workers", |o| o.workers = 257),
            ("fetch.records", |o| o.fetch.records = 0),
            ("fetch.bytes", |o| o.fetch.bytes = 0),
            ("fetch.wait", |o| o.fetch.wait = Duration::ZERO),
            ("commit.interval", |o| o.commit.interval = Duration::ZERO),
            ("commit.beyond_bytes_max", |o| o.commit.beyond_bytes_max = 31),
            ("commit.span_max", |o| o.commit.span_max = 0),
            ("timeout", |o| o.timeout = Some(Duration::ZERO)),
            ("lease", |o| o.lease = Duration::from_millis(29)),
            ("stall_after", |o| o.stall_after = Duration::from_millis(99)),
            ("give_up_after", |o| o.give_up_after = Some(Duration::ZERO)),
            ("dead_letter", |o| o.dead_letter = Some("".into())),
            ("retry_topics", |o| o.retry_topics = vec![retry_topic(60, "later")]),
            ("retry_topics", |o| unordered(o, vec![retry_topic(60, "")])),
            ("retry_topics", |o| unordered(o, vec![retry_topic(0, "later")])),
            ("retry_topics", |o| unordered(o, vec![retry_topic(60, "orders.dlq")])),
            ("retry_topics", |o| unordered(o, vec![retry_topic(60, "later"), retry_topic(90, "later")])),
            ("retry_topics", |o| unordered(o, vec![retry_topic(60, "later"), retry_topic(60, "last")])),
            ("queue.records", |o| o.queue.records = 0),
            ("queue.bytes", |o| o.queue.bytes = 0),
            ("retry.attempts_max", |o| o.retry.attempts_max = 0),
            ("retry.base", |o| o.retry.base = Duration::ZERO),
            ("retry.factor", |o| o.retry.factor = 0.5),
            ("retry.factor", |o| o.retry.factor = f64::NAN),
            ("retry.max", |o| o.retry.max = Duration::from_millis(99)),
            ("retry.total_max", |o| o.retry.total_max = Some(Duration::ZERO)),
            ("retry.parked_keys", |o| o.retry.parked_keys = 0),
        ];
        for (field, bend) in cases {
            let mut options = ConsumerOptions::new("orders");
            bend(&mut options);
            assert_eq!(options.check().expect_err(field).field, *field);
        }
    }

    #[test]
    fn the_message_says_what_would_be_right() {
        let mut options = ConsumerOptions::new("orders");
        options.retry.max = Duration::from_millis(5);
        let error = options.check().expect_err("contradicts the base");
        assert_eq!(error.to_string(), "retry.max = 5ms: no less than retry.base");
    }
}
