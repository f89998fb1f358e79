//! Beginning with a partition: at the position that its source tells, with what is known here beyond it.

use super::{Arc, Fetcher, Generation, Nanos, Owned, Source, TopicPartition, lock};
use crate::partition::Partition;
use crate::track::{OffsetSet, codec};
use seawall_core::{Offset, Origin, Position};

impl<S: Source> Fetcher<S> {
    /// Begins with a partition at `position`, which ends at `end` now.
    pub(super) fn begin(
        &mut self,
        id: TopicPartition,
        generation: Generation,
        position: &Position,
        origin: Origin,
        end: Offset,
    ) {
        self.forget_late(&id);
        if self.owned.contains_key(&id) {
            tracing::warn!(partition = %id, "assigned again without having been given up; the old state is void");
            self.lose(&id);
        }
        if self.drain.is_some() {
            // Given back, it would be offered again at once where we are the group's only member, and so on in
            // a circle. It is left alone; the group takes it when the source is dropped after the drain.
            self.source.pause(&id);
            return;
        }
        let mut beyond = codec::decode(position).unwrap_or_else(|error| {
            let group = &self.shared.options.group;
            tracing::warn!(
                %group, partition = %id, %error,
                "the commit's metadata is unreadable; what was settled beyond the watermark is delivered again"
            );
            OffsetSet::default()
        });
        let known = self.kept.recall(&id, position.watermark, origin, end, &mut beyond);
        let slot = self.next_slot;
        self.next_slot += 1;
        let workers = self.workers.len();
        let partition =
            Arc::new(Partition::new(id.clone(), generation, slot, position.watermark, beyond, end, workers));
        // What is known beyond the group's position is to be committed, whether anything else comes or not.
        partition.book().dirty = known > 0 || origin != Origin::Committed;
        if origin != Origin::Committed {
            // A member that comes after would not begin here.
            self.next_commit = self.shared.now();
        }
        lock(&self.shared.partitions).insert(id.clone(), Arc::clone(&partition));
        let owned = Owned { partition, paused: false, full: false, reread_after: Nanos(0), leaving: None };
        self.owned.insert(id, owned);
    }
}
