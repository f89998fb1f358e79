//! What is known of partitions that were taken away: what was settled here stays settled, whoever owns the partition.
//!
//! A member that loses its coordinator for a session loses its partitions, and with them the right to commit what it
//! has settled since its last commit. Most often the same member gets them back a moment later, at that commit. It
//! knows better then, and skips what it has done instead of doing it again. Nothing of this is ever committed for the
//! assignment that was lost: it is part of where the next one begins.
//!
//! Where the position shows that offsets no longer mean the same records, or that somebody set the group back, what
//! was known counts for nothing.

use super::TopicPartition;
use crate::partition::Partition;
use crate::track::OffsetSet;
use seawall_core::{Generation, Nanos, Offset, Origin};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Longer than any session and rebalance: what has not come back by then is another's.
const KEEP: Duration = Duration::from_mins(10);

/// Books that were closed before they were committed.
#[derive(Debug, Default)]
pub(super) struct Kept(BTreeMap<TopicPartition, (Nanos, Arc<Partition>)>);

impl Kept {
    pub(super) fn keep(&mut self, partition: Arc<Partition>, now: Nanos) {
        self.0.retain(|_, (since, _)| now.since(*since) < KEEP);
        self.0.insert(partition.id.clone(), (now, partition));
    }

    /// The book of the assignment of this generation, where it was closed in the last while.
    pub(super) fn find(&self, id: &TopicPartition, generation: Generation) -> Option<Arc<Partition>> {
        let (_, partition) = self.0.get(id)?;
        (partition.generation == generation).then(|| Arc::clone(partition))
    }

    /// Adds to `beyond` what was settled here at or above `watermark`, where the group now stands in a partition that
    /// ends at `end`, and takes out of it what lies above a cut. How many offsets were added.
    pub(super) fn recall(
        &mut self,
        id: &TopicPartition,
        watermark: Offset,
        origin: Origin,
        end: Offset,
        beyond: &mut OffsetSet,
    ) -> u64 {
        let mut known = 0;
        if let Some((_, partition)) = self.0.remove(id) {
            let book = partition.book();
            let set_back = watermark < book.committed;
            // Where it was cut is not known, and it may have grown again since.
            let cut_somewhere = end < book.tracker.next() && !matches!(origin, Origin::Cut(_));
            if !set_back && !cut_somewhere {
                known = book.tracker.settled_into(watermark, beyond);
            }
        }
        if let Origin::Cut(at) = origin {
            beyond.truncate(at);
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_core::{Batch, Fetched, Record};

    /// A partition of which 0 to 100 were fetched, 0 to 50 and 60 to 70 settled, and 20 committed.
    fn lost() -> Arc<Partition> {
        let id = TopicPartition::new("t", 0);
        let partition = Partition::new(id, Generation(1), 0, 20, OffsetSet::default(), 100, 1);
        let records = (20..100).map(|offset| Fetched { offset, record: Record::default() }).collect();
        partition.admit(&mut Batch { records, next: 100 }, 100, Nanos(0));
        let mut book = partition.book();
        for offset in (20..50).chain(60..70) {
            assert!(book.tracker.complete(offset));
        }
        drop(book);
        Arc::new(partition)
    }

    fn recalled(watermark: Offset, end: Offset, after: Duration) -> (u64, Vec<(Offset, Offset)>) {
        recalled_from(watermark, Origin::Committed, end, after)
    }

    fn recalled_from(
        watermark: Offset,
        origin: Origin,
        end: Offset,
        after: Duration,
    ) -> (u64, Vec<(Offset, Offset)>) {
        let (id, mut kept) = (TopicPartition::new("t", 0), Kept::default());
        kept.keep(lost(), Nanos(0));
        let other =
            Partition::new(TopicPartition::new("t", 1), Generation(2), 1, 0, OffsetSet::default(), 0, 1);
        kept.keep(Arc::new(other), Nanos(0).plus(after));
        let mut beyond = OffsetSet::default();
        let count = kept.recall(&id, watermark, origin, end, &mut beyond);
        assert_eq!(kept.recall(&id, watermark, origin, end, &mut OffsetSet::default()), 0, "a single time");
        (count, beyond.runs(watermark).collect())
    }

    #[test]
    fn what_was_settled_is_known_again_unless_the_offsets_mean_something_else() {
        let soon = Duration::from_secs(30);
        assert_eq!(recalled(20, 100, soon), (40, vec![(20, 50), (60, 70)]), "nobody went on");
        assert_eq!(recalled(65, 500, soon), (5, vec![(65, 70)]), "another went on");
        assert_eq!(recalled(80, 100, soon), (0, vec![]), "another went past all of it");
        assert_eq!(recalled(19, 100, soon), (0, vec![]), "somebody set the group back");
        assert_eq!(recalled(20, 99, soon), (0, vec![]), "the log was cut");
        assert_eq!(recalled(20, 100, Duration::from_mins(11)), (0, vec![]), "too long ago");
    }

    #[test]
    fn of_a_log_that_was_cut_what_was_settled_below_the_cut_is_known_again() {
        let runs = |cut, watermark: Offset, end| {
            recalled_from(watermark, Origin::Cut(cut), end, Duration::from_secs(1)).1
        };
        assert_eq!(runs(40, 20, 500), [(20, 40)], "it has grown again");
        assert_eq!(runs(65, 20, 66), [(20, 50), (60, 65)]);
        assert_eq!(runs(10, 10, 500), [], "also below what was committed");
    }
}
