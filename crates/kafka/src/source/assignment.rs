//! Taking partitions on and giving them back, between two polls.

use super::context::{Change, partitions_of};
use super::gather::Queue;
use super::start::Start;
use super::{Event, Fault, Generation, KafkaSource, TopicPartition, list};
use crate::error::KafkaError;
use rdkafka::Offset as ClientOffset;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::TopicPartitionList;
use seawall_core::{Batch, Clock, Commit, Offset};

/// A partition that is ours.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each read by itself")]
pub(super) struct Assigned {
    pub(super) tp: TopicPartition,
    /// Where the client puts its records.
    pub(super) queue: Queue,
    /// Paused: its queue is left alone.
    pub(super) held: bool,
    pub(super) generation: Generation,
    /// The next offset to be told.
    pub(super) next: Offset,
    /// Where the group stands: what lies below is finished.
    pub(super) committed: Offset,
    /// The highest end known.
    pub(super) end: Offset,
    /// To be given up.
    pub(super) revoked: bool,
    /// A commit was refused: this generation is over.
    pub(super) void: bool,
    /// The consumer drops it, and is asked once more to give it back: what it has cancelled may still run.
    pub(super) ask_again: bool,
    /// The second client has read on here, so the client has to be sent on.
    pub(super) followed: bool,
    /// What the current poll has gathered.
    pub(super) batch: Option<Batch>,
    /// How many records the last one brought: as much room is made for the next one's.
    pub(super) usual: usize,
}

impl KafkaSource {
    /// Acts upon what the client wrote down. What cannot be taken on now stays for a later poll.
    pub(super) fn heed_changes(&mut self, events: &mut Vec<Event>) -> Result<(), Fault> {
        while let Some(change) = self.consumer.context().take_change() {
            match change {
                Change::Assign(partitions) => {
                    self.member = true;
                    self.arriving.extend(partitions);
                    self.unanswered = true;
                }
                Change::Revoke { partitions, lost } => self.revoke(partitions, lost, events),
            }
        }
        if !self.leaving.is_empty() && self.consumer.assignment_lost() {
            // It expired while the consumer was still finishing: nothing can be committed any more.
            let partitions = std::mem::take(&mut self.leaving);
            self.revoke(partitions, true, events);
        }
        for assigned in self.assigned.iter_mut().filter(|assigned| assigned.ask_again) {
            assigned.ask_again = false;
            events.push(Event::Revoked { partition: assigned.tp.clone(), generation: assigned.generation });
        }
        let taken_on = self.take_on(events);
        let again = self.take_on_again(events);
        self.both(taken_on, again)
    }

    fn revoke(&mut self, partitions: Vec<TopicPartition>, lost: bool, events: &mut Vec<Event>) {
        self.unanswered = false;
        // The client was never given those that were not placed, and gives up none if one is not its own.
        let (not_placed, partitions): (Vec<_>, Vec<_>) =
            partitions.into_iter().partition(|tp| self.arriving.contains(tp));
        self.arriving.retain(|tp| !not_placed.contains(tp));
        self.renewing.retain(|tp| !partitions.contains(tp));
        for assigned in self.assigned.iter_mut().filter(|assigned| partitions.contains(&assigned.tp)) {
            let (partition, generation) = (assigned.tp.clone(), assigned.generation);
            if lost {
                events.push(Event::Lost { partition, generation });
            } else if !assigned.revoked {
                // What is void was dropped by the consumer already: it gives it back once nothing of it runs.
                events.push(Event::Revoked { partition, generation });
            }
            assigned.revoked = true;
        }
        self.assigned.retain(|assigned| !(assigned.revoked && lost));
        self.leaving.extend(partitions);
        if self.leaving.is_empty() {
            self.give_up(&[]);
        }
        self.give_back();
    }

    /// Answers the revocation once the consumer holds none of its partitions any more.
    pub(super) fn give_back(&mut self) {
        if self.leaving.is_empty() || self.assigned.iter().any(|assigned| self.leaving.contains(&assigned.tp))
        {
            return;
        }
        let partitions = std::mem::take(&mut self.leaving);
        self.give_up(&partitions);
    }

    /// The group waits for an answer to a revocation, where there is nothing to give up, too.
    fn give_up(&self, partitions: &[TopicPartition]) {
        let Err(error) = self.consumer.incremental_unassign(&list(partitions)) else { return };
        tracing::warn!(group = %self.group, %error, ?partitions, "could not be given back");
        // It gives up none where one is not its own, and the group would wait for ever.
        let own = self.consumer.assignment().map(|own| partitions_of(&own)).unwrap_or_default();
        let ours = partitions.iter().filter(|tp| own.contains(tp));
        if let Err(error) = self.consumer.incremental_unassign(&list(ours)) {
            tracing::error!(group = %self.group, %error, ?partitions, "could not be given back");
        }
    }

