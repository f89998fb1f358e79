//! Giving up on a handler that runs for longer than the configuration allows. A decision on what the workers say
//! they run, by a bound that somebody set; the watchdog has no part in it.

use super::{Fetcher, Nanos, Source};
use seawall_core::{Class, Fault, Offset, TopicPartition};
use std::time::Duration;

/// A handler ran for longer than `give_up_after`.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "a handler ran for {ran:?}, longer than give_up_after = {bound:?}: {place}; the partitions are given to others"
)]
struct RanTooLong {
    ran: Duration,
    bound: Duration,
    place: String,
}

impl<S: Source> Fetcher<S> {
    pub(super) fn give_up_if_stuck(&mut self, now: Nanos) {
        let Some(bound) = self.shared.options.give_up_after else { return };
        if self.gave_up.is_some() || self.drain.is_some() {
            return;
        }
        let Some((since, place)) = self.longest(now, bound) else { return };
        let place =
            place.map_or_else(|| "unknown".to_owned(), |(id, offset)| format!("{id} at offset {offset}"));
        let fault = RanTooLong { ran: now.since(since), bound, place };
        tracing::error!(pipeline = %self.shared.options.pipeline, %fault, "the pipeline gives up");
        self.gave_up = Some(Fault::new(Class::Permanent, fault));
        self.begin_drain(now, now);
    }

    /// A handler that runs for at least `bound`: since when, and of which record.
    fn longest(&self, now: Nanos, bound: Duration) -> Option<(Nanos, Option<(TopicPartition, Offset)>)> {
        let before = Nanos(now.0.checked_sub(bound.as_nanos() as u64)?);
        self.shared.boards.iter().find_map(|board| {
            if let Some(out) = board.since(before, 1).pop() {
                return Some((out.since, Some((out.partition.id.clone(), out.offset))));
            }
            let polled = board.polled().filter(|polled| polled.since <= before)?;
            let owned = self.owned.values().find(|owned| owned.partition.slot == polled.slot);
            Some((polled.since, owned.map(|owned| (owned.partition.id.clone(), polled.offset))))
        })
    }
}
