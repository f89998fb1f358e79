//! Taking partitions on and giving them back, between two polls.

use super::context::Change;
use super::gather::Queue;
use super::{Event, Fault, Generation, KafkaSource, StartAt, TopicPartition, list};
use crate::error::KafkaError;
use bytes::Bytes;
use rdkafka::Offset as ClientOffset;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::TopicPartitionList;
use seawall_core::{Batch, Offset, Position};

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
    /// The highest end known.
    pub(super) end: Offset,
    /// To be given up.
    pub(super) revoked: bool,
    /// A commit was refused: this generation is over.
    pub(super) void: bool,
    /// The second client has read on here, so the client has to be sent on.
    pub(super) followed: bool,
    /// What the current poll has gathered.
    pub(super) batch: Option<Batch>,
    /// How many records the last one brought: as much room is made for the next one's.
    pub(super) usual: usize,
}

/// Where a partition starts.
struct Start {
    tp: TopicPartition,
    position: Position,
    end: Offset,
}

impl KafkaSource {
    /// Acts upon what the client wrote down. An error leaves what is to be taken on for the next poll.
    pub(super) fn heed_changes(&mut self, events: &mut Vec<Event>) -> Result<(), Fault> {
        while let Some(change) = self.consumer.context().take_change() {
            match change {
                Change::Assign(partitions) => {
                    self.member = true;
                    self.arriving.extend(partitions);
                    if self.arriving.is_empty() {
                        self.answer_empty();
                    }
                }
                Change::Revoke { partitions, lost } => self.revoke(partitions, lost, events),
            }
        }
        if !self.leaving.is_empty() && self.consumer.assignment_lost() {
            // It expired while the consumer was still finishing: nothing can be committed any more.
            let partitions = std::mem::take(&mut self.leaving);
            self.revoke(partitions, true, events);
        }
        self.take_on(events)?;
        self.take_on_again(events)
    }

    /// The group waits for an answer to an assignment that adds nothing, too.
    fn answer_empty(&self) {
        if let Err(error) = self.consumer.incremental_assign(&TopicPartitionList::new()) {
            tracing::warn!(group = %self.group, %error, "an empty assignment could not be confirmed");
        }
    }

    fn revoke(&mut self, partitions: Vec<TopicPartition>, lost: bool, events: &mut Vec<Event>) {
        self.arriving.retain(|tp| !partitions.contains(tp));
        self.renewing.retain(|tp| !partitions.contains(tp));
        for assigned in self.assigned.iter_mut().filter(|assigned| partitions.contains(&assigned.tp)) {
            let (partition, generation) = (assigned.tp.clone(), assigned.generation);
            if lost {
                events.push(Event::Lost { partition, generation });
            } else if !assigned.void && !assigned.revoked {
                events.push(Event::Revoked { partition, generation });
            }
            assigned.revoked = true;
        }
        // What is void was dropped by the consumer already, which will not release it.
        self.assigned.retain(|assigned| !(assigned.revoked && (lost || assigned.void)));
        self.leaving.extend(partitions);
        self.give_back();
    }

    /// Answers the revocation once the consumer holds none of its partitions any more.
    pub(super) fn give_back(&mut self) {
        if self.leaving.is_empty() || self.assigned.iter().any(|assigned| self.leaving.contains(&assigned.tp))
        {
            return;
        }
        let partitions = std::mem::take(&mut self.leaving);
        if let Err(error) = self.consumer.incremental_unassign(&list(&partitions)) {
            tracing::warn!(group = %self.group, %error, ?partitions, "could not be given back");
        }
    }

