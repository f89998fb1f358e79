//! Taking over what the client has fetched, a partition at a time.
//!
//! The queue of the client as a whole is served first: rebalances, statistics and errors come through it. Then
//! the partitions' queues, beginning with another one each time, so that a small limit starves none of them.

use super::assignment::Assigned;
use super::convert::Copier;
use super::{Batch, Event, Fault, GroupContext, KafkaSource, Limit, TopicPartition};
use crate::error::{KafkaError, Troubled};
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Message};
use seawall_core::Fetched;
use std::sync::Arc;
use std::time::Duration;

/// At most so much of what the client says at once is taken from one poll, or one that talks on (`debug`) would hold it up.
const SAID_MAX: usize = 1_024;

/// What the client has fetched of one partition.
pub(super) type Queue = Arc<PartitionQueue<GroupContext>>;

/// What is left of a poll's limit.
pub(super) struct Left {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Left {
    pub(super) fn take(&mut self, records: &[Fetched]) {
        self.records = self.records.saturating_sub(records.len());
        let weight = records.iter().map(|fetched| fetched.record.weight()).sum();
        self.bytes = self.bytes.saturating_sub(weight);
    }
}

impl KafkaSource {
    /// The partition's queue, which from now on rings the bell.
    pub(super) fn queue_of(&self, tp: &TopicPartition) -> Result<Queue, KafkaError> {
        let mut queue =
            self.consumer.split_partition_queue(&tp.topic, tp.partition as i32).ok_or(KafkaError::Closed)?;
        let bell = Arc::clone(&self.bell);
        queue.set_nonempty_callback(move || bell.ring());
        Ok(Arc::new(queue))
    }

    /// Takes what is there, without waiting.
    pub(super) fn gather(&mut self, limit: Limit, events: &mut Vec<Event>) -> Result<(), Fault> {
        let mut left = Left { records: limit.records, bytes: limit.bytes };
        let mut result = self.serve(&mut left);
        let partitions = self.assigned.len();
        self.turn = self.turn.wrapping_add(1);
        for nth in 0..partitions {
            if result.is_err() || left.records == 0 || left.bytes == 0 {
                break;
            }
            let place = self.turn.wrapping_add(nth) % partitions;
            let drained = self
                .assigned
                .get_mut(place)
                .map_or(Ok(()), |assigned| assigned.drain(&mut self.copier, &mut left));
            if let Err(error) = drained {
                result = self.trouble(error, Some(place));
            }
        }
        if result.is_ok() {
            self.follow(&mut left);
        }
        let mut came = false;
        for assigned in &mut self.assigned {
            if let Some(batch) = assigned.batch.take() {
                let end = self.consumer.context().end_of(&assigned.tp).unwrap_or(0);
                assigned.end = assigned.end.max(end).max(batch.next);
                assigned.usual = batch.records.len();
                came = true;
                self.missing.retain(|missing| missing.tp != assigned.tp);
                let (partition, generation, end) = (assigned.tp.clone(), assigned.generation, assigned.end);
                events.push(Event::Records { partition, generation, batch, end });
            }
        }
        if came {
            self.consumer.context().trouble().over();
        }
        result
    }

    /// What the client has to say as a whole.
    pub(super) fn serve(&mut self, left: &mut Left) -> Result<(), Fault> {
        let consumer = Arc::clone(&self.consumer);
        for _ in 0..SAID_MAX {
            let said = consumer.context().said();
            match consumer.poll(Duration::ZERO) {
                // Each partition's queue was split off before it was fetched, so there should be none here; one
                // that is must not be lost.
                Some(Ok(message)) => {
                    let (topic, partition) = (message.topic(), message.partition());
                    let is = |assigned: &&mut Assigned| {
                        assigned.tp.partition as i32 == partition && *assigned.tp.topic == *topic
                    };
                    if let Some(assigned) = self.assigned.iter_mut().find(is) {
                        assigned.take(&message, &mut self.copier, left);
                    }
                }
                Some(Err(error)) => self.trouble(error, None)?,
                None if consumer.context().said() != said => {}
                None => return Ok(()),
            }
        }
        self.bell.ring();
        Ok(())
    }
}

impl Assigned {
    /// Whether its records are wanted.
    pub(super) fn is_read(&self) -> bool {
        !(self.held || self.revoked || self.void)
    }

    /// Takes what its queue holds, as far as the limit goes.
    fn drain(&mut self, copier: &mut Copier, left: &mut Left) -> Result<(), ClientError> {
        if !self.is_read() {
            return Ok(());
        }
        let queue = Arc::clone(&self.queue);
        while left.records > 0 && left.bytes > 0 {
            let Some(message) = queue.poll(Duration::ZERO) else { break };
            self.take(&message?, copier, left);
        }
        Ok(())
    }

    fn take(&mut self, message: &BorrowedMessage<'_>, copier: &mut Copier, left: &mut Left) {
        // What was fetched before a seek, or of a partition that leaves.
        if self.revoked || self.void || message.offset() < self.next as i64 {
            return;
        }
        let fetched = copier.record(message);
        left.records = left.records.saturating_sub(1);
        left.bytes = left.bytes.saturating_sub(fetched.record.weight());
        self.next = fetched.offset + 1;
        let usual = self.usual;
        let batch = self
            .batch
            .get_or_insert_with(|| Batch { records: Vec::with_capacity(usual), ..Batch::default() });
        batch.next = self.next;
        batch.records.push(fetched);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;
    use crate::source::SourceOptions;

    #[test]
    fn a_client_that_talks_much_is_heard_out_in_one_poll() {
        let mut talks = Connection::new(["127.0.0.1:1"]);
        talks.properties.insert("debug".to_owned(), "all".to_owned());
        let mut source = KafkaSource::open(&talks, "g", SourceOptions::default()).expect("offline");
        let said = |source: &KafkaSource| source.consumer.context().said();
        let mut before = 0;
        // It says a dozen things at once when it starts.
        while said(&source) < before + 10 {
            before = said(&source);
            std::thread::sleep(Duration::from_millis(50));
            assert!(before < 100, "it is never heard out");
            // That no broker is there ends a poll too.
            let _ = source.serve(&mut Left { records: 0, bytes: 0 });
        }
    }
}
