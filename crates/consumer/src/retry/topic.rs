//! Long waits in a topic of their own.
//!
//! A failed record that waits in its partition takes memory, keeps the watermark back, and is gone should the
//! source's retention pass it. Where a [`RetryTopic`] is told for waits as long as its next one, the record goes
//! there instead, with its story and the moment it is due; once the topic has it, it is settled in its partition.
//! The same consumer reads the retry topics too, and a record of one of them waits until it is due.
//!
//! - **No order is kept**, since a successor would pass the record: only [`Ordering::Unordered`] has retry topics.
//! - **Overload never goes there.** A service that turns everything away would have the whole source copied.
//! - A record keeps its token and its count of attempts, and its handler sees the place it came from first.
//! - The moment due is one of the wall clock, for no other clock outlives a process. A clock that is wrong makes
//!   a wait shorter or longer, at most the longest back-off.
//!
//! [`Ordering::Unordered`]: crate::Ordering::Unordered

use super::Story;
use crate::dead_letter::{Provenance, ProvenanceError, number};
use bytes::Bytes;
use seawall_core::token::TOKEN_HEADER;
use seawall_core::{Fault, Header, Nanos, Record, WallMs};
use std::sync::Arc;
use std::time::Duration;

/// When a record of a retry topic is to be tried again, in milliseconds since the Unix epoch.
pub const DUE_MS: &str = "seawall-retry-due-ms";
/// The timestamp that the record had before. In the topic it has the time at which it was sent there: brokers judge by
/// it what is too old to be kept.
pub const TIMESTAMP_MS: &str = "seawall-retry-timestamp-ms";

/// Where records spend their long waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryTopic {
    /// Waits of at least this long are spent there, unless another topic is told for longer ones still.
    pub after: Duration,
    /// The topic. The consumer's source must read it, too.
    pub topic: Arc<str>,
}

/// The topic of `topics` for a wait of this length.
pub(crate) fn choose(topics: &[RetryTopic], wait: Duration) -> Option<&Arc<str>> {
    let fits = topics.iter().filter(|topic| topic.after <= wait);
    fits.max_by_key(|topic| topic.after).map(|topic| &topic.topic)
}

/// What a record of a retry topic tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deferred {
    /// Its story so far, as a dead letter would tell it.
    pub(crate) story: Provenance,
    pub(crate) due: WallMs,
}

impl Deferred {
    /// Writes it into the headers of `record`, which is sent at `wall`.
    pub(crate) fn write_to(&self, record: &mut Record, wall: WallMs) {
        self.story.write_to(record);
        record.headers.set(Header::new(DUE_MS, Bytes::from(self.due.to_string())));
        record.headers.set(Header::new(TIMESTAMP_MS, Bytes::from(record.timestamp.to_string())));
        record.timestamp = wall;
    }

    /// Takes it off the headers of `record`, which is then as it was when it failed, its token written down.
    /// `None` for a record that somebody else has put into the topic.
    pub(crate) fn take_from(record: &mut Record) -> Option<Result<Self, ProvenanceError>> {
        record.headers.get(DUE_MS)?;
        let read = || {
            let (due, before) = (WallMs(number(record, DUE_MS)?), WallMs(number(record, TIMESTAMP_MS)?));
            Ok((Self { story: Provenance::from_record(record)?, due }, before))
        };
        let (deferred, before) = match read() {
            Ok(read) => read,
            Err(error) => return Some(Err(error)),
        };
        Provenance::strip(record);
        record.headers.remove(DUE_MS);
        record.headers.remove(TIMESTAMP_MS);
        record.timestamp = before;
        if record.headers.get(TOKEN_HEADER).is_none() {
            record.headers.push(Header::new(TOKEN_HEADER, deferred.story.token.as_bytes().clone()));
        }
        Some(Ok(deferred))
    }

    /// How long it still waits at `wall`, at most `longest`.
    pub(crate) fn wait(&self, wall: WallMs, longest: Duration) -> Duration {
        span(wall, self.due).min(longest)
    }

