//! What could start: lanes whose head is ready, and lone records.
//!
//! A record that no other can wait for (no key, or no order asked for) needs no lane while it waits its turn and
//! while a handler that answers at once has it. It stands here by itself, and gets a lane only when it stays
//! away for longer or fails: a map of a hundred thousand lanes that are each used once costs more than all else
//! that is done for such a record.

use super::lane::{Item, LaneKey};
use std::collections::VecDeque;

/// Which records no other one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lone {
    /// None.
    Never,
    /// Those without a key.
    Keyless,
    /// All.
    Always,
}

impl Lone {
    pub(crate) fn includes(self, item: &Item) -> bool {
        self == Self::Always || (self == Self::Keyless && item.record.key.is_none())
    }
}

/// Both lines. They are served in turn, so that neither keeps the other waiting.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    lanes: VecDeque<LaneKey>,
    lone: VecDeque<(LaneKey, Item)>,
    lone_first: bool,
}

/// Whose turn it is.
#[derive(Debug)]
pub(crate) enum Next {
    /// The head of this lane.
    Lane(LaneKey),
    /// A record without a lane; its key names the lane it would get.
    Lone(LaneKey, Item),
}

impl Ready {
    pub(crate) fn len(&self) -> usize {
        self.lanes.len() + self.lone.len()
    }

    pub(crate) fn push_lane(&mut self, key: LaneKey) {
        self.lanes.push_back(key);
    }

    pub(crate) fn push_lone(&mut self, key: LaneKey, item: Item) {
        self.lone.push_back((key, item));
    }

    pub(crate) fn pop(&mut self) -> Option<Next> {
        self.lone_first = !self.lone_first;
        if (self.lone_first || self.lanes.is_empty())
            && let Some((key, item)) = self.lone.pop_front()
        {
            return Some(Next::Lone(key, item));
        }
        self.lanes.pop_front().map(Next::Lane)
    }

    /// Drops everything of an assignment.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.lanes.retain(|key| key.slot != slot);
        self.lone.retain(|(key, _)| key.slot != slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_core::Record;

    #[test]
    fn both_lines_are_served_in_turn_and_an_assignment_is_forgotten_in_both() {
        let mut ready = Ready::default();
        for slot in 0..2 {
            for offset in 0..3 {
                ready.push_lane(LaneKey { slot, hash: offset, lone: false });
                let key = LaneKey { slot, hash: offset, lone: true };
                ready.push_lone(key, Item::new(offset, Record::default()));
            }
        }
        ready.forget(0);
        let order = std::iter::from_fn(|| ready.pop()).map(|next| match next {
            Next::Lane(key) => (key.slot, key.hash, false),
            Next::Lone(key, item) => (key.slot, item.offset, true),
        });
        let wanted = (0..3).flat_map(|offset| [(1, offset, true), (1, offset, false)]);
        assert_eq!(order.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
        assert_eq!(ready.len(), 0);
    }
}