    /// Takes on what the group assigned: reads the committed positions, then starts fetching there.
    fn take_on(&mut self, events: &mut Vec<Event>) -> Result<(), Fault> {
        if self.arriving.is_empty() {
            return Ok(());
        }
        let starts = self.starts(&self.arriving.clone())?;
        let mut placed = TopicPartitionList::with_capacity(starts.len());
        for start in &starts {
            let offset = ClientOffset::Offset(start.position.watermark as i64);
            placed.add_partition_offset(&start.tp.topic, start.tp.partition as i32, offset).map_err(
                |source| KafkaError::refused(format!("starting {} at {offset:?}", start.tp), source),
            )?;
        }
        // Before the client begins to fetch, or the first records would lie in the queue of all.
        let queues = starts.iter().map(|start| self.queue_of(&start.tp)).collect::<Result<Vec<_>, _>>()?;
        self.consumer.incremental_assign(&placed).map_err(|source| {
            KafkaError::refused(format!("taking on partitions of group {}", self.group), source)
        })?;
        self.arriving.clear();
        // A pause outlives an assignment in the client.
        let _ = self.consumer.resume(&placed);
        for (start, queue) in starts.into_iter().zip(queues) {
            events.push(self.begin(start, queue));
        }
        Ok(())
    }

    /// The same for partitions that the client still fetches, but whose state the consumer has dropped.
    fn take_on_again(&mut self, events: &mut Vec<Event>) -> Result<(), Fault> {
        if self.renewing.is_empty() || self.consumer.assignment_lost() {
            return Ok(());
        }
        for start in self.starts(&self.renewing.clone())? {
            self.seek(&start.tp, start.position.watermark)?;
            self.consumer.resume(&list([&start.tp])).map_err(|source| {
                KafkaError::refused(format!("resuming {} for group {}", start.tp, self.group), source)
            })?;
            self.renewing.retain(|tp| *tp != start.tp);
            // The new queue is the old one under another handle, which must be gone before.
            self.assigned.retain(|assigned| assigned.tp != start.tp);
            let queue = self.queue_of(&start.tp)?;
            events.push(self.begin(start, queue));
        }
        Ok(())
    }

    /// The coordinator refused a commit. Either it tells of the loss soon, or, in the middle of a rebalance, the
    /// partition stays ours: then the consumer, which drops its state, must be told of it anew.
    pub(super) fn renew(&mut self, tp: &TopicPartition) {
        for assigned in self.assigned.iter_mut().filter(|assigned| assigned.tp == *tp) {
            assigned.void = true;
            if !assigned.revoked && !self.renewing.contains(tp) {
                self.renewing.push(tp.clone());
            }
        }
        self.assigned.retain(|assigned| !(assigned.void && assigned.revoked));
        self.give_back();
    }

    fn begin(&mut self, start: Start, queue: Queue) -> Event {
        self.generation.0 += 1;
        let Start { tp, position, end } = start;
        let generation = self.generation;
        self.assigned.push(Assigned {
            tp: tp.clone(),
            queue,
            held: false,
            generation,
            next: position.watermark,
            end,
            revoked: false,
            void: false,
            followed: false,
            batch: None,
            usual: 0,
        });
        Event::Assigned { partition: tp, generation, position, end }
    }

    pub(super) fn seek(&self, tp: &TopicPartition, offset: Offset) -> Result<(), KafkaError> {
        let to = ClientOffset::Offset(offset as i64);
        self.consumer
            .seek(&tp.topic, tp.partition as i32, to, self.options.request_timeout)
            .map_err(|source| KafkaError::refused(format!("going to offset {offset} of {tp}"), source))
    }

    /// Starts a partition anew whose fetching the client has given up: there is nothing left to seek in.
    fn start_again(&self, tp: &TopicPartition, offset: Offset) -> Result<(), KafkaError> {
        let refused = |source| KafkaError::refused(format!("starting {tp} at offset {offset} again"), source);
        let mut at = TopicPartitionList::with_capacity(1);
        at.add_partition_offset(&tp.topic, tp.partition as i32, ClientOffset::Offset(offset as i64))
            .map_err(refused)?;
        self.consumer.incremental_unassign(&list([tp])).map_err(refused)?;
        self.consumer.incremental_assign(&at).map_err(refused)
    }

