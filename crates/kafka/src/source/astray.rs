//! Partitions that the client has given up: their next offset is not held, passed by retention, or cut off with the log.
//!
//! The client tells that once, and in the partition's own queue. It is put right between two polls, and not while others
//! are being given up: to start a partition again is an answer to the group (librdkafka takes any unassignment for the
//! one that it waits for), and the next owner would begin while handlers still run.

use super::assignment::Assigned;
use super::gather::Left;
use super::later::Later;
use super::{Event, Fault, Generation, KafkaSource, TopicPartition, list};
use crate::error::KafkaError;
use rdkafka::Offset as ClientOffset;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::TopicPartitionList;
use seawall_core::{Class, Classify, Clock, Offset, Origin, Position};

/// A partition that the client has given up.
#[derive(Clone, Debug)]
pub(super) struct Astray {
    tp: TopicPartition,
    /// Where its log was cut, if that was said.
    cut: Option<Offset>,
    /// Its range is not asked for again before this.
    later: Later,
}

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Onward {
    /// It is in range: it has been given up all the same.
    Here,
    /// The log was cut: from there on its offsets mean other records. Below it may be what is not finished.
    Anew { from: Offset, cut: Offset },
    /// As `start_at` says.
    AtStart,
}

/// Where a partition goes on that holds `low..high` and was to be read from `next`, in which the group stands at
/// `committed`; `cut` where its log was cut, if so.
fn onward(next: Offset, committed: Offset, cut: Option<Offset>, low: Offset, high: Offset) -> Onward {
    match cut {
        // It may have grown past `next` again since.
        Some(cut) if cut < next => Onward::Anew { from: committed.min(cut).clamp(low, high), cut },
        _ if (low..=high).contains(&next) => Onward::Here,
        _ => Onward::AtStart,
    }
}

/// Where a log that ends below what was read of it, and was cut somewhere, goes on instead of at `start`: where the group
/// stands, since what is not finished behind that is still held.
fn unfinished(next: Offset, committed: Offset, low: Offset, high: Offset, start: Offset) -> Option<Offset> {
    let from = committed.clamp(low, high);
    (next > high && from < start).then_some(from)
}

impl Assigned {
    /// Its log was cut: its offsets begin to mean other records, and the consumer, which is told so, begins anew.
    fn begin_anew(&mut self, generation: Generation, next: Offset, end: Offset) {
        (self.generation, self.next, self.committed, self.end) = (generation, next, next, end);
        (self.held, self.followed, self.batch) = (false, false, None);
    }
}

impl KafkaSource {
    /// The client has given up the partition at `place`, or, where it does not say which, any of them.
    pub(super) fn go_astray(&mut self, place: Option<usize>) {
        let cut = self.consumer.context().take_cut();
        for (at, assigned) in self.assigned.iter().enumerate() {
            if assigned.revoked || place.is_some_and(|place| place != at) {
                continue;
            }
            let before = self.astray.iter().position(|astray| astray.tp == assigned.tp);
            let cut = match before.map(|before| self.astray.swap_remove(before).cut) {
                Some(Some(before)) => Some(cut.map_or(before, |cut| cut.min(before))),
                _ => cut,
            };
            self.astray.push(Astray { tp: assigned.tp.clone(), cut, later: Later::default() });
        }
    }

    /// Starts them again: where they were, or as `start_at` says where that is not held.
    pub(super) fn back_into_range(&mut self, events: &mut Vec<Event>) -> Result<(), Fault> {
        let began = self.clock.now();
        if !self.leaving.is_empty() || !self.astray.iter().any(|astray| astray.later.is_due(began)) {
            return Ok(());
        }
        let ours = |assigned: &Assigned| !assigned.revoked && !assigned.void;
        let assigned = &self.assigned;
        self.astray.retain(|astray| assigned.iter().any(|held| held.tp == astray.tp && ours(held)));
        // Brokers that do not answer are waited for once, not once each: nothing is polled meanwhile.
        let until = began.plus(self.options.request_timeout);
        let mut known = Vec::new();
        for at in 0..self.astray.len() {
            let (tp, asked) = (self.astray[at].tp.clone(), self.clock.now());
            if asked >= until || !self.astray[at].later.is_due(asked) {
                continue;
            }
            match self.range(&tp) {
                Ok((low, high)) => known.push((self.astray[at].clone(), low, high)),
                Err(error) if error.class() == Class::Permanent => return Err(error.into()),
                Err(error) => {
                    self.tell_not_placed(&tp, &error);
                    self.astray[at].later.wait(asked, self.clock.now());
                }
            }
        }
        // What the group has begun to take away meanwhile comes first.
        self.serve(&mut Left { records: 0, bytes: 0 })?;
        if self.consumer.context().has_change() {
            return Ok(());
        }
        for (astray, low, high) in known {
            self.go_on(&astray, low, high, events)?;
            self.astray.retain(|other| other.tp != astray.tp);
        }
        Ok(())
    }

