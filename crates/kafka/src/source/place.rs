//! One partition that is read again: its queue in the client, and what an end of its log says.

use super::convert::Copier;
use crate::admin::Quiet;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::Message;
use seawall_core::{Batch, Clock, Limit, Nanos, Offset, SystemClock, TopicPartition};
use std::time::Duration;

/// A partition that is read.
pub(super) struct Place {
    pub(super) tp: TopicPartition,
    pub(super) queue: PartitionQueue<Quiet>,
    /// Where its queue goes on; `None` where nothing more would be told of what lies there.
    pub(super) next: Option<Offset>,
    /// The end of a log that the queue tells is one that was found when everything below this was there.
    pub(super) end_above: Offset,
    /// Where an end was told that has to be believed yet, and since when.
    pub(super) ended: Option<(Offset, Nanos)>,
    /// When it was read last.
    pub(super) used: Nanos,
    /// When records were last read again here, if ever.
    pub(super) reread: Option<Nanos>,
}

/// Why a pull brought no more.
pub(super) enum Stopped {
    /// It has what was asked for.
    Full,
    /// The broker has not answered further.
    Empty,
    /// The client told the end of a log.
    AtEnd,
    Failed(ClientError),
}

impl Place {
    /// Adds to `batch` what the queue holds in `batch.next..to`, up to `limit`. Waits only for the first record.
    pub(super) fn pull(
        &mut self,
        copier: &mut Copier,
        clock: &SystemClock,
        wait: Duration,
        to: Offset,
        limit: Limit,
        batch: &mut Batch,
    ) -> Stopped {
        let until = clock.now().plus(wait);
        let mut bytes: usize = batch.records.iter().map(|fetched| fetched.record.weight()).sum();
        while batch.next < to && batch.records.len() < limit.records && bytes < limit.bytes {
            let wait = if batch.records.is_empty() { until.since(clock.now()) } else { Duration::ZERO };
            let message = match self.queue.poll(wait) {
                Some(Ok(message)) => message,
                Some(Err(ClientError::PartitionEOF(_))) => return Stopped::AtEnd,
                Some(Err(source)) => return Stopped::Failed(source),
                None => return Stopped::Empty,
            };
            let offset = u64::try_from(message.offset()).unwrap_or_default();
            (self.next, self.ended) = (Some(offset + 1), None);
            if offset >= to {
                batch.next = to;
            } else if offset >= batch.next {
                let fetched = copier.record(&message);
                batch.next = offset + 1;
                bytes += fetched.record.weight();
                batch.records.push(fetched);
            }
        }
        Stopped::Full
    }
}

/// Whether a log that ends at `at`, as told `now`, has done so for long enough.
pub(super) fn is_believed(
    ended: &mut Option<(Offset, Nanos)>,
    at: Offset,
    now: Nanos,
    after: Duration,
) -> bool {
    let since = match *ended {
        Some((before, since)) if before == at => since,
        _ => now,
    };
    *ended = Some((at, since));
    now.since(since) >= after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_believed_once_it_was_told_at_the_same_place_for_long_enough() {
        let after = Duration::from_mins(1);
        let start = Nanos(7);
        let almost = start.plus(after.saturating_sub(Duration::from_nanos(1)));
        let mut ended = None;
        let mut is = |at, now| is_believed(&mut ended, at, now, after);
        assert!(!is(100, start));
        assert!(!is(100, almost));
        assert!(is(100, start.plus(after)));
        // It has come further: the log goes on to grow for who reads it.
        assert!(!is(120, start.plus(after)));
        assert!(!is(120, almost.plus(after)));
        assert!(is(120, start.plus(after * 2)));
    }
}