    /// The story, to be gone on with at `now`.
    pub(crate) fn into_story(self, now: Nanos, wall: WallMs) -> Story {
        let Provenance { error, class, attempts, first_failed, last_failed, origin, offset, .. } = self.story;
        Story {
            attempts,
            turned_away: 0,
            first_failed: now,
            failing_before: span(first_failed, wall),
            first_failed_wall: first_failed,
            last_failed_wall: last_failed,
            fault: Fault::new(class, error),
            dead: None,
            origin: Some((origin, offset)),
        }
    }
}

/// From one reading of the wall clock to a later one; nothing where it is no later.
fn span(from: WallMs, to: WallMs) -> Duration {
    Duration::from_millis(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_core::{Class, Token, TopicPartition};

    const SENT: WallMs = WallMs(61_500);

    fn deferred() -> Deferred {
        let story = Provenance {
            error: "not yet".into(),
            class: Class::Transient,
            attempts: 7,
            first_failed: WallMs(1_000),
            last_failed: WallMs(61_000),
            origin: TopicPartition::new("orders", 3),
            offset: 42,
            token: Token::of_origin("orders", 3, 42, SENT),
            pipeline: "fulfil".into(),
        };
        Deferred { story, due: WallMs(181_000) }
    }

    #[test]
    fn a_wait_goes_to_the_topic_of_the_longest_waits_it_reaches() {
        let topic = |seconds, topic: &str| RetryTopic {
            after: Duration::from_secs(seconds),
            topic: Arc::from(topic),
        };
        let topics = [topic(600, "long"), topic(60, "short")];
        let chosen = |seconds| choose(&topics, Duration::from_secs(seconds)).map(|topic| &**topic);
        assert_eq!(
            [59, 60, 599, 600, 9_999].map(chosen),
            [None, Some("short"), Some("short"), Some("long"), Some("long")]
        );
    }

    #[test]
    fn what_was_written_is_taken_off_again_but_the_token_stays() {
        let mut record = Record::new(Bytes::from_static(b"k"), "v");
        record.headers.push(Header::new("traceparent", "00-1"));
        record.timestamp = WallMs(7);
        let mut before = record.clone();
        deferred().write_to(&mut record, SENT);
        assert_eq!(record.timestamp, SENT, "or the topic takes it for too old to be kept");
        assert_eq!(Deferred::take_from(&mut record), Some(Ok(deferred())));
        before.headers.push(Header::new(TOKEN_HEADER, deferred().story.token.as_bytes().clone()));
        assert_eq!(record, before);
        assert_eq!(Deferred::take_from(&mut record), None, "anyone's record");
    }

    #[test]
    fn a_token_of_its_own_is_left_alone() {
        let mut record = Record::default();
        record.headers.push(Header::new(TOKEN_HEADER, "own"));
        let own = record.clone();
        deferred().write_to(&mut record, SENT);
        assert!(Deferred::take_from(&mut record).expect("deferred").is_ok());
        assert_eq!(record, own);
    }

    #[test]
    fn a_header_that_cannot_be_read_is_named_and_nothing_is_taken_off() {
        let mut record = Record::default();
        deferred().write_to(&mut record, SENT);
        for name in [DUE_MS, TIMESTAMP_MS] {
            let mut record = record.clone();
            record.headers.set(Header::new(name, "soon"));
            let before = record.clone();
            let error = Deferred::take_from(&mut record).expect("deferred").expect_err("no number");
            assert!(error.to_string().contains(name) && error.to_string().contains("soon"), "{error}");
            assert_eq!(record, before);
        }
    }

    #[test]
    fn it_waits_for_what_is_left_and_a_wrong_clock_is_not_believed() {
        let longest = Duration::from_mins(10);
        let at = |wall| deferred().wait(WallMs(wall), longest);
        assert_eq!(at(171_000), Duration::from_secs(10));
        assert_eq!(at(181_001), Duration::ZERO);
        assert_eq!(at(i64::MIN), longest);
    }

    #[test]
    fn its_time_since_the_first_failure_goes_on() {
        let story = deferred().into_story(Nanos(5), WallMs(181_000));
        assert_eq!((story.attempts, story.failing_before), (7, Duration::from_mins(3)));
        assert_eq!(story.origin, Some((TopicPartition::new("orders", 3), 42)));
        assert_eq!(story.fault.to_string(), "not yet");
    }
}