    /// Goes on in a partition that holds `low..high`.
    fn go_on(
        &mut self,
        astray: &Astray,
        low: Offset,
        high: Offset,
        events: &mut Vec<Event>,
    ) -> Result<(), KafkaError> {
        let Astray { tp, cut, .. } = astray;
        let Some(at) = self.assigned.iter().position(|assigned| assigned.tp == *tp) else { return Ok(()) };
        let Assigned { next, committed, .. } = self.assigned[at];
        let (position, origin) = match onward(next, committed, *cut, low, high) {
            Onward::Here => return self.start_again(tp, next),
            Onward::Anew { from, cut } => {
                tracing::warn!(
                    group = %self.group, partition = %tp, next, cut, from, earliest = low, latest = high,
                    "the partition's log was cut; going on where the group stood, or where it was cut below that"
                );
                // What is done below the cut the consumer knows.
                (Position { watermark: from, ..Position::default() }, Origin::Cut(cut))
            }
            Onward::AtStart => {
                let position = self.out_of_range(tp, next as i64, low, high);
                match unfinished(next, committed, low, high, position.watermark) {
                    Some(from) => (Position { watermark: from, ..Position::default() }, Origin::Cut(from)),
                    None => (position, Origin::Chosen),
                }
            }
        };
        self.start_again(tp, position.watermark)?;
        if position.watermark > next {
            // Retention has passed it: what lies between is gone, what runs below stays ours.
            self.assigned[at].next = position.watermark;
            return Ok(());
        }
        self.generation.0 += 1;
        let (partition, old, generation) = (tp.clone(), self.assigned[at].generation, self.generation);
        self.assigned[at].begin_anew(generation, position.watermark, high);
        events.push(Event::Lost { partition: partition.clone(), generation: old });
        events.push(Event::Assigned { partition, generation, position, origin, end: high });
        Ok(())
    }

    /// Starts a partition anew whose fetching the client has given up: there is nothing left to seek in.
    pub(super) fn start_again(&self, tp: &TopicPartition, offset: Offset) -> Result<(), KafkaError> {
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
    use seawall_core::{Batch, Commit, Nanos, Source};
    use std::time::Duration;

    /// A source that no broker answers, which holds one partition.
    fn source() -> (KafkaSource, TopicPartition) {
        let options =
            SourceOptions { request_timeout: Duration::from_millis(50), ..SourceOptions::default() };
        let mut source = KafkaSource::open(&Connection::new(["127.0.0.1:1"]), "g", options).expect("offline");
        let partition = TopicPartition::new("t", 0);
        let queue = source.queue_of(&partition).expect("offline");
        let position = Position { watermark: 7, ..Position::default() };
        let (tp, origin) = (partition.clone(), Origin::Committed);
        source.begin(super::super::start::Start { tp, position, origin, end: 9 }, queue);
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
        source.go_astray(Some(0));
        let asked = |source: &KafkaSource| !source.astray[0].later.is_due(Nanos(0));
        source.leaving = vec![TopicPartition::new("t", 1)];
        source.back_into_range(&mut Vec::new()).expect("nothing to do");
        assert!(source.astray[0].tp == partition && !asked(&source));
        source.leaving.clear();
        // Something else that cannot be placed is none of its business.
        source.arriving = vec![TopicPartition::new("t", 2)];
        source.arriving_later.wait(Nanos(0), Nanos(u64::MAX / 2));
        let _ = source.back_into_range(&mut Vec::new());
        assert!(source.astray[0].tp == partition && asked(&source));
    }

    #[test]
    fn a_cut_log_that_has_grown_again_is_read_from_the_cut_on() {
        let anew = |from| Onward::Anew { from, cut: 10 };
        assert_eq!(onward(30, 30, Some(10), 0, 50), anew(10));
        assert_eq!(onward(30, 30, Some(10), 20, 50), anew(20), "and retention has passed that");
        assert_eq!(onward(30, 30, Some(10), 0, 12), anew(10));
        assert_eq!(onward(30, 30, None, 0, 50), Onward::Here);
        assert_eq!(onward(30, 30, Some(30), 0, 50), Onward::Here);
        assert_eq!(onward(30, 30, None, 31, 50), Onward::AtStart);
        assert_eq!(onward(30, 30, None, 0, 29), Onward::AtStart);
    }

    #[test]
    fn the_newest_record_is_no_place_to_go_on_while_what_is_unfinished_is_held() {
        assert_eq!(unfinished(30, 5, 0, 12, 12), Some(5));
        assert_eq!(unfinished(30, 5, 7, 12, 12), Some(7));
        assert_eq!(unfinished(30, 12, 0, 12, 12), None, "nothing is");
        assert_eq!(unfinished(30, 5, 0, 12, 0), None, "the oldest is further in front");
        assert_eq!(unfinished(30, 5, 31, 50, 50), None, "retention has passed it");
    }

    #[test]
    fn what_is_unfinished_below_a_cut_is_read_again() {
        let anew = |from| Onward::Anew { from, cut: 10 };
        assert_eq!(onward(30, 5, Some(10), 0, 50), anew(5));
        assert_eq!(onward(30, 5, Some(10), 7, 50), anew(7), "of what is still held");
        let (mut source, partition) = source();
        assert_eq!(source.assigned[0].committed, 7);
        let position = Position { watermark: 8, ..Position::default() };
        let generation = source.assigned[0].generation;
        let commit =
            |generation| Commit { partition: partition.clone(), generation, position: position.clone() };
        source.stand_at(&[commit(Generation(generation.0 + 1))]);
        assert_eq!(source.assigned[0].committed, 7, "of another assignment");
        source.stand_at(&[commit(generation)]);
        assert_eq!(source.assigned[0].committed, 8);
    }
}
