//! What the broker keeps about groups and partitions beside the records: facts, each superseding an earlier one
//! of the same subject, in one wal (`state`).
//!
//! | kind | subject | fact |
//! | --- | --- | --- |
//! | 1 | group, topic, partition | watermark, end of the partition at that moment, `beyond` |
//! | 2 | group | no generation at or below this one is given out after a restart |
//! | 3 | topic, partition | records below this offset were purged |
//! | 4 | none | nothing: written to see whether the disk takes writes again |
//! | 5 | group | forgotten: its positions above are void (its generations are not: fences outlive it) |
//!
//! A frame is a version byte ([`STATE_VERSION`]), the kind, then the fields as varints, and strings and bytes
//! after a varint length.
//! Reading all frames in order gives the state. When the wal holds many times more frames than there are facts,
//! the facts are written again at its end, synced, and everything before them is cut off: a crash in between
//! leaves both, which read the same.

use crate::codec::{CodecError, Cursor, put_bytes, put_varint};
use bytes::Bytes;
use seawall_core::{Offset, Position, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The version this build writes, and the only one it reads.
pub(crate) const STATE_VERSION: u8 = 1;

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Position { group: Arc<str>, partition: TopicPartition, held: Held },
    Generation { group: Arc<str>, ceiling: u64 },
    Floor { partition: TopicPartition, floor: Offset },
    Probe,
    Forgotten { group: Arc<str> },
}

/// A group's position, and how far the partition went when it was committed: should repair ever shorten the
/// partition below that, the completed offsets beyond the watermark would speak of other records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) position: Position,
    pub(crate) end: Offset,
}

impl Fact {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.push(STATE_VERSION);
        match self {
            Self::Position { group, partition, held } => {
                out.push(1);
                put_bytes(group.as_bytes(), &mut out);
                put_partition(partition, &mut out);
                put_varint(held.position.watermark, &mut out);
                put_varint(held.end, &mut out);
                put_bytes(&held.position.beyond, &mut out);
            }
            Self::Generation { group, ceiling } => {
                out.push(2);
                put_bytes(group.as_bytes(), &mut out);
                put_varint(*ceiling, &mut out);
            }
            Self::Floor { partition, floor } => {
                out.push(3);
                put_partition(partition, &mut out);
                put_varint(*floor, &mut out);
            }
            Self::Probe => out.push(4),
            Self::Forgotten { group } => {
                out.push(5);
                put_bytes(group.as_bytes(), &mut out);
            }
        }
        out
    }

    pub(crate) fn decode(frame: &Bytes) -> Result<Self, CodecError> {
        let mut cursor = Cursor { frame, at: 0 };
        let version = cursor.byte("version")?;
        if version != STATE_VERSION {
            return Err(CodecError::Version { found: version });
        }
        match cursor.byte("kind")? {
            1 => {
                let group = text(&mut cursor, "group")?;
                let partition = partition(&mut cursor)?;
                let watermark = cursor.varint("watermark")?;
                let end = cursor.varint("end")?;
                // Copied: a slice would hold the read's whole buffer for as long as the position lives.
                let beyond = Bytes::copy_from_slice(&cursor.bytes("beyond")?);
                let held = Held { position: Position { watermark, beyond }, end };
                Ok(Self::Position { group, partition, held })
            }
            2 => Ok(Self::Generation {
                group: text(&mut cursor, "group")?,
                ceiling: cursor.varint("generation")?,
            }),
            3 => Ok(Self::Floor { partition: partition(&mut cursor)?, floor: cursor.varint("floor")? }),
            4 => Ok(Self::Probe),
            5 => Ok(Self::Forgotten { group: text(&mut cursor, "group")? }),
            found => Err(CodecError::Kind { found }),
        }
    }
}

fn put_partition(partition: &TopicPartition, out: &mut Vec<u8>) {
    put_bytes(partition.topic.as_bytes(), out);
    put_varint(partition.partition.into(), out);
}

fn text(cursor: &mut Cursor<'_>, field: &'static str) -> Result<Arc<str>, CodecError> {
    let at = cursor.at;
    let bytes = cursor.bytes(field)?;
    std::str::from_utf8(&bytes).map(Arc::from).map_err(|_| CodecError::Range { field, at })
}

