//! A member of the group, as a [`Source`].

use super::SimBroker;
use super::group::{MemberId, Notice};
use seawall_core::{
    Batch, Class, Clock, Commit, Event, Fault, Generation, Limit, Offset, Origin, PartitionId, Source,
    TopicPartition, Waker,
};
use std::time::Duration;

/// A member. Dropping it leaves the group.
#[derive(Debug)]
pub struct SimSource {
    broker: SimBroker,
    member: MemberId,
    held: Vec<Held>,
    turn: usize,
}

/// A partition as the member sees it; the coordinator may have given it to another already.
#[derive(Clone, Copy, Debug)]
struct Held {
    partition: PartitionId,
    generation: Generation,
    next: Offset,
    paused: bool,
    revoked: bool,
}

/// A commit or a reread that does not hold.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("ILLEGAL_GENERATION: partition {partition} under generation {}", generation.0)]
struct IllegalGeneration {
    partition: PartitionId,
    generation: Generation,
}

impl SimSource {
    pub(super) fn new(broker: SimBroker, member: MemberId) -> Self {
        Self { broker, member, held: Vec::new(), turn: 0 }
    }

    /// Who it is.
    pub fn member(&self) -> MemberId {
        self.member
    }

    fn hear(&mut self, notice: Notice, events: &mut Vec<Event>) {
        let state = self.broker.state();
        match notice {
            Notice::Assigned(partition, generation) => {
                let of = &state.partitions[partition as usize];
                let (position, end) = (of.committed.clone(), of.end);
                let next = position.watermark;
                self.held.push(Held { partition, generation, next, paused: false, revoked: false });
                let (partition, origin) = (state.tp(partition), Origin::Committed);
                events.push(Event::Assigned { partition, generation, position, origin, end });
            }
            Notice::Revoked(partition, generation) => {
                if let Some(held) = self.held.iter_mut().find(|held| held.partition == partition) {
                    held.revoked = true;
                    events.push(Event::Revoked { partition: state.tp(partition), generation });
                }
            }
            Notice::Lost(partition, generation) => {
                self.held.retain(|held| held.partition != partition || held.generation != generation);
                events.push(Event::Lost { partition: state.tp(partition), generation });
            }
        }
    }

    /// One partition with something to read, by turns.
    fn read(&mut self, limit: Limit) -> Option<Event> {
        let state = self.broker.state();
        let count = self.held.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let held = &mut self.held[at];
            let end = state.partitions[held.partition as usize].end;
            if held.paused || held.revoked || held.next >= end {
                continue;
            }
            let batch = state.read(held.partition, held.next, end, limit);
            held.next = batch.next;
            self.turn = at + 1;
            let (partition, generation) = (state.tp(held.partition), held.generation);
            return Some(Event::Records { partition, generation, batch, end });
        }
        None
    }
}

impl Source for SimSource {
    fn poll(&mut self, _: Duration, limit: Limit) -> Result<Vec<Event>, Fault> {
        let now = self.broker.clock.now();
        let notices = self.broker.state().group.poll(self.member, now);
        let Some(notices) = notices else { return Ok(Vec::new()) };
        let mut events = Vec::new();
        for notice in notices {
            self.hear(notice, &mut events);
        }
        events.extend(self.read(limit));
        Ok(events)
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.held
            .iter_mut()
            .filter(|held| held.partition == partition.partition)
            .for_each(|h| h.paused = true);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.held
            .iter_mut()
            .filter(|held| held.partition == partition.partition)
            .for_each(|h| h.paused = false);
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), Fault> {
        let mut state = self.broker.state();
        state.group.tick(self.broker.clock.now());
        let mut refused = None;
        for commit in commits {
            let (partition, generation) = (commit.partition.partition, commit.generation);
            if state.group.in_force(self.member, partition, generation) {
                state.partitions[partition as usize].committed = commit.position.clone();
            } else {
                refused = Some(IllegalGeneration { partition, generation });
            }
        }
        refused.map_or(Ok(()), |refused| Err(Fault::new(Class::Permanent, refused)))
    }

    fn release(&mut self, partition: &TopicPartition, generation: Generation) {
        let number = partition.partition;
        self.held.retain(|held| held.partition != number || held.generation != generation);
        let now = self.broker.clock.now();
        self.broker.state().group.release(self.member, number, generation, now);
    }

    fn reread(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, Fault> {
        Ok(self.broker.state().read(partition.partition, from, to, limit))
    }

    fn waker(&self) -> Waker {
        Waker::none()
    }
}

impl Drop for SimSource {
    fn drop(&mut self) {
        let now = self.broker.clock.now();
        self.broker.state().group.leave(self.member, now);
    }
}
