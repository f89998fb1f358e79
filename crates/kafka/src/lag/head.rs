//! The first uncommitted record of a partition, for its timestamp.
//!
//! A partition may never answer: without the right to read it the client waits in silence. Whoever shares a round with
//! it waits as long, so each round has its share of the time, and what did not answer comes after all others the next
//! time, in rounds of its own.

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
/// The least that a round gets while there is time: a leader has to be found and asked.
const SHARE_MIN: Duration = Duration::from_millis(300);

/// What is read at once, by the number of the partition, with the log's end.
type Round = BTreeMap<u32, (Place, Offset)>;

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
    silent: Silent,
    /// How often was learned.
    times: u64,
}

/// Partitions that were asked and did not answer, and at which time the last.
type Silent = BTreeMap<TopicPartition, u64>;

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
        Ok(Self { reader, known: HashMap::new(), silent: Silent::new(), times: 0 })
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
        self.silent.retain(|at, _| {
            wanted.range((at.clone(), 0)..).next().is_some_and(|((wanted, _), _)| wanted == at)
        });
        self.times += 1;
        let until = clock.now().plus(wait);
        let open = wanted.iter().filter(|(place, _)| !self.known.contains_key(place));
        let rounds = rounds(open, &self.silent);
        let count = rounds.len();
        for (nth, mut round) in rounds.into_iter().enumerate() {
            let now = clock.now();
            if now >= until {
                break;
            }
            for ((at, _), _) in round.values() {
                self.silent.remove(at);
            }
            if let Err(error) = self.read(&mut round, clock, now.plus(share(until.since(now), count - nth))) {
                tracing::debug!(%error, "heads were not read");
            }
            self.silent.extend(round.into_values().map(|((at, _), _)| (at, self.times)));
        }
        if let Err(error) = self.reader.unassign() {
            tracing::debug!(%error, "the reader of heads keeps its partitions");
        }
    }

    /// Leaves in `open` what did not answer.
    fn read(&mut self, open: &mut Round, clock: &dyn Clock, until: Nanos) -> Result<(), ClientError> {
        let mut list = TopicPartitionList::with_capacity(open.len());
        for (number, ((at, from), _)) in &*open {
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

/// The time of a round, of which `rounds` are left.
fn share(left: Duration, rounds: usize) -> Duration {
    let even = left / u32::try_from(rounds).unwrap_or(u32::MAX).max(1);
    even.max(SHARE_MIN).min(left)
}

/// Rounds of what is to be read: first what is not known to be silent, then the others, the longest unasked first.
fn rounds<'a>(wanted: impl Iterator<Item = (&'a Place, &'a Offset)>, silent: &Silent) -> Vec<Round> {
    let (mut last, first): (Vec<_>, Vec<_>) = wanted.partition(|((at, _), _)| silent.contains_key(at));
    last.sort_by_key(|((at, _), _)| silent.get(at));
    let mut rounds = packed(first);
    rounds.extend(packed(last));
    rounds
}

/// Rounds in which each partition number occurs once: the client tells the end of a partition by its number
/// alone, without the topic.
fn packed(wanted: Vec<(&Place, &Offset)>) -> Vec<Round> {
    let mut rounds: Vec<Round> = Vec::new();
    for (place, end) in wanted {
        let number = place.0.partition;
        let free = rounds.iter().position(|round| !round.contains_key(&number));
        let round = free.unwrap_or_else(|| {
            rounds.push(Round::new());
            rounds.len() - 1
        });
        rounds[round].insert(number, (place.clone(), *end));
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(topic: &str, number: u32, offset: Offset) -> (Place, Offset) {
        ((TopicPartition::new(topic, number), offset), 9)
    }

    #[test]
    fn a_partition_number_is_once_in_a_round() {
        let wanted = BTreeMap::from([at("a", 0, 1), at("a", 0, 2), at("a", 1, 1), at("b", 0, 1)]);
        let rounds = rounds(wanted.iter(), &Silent::new());
        assert_eq!(rounds.iter().map(BTreeMap::len).collect::<Vec<_>>(), [2, 1, 1]);
    }

    #[test]
    fn what_did_not_answer_comes_last_and_holds_up_nobody() {
        let wanted = BTreeMap::from([at("a", 0, 1), at("a", 1, 1), at("b", 0, 1), at("c", 0, 1)]);
        let silent = ["a/0", "a/1", "b/0"].into_iter().zip([7, 7, 3]).map(|(name, time)| {
            let (topic, number) = name.split_once('/').unwrap();
            (TopicPartition::new(topic, number.parse().unwrap()), time)
        });
        let rounds = rounds(wanted.iter(), &silent.collect());
        let topics = |round: &Round| round.values().map(|((at, _), _)| at.to_string()).collect::<Vec<_>>();
        assert_eq!(
            rounds.iter().map(topics).collect::<Vec<_>>(),
            [&["c/0"][..], &["b/0", "a/1"], &["a/0"]],
            "nobody silent shares a round with who may answer, and who was asked last is asked last"
        );
    }

    #[test]
    fn who_was_asked_and_did_not_answer_is_remembered_while_it_is_wanted() {
        let mut heads = Heads::open(&Connection::new(["127.0.0.1:1"])).unwrap();
        let clock = seawall_core::SystemClock::new();
        let mut learn = |wanted: &[(Place, Offset)]| {
            let wanted: BTreeMap<_, _> = wanted.iter().cloned().collect();
            heads.learn(&wanted, &clock, Duration::from_millis(60));
            heads.silent.iter().map(|(at, time)| format!("{at}:{time}")).collect::<Vec<_>>()
        };
        let (a, b, other) = (at("a", 0, 1), at("b", 0, 1), at("b", 1, 1));
        // The time is over with the first round.
        assert_eq!(learn(&[a.clone(), b.clone(), other.clone()]), ["a/0:1", "b/1:1"]);
        assert_eq!(learn(&[a.clone(), b.clone(), other]), ["a/0:1", "b/0:2", "b/1:1"]);
        assert_eq!(learn(&[a, b.clone()]), ["a/0:3", "b/0:2"]);
        assert_eq!(learn(&[b]), ["b/0:4"]);
    }

    #[test]
    fn each_round_has_its_share_of_the_time() {
        let of = |ms, rounds| share(Duration::from_millis(ms), rounds).as_millis();
        assert_eq!((of(3_000, 1), of(3_000, 3), of(2_900, 2)), (3_000, 1_000, 1_450));
        assert_eq!((of(3_000, 100), of(200, 100)), (300, 200), "or it could get nowhere");
    }
}