    /// Where each of `partitions` starts: at the group's position, or as the options say.
    fn starts(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Start>, KafkaError> {
        let doing = format!("reading the committed positions of group {}", self.group);
        let committed = self
            .consumer
            .committed_offsets(list(partitions), self.options.request_timeout)
            .map_err(|source| KafkaError::refused(&*doing, source))?;
        let mut starts = Vec::with_capacity(partitions.len());
        for element in committed.elements() {
            element.error().map_err(|source| KafkaError::refused(&*doing, source))?;
            let tp =
                TopicPartition::new(element.topic(), u32::try_from(element.partition()).unwrap_or_default());
            let (low, high) = self.range(&tp)?;
            let position = match element.offset() {
                ClientOffset::Offset(at) if (low as i64..=high as i64).contains(&at) => {
                    Position { watermark: at as u64, beyond: self.rereader.beyond(&tp, at as u64, &element)? }
                }
                ClientOffset::Offset(at) => self.out_of_range(&tp, at, low, high),
                _ => Position { watermark: self.start(low, high), beyond: Bytes::new() },
            };
            starts.push(Start { tp, position, end: high });
        }
        Ok(starts)
    }

    fn range(&self, tp: &TopicPartition) -> Result<(Offset, Offset), KafkaError> {
        let (low, high) = self
            .consumer
            .fetch_watermarks(&tp.topic, tp.partition as i32, self.options.request_timeout)
            .map_err(|source| KafkaError::refused(format!("reading the range of {tp}"), source))?;
        Ok((u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0)))
    }

    fn start(&self, low: Offset, high: Offset) -> Offset {
        match self.options.start_at {
            StartAt::Earliest => low,
            StartAt::Latest => high,
        }
    }

    fn out_of_range(&self, tp: &TopicPartition, asked: i64, low: Offset, high: Offset) -> Position {
        let start = self.start(low, high);
        tracing::warn!(
            group = %self.group, partition = %tp, asked, earliest = low, latest = high, start,
            "the group's offset is not held by the partition (any more); going on at `start_at`"
        );
        Position { watermark: start, beyond: Bytes::new() }
    }

    /// Some partition's next offset is not held by its broker: finds out which and goes on as `start_at` says.
    pub(super) fn back_into_range(&mut self, events: &mut Vec<Event>) -> Result<(), Fault> {
        // Told once: what cannot be done now is done at the next poll.
        self.astray = true;
        let places: Vec<usize> = (0..self.assigned.len()).filter(|at| !self.assigned[*at].revoked).collect();
        let mut found = false;
        for at in &places {
            let at = *at;
            let tp = self.assigned[at].tp.clone();
            let next = self.assigned[at].next;
            let (low, high) = self.range(&tp)?;
            if (low..=high).contains(&next) {
                continue;
            }
            found = true;
            let position = self.out_of_range(&tp, next as i64, low, high);
            self.start_again(&tp, position.watermark)?;
            if position.watermark > next {
                // Retention has passed it: what lies between is gone, what runs below stays ours.
                self.assigned[at].next = position.watermark;
            } else {
                // The log was cut: its offsets begin to mean other records. The old state is void.
                let old = self.assigned[at].generation;
                self.generation.0 += 1;
                let generation = self.generation;
                let assigned = &mut self.assigned[at];
                (assigned.generation, assigned.next, assigned.end) = (generation, position.watermark, high);
                assigned.batch = None;
                events.push(Event::Lost { partition: tp.clone(), generation: old });
                events.push(Event::Assigned { partition: tp, generation, position, end: high });
            }
        }
        if !found {
            // In range again by now, and given up all the same: whichever it was, all go on where they are.
            for at in places {
                self.start_again(&self.assigned[at].tp, self.assigned[at].next)?;
            }
        }
        self.astray = false;
        Ok(())
    }
}
