//! Which partitions may be fetched: credits in records and bytes, and pausing of the full ones alone.
//!
//! A partition is paused when another poll might exceed its bound, and resumed when it is down to half of it:
//! the gap keeps the source from being paused and resumed with every batch. One poll asks for at most a quarter
//! of the bound, so that a small bound is kept too. The bound is exceeded by one record at most, when that alone
//! is larger than the bytes asked for.

use super::{Fetcher, Load, Nanos, Ordering, Relaxed, Source, TopicPartition};
use crate::options::Limits;
use crate::partition::Book;
use seawall_core::Limit;

/// What one poll asks for.
fn one_poll(limits: &Limits, records: usize, bytes: usize) -> Limit {
    Limit {
        records: records.min((limits.queue.records / 4).max(1)),
        bytes: bytes.min((limits.queue.bytes / 4).max(1)),
    }
}

/// Whether `book` has no room for another poll of `poll`; `was` tells whether it was full a moment ago.
fn is_full(book: &Book, limits: &Limits, poll: Limit, whole: bool, was: bool) -> bool {
    let mut used = book.queue;
    if whole {
        // The partition is one lane: what is parked stands in it like everything else.
        used.add(book.parked);
    }
    let low = half(limits);
    if was {
        return used.records > low.records || used.bytes > low.bytes;
    }
    used.records + poll.records as i64 > limits.queue.records as i64
        || used.bytes + poll.bytes as i64 > limits.queue.bytes as i64
}

fn half(limits: &Limits) -> Load {
    Load { records: (limits.queue.records / 2) as i64, bytes: (limits.queue.bytes / 2) as i64 }
}

impl<S: Source> Fetcher<S> {
    /// What the next poll or reread may bring.
    pub(super) fn limit(&self) -> Limit {
        let fetch = &self.shared.options.fetch;
        one_poll(&self.shared.limits(), fetch.records, fetch.bytes)
    }

    /// Tells the source what has changed.
    pub(super) fn pause_or_resume(&mut self, id: &TopicPartition, now: Nanos) {
        let poll = self.limit();
        let limits = self.shared.limits();
        let whole = self.shared.options.ordering == Ordering::Partition;
        let broken = Nanos(self.shared.broken_until.load(Relaxed)) > now;
        let span_max = self.shared.options.commit.span_max;
        let Some(owned) = self.owned.get_mut(id) else { return };
        let mut book = owned.partition.book();
        owned.full = is_full(&book, &limits, poll, whole, owned.full);
        let keys = book.parked_keys >= limits.retry.parked_keys as i64;
        let heads = !whole && book.parked.bytes > limits.retry.parked_bytes as i64;
        let span = book.tracker.next() - book.tracker.watermark() >= span_max;
        let paused = owned.leaving.is_some()
            || self.paused
            || book.paused_by_request
            || owned.full
            || keys
            || heads
            || span
            || broken;
        book.alarm.room_at = owned.full.then(|| half(&limits));
        book.paused = paused;
        drop(book);
        if paused != owned.paused {
            owned.paused = paused;
            if paused {
                self.source.pause(id);
            } else {
                self.source.resume(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConsumerOptions;

    #[test]
    fn a_small_bound_is_kept_and_never_blocks_for_ever() {
        for bound in 1..50_usize {
            let mut limits = ConsumerOptions::new("p").limits();
            limits.queue.records = bound;
            let poll = one_poll(&limits, 2_048, 1 << 20);
            let partition = crate::partition::Partition::new(
                TopicPartition::new("t", 0),
                seawall_core::Generation(1),
                0,
                0,
                crate::track::OffsetSet::default(),
                0,
                1,
            );
            let mut book = partition.book();
            let mut full = false;
            for _ in 0..1_000 {
                full = is_full(&book, &limits, poll, false, full);
                if !full {
                    book.queue.records += poll.records as i64;
                }
                assert!(book.queue.records <= bound as i64, "{bound}");
                if full {
                    book.queue.records -= 1;
                }
            }
            book.queue.records = 0;
            assert!(!is_full(&book, &limits, poll, false, true), "an empty queue always has room: {bound}");
        }
    }
}
