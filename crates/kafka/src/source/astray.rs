//! Partitions whose next offset their broker does not hold: passed by retention, or cut off with the log.
//!
//! The client tells it once, and not for which partition, so all are looked at. That waits while others are being
//! given up: to start one again is an answer to the group (librdkafka takes any unassignment for the one that it
//! waits for), and the next owner would begin while handlers still run.

use super::assignment::Assigned;
use super::{Event, Fault, Generation, KafkaSource, TopicPartition, list};
use crate::error::KafkaError;
use rdkafka::Offset as ClientOffset;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::TopicPartitionList;
use seawall_core::{Class, Classify, Clock, Offset};

impl Assigned {
    /// Its log was cut: its offsets begin to mean other records, and the consumer, which is told so, begins anew.
    fn begin_anew(&mut self, generation: Generation, next: Offset, end: Offset) {
        (self.generation, self.next, self.end) = (generation, next, end);
        (self.held, self.followed, self.batch) = (false, false, None);
    }
}

impl KafkaSource {
    /// Some partition went astray.
    pub(super) fn go_astray(&mut self) {
        let ours = self.assigned.iter().filter(|assigned| !assigned.revoked);
        self.astray = ours.map(|assigned| assigned.tp.clone()).collect();
    }

    /// Finds out which partitions are out of range, and goes on there as `start_at` says.
    pub(super) fn back_into_range(&mut self, events: &mut Vec<Event>) -> Result<(), Fault> {
        if self.astray.is_empty() || !self.leaving.is_empty() || self.clock.now() < self.place_after {
            return Ok(());
        }
        let (mut found, mut in_range) = (false, Vec::new());
        for tp in self.astray.clone() {
            let is = |assigned: &Assigned| assigned.tp == tp && !assigned.revoked;
            let Some(at) = self.assigned.iter().position(is) else {
                self.astray.retain(|astray| *astray != tp);
                continue;
            };
            let (low, high) = match self.range(&tp) {
                Ok(range) => range,
                Err(error) if error.class() == Class::Permanent => return Err(error.into()),
                Err(error) => {
                    self.tell_not_placed(&tp, &error);
                    self.wait_to_place();
                    continue;
                }
            };
            let next = self.assigned[at].next;
            if (low..=high).contains(&next) {
                in_range.push(at);
            } else {
                found = true;
                self.go_on(at, low, high, events)?;
                self.astray.retain(|astray| *astray != tp);
            }
        }
        for at in in_range {
            let tp = self.assigned[at].tp.clone();
            if !found {
                // In range again by now, and given up all the same: whichever it was, all go on where they are.
                self.start_again(&tp, self.assigned[at].next)?;
            }
            self.astray.retain(|astray| *astray != tp);
        }
        Ok(())
    }

    /// Goes on in a partition that holds `low..high`, which its next offset is not in.
    fn go_on(
        &mut self,
        at: usize,
        low: Offset,
        high: Offset,
        events: &mut Vec<Event>,
    ) -> Result<(), KafkaError> {
        let (partition, next) = (self.assigned[at].tp.clone(), self.assigned[at].next);
        let position = self.out_of_range(&partition, next as i64, low, high);
        self.start_again(&partition, position.watermark)?;
        if position.watermark > next {
            // Retention has passed it: what lies between is gone, what runs below stays ours.
            self.assigned[at].next = position.watermark;
            return Ok(());
        }
        self.generation.0 += 1;
        let (old, generation) = (self.assigned[at].generation, self.generation);
        self.assigned[at].begin_anew(generation, position.watermark, high);
        events.push(Event::Lost { partition: partition.clone(), generation: old });
        events.push(Event::Assigned { partition, generation, position, end: high });
        Ok(())
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;
    use crate::source::SourceOptions;
    use seawall_core::{Batch, Nanos, Source};
    use std::time::Duration;

    /// A source that no broker answers, which holds one partition.
    fn source() -> (KafkaSource, TopicPartition) {
        let options =
            SourceOptions { request_timeout: Duration::from_millis(50), ..SourceOptions::default() };
        let mut source = KafkaSource::open(&Connection::new(["127.0.0.1:1"]), "g", options).expect("offline");
        let partition = TopicPartition::new("t", 0);
        let queue = source.queue_of(&partition).expect("offline");
        let position = seawall_core::Position { watermark: 7, ..seawall_core::Position::default() };
        source.begin(super::super::start::Start { tp: partition.clone(), position, end: 9 }, queue);
        (source, partition)
    }

    #[test]
    fn a_paused_partition_whose_log_was_cut_is_read_again() {
        let (mut source, partition) = source();
        source.pause(&partition);
        let assigned = &mut source.assigned[0];
        (assigned.followed, assigned.batch) = (true, Some(Batch::default()));
        assert!(!assigned.is_read());
        assigned.begin_anew(Generation(2), 3, 5);
        assert!(assigned.is_read(), "the consumer, which begins anew, knows of no pause");
        assert!(!assigned.followed && assigned.batch.is_none());
        assert_eq!((assigned.generation, assigned.next, assigned.end), (Generation(2), 3, 5));
    }

    #[test]
    fn nothing_is_put_right_while_others_are_given_up() {
        let (mut source, partition) = source();
        source.go_astray();
        source.leaving = vec![TopicPartition::new("t", 1)];
        source.back_into_range(&mut Vec::new()).expect("nothing to do");
        assert_eq!((&source.astray[..], source.place_after), (&[partition.clone()][..], Nanos(0)), "asked");
        source.leaving.clear();
        source.back_into_range(&mut Vec::new()).expect("asked again later");
        assert!(source.place_after > Nanos(0), "not asked");
        assert_eq!(source.astray, [partition]);
    }
}
