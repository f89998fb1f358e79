//! The first uncommitted record of a partition, for its timestamp.

use crate::admin::{Quiet, consumer};
use crate::connection::Connection;
use crate::error::KafkaError;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset as ClientOffset, TopicPartitionList};
use seawall_core::{Clock, Nanos, Offset, TopicPartition, WallMs};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// A partition and the offset from which its first record is wanted.
pub(super) type Place = (TopicPartition, Offset);

/// One wait of the poll loop, so that the deadline is looked at.
const POLL: Duration = Duration::from_millis(50);

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A record, written then.
    Written(WallMs),
    /// Nothing to be read up to this end: only what transactions leave behind, or what compaction took.
    Nothing { end: Offset },
}

/// Reads heads, and remembers them while they are asked for.
pub(super) struct Heads {
    reader: BaseConsumer<Quiet>,
    known: HashMap<Place, Head>,
}

impl Heads {
    pub(super) fn open(connection: &Connection) -> Result<Self, KafkaError> {
        // A group id is what the client assigns partitions under; nothing joins or commits under it.
        let reader = consumer(
            connection,
            &[
                ("group.id", "seawall-lag-reader"),
                ("enable.partition.eof", "true"),
                // One batch is enough: the broker sends a first one whole, however large.
                ("fetch.message.max.bytes", "65536"),
                ("queued.min.messages", "1"),
                ("fetch.wait.max.ms", "100"),
                ("auto.offset.reset", "earliest"),
            ],
        )?;
        Ok(Self { reader, known: HashMap::new() })
    }

    pub(super) fn get(&self, place: &Place) -> Option<Head> {
        self.known.get(place).copied()
    }

    /// Learns the heads of `wanted` (with the log's end) that are not known yet, for at most `wait`, and
    /// forgets all others.
    pub(super) fn learn(&mut self, wanted: &BTreeMap<Place, Offset>, clock: &dyn Clock, wait: Duration) {
        self.known.retain(|place, head| match (wanted.get(place), head) {
            (Some(end), Head::Nothing { end: then }) => end == then,
            (found, Head::Written(_)) => found.is_some(),
            (None, Head::Nothing { .. }) => false,
        });
        let until = clock.now().plus(wait);
        for round in rounds(wanted.iter().filter(|(place, _)| !self.known.contains_key(place))) {
            if clock.now() >= until {
                break;
            }
            if let Err(error) = self.read(round, clock, until) {
                tracing::debug!(%error, "heads were not read");
            }
        }
        if let Err(error) = self.reader.unassign() {
            tracing::debug!(%error, "the reader of heads keeps its partitions");
        }
    }

    fn read(
        &mut self,
        mut open: BTreeMap<u32, (Place, Offset)>,
        clock: &dyn Clock,
        until: Nanos,
    ) -> Result<(), ClientError> {
        let mut list = TopicPartitionList::with_capacity(open.len());
        for (number, ((at, from), _)) in &open {
            let (number, from) = (i32::try_from(*number), i64::try_from(*from));
            if let (Ok(number), Ok(from)) = (number, from) {
                list.add_partition_offset(&at.topic, number, ClientOffset::Offset(from))?;
            }
        }
        self.reader.assign(&list)?;
        while !open.is_empty() && clock.now() < until {
            match self.reader.poll(POLL) {
                Some(Ok(message)) => {
                    let number = u32::try_from(message.partition()).unwrap_or(u32::MAX);
                    // Later records of the partition, and what is left of an earlier round, find no entry.
                    if open.get(&number).is_none_or(|((at, _), _)| *at.topic != *message.topic()) {
                        continue;
                    }
                    if let (Some((place, _)), Some(time)) =
                        (open.remove(&number), message.timestamp().to_millis())
                    {
                        self.known.insert(place, Head::Written(WallMs(time)));
                    }
                }
                Some(Err(ClientError::PartitionEOF(number))) => {
                    if let Some((place, end)) =
                        u32::try_from(number).ok().and_then(|number| open.remove(&number))
                    {
                        self.known.insert(place, Head::Nothing { end });
                    }
                }
                // Brokers come and go; the time limit ends it.
                Some(Err(error)) => tracing::debug!(%error, "a head is waited for"),
                None => {}
            }
        }
        Ok(())
    }
}

/// Rounds in which each partition number occurs once: the client tells the end of a partition by its number
/// alone, without the topic.
fn rounds<'a>(wanted: impl Iterator<Item = (&'a Place, &'a Offset)>) -> Vec<BTreeMap<u32, (Place, Offset)>> {
    let mut rounds: Vec<BTreeMap<u32, (Place, Offset)>> = Vec::new();
    for (place, end) in wanted {
        let number = place.0.partition;
        let free = rounds.iter().position(|round| !round.contains_key(&number));
        let round = free.unwrap_or_else(|| {
            rounds.push(BTreeMap::new());
            rounds.len() - 1
        });
        rounds[round].insert(number, (place.clone(), *end));
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_number_is_once_in_a_round() {
        let at = |topic: &str, number, offset| ((TopicPartition::new(topic, number), offset), 9);
        let wanted = BTreeMap::from([at("a", 0, 1), at("a", 0, 2), at("a", 1, 1), at("b", 0, 1)]);
        let rounds = rounds(wanted.iter());
        assert_eq!(rounds.iter().map(BTreeMap::len).collect::<Vec<_>>(), [2, 1, 1]);
    }
}