fn partition(cursor: &mut Cursor<'_>) -> Result<TopicPartition, CodecError> {
    let topic = text(cursor, "topic")?;
    let at = cursor.at;
    let number = cursor.varint("partition")?;
    let partition = u32::try_from(number).map_err(|_| CodecError::Range { field: "partition", at })?;
    Ok(TopicPartition { topic, partition })
}

/// All facts in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) groups: BTreeMap<Arc<str>, GroupFacts>,
    pub(crate) floors: BTreeMap<TopicPartition, Offset>,
}

/// What is known of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupFacts {
    pub(crate) positions: BTreeMap<TopicPartition, Held>,
    pub(crate) ceiling: u64,
}

impl State {
    pub(crate) fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Position { group, partition, held } => {
                self.groups.entry(group).or_default().positions.insert(partition, held);
            }
            Fact::Generation { group, ceiling } => {
                let facts = self.groups.entry(group).or_default();
                facts.ceiling = facts.ceiling.max(ceiling);
            }
            Fact::Floor { partition, floor } => {
                let held = self.floors.entry(partition).or_default();
                *held = floor.max(*held);
            }
            Fact::Probe => {}
            Fact::Forgotten { group } => {
                if let Some(facts) = self.groups.get_mut(&group) {
                    facts.positions.clear();
                }
            }
        }
    }

    /// How many facts are in force.
    pub(crate) fn len(&self) -> usize {
        self.groups.values().map(|group| group.positions.len() + 1).sum::<usize>() + self.floors.len()
    }

    /// The facts in force, to be written again.
    pub(crate) fn facts(&self) -> impl Iterator<Item = Fact> + '_ {
        let groups = self.groups.iter().flat_map(|(group, facts)| {
            let ceiling = Fact::Generation { group: Arc::clone(group), ceiling: facts.ceiling };
            let positions = facts.positions.iter().map(|(partition, held)| Fact::Position {
                group: Arc::clone(group),
                partition: partition.clone(),
                held: held.clone(),
            });
            std::iter::once(ceiling).chain(positions)
        });
        let floors = self
            .floors
            .iter()
            .map(|(partition, floor)| Fact::Floor { partition: partition.clone(), floor: *floor });
        groups.chain(floors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_fact() -> impl Strategy<Value = Fact> {
        let group = "[ab]".prop_map(|name| Arc::<str>::from(name.as_str()));
        let partition = ("[xy]", 0_u32..3).prop_map(|(topic, p)| TopicPartition::new(topic.as_str(), p));
        let beyond = proptest::collection::vec(any::<u8>(), 0..9);
        prop_oneof![
            (group.clone(), partition.clone(), any::<u64>(), any::<u64>(), beyond).prop_map(
                |(group, partition, watermark, end, beyond)| {
                    let position = Position { watermark, beyond: Bytes::from(beyond) };
                    Fact::Position { group, partition, held: Held { position, end } }
                }
            ),
            (group.clone(), any::<u64>()).prop_map(|(group, ceiling)| Fact::Generation { group, ceiling }),
            (partition, any::<u64>()).prop_map(|(partition, floor)| Fact::Floor { partition, floor }),
            Just(Fact::Probe),
            group.prop_map(|group| Fact::Forgotten { group }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fact in any_fact()) {
            prop_assert_eq!(Fact::decode(&Bytes::from(fact.encode())), Ok(fact));
        }

        #[test]
        fn any_bytes_are_a_fact_or_a_named_error(kind in 0_u8..8, bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut frame = vec![STATE_VERSION, kind];
            frame.extend(bytes);
            let _ = Fact::decode(&Bytes::from(frame));
        }

        #[test]
        fn a_snapshot_reads_as_what_it_replaces(facts in proptest::collection::vec(any_fact(), 0..40)) {
            let mut state = State::default();
            for fact in facts {
                state.apply(fact);
            }
            let mut again = State::default();
            for fact in state.facts() {
                again.apply(fact);
            }
            prop_assert_eq!(&again, &state);
            prop_assert_eq!(state.facts().count(), state.len());
        }
    }
}