    /// Takes on what the group assigned: reads the committed positions, then starts fetching there. Those that
    /// cannot be placed yet hold up no others, nor the group, which waits for an answer to an assignment.
    fn take_on(&mut self, events: &mut Vec<Event>) -> Result<(), Fault> {
        if !self.leaving.is_empty() || (self.arriving.is_empty() && !self.unanswered) {
            return Ok(());
        }
        let began = self.clock.now();
        if !self.unanswered && !self.arriving_later.is_due(began) {
            return Ok(());
        }
        let starts = match self.starts(&self.arriving.clone(), self.arriving_later.open_for(began)) {
            Ok(starts) => starts,
            Err(error) => {
                self.arriving_later.wait(began, self.clock.now());
                if let Err(error) = self.assign(&TopicPartitionList::new()) {
                    tracing::warn!(%error, "the assignment could not be confirmed");
                }
                return Err(error.into());
            }
        };
        let mut placed = TopicPartitionList::with_capacity(starts.len());
        for start in &starts {
            let offset = ClientOffset::Offset(start.position.watermark as i64);
            placed.add_partition_offset(&start.tp.topic, start.tp.partition as i32, offset).map_err(
                |source| KafkaError::refused(format!("starting {} at {offset:?}", start.tp), source),
            )?;
        }
        // Before the client begins to fetch, or the first records would lie in the queue of all.
        let queues = starts.iter().map(|start| self.queue_of(&start.tp)).collect::<Result<Vec<_>, _>>()?;
        self.assign(&placed)?;
        // A pause outlives an assignment in the client.
        let _ = self.consumer.resume(&placed);
        for (start, queue) in starts.into_iter().zip(queues) {
            self.arriving.retain(|tp| *tp != start.tp);
            events.push(self.begin(start, queue));
        }
        if self.arriving.is_empty() {
            self.arriving_later.done();
        } else {
            self.arriving_later.wait(began, self.clock.now());
            // Another one is asked first the next time.
            self.arriving.rotate_left(1);
        }
        Ok(())
    }

    /// Answers an assignment, or adds to one that was answered.
    fn assign(&mut self, placed: &TopicPartitionList) -> Result<(), KafkaError> {
        if !self.unanswered && placed.count() == 0 {
            return Ok(());
        }
        self.consumer.incremental_assign(placed).map_err(|source| {
            KafkaError::refused(format!("taking on partitions of group {}", self.group), source)
        })?;
        self.unanswered = false;
        Ok(())
    }

    /// The same for partitions that the client still fetches, but whose state the consumer has dropped.
    fn take_on_again(&mut self, events: &mut Vec<Event>) -> Result<(), Fault> {
        let began = self.clock.now();
        if self.renewing.is_empty() || !self.leaving.is_empty() || !self.renewing_later.is_due(began) {
            return Ok(());
        }
        if self.consumer.assignment_lost() {
            return Ok(());
        }
        let starts = self.starts(&self.renewing.clone(), self.renewing_later.open_for(began));
        for start in starts.as_deref().unwrap_or_default() {
            match self.take_up(start) {
                Ok(event) => events.push(event),
                Err(error) => self.tell_not_placed(&start.tp, &error),
            }
        }
        if self.renewing.is_empty() {
            self.renewing_later.done();
        } else {
            self.renewing_later.wait(began, self.clock.now());
            self.renewing.rotate_left(1);
        }
        Ok(starts.map(|_| ())?)
    }

    fn take_up(&mut self, start: &Start) -> Result<Event, KafkaError> {
        let offset = start.position.watermark;
        if self.seek(&start.tp, offset).is_err() {
            // Its fetching was given up, which its queue would have told.
            self.start_again(&start.tp, offset)?;
        }
        self.consumer.resume(&list([&start.tp])).map_err(|source| {
            KafkaError::refused(format!("resuming {} for group {}", start.tp, self.group), source)
        })?;
        // The new queue is the old one under another handle, which must be gone before.
        self.assigned.retain(|assigned| assigned.tp != start.tp);
        let queue = self.queue_of(&start.tp)?;
        self.renewing.retain(|tp| *tp != start.tp);
        Ok(self.begin(start.clone(), queue))
    }

    /// The coordinator refused a commit. Either it tells of the loss soon, or, in the middle of a rebalance, the
    /// partition stays ours: then the consumer, which drops its state, must be told of it anew.
    pub(super) fn renew(&mut self, tp: &TopicPartition) {
        for assigned in self.assigned.iter_mut().filter(|assigned| assigned.tp == *tp) {
            assigned.void = true;
            if assigned.revoked {
                assigned.ask_again = true;
            } else if !self.renewing.contains(tp) {
                self.renewing.push(tp.clone());
            }
        }
    }

    pub(super) fn begin(&mut self, start: Start, queue: Queue) -> Event {
        self.generation.0 += 1;
        let Start { tp, position, origin, end } = start;
        let generation = self.generation;
        self.assigned.push(Assigned {
            tp: tp.clone(),
            queue,
            held: false,
            generation,
            next: position.watermark,
            committed: position.watermark,
            end,
            revoked: false,
            void: false,
            ask_again: false,
            followed: false,
            batch: None,
            usual: 0,
        });
        Event::Assigned { partition: tp, generation, position, origin, end }
    }

    /// These have been committed.
    pub(super) fn stand_at(&mut self, commits: &[Commit]) {
        for commit in commits {
            self.chosen.remove(&commit.partition);
            let ours =
                |held: &&mut Assigned| held.tp == commit.partition && held.generation == commit.generation;
            if let Some(assigned) = self.assigned.iter_mut().find(ours) {
                assigned.committed = commit.position.watermark;
            }
        }
    }

    pub(super) fn seek(&self, tp: &TopicPartition, offset: Offset) -> Result<(), KafkaError> {
        let to = ClientOffset::Offset(offset as i64);
        self.consumer
            .seek(&tp.topic, tp.partition as i32, to, self.options.request_timeout)
            .map_err(|source| KafkaError::refused(format!("going to offset {offset} of {tp}"), source))
    }
}
