//! One lane: the records that must be handled one after the other.

use super::unread::Unread;
use crate::partition::Load;
use crate::retry::Story;
use seawall_core::{Nanos, Offset, Record, TopicPartition};
use std::collections::VecDeque;

/// A record waiting in a lane.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) offset: Offset,
    pub(crate) record: Record,
    /// Bytes it counts in the budgets.
    pub(crate) weight: usize,
    /// What happened to it so far; nothing for most.
    pub(crate) story: Option<Box<Story>>,
}

impl Item {
    pub(crate) fn new(offset: Offset, record: Record) -> Self {
        let weight = record.weight().max(1);
        Self { offset, record, weight, story: None }
    }

    pub(crate) fn load(&self) -> Load {
        Load::one(self.weight)
    }

    /// Where it came from first; `read` is where it was read now.
    pub(crate) fn origin<'a>(&'a self, read: &'a TopicPartition) -> (&'a TopicPartition, Offset) {
        let first = self.story.as_ref().and_then(|story| story.origin.as_ref());
        first.map_or((read, self.offset), |(origin, offset)| (origin, *offset))
    }
}

/// Names a lane: the assignment's slot and the hash of the key. Two keys with one hash share a lane, which
/// merges their order and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LaneKey {
    pub(crate) slot: u32,
    pub(crate) hash: u64,
    /// It holds one record that no other waits for; the hash is of its offset, and unique.
    pub(crate) lone: bool,
}

impl LaneKey {
    /// The lane of a key.
    pub(crate) fn keyed(slot: u32, hash: u64) -> Self {
        Self { slot, hash, lone: false }
    }
}

/// What a lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its head may start.
    Ready,
    /// Its head is out: claimed, handled or settled.
    Busy,
    /// Its head failed and waits until then.
    Parked(Nanos),
    /// Empty here, but it has records unread in the source.
    Hungry,
}

/// A lane. Exists only while it has something to do.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) stage: Stage,
    pub(crate) head: Option<Item>,
    pub(crate) rest: VecDeque<Item>,
    /// Successors left in the source. While there are any, newer records are left there too.
    pub(crate) unread: Option<Box<Unread>>,
}

impl Lane {
    pub(crate) fn new(stage: Stage, head: Option<Item>) -> Self {
        Self { stage, head, rest: VecDeque::new(), unread: None }
    }

    pub(crate) fn is_parked(&self) -> bool {
        matches!(self.stage, Stage::Parked(_))
    }

    /// Whether it counts against the bound on parked keys.
    pub(crate) fn counts_as_parked(&self) -> bool {
        self.is_parked() || self.unread.is_some()
    }

    /// The first unread record, where the lane is sure to take it: it must not ask for what it might decline,
    /// or asking and declining would follow each other without end.
    pub(crate) fn wants(&self) -> Option<Offset> {
        let takes = !self.is_parked() && self.head.is_none() && self.rest.is_empty();
        self.unread.as_ref().filter(|_| takes).and_then(|unread| unread.first())
    }

    /// Adds a record behind all others here. True when the lane became ready by it.
    pub(crate) fn push(&mut self, item: Item) -> bool {
        match self.stage {
            Stage::Hungry => {
                self.head = Some(item);
                self.stage = Stage::Ready;
                true
            }
            Stage::Ready | Stage::Busy | Stage::Parked(_) => {
                self.rest.push_back(item);
                false
            }
        }
    }

    /// Records in memory and their bytes, without a head that is out.
    pub(crate) fn load(&self) -> Load {
        let mut load = Load::default();
        self.head.iter().chain(&self.rest).for_each(|item| load.add(item.load()));
        load
    }
}
